/* Stores that are kept, not read from: without a slot to spare.
 *
 * Where the tail starts later than at 0, the full pages of a log are shared, and of the rest only
 * what a later query can see (kv_seen_end) lies in `packed`: for every list the slots of its last,
 * partial log page, then those of its tail but for evicted ones that have left the window, part by
 * part (all rows of K, of V, their scales). What is left out is masked for every later query: the
 * pages that unpack makes hold zeros there, and give the same sums, bit for bit. Elsewhere a packed
 * store is one like others, which shares all its pages. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/kv_store_internal.h"

size_t kv_seen_end(const wn_kv_store *s, size_t length)
{
    return length > s->o.window + WN_KV_BACK ? length - s->o.window - WN_KV_BACK : 0;
}

size_t kv_count_seen(const wn_kv_store *s, const kv_list *list, size_t tail_first, size_t length)
{
    const size_t end = kv_seen_end(s, length);
    if (!s->o.window || tail_first == 0 || end <= tail_first)
        return length - tail_first;
    return kv_count_log(list, end) - kv_count_log(list, tail_first) + length - end;
}

bool kv_next_seen(const wn_kv_store *s, const kv_list *list, size_t length, size_t *at, size_t *n)
{
    const size_t end = kv_seen_end(s, length);
    while (*at < end && !kv_list_keeps(list, *at))
        ++*at;
    if (*at >= length)
        return false;
    const size_t stop = (*at / WN_KV_SLOTS + 1) * WN_KV_SLOTS;
    for (*n = 1; *at + *n < length && *at + *n < stop; ++*n)
        if (*at + *n < end && !kv_list_keeps(list, *at + *n))
            break;
    return true;
}

static size_t n_rest(const wn_kv_store *s, const kv_list *list)
{
    return list->n_log % WN_KV_SLOTS + kv_count_seen(s, list, s->tail_first, s->length);
}

size_t kv_packed_bytes(const wn_kv_store *s)
{
    size_t n = 0;
    for (size_t i = 0; s->tail_first > 0 && i < s->n_lists; i++)
        n += n_rest(s, &s->lists[i]) * kv_slot_bytes(&s->layout);
    return n;
}

/* One list's part of `packed`. */
typedef struct rest {
    const wn_kv_store *s;
    uint8_t *bytes;
    size_t n, at; /* slots; moved already */
    bool to_pages;
} rest;

static void move_slots(rest *r, uint8_t *page, size_t slot, size_t n)
{
    kv_part parts[4];
    const size_t n_parts = kv_parts_of(&r->s->layout, parts);
    uint8_t *block = r->bytes;
    for (size_t i = 0; i < n_parts; i++) {
        uint8_t *a = page + parts[i].at + slot * parts[i].bytes;
        uint8_t *b = block + r->at * parts[i].bytes;
        memcpy(r->to_pages ? a : b, r->to_pages ? b : a, n * parts[i].bytes);
        block += r->n * parts[i].bytes;
    }
    r->at += n;
}

static void move_rest(const wn_kv_store *s, const kv_list *list, uint8_t *bytes, bool to_pages)
{
    rest r = {.s = s, .bytes = bytes, .n = n_rest(s, list), .to_pages = to_pages};
    const size_t n_partial = list->n_log % WN_KV_SLOTS;
    if (n_partial)
        move_slots(&r, list->log[list->n_log / WN_KV_SLOTS], 0, n_partial);
    for (size_t at = s->tail_first, n = 0; kv_next_seen(s, list, s->length, &at, &n); at += n)
        move_slots(&r, list->tail[at / WN_KV_SLOTS], at % WN_KV_SLOTS, n);
    assert(r.at == r.n);
}

bool wn_kv_store_is_whole(const wn_kv_store *s)
{
    return s->whole_from <= kv_seen_end(s, s->length);
}

/* Length, decisions and full pages of logs. */
static void share_state(wn_kv_store *s, const wn_kv_store *from)
{
    const size_t n_pages = kv_page_count(from->length);
    wn_kv_store_truncate(s, 0);
    s->length = s->extended = from->length;
    s->tail_first = from->tail_first;
    s->whole_from = kv_seen_end(from, from->length);
    for (size_t i = 0; i < s->n_lists; i++) {
        kv_list *list = &s->lists[i];
        list->n_log = from->lists[i].n_log;
        memcpy(list->evicted, from->lists[i].evicted, n_pages * sizeof *list->evicted);
        kv_clear_bits(list, from->length);
        for (size_t page = 0; page < list->n_log / WN_KV_SLOTS; page++) {
            list->log[page] = from->lists[i].log[page];
            wn_kv_pool_hold(s->pool, list->log[page]);
        }
    }
}

