/* The pages that attention of one KV head walks through, log first, then tail, and who may see
 * what in them. Inline because every instruction set compiles it for itself. */
#ifndef WN_KERNELS_ATTENTION_PAGES_H
#define WN_KERNELS_ATTENTION_PAGES_H

#include "kernels/kernel_table.h"

typedef struct wn_attention_page {
    const uint8_t *data;
    uint64_t held;    /* bit = slot: keys that are in the list */
    uint64_t evicted; /* 0 in the log */
    bool in_tail;
    size_t position; /* of slot 0; tail only */
} wn_attention_page;

static inline uint64_t wn_bits_below(size_t n)
{
    return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

static inline size_t wn_attention_log_pages(const wn_attention_args *a, size_t kv)
{
    return (a->heads[kv].n_log + WN_KV_SLOTS - 1) / WN_KV_SLOTS;
}

/* Position of the query of token t; 0 without a tail. */
static inline size_t wn_attention_position(const wn_attention_args *a, size_t t)
{
    return a->n_tail ? a->tail_first + a->n_tail - a->m + t : 0;
}

/* Pages that token t may see something in. */
static inline size_t wn_attention_n_pages(const wn_attention_args *a, size_t kv, size_t t)
{
    const size_t log = wn_attention_log_pages(a, kv);
    if (!a->n_tail)
        return log;
    return log + wn_attention_position(a, t) / WN_KV_SLOTS - a->tail_first / WN_KV_SLOTS + 1;
}

static inline wn_attention_page wn_attention_page_at(const wn_attention_args *a, size_t kv,
                                                     size_t i)
{
    const wn_kv_head *h = &a->heads[kv];
    const size_t n_log = wn_attention_log_pages(a, kv);
    if (i < n_log)
        return (wn_attention_page){.data = h->log[i],
                                   .held = wn_bits_below(h->n_log - i * WN_KV_SLOTS)};
    const size_t j = i - n_log, page = a->tail_first / WN_KV_SLOTS + j;
    const size_t start = page * WN_KV_SLOTS, end = a->tail_first + a->n_tail;
    const size_t skip = a->tail_first > start ? a->tail_first - start : 0;
    return (wn_attention_page){.data = h->tail[j],
                               .held = wn_bits_below(end - start) & ~wn_bits_below(skip),
                               .evicted = h->evicted ? h->evicted[j] : 0,
                               .in_tail = true,
                               .position = start};
}

/* Keys of the page that the query at a position sees. */
static inline uint64_t wn_attention_visible(const wn_attention_args *a, const wn_attention_page *p,
                                            size_t query)
{
    if (!p->in_tail)
        return p->held;
    if (query < p->position)
        return 0;
    const size_t window0 = query > a->window ? query - a->window : 0;
    const uint64_t near =
        window0 > p->position ? ~wn_bits_below(window0 - p->position) : ~(uint64_t)0;
    return p->held & wn_bits_below(query - p->position + 1) & (near | ~p->evicted);
}

#endif
