/* Keys and values of one sequence: for every (layer, KV head) a list, in two parts.
 *
 *   tail  the last `window` tokens or some more, all of them, with an evict bit each; pages by
 *         position
 *   log   of the tokens before those, the ones that were not evicted, in order
 *
 * A token that leaves the window is appended to the log if it was kept and dropped if not: key k is
 * visible to query q iff k <= q and (q - k <= window or k is not evicted). Without a window (dense)
 * the tail is everything. The state after n tokens depends on those tokens and decisions only.
 *
 *     WN_TRY(wn_kv_store_extend(s, n, s_length + n, err));   // slots for the next n tokens
 *     wn_kv_store_write(s, compute, layer, k, v, n);         // for every layer
 *     wn_kv_store_decide(s, layer, s_length, n, evict);      // likewise; not when dense
 *     wn_kv_store_view(s, layer, n, &attention_args);
 *     wn_kv_store_advance(s, n, s_length + n);               // they belong to the sequence now
 *
 * Pages come from a pool that stores may share. A fork shares all its pages; who writes into a
 * shared one copies it first, which only the last page of a log or tail ever needs. Nothing but
 * open, fork, extend and load can fail. Threads: one at a time per pool.
 */
#ifndef WN_GENERATE_KV_STORE_H
#define WN_GENERATE_KV_STORE_H

#include "base/status.h"
#include "base/strbuf.h"
#include "generate/kv_pool.h"
#include "kernels/compute.h"

typedef struct wn_kv_store wn_kv_store;

#define WN_KV_BACK 4 /* tokens that a state which is kept can be shortened by, at least */

typedef struct wn_kv_store_options {
    wn_kv_format format; /* not AUTO */
    size_t head_dim, n_layers, n_kv_heads;
    size_t n_ctx;     /* tokens at most */
    size_t n_chunk;   /* tokens of one extension at most */
    size_t window;    /* tokens; 0: dense, nothing is ever evicted */
    wn_kv_pool *pool; /* shared; NULL: one of its own that n_ctx tokens fit into */
    size_t n_spare;   /* pages more of that, for each list: for a copy that keeps what s drops */
} wn_kv_store_options;

/* WN_INVALID when the pool's pages have another size. */
wn_status wn_kv_store_open(wn_kv_store **out, const wn_kv_store_options *options, wn_error *err);
/* A store with the same content and pool; they part ways from here. */
wn_status wn_kv_store_fork(wn_kv_store **out, const wn_kv_store *s, wn_error *err);
/* The same to be kept, in as few bytes as later tokens need, and those that follow when it is
 * shortened by WN_KV_BACK: it may be unpacked, saved through a span, closed, and asked what it has;
 * nothing else where its tail starts later than at 0. */
wn_status wn_kv_store_pack(wn_kv_store **out, const wn_kv_store *s, wn_error *err);
/* Replaces the content of s by the first n tokens of another store with the same options and pool,
 * n_ctx aside, which n has to fit into: all of them, or fewer where that other one could be
 * truncated to them. */
void wn_kv_store_copy(wn_kv_store *s, const wn_kv_store *from, size_t n);
/* Replaces the content of s by all that a packed store has, on these threads. WN_LIMIT where the
 * pool has not the pages; s is empty then. */
wn_status wn_kv_store_unpack(wn_kv_store *s, const wn_kv_store *packed, wn_thread_pool *threads,
                             wn_error *err);
void wn_kv_store_close(wn_kv_store *s); /* NULL is fine */

/* Takes slots for n <= n_chunk tokens behind the sequence. WN_LIMIT, and nothing has changed, where
 * the pool has not the pages that these and an advance with this `settled` may need. */
wn_status wn_kv_store_extend(wn_kv_store *s, size_t n, size_t settled, wn_error *err);
/* The same for each of several stores, all or none of them; settled [n_stores]. WN_LIMIT: *full is
 * the first for which its pool has not the pages beside those of the stores before it. */
wn_status wn_kv_stores_extend(wn_kv_store *const *stores, size_t n_stores, size_t n,
                              const size_t *settled, size_t *full, wn_error *err);
/* Rounds and writes K and V of these n tokens, rows [n][n_kv_heads * head_dim]. */
void wn_kv_store_write(wn_kv_store *s, wn_compute *c, size_t layer, const float *k, const float *v,
                       size_t n);
/* evict [n][n_kv_heads], 0 or 1: whether the tokens at positions first .. first + n - 1 go once
 * they have left the window; they have slots and are still inside it. A token without a decision
 * stays.
 */
void wn_kv_store_decide(wn_kv_store *s, size_t layer, size_t first, size_t n, const uint8_t *evict);
/* Fills layout, heads, tail and window of args, these n tokens included. */
void wn_kv_store_view(wn_kv_store *s, size_t layer, size_t n, wn_attention_args *args);
/* The sequence grows by these n tokens. What a query at position `settled`, at most the length
 * then, no longer has in its window goes to the log or away: the tail starts settled - window from
 * here on, unless it starts later already. */
void wn_kv_store_advance(wn_kv_store *s, size_t n, size_t settled);

/* Keeps the first n tokens and gives memory back. Where tokens of them, or of the window before
 * them, were dropped already nothing is kept. Returns the tokens kept. */
size_t wn_kv_store_truncate(wn_kv_store *s, size_t n);
/* The fewest tokens, but for none, that truncate and copy can keep of it: the state after them is
 * in it, since nothing has left the tail after that. */
size_t wn_kv_store_back_to(const wn_kv_store *s);
/* Whether it has what it needs to be kept: not where one that was kept has been shortened. */
bool wn_kv_store_is_whole(const wn_kv_store *s);

void wn_kv_store_trim(wn_kv_store *s); /* gives the pool's free memory back, all but a little */

/* Pages, shared ones included, what is packed, and what the lists themselves take. */
size_t wn_kv_store_bytes(const wn_kv_store *s);
/* Of pages that none of these n stores has, forks or copies of the same sequence. */
size_t wn_kv_store_bytes_beside(const wn_kv_store *s, const wn_kv_store *const *others, size_t n);
/* Tokens that this head still has: its log and its tail. */
size_t wn_kv_store_n_kept(const wn_kv_store *s, size_t layer, size_t head);
/* Whether it has the one at this position. */
bool wn_kv_store_has(const wn_kv_store *s, size_t layer, size_t head, size_t position);

/* Appends the content to out: decisions, then the slots in use, nothing else of the pages. */
wn_status wn_kv_store_save(const wn_kv_store *s, wn_strbuf *out, wn_error *err);
/* Replaces the content by what a store of the same options saved when it held `length` tokens and
 * its tail began at tail_first. WN_FORMAT where that cannot be, WN_LIMIT where the pool is too
 * small for it; the store is empty then. */
wn_status wn_kv_store_load(wn_kv_store *s, size_t length, size_t tail_first, const uint8_t *bytes,
                           size_t len, wn_error *err);
size_t wn_kv_store_tail_first(const wn_kv_store *s);
wn_kv_format wn_kv_store_format(const wn_kv_store *s);

#endif
