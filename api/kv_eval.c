#include "api/kv_eval.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/kv_eval_internal.h"
#include "base/checked.h"

#define ROWS 64 /* of logits in work at a time */

static wn_status carve(wn_kv_eval *e, wn_error *err)
{
    const size_t n = e->o.n_max;
    e->ids = wn_alloc(n, sizeof *e->ids);
    e->evicted = wn_alloc(e->n_lists, e->n_words * sizeof *e->evicted);
    e->dense_logits = wn_alloc(e->g->n_vocab, ROWS * sizeof *e->dense_logits);
    e->thin_logits = wn_alloc(e->g->n_vocab, ROWS * sizeof *e->thin_logits);
    e->tokens = wn_alloc(n, sizeof *e->tokens);
    e->right = wn_alloc(n, sizeof *e->right);
    e->right_dense = wn_alloc(n, sizeof *e->right_dense);
    e->sorted = wn_alloc(n, sizeof *e->sorted);
    if (!e->ids || !e->evicted || !e->dense_logits || !e->thin_logits || !e->tokens || !e->right ||
        !e->right_dense || !e->sorted)
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: no memory for %zu tokens", n);
    return WN_OK;
}

wn_status wn_kv_eval_open(wn_kv_eval **out, const wn_kv_eval_options *options, wn_error *err)
{
    wn_kv_eval *e = wn_alloc(1, sizeof *e);
    if (!e)
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    e->o = *options;
    e->g = wn_model_config_of(options->model);
    e->o.kv_format = wn_model_kv_format(options->model, options->compute, options->kv_format);
    e->layout = wn_kv_layout_of(e->o.kv_format, e->g->head_dim);
    e->n_lists = e->g->n_layers * e->g->n_kv_heads;
    e->n_words = (options->n_max + 63) / 64;
    const wn_text_pass_options po = {
        .n_max = options->n_max, .kv_format = e->o.kv_format, .borrowed = options->borrowed};
    wn_status status = wn_text_pass_open(&e->dense, options->model, options->compute, &po, err);
    if (status == WN_OK)
        status = wn_text_pass_open(&e->thin, options->model, options->compute, &po, err);
    if (status == WN_OK)
        status = carve(e, err);
    if (status != WN_OK) {
        wn_kv_eval_close(e);
        return status;
    }
    *out = e;
    return WN_OK;
}

void wn_kv_eval_close(wn_kv_eval *e)
{
    if (!e)
        return;
    wn_text_pass_close(e->dense);
    wn_text_pass_close(e->thin);
    free(e->ids);
    free(e->evicted);
    free(e->dense_logits);
    free(e->thin_logits);
    free(e->tokens);
    free(e->right);
    free(e->right_dense);
    free(e->sorted);
    free(e);
}

size_t wn_kv_eval_capacity(const wn_kv_eval *e)
{
    return e->o.n_max;
}

wn_status wn_kv_eval_read(wn_kv_eval *e, const int32_t *ids, size_t n, wn_error *err)
{
    if (n < 2 || n > e->o.n_max)
        return wn_error_set(err, WN_INVALID, "eval kv: a text of %zu tokens (2 to %zu fit)", n,
                            e->o.n_max);
    memcpy(e->ids, ids, n * sizeof *ids);
    e->n_read = e->n = n;
    wn_text_pass_run(e->dense, ids, n, NULL);
    return WN_OK;
}

void wn_kv_eval_use(wn_kv_eval *e, size_t n)
{
    assert(n >= 2 && n <= e->n_read);
    e->n = n;
}

static void decide(void *ctx, const wn_text_layer *y)
{
    wn_kv_eval *e = ctx;
    if (e->status == WN_OK)
        e->status = wn_evict_rule_decide(e->rule, e->o.model, e->o.compute, y, e->err);
    for (size_t h = 0; h < e->g->n_kv_heads; h++)
        memcpy(e->evicted + (y->layer * e->g->n_kv_heads + h) * e->n_words,
               y->evicted + h * y->n_words, e->n_words * sizeof *e->evicted);
}

