/* Fail-the-n-th-allocation: runs an operation once to count its allocations, then again with each
 * of them failing (that one alone, and that one with all after it).
 *
 *     static wn_status build(void *ctx, wn_error *err) { ... open, use, close ... }
 *     wn_test_each_alloc_fails(build, &ctx);
 *
 * The operation must clean up after itself and answer WN_NO_MEMORY with a text when an allocation
 * failed; leaks are AddressSanitizer's to find. Only allocations through base/checked.h count. */
#ifndef WN_TEST_ALLOC_FAILURE_H
#define WN_TEST_ALLOC_FAILURE_H

#include "tests/test_support.h"

#include "base/checked.h"

typedef wn_status (*wn_test_operation)(void *ctx, wn_error *err);

/* Returns how many allocations the operation makes (at least 1: otherwise nothing was tested). */
static inline size_t wn_test_each_alloc_fails(wn_test_operation operation, void *ctx)
{
    wn_alloc_fail_after(0, false);
    size_t before = wn_alloc_count();
    WN_ASSERT_OK(operation(ctx, err));
    size_t n = wn_alloc_count() - before;
    assert_true(n > 0);
    for (size_t i = 1; i <= n; i++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            wn_error err = {0};
            wn_alloc_fail_after(i, sticky != 0);
            wn_status status = operation(ctx, &err);
            wn_alloc_fail_after(0, false);
            if (status != WN_NO_MEMORY || err.status != status || err.text[0] == '\0')
                fail_msg("allocation %zu of %zu failed%s: got %s, \"%s\"", i, n,
                         sticky ? ", and all after it" : "", wn_status_name(status), err.text);
        }
    }
    WN_ASSERT_OK(operation(ctx, err));
    return n;
}

#endif
