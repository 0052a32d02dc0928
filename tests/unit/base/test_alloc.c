/* Checked sizes, allocation helpers and the failure hook that all other tests rely on. */
#include "tests/test_support.h"

#include "base/checked.h"

static void test_size_arithmetic(void **state)
{
    (void)state;
    size_t out = 42;
    assert_true(wn_size_add(2, 3, &out));
    assert_int_equal(out, 5);
    assert_true(wn_size_add(SIZE_MAX, 0, &out));
    assert_true(out == SIZE_MAX);
    out = 42;
    assert_false(wn_size_add(SIZE_MAX, 1, &out));
    assert_int_equal(out, 42);
    assert_true(wn_size_mul(6, 7, &out));
    assert_int_equal(out, 42);
    assert_true(wn_size_mul(SIZE_MAX, 0, &out));
    assert_int_equal(out, 0);
    out = 42;
    assert_false(wn_size_mul(SIZE_MAX / 2, 3, &out));
    assert_int_equal(out, 42);
}

static void test_overflow_is_null(void **state)
{
    (void)state;
    assert_null(wn_alloc(SIZE_MAX / 2, 3));
    assert_null(wn_alloc_aligned(64, SIZE_MAX / 2, 3));
    assert_null(wn_alloc_huge(SIZE_MAX - 1));
    assert_null(wn_strndup("x", SIZE_MAX));
    char *kept = wn_strdup("kept");
    assert_null(wn_realloc(kept, SIZE_MAX / 2, 3));
    assert_string_equal(kept, "kept");
    free(kept);
}

static void test_zeroed_and_aligned(void **state)
{
    (void)state;
    unsigned char *p = wn_alloc(1000, 3);
    assert_non_null(p);
    for (size_t i = 0; i < 3000; i++)
        assert_int_equal(p[i], 0);
    free(p);
    for (size_t alignment = 16; alignment <= 4096; alignment *= 2) {
        unsigned char *a = wn_alloc_aligned(alignment, 33, 7);
        assert_non_null(a);
        assert_int_equal((uintptr_t)a % alignment, 0);
        for (size_t i = 0; i < 33 * 7; i++)
            assert_int_equal(a[i], 0);
        free(a);
    }
    unsigned char *huge = wn_alloc_huge(((size_t)3 << 20) + 1);
    assert_non_null(huge);
    assert_int_equal((uintptr_t)huge % ((size_t)2 << 20), 0);
    memset(huge, 1, ((size_t)3 << 20) + 1);
    free(huge);
    free(wn_alloc_huge(0));
    void *none[] = {wn_alloc(0, 8), wn_alloc(8, 0), wn_alloc_aligned(64, 0, 1),
                    wn_realloc(NULL, 0, 1)};
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(none[i]);
        free(none[i]);
    }
}

static void test_copies(void **state)
{
    (void)state;
    char *s = wn_strndup("passage", 4);
    assert_string_equal(s, "pass");
    s = wn_realloc(s, 100, 1);
    assert_string_equal(s, "pass");
    free(s);
    s = wn_strndup(NULL, 0);
    assert_string_equal(s, "");
    free(s);
    s = wn_strndup("a\0b", 3);
    assert_memory_equal(s, "a\0b", 4);
    free(s);
}

static void test_failure_hook(void **state)
{
    (void)state;
    void *p[4];
    size_t before = wn_alloc_count();
    wn_alloc_fail_after(2, false);
    for (int i = 0; i < 4; i++)
        p[i] = wn_alloc(1, 1);
    wn_alloc_fail_after(0, false);
    assert_int_equal(wn_alloc_count() - before, 4);
    assert_true(p[0] && !p[1] && p[2] && p[3]);
    for (int i = 0; i < 4; i++)
        free(p[i]);

    wn_alloc_fail_after(3, true);
    p[0] = wn_strdup("x");
    p[1] = wn_alloc_aligned(64, 1, 1);
    p[2] = wn_realloc(NULL, 1, 1);
    p[3] = wn_strdup("y");
    wn_alloc_fail_after(0, true);
    assert_true(p[0] && p[1] && !p[2] && !p[3]);
    free(p[0]);
    free(p[1]);
    p[0] = wn_alloc(1, 1);
    assert_non_null(p[0]);
    free(p[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_arithmetic),    cmocka_unit_test(test_overflow_is_null),
        cmocka_unit_test(test_zeroed_and_aligned), cmocka_unit_test(test_copies),
        cmocka_unit_test(test_failure_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