typedef struct compare_run {
    wn_kv_eval *e;
    size_t first; /* position of row 0 */
} compare_run;

static bool is_likeliest(const float *logits, size_t n, int32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (logits[i] > logits[id])
            return false;
    return true;
}

static void compare_row(void *ctx, size_t row, size_t worker)
{
    const compare_run *r = ctx;
    wn_kv_eval *e = r->e;
    const size_t n_vocab = e->g->n_vocab, at = r->first + row;
    const float *thin = e->thin_logits + row * n_vocab, *dense = e->dense_logits + row * n_vocab;
    const int32_t next = e->ids[at + 1];
    (void)worker;
    e->tokens[at] = wn_kld_compare(thin, dense, n_vocab, next);
    e->right[at] = is_likeliest(thin, n_vocab, next);
    e->right_dense[at] = is_likeliest(dense, n_vocab, next);
}

wn_status wn_kv_eval_judge(wn_kv_eval *e, const wn_evict_rule *rule, size_t window,
                           size_t judge_from, wn_error *err)
{
    if (judge_from + 1 >= e->n)
        return wn_error_set(err, WN_INVALID, "eval kv: nothing to judge beyond %zu of %zu tokens",
                            judge_from, e->n);
    e->judge_from = judge_from;
    e->rule = rule;
    e->window = window;
    e->status = WN_OK;
    e->err = err;
    const wn_text_pass_hooks hooks = {.window = window, .decide = decide, .ctx = e};
    wn_text_pass_run(e->thin, e->ids, e->n, &hooks);
    WN_TRY(e->status);
    for (size_t at = e->judge_from; at + 1 < e->n; at += ROWS) {
        const size_t n = e->n - 1 - at < ROWS ? e->n - 1 - at : ROWS;
        compare_run r = {e, at};
        wn_text_pass_logits(e->dense, at, n, e->dense_logits);
        wn_text_pass_logits(e->thin, at, n, e->thin_logits);
        wn_thread_pool_run(wn_compute_pool(e->o.compute), n, compare_row, &r);
    }
    return WN_OK;
}

static void gather_logits(void *ctx, const wn_text_layer *y)
{
    wn_kv_eval *e = ctx;
    if (e->status == WN_OK)
        e->status = wn_evict_logits(e->rule, e->o.model, e->o.compute, y,
                                    e->out + y->layer * y->n * e->g->n_kv_heads, e->err);
}

static void gather_losses(void *ctx, const wn_text_layer *y)
{
    wn_kv_eval *e = ctx;
    if (e->status == WN_OK)
        e->status = wn_key_loss_layer(e->loss, y, y->n, e->out + y->layer * y->n * e->g->n_kv_heads,
                                      e->err);
}

/* Runs the text with all keys through one of these. */
static wn_status gather(wn_kv_eval *e, void (*see)(void *, const wn_text_layer *), float *out,
                        wn_error *err)
{
    e->out = out;
    e->status = WN_OK;
    e->err = err;
    wn_text_pass_run(e->thin, e->ids, e->n, &(wn_text_pass_hooks){.observe = see, .ctx = e});
    return e->status;
}

wn_status wn_kv_eval_logits(wn_kv_eval *e, const wn_evict_rule *rule, float *out, wn_error *err)
{
    e->rule = rule;
    return gather(e, gather_logits, out, err);
}

wn_status wn_kv_eval_losses(wn_kv_eval *e, size_t window, float *out, wn_error *err)
{
    WN_TRY(wn_key_loss_open(&e->loss, e->o.model, e->o.compute, e->n, window, err));
    wn_status status = gather(e, gather_losses, out, err);
    wn_key_loss_close(e->loss);
    e->loss = NULL;
    return status;
}
