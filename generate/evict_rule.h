/* Ways to decide which keys are evicted from a whole text (text_pass.h): eviction heads, and what
 * they are compared with.
 *
 *     wn_evict_rule r = {.kind = WN_EVICT_HEADS, .weight = w, .bias = b, .offset = -9};
 *     wn_evict_rule_decide(&r, model, compute, layer);        // in a pass's decide
 *
 * Threads: as the compute context.
 */
#ifndef WN_GENERATE_EVICT_RULE_H
#define WN_GENERATE_EVICT_RULE_H

#include "generate/text_pass.h"

typedef enum wn_evict_kind {
    WN_EVICT_HEADS,    /* logit + offset > 0; the heads are linear, or the model's own */
    WN_EVICT_WINDOW,   /* all but the first 4 tokens */
    WN_EVICT_RANDOM,   /* all but some at random, and the first 4 */
    WN_EVICT_KEY_NORM, /* all but those with the smallest keys, and the first 4 */
    WN_EVICT_ORACLE,   /* those whose loss is below e^offset; the loss is known from the future */
} wn_evict_kind;

const char *wn_evict_kind_name(wn_evict_kind kind); /* "low key norm" */

typedef struct wn_evict_rule {
    wn_evict_kind kind;
    const float *weight, *bias; /* HEADS: [n_layers][n_kv_heads][d_model], [n_layers][n_kv_heads];
                                   NULL: borrowed ones, which the pass knows (text_pass.h) */
    size_t decision_shift;      /* HEADS: the logit of token t is about token t - this */
    float offset;               /* HEADS, ORACLE */
    double pages; /* RANDOM, KEY_NORM: each head keeps so many pages of WN_KV_SLOTS keys of the */
    size_t among; /* first `among` tokens, in whole ones: the heads' average; of later tokens those
                     that would have been kept there */
    const float *loss; /* ORACLE: [n_layers][loss_n][n_kv_heads] (key_loss.h) */
    size_t loss_n;
} wn_evict_rule;

/* Sets bits of layer->evicted. Scratch is allocated; WN_NO_MEMORY then leaves them as they are. */
wn_status wn_evict_rule_decide(const wn_evict_rule *r, const wn_model *m, wn_compute *c,
                               const wn_text_layer *layer, wn_error *err);
/* Logits of the heads of one layer, without the offset: out [n][n_kv_heads]. */
wn_status wn_evict_logits(const wn_evict_rule *r, const wn_model *m, wn_compute *c,
                          const wn_text_layer *layer, float *out, wn_error *err);

#endif
