#include "generate/kv_span.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/checked.h"
#include "generate/kv_store_internal.h"

/* Pieces of memory in one system call, and bytes, so that they are in L2 yet when they are
 * digested.
 */
#define BATCH 128
#define BATCH_BYTES ((size_t)256 << 10)

static size_t n_words(const wn_kv_store *s, size_t from_tail, size_t to)
{
    return s->o.window && to > 0 ? kv_page_count(to) - from_tail / WN_KV_SLOTS : 0;
}

size_t wn_kv_span_bits_bytes(const wn_kv_store *s, size_t from_tail, size_t to)
{
    return s->n_lists * n_words(s, from_tail, to) * sizeof(uint64_t);
}

void wn_kv_span_save_bits(const wn_kv_span *span, uint8_t *out)
{
    const size_t n = n_words(span->s, span->from_tail, span->to);
    for (size_t i = 0; n && i < span->s->n_lists; i++) {
        const uint64_t *words = span->s->lists[i].evicted + span->from_tail / WN_KV_SLOTS;
        uint64_t last = words[n - 1];
        if (span->to % WN_KV_SLOTS)
            last &= ((uint64_t)1 << span->to % WN_KV_SLOTS) - 1;
        memcpy(out + i * n * sizeof *words, words, (n - 1) * sizeof *words);
        memcpy(out + (i * n + n - 1) * sizeof *words, &last, sizeof last);
    }
}

/* The tail is written from here on: positions before it are in the earlier state's. */
static size_t tail_start(const wn_kv_span *span)
{
    return span->s->o.window ? span->to_tail : span->from;
}

/* Only what later queries can see of the tail is in the file. */
static bool is_thin(const wn_kv_span *span)
{
    return span->s->o.window && span->to_tail > 0;
}

static size_t tail_slots(const wn_kv_span *span, const kv_list *list)
{
    return is_thin(span) ? kv_count_seen(span->s, list, span->to_tail, span->to)
                         : span->to - tail_start(span);
}

static size_t log_start(const wn_kv_span *span, const kv_list *list)
{
    return span->s->o.window ? kv_count_log(list, span->from_tail) : 0;
}

static size_t log_end(const wn_kv_span *span, const kv_list *list)
{
    return span->s->o.window ? kv_count_log(list, span->to_tail) : 0;
}

/* Bits are in the store. */
static wn_status prepare(wn_kv_span *out, const wn_kv_store *s, const size_t at[4], wn_error *err)
{
    *out = (wn_kv_span){.s = (wn_kv_store *)(uintptr_t)s,
                        .from = at[0],
                        .from_tail = at[1],
                        .to = at[2],
                        .to_tail = at[3],
                        .n_layers = s->o.n_layers,
                        .n_kv_heads = s->o.n_kv_heads,
                        .with_tail = true};
    out->log_at = wn_alloc(out->n_layers + 1, sizeof *out->log_at);
    out->tail_at = wn_alloc(out->n_layers + 1, sizeof *out->tail_at);
    out->digests = wn_alloc(2 * out->n_layers, WN_GMAC_BYTES);
    if (!out->log_at || !out->tail_at || !out->digests) {
        wn_kv_span_close(out);
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix' layout");
    }
    const size_t slot = kv_slot_bytes(&s->layout);
    for (size_t i = 0; i < s->n_lists; i++) {
        const size_t layer = i / out->n_kv_heads;
        if (i % out->n_kv_heads == 0) {
            out->log_at[layer + 1] = out->log_at[layer];
            out->tail_at[layer + 1] = out->tail_at[layer];
        }
        out->log_at[layer + 1] +=
            slot * (log_end(out, &s->lists[i]) - log_start(out, &s->lists[i]));
        out->tail_at[layer + 1] += slot * tail_slots(out, &s->lists[i]);
    }
    return WN_OK;
}

