/* A KV store's state, shared by kv_store.c (the sequence grows and shrinks), kv_pack.c (kept, not
 * read from), kv_snapshot.c (content to bytes and back) and kv_span.c (to files, straight from the
 * pages). */
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
    size_t whole_from;       /* evicted positions before it are in the tail, but not their bytes */
    uint8_t *packed;         /* what is not in full pages of logs (kv_pack.c); NULL: pages only */
    size_t packed_bytes;
};

static inline size_t kv_page_count(size_t n_tokens)
{
    return (n_tokens + WN_KV_SLOTS - 1) / WN_KV_SLOTS;
}

/* Where a slot's parts lie in a page: rows of K and of V, and their scales in INT8. */
typedef struct kv_part {
    size_t at, bytes;
} kv_part;

static inline size_t kv_parts_of(const wn_kv_layout *l, kv_part parts[4])
{
    parts[0] = (kv_part){0, l->row_bytes};
    parts[1] = (kv_part){l->v_at, l->row_bytes};
    parts[2] = (kv_part){l->k_scales_at, WN_KV_SCALE_BYTES};
    parts[3] = (kv_part){l->v_scales_at, WN_KV_SCALE_BYTES};
    return l->format == WN_KV_INT8 ? 4 : 2;
}

static inline size_t kv_slot_bytes(const wn_kv_layout *l)
{
    return 2 * l->row_bytes + (l->format == WN_KV_INT8 ? 2 * WN_KV_SCALE_BYTES : 0);
}

/* A page that may be written: what is there, a copy of its first `used` slots if others read it, or
 * a new one. */
void kv_own_page(wn_kv_store *s, uint8_t **page, size_t used);
void kv_drop_tail_page(wn_kv_store *s, kv_list *list, size_t page);
/* Zeroes what may be of another text, where no other store can see it: slots of a page (NULL:
 * none), and those behind token n - 1 of every tail and behind every log. */
void kv_clear_slots(const wn_kv_store *s, uint8_t *page, size_t first, size_t end);
void kv_clear_behind(const wn_kv_store *s, size_t n);
/* Keys at positions below p that stay: how many a log has when its tail starts there. */
size_t kv_count_log(const kv_list *list, size_t p);

/* kv_pack.c. Positions before this one have left the window of whatever comes after `length` less
 * WN_KV_BACK. */
size_t kv_seen_end(const wn_kv_store *s, size_t length);
/* Slots of a tail from tail_first to length that later queries can see; where it starts at 0, all:
 * such a state has every earlier one in it. */
size_t kv_count_seen(const wn_kv_store *s, const kv_list *list, size_t tail_first, size_t length);
/* The next run of them, n slots of one page from *at on, which moves there; false: none is left. */
bool kv_next_seen(const wn_kv_store *s, const kv_list *list, size_t length, size_t *at, size_t *n);
size_t kv_packed_bytes(const wn_kv_store *s); /* that s takes beside full pages when it is packed */
void kv_drop_packed(wn_kv_store *s);

/* Where a list's rows are in `packed`: first those of its partial log page. */
typedef struct kv_packed_rows {
    uint8_t *part[4];
    size_t bytes[4]; /* of a row */
    size_t n_parts, n_log, n;
} kv_packed_rows;
void kv_packed_part(const wn_kv_store *s, size_t list, kv_packed_rows *out);

/* Whether position p stays when it leaves the window. */
static inline bool kv_list_keeps(const kv_list *list, size_t p)
{
    return !(list->evicted[p / WN_KV_SLOTS] >> p % WN_KV_SLOTS & 1);
}

/* Bits of position n and those behind it in its word say nothing. */
static inline void kv_clear_bits(kv_list *list, size_t n)
{
    if (n % WN_KV_SLOTS)
        list->evicted[n / WN_KV_SLOTS] &= ((uint64_t)1 << n % WN_KV_SLOTS) - 1;
}

#endif
