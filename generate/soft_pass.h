/* Rows behind a prefix whose keys are kept to a part, and the gradient of a loss of theirs with
 * respect to those parts: what eviction heads are distilled by (head_distill.h).
 *
 * A key of the prefix that is kept with probability p counts p times in the softmax of every row:
 * log p is added to its scores. Rows are pieces of text that stand behind the prefix, each as if it
 * were the only one; they see the prefix and their own piece up to themselves.
 *
 *     WN_TRY(wn_soft_pass_open(&p, model, compute, 400, 8000, err));
 *     WN_TRY(wn_soft_pass_run(p, &prefix, &rows, keys, err));      // the last hidden states
 *     ... d: what the loss owes wn_soft_pass_hidden(p), [n][d_model] ...
 *     WN_TRY(wn_soft_pass_back(p, d, keys, err));                  // keys[].grad
 *
 * The model is frozen: gradients flow through its activations only. Reverse mode by hand, layer by
 * layer; attention weights are computed again on the way back. f32 on a context that is exact;
 * elsewhere the forward pass has the rounding of a prompt, and its gradient goes straight through.
 * Memory: rows * n_layers * (4 d_model + 2 q_dim + 2 kv_dim + 2 d_ff) floats.
 * Threads: as the compute context.
 */
#ifndef WN_GENERATE_SOFT_PASS_H
#define WN_GENERATE_SOFT_PASS_H

#include "generate/model.h"

typedef struct wn_soft_pass wn_soft_pass;

typedef struct wn_soft_prefix {
    size_t n;              /* tokens */
    const float *const *k; /* [n_layers] of [n][n_kv_heads * head_dim], after RoPE */
    const float *const *v;
} wn_soft_prefix;

/* The keys of the prefix that one KV head has; others do not exist. */
typedef struct wn_soft_keys {
    const uint32_t *at;    /* [n] tokens of the prefix */
    const float *log_keep; /* [n], <= 0; NULL: all are kept whole */
    float *grad;           /* [n]: the loss by log_keep; NULL: not wanted */
    size_t n;
} wn_soft_keys;

typedef struct wn_soft_rows {
    const int32_t *ids;    /* [n] */
    const uint32_t *piece; /* [n]: row i belongs to piece piece[i]; each in one run */
    size_t n;
} wn_soft_rows;

/* At most so many rows, and keys of one KV head. */
wn_status wn_soft_pass_open(wn_soft_pass **out, const wn_model *m, wn_compute *c, size_t n_rows,
                            size_t n_keys, wn_error *err);
void wn_soft_pass_close(wn_soft_pass *p); /* NULL is fine */

/* keys: [n_layers][n_kv_heads]. prefix, rows and keys stay the caller's, until the way back. */
wn_status wn_soft_pass_run(wn_soft_pass *p, const wn_soft_prefix *prefix, const wn_soft_rows *rows,
                           const wn_soft_keys *keys, wn_error *err);
/* [n][d_model] behind the last layer, before the final norm. */
const float *wn_soft_pass_hidden(const wn_soft_pass *p);
/* Of the last run. d is changed. */
wn_status wn_soft_pass_back(wn_soft_pass *p, float *d, const wn_soft_keys *keys, wn_error *err);

/* dx += what x owes y = x / rms(x) * w; rows of d. */
void wn_rmsnorm_back(wn_compute *c, const float *x, const float *w, const float *dy, size_t m,
                     size_t d, float eps, float *dx);

#endif
