#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"

static atomic_size_t alloc_count;
static atomic_size_t fail_at; /* count at which to fail; 0 = never */
static atomic_bool fail_sticky;

/* True when the test hook wants this allocation to fail. */
static bool injected_failure(void)
{
    size_t n = atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed) + 1;
    size_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (at == 0 || n < at)
        return false;
    return n == at || atomic_load_explicit(&fail_sticky, memory_order_relaxed);
}

void wn_alloc_fail_after(size_t n, bool sticky)
{
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_at, n ? atomic_load(&alloc_count) + n : 0);
}

size_t wn_alloc_count(void)
{
    return atomic_load(&alloc_count);
}

void *wn_alloc(size_t n, size_t size)
{
    size_t bytes = 0;
    if (!wn_size_mul(n, size, &bytes) || injected_failure())
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *wn_realloc(void *p, size_t n, size_t size)
{
    size_t bytes = 0;
    if (!wn_size_mul(n, size, &bytes) || injected_failure())
        return NULL;
    return realloc(p, bytes ? bytes : 1);
}

void *wn_alloc_aligned(size_t alignment, size_t n, size_t size)
{
    size_t bytes = 0;
    if (!wn_size_mul(n, size, &bytes) || injected_failure())
        return NULL;
    void *p = NULL;
    if (posix_memalign(&p, alignment, bytes ? bytes : 1) != 0)
        return NULL;
    memset(p, 0, bytes ? bytes : 1);
    return p;
}

bool wn_alloc_floats(float **out, size_t rows, size_t cols)
{
    size_t n = 0;
    *out = wn_size_mul(rows, cols, &n) ? wn_alloc_aligned(64, n, sizeof **out) : NULL;
    return *out != NULL;
}

void *wn_alloc_huge(size_t bytes)
{
    const size_t page = (size_t)2 << 20;
    void *p = NULL;
    if (!wn_size_add(bytes ? bytes : 1, page - 1, &bytes) || injected_failure())
        return NULL;
    bytes = bytes / page * page;
    if (posix_memalign(&p, page, bytes) != 0)
        return NULL;
    madvise(p, bytes, MADV_HUGEPAGE); /* a wish: without it the pages are small */
    return p;
}

char *wn_strndup(const char *s, size_t len)
{
    size_t bytes = 0;
    if (!wn_size_add(len, 1, &bytes))
        return NULL;
    char *copy = wn_alloc(bytes, 1);
    if (copy && len)
        memcpy(copy, s, len);
    return copy;
}

char *wn_strdup(const char *s)
{
    return wn_strndup(s, strlen(s));
}
