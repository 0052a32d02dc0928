#include "generate/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/session_internal.h"

#define THIN_WINDOW 256  /* tokens; as eviction heads have it */
#define ROW_ALIGNMENT 64 /* bytes; a cache line */

static wn_status check_options(wn_session *s, const wn_session_options *options, wn_error *err)
{
    const wn_model_config *c = wn_model_config_of(s->model);
    s->n_ctx = options->n_ctx ? options->n_ctx : c->n_ctx;
    s->n_chunk = options->n_chunk ? options->n_chunk : wn_compute_chunk(s->compute);
    if (s->n_ctx > c->n_ctx)
        return wn_error_set(err, WN_INVALID, "n_ctx %zu is above the %zu positions that %s knows",
                            s->n_ctx, c->n_ctx, wn_model_name(s->model));
    if (s->n_chunk > s->n_ctx)
        s->n_chunk = s->n_ctx;
    if (options->heads && options->thin)
        return wn_error_set(err, WN_INVALID, "thin is for sessions without eviction heads");
    if (options->n_keep > WN_SESSION_MAX_KEEP)
        return wn_error_set(err, WN_INVALID, "%zu ranges of tokens to keep: %d at most",
                            options->n_keep, WN_SESSION_MAX_KEEP);
    if (options->n_keep)
        memcpy(s->keep, options->keep, options->n_keep * sizeof *s->keep);
    s->n_keep = options->n_keep;
    s->heads = options->heads;
    s->thin = options->thin;
    if (s->heads)
        s->point = options->point ? *options->point : s->heads->points[0];
    else if (s->thin)
        s->point.window = THIN_WINDOW;
    return WN_OK;
}

static wn_status open_store(wn_session *s, const wn_session_options *options, wn_error *err)
{
    const wn_model_config *c = wn_model_config_of(s->model);
    wn_kv_store_options o = {.format = wn_model_kv_format(s->model, s->compute, options->kv_format),
                             .head_dim = c->head_dim,
                             .n_layers = c->n_layers,
                             .n_kv_heads = c->n_kv_heads,
                             .n_ctx = s->n_ctx,
                             .n_chunk = s->n_chunk,
                             .window = s->point.window,
                             .n_spare = options->resume ? wn_session_mark_pages(s) : 0,
                             .pool = options->pool};
    return wn_kv_store_open(&s->kv, &o, err);
}

static wn_status carve_scratch(wn_session *s, wn_error *err)
{
    const wn_model_config *c = wn_model_config_of(s->model);
    const size_t n_rows = s->n_chunk > WN_SESSIONS_MAX ? s->n_chunk : WN_SESSIONS_MAX;
    const struct {
        float **place;
        size_t rows, cols;
    } table[] = {
        {&s->x, n_rows, c->d_model},
        {&s->h, n_rows, c->d_model},
        {&s->q, n_rows, c->n_heads * c->head_dim},
        {&s->attended, n_rows, c->n_heads * c->head_dim},
        {&s->new_k, n_rows, c->n_kv_heads * c->head_dim},
        {&s->new_v, n_rows, c->n_kv_heads * c->head_dim},
        {&s->angles, n_rows, c->head_dim},
        {&s->logits, 1, c->n_vocab},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t n = 0;
        bool ok = wn_size_mul(table[i].rows, table[i].cols, &n);
        *table[i].place = ok ? wn_alloc_aligned(ROW_ALIGNMENT, n, sizeof(float)) : NULL;
        if (!*table[i].place)
            return wn_error_set(err, WN_NO_MEMORY, "no memory for chunks of %zu tokens",
                                s->n_chunk);
    }
    size_t inner = 0; /* the largest, which sets with tiles do not touch: it costs nothing then */
    if (wn_size_mul(n_rows, 2 * sizeof(float), &inner) && wn_size_mul(inner, c->d_ff, &inner))
        s->inner = wn_alloc_huge(inner);
    if (!s->inner)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for chunks of %zu tokens", s->n_chunk);
    s->ids = wn_alloc(s->n_ctx, sizeof *s->ids);
    s->evict = wn_alloc(s->n_chunk, c->n_kv_heads);
    return s->ids && s->evict ? WN_OK
                              : wn_error_set(err, WN_NO_MEMORY, "no memory for %zu ids", s->n_ctx);
}

