#include "generate/kv_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/kv_pool.h"

typedef struct kv_list {
    uint8_t **log;     /* pages; NULL when dense */
    size_t n_log;      /* keys */
    uint8_t **tail;    /* page of positions 64 i ..; NULL where no page is */
    uint64_t *evicted; /* likewise; NULL when dense */
} kv_list;

struct wn_kv_store {
    wn_kv_store_options o;
    wn_kv_layout layout;
    wn_kv_pool pool;
    size_t n_lists, n_slots; /* pages that a list has room for */
    kv_list *lists;          /* [n_layers][n_kv_heads] */
    uint8_t **pages;         /* what log and tail point into */
    uint64_t *bits;          /* what evicted points into; NULL when dense */
    wn_kv_head *view;        /* [n_kv_heads] */
    size_t length;           /* tokens of the sequence */
    size_t extended;         /* length and the tokens being added */
    size_t tail_first;       /* position */
};

static size_t page_count(size_t n_tokens)
{
    return (n_tokens + WN_KV_SLOTS - 1) / WN_KV_SLOTS;
}

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

wn_status wn_kv_store_open(wn_kv_store **out, const wn_kv_store_options *options, wn_error *err)
{
    wn_kv_store *s = wn_alloc(1, sizeof *s);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "KV store: out of memory");
    s->o = *options;
    s->layout = wn_kv_layout_of(options->format, options->head_dim);
    s->n_lists = options->n_layers * options->n_kv_heads;
    s->n_slots = page_count(options->n_ctx);
    wn_status status = alloc_lists(s, err);
    /* A log and a tail hold n_ctx tokens at most, and three pages of them may be partial. */
    size_t n_pages = s->n_slots + (options->window ? 3 : 0);
    if (status == WN_OK && !wn_size_mul(n_pages, s->n_lists, &n_pages))
        status = wn_error_set(err, WN_NO_MEMORY, "no memory for the KV pages of %zu tokens",
                              options->n_ctx);
    if (status == WN_OK)
        status = wn_kv_pool_open(&s->pool, s->layout.page_bytes, n_pages, err);
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
    wn_kv_pool_close(&s->pool);
    free(s->lists);
    free(s->pages);
    free(s->bits);
    free(s->view);
    free(s);
}

/* Page by page, all lists of it together: what is read one after the other lies far apart then,
 * but memory fills up from one end. */
void wn_kv_store_extend(wn_kv_store *s, size_t n)
{
    assert(n <= s->o.n_chunk && n <= s->o.n_ctx - s->length);
    s->extended = s->length + n;
    for (size_t page = s->length / WN_KV_SLOTS; page < page_count(s->extended); page++)
        for (size_t i = 0; i < s->n_lists; i++) {
            if (s->lists[i].tail[page])
                continue;
            s->lists[i].tail[page] = wn_kv_pool_take(&s->pool);
            if (s->o.window)
                s->lists[i].evicted[page] = 0;
        }
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
    const size_t n_pages = page_count(s->extended) - s->length / WN_KV_SLOTS;
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
        list->log[page] = wn_kv_pool_take(&s->pool);
    wn_kv_copy(&s->layout, list->log[page], slot, list->tail[position / WN_KV_SLOTS],
               position % WN_KV_SLOTS);
    list->n_log++;
}

static void drop_tail_page(wn_kv_store *s, kv_list *list, size_t page)
{
    if (list->tail[page])
        wn_kv_pool_give(&s->pool, list->tail[page]);
    list->tail[page] = NULL;
}

/* The tail of every list starts at `first` now. */
static void shorten_tail(wn_kv_store *s, size_t first)
{
    for (size_t i = 0; i < s->n_lists; i++) {
        kv_list *list = &s->lists[i];
        for (size_t p = s->tail_first; p < first; p++)
            if (!(list->evicted[p / WN_KV_SLOTS] >> p % WN_KV_SLOTS & 1))
                append_to_log(s, list, p);
        for (size_t page = s->tail_first / WN_KV_SLOTS; page < first / WN_KV_SLOTS; page++)
            drop_tail_page(s, list, page);
    }
    s->tail_first = first;
}

void wn_kv_store_advance(wn_kv_store *s, size_t n, size_t settled)
{
    assert(s->extended == s->length + n && settled <= s->extended);
    s->length += n;
    if (s->o.window && settled > s->tail_first + s->o.window)
        shorten_tail(s, settled - s->o.window);
}

size_t wn_kv_store_truncate(wn_kv_store *s, size_t n)
{
    if (n >= s->length)
        return s->length;
    if (s->tail_first > 0) /* the state after n tokens would need tokens that are gone */
        n = 0;
    for (size_t i = 0; i < s->n_lists; i++) {
        kv_list *list = &s->lists[i];
        for (size_t page = page_count(n); page < page_count(s->length); page++)
            drop_tail_page(s, list, page);
        for (size_t page = 0; page < page_count(list->n_log); page++)
            wn_kv_pool_give(&s->pool, list->log[page]);
        list->n_log = 0;
        if (s->o.window && n % WN_KV_SLOTS)
            list->evicted[n / WN_KV_SLOTS] &= ((uint64_t)1 << n % WN_KV_SLOTS) - 1;
    }
    s->tail_first = 0;
    s->length = s->extended = n;
    wn_kv_pool_trim(&s->pool);
    return n;
}

size_t wn_kv_store_bytes(const wn_kv_store *s)
{
    const size_t per_page = (s->o.window ? 2 : 1) * sizeof *s->pages + (s->o.window ? 8 : 0);
    return wn_kv_pool_bytes(&s->pool) + s->n_lists * page_count(s->length) * per_page;
}
