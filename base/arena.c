#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

#define ARENA_ALIGN 16
#define ARENA_BLOCK (64u << 10)

typedef struct arena_block {
    struct arena_block *next;
    size_t cap, used;
    _Alignas(ARENA_ALIGN) unsigned char data[];
} arena_block;

struct wn_arena {
    arena_block *first, *current;
    size_t cap, used;
};

wn_status wn_arena_create(wn_arena **out, size_t cap_bytes, wn_error *err)
{
    wn_arena *a = wn_alloc(1, sizeof *a);
    if (!a)
        return wn_error_set(err, WN_NO_MEMORY, "arena: out of memory");
    a->cap = cap_bytes;
    *out = a;
    return WN_OK;
}

/* A block with `need` free bytes: the current one, one kept by a reset, or a new one. */
static arena_block *block_for(wn_arena *a, size_t need)
{
    while (a->current && a->current->cap - a->current->used < need && a->current->next)
        a->current = a->current->next;
    if (a->current && a->current->cap - a->current->used >= need)
        return a->current;
    size_t cap = need > ARENA_BLOCK ? need : ARENA_BLOCK;
    size_t bytes = 0;
    if (!wn_size_add(cap, sizeof(arena_block), &bytes))
        return NULL;
    arena_block *block = wn_alloc_aligned(ARENA_ALIGN, bytes, 1);
    if (!block)
        return NULL;
    block->cap = cap;
    if (a->current)
        a->current->next = block;
    else
        a->first = block;
    a->current = block;
    return block;
}

void *wn_arena_alloc(wn_arena *a, size_t n, size_t size)
{
    size_t need = 0;
    if (!wn_size_mul(n, size, &need) || !wn_size_add(need, ARENA_ALIGN - 1, &need))
        return NULL;
    need &= ~(size_t)(ARENA_ALIGN - 1);
    if (need == 0)
        need = ARENA_ALIGN;
    if (need > a->cap - a->used)
        return NULL;
    arena_block *block = block_for(a, need);
    if (!block)
        return NULL;
    void *p = block->data + block->used;
    block->used += need;
    a->used += need;
    memset(p, 0, need);
    return p;
}

char *wn_arena_strndup(wn_arena *a, const char *s, size_t len)
{
    size_t bytes = 0;
    if (!wn_size_add(len, 1, &bytes))
        return NULL;
    char *copy = wn_arena_alloc(a, bytes, 1);
    if (copy && len)
        memcpy(copy, s, len);
    return copy;
}

char *wn_arena_strdup(wn_arena *a, const char *s)
{
    return wn_arena_strndup(a, s, strlen(s));
}

size_t wn_arena_used(const wn_arena *a)
{
    return a->used;
}

void wn_arena_reset(wn_arena *a)
{
    for (arena_block *b = a->first; b; b = b->next)
        b->used = 0;
    a->current = a->first;
    a->used = 0;
}

void wn_arena_free(wn_arena *a)
{
    if (!a)
        return;
    arena_block *b = a->first;
    while (b) {
        arena_block *next = b->next;
        free(b);
        b = next;
    }
    free(a);
}
