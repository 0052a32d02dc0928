/* Pages of one size that sessions share: counted by reference, under one limit of bytes.
 *
 *     WN_TRY(wn_kv_pool_open(&p, layout.page_bytes, max_bytes, err));
 *     if (wn_kv_pool_n_free(p) > 0) { page = wn_kv_pool_take(p); ... wn_kv_pool_give(p, page); }
 *     wn_kv_pool_close(p);
 *
 * Address space for max_bytes is taken at open, memory as pages are; the lowest free page is taken
 * first. It is held in blocks of 2 MiB, and wn_kv_pool_trim returns those without a page in use to
 * the system, but for some if that is wanted. The pool lives until all who share it have closed it.
 * Threads: one at a time.
 */
#ifndef WN_GENERATE_KV_POOL_H
#define WN_GENERATE_KV_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/thread_pool.h"

typedef struct wn_kv_pool wn_kv_pool;

/* page_bytes: a multiple of 64, up to 2 MiB. max_bytes: of pages in use; whole blocks are held for
 * them. */
wn_status wn_kv_pool_open(wn_kv_pool **out, size_t page_bytes, size_t max_bytes, wn_error *err);
wn_kv_pool *wn_kv_pool_share(wn_kv_pool *p); /* p, with one more who has to close it */
void wn_kv_pool_close(wn_kv_pool *p);        /* NULL is fine */

size_t wn_kv_pool_page_bytes(const wn_kv_pool *p);
size_t wn_kv_pool_n_free(const wn_kv_pool *p); /* pages that can be taken */
size_t wn_kv_pool_n_used(const wn_kv_pool *p);
size_t wn_kv_pool_bytes(const wn_kv_pool *p);     /* held of the system, free pages included */
size_t wn_kv_pool_max_bytes(const wn_kv_pool *p); /* the limit */

/* With one reference; its bytes are anything. Some must be free: the caller's promise (assert). */
uint8_t *wn_kv_pool_take(wn_kv_pool *p);
void wn_kv_pool_hold(wn_kv_pool *p, const uint8_t *page);            /* one reference more */
bool wn_kv_pool_is_shared(const wn_kv_pool *p, const uint8_t *page); /* more than one */
void wn_kv_pool_give(wn_kv_pool *p, uint8_t *page);                  /* one less; 0: free */
/* Of the pages, for tables beside them: 0 .. n_free + n_used - 1. */
size_t wn_kv_pool_index(const wn_kv_pool *p, const uint8_t *page);
/* No text that was deleted stays behind: free pages are zeroed, those in use when they are given
 * back. */
void wn_kv_pool_wipe(wn_kv_pool *p);
/* Returns blocks without a page in use, the highest first, until no more than `slack` bytes of such
 * blocks are left: memory that comes from the system has to be cleared by it first. */
void wn_kv_pool_trim(wn_kv_pool *p, size_t slack);
/* Memory for `bytes` of free pages comes from the system now, cleared by all threads: who takes
 * these pages next does not wait for it. A trim returns it like other memory. */
void wn_kv_pool_prepare(wn_kv_pool *p, size_t bytes, wn_thread_pool *threads);

#endif
