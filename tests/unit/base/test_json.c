/* Loading with limits, typed fields, errors that name source and field. */
#include "tests/test_support.h"

#include "base/checked.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/utf8.h"

static json_t *parse(const char *text)
{
    json_t *v = NULL;
    WN_ASSERT_OK(wn_json_parse(&v, text, strlen(text), "test", err));
    return v;
}

static void test_parse(void **state)
{
    (void)state;
    json_t *v = parse("{\"a\": [1, 2.5, \"\xC3\xA9\", true, null]}");
    assert_int_equal(json_array_size(json_object_get(v, "a")), 5);
    json_decref(v);
    static const char *const malformed[] = {
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\":1} x",
        "{\"a\":1,\"a\":2}",
        "nul",
        "[01]",
        "[1e999]",
        "[\"\\ud800\"]",
        "[\"\xff\"]",
        "[99999999999999999999]",
        "[\"a\nb\"]",
        "{'a':1}",
        "[NaN]",
        "[\"a\\u0000b\"]",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        json_t *none = NULL;
        wn_error failure = {0};
        assert_int_equal(wn_json_parse(&none, malformed[i], strlen(malformed[i]), "body", &failure),
                         WN_FORMAT);
        assert_null(none);
        assert_memory_equal(failure.text, "body: not valid JSON at line ", 29);
        assert_true(wn_utf8_valid(failure.text, strlen(failure.text)));
    }
}

static void test_nesting_is_limited(void **state)
{
    (void)state;
    size_t n = 1000000;
    char *deep = wn_alloc(n, 1);
    memset(deep, '[', n);
    json_t *none = NULL;
    wn_error failure = {0};
    assert_int_equal(wn_json_parse(&none, deep, n, "deep", &failure), WN_FORMAT);
    assert_null(none);
    assert_non_null(strstr(failure.text, "depth"));
    free(deep);
}

static void test_load_file(void **state)
{
    (void)state;
    char path[] = "/tmp/winnow-test-json-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    json_t *v = NULL;
    wn_error failure = {0};
    assert_int_equal(wn_json_load_file(&v, path, 100, &failure), WN_FORMAT); /* empty */
    assert_non_null(strstr(failure.text, path));
    WN_ASSERT_OK(wn_fs_write_atomic(path, "{\"k\": 1}", 8, err));
    WN_ASSERT_OK(wn_json_load_file(&v, path, 8, err));
    assert_int_equal(json_integer_value(json_object_get(v, "k")), 1);
    json_decref(v);
    v = NULL;
    assert_int_equal(wn_json_load_file(&v, path, 7, NULL), WN_LIMIT);
    unlink(path);
    assert_int_equal(wn_json_load_file(&v, path, 100, NULL), WN_NOT_FOUND);
    assert_null(v);
}

static void test_absent_keeps_default(void **state)
{
    (void)state;
    json_t *obj = parse("{\"n\": null}");
    static const char *const fields[] = {"n", "absent"};
    for (size_t i = 0; i < 2; i++) {
        const char *s = "default";
        int64_t integer = 7;
        double number = 0.5;
        bool flag = true;
        WN_ASSERT_OK(wn_json_get_str(obj, fields[i], &s, err));
        WN_ASSERT_OK(wn_json_get_int(obj, fields[i], 0, 1, &integer, err));
        WN_ASSERT_OK(wn_json_get_num(obj, fields[i], 0, 1, &number, err));
        WN_ASSERT_OK(wn_json_get_bool(obj, fields[i], &flag, err));
        assert_string_equal(s, "default");
        assert_true(integer == 7 && number == 0.5 && flag);
    }
    json_decref(obj);
}

static void test_values(void **state)
{
    (void)state;
    json_t *obj = parse("{\"s\": \"text\", \"i\": -5, \"d\": 2.5, \"b\": false, \"e\": \"\"}");
    const char *s = NULL;
    int64_t integer = 0;
    double number = 0;
    bool flag = true;
    WN_ASSERT_OK(wn_json_get_str(obj, "s", &s, err));
    assert_string_equal(s, "text");
    WN_ASSERT_OK(wn_json_get_str(obj, "e", &s, err));
    assert_string_equal(s, "");
    WN_ASSERT_OK(wn_json_get_int(obj, "i", -5, 5, &integer, err)); /* ends are included */
    WN_ASSERT_OK(wn_json_get_num(obj, "d", 0, 2.5, &number, err));
    assert_true(integer == -5 && number == 2.5);
    WN_ASSERT_OK(wn_json_get_num(obj, "i", -5, 5, &number, err)); /* an integer is a number */
    WN_ASSERT_OK(wn_json_get_bool(obj, "b", &flag, err));
    assert_true(number == -5 && !flag);
    json_decref(obj);
}

static void test_wrong_values(void **state)
{
    (void)state;
    json_t *obj = parse("{\"s\": \"t\", \"i\": 6, \"d\": 2.5, \"o\": {}}");
    const char *s = NULL;
    int64_t integer = 42;
    double number = 42;
    bool flag = true;
    wn_error failure = {0};
    assert_int_equal(wn_json_get_int(obj, "i", 0, 5, &integer, &failure), WN_INVALID);
    assert_string_equal(failure.text, "i must be an integer from 0 to 5");
    assert_int_equal(wn_json_get_int(obj, "d", 0, 5, &integer, NULL), WN_INVALID);
    assert_int_equal(wn_json_get_int(obj, "s", 0, 5, &integer, NULL), WN_INVALID);
    assert_int_equal(wn_json_get_num(obj, "s", 0, 5, &number, NULL), WN_INVALID);
    assert_int_equal(wn_json_get_num(obj, "d", 3, 5, &number, NULL), WN_INVALID);
    assert_int_equal(wn_json_get_bool(obj, "i", &flag, NULL), WN_INVALID);
    assert_int_equal(wn_json_get_str(obj, "o", &s, NULL), WN_INVALID);
    assert_true(integer == 42 && number == 42 && flag && !s);
    json_decref(obj);
}

/* jansson's own allocations, failed through the same hook. */
static void *hooked_malloc(size_t size)
{
    return wn_alloc(size, 1);
}

static wn_status load(json_t **out, wn_error *failure)
{
    static const char text[] =
        "{\"model\": {\"layers\": [1, 2, 3.5], \"name\": \"n\"}, \"x\": true}";
    return wn_json_parse(out, text, sizeof text - 1, "config.json", failure);
}

/* jansson reports some of its own failed allocations as syntax errors: either answer is fine, a
 * value, a crash or a leak is not. */
static void test_each_alloc_fails(void **state)
{
    (void)state;
    json_t *v = NULL;
    json_set_alloc_funcs(hooked_malloc, free);
    size_t before = wn_alloc_count(), n_no_memory = 0;
    WN_ASSERT_OK(load(&v, err));
    size_t n = wn_alloc_count() - before;
    json_decref(v);
    for (size_t i = 1; i <= n; i++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            wn_error failure = {0};
            wn_alloc_fail_after(i, sticky != 0);
            wn_status status = load(&v, &failure);
            wn_alloc_fail_after(0, false);
            assert_true(status == WN_NO_MEMORY || status == WN_FORMAT);
            assert_true(!v && failure.status == status && failure.text[0]);
            n_no_memory += status == WN_NO_MEMORY;
        }
    }
    json_set_alloc_funcs(malloc, free);
    assert_true(n > 10 && n_no_memory > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_nesting_is_limited),
        cmocka_unit_test(test_load_file),
        cmocka_unit_test(test_absent_keeps_default),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_each_alloc_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