wn_status wn_session_open(wn_session **out, const wn_model *m, wn_compute *c,
                          const wn_session_options *options, wn_error *err)
{
    wn_session *s = wn_alloc(1, sizeof *s);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "session: out of memory");
    s->model = m;
    s->compute = c;
    wn_status status = check_options(s, options, err);
    if (status == WN_OK)
        status = open_store(s, options, err);
    if (status == WN_OK)
        status = wn_session_open_marks(s, options->resume, err);
    if (status == WN_OK)
        status = carve_scratch(s, err);
    if (status != WN_OK) {
        wn_session_close(s);
        return status;
    }
    *out = s;
    return WN_OK;
}

wn_status wn_session_fork(wn_session **out, const wn_session *from, wn_error *err)
{
    wn_session *s = wn_alloc(1, sizeof *s);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "session: out of memory");
    s->model = from->model;
    s->compute = from->compute;
    s->n_ctx = from->n_ctx;
    s->n_chunk = from->n_chunk;
    s->heads = from->heads;
    s->point = from->point;
    memcpy(s->keep, from->keep, sizeof s->keep);
    s->n_keep = from->n_keep;
    s->thin = from->thin;
    s->length = from->length;
    s->n_read = from->n_read;
    wn_status status = wn_kv_store_fork(&s->kv, from->kv, err);
    if (status == WN_OK)
        status = wn_session_open_marks(s, from->marks[0].kv != NULL, err);
    if (status == WN_OK)
        status = carve_scratch(s, err);
    if (status != WN_OK) {
        wn_session_close(s);
        return status;
    }
    memcpy(s->ids, from->ids, s->length * sizeof *s->ids);
    memcpy(s->logits, from->logits, from->model->config.n_vocab * sizeof *s->logits);
    *out = s;
    return WN_OK;
}

void wn_session_close(wn_session *s)
{
    if (!s)
        return;
    float *scratch[] = {s->x,     s->h,     s->q,      s->attended, s->new_k,
                        s->new_v, s->inner, s->angles, s->logits};
    for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++)
        free(scratch[i]);
    wn_session_close_marks(s);
    wn_kv_store_close(s->kv);
    if (s->ids)
        explicit_bzero(s->ids, s->length * sizeof *s->ids);
    free(s->ids);
    free(s->evict);
    free(s);
}

const float *wn_session_logits(const wn_session *s)
{
    return s->logits;
}

size_t wn_session_length(const wn_session *s)
{
    return s->length;
}

size_t wn_session_n_read(const wn_session *s)
{
    return s->n_read;
}

const int32_t *wn_session_ids(const wn_session *s)
{
    return s->ids;
}

/* Those behind the length, of a session that had so many: they are a text's. */
static void forget_ids(wn_session *s, size_t length)
{
    if (length > s->length)
        memset(s->ids + s->length, 0, (length - s->length) * sizeof *s->ids);
}

size_t wn_session_truncate(wn_session *s, size_t n)
{
    const size_t length = s->length;
    size_t from_mark = 0;
    s->length = wn_kv_store_truncate(s->kv, n);
    const session_mark *mark = wn_session_mark_for(s, n, &from_mark);
    if (n < length && s->length < from_mark) {
        wn_kv_store_copy(s->kv, mark->kv, from_mark);
        s->length = from_mark;
    }
    wn_session_drop_marks(s, n);
    if (s->n_read > s->length)
        s->n_read = s->length;
    forget_ids(s, length);
    if (s->length == 0 && length > 0)
        wn_compute_wipe(s->compute);
    return s->length;
}