wn_status wn_kv_span_open(wn_kv_span *out, const wn_kv_store *s, size_t from, size_t from_tail,
                          size_t to, size_t to_tail, wn_error *err)
{
    assert(from <= to && from_tail <= from && from_tail <= to_tail && s->tail_first == to_tail);
    assert(to == s->length || (to < s->length && to_tail == 0));
    return prepare(out, s, (const size_t[4]){from, from_tail, to, to_tail}, err);
}

static wn_status check(const wn_kv_store *s, size_t from, size_t from_tail, size_t to,
                       size_t to_tail, wn_error *err)
{
    assert(s->length == from && s->tail_first == from_tail);
    if (to > s->o.n_ctx)
        return wn_error_set(err, WN_LIMIT, "a prefix of %zu tokens, room for %zu", to, s->o.n_ctx);
    if (to <= from || to_tail < from_tail ||
        (to_tail > 0 && (!s->o.window || to_tail + s->o.window > to)))
        return wn_error_set(err, WN_FORMAT, "a prefix from %zu to %zu whose window starts at %zu",
                            from, to, to_tail);
    return WN_OK;
}

/* New pages and copies of shared ones that the later state takes. */
static size_t pages_needed(const wn_kv_span *span)
{
    const wn_kv_store *s = span->s;
    size_t n = 0;
    for (size_t i = 0; i < s->n_lists; i++) {
        const kv_list *list = &s->lists[i];
        const size_t end = log_end(span, list), pages = kv_page_count(list->n_log);
        n += kv_page_count(end) - pages;
        n += end > list->n_log && list->n_log % WN_KV_SLOTS &&
             wn_kv_pool_is_shared(s->pool, list->log[pages - 1]);
        if (span->with_tail)
            n += kv_page_count(span->to) - tail_start(span) / WN_KV_SLOTS;
    }
    return n;
}

static void take_pages(wn_kv_span *span, kv_list *list)
{
    wn_kv_store *s = span->s;
    const size_t end = log_end(span, list), first = tail_start(span);
    for (size_t page = list->n_log / WN_KV_SLOTS; page < kv_page_count(end); page++) {
        if (page * WN_KV_SLOTS >= list->n_log)
            list->log[page] = NULL;
        if (end > list->n_log)
            kv_own_page(s, &list->log[page], list->n_log - page * WN_KV_SLOTS);
    }
    list->n_log = end;
    for (size_t page = 0; s->o.window && page < kv_page_count(span->from); page++)
        kv_drop_tail_page(s, list, page);
    for (size_t page = first / WN_KV_SLOTS; span->with_tail && page < kv_page_count(span->to);
         page++)
        kv_own_page(s, &list->tail[page], first % WN_KV_SLOTS);
    for (size_t page = first / WN_KV_SLOTS;
         is_thin(span) && span->with_tail && page * WN_KV_SLOTS < kv_seen_end(s, span->to); page++)
        kv_clear_slots(s, list->tail[page], 0, WN_KV_SLOTS);
    if (s->o.window && span->with_tail)
        kv_clear_slots(s, list->tail[first / WN_KV_SLOTS], 0, first % WN_KV_SLOTS);
}

wn_status wn_kv_span_begin(wn_kv_span *out, wn_kv_store *s, size_t from, size_t from_tail,
                           size_t to, size_t to_tail, const uint8_t *bits, bool with_tail,
                           wn_error *err)
{
    const size_t words = n_words(s, from_tail, to);
    WN_TRY(check(s, from, from_tail, to, to_tail, err));
    for (size_t i = 0; words && i < s->n_lists; i++)
        memcpy(s->lists[i].evicted + from_tail / WN_KV_SLOTS, bits + i * words * sizeof(uint64_t),
               words * sizeof(uint64_t));
    WN_TRY(prepare(out, s, (const size_t[4]){from, from_tail, to, to_tail}, err));
    out->with_tail = with_tail || !s->o.window;
    for (size_t i = 0; i < s->n_lists; i++)
        if (log_start(out, &s->lists[i]) != s->lists[i].n_log) {
            wn_kv_span_close(out);
            return wn_error_set(err, WN_FORMAT, "a prefix whose decisions are not its parent's");
        }
    const size_t needed = pages_needed(out), n_free = wn_kv_pool_n_free(s->pool);
    if (needed > n_free) {
        wn_kv_span_close(out);
        return wn_error_set(err, WN_LIMIT, "no room for a prefix: %zu KV pages are free, not %zu",
                            n_free, needed);
    }
    for (size_t i = 0; i < s->n_lists; i++)
        take_pages(out, &s->lists[i]);
    s->length = s->extended = to;
    s->tail_first = to_tail;
    s->whole_from = is_thin(out) ? kv_seen_end(s, to) : 0;
    return WN_OK;
}

