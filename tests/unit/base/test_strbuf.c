/* Growing, truncating, detaching; errors stay until the end and never lose the NUL. */
#include "tests/alloc_failure.h"

#include "base/strbuf.h"

static void test_appends(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    assert_string_equal(wn_strbuf_cstr(&b), "");
    wn_strbuf_adds(&b, "");
    wn_strbuf_addc(&b, 'a');
    wn_strbuf_add(&b, "b\0c", 3);
    wn_strbuf_add(&b, NULL, 0);
    wn_strbuf_printf(&b, "%s-%d", "", 12);
    assert_int_equal(b.len, 7);
    assert_memory_equal(wn_strbuf_cstr(&b), "ab\0c-12", 8);
    assert_false(wn_strbuf_failed(&b));
    wn_strbuf_truncate(&b, 2);
    assert_string_equal(wn_strbuf_cstr(&b), "ab");
    wn_strbuf_truncate(&b, 9);
    assert_string_equal(wn_strbuf_cstr(&b), "ab");
    wn_strbuf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.len + b.cap, 0);
    wn_strbuf_free(&b);
}

/* Every length around the steps of growth, against a plain array. */
static void test_growth(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    char expected[5000];
    for (size_t i = 0; i < sizeof expected; i++) {
        expected[i] = (char)('a' + i % 26);
        if (i % 3)
            wn_strbuf_addc(&b, expected[i]);
        else
            wn_strbuf_printf(&b, "%c", expected[i]);
        assert_int_equal(b.len, i + 1);
        assert_true(b.cap > b.len);
        assert_int_equal(b.data[b.len], '\0');
    }
    assert_memory_equal(b.data, expected, sizeof expected);
    size_t cap = b.cap;
    wn_strbuf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, cap);
    assert_string_equal(wn_strbuf_cstr(&b), "");
    wn_strbuf_free(&b);
}

static void test_printf_longer_than_room(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    wn_strbuf_adds(&b, "start ");
    wn_strbuf_printf(&b, "%0*d", 700, 7);
    assert_int_equal(b.len, 706);
    assert_int_equal(strlen(b.data), 706);
    assert_int_equal(b.data[705], '7');
    wn_strbuf_free(&b);
}

static void test_detach(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    char *empty = wn_strbuf_detach(&b);
    assert_string_equal(empty, "");
    free(empty);
    wn_strbuf_adds(&b, "mine");
    char *s = wn_strbuf_detach(&b);
    assert_string_equal(s, "mine");
    assert_null(b.data);
    free(s);
}

static void test_errors_stay(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    wn_strbuf_adds(&b, "kept");
    wn_strbuf_add(&b, "", SIZE_MAX); /* its size cannot be: refused before it is read */
    assert_true(wn_strbuf_failed(&b));
    wn_strbuf_adds(&b, "lost");
    wn_strbuf_printf(&b, "%d", 1);
    assert_string_equal(wn_strbuf_cstr(&b), "kept");
    assert_null(wn_strbuf_detach(&b));
    assert_null(b.data);
    assert_false(wn_strbuf_failed(&b)); /* {0} again */
    wn_strbuf_add(&b, "", SIZE_MAX);
    wn_strbuf_clear(&b);
    wn_strbuf_adds(&b, "usable");
    assert_string_equal(wn_strbuf_cstr(&b), "usable");
    wn_strbuf_free(&b);
}

static wn_status build(void *ctx, wn_error *err)
{
    (void)ctx;
    wn_strbuf b = {0};
    for (int i = 0; i < 300; i++)
        wn_strbuf_printf(&b, "%d passages;", i);
    size_t len = b.len;
    char *s = wn_strbuf_detach(&b);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "out of memory");
    assert_int_equal(strlen(s), len);
    free(s);
    return WN_OK;
}

static void test_each_alloc_fails(void **state)
{
    (void)state;
    assert_true(wn_test_each_alloc_fails(build, NULL) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_printf_longer_than_room),
        cmocka_unit_test(test_detach),
        cmocka_unit_test(test_errors_stay),
        cmocka_unit_test(test_each_alloc_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
