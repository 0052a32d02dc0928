/* Pages of one size out of one block of address space. A page costs memory from the first time it
 * is taken; one that was given back is taken again before a new one. wn_kv_pool_trim returns the
 * free pages at the block's end to the system.
 * Threads: one at a time.
 */
#ifndef WN_GENERATE_KV_POOL_H
#define WN_GENERATE_KV_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct wn_kv_pool {
    uint8_t *data;
    size_t page_bytes, n_pages;
    size_t n_used;   /* pages from here on are new */
    uint8_t **given; /* [n_given], back and free; the last one is taken next */
    size_t n_given;
} wn_kv_pool;

/* page_bytes: a multiple of 64. */
wn_status wn_kv_pool_open(wn_kv_pool *p, size_t page_bytes, size_t n_pages, wn_error *err);
void wn_kv_pool_close(wn_kv_pool *p); /* an all-zero pool is fine */

/* Zeroed when new, otherwise as it was given back. At most n_pages at a time: the caller's promise
 * (assert). */
uint8_t *wn_kv_pool_take(wn_kv_pool *p);
void wn_kv_pool_give(wn_kv_pool *p, uint8_t *page);
void wn_kv_pool_trim(wn_kv_pool *p);
size_t wn_kv_pool_bytes(const wn_kv_pool *p); /* that cost memory, free pages included */

#endif
