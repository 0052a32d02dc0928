/* Properties, case and normalisation for all code points against the `tokenizers` library. */
#include "tests/golden_tokens.h"

#include "base/unicode.h"
#include "base/unicode_nfc.h"
#include "base/utf8.h"

static bool is_surrogate(uint32_t cp)
{
    return cp >= 0xD800 && cp <= 0xDFFF;
}

/* The row of unicode.tsv. */
static void golden_row(const char *name, size_t *count, char sha[65])
{
    golden_reader r = golden_open("unicode.tsv");
    char found[32];
    char *save = NULL;
    bool hit = false;
    for (char *line = strtok_r(r.file.data, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        assert_int_equal(sscanf(line, "%31s %zu %64s", found, count, sha), 3);
        hit = strcmp(found, name) == 0;
        if (hit)
            break;
    }
    assert_true(hit);
    wn_strbuf_free(&r.file);
}

static void check_hash(const char *name, const wn_strbuf *b, size_t count)
{
    size_t want = 0;
    char sha[65], hex[65];
    uint8_t digest[WN_SHA256_BYTES];
    golden_row(name, &want, sha);
    WN_ASSERT_OK(wn_sha256_of(b->data, b->len, digest, err));
    wn_hex(digest, sizeof digest, hex);
    if (count != want || strcmp(sha, hex) != 0)
        fail_msg("%s: %zu, not %zu, or a different set", name, count, want);
}

static void test_properties(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool (*is)(uint32_t);
    } properties[] = {
        {"LETTER", wn_unicode_is_letter},        {"NUMBER", wn_unicode_is_number},
        {"SPACE", wn_unicode_is_space},          {"DIGIT", wn_unicode_is_numeric},
        {"MARK", wn_unicode_is_mark_nonspacing}, {"PUNCT", wn_unicode_is_punctuation},
        {"CONTROL", wn_unicode_is_control},
    };
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) {
        wn_strbuf members = {0};
        size_t n = 0;
        for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
            if (!properties[i].is(cp))
                continue;
            wn_strbuf_add(&members, &cp, sizeof cp);
            n++;
        }
        check_hash(properties[i].name, &members, n);
        assert_false(properties[i].is(0x110000) || properties[i].is(UINT32_MAX));
        wn_strbuf_free(&members);
    }
}

static void add_cp(wn_strbuf *b, uint32_t cp)
{
    char bytes[4];
    wn_strbuf_add(b, bytes, wn_utf8_encode(cp, bytes));
}

static void test_mappings(void **state)
{
    (void)state;
    wn_strbuf lower = {0}, nfd = {0}, nfc = {0};
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        uint32_t low[3], parts[4];
        char bytes[4];
        if (is_surrogate(cp))
            continue;
        int n_low = wn_unicode_lower(cp, low), n_parts = wn_unicode_decompose(cp, parts);
        assert_in_range(n_low, 1, 3);
        assert_in_range(n_parts, 1, 4);
        for (int i = 0; i < n_low; i++)
            add_cp(&lower, low[i]);
        for (int i = 0; i < n_parts; i++)
            add_cp(&nfd, parts[i]);
        wn_unicode_nfc(bytes, wn_utf8_encode(cp, bytes), &nfc);
    }
    check_hash("lower", &lower, wn_utf8_count(lower.data, lower.len));
    check_hash("nfd", &nfd, wn_utf8_count(nfd.data, nfd.len));
    check_hash("nfc", &nfc, wn_utf8_count(nfc.data, nfc.len));
    wn_strbuf_free(&lower);
    wn_strbuf_free(&nfd);
    wn_strbuf_free(&nfc);
}

static void test_nfc_of_strings(void **state)
{
    (void)state;
    golden_reader strings = golden_open("random.strings"), want = golden_open("random.nfc");
    size_t n_changed = 0;
    while (golden_more(&strings)) {
        size_t len = 0, want_len = 0;
        const char *s = golden_string(&strings, &len), *expected = golden_string(&want, &want_len);
        bool changes = len != want_len || memcmp(s, expected, len) != 0;
        wn_strbuf out = {0};
        wn_unicode_nfc(s, len, &out);
        assert_int_equal(out.len, want_len);
        assert_memory_equal(wn_strbuf_cstr(&out), expected, want_len);
        if (changes)
            assert_true(wn_unicode_needs_nfc(s, len)); /* the quick check may not miss any */
        n_changed += changes;
        wn_strbuf_free(&out);
    }
    assert_true(n_changed > 300);
    assert_false(golden_more(&want));
    wn_strbuf_free(&strings.file);
    wn_strbuf_free(&want.file);
}

