/* A KV store's state, shared by kv_store.c (the sequence grows and shrinks) and kv_snapshot.c
 * (content to bytes and back). */
#ifndef WN_GENERATE_KV_STORE_INTERNAL_H
#define WN_GENERATE_KV_STORE_INTERNAL_H

#include "generate/kv_store.h"

typedef struct kv_list {
    uint8_t **log;     /* pages; NULL when dense */
    size_t n_log;      /* keys */
    uint8_t **tail;    /* page of positions 64 i ..; NULL where no page is */
    uint64_t *evicted; /* likewise, from position 0 on; NULL when dense */
} kv_list;

struct wn_kv_store {
    wn_kv_store_options o;
    wn_kv_layout layout;
    wn_kv_pool *pool;
    size_t n_lists, n_slots; /* pages that a list has room for */
    kv_list *lists;          /* [n_layers][n_kv_heads] */
    uint8_t **pages;         /* what log and tail point into */
    uint64_t *bits;          /* what evicted points into; NULL when dense */
    wn_kv_head *view;        /* [n_kv_heads] */
    size_t length;           /* tokens of the sequence */
    size_t extended;         /* length and the tokens being added */
    size_t tail_first;       /* position */
};

static inline size_t kv_page_count(size_t n_tokens)
{
    return (n_tokens + WN_KV_SLOTS - 1) / WN_KV_SLOTS;
}

/* Whether position p stays when it leaves the window. */
static inline bool kv_list_keeps(const kv_list *list, size_t p)
{
    return !(list->evicted[p / WN_KV_SLOTS] >> p % WN_KV_SLOTS & 1);
}

#endif
