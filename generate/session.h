/* One sequence in a model: its KV cache and the activations' scratch.
 *
 *     WN_TRY(wn_session_append(s, ids, n, NULL, NULL, err));   // appends n tokens
 *     while (...) { id = wn_sampler_next(...wn_session_logits(s)...); wn_session_decode(s, id,
 * err); }
 *
 *
 * Several sessions may take a token each in one step, which costs little more than one alone:
 *
 *     WN_TRY(wn_sessions_decode(sessions, n, ids, logits, &which, err));
 *
 * Threads: a session, its compute context and its pool belong to one thread at a time. Scratch is
 * taken at open; memory for keys and values comes from the pool as tokens arrive, and is refused
 * (WN_LIMIT) before it passes the pool's limit. Nothing is allocated on the token path.
 */
#ifndef WN_GENERATE_SESSION_H
#define WN_GENERATE_SESSION_H

#include "base/callbacks.h"
#include "base/strbuf.h"
#include "generate/dms_heads.h"
#include "generate/kv_pool.h"
#include "generate/model.h"

typedef struct wn_session wn_session;

typedef struct wn_token_range {
    size_t first, n; /* positions first .. first + n - 1 */
} wn_token_range;

#define WN_SESSION_MAX_KEEP 4

typedef struct wn_session_options {
    size_t n_ctx;   /* capacity in tokens; 0 = the model's */
    size_t n_chunk; /* prefill chunk in tokens; 0 = wn_compute_chunk */
    wn_kv_format kv_format;
    const wn_dms_heads *heads;  /* of this model; borrowed; NULL: dense, no key is ever dropped */
    const wn_dms_point *point;  /* copied; NULL: the heads' first */
    const wn_token_range *keep; /* [n_keep <= WN_SESSION_MAX_KEEP] whose tokens stay, whatever the
                                   heads say: instructions, the first few tokens; copied */
    size_t n_keep;
    bool resume;      /* with heads: truncate can go back into the last chunk of what was read last,
                         and to the cut before that, which costs the pages of one window and one
                         chunk; where the pool has no room for them, it cannot */
    wn_kv_pool *pool; /* of wn_session_pool_open, for sessions that share a limit and pages;
                         NULL: one of its own that n_ctx tokens fit into */
    size_t thin; /* for measurements, without heads: 0 = keep all keys; n = every KV head keeps the
                    last 256 tokens and about every n-th before them */
} wn_session_options;

wn_status wn_session_open(wn_session **out, const wn_model *m, wn_compute *c,
                          const wn_session_options *options, wn_error *err);
/* Another session with the same content, options and pool. Both share what is there; what either
 * adds is its own (a pool that a session has for itself is too small for two). */
wn_status wn_session_fork(wn_session **out, const wn_session *s, wn_error *err);
void wn_session_close(wn_session *s);

/* Appends the session's content to out; s is as before. */
wn_status wn_session_snapshot(const wn_session *s, wn_strbuf *out, wn_error *err);
/* Replaces the content of s by that of a snapshot, taken by the same build, on the same instruction
 * set, of a session with the same options and a model of the same shape (that it is the same model
 * is the caller's to know: wn_model_fingerprint). What follows has the bits that it would have had
 * there; logits come with the next token. WN_CONFLICT: the snapshot is of another kind of session;
 * WN_CORRUPT or WN_FORMAT: it is damaged; WN_LIMIT: no room; s is empty then. */
wn_status wn_session_restore(wn_session *s, const void *bytes, size_t len, wn_error *err);

/* What a session with these options needs of a pool at most, where it shares no pages. */
size_t wn_session_max_bytes(const wn_model *m, const wn_compute *c,
                            const wn_session_options *options);
/* What it takes beside that: activations of a chunk, and ids. */
size_t wn_session_scratch_bytes(const wn_model *m, const wn_compute *c,
                                const wn_session_options *options);
/* max_bytes: for the keys and values of all sessions with this model and format. */
wn_status wn_session_pool_open(wn_kv_pool **out, const wn_model *m, const wn_compute *c,
                               wn_kv_format format, size_t max_bytes, wn_error *err);

/* Reads n >= 1 tokens: appends them. However a text is cut into calls, the numbers are the same,
 * bit for bit; where keys are evicted, for one n_chunk. progress (may be NULL) is called after
 * every chunk with (tokens done, n) and may stop the work; whole chunks that ran stay in the
 * session then. WN_LIMIT when n_ctx would be passed (nothing is appended), WN_INVALID for an id
 * outside the vocabulary. */
wn_status wn_session_append(wn_session *s, const int32_t *ids, size_t n, wn_progress_fn progress,
                            void *progress_ctx, wn_error *err);
/* Appends one token that was just chosen: much faster than append for one token, and with numbers
 * that differ from it in the last places. */
wn_status wn_session_decode(wn_session *s, int32_t id, wn_error *err);
#define WN_SESSIONS_MAX 8
/* The same for n <= WN_SESSIONS_MAX different sessions of one model and compute context at once:
 * ids[i] is appended to sessions[i]. Each gets the bits that wn_session_decode gives it, and the
 * weights are read once for all of them. logits: f32 [n][n_vocab]; wn_session_logits has them, too.
 * WN_LIMIT or WN_INVALID for one session: *which (unless NULL) says for which, and nothing is
 * appended to any. Sessions that share a pool need room in it for all of them together. */
wn_status wn_sessions_decode(wn_session *const *sessions, size_t n, const int32_t *ids,
                             float *logits, size_t *which, wn_error *err);
/* f32 [n_vocab], of the last token of the last append or decode that returned WN_OK; valid until
 * the next. */
const float *wn_session_logits(const wn_session *s);
/* As append, and writes the logits of every one of the n tokens to out, f32 [n][n_vocab]. For
 * evaluation. */
wn_status wn_session_append_all_logits(wn_session *s, const int32_t *ids, size_t n, float *out,
                                       wn_error *err);

size_t wn_session_length(const wn_session *s); /* tokens held */
/* The first of them that were read, up to the first decoded one: keeping these instead of reading
 * them again changes no bit of what follows. */
size_t wn_session_n_read(const wn_session *s);
const int32_t *wn_session_ids(const wn_session *s);
/* Keeps the first n tokens and returns their number; where keys of them were evicted, fewer: those
 * that it can go back to (wn_session_options.resume), or 0. What is read from there on has the bits
 * of a session that read it all. Ids of the others are zeroed. */
size_t wn_session_truncate(wn_session *s, size_t n);
size_t wn_session_capacity(const wn_session *s);
/* Held for K and V now; what other sessions share counts in each. */
size_t wn_session_kv_bytes(const wn_session *s);
/* What the same tokens take without eviction, as bf16 and without any slack. */
size_t wn_session_dense_bytes(const wn_session *s);
/* Tokens that a KV head still has, and whether it has the one at a position. Dense: all. */
size_t wn_session_n_kept(const wn_session *s, size_t layer, size_t head);
bool wn_session_has(const wn_session *s, size_t layer, size_t head, size_t position);

#endif