static void check_nfc(const char *s, size_t len, const char *want, size_t want_len)
{
    wn_strbuf out = {0};
    wn_unicode_nfc(s, len, &out);
    assert_int_equal(out.len, want_len);
    assert_memory_equal(wn_strbuf_cstr(&out), want, want_len);
    wn_strbuf_free(&out);
}

static void test_nfc_of_malformed_text(void **state)
{
    (void)state;
    /* a malformed byte stays, is no base for a mark, and U+FFFD itself stays three bytes */
    check_nfc("e\xFF\xCC\x81\xE2\x82"
              "e\xCC\x81\xEF\xBF\xBD",
              12, "e\xFF\xCC\x81\xE2\x82\xC3\xA9\xEF\xBF\xBD", 11);
    check_nfc("", 0, "", 0);
    check_nfc("\xCC\x81", 2, "\xCC\x81", 2);
    assert_false(wn_unicode_needs_nfc("\xFF\xE2\x82 caf\xC3\xA9", 9));
    assert_true(wn_unicode_needs_nfc("e\xCC\x81", 3));
}

/* Thousands of marks in wrong order: sorted by class, stable, each composed once. */
static void test_nfc_of_long_runs(void **state)
{
    (void)state;
    enum { N = 5000 };
    wn_strbuf s = {0}, want = {0};
    wn_strbuf_adds(&s, "e");
    wn_strbuf_adds(&want,
                   "\xE1\xBA\xB9"); /* e + dot below compose; the first acute is not blocked, */
    for (int i = 0; i < N; i++)
        wn_strbuf_adds(&s, "\xCC\x81\xCC\xA3"); /* acute (230), dot below (220) */
    for (int i = 1; i < N; i++)
        wn_strbuf_adds(&want, "\xCC\xA3");
    for (int i = 0; i < N; i++)
        wn_strbuf_adds(&want, "\xCC\x81"); /* but has no composite with it */
    check_nfc(s.data, s.len, want.data, want.len);
    wn_strbuf_free(&s);
    wn_strbuf_free(&want);
}

static void test_known_points(void **state)
{
    (void)state;
    uint32_t out[4];
    assert_true(wn_unicode_is_letter('a') && wn_unicode_is_letter(0x4E2D) &&
                !wn_unicode_is_letter('1'));
    assert_true(wn_unicode_is_space(0x3000) && !wn_unicode_is_space(0x200B));
    assert_true(wn_unicode_is_cjk(0x4E00) && wn_unicode_is_cjk(0x9FFF) &&
                !wn_unicode_is_cjk(0x3042));
    assert_true(wn_unicode_is_punctuation('!') && !wn_unicode_is_punctuation('$'));
    assert_int_equal(wn_unicode_lower(0x130, out), 2);
    assert_int_equal(wn_unicode_lower(0x212A, out), 1);
    assert_int_equal(out[0], 'k');
    assert_int_equal(wn_unicode_decompose(0xAC01, out), 3);
    assert_int_equal(wn_unicode_compose(0xAC00, 0x11A8), 0xAC01);
    assert_int_equal(wn_unicode_compose('e', 0x301), 0xE9);
    assert_int_equal(wn_unicode_compose('e', 'e'), 0);
    assert_int_equal(wn_unicode_combining_class(0x301), 230);
    assert_int_equal(wn_unicode_combining_class(0x323), 220);
    assert_int_equal(wn_unicode_combining_class('a'), 0);
    assert_int_equal(wn_unicode_combining_class(UINT32_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),       cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_nfc_of_strings),   cmocka_unit_test(test_nfc_of_malformed_text),
        cmocka_unit_test(test_nfc_of_long_runs), cmocka_unit_test(test_known_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
