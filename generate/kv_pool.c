#include "generate/kv_pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"

#define BLOCK_BYTES ((size_t)2 << 20)

typedef struct block {
    uint32_t n_used; /* pages */
    bool touched;    /* costs memory */
} block;

struct wn_kv_pool {
    uint8_t *data; /* [n_blocks][BLOCK_BYTES] */
    size_t page_bytes, per_block, n_blocks, n_pages;
    size_t n_used, n_touched;
    size_t first_free; /* page; none below it is free */
    size_t n_holders;
    block *blocks;
    uint32_t *references; /* [n_pages] */
    bool *wipe;           /* [n_pages] zeroed when it is free */
};

wn_status wn_kv_pool_open(wn_kv_pool **out, size_t page_bytes, size_t max_bytes, wn_error *err)
{
    wn_kv_pool *p = wn_alloc(1, sizeof *p);
    assert(page_bytes % 64 == 0 && page_bytes <= BLOCK_BYTES);
    if (p) {
        p->page_bytes = page_bytes;
        p->per_block = BLOCK_BYTES / page_bytes;
        p->n_pages = max_bytes / page_bytes;
        p->n_blocks = (p->n_pages + p->per_block - 1) / p->per_block;
        p->n_holders = 1;
        p->data =
            p->n_blocks < SIZE_MAX / BLOCK_BYTES ? wn_alloc_huge(p->n_blocks * BLOCK_BYTES) : NULL;
        p->blocks = wn_alloc(p->n_blocks, sizeof *p->blocks);
        p->references = wn_alloc(p->n_pages, sizeof *p->references);
        p->wipe = wn_alloc(p->n_pages, sizeof *p->wipe);
    }
    if (!p || !p->data || !p->blocks || !p->references || !p->wipe) {
        wn_kv_pool_close(p);
        return wn_error_set(err, WN_NO_MEMORY, "no memory for %zu MiB of KV pages",
                            max_bytes >> 20);
    }
    *out = p;
    return WN_OK;
}

wn_kv_pool *wn_kv_pool_share(wn_kv_pool *p)
{
    p->n_holders++;
    return p;
}

void wn_kv_pool_close(wn_kv_pool *p)
{
    if (!p || --p->n_holders)
        return;
    assert(p->n_used == 0);
    free(p->data);
    free(p->blocks);
    free(p->references);
    free(p->wipe);
    free(p);
}

size_t wn_kv_pool_page_bytes(const wn_kv_pool *p)
{
    return p->page_bytes;
}

size_t wn_kv_pool_n_free(const wn_kv_pool *p)
{
    return p->n_pages - p->n_used;
}

size_t wn_kv_pool_n_used(const wn_kv_pool *p)
{
    return p->n_used;
}

size_t wn_kv_pool_bytes(const wn_kv_pool *p)
{
    return p->n_touched * BLOCK_BYTES;
}

size_t wn_kv_pool_max_bytes(const wn_kv_pool *p)
{
    return p->n_pages * p->page_bytes;
}

/* Blocks hold whole pages only. */
size_t wn_kv_pool_index(const wn_kv_pool *p, const uint8_t *page)
{
    const size_t at = (size_t)(page - p->data);
    return at / BLOCK_BYTES * p->per_block + at % BLOCK_BYTES / p->page_bytes;
}

static uint8_t *page_at(const wn_kv_pool *p, size_t i)
{
    return p->data + i / p->per_block * BLOCK_BYTES + i % p->per_block * p->page_bytes;
}

uint8_t *wn_kv_pool_take(wn_kv_pool *p)
{
    size_t i = p->first_free;
    assert(wn_kv_pool_n_free(p) > 0);
    while (p->references[i])
        i = p->blocks[i / p->per_block].n_used == p->per_block
                ? (i / p->per_block + 1) * p->per_block
                : i + 1;
    block *b = &p->blocks[i / p->per_block];
    p->references[i] = 1;
    p->first_free = i + 1;
    p->n_used++;
    b->n_used++;
    p->n_touched += !b->touched;
    b->touched = true;
    return page_at(p, i);
}

void wn_kv_pool_hold(wn_kv_pool *p, const uint8_t *page)
{
    p->references[wn_kv_pool_index(p, page)]++;
}

bool wn_kv_pool_is_shared(const wn_kv_pool *p, const uint8_t *page)
{
    return p->references[wn_kv_pool_index(p, page)] > 1;
}

void wn_kv_pool_give(wn_kv_pool *p, uint8_t *page)
{
    const size_t i = wn_kv_pool_index(p, page);
    assert(p->references[i] > 0);
    if (--p->references[i])
        return;
    if (p->wipe[i])
        memset(page, 0, p->page_bytes);
    p->wipe[i] = false;
    p->n_used--;
    p->blocks[i / p->per_block].n_used--;
    if (i < p->first_free)
        p->first_free = i;
}

void wn_kv_pool_wipe(wn_kv_pool *p)
{
    for (size_t i = 0; i < p->n_pages; i++) {
        p->wipe[i] = p->references[i] > 0;
        if (!p->wipe[i] && p->blocks[i / p->per_block].touched)
            memset(page_at(p, i), 0, p->page_bytes);
    }
}

void wn_kv_pool_trim(wn_kv_pool *p, size_t slack)
{
    size_t left = slack / BLOCK_BYTES;
    for (size_t i = 0; i < p->n_blocks; i++) {
        block *b = &p->blocks[i];
        if (!b->touched || b->n_used)
            continue;
        if (left > 0) {
            left--;
            continue;
        }
        madvise(p->data + i * BLOCK_BYTES, BLOCK_BYTES, MADV_DONTNEED);
        b->touched = false;
        p->n_touched--;
    }
}

static void touch_block(void *ctx, size_t unit, size_t worker)
{
    const wn_kv_pool *p = ctx;
    (void)worker;
    for (size_t at = 0; !p->blocks[unit].touched && at < BLOCK_BYTES; at += 4096)
        ((volatile uint8_t *)p->data)[unit * BLOCK_BYTES + at] = 0;
}

void wn_kv_pool_prepare(wn_kv_pool *p, size_t bytes, wn_thread_pool *threads)
{
    size_t left = bytes / p->page_bytes + (bytes % p->page_bytes > 0), n = 0;
    for (; n < p->n_blocks && left > 0; n++) {
        const size_t n_free = p->per_block - p->blocks[n].n_used;
        left -= n_free < left ? n_free : left;
    }
    wn_thread_pool_run(threads, n, touch_block, p);
    for (size_t i = 0; i < n; i++) {
        p->n_touched += !p->blocks[i].touched;
        p->blocks[i].touched = true;
    }
}
