#include "api/kv_run.h"

#include <stdlib.h>

#include "api/kv_copying.h"
#include "base/checked.h"
#include "generate/repeat_text.h"

struct wn_kv_run {
    wn_kv_run_options o;
    wn_kv_eval *eval;
    wn_kv_baselines *baselines; /* NULL: not wanted */
    wn_kv_case *cases;
    size_t n_cases, per_point;
    uint64_t n_done, n_steps;
};

static void set_cases(wn_kv_run *r)
{
    const wn_dms_heads *h = r->o.heads;
    for (size_t i = 0; i < r->n_cases; i++) {
        const wn_evict_kind kind = (wn_evict_kind)(i % r->per_point);
        const wn_dms_point *p = &h->points[i / r->per_point];
        r->cases[i] = (wn_kv_case){.name = wn_evict_kind_name(kind),
                                   .window = p->window,
                                   .mark = p->ratio,
                                   .rule = {.kind = kind,
                                            .weight = h->weight, /* NULL when borrowed */
                                            .bias = h->bias,
                                            .decision_shift = h->decision_shift}};
        if (kind == WN_EVICT_HEADS)
            r->cases[i].rule.offset = p->bias;
    }
}

/* The longest text, and what a repetition needs behind it, as far as the model reaches. */
static size_t most_tokens(const wn_kv_run_options *o)
{
    const size_t n_ctx = wn_model_config_of(o->model)->n_ctx;
    const size_t longest = o->lengths->at[o->lengths->n - 1];
    size_t n_given = 0, n_repeated = 0;
    wn_kv_copy_plan(longest, SIZE_MAX, &n_given, &n_repeated);
    const size_t n = longest + (o->copy ? n_repeated + WN_REPEAT_TEXT_EXTRA : 0);
    return n < n_ctx ? n : n_ctx;
}

wn_status wn_kv_run_open(wn_kv_run **out, const wn_kv_run_options *options, wn_error *err)
{
    wn_kv_run *r = wn_alloc(1, sizeof *r);
    if (!r)
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    r->o = *options;
    r->per_point = options->baselines ? 1 + WN_KV_BASELINES : 1;
    r->n_cases = options->heads->n_points * r->per_point;
    r->n_steps = options->n_texts * options->heads->n_points *
                 (2 + (options->baselines ? options->lengths->n : 0));
    r->cases = wn_alloc(r->n_cases, sizeof *r->cases);
    wn_status status = r->cases ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    const wn_kv_eval_options o = {
        .model = options->model,
        .compute = options->compute,
        .kv_format = options->kv_format,
        .n_max = most_tokens(options),
        .borrowed = options->heads->kind == WN_DMS_BORROWED ? options->heads : NULL};
    if (status == WN_OK)
        status = wn_kv_eval_open(&r->eval, &o, err);
    if (status == WN_OK && options->baselines)
        status = wn_kv_baselines_open(&r->baselines, o.model, o.n_max, err);
    if (status != WN_OK) {
        wn_kv_run_close(r);
        return status;
    }
    set_cases(r);
    *out = r;
    return WN_OK;
}

void wn_kv_run_close(wn_kv_run *r)
{
    if (!r)
        return;
    wn_kv_eval_close(r->eval);
    wn_kv_baselines_close(r->baselines);
    free(r->cases);
    free(r);
}

static wn_status step(wn_kv_run *r)
{
    r->n_done++;
    return r->o.progress ? r->o.progress(r->o.progress_ctx, r->n_done, r->n_steps) : WN_OK;
}

/* Every length by itself: as many bytes as the heads leave of that many tokens. */
static wn_status judge_baselines(wn_kv_run *r, wn_kv_case *cases, size_t n, wn_error *err)
{
    const wn_kv_lengths *lengths = r->o.lengths;
    const size_t window = cases[0].window;
    wn_kv_eval_row rows[WN_KV_MAX_LENGTHS] = {0};
    for (size_t i = 0; i < lengths->n && lengths->at[i] <= n; i++)
        if (lengths->at[i] > window + 1)
            wn_kv_eval_row_of(r->eval, lengths->at[i], lengths->at[i], &rows[i]);
    for (size_t i = 0; i < lengths->n && lengths->at[i] <= n; i++) {
        const size_t length = lengths->at[i];
        const wn_kv_match m = {
            .row = &rows[i], .n = length, .n_live = length, .judge_from = window, .line = i};
        if (length > window + 1) {
            wn_kv_eval_use(r->eval, length);
            WN_TRY(wn_kv_baselines_judge(r->baselines, r->eval, cases, &m, err));
        }
        WN_TRY(step(r));
    }
    wn_kv_eval_use(r->eval, n);
    return WN_OK;
}

