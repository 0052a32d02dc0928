#include "generate/kv_pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"

wn_status wn_kv_pool_open(wn_kv_pool *p, size_t page_bytes, size_t n_pages, wn_error *err)
{
    size_t bytes = 0;
    const bool fits = wn_size_mul(page_bytes, n_pages, &bytes);
    *p = (wn_kv_pool){.page_bytes = page_bytes, .n_pages = n_pages};
    p->data = fits ? wn_alloc_huge(bytes) : NULL;
    p->given = wn_alloc(n_pages, sizeof *p->given);
    if (p->data && p->given)
        return WN_OK;
    wn_kv_pool_close(p);
    return wn_error_set(err, WN_NO_MEMORY, "no memory for %zu KV pages of %zu bytes", n_pages,
                        page_bytes);
}

void wn_kv_pool_close(wn_kv_pool *p)
{
    free(p->data);
    free(p->given);
    *p = (wn_kv_pool){0};
}

uint8_t *wn_kv_pool_take(wn_kv_pool *p)
{
    if (p->n_given)
        return p->given[--p->n_given];
    assert(p->n_used < p->n_pages);
    uint8_t *page = p->data + p->page_bytes * p->n_used++;
    memset(page, 0, p->page_bytes);
    return page;
}

void wn_kv_pool_give(wn_kv_pool *p, uint8_t *page)
{
    p->given[p->n_given++] = page;
}

/* Highest address first, so that the lowest page is taken next and the block's end gets free. */
static int by_address(const void *a, const void *b)
{
    const uint8_t *x = *(uint8_t *const *)a, *y = *(uint8_t *const *)b;
    return (x < y) - (x > y);
}

void wn_kv_pool_trim(wn_kv_pool *p)
{
    const uintptr_t old_end = (uintptr_t)(p->data + p->n_used * p->page_bytes);
    size_t n = 0;
    qsort(p->given, p->n_given, sizeof *p->given, by_address);
    while (n < p->n_given && p->given[n] == p->data + (p->n_used - 1) * p->page_bytes) {
        p->n_used--;
        n++;
    }
    p->n_given -= n;
    memmove(p->given, p->given + n, p->n_given * sizeof *p->given);
    const uintptr_t unit = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t end = (uintptr_t)(p->data + p->n_used * p->page_bytes);
    const uintptr_t first = (end + unit - 1) / unit * unit, last = old_end / unit * unit;
    if (first < last)
        madvise(p->data + (first - (uintptr_t)p->data), last - first, MADV_DONTNEED);
}

size_t wn_kv_pool_bytes(const wn_kv_pool *p)
{
    return p->n_used * p->page_bytes;
}
