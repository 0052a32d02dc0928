/* winnow eval kv */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli_eval_engine.h"
#include "api/kv_table.h"
#include "api/terminal.h"
#include "base/checked.h"
#include "base/fs.h"
#include "generate/dms_heads.h"
#include "generate/repeat_text.h"

#define MAX_TEXT_BYTES ((size_t)64 << 20)
#define MAX_COPY_TOKENS 2048 /* a text to repeat; the model reads it twice */
#define N_BASELINES 4        /* of every operating point */
#define SINKS 4

typedef struct kv_run {
    const wn_model *model;
    wn_dms_heads *heads;
    wn_kv_eval *eval;
    wn_kv_lengths lengths;
    size_t n_max;
    wn_kv_case *cases; /* one a point, and its baselines behind each where they are wanted */
    size_t n_cases, per_point;
    bool copy;
    uint64_t n_done, n_steps;
} kv_run;

static void set_cases(kv_run *r)
{
    const wn_dms_heads *h = r->heads;
    for (size_t i = 0; i < r->n_cases; i++) {
        const size_t kind = i % r->per_point;
        const wn_dms_point *p = &h->points[i / r->per_point];
        r->cases[i] = (wn_kv_case){.name = wn_evict_kind_name((wn_evict_kind)kind),
                                   .window = p->window,
                                   .mark = p->ratio,
                                   .rule = {.kind = (wn_evict_kind)kind,
                                            .weight = h->weight, /* NULL when borrowed */
                                            .bias = h->bias,
                                            .decision_shift = h->decision_shift}};
        if (kind == WN_EVICT_HEADS)
            r->cases[i].rule.offset = p->bias;
    }
}

/* The window's own tokens aside, as many slots as the heads left of n tokens. */
static void match_slots(const kv_run *r, wn_kv_case *c, const wn_kv_case *heads, double slots,
                        size_t n, float *losses, const float *all_losses)
{
    const double live = (double)n / slots, window = (double)heads->window;
    const double share = fmax(0, (live - window) / ((double)n - window));
    const wn_model_config *g = wn_model_config_of(r->model);
    c->rule.keep = share;
    if (c->rule.kind == WN_EVICT_WINDOW)
        c->window = live > SINKS + 1 ? (size_t)live - SINKS : 1;
    if (c->rule.kind != WN_EVICT_ORACLE)
        return;
    const size_t far = (n - heads->window) * g->n_kv_heads;
    for (size_t l = 0; l < g->n_layers; l++)
        memcpy(losses + l * far, all_losses + l * n * g->n_kv_heads, far * sizeof *losses);
    const size_t n_values = g->n_layers * far;
    const float least = wn_kv_offset(losses, n_values, (size_t)(share * (double)n_values), true);
    c->rule.offset = logf(fmaxf(least, 0) + 1e-30f);
    c->rule.loss = all_losses;
    c->rule.loss_n = n;
}

static wn_status step(kv_run *r)
{
    wn_progress_bar("Judging", ++r->n_done, r->n_steps, false, "");
    return WN_OK;
}

static wn_status judge_point(kv_run *r, wn_kv_case *cases, size_t n, float *losses, wn_error *err)
{
    const size_t window = cases[0].window;
    const wn_model_config *g = wn_model_config_of(r->model);
    if (window + 2 > n)
        return WN_OK; /* nothing is evicted */
    WN_TRY(wn_kv_case_read(r->eval, &cases[0], n, &r->lengths, window, err));
    WN_TRY(step(r));
    const double slots = wn_kv_slots(r->eval, n);
    if (r->per_point > WN_EVICT_ORACLE)
        WN_TRY(wn_kv_eval_losses(r->eval, window, losses, err));
    for (size_t i = 1; i < r->per_point; i++) {
        match_slots(r, &cases[i], &cases[0], slots, n, losses + n * g->n_layers * g->n_kv_heads,
                    losses);
        WN_TRY(wn_kv_case_read(r->eval, &cases[i], n, &r->lengths, window, err));
        WN_TRY(step(r));
    }
    return WN_OK;
}

static wn_status judge_copying(kv_run *r, const wn_strbuf *text, wn_error *err)
{
    for (size_t i = 0; i < r->lengths.n; i++) {
        const size_t n = r->lengths.at[i];
        if (n <= MAX_COPY_TOKENS && 2 * n + WN_REPEAT_TEXT_EXTRA <= r->n_max)
            for (size_t c = 0; c < r->n_cases; c += r->per_point) /* the heads' alone */
                if (r->cases[c].window < n)
                    WN_TRY(wn_kv_cases_copy(r->eval, r->model, &r->cases[c], 1, text->data,
                                            text->len, i, n, err));
    }
    return WN_OK;
}

static size_t longest_within(const wn_kv_lengths *lengths, size_t n)
{
    size_t longest = 0;
    for (size_t i = 0; i < lengths->n && lengths->at[i] <= n; i++)
        longest = lengths->at[i];
    return longest;
}

