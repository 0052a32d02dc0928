#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/kv_store_internal.h"

/* Of free memory that stays for what comes next: a short prompt's. */
#define SLACK_BYTES ((size_t)16 << 20)

static wn_status alloc_lists(wn_kv_store *s, wn_error *err)
{
    const size_t parts = s->o.window ? 2 : 1;
    s->lists = wn_alloc(s->n_lists, sizeof *s->lists);
    s->pages = wn_alloc(s->n_lists * parts, s->n_slots * sizeof *s->pages);
    s->bits = s->o.window ? wn_alloc(s->n_lists, s->n_slots * sizeof *s->bits) : NULL;
    s->view = wn_alloc(s->o.n_kv_heads, sizeof *s->view);
    if (!s->lists || !s->pages || (s->o.window && !s->bits) || !s->view)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the KV lists of %zu tokens",
                            s->o.n_ctx);
    for (size_t i = 0; i < s->n_lists; i++) {
        s->lists[i].tail = s->pages + i * s->n_slots;
        if (!s->o.window)
            continue;
        s->lists[i].log = s->pages + (s->n_lists + i) * s->n_slots;
        s->lists[i].evicted = s->bits + i * s->n_slots;
    }
    return WN_OK;
}

/* A log and a tail hold n_ctx tokens at most, and three pages of them may be partial. */
static wn_status open_pool(wn_kv_store *s, wn_error *err)
{
    size_t bytes = s->n_slots + (s->o.window ? 3 : 0) + s->o.n_spare;
    if (s->o.pool && wn_kv_pool_page_bytes(s->o.pool) != s->layout.page_bytes)
        return wn_error_set(err, WN_INVALID, "KV pages have %zu bytes, the pool's %zu",
                            s->layout.page_bytes, wn_kv_pool_page_bytes(s->o.pool));
    if (s->o.pool) {
        s->pool = wn_kv_pool_share(s->o.pool);
        return WN_OK;
    }
    if (!wn_size_mul(bytes, s->n_lists, &bytes) ||
        !wn_size_mul(bytes, s->layout.page_bytes, &bytes))
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the KV pages of %zu tokens",
                            s->o.n_ctx);
    return wn_kv_pool_open(&s->pool, s->layout.page_bytes, bytes, err);
}

wn_status wn_kv_store_open(wn_kv_store **out, const wn_kv_store_options *options, wn_error *err)
{
    wn_kv_store *s = wn_alloc(1, sizeof *s);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "KV store: out of memory");
    s->o = *options;
    s->layout = wn_kv_layout_of(options->format, options->head_dim);
    s->n_lists = options->n_layers * options->n_kv_heads;
    s->n_slots = kv_page_count(options->n_ctx);
    wn_status status = alloc_lists(s, err);
    if (status == WN_OK)
        status = open_pool(s, err);
    if (status != WN_OK) {
        wn_kv_store_close(s);
        return status;
    }
    *out = s;
    return WN_OK;
}

void wn_kv_store_close(wn_kv_store *s)
{
    if (!s)
        return;
    if (s->pool)
        wn_kv_store_truncate(s, 0);
    wn_kv_pool_close(s->pool);
    free(s->lists);
    free(s->pages);
    free(s->bits);
    free(s->view);
    free(s);
}

static bool is_shared(const wn_kv_store *s, const uint8_t *page)
{
    return page && wn_kv_pool_is_shared(s->pool, page);
}

/* Pages at most that the list needs at any time until its tail starts at `first`: new ones, copies
 * of shared ones before they are written, and one of the log ahead of those that the tail gives
 * back; shared pages of the tail come back to nobody. */
static size_t pages_needed(const wn_kv_store *s, const kv_list *list, size_t extended, size_t first)
{
    const size_t last = s->length / WN_KV_SLOTS;
    size_t n = kv_page_count(extended) - last;
    if (s->length % WN_KV_SLOTS && list->tail[last] && !is_shared(s, list->tail[last]))
        n--;
    if (first <= s->tail_first)
        return n;
    n++;
    if (list->n_log % WN_KV_SLOTS && is_shared(s, list->log[list->n_log / WN_KV_SLOTS]))
        n++;
    for (size_t page = s->tail_first / WN_KV_SLOTS; page < first / WN_KV_SLOTS && page <= last;
         page++)
        n += is_shared(s, list->tail[page]);
    return n;
}

