/* Copies of a KV store: another one that shares its pages, and bytes. Of these: for every list,
 * layer by layer, its evict bits (u64 per page of positions; none when dense), then the slots of
 * its log and of its tail: K, V and, where the format has them, their scales. How many there are
 * follows from the bits, so that no length in the bytes has to be believed. */
#include <assert.h>
#include <string.h>

#include "generate/kv_store_internal.h"

wn_status wn_kv_store_fork(wn_kv_store **out, const wn_kv_store *from, wn_error *err)
{
    wn_kv_store *s = NULL;
    wn_kv_store_options o = from->o;
    o.pool = from->pool;
    WN_TRY(wn_kv_store_open(&s, &o, err));
    wn_kv_store_copy(s, from, from->length);
    *out = s;
    return WN_OK;
}

static void copy_list(wn_kv_store *s, kv_list *list, const kv_list *from, size_t n)
{
    const size_t n_pages = kv_page_count(n);
    list->n_log = from->n_log;
    memcpy(list->tail, from->tail, n_pages * sizeof *list->tail);
    if (s->o.window) {
        memcpy(list->evicted, from->evicted, n_pages * sizeof *list->evicted);
        kv_clear_bits(list, n);
        memcpy(list->log, from->log, kv_page_count(list->n_log) * sizeof *list->log);
    }
    for (size_t page = 0; page < kv_page_count(list->n_log); page++)
        wn_kv_pool_hold(s->pool, list->log[page]);
    for (size_t page = 0; page < n_pages; page++)
        if (list->tail[page])
            wn_kv_pool_hold(s->pool, list->tail[page]);
}

void wn_kv_store_copy(wn_kv_store *s, const wn_kv_store *from, size_t n)
{
    assert(s != from && s->pool == from->pool && s->n_lists == from->n_lists && !from->packed);
    assert(s->o.window == from->o.window && n <= s->o.n_ctx);
    assert(n == from->length || (n < from->length && n >= wn_kv_store_back_to(from)));
    wn_kv_store_truncate(s, 0);
    s->length = s->extended = n;
    s->tail_first = from->tail_first;
    s->whole_from = from->whole_from;
    for (size_t i = 0; i < s->n_lists; i++)
        copy_list(s, &s->lists[i], &from->lists[i], n);
}

static void save_slot(const wn_kv_store *s, const uint8_t *page, size_t slot, wn_strbuf *out)
{
    kv_part parts[4];
    const size_t n = kv_parts_of(&s->layout, parts);
    for (size_t i = 0; i < n; i++)
        wn_strbuf_add(out, page + parts[i].at + slot * parts[i].bytes, parts[i].bytes);
}

static void load_slot(const wn_kv_store *s, uint8_t *page, size_t slot, const uint8_t **bytes)
{
    kv_part parts[4];
    const size_t n = kv_parts_of(&s->layout, parts);
    for (size_t i = 0; i < n; i++) {
        memcpy(page + parts[i].at + slot * parts[i].bytes, *bytes, parts[i].bytes);
        *bytes += parts[i].bytes;
    }
}

wn_status wn_kv_store_save(const wn_kv_store *s, wn_strbuf *out, wn_error *err)
{
    for (size_t i = 0; s->o.window && i < s->n_lists; i++)
        wn_strbuf_add(out, s->lists[i].evicted, kv_page_count(s->length) * sizeof(uint64_t));
    for (size_t i = 0; i < s->n_lists; i++) {
        const kv_list *list = &s->lists[i];
        for (size_t j = 0; j < list->n_log; j++)
            save_slot(s, list->log[j / WN_KV_SLOTS], j % WN_KV_SLOTS, out);
        for (size_t p = s->tail_first; p < s->length; p++)
            save_slot(s, list->tail[p / WN_KV_SLOTS], p % WN_KV_SLOTS, out);
    }
    return wn_strbuf_failed(out) ? wn_error_set(err, WN_NO_MEMORY, "no memory for a snapshot")
                                 : WN_OK;
}

size_t kv_count_log(const kv_list *list, size_t p)
{
    size_t n = 0;
    for (size_t i = 0; i < p / WN_KV_SLOTS; i++)
        n += WN_KV_SLOTS - (size_t)__builtin_popcountll(list->evicted[i]);
    for (size_t i = p / WN_KV_SLOTS * WN_KV_SLOTS; i < p; i++)
        n += kv_list_keeps(list, i);
    return n;
}

static void load_list(wn_kv_store *s, kv_list *list, size_t n_log, const uint8_t **bytes)
{
    for (list->n_log = 0; list->n_log < n_log; list->n_log++) {
        uint8_t **page = &list->log[list->n_log / WN_KV_SLOTS];
        if (list->n_log % WN_KV_SLOTS == 0)
            *page = wn_kv_pool_take(s->pool);
        load_slot(s, *page, list->n_log % WN_KV_SLOTS, bytes);
    }
    for (size_t p = s->tail_first; p < s->length; p++) {
        uint8_t **page = &list->tail[p / WN_KV_SLOTS];
        if (!*page)
            *page = wn_kv_pool_take(s->pool);
        load_slot(s, *page, p % WN_KV_SLOTS, bytes);
    }
}

wn_status wn_kv_store_load(wn_kv_store *s, size_t length, size_t tail_first, const uint8_t *bytes,
                           size_t len, wn_error *err)
{
    const size_t bits = s->o.window ? kv_page_count(length) * sizeof(uint64_t) : 0;
    size_t n_slots = 0, n_pages = 0;
    wn_kv_store_truncate(s, 0);
    if (length > s->o.n_ctx)
        return wn_error_set(err, WN_LIMIT, "a snapshot of %zu tokens, room for %zu", length,
                            s->o.n_ctx);
    if (tail_first > 0 && (!s->o.window || tail_first + s->o.window > length))
        return wn_error_set(err, WN_FORMAT, "a snapshot's window starts at %zu of %zu", tail_first,
                            length);
    if (len < s->n_lists * bits)
        return wn_error_set(err, WN_FORMAT, "a snapshot without all its decisions");
    for (size_t i = 0; i < s->n_lists; i++) {
        if (bits) {
            memcpy(s->lists[i].evicted, bytes + i * bits, bits);
            kv_clear_bits(&s->lists[i], length);
        }
        const size_t n_log = kv_count_log(&s->lists[i], tail_first);
        n_slots += n_log + length - tail_first;
        n_pages += kv_page_count(n_log) + kv_page_count(length) - tail_first / WN_KV_SLOTS;
    }
    if (len - s->n_lists * bits != n_slots * kv_slot_bytes(&s->layout))
        return wn_error_set(err, WN_FORMAT, "a snapshot of %zu bytes of keys and values, not %zu",
                            len - s->n_lists * bits, n_slots * kv_slot_bytes(&s->layout));
    if (n_pages > wn_kv_pool_n_free(s->pool))
        return wn_error_set(err, WN_LIMIT, "no room for a snapshot: %zu KV pages are free, not %zu",
                            wn_kv_pool_n_free(s->pool), n_pages);
    s->length = s->extended = length;
    s->tail_first = tail_first;
    s->whole_from = tail_first > 0 ? length - s->o.window : 0; /* bytes do not say from where */
    bytes += s->n_lists * bits;
    for (size_t i = 0; i < s->n_lists; i++)
        load_list(s, &s->lists[i], kv_count_log(&s->lists[i], tail_first), &bytes);
    return WN_OK;
}