size_t wn_session_can_keep(const wn_session *s, size_t n)
{
    size_t from_mark = 0;
    if (n >= s->length)
        return s->length;
    if (n >= wn_kv_store_back_to(s->kv))
        return n;
    (void)wn_session_mark_for(s, n, &from_mark);
    return from_mark;
}

wn_status wn_session_set(wn_session *s, const int32_t *ids, size_t n, const wn_kv_store *kv,
                         wn_error *err)
{
    const size_t length = s->length;
    wn_status status = WN_OK;
    wn_session_drop_marks(s, 0);
    if (wn_kv_store_tail_first(kv) > 0) {
        status = wn_kv_store_unpack(s->kv, kv, wn_compute_pool(s->compute), err);
        n = status == WN_OK ? wn_kv_store_truncate(s->kv, n) : 0;
    } else {
        wn_kv_store_copy(s->kv, kv, n);
    }
    memcpy(s->ids, ids, n * sizeof *ids);
    s->length = s->n_read = n;
    forget_ids(s, length);
    return status;
}

size_t wn_session_capacity(const wn_session *s)
{
    return s->n_ctx;
}

size_t wn_session_kv_bytes(const wn_session *s)
{
    return wn_kv_store_bytes(s->kv) + wn_session_mark_bytes(s);
}

size_t wn_session_dense_bytes(const wn_session *s)
{
    const wn_model_config *c = &s->model->config;
    return s->length * c->n_layers * c->n_kv_heads * c->head_dim * 2 * sizeof(uint16_t);
}

size_t wn_session_n_kept(const wn_session *s, size_t layer, size_t head)
{
    return wn_kv_store_n_kept(s->kv, layer, head);
}

bool wn_session_has(const wn_session *s, size_t layer, size_t head, size_t position)
{
    return wn_kv_store_has(s->kv, layer, head, position);
}

wn_status wn_session_pool_open(wn_kv_pool **out, const wn_model *m, const wn_compute *c,
                               wn_kv_format format, size_t max_bytes, wn_error *err)
{
    const wn_kv_layout layout =
        wn_kv_layout_of(wn_model_kv_format(m, c, format), wn_model_config_of(m)->head_dim);
    return wn_kv_pool_open(out, layout.page_bytes, max_bytes, err);
}

/* As carve_scratch has it. */
size_t wn_session_scratch_bytes(const wn_model *m, const wn_compute *c,
                                const wn_session_options *options)
{
    const wn_model_config *config = wn_model_config_of(m);
    const size_t n_ctx = options->n_ctx ? options->n_ctx : config->n_ctx;
    const size_t n_chunk = options->n_chunk ? options->n_chunk : wn_compute_chunk(c);
    const size_t row = 2 * (config->d_model + config->d_ff) + config->head_dim +
                       2 * (config->n_heads + config->n_kv_heads) * config->head_dim;
    return ((n_chunk < n_ctx ? n_chunk : n_ctx) * row + config->n_vocab) * sizeof(float) +
           n_ctx * sizeof(int32_t);
}

size_t wn_session_max_bytes(const wn_model *m, const wn_compute *c,
                            const wn_session_options *options)
{
    const wn_model_config *config = wn_model_config_of(m);
    const size_t n_ctx = options->n_ctx ? options->n_ctx : config->n_ctx;
    const wn_dms_point *point =
        options->point || !options->heads ? options->point : options->heads->points;
    const size_t window = point && point->window < n_ctx ? point->window : 0;
    const size_t n_chunk = options->n_chunk ? options->n_chunk : wn_compute_chunk(c);
    const size_t n_partial = 8 + (options->resume ? wn_session_pages_of_marks(window, n_chunk) : 0);
    const wn_kv_layout layout =
        wn_kv_layout_of(wn_model_kv_format(m, c, options->kv_format), config->head_dim);
    return (n_ctx / WN_KV_SLOTS + n_partial) * config->n_layers * config->n_kv_heads *
           layout.page_bytes;
}
