/* The cap holds, memory is zeroed and aligned, a reset reuses what is there. */
#include "tests/alloc_failure.h"

#include "base/arena.h"

static void test_cap(void **state)
{
    (void)state;
    wn_arena *a = NULL;
    WN_ASSERT_OK(wn_arena_create(&a, 1024, err));
    assert_int_equal(wn_arena_used(a), 0);
    assert_non_null(wn_arena_alloc(a, 1, 1000));
    assert_int_equal(wn_arena_used(a), 1008); /* rounded up to the alignment */
    assert_null(wn_arena_alloc(a, 1, 17));
    assert_int_equal(wn_arena_used(a), 1008);
    assert_non_null(wn_arena_alloc(a, 16, 1));
    assert_null(wn_arena_alloc(a, 0, 0)); /* full */
    assert_null(wn_arena_strdup(a, ""));
    wn_arena_free(a);
    wn_arena_free(NULL);
}

static void test_overflow(void **state)
{
    (void)state;
    wn_arena *a = NULL;
    WN_ASSERT_OK(wn_arena_create(&a, SIZE_MAX, err));
    assert_null(wn_arena_alloc(a, SIZE_MAX / 2, 3));
    assert_null(wn_arena_alloc(a, SIZE_MAX, 1));
    assert_null(wn_arena_alloc(a, SIZE_MAX - 15, 1)); /* the block's own header no longer fits */
    assert_null(wn_arena_strndup(a, "x", SIZE_MAX));
    assert_int_equal(wn_arena_used(a), 0);
    assert_non_null(wn_arena_alloc(a, 1, 1));
    wn_arena_free(a);
}

/* Pieces of all sizes, each filled, then all checked: none overlaps another. */
static void test_pieces(void **state)
{
    (void)state;
    enum { N = 400 };
    wn_arena *a = NULL;
    unsigned char *p[N];
    WN_ASSERT_OK(wn_arena_create(&a, 64u << 20, err));
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N; i++) {
            size_t size = 1 + (i * 977) % 9000 + (i % 97 == 0 ? 100000 : 0);
            p[i] = wn_arena_alloc(a, size, 1);
            assert_non_null(p[i]);
            assert_int_equal((uintptr_t)p[i] % 16, 0);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(p[i][k], 0);
            memset(p[i], (int)(1 + i % 255), size);
        }
        for (size_t i = 0; i < N; i++) {
            size_t size = 1 + (i * 977) % 9000 + (i % 97 == 0 ? 100000 : 0);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(p[i][k], 1 + i % 255);
        }
        wn_arena_reset(a);
        assert_int_equal(wn_arena_used(a), 0);
    }
    wn_arena_free(a);
}

static void test_reset_reuses_blocks(void **state)
{
    (void)state;
    wn_arena *a = NULL;
    WN_ASSERT_OK(wn_arena_create(&a, 8u << 20, err));
    for (int round = 0; round < 20; round++) {
        size_t before = wn_alloc_count();
        for (int i = 0; i < 50; i++)
            assert_non_null(wn_arena_alloc(a, 10000, 1));
        if (round > 0)
            assert_int_equal(wn_alloc_count(), before);
        wn_arena_reset(a);
    }
    wn_arena_free(a);
}

static void test_strings(void **state)
{
    (void)state;
    wn_arena *a = NULL;
    WN_ASSERT_OK(wn_arena_create(&a, 4096, err));
    char *s = wn_arena_strdup(a, "heading");
    char *t = wn_arena_strndup(a, "heading", 4);
    char *u = wn_arena_strndup(a, NULL, 0);
    assert_string_equal(s, "heading");
    assert_string_equal(t, "head");
    assert_string_equal(u, "");
    wn_arena_free(a);
}

static wn_status fill(void *ctx, wn_error *err)
{
    (void)ctx;
    wn_arena *a = NULL;
    WN_TRY(wn_arena_create(&a, 1u << 20, err));
    wn_status status = WN_OK;
    for (int i = 0; status == WN_OK && i < 10; i++)
        if (!wn_arena_alloc(a, 40000, 1))
            status = wn_error_set(err, WN_NO_MEMORY, "arena: out of memory");
    wn_arena_free(a);
    return status;
}

static void test_each_alloc_fails(void **state)
{
    (void)state;
    assert_int_equal(wn_test_each_alloc_fails(fill, NULL), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cap),     cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_pieces),  cmocka_unit_test(test_reset_reuses_blocks),
        cmocka_unit_test(test_strings), cmocka_unit_test(test_each_alloc_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
