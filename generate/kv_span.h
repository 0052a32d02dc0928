/* What a KV store holds beyond an earlier state of the same sequence, to a file and back: bytes go
 * straight between file and pages, layer by layer on several threads, and through AES-GMAC there.
 *
 *     WN_TRY(wn_kv_span_open(&span, s, from, from_tail, to, to_tail, err));    // writing
 *     WN_TRY(wn_kv_span_begin(&span, s, from, from_tail, to, to_tail, bits, with_tail, err));
 *                                                          // or reading: s is at `from` before
 *     WN_TRY(wn_kv_span_move(&span, &how, err));
 *     wn_kv_span_close(&span);
 *
 * Two sections: what the logs have more than the earlier state's, and the tail at the end (dense:
 * what it has more; where it starts later than at 0: what of it later queries can see). The evict
 * bits, from the word of the earlier tail's first position on, say how long both are; they are the
 * caller's to store. A state of `to` tokens is built from spans that follow one another; all but
 * the last of them need no tail. Threads: as the store; writing only reads pages, which another
 * thread may do while nobody gives them back.
 */
#ifndef WN_GENERATE_KV_SPAN_H
#define WN_GENERATE_KV_SPAN_H

#include "base/hash.h"
#include "base/thread_pool.h"
#include "generate/kv_store.h"

typedef struct wn_kv_span {
    wn_kv_store *s;                      /* writing: its pages are read only */
    size_t from, from_tail, to, to_tail; /* tokens and where tails start */
    size_t n_layers, n_kv_heads;
    size_t *log_at, *tail_at; /* [n_layers + 1] bytes in each section */
    uint8_t *digests;         /* [2][n_layers][WN_GMAC_BYTES] of layers' bytes, logs first */
    bool with_tail;
} wn_kv_span;

typedef struct wn_kv_span_io {
    int fd;
    uint64_t log_at, tail_at; /* bytes from the file's start */
    bool write;
    const uint8_t *digest_key; /* [WN_GMAC_KEY_BYTES]; digests stay inside */
    wn_thread_pool *pool;      /* NULL: this thread alone */
} wn_kv_span_io;

/* Bytes of evict bits of all lists; 0 when dense. */
size_t wn_kv_span_bits_bytes(const wn_kv_store *s, size_t from_tail, size_t to);
void wn_kv_span_save_bits(const wn_kv_span *span, uint8_t *out);

/* Of the first `to` tokens of s, which may hold more where to_tail and its own tail's start are 0.
 */
wn_status wn_kv_span_open(wn_kv_span *out, const wn_kv_store *s, size_t from, size_t from_tail,
                          size_t to, size_t to_tail, wn_error *err);
/* s, in the earlier state (its tail aside, unless dense), gets the later one and pages for it,
 * which move fills. WN_LIMIT: no room; s is as before then. Otherwise, whatever fails from here on,
 * the content is no sequence: truncate to 0. WN_FORMAT: bits and lengths contradict one another. */
wn_status wn_kv_span_begin(wn_kv_span *out, wn_kv_store *s, size_t from, size_t from_tail,
                           size_t to, size_t to_tail, const uint8_t *bits, bool with_tail,
                           wn_error *err);
size_t wn_kv_span_log_bytes(const wn_kv_span *span);
size_t wn_kv_span_tail_bytes(const wn_kv_span *span);
/* Fills digests. WN_FORMAT: the file ends too early. */
wn_status wn_kv_span_move(wn_kv_span *span, const wn_kv_span_io *io, wn_error *err);
void wn_kv_span_close(wn_kv_span *span); /* {0} is fine; the store stays */

#endif
