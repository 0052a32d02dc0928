/* A session's state, shared by session.c (memory, chunks), forward.c (the computation) and
 * eviction.c (which keys stay). */
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
    const wn_dms_heads *heads;
    wn_dms_point point; /* window 0: dense */
    wn_token_range keep[WN_SESSION_MAX_KEEP];
    size_t n_keep;
    size_t thin;
    uint8_t *evict; /* [n_chunk][n_kv_heads] one layer's decisions */
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
/* One layer's decisions for the n tokens in work, from s->h and s->q before RoPE, to the KV store;
 * a borrowed channel of q becomes 0. */
void wn_session_decide(wn_session *s, size_t layer, size_t n);
/* The borrowed channel becomes 0 after RoPE where the heads ask for that. */
void wn_session_clear_channel(wn_session *s, size_t n);
/* out[n][n_vocab] = logits of rows first .. first + n - 1 of s->x; changes s->h. */
void wn_session_project(wn_session *s, size_t first, size_t n, bool decode, float *out);

#endif