/* Where the tail starts when the query at `settled` is the next. */
static size_t settled_first(const wn_kv_store *s, size_t settled)
{
    return s->o.window && settled > s->tail_first + s->o.window ? settled - s->o.window
                                                                : s->tail_first;
}

/* Not the slots behind: they may be of another text. */
static void copy_slots(const wn_kv_store *s, uint8_t *to, const uint8_t *from, size_t n)
{
    kv_part parts[4];
    const size_t n_parts = kv_parts_of(&s->layout, parts);
    for (size_t i = 0; i < n_parts; i++)
        memcpy(to + parts[i].at, from + parts[i].at, n * parts[i].bytes);
}

void kv_clear_slots(const wn_kv_store *s, uint8_t *page, size_t first, size_t end)
{
    kv_part parts[4];
    const size_t n_parts = kv_parts_of(&s->layout, parts);
    for (size_t i = 0; page && !is_shared(s, page) && i < n_parts; i++)
        memset(page + parts[i].at + first * parts[i].bytes, 0, (end - first) * parts[i].bytes);
}

void kv_clear_behind(const wn_kv_store *s, size_t n)
{
    for (size_t i = 0; i < s->n_lists; i++) {
        const kv_list *list = &s->lists[i];
        const size_t slot = n % WN_KV_SLOTS, log_slot = list->n_log % WN_KV_SLOTS;
        if (slot)
            kv_clear_slots(s, list->tail[n / WN_KV_SLOTS], slot, WN_KV_SLOTS);
        if (log_slot)
            kv_clear_slots(s, list->log[list->n_log / WN_KV_SLOTS], log_slot, WN_KV_SLOTS);
    }
}

void kv_own_page(wn_kv_store *s, uint8_t **page, size_t used)
{
    uint8_t *old = *page;
    if (old && !is_shared(s, old))
        return;
    *page = wn_kv_pool_take(s->pool);
    if (old) {
        copy_slots(s, *page, old, used);
        wn_kv_pool_give(s->pool, old);
    }
}

static size_t all_pages_needed(const wn_kv_store *s, size_t n, size_t settled)
{
    size_t needed = 0;
    assert(n <= s->o.n_chunk && n <= s->o.n_ctx - s->length && settled <= s->length + n);
    for (size_t i = 0; i < s->n_lists; i++)
        needed += pages_needed(s, &s->lists[i], s->length + n, settled_first(s, settled));
    return needed;
}

/* Page by page, all lists of it together: what is read one after the other lies far apart then,
 * but memory fills up from one end. */
static void take_slots(wn_kv_store *s, size_t n)
{
    s->extended = s->length + n;
    for (size_t page = s->length / WN_KV_SLOTS; page < kv_page_count(s->extended); page++)
        for (size_t i = 0; i < s->n_lists; i++) {
            if (s->o.window && !s->lists[i].tail[page])
                s->lists[i].evicted[page] = 0;
            kv_own_page(s, &s->lists[i].tail[page], s->length % WN_KV_SLOTS);
        }
}

/* A pool has to have, at once, what all its stores may need until the last of them has advanced. */
wn_status wn_kv_stores_extend(wn_kv_store *const *stores, size_t n_stores, size_t n,
                              const size_t *settled, size_t *full, wn_error *err)
{
    for (size_t i = 0; i < n_stores; i++) {
        const wn_kv_pool *pool = stores[i]->pool;
        const size_t n_free = wn_kv_pool_n_free(pool);
        size_t needed = 0;
        for (size_t j = 0; j <= i; j++)
            if (stores[j]->pool == pool)
                needed += all_pages_needed(stores[j], n, settled[j]);
        if (needed <= n_free)
            continue;
        *full = i;
        return wn_error_set(err, WN_LIMIT,
                            "no room for %zu more tokens: %zu of %zu KV pages are free, up to %zu "
                            "are needed",
                            n, n_free, n_free + wn_kv_pool_n_used(pool), needed);
    }
    for (size_t i = 0; i < n_stores; i++)
        take_slots(stores[i], n);
    return WN_OK;
}

wn_status wn_kv_store_extend(wn_kv_store *s, size_t n, size_t settled, wn_error *err)
{
    size_t full = 0;
    return wn_kv_stores_extend(&s, 1, n, &settled, &full, err);
}

