/* Attention of a soft pass (soft_pass.h), and its way back. Threads: as the compute context. */
#ifndef WN_GENERATE_SOFT_ATTENTION_H
#define WN_GENERATE_SOFT_ATTENTION_H

#include "generate/soft_pass.h"

typedef struct wn_soft_attention wn_soft_attention;

wn_status wn_soft_attention_open(wn_soft_attention **out, const wn_model *m, wn_compute *c,
                                 size_t n_rows, size_t n_keys, wn_error *err);
void wn_soft_attention_close(wn_soft_attention *a); /* NULL is fine */

/* One layer: n rows [n][n_heads or n_kv_heads][head_dim]. */
typedef struct wn_soft_layer_args {
    const float *prefix_k, *prefix_v;
    const wn_soft_keys *keys; /* [n_kv_heads] */
    const uint32_t *piece;
    size_t n;
    const float *q, *k, *v; /* after RoPE */
    float *attended;        /* written by the way forth, read by the way back */
} wn_soft_layer_args;

typedef struct wn_soft_layer_grads {
    const float *attended; /* what the loss owes it */
    float *q, *k, *v;      /* written */
} wn_soft_layer_grads;

wn_status wn_soft_attend(wn_soft_attention *a, const wn_soft_layer_args *y, wn_error *err);
/* Also writes keys[].grad. */
wn_status wn_soft_attend_back(wn_soft_attention *a, const wn_soft_layer_args *y,
                              const wn_soft_layer_grads *to, wn_error *err);

#endif
