/* What evicting keys costs: one text read twice, with all keys and with those that a rule leaves,
 * and the distributions of the next token compared. Reading is causal, so one pass of the longest
 * context gives the figures of all shorter ones.
 *
 *     wn_kv_eval_options o = {.model = m, .compute = c, .kv_format = WN_KV_INT8, .n_max = 8192};
 *     WN_TRY(wn_kv_eval_open(&e, &o, err));
 *     WN_TRY(wn_kv_eval_read(e, ids, n, err));               // all keys
 *     WN_TRY(wn_kv_eval_judge(e, &rule, 256, 256, err));     // the rule's
 *     wn_kv_eval_row_of(e, 4096, 4096, &row);
 *
 * The rule is applied within attention, as sessions apply it. Threads: as the compute context.
 */
#ifndef WN_API_KV_EVAL_H
#define WN_API_KV_EVAL_H

#include "generate/evict_rule.h"

typedef struct wn_kv_eval wn_kv_eval;

typedef struct wn_kv_eval_options {
    const wn_model *model;
    wn_compute *compute;
    wn_kv_format kv_format;
    size_t n_max;                 /* tokens of a text at most */
    const wn_dms_heads *borrowed; /* of the model, where it has such (text_pass.h) */
} wn_kv_eval_options;

/* Of the first n tokens. */
typedef struct wn_kv_eval_row {
    size_t n, n_judged;
    double slots, bytes;   /* dense slots / live slots; dense bf16 bytes / bytes of live pages */
    double log_pages;      /* pages of a head's keys beyond the window; the heads' average */
    double mean, p99, max; /* KL(all keys || the rule's), nats */
    double ppl, ppl_dense; /* perplexity of the judged tokens */
    double right, right_dense; /* share of them that were the likeliest */
} wn_kv_eval_row;

wn_status wn_kv_eval_open(wn_kv_eval **out, const wn_kv_eval_options *options, wn_error *err);
void wn_kv_eval_close(wn_kv_eval *e);
size_t wn_kv_eval_capacity(const wn_kv_eval *e); /* n_max */

/* Reads the text with all keys; n >= 2. */
wn_status wn_kv_eval_read(wn_kv_eval *e, const int32_t *ids, size_t n, wn_error *err);
/* From here on the text is the first n tokens of what was read, n >= 2: reading is causal, and
 * those do not change. */
void wn_kv_eval_use(wn_kv_eval *e, size_t n);
/* Reads it with the rule's. The distributions at positions from judge_from on are compared, which
 * is below n - 1. */
wn_status wn_kv_eval_judge(wn_kv_eval *e, const wn_evict_rule *rule, size_t window,
                           size_t judge_from, wn_error *err);
/* Of the judged tokens among the first n_prefix, with the slots of n_live tokens; n_prefix above
 * judge_from + 1, both at most the text. */
void wn_kv_eval_row_of(wn_kv_eval *e, size_t n_prefix, size_t n_live, wn_kv_eval_row *out);

/* Logits of the heads over the text that was read, all layers:
 * out [n_layers][n][n_kv_heads]. For choosing offsets. */
wn_status wn_kv_eval_logits(wn_kv_eval *e, const wn_evict_rule *rule, float *out, wn_error *err);
/* Losses of all keys of the text with that window: out [n_layers][n][n_kv_heads], for ORACLE. */
wn_status wn_kv_eval_losses(wn_kv_eval *e, size_t window, float *out, wn_error *err);

#endif