typedef struct write_run {
    wn_kv_store *s;
    size_t layer;
    const float *k, *v;
} write_run;

/* One page of one head. */
static void write_page(void *ctx, size_t unit, size_t worker)
{
    const write_run *r = ctx;
    wn_kv_store *s = r->s;
    const size_t n_heads = s->o.n_kv_heads, d = s->o.head_dim;
    const size_t head = unit % n_heads, page = s->length / WN_KV_SLOTS + unit / n_heads;
    const size_t list = r->layer * n_heads + head;
    const size_t from = page * WN_KV_SLOTS, to = from + WN_KV_SLOTS;
    (void)worker;
    for (size_t p = from > s->length ? from : s->length; p < to && p < s->extended; p++) {
        const size_t at = ((p - s->length) * n_heads + head) * d;
        wn_kv_write(&s->layout, s->lists[list].tail[page], p - from, r->k + at, r->v + at);
    }
}

void wn_kv_store_write(wn_kv_store *s, wn_compute *c, size_t layer, const float *k, const float *v,
                       size_t n)
{
    assert(s->extended == s->length + n);
    write_run r = {s, layer, k, v};
    const size_t n_pages = kv_page_count(s->extended) - s->length / WN_KV_SLOTS;
    if (n < 16) { /* not worth waking anyone */
        for (size_t i = 0; i < n_pages * s->o.n_kv_heads; i++)
            write_page(&r, i, 0);
        return;
    }
    wn_thread_pool_run(wn_compute_pool(c), n_pages * s->o.n_kv_heads, write_page, &r);
}

void wn_kv_store_decide(wn_kv_store *s, size_t layer, size_t first, size_t n, const uint8_t *evict)
{
    kv_list *lists = s->lists + layer * s->o.n_kv_heads;
    assert(s->o.window && first >= s->tail_first && first + n <= s->extended);
    for (size_t i = 0; i < n; i++)
        for (size_t h = 0; h < s->o.n_kv_heads; h++) {
            uint64_t *word = &lists[h].evicted[(first + i) / WN_KV_SLOTS];
            const uint64_t bit = (uint64_t)1 << (first + i) % WN_KV_SLOTS;
            *word = evict[i * s->o.n_kv_heads + h] ? *word | bit : *word & ~bit;
        }
}

void wn_kv_store_view(wn_kv_store *s, size_t layer, size_t n, wn_attention_args *args)
{
    const size_t page = s->tail_first / WN_KV_SLOTS;
    for (size_t h = 0; h < s->o.n_kv_heads; h++) {
        const kv_list *list = &s->lists[layer * s->o.n_kv_heads + h];
        s->view[h] = (wn_kv_head){.log = (const uint8_t *const *)list->log,
                                  .n_log = list->n_log,
                                  .tail = (const uint8_t *const *)list->tail + page,
                                  .evicted = s->o.window ? list->evicted + page : NULL};
    }
    args->layout = &s->layout;
    args->heads = s->view;
    args->n_kv_heads = s->o.n_kv_heads;
    args->tail_first = s->tail_first;
    args->n_tail = s->length + n - s->tail_first;
    args->window = s->o.window ? s->o.window : SIZE_MAX;
}

static void append_to_log(wn_kv_store *s, kv_list *list, size_t position)
{
    const size_t page = list->n_log / WN_KV_SLOTS, slot = list->n_log % WN_KV_SLOTS;
    if (slot == 0)
        list->log[page] = NULL;
    kv_own_page(s, &list->log[page], slot);
    wn_kv_copy(&s->layout, list->log[page], slot, list->tail[position / WN_KV_SLOTS],
               position % WN_KV_SLOTS);
    list->n_log++;
}

void kv_drop_tail_page(wn_kv_store *s, kv_list *list, size_t page)
{
    if (list->tail[page])
        wn_kv_pool_give(s->pool, list->tail[page]);
    list->tail[page] = NULL;
}

/* The tail of every list starts at `first` now. */
static void shorten_tail(wn_kv_store *s, size_t first)
{
    for (size_t i = 0; i < s->n_lists; i++)
        for (size_t p = s->tail_first; p < first; p++) {
            if (kv_list_keeps(&s->lists[i], p))
                append_to_log(s, &s->lists[i], p);
            if ((p + 1) % WN_KV_SLOTS == 0)
                kv_drop_tail_page(s, &s->lists[i], p / WN_KV_SLOTS);
        }
    s->tail_first = first;
}