static wn_status judge_reading(wn_kv_run *r, const int32_t *ids, size_t n, wn_error *err)
{
    WN_TRY(wn_kv_eval_read(r->eval, ids, n, err));
    for (size_t i = 0; i < r->n_cases; i += r->per_point) {
        wn_kv_case *cases = &r->cases[i];
        if (cases[0].window + 2 > n)
            continue; /* nothing is evicted */
        WN_TRY(wn_kv_case_read(r->eval, &cases[0], n, r->o.lengths, cases[0].window, err));
        WN_TRY(step(r));
        if (r->baselines)
            WN_TRY(judge_baselines(r, cases, n, err));
    }
    return WN_OK;
}

static wn_status judge_copying(wn_kv_run *r, const char *text, size_t len, wn_error *err)
{
    for (size_t i = 0; i < r->o.lengths->n; i++)
        WN_TRY(wn_kv_cases_copy(r->eval, r->baselines, r->o.model, r->cases, r->n_cases, text, len,
                                i, r->o.lengths->at[i], err));
    return WN_OK;
}

static wn_status judge_writing(wn_kv_run *r, const int32_t *ids, size_t n, wn_error *err)
{
    const size_t n_ctx = wn_model_config_of(r->o.model)->n_ctx;
    const wn_kv_reader_options o = {.model = r->o.model,
                                    .compute = r->o.compute,
                                    .kv_format = r->o.kv_format,
                                    .heads = r->o.heads,
                                    .n_ctx = n + r->o.n_write < n_ctx ? n + r->o.n_write : n_ctx};
    wn_kv_writer *w = NULL;
    wn_kv_place *places = wn_alloc(r->o.lengths->n, r->o.n_places * sizeof *places);
    wn_kv_agreement *sums = wn_alloc(WN_KV_MAX_LENGTHS, sizeof *sums);
    wn_status status =
        places && sums ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    if (status == WN_OK)
        status = wn_kv_writer_open(&w, &o, ids, places,
                                   wn_kv_places(r->o.lengths, n, r->o.n_places, places),
                                   r->o.n_write, err);
    for (size_t i = 0; status == WN_OK && i < r->o.heads->n_points; i++) {
        wn_kv_line *lines = r->cases[i * r->per_point].lines;
        for (size_t l = 0; l < r->o.lengths->n; l++)
            sums[l] = lines[l].agree;
        status = wn_kv_writer_judge(w, &r->o.heads->points[i], sums, err);
        for (size_t l = 0; l < r->o.lengths->n; l++)
            lines[l].agree = sums[l];
        if (status == WN_OK)
            status = step(r);
    }
    wn_kv_writer_close(w);
    free(places);
    free(sums);
    return status;
}

wn_status wn_kv_run_text(wn_kv_run *r, const char *name, const char *text, size_t len,
                         wn_error *err)
{
    const wn_kv_lengths *lengths = r->o.lengths;
    int32_t *ids = NULL;
    size_t n = 0, longest = 0;
    WN_TRY(wn_first_ids(r->o.model, text, len, lengths->at[lengths->n - 1], &ids, &n, err));
    for (size_t i = 0; i < lengths->n && lengths->at[i] <= n; i++)
        longest = lengths->at[i];
    wn_status status = WN_OK;
    if (longest == 0)
        status =
            wn_error_set(err, WN_INVALID, "%s: %zu tokens are less than every length", name, n);
    if (status == WN_OK)
        status = judge_reading(r, ids, longest, err);
    if (status == WN_OK && r->o.copy)
        status = judge_copying(r, text, len, err);
    if (status == WN_OK && r->o.n_places > 0)
        status = judge_writing(r, ids, longest, err);
    free(ids);
    return status;
}

const wn_kv_case *wn_kv_run_cases(const wn_kv_run *r, size_t *n_cases)
{
    *n_cases = r->n_cases;
    return r->cases;
}
