/* A session's state, shared by session.c (memory, chunks) and forward.c (the computation). */
#ifndef WN_GENERATE_SESSION_INTERNAL_H
#define WN_GENERATE_SESSION_INTERNAL_H

#include "generate/kv_store.h"
#include "generate/model_internal.h"
#include "generate/session.h"

struct wn_session {
    const wn_model *model;
    wn_compute *compute;
    size_t n_ctx, n_chunk;
    size_t length;   /* tokens held */
    size_t n_read;   /* of them, from the first on, read: not decoded, nor behind a decoded one */
    int32_t *ids;    /* [n_ctx] */
    wn_kv_store *kv; /* K after RoPE */
    /* Scratch, f32 row-major with n_chunk rows: */
    float *x;             /* [d_model] residual stream */
    float *h;             /* [d_model] normed input, or a block's output */
    float *q, *attended;  /* [n_heads * head_dim] */
    float *new_k, *new_v; /* [n_kv_heads * head_dim] */
    float *inner;         /* [2][d_ff] */
    float *angles;        /* [head_dim] cosines and sines of the rows' positions */
    float *logits;        /* one row [n_vocab] */
};

/* Runs the n tokens s->ids[length, length + n), n <= n_chunk: their K and V go to the cache, their
 * last hidden states to s->x. s->length stays. */
void wn_session_forward(wn_session *s, size_t n, bool decode);
/* out[n][n_vocab] = logits of rows first .. first + n - 1 of s->x; changes s->h. */
void wn_session_project(wn_session *s, size_t first, size_t n, bool decode, float *out);

#endif