static wn_status judge_text(kv_run *r, const char *path, wn_error *err)
{
    wn_strbuf text = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    const wn_model_config *g = wn_model_config_of(r->model);
    float *losses = NULL;
    wn_status status = wn_fs_read(&text, path, MAX_TEXT_BYTES, err);
    if (status == WN_OK)
        status = wn_first_ids(r->model, text.data ? text.data : "", text.len,
                              r->lengths.at[r->lengths.n - 1], &ids, &n, err);
    if (status == WN_OK && r->lengths.at[0] > n)
        status =
            wn_error_set(err, WN_INVALID, "%s: %zu tokens are less than every length", path, n);
    if (status == WN_OK) {
        n = longest_within(&r->lengths, n);
        losses = r->per_point > WN_EVICT_ORACLE
                     ? wn_alloc(2 * n, g->n_layers * g->n_kv_heads * sizeof *losses)
                     : NULL;
        if (r->per_point > WN_EVICT_ORACLE && !losses)
            status = wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    }
    if (status == WN_OK)
        status = wn_kv_eval_read(r->eval, ids, n, err);
    for (size_t i = 0; status == WN_OK && i < r->n_cases; i += r->per_point)
        status = judge_point(r, &r->cases[i], n, losses, err);
    if (status == WN_OK && r->copy)
        status = judge_copying(r, &text, err);
    free(losses);
    free(ids);
    wn_strbuf_free(&text);
    return status;
}

static wn_status open_run(kv_run *r, wn_cli *cli, const char *heads, wn_error *err)
{
    wn_service *service = NULL;
    const wn_options *co = cli->options;
    WN_TRY(wn_kv_lengths_parse(wn_options_str(co, "lengths"), &r->lengths, err));
    WN_TRY(wn_cli_service(cli, &service, err));
    WN_TRY(wn_service_generator(service, &r->model, err));
    WN_TRY(wn_dms_heads_open(&r->heads, r->model, heads, err));
    if (!r->heads)
        return wn_error_set(err, WN_INVALID, "eval kv needs --heads FILE: %s carries no heads",
                            wn_model_name(r->model));
    const size_t n_ctx = wn_model_config_of(r->model)->n_ctx;
    while (r->lengths.n > 0 && r->lengths.at[r->lengths.n - 1] > n_ctx)
        r->lengths.n--;
    if (r->lengths.n == 0)
        return wn_error_set(err, WN_INVALID,
                            "eval kv: every length is above the %zu positions of "
                            "the model",
                            n_ctx);
    r->copy = wn_options_bool(co, "copy");
    r->n_max = r->lengths.at[r->lengths.n - 1];
    if (r->copy && r->n_max < 2 * MAX_COPY_TOKENS + WN_REPEAT_TEXT_EXTRA)
        r->n_max = 2 * MAX_COPY_TOKENS + WN_REPEAT_TEXT_EXTRA < n_ctx
                       ? 2 * MAX_COPY_TOKENS + WN_REPEAT_TEXT_EXTRA
                       : n_ctx;
    r->per_point = wn_options_bool(co, "baselines") ? 1 + N_BASELINES : 1;
    r->n_cases = r->heads->n_points * r->per_point;
    r->cases = wn_alloc(r->n_cases, sizeof *r->cases);
    if (!r->cases)
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    set_cases(r);
    const wn_kv_eval_options o = {.model = r->model,
                                  .compute = wn_service_compute(service),
                                  .kv_format = wn_service_kv_format(service),
                                  .n_max = r->n_max,
                                  .borrowed = r->heads->kind == WN_DMS_BORROWED ? r->heads : NULL};
    return wn_kv_eval_open(&r->eval, &o, err);
}

static void print(const wn_cli *cli, const kv_run *r)
{
    if (!cli->json) {
        wn_kv_table_print(r->cases, r->n_cases, &r->lengths);
        return;
    }
    wn_cli_print_json(json_pack("{s:s, s:s, s:o}", "model", wn_model_name(r->model), "kv_format",
                                wn_kv_format_name(wn_service_kv_format(cli->service)), "rows",
                                wn_kv_table_json(r->cases, r->n_cases, &r->lengths)));
}

wn_status wn_cli_eval_kv(wn_cli *cli, wn_error *err)
{
    kv_run r = {0};
    const char *first = wn_options_str(cli->options, "text");
    const char *heads = wn_options_str(cli->options, "heads");
    if (!first)
        return wn_error_set(err, WN_INVALID, "eval kv needs --text FILE...");
    wn_status status = open_run(&r, cli, heads, err);
    r.n_steps = (uint64_t)cli->argc * r.n_cases; /* argv[0] is the verb */
    if (status == WN_OK)
        status = judge_text(&r, first, err);
    for (int i = 1; status == WN_OK && i < cli->argc; i++)
        status = judge_text(&r, cli->argv[i], err);
    wn_progress_clear();
    if (status == WN_OK)
        print(cli, &r);
    wn_kv_eval_close(r.eval);
    wn_dms_heads_close(r.heads);
    free(r.cases);
    return status;
}
