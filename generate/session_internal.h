/* A session's state, shared by session.c (memory), session_marks.c (ways back), session_step.c
 * (tokens are appended), forward.c (the computation) and eviction.c (which keys stay). */
#ifndef WN_GENERATE_SESSION_INTERNAL_H
#define WN_GENERATE_SESSION_INTERNAL_H

#include "base/hash.h"
#include "generate/kv_store.h"
#include "generate/model_internal.h"
#include "generate/session.h"

/* What kv was after the first tokens, so that truncate can go back there. */
typedef struct session_mark {
    wn_kv_store *kv; /* NULL: not asked for */
    size_t length;   /* 0: none */
} session_mark;

enum {
    SESSION_MARK_CUT, /* the last cut between chunks of what was read last: for another question */
    SESSION_MARK_END, /* the end of that, before an answer was chosen: for the next turn behind it
                       */
    SESSION_MARKS
};

struct wn_session {
    const wn_model *model;
    wn_compute *compute;
    size_t n_ctx, n_chunk;
    size_t length;   /* tokens held */
    size_t n_read;   /* of them, from the first on, read: not decoded, nor behind a decoded one */
    int32_t *ids;    /* [n_ctx] */
    wn_kv_store *kv; /* K after RoPE */
    session_mark marks[SESSION_MARKS];
    const wn_dms_heads *heads;
    wn_dms_point point; /* window 0: dense */
    wn_token_range keep[WN_SESSION_MAX_KEEP];
    size_t n_keep;
    size_t thin;
    uint8_t *evict; /* [n_chunk][n_kv_heads] one layer's decisions */
    /* Scratch, f32 row-major with n_chunk rows and at least WN_SESSIONS_MAX: */
    float *x;             /* [d_model] residual stream */
    float *h;             /* [d_model] normed input, or a block's output */
    float *q, *attended;  /* [n_heads * head_dim] */
    float *new_k, *new_v; /* [n_kv_heads * head_dim] */
    float *inner;         /* [2][d_ff] */
    float *angles;        /* [head_dim] cosines and sines of the rows' positions */
    float *logits;        /* one row [n_vocab] */
};

/* Tokens that go through the model together, s->ids[length, length + n_each) of every session, as
 * rows of the first one's scratch: one session's after the other's. Reading: one session, n_each <=
 * n_chunk. Decoding: n_each = 1. */
typedef struct wn_session_rows {
    wn_session *const *sessions;
    size_t n, n_each;
    size_t n_outputs; /* the last rows of each whose last hidden states are wanted; decoding: 1 */
    bool decode;
} wn_session_rows;

/* The tokens' ids [n][n_each] are appended: they get slots, run, and belong to their sessions now.
 * WN_LIMIT where a pool is too small, *full is the session then and nothing has changed. */
wn_status wn_session_step(const wn_session_rows *r, const int32_t *ids, size_t *full,
                          wn_error *err);
/* A digest of all that has to agree for keys and values to mean the same, and for the bits of what
 * follows to be alike: shape, heads, KV format, chunk, instruction set; not which model. */
wn_status wn_session_kind(const wn_session *s, uint8_t digest[WN_SHA256_BYTES], wn_error *err);
/* What wn_session_truncate would return. */
size_t wn_session_can_keep(const wn_session *s, size_t n);
/* Replaces the content by the first n of these ids, all of which were read: the store's first n
 * tokens, of the same kind and pool. WN_LIMIT: no room; s is empty then. */
wn_status wn_session_set(wn_session *s, const int32_t *ids, size_t n, const wn_kv_store *kv,
                         wn_error *err);

/* session_marks.c; none of them can fail once they are open. */
wn_status wn_session_open_marks(wn_session *s, bool wanted, wn_error *err); /* kv is open */
void wn_session_close_marks(wn_session *s);
void wn_session_set_mark(wn_session *s, size_t which); /* here, if all until here was read */
/* Those behind n: truncate cannot go back there any more, their pages are free. Whether there were
 * any. */
bool wn_session_drop_marks(wn_session *s, size_t n);
/* The one with the most of the first n tokens, *length of them; NULL and 0: none. */
const session_mark *wn_session_mark_for(const wn_session *s, size_t n, size_t *length);
/* Of pages that only marks have. */
size_t wn_session_mark_bytes(const wn_session *s);
/* Of each list, that marks take at most. */
size_t wn_session_mark_pages(const wn_session *s);
size_t wn_session_pages_of_marks(size_t window, size_t n_chunk); /* window 0: dense */

/* Their K and V go to the caches, their last hidden states to x: those that are wanted, the others'
 * rows of x are not finished. */
void wn_session_forward(const wn_session_rows *r);
/* One layer's decisions for n tokens of s, from their rows of h and of q before RoPE, to the KV
 * store; a borrowed channel of q becomes 0. */
void wn_session_decide(wn_session *s, size_t layer, const float *h, float *q, size_t n);
/* The borrowed channel becomes 0 after RoPE where the heads ask for that. */
void wn_session_clear_channel(const wn_session *s, float *q, size_t n);
/* out[n][n_vocab] = logits of rows first .. first + n - 1 of s->x; changes s->h. */
void wn_session_project(wn_session *s, size_t first, size_t n, bool decode, float *out);

#endif
