#include "generate/tokenizer_bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

#define SHORT_PIECE 48 /* up to here a scan for the lowest rank beats a heap */

wn_status wn_bpe_init(wn_bpe *b, size_t n, wn_error *err)
{
    *b = (wn_bpe){0};
    if (n > UINT32_MAX / 4)
        return wn_error_set(err, WN_FORMAT, "%zu merges", n);
    size_t n_slots = 64;
    while (n_slots < n + n / 2)
        n_slots *= 2;
    b->slots = wn_alloc(n_slots, sizeof *b->slots);
    if (!b->slots)
        return wn_error_set(err, WN_NO_MEMORY, "out of memory for %zu merges", n);
    b->n_slots = n_slots;
    for (size_t i = 0; i < n_slots; i++)
        b->slots[i].id = -1;
    return WN_OK;
}

void wn_bpe_free(wn_bpe *b)
{
    free(b->slots);
    *b = (wn_bpe){0};
}

static inline size_t find_slot(const wn_bpe *b, uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    size_t i = (size_t)(h >> 32) & (b->n_slots - 1);
    while (b->slots[i].id >= 0 && (b->slots[i].left != left || b->slots[i].right != right))
        i = (i + 1) & (b->n_slots - 1);
    return i;
}

void wn_bpe_add(wn_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    size_t i = find_slot(b, (uint32_t)left, (uint32_t)right);
    b->n += b->slots[i].id < 0;
    b->slots[i] = (wn_bpe_merge){(uint32_t)left, (uint32_t)right, rank, id};
}

/* The merge of two neighbours, or NULL. */
static inline const wn_bpe_merge *find_merge(const wn_bpe *b, int32_t left, int32_t right)
{
    const wn_bpe_merge *m = &b->slots[find_slot(b, (uint32_t)left, (uint32_t)right)];
    return m->id < 0 ? NULL : m;
}

static size_t merge_short(const wn_bpe *b, int32_t *ids, size_t n)
{
    const wn_bpe_merge *pairs[SHORT_PIECE];
    for (size_t i = 0; i + 1 < n; i++)
        pairs[i] = find_merge(b, ids[i], ids[i + 1]);
    for (;;) {
        size_t best = 0;
        uint64_t best_rank = UINT64_MAX;
        for (size_t i = 0; i + 1 < n; i++) {
            if (pairs[i] && pairs[i]->rank < best_rank) {
                best = i;
                best_rank = pairs[i]->rank;
            }
        }
        if (best_rank == UINT64_MAX)
            return n;
        ids[best] = pairs[best]->id;
        n--;
        for (size_t i = best + 1; i < n; i++)
            ids[i] = ids[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++)
            pairs[i] = pairs[i + 1];
        if (best > 0)
            pairs[best - 1] = find_merge(b, ids[best - 1], ids[best]);
        if (best + 1 < n)
            pairs[best] = find_merge(b, ids[best], ids[best + 1]);
    }
}

void wn_bpe_scratch_free(wn_bpe_scratch *s)
{
    free(s->symbols);
    free(s->heap);
    *s = (wn_bpe_scratch){0};
}

static bool push(wn_bpe_scratch *s, const wn_bpe_merge *m, size_t pos)
{
    if (s->heap_n == s->heap_cap) {
        size_t cap = s->heap_cap ? s->heap_cap * 2 : 256;
        wn_bpe_candidate *heap = wn_realloc(s->heap, cap, sizeof *heap);
        if (!heap)
            return false;
        s->heap = heap;
        s->heap_cap = cap;
    }
    wn_bpe_candidate c = {(uint64_t)m->rank << 32 | pos, m->id};
    size_t i = s->heap_n++;
    while (i > 0 && s->heap[(i - 1) / 2].key > c.key) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = c;
    return true;
}

static wn_bpe_candidate pop(wn_bpe_scratch *s)
{
    wn_bpe_candidate top = s->heap[0], last = s->heap[--s->heap_n];
    size_t i = 0, child = 0;
    while ((child = 2 * i + 1) < s->heap_n) {
        if (child + 1 < s->heap_n && s->heap[child + 1].key < s->heap[child].key)
            child++;
        if (s->heap[child].key >= last.key)
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static bool push_pair(const wn_bpe *b, wn_bpe_scratch *s, int32_t left)
{
    int32_t right = s->symbols[left].next;
    if (right < 0)
        return true;
    const wn_bpe_merge *m = find_merge(b, s->symbols[left].id, s->symbols[right].id);
    return !m || push(s, m, (size_t)left);
}

static bool start_symbols(const wn_bpe *b, wn_bpe_scratch *s, const int32_t *ids, size_t n)
{
    if (n > s->symbols_cap) {
        wn_bpe_symbol *symbols = wn_realloc(s->symbols, n, sizeof *symbols);
        if (!symbols)
            return false;
        s->symbols = symbols;
        s->symbols_cap = n;
    }
    for (size_t i = 0; i < n; i++)
        s->symbols[i] = (wn_bpe_symbol){ids[i], (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1};
    s->heap_n = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        if (!push_pair(b, s, (int32_t)i))
            return false;
    }
    return true;
}

static size_t merge_long(const wn_bpe *b, wn_bpe_scratch *s, int32_t *ids, size_t n, bool *ok)
{
    *ok = start_symbols(b, s, ids, n);
    while (*ok && s->heap_n > 0) {
        wn_bpe_candidate c = pop(s);
        int32_t left = (int32_t)(c.key & UINT32_MAX);
        wn_bpe_symbol *a = &s->symbols[left];
        if (a->id < 0 || a->next < 0)
            continue;
        wn_bpe_symbol *z = &s->symbols[a->next];
        const wn_bpe_merge *m = find_merge(b, a->id, z->id);
        if (!m || m->id != c.id) /* a neighbour changed since this candidate was pushed */
            continue;
        a->id = c.id;
        z->id = -1;
        a->next = z->next;
        if (a->next >= 0)
            s->symbols[a->next].prev = left;
        *ok = push_pair(b, s, left) && (a->prev < 0 || push_pair(b, s, a->prev));
    }
    size_t kept = 0;
    for (size_t i = 0; *ok && i < n; i++) {
        if (s->symbols[i].id >= 0)
            ids[kept++] = s->symbols[i].id;
    }
    return kept;
}

size_t wn_bpe_merge_ids(const wn_bpe *b, wn_bpe_scratch *s, int32_t *ids, size_t n, bool *ok)
{
    *ok = true;
    return n <= SHORT_PIECE ? merge_short(b, ids, n) : merge_long(b, s, ids, n, ok);
}
