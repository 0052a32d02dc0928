/* Keys and values of one sequence: for every (layer, KV head) a list, in two parts.
 *
 *   tail  the last `window` tokens, all of them, with an evict bit each; pages by position
 *   log   of the tokens before those, the ones that were not evicted, in order
 *
 * A token that leaves the window is appended to the log if it was kept and dropped if not. Without
 * a window (dense) the tail is everything. The state after n tokens depends on those tokens only.
 *
 *     wn_kv_store_extend(s, n);                              // slots for the next n tokens
 *     wn_kv_store_write(s, compute, layer, k, v, n);         // for every layer
 *     wn_kv_store_view(s, layer, n, &attention_args);
 *     wn_kv_store_advance(s, n);                             // they belong to the sequence now
 *
 * Pages come from one block of address space that is filled as tokens arrive; nothing here fails
 * after open. Threads: one at a time.
 */
#ifndef WN_GENERATE_KV_STORE_H
#define WN_GENERATE_KV_STORE_H

#include "base/status.h"
#include "kernels/compute.h"

typedef struct wn_kv_store wn_kv_store;

typedef struct wn_kv_store_options {
    wn_kv_format format; /* not AUTO */
    size_t head_dim, n_layers, n_kv_heads;
    size_t n_ctx;   /* tokens at most */
    size_t n_chunk; /* tokens of one extension at most */
    size_t window;  /* used with thin */
    size_t thin;    /* 0: dense. n: every head evicts all but about every n-th token, by a fixed
                       pattern. For measurements of speed and memory */
} wn_kv_store_options;

wn_status wn_kv_store_open(wn_kv_store **out, const wn_kv_store_options *options, wn_error *err);
void wn_kv_store_close(wn_kv_store *s);

/* Takes slots for n <= n_chunk tokens behind the sequence. */
void wn_kv_store_extend(wn_kv_store *s, size_t n);
/* Rounds and writes K and V of these n tokens, rows [n][n_kv_heads * head_dim]. */
void wn_kv_store_write(wn_kv_store *s, wn_compute *c, size_t layer, const float *k, const float *v,
                       size_t n);
/* Fills layout, heads, tail and window of args, these n tokens included. */
void wn_kv_store_view(wn_kv_store *s, size_t layer, size_t n, wn_attention_args *args);
/* The sequence grows by these n tokens; what leaves the window goes to the log or away. */
void wn_kv_store_advance(wn_kv_store *s, size_t n);

/* Keeps the first n tokens and gives memory back. Where tokens of them, or of the window before
 * them, were dropped already nothing is kept. Returns the tokens kept. */
size_t wn_kv_store_truncate(wn_kv_store *s, size_t n);

size_t wn_kv_store_bytes(const wn_kv_store *s); /* that hold or have held tokens; lists included */

#endif
