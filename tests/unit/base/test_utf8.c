/* UTF-8: well-formed text, every malformed form, and borders. */
#include "tests/test_support.h"

#include "base/utf8.h"

static void test_round_trip_of_all(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF)
            continue;
        char bytes[4];
        uint32_t back = 0;
        size_t n = wn_utf8_encode(cp, bytes);
        assert_int_equal(n, cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4);
        assert_int_equal(wn_utf8_decode(bytes, n, &back), n);
        assert_int_equal(back, cp);
        assert_true(wn_utf8_valid(bytes, n));
        for (size_t cut = 1; cut < n; cut++) { /* cut short: one replacement for all that is left */
            assert_int_equal(wn_utf8_decode(bytes, cut, &back), cut);
            assert_int_equal(back, WN_UTF8_REPLACEMENT);
            assert_false(wn_utf8_valid(bytes, cut));
        }
    }
}

static void test_encode_of_impossible(void **state)
{
    (void)state;
    const uint32_t bad[] = {0xD800, 0xDFFF, 0x110000, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char bytes[4];
        assert_int_equal(wn_utf8_encode(bad[i], bytes), 3);
        assert_memory_equal(bytes, "\xEF\xBF\xBD", 3);
    }
}

/* Lengths of the maximal ill-formed subparts, as in table 3-8 of the Unicode Standard and its kin.
 */
static void test_maximal_subparts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int parts[8]; /* lengths in order, negative = replacement */
    } cases[] = {
        {"\xC0\xAF", {-1, -1}},
        {"\xC1\xBF", {-1, -1}},
        {"\x80", {-1}},
        {"\xFF\xFE", {-1, -1}},
        {"\xE0\x80\x80", {-1, -1, -1}},
        {"\xED\xA0\x80", {-1, -1, -1}},
        {"\xF0\x80\x80\x41", {-1, -1, -1, 1}},
        {"\xF4\x90\x80\x80", {-1, -1, -1, -1}},
        {"\xF5\x80", {-1, -1}},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF", {-2, -1, -3, -2}},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF", {-1, -1, -1, -1, -1, 1, -1, -1}},
        {"\xE2\x82\xAC\xC3", {3, -1}},
        {"\xC3"
         "a",
         {-1, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *s = cases[i].bytes;
        size_t left = strlen(s), count = 0;
        for (; left > 0; count++) {
            uint32_t cp = 0;
            size_t n = wn_utf8_decode(s, left, &cp);
            int want = cases[i].parts[count];
            assert_int_equal(n, abs(want));
            assert_int_equal(cp == WN_UTF8_REPLACEMENT, want < 0);
            s += n;
            left -= n;
        }
        assert_int_equal(wn_utf8_count(cases[i].bytes, strlen(cases[i].bytes)), count);
        assert_false(wn_utf8_valid(cases[i].bytes, strlen(cases[i].bytes)));
    }
}

static void test_count_and_offset(void **state)
{
    (void)state;
    const char *s = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
    const size_t at[] = {0, 1, 3, 6, 10, 11, 11};
    assert_int_equal(wn_utf8_count(s, strlen(s)), 5);
    for (size_t n = 0; n < 7; n++)
        assert_int_equal(wn_utf8_offset(s, strlen(s), n), at[n]);
    assert_int_equal(wn_utf8_count(s, 0), 0);
    assert_true(wn_utf8_valid("", 0));
    assert_true(wn_utf8_valid("a\0b", 3));
}

static void test_floor(void **state)
{
    (void)state;
    const char *s = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
    const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
    for (size_t pos = 0; pos < 12; pos++)
        assert_int_equal(wn_utf8_floor(s, pos), want[pos]);
    const char *malformed = "\x80\x80\x80\x80\x80";
    for (size_t pos = 0; pos <= 5; pos++) /* no character begins: every byte is a border */
        assert_int_equal(wn_utf8_floor(malformed, pos), pos);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_of_all),
        cmocka_unit_test(test_encode_of_impossible),
        cmocka_unit_test(test_maximal_subparts),
        cmocka_unit_test(test_count_and_offset),
        cmocka_unit_test(test_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
