#include "api/kv_agreement.h"

#include <stdlib.h>

#include "base/checked.h"

void wn_kv_agreement_add(wn_kv_agreement *s, const int32_t *dense, const int32_t *thin, size_t n)
{
    size_t before = 0;
    while (before < n && dense[before] == thin[before])
        before++;
    s->n_places++;
    s->n_tokens += n;
    s->n_same += before == n;
    s->n_before += before;
    for (size_t i = 0; i < n; i++)
        s->n_equal += dense[i] == thin[i];
}

size_t wn_kv_places(const wn_kv_lengths *lengths, size_t n_text, size_t per_length,
                    wn_kv_place *out)
{
    size_t n = 0, before = 0;
    for (size_t i = 0; i < lengths->n && lengths->at[i] <= n_text; i++) {
        const size_t span = lengths->at[i] - before;
        for (size_t j = 1; j <= per_length; j++) {
            const size_t at = before + span * j / per_length;
            if (at > (n ? out[n - 1].at : 0))
                out[n++] = (wn_kv_place){at, i};
        }
        before = lengths->at[i];
    }
    return n;
}

struct wn_kv_writer {
    wn_kv_reader_options o;
    const int32_t *ids;
    const wn_kv_place *places;
    size_t n_places, n_write;
    int32_t *dense, *thin; /* [n_places][n_write]; [n_write] */
};

static size_t place_of(const wn_kv_writer *w, size_t i)
{
    const size_t last = w->o.n_ctx - w->n_write; /* the last token need not be read */
    return w->places[i].at < last ? w->places[i].at : last;
}

typedef wn_status (*visit_fn)(wn_kv_writer *w, const wn_kv_reader *r, size_t i, void *ctx,
                              wn_error *err);

/* Reads on from place to place. */
static wn_status for_places(wn_kv_writer *w, const wn_dms_point *point, visit_fn visit, void *ctx,
                            wn_error *err)
{
    wn_kv_reader *r = NULL;
    wn_kv_reader_options o = w->o;
    o.point = point;
    WN_TRY(wn_kv_reader_open(&r, &o, err));
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i < w->n_places; i++) {
        const size_t at = place_of(w, i), n = wn_kv_reader_length(r);
        if (at <= n && n > 0)
            continue; /* two places that were moved to the same */
        status = wn_kv_reader_read(r, w->ids + n, at - n, err);
        if (status == WN_OK)
            status = visit(w, r, i, ctx, err);
    }
    wn_kv_reader_close(r);
    return status;
}

static wn_status write_dense(wn_kv_writer *w, const wn_kv_reader *r, size_t i, void *ctx,
                             wn_error *err)
{
    (void)ctx;
    return wn_kv_reader_write(r, w->dense + i * w->n_write, w->n_write, err);
}

wn_status wn_kv_writer_open(wn_kv_writer **out, const wn_kv_reader_options *o, const int32_t *ids,
                            const wn_kv_place *places, size_t n_places, size_t n_write,
                            wn_error *err)
{
    if (n_write == 0 || n_write >= o->n_ctx)
        return wn_error_set(err, WN_INVALID, "eval kv: %zu tokens to write, in sessions of %zu",
                            n_write, o->n_ctx);
    wn_kv_writer *w = wn_alloc(1, sizeof *w);
    if (!w)
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    *w = (wn_kv_writer){
        .o = *o, .ids = ids, .places = places, .n_places = n_places, .n_write = n_write};
    w->dense = wn_alloc(n_places + 1, n_write * sizeof *w->dense);
    w->thin = wn_alloc(n_write, sizeof *w->thin);
    wn_status status = w->dense && w->thin
                           ? for_places(w, NULL, write_dense, NULL, err)
                           : wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    if (status != WN_OK) {
        wn_kv_writer_close(w);
        return status;
    }
    *out = w;
    return WN_OK;
}

void wn_kv_writer_close(wn_kv_writer *w)
{
    if (!w)
        return;
    free(w->dense);
    free(w->thin);
    free(w);
}

typedef struct judging {
    size_t window;
    wn_kv_agreement *sums;
} judging;

static wn_status write_thin(wn_kv_writer *w, const wn_kv_reader *r, size_t i, void *ctx,
                            wn_error *err)
{
    const judging *j = ctx;
    if (wn_kv_reader_length(r) <= j->window + 1)
        return WN_OK;
    WN_TRY(wn_kv_reader_write(r, w->thin, w->n_write, err));
    wn_kv_agreement_add(&j->sums[w->places[i].line], w->dense + i * w->n_write, w->thin,
                        w->n_write);
    return WN_OK;
}

wn_status wn_kv_writer_judge(wn_kv_writer *w, const wn_dms_point *point, wn_kv_agreement *sums,
                             wn_error *err)
{
    judging j = {point->window, sums};
    return for_places(w, point, write_thin, &j, err);
}
