/* Size arithmetic that notices overflow. Use for every size that comes from outside. */
#ifndef WN_BASE_CHECKED_H
#define WN_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a op b; true when the result fits, false (out untouched) when it does not. */
static inline bool wn_size_add(size_t a, size_t b, size_t *out)
{
    size_t r = 0;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool wn_size_mul(size_t a, size_t b, size_t *out)
{
    size_t r = 0;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* Allocation helpers: NULL on overflow or when memory is out; zeroed; free() releases. A request of
 * 0 bytes gives a valid pointer. All allocations of winnow go through these (or the arena), so that
 * tests can fail the n-th one. */
void *wn_alloc(size_t n, size_t size);
void *wn_realloc(void *p, size_t n, size_t size);                /* p untouched on failure */
void *wn_alloc_aligned(size_t alignment, size_t n, size_t size); /* zeroed; free() releases */
/* [rows][cols] as above, for vector units: *out is NULL, and the result false, where there is none.
 */
bool wn_alloc_floats(float **out, size_t rows, size_t cols);
/* For megabytes that are streamed through: asks for 2 MiB pages, which read 1.4 times as fast. NOT
 * zeroed; untouched pages cost no memory; free() releases. */
void *wn_alloc_huge(size_t bytes);
char *wn_strndup(const char *s, size_t len);
char *wn_strdup(const char *s);

/* Test hook: the n-th following allocation (1 = the next) fails, and, if sticky, all after it.
 * n = 0 switches it off. Not thread-safe by intent: set it before threads start. */
void wn_alloc_fail_after(size_t n, bool sticky);
size_t wn_alloc_count(void); /* allocations since process start */

#endif