void wn_kv_store_advance(wn_kv_store *s, size_t n, size_t settled)
{
    assert(s->extended == s->length + n && settled <= s->extended);
    s->length += n;
    const size_t first = settled_first(s, settled);
    if (first > s->tail_first)
        shorten_tail(s, first);
}

size_t wn_kv_store_back_to(const wn_kv_store *s)
{
    const size_t first = s->tail_first > s->whole_from ? s->tail_first : s->whole_from;
    return first > 0 ? first + s->o.window : 0;
}

static void drop_log(wn_kv_store *s, kv_list *list)
{
    for (size_t page = 0; page < kv_page_count(list->n_log); page++)
        wn_kv_pool_give(s->pool, list->log[page]);
    list->n_log = 0;
}

size_t wn_kv_store_truncate(wn_kv_store *s, size_t n)
{
    if (n >= s->length)
        return s->length;
    if (s->packed || n < wn_kv_store_back_to(s)) /* that state would need tokens that are gone */
        n = 0;
    if (s->packed)
        kv_drop_packed(s);
    for (size_t i = 0; i < s->n_lists; i++) {
        kv_list *list = &s->lists[i];
        for (size_t page = kv_page_count(n); page < kv_page_count(s->length); page++)
            kv_drop_tail_page(s, list, page);
        if (n == 0)
            drop_log(s, list);
        if (s->o.window)
            kv_clear_bits(list, n);
    }
    kv_clear_behind(s, n);
    if (n == 0)
        s->tail_first = s->whole_from = 0;
    s->length = s->extended = n;
    wn_kv_store_trim(s);
    return n;
}

void wn_kv_store_trim(wn_kv_store *s)
{
    wn_kv_pool_trim(s->pool, SLACK_BYTES);
}

size_t wn_kv_store_bytes(const wn_kv_store *s)
{
    const size_t per_page = (s->o.window ? 2 : 1) * sizeof *s->pages + (s->o.window ? 8 : 0);
    const size_t n_pages = kv_page_count(s->length), n_gone = s->tail_first / WN_KV_SLOTS;
    size_t n = s->packed ? 0 : s->n_lists * (n_pages - n_gone);
    for (size_t i = 0; i < s->n_lists; i++)
        n += s->packed ? s->lists[i].n_log / WN_KV_SLOTS : kv_page_count(s->lists[i].n_log);
    return n * s->layout.page_bytes + s->packed_bytes + s->n_lists * n_pages * per_page;
}

/* A page that two of them share has the same place in both. */
static bool is_in_any(const wn_kv_store *const *others, size_t n, size_t list, bool log,
                      size_t page, const uint8_t *p)
{
    for (size_t i = 0; i < n; i++) {
        const kv_list *l = &others[i]->lists[list];
        const size_t n_pages = kv_page_count(log ? l->n_log : others[i]->length);
        if (page < n_pages && (log ? l->log : l->tail)[page] == p)
            return true;
    }
    return false;
}

size_t wn_kv_store_bytes_beside(const wn_kv_store *s, const wn_kv_store *const *others, size_t n)
{
    size_t own = 0;
    for (size_t i = 0; i < s->n_lists; i++) {
        const kv_list *list = &s->lists[i];
        for (size_t page = 0; page < kv_page_count(list->n_log); page++)
            own += !is_in_any(others, n, i, true, page, list->log[page]);
        for (size_t page = 0; page < kv_page_count(s->length); page++)
            own += list->tail[page] && !is_in_any(others, n, i, false, page, list->tail[page]);
    }
    return own * s->layout.page_bytes;
}

size_t wn_kv_store_n_kept(const wn_kv_store *s, size_t layer, size_t head)
{
    return s->lists[layer * s->o.n_kv_heads + head].n_log + s->length - s->tail_first;
}

bool wn_kv_store_has(const wn_kv_store *s, size_t layer, size_t head, size_t position)
{
    return position >= s->tail_first ||
           kv_list_keeps(&s->lists[layer * s->o.n_kv_heads + head], position);
}

size_t wn_kv_store_tail_first(const wn_kv_store *s)
{
    return s->tail_first;
}

wn_kv_format wn_kv_store_format(const wn_kv_store *s)
{
    return s->o.format;
}
