/* Sentence borders: the cases that decide citations and passage overlap, and the coverage rule. */
#include "tests/test_support.h"

#include "base/sentence.h"
#include "base/unicode.h"
#include "base/utf8.h"

/* Sentences of a text joined by '|'. */
static void join(const char *text, char *out, size_t cap)
{
    wn_sentence s;
    size_t n = 0, len = strlen(text);
    out[0] = '\0';
    for (size_t at = 0; wn_sentence_next(text, len, &at, &s);) {
        assert_true(s.end > s.start && s.end <= len);
        n += (size_t)snprintf(out + n, cap - n, "%s%.*s", n ? "|" : "", (int)(s.end - s.start),
                              text + s.start);
        assert_true(n < cap);
    }
}

static void check(const char *text, const char *expected)
{
    char got[2048];
    join(text, got, sizeof got);
    assert_string_equal(got, expected);
}

static void test_plain(void **state)
{
    (void)state;
    check("", "");
    check(" \n\t ", "");
    check("One. Two! Three? Four", "One.|Two!|Three?|Four");
    check("  It ended.\nNext line here.  ", "It ended.|Next line here.");
    check("A heading\n\nA paragraph.", "A heading|A paragraph.");
    check("line one\nline two goes on. End.", "line one\nline two goes on.|End.");
}

static void test_abbreviations(void **state)
{
    (void)state;
    check("Dr. J. Watson met Mr. Holmes. He sat.", "Dr. J. Watson met Mr. Holmes.|He sat.");
    check("Use a tool, e.g. Make. It works.", "Use a tool, e.g. Make.|It works.");
    check("See Fig. 3 and No. 5 here. No. That is wrong.",
          "See Fig. 3 and No. 5 here.|No.|That is wrong.");
    check("Apples, pears, etc. The rest is gone.", "Apples, pears, etc.|The rest is gone.");
    check("Smith et al. (2010) say so. Yes.", "Smith et al. (2010) say so.|Yes.");
    check("The U.S. Government paid Acme Inc. It was late.",
          "The U.S. Government paid Acme Inc.|It was late.");
    check("He holds a Ph.D. in physics. Good.", "He holds a Ph.D. in physics.|Good.");
    check("Born in Jan. 1900. Died later.", "Born in Jan. 1900.|Died later.");
    check("At 5 p.m. we left. Done.", "At 5 p.m. we left.|Done.");
}

static void test_numbers_and_names(void **state)
{
    (void)state;
    check("Pi is 3.14 or so. See example.com/a.b. Then v1.2.3 came.",
          "Pi is 3.14 or so.|See example.com/a.b.|Then v1.2.3 came.");
    check("It cost 5. That is cheap.", "It cost 5.|That is cheap.");
    check("1. Introduction to it. More.", "1. Introduction to it.|More.");
}

static void test_quotes_and_ellipses(void **state)
{
    (void)state;
    check("\"Why?\" he said. \"Go!\" She went.", "\"Why?\" he said.|\"Go!\"|She went.");
    check("He said \xE2\x80\x9CStop.\xE2\x80\x9D Then left.",
          "He said \xE2\x80\x9CStop.\xE2\x80\x9D|Then left.");
    check("Well... maybe not. Wait\xE2\x80\xA6 Then it rang.",
          "Well... maybe not.|Wait\xE2\x80\xA6|Then it rang.");
    check("(It was so.) Next?! Yes.", "(It was so.)|Next?!|Yes.");
    check("**Bold end.** Then more.", "**Bold end.**|Then more.");
}

static void test_references(void **state)
{
    (void)state;
    check("It is so.[1] Next one. [2][13] Third [3].", "It is so.[1]|Next one. [2][13]|Third [3].");
    check("A list x[1].y stays. [note] Other.", "A list x[1].y stays. [note] Other.");
}

static void test_scripts(void **state)
{
    (void)state;
    check("今日は。明日も！「はい。」次", "今日は。|明日も！|「はい。」|次");
    check("هل هذا صحيح؟ نعم.", "هل هذا صحيح؟|نعم.");
    check("यह है। वह है।", "यह है।|वह है।");
    check("Он пришёл. Ушёл.", "Он пришёл.|Ушёл.");
    check("См. это слово. Да.", "См. это слово.|Да.");
}

static void test_lists(void **state)
{
    (void)state;
    check("Steps:\n- one\n- two\n1. three\n| a | b |", "Steps:|- one|- two|1. three|| a | b |");
    check("a - b\nc * d", "a - b\nc * d");
}

/* Sentences are ordered, disjoint and hold every byte that is not blank, whatever the input. */
static void test_coverage_of_any_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = " .\n!?\"')]aB1[.\xE2\x80\xA6\xFF\xC2\xA0\xE3\x80\x82|-# ";
    unsigned seed = 7;
    for (int round = 0; round < 4000; round++) {
        char text[80];
        size_t len = (size_t)(round % 80), at = 0, last = 0;
        for (size_t i = 0; i < len; i++) {
            seed = seed * 1103515245u + 12345u;
            text[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        wn_sentence s;
        bool more = true;
        while (more) {
            more = wn_sentence_next(text, len, &at, &s);
            size_t gap_end = more ? s.start : len;
            assert_true(gap_end >= last && gap_end <= len);
            for (size_t i = last; i < gap_end;) {
                uint32_t cp = 0;
                i += wn_utf8_decode(text + i, gap_end - i, &cp);
                assert_true(wn_unicode_is_space(cp));
            }
            last = more ? s.end : len;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_abbreviations),
        cmocka_unit_test(test_numbers_and_names),
        cmocka_unit_test(test_quotes_and_ellipses),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_coverage_of_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