wn_status wn_kv_store_pack(wn_kv_store **out, const wn_kv_store *from, wn_error *err)
{
    wn_kv_store *s = NULL;
    wn_kv_store_options o = from->o;
    o.pool = from->pool;
    o.n_ctx = from->length ? from->length : 1;
    WN_TRY(wn_kv_store_open(&s, &o, err));
    if (from->tail_first == 0) {
        kv_clear_behind(from, from->length);
        wn_kv_store_copy(s, from, from->length);
        *out = s;
        return WN_OK;
    }
    const size_t bytes = kv_packed_bytes(from);
    s->packed = wn_alloc(bytes, 1);
    if (!s->packed) {
        wn_kv_store_close(s);
        return wn_error_set(err, WN_NO_MEMORY, "no memory for %zu bytes of keys and values", bytes);
    }
    s->packed_bytes = bytes;
    share_state(s, from);
    uint8_t *at = s->packed;
    for (size_t i = 0; i < s->n_lists; i++) {
        move_rest(from, &from->lists[i], at, false);
        at += n_rest(s, &s->lists[i]) * kv_slot_bytes(&s->layout);
    }
    *out = s;
    return WN_OK;
}

void kv_packed_part(const wn_kv_store *s, size_t list, kv_packed_rows *out)
{
    kv_part parts[4];
    uint8_t *at = s->packed;
    for (size_t i = 0; i < list; i++)
        at += n_rest(s, &s->lists[i]) * kv_slot_bytes(&s->layout);
    *out = (kv_packed_rows){.n_parts = kv_parts_of(&s->layout, parts),
                            .n_log = s->lists[list].n_log % WN_KV_SLOTS,
                            .n = n_rest(s, &s->lists[list])};
    for (size_t i = 0; i < out->n_parts; i++) {
        out->part[i] = at;
        out->bytes[i] = parts[i].bytes;
        at += out->n * parts[i].bytes;
    }
}

void kv_drop_packed(wn_kv_store *s)
{
    explicit_bzero(s->packed, s->packed_bytes);
    free(s->packed);
    s->packed = NULL;
    s->packed_bytes = 0;
    for (size_t i = 0; i < s->n_lists; i++) {
        kv_list *list = &s->lists[i];
        for (size_t page = 0; page < list->n_log / WN_KV_SLOTS; page++)
            wn_kv_pool_give(s->pool, list->log[page]);
        list->n_log = 0;
    }
}

static void take_pages(wn_kv_store *s, kv_list *list)
{
    if (list->n_log % WN_KV_SLOTS)
        list->log[list->n_log / WN_KV_SLOTS] = wn_kv_pool_take(s->pool);
    for (size_t page = s->tail_first / WN_KV_SLOTS; page < kv_page_count(s->length); page++)
        list->tail[page] = wn_kv_pool_take(s->pool);
}

/* Those with slots that nothing is moved to: what was there may be of another text. */
static void clear_pages(const wn_kv_store *s, const kv_list *list)
{
    const size_t end = kv_seen_end(s, s->length), bytes = s->layout.page_bytes;
    if (list->n_log % WN_KV_SLOTS)
        memset(list->log[list->n_log / WN_KV_SLOTS], 0, bytes);
    for (size_t page = s->tail_first / WN_KV_SLOTS; page < kv_page_count(s->length); page++)
        if (page * WN_KV_SLOTS < end || (page + 1) * WN_KV_SLOTS > s->length)
            memset(list->tail[page], 0, bytes);
}

static wn_status check_room(const wn_kv_store *s, const wn_kv_store *from, wn_error *err)
{
    const size_t n_tail = kv_page_count(from->length) - from->tail_first / WN_KV_SLOTS;
    const size_t n_free = wn_kv_pool_n_free(s->pool);
    size_t needed = 0;
    for (size_t i = 0; i < from->n_lists; i++)
        needed += n_tail + (from->lists[i].n_log % WN_KV_SLOTS > 0);
    return needed <= n_free
               ? WN_OK
               : wn_error_set(err, WN_LIMIT, "no room for a prefix: %zu KV pages are free, not %zu",
                              n_free, needed);
}

typedef struct unpacking {
    wn_kv_store *s;
    const wn_kv_store *from;
    size_t *at; /* [n_lists] in packed */
} unpacking;

static void unpack_list(void *ctx, size_t unit, size_t worker)
{
    const unpacking *u = ctx;
    kv_list *list = &u->s->lists[unit];
    (void)worker;
    clear_pages(u->s, list);
    move_rest(u->s, list, u->from->packed + u->at[unit], true);
}

wn_status wn_kv_store_unpack(wn_kv_store *s, const wn_kv_store *from, wn_thread_pool *threads,
                             wn_error *err)
{
    unpacking u = {s, from, NULL};
    assert(s != from && s->pool == from->pool && s->n_lists == from->n_lists);
    assert(s->o.window == from->o.window && from->length <= s->o.n_ctx);
    wn_kv_store_truncate(s, 0);
    if (!from->packed) {
        wn_kv_store_copy(s, from, from->length);
        return WN_OK;
    }
    WN_TRY(check_room(s, from, err));
    u.at = wn_alloc(s->n_lists + 1, sizeof *u.at);
    if (!u.at)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix' lists");
    share_state(s, from);
    for (size_t i = 0; i < s->n_lists; i++) {
        take_pages(s, &s->lists[i]);
        u.at[i + 1] = u.at[i] + n_rest(s, &s->lists[i]) * kv_slot_bytes(&s->layout);
    }
    wn_thread_pool_run(threads, s->n_lists, unpack_list, &u);
    free(u.at);
    return WN_OK;
}
