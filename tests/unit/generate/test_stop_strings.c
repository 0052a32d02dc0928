#include "tests/test_support.h"

#include "generate/stop_strings.h"

/* Feeds the text byte by byte; what is safe never shrinks and never shows a part of a stop string
 * that is completed later. Returns how much of the text stands. */
static size_t feed(const char *const *stop, size_t n_stop, const char *text, bool *stopped)
{
    wn_stop_scan scan = {.stop = stop, .n_stop = n_stop};
    size_t before = 0;
    for (size_t len = 1; len <= strlen(text); len++) {
        *stopped = wn_stop_scan_next(&scan, text, len);
        assert_true(scan.safe >= before && scan.safe <= len);
        before = scan.safe;
        if (*stopped)
            return scan.safe;
    }
    return scan.safe;
}

static void assert_cut(const char *const *stop, size_t n_stop, const char *text, size_t safe,
                       bool expected)
{
    bool stopped = false;
    size_t got = feed(stop, n_stop, text, &stopped);
    if (got != safe || stopped != expected)
        fail_msg("\"%s\": safe %zu, stopped %d", text, got, stopped);
    wn_stop_scan whole = {.stop = stop, .n_stop = n_stop}; /* all in one token */
    stopped = wn_stop_scan_next(&whole, text, strlen(text));
    assert_int_equal(whole.safe, safe);
    assert_int_equal(stopped, expected);
}

static void test_cuts(void **state)
{
    (void)state;
    const char *const end[] = {"END"};
    assert_cut(NULL, 0, "anything", 8, false);
    assert_cut(end, 1, "text END", 5, true);
    assert_cut(end, 1, "text EN", 5, false); /* may still become one */
    assert_cut(end, 1, "text EN.", 8, false);
    assert_cut(end, 1, "EEND", 1, true);
    assert_cut(end, 1, "END", 0, true);
    const char *const aab[] = {"aab"};
    assert_cut(aab, 1, "aaab", 1, true); /* the match overlaps a failed start */
    assert_cut(aab, 1, "xaaa", 2, false);
    const char *const utf8[] = {"\xC3\xA9t\xC3\xA9"};
    assert_cut(utf8, 1, "un \xC3\xA9t\xC3\xA9", 3, true);
    assert_cut(utf8, 1, "un \xC3\xA9t", 3, false);
}

static void test_several(void **state)
{
    (void)state;
    const char *const two[] = {"bcd", "c"};
    bool stopped = false;
    wn_stop_scan scan = {.stop = two, .n_stop = 2};
    /* "c" ends the text although "bcd" could have begun earlier: it never came */
    assert_int_equal(feed(two, 2, "abcd", &stopped), 2);
    assert_true(stopped);
    stopped = wn_stop_scan_next(&scan, "abcd", 4); /* both at once: the earliest */
    assert_int_equal(scan.safe, 1);
    assert_true(stopped);
    const char *const lines[] = {"\n\n", "\nQ:"};
    assert_cut(lines, 2, "yes\nno\n", 6, false);
    assert_cut(lines, 2, "yes\nno\nQ:", 6, true);
}

static void test_check(void **state)
{
    (void)state;
    const char *const good[] = {"a", "\xC3\xA9"}, *const empty[] = {"a", ""},
                      *const bad[] = {"\xA9"}, *const null[] = {NULL};
    wn_error err = {0};
    assert_int_equal(wn_stop_strings_check(good, 2, NULL), WN_OK);
    assert_int_equal(wn_stop_strings_check(empty, 2, &err), WN_INVALID);
    assert_non_null(strstr(err.text, "stop string 1"));
    assert_int_equal(wn_stop_strings_check(bad, 1, NULL), WN_INVALID);
    assert_int_equal(wn_stop_strings_check(null, 1, NULL), WN_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
