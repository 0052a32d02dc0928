/* Where the pre-tokenizers cut: the library's regular expressions on 4,000 random strings, and the
 * rules that ids alone would not show. */
#include "tests/golden_tokens.h"

#include "generate/pretokenizer.h"

/* Byte lengths of the pieces of text; returns how many. */
static size_t cut(wn_pretokenizer_kind kind, const char *text, size_t len, int32_t *lengths,
                  size_t cap)
{
    wn_pretokenizer p = wn_pretokenizer_start(kind, text, len);
    size_t n = 0, begin = 0;
    for (; wn_pretokenizer_next(&p); begin = p.pos) {
        assert_true(p.pos > begin && p.pos <= len && n < cap);
        lengths[n++] = (int32_t)(p.pos - begin);
    }
    assert_int_equal(begin, len);
    return n;
}

static void check_golden(wn_pretokenizer_kind kind, const char *name)
{
    golden_reader strings = golden_open("random.strings"), want = golden_open(name);
    int32_t lengths[4096];
    size_t index = 0;
    for (; golden_more(&strings); index++) {
        size_t len = 0;
        const char *text = golden_string(&strings, &len);
        size_t n = cut(kind, text, len, lengths, 4096);
        golden_check_ids(&want, index, text, len, lengths, n);
    }
    assert_true(index >= 4000);
    assert_false(golden_more(&want));
    wn_strbuf_free(&strings.file);
    wn_strbuf_free(&want.file);
}

static void test_llama3(void **state)
{
    (void)state;
    check_golden(WN_PRE_LLAMA3, "pieces.llama3.ids");
}

static void test_qwen2(void **state)
{
    (void)state;
    check_golden(WN_PRE_QWEN2, "pieces.qwen2.ids");
}

static void test_gpt2(void **state)
{
    (void)state;
    check_golden(WN_PRE_GPT2, "pieces.gpt2.ids");
}

static void test_smollm2(void **state)
{
    (void)state;
    check_golden(WN_PRE_SMOLLM, "pieces.smollm2.ids");
}

static void check_cut(wn_pretokenizer_kind kind, const char *text, const char *want)
{
    int32_t lengths[64];
    char got[128] = "";
    size_t n = cut(kind, text, strlen(text), lengths, 64), at = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(got + at, sizeof got - at, "%d ", lengths[i]);
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\" is cut \"%s\", not \"%s\"", text, got, want);
}

static void test_rules(void **state)
{
    (void)state;
    check_cut(WN_PRE_LLAMA3, "it's IT'S it'\xC5\xBFx", "2 2 3 2 3 3 1 ");
    check_cut(WN_PRE_GPT2, "it's IT'S", "2 2 3 1 1 ");
    check_cut(WN_PRE_LLAMA3, "12345", "3 2 ");
    check_cut(WN_PRE_QWEN2, "123", "1 1 1 ");
    check_cut(WN_PRE_SMOLLM, "a 12", "1 1 1 1 ");
    check_cut(WN_PRE_GPT2, "a 12", "1 3 ");
    check_cut(WN_PRE_LLAMA3, "a  b\n\n  c\nd", "1 1 2 2 1 2 1 1 ");
    check_cut(WN_PRE_LLAMA3, "(x) !?\n\n y", "2 1 5 2 ");
    check_cut(WN_PRE_SMOLLM, "x  1", "1 2 1 "); /* the end of the text between digits is an end */
}

static void test_malformed_bytes(void **state)
{
    (void)state;
    /* each is one character: the second may lead a word, U+FFFD leads one as a whole */
    check_cut(WN_PRE_LLAMA3,
              "\xE2\x82"
              "a",
              "2 1 ");
    check_cut(WN_PRE_LLAMA3,
              "\xFF"
              "a",
              "2 ");
    check_cut(WN_PRE_LLAMA3,
              "\xEF\xBF\xBD"
              "a",
              "4 ");
    check_cut(WN_PRE_GPT2, " \xFF\x80 a", "3 2 ");
    check_cut(WN_PRE_SMOLLM,
              "\xF0\x9F"
              "1",
              "2 1 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama3), cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_gpt2),   cmocka_unit_test(test_smollm2),
        cmocka_unit_test(test_rules),  cmocka_unit_test(test_malformed_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