size_t wn_kv_span_log_bytes(const wn_kv_span *span)
{
    return span->log_at[span->n_layers];
}

size_t wn_kv_span_tail_bytes(const wn_kv_span *span)
{
    return span->tail_at[span->n_layers];
}

void wn_kv_span_close(wn_kv_span *span)
{
    free(span->log_at);
    free(span->tail_at);
    free(span->digests);
    *span = (wn_kv_span){0};
}

/* Pieces of memory whose bytes lie one after the other in the file. */
typedef struct batch {
    const wn_kv_span_io *io;
    uint64_t at;
    wn_gmac *gmac;
    struct iovec v[BATCH];
    size_t bytes;
    int n;
    int failed; /* errno; -1: the file is too short */
} batch;

/* Moves all of v, which may take several calls. */
static int move_all(const wn_kv_span_io *io, struct iovec *v, int n, uint64_t at)
{
    while (n > 0) {
        const ssize_t done =
            io->write ? pwritev(io->fd, v, n, (off_t)at) : preadv(io->fd, v, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : -1;
        size_t left = (size_t)done;
        at += left;
        while (n > 0 && left >= v->iov_len) {
            left -= v->iov_len;
            v++;
            n--;
        }
        if (n > 0) {
            v->iov_base = (uint8_t *)v->iov_base + left;
            v->iov_len -= left;
        }
    }
    return 0;
}

static void flush(batch *b)
{
    struct iovec v[BATCH];
    memcpy(v, b->v, sizeof v);
    if (!b->failed)
        b->failed = move_all(b->io, v, b->n, b->at);
    for (int i = 0; !b->failed && i < b->n; i++) {
        b->at += b->v[i].iov_len;
        if (wn_gmac_add(b->gmac, b->v[i].iov_base, b->v[i].iov_len, NULL) != WN_OK)
            b->failed = ENOMEM;
    }
    b->n = 0;
    b->bytes = 0;
}

static void add(batch *b, uint8_t *bytes, size_t len)
{
    if (b->n == BATCH || b->bytes >= BATCH_BYTES)
        flush(b);
    struct iovec *last = b->n ? &b->v[b->n - 1] : NULL;
    b->bytes += len;
    if (last && (uint8_t *)last->iov_base + last->iov_len == bytes)
        last->iov_len += len;
    else
        b->v[b->n++] = (struct iovec){bytes, len};
}

/* Slots first .. end - 1 of a list of pages; a full page is one piece. */
static void add_slots(batch *b, const wn_kv_layout *l, uint8_t **pages, size_t first, size_t end)
{
    kv_part parts[4];
    const size_t n_parts = kv_parts_of(l, parts);
    while (first < end) {
        uint8_t *page = pages[first / WN_KV_SLOTS];
        const size_t slot = first % WN_KV_SLOTS, left = end - first;
        const size_t n = left < WN_KV_SLOTS - slot ? left : WN_KV_SLOTS - slot;
        for (size_t i = 0; i < n_parts; i++)
            add(b, page + parts[i].at + slot * parts[i].bytes, n * parts[i].bytes);
        first += n;
    }
}

/* The rows of a tail that are in the file, part by part. */
static void add_seen(batch *b, const wn_kv_span *span, const kv_list *list)
{
    kv_part parts[4];
    const size_t n_parts = kv_parts_of(&span->s->layout, parts);
    for (size_t i = 0; i < n_parts; i++)
        for (size_t at = span->to_tail, n = 0; kv_next_seen(span->s, list, span->to, &at, &n);
             at += n)
            add(b, list->tail[at / WN_KV_SLOTS] + parts[i].at + at % WN_KV_SLOTS * parts[i].bytes,
                n * parts[i].bytes);
}

/* The same of a packed store: log slots from `first` on that are not in full pages, or the tail. */
static void add_packed(batch *b, const wn_kv_store *s, size_t list, bool tail, size_t first)
{
    kv_packed_rows rows;
    kv_packed_part(s, list, &rows);
    const size_t start = tail ? rows.n_log : first, end = tail ? rows.n : rows.n_log;
    for (size_t i = 0; start < end && i < rows.n_parts; i++)
        add(b, rows.part[i] + start * rows.bytes[i], (end - start) * rows.bytes[i]);
}

static void add_list(batch *b, const wn_kv_span *span, size_t i, bool tail)
{
    const wn_kv_store *s = span->s;
    const kv_list *list = &s->lists[i];
    const size_t first = log_start(span, list), end = log_end(span, list);
    const size_t full = end / WN_KV_SLOTS * WN_KV_SLOTS;
    if (tail && s->packed)
        add_packed(b, s, i, true, 0);
    else if (tail && is_thin(span))
        add_seen(b, span, list);
    else if (tail)
        add_slots(b, &s->layout, list->tail, tail_start(span), span->to);
    else if (!s->packed)
        add_slots(b, &s->layout, list->log, first, end);
    else {
        if (first < full)
            add_slots(b, &s->layout, list->log, first, full);
        add_packed(b, s, i, false, first > full ? first - full : 0);
    }
}

typedef struct move {
    wn_kv_span *span;
    const wn_kv_span_io *io;
    int *failed; /* [2 * n_layers] */
} move;

/* One layer's bytes in one of the sections. */
static void move_layer(void *ctx, size_t unit, size_t worker)
{
    const move *m = ctx;
    const wn_kv_span *span = m->span;
    const bool tail = unit >= span->n_layers;
    const size_t layer = unit % span->n_layers;
    batch b = {.io = m->io,
               .at = tail ? m->io->tail_at + span->tail_at[layer]
                          : m->io->log_at + span->log_at[layer]};
    uint8_t nonce[WN_GMAC_NONCE_BYTES] = {0};
    (void)worker;
    memcpy(nonce, &unit, sizeof unit);
    if (wn_gmac_open(&b.gmac, m->io->digest_key, nonce, NULL) != WN_OK) {
        m->failed[unit] = ENOMEM;
        return;
    }
    for (size_t head = 0; head < span->n_kv_heads; head++)
        add_list(&b, span, layer * span->n_kv_heads + head, tail);
    flush(&b);
    if (!b.failed && wn_gmac_tag(b.gmac, span->digests + unit * WN_GMAC_BYTES, NULL) != WN_OK)
        b.failed = ENOMEM;
    wn_gmac_close(b.gmac);
    m->failed[unit] = b.failed;
}

wn_status wn_kv_span_move(wn_kv_span *span, const wn_kv_span_io *io, wn_error *err)
{
    const size_t n = span->n_layers * (span->with_tail ? 2 : 1);
    move m = {span, io, wn_alloc(n, sizeof *m.failed)};
    wn_status status = WN_OK;
    if (!m.failed)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix' layers");
    if (io->pool)
        wn_thread_pool_run(io->pool, n, move_layer, &m);
    for (size_t i = 0; !io->pool && i < n; i++)
        move_layer(&m, i, 0);
    for (size_t i = 0; status == WN_OK && i < n; i++)
        if (m.failed[i] < 0)
            status = wn_error_set(err, WN_FORMAT, "the file of a prefix ends too early");
        else if (m.failed[i])
            status = wn_error_set_errno(err, m.failed[i], "the file of a prefix");
    free(m.failed);
    return status;
}
