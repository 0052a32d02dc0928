/* Any bytes: encoding loses none, streamed decoding gives what decoding the whole would; long runs.
 */
#include "tests/golden_tokens.h"

#include "base/utf8.h"
#include "generate/tokenizer.h"

static wn_tokenizer *small; /* the small tokenizer without NFC: all 256 bytes are tokens */

static int open_small(void **state)
{
    (void)state;
    char path[] = "/tmp/winnow-bytes-XXXXXX";
    golden_reader json = golden_open("small_strings.json");
    char *nfc = strstr(json.file.data, "{\"type\": \"NFC\"}");
    int fd = mkstemp(path);
    assert_non_null(nfc);
    assert_true(fd >= 0);
    memset(nfc, ' ', strlen("{\"type\": \"NFC\"}"));
    memcpy(nfc, "null", 4);
    assert_int_equal(write(fd, json.file.data, json.file.len), json.file.len);
    close(fd);
    WN_ASSERT_OK(wn_tokenizer_from_json(&small, path, err));
    unlink(path);
    wn_strbuf_free(&json.file);
    return 0;
}

static int close_small(void **state)
{
    (void)state;
    wn_tokenizer_close(small);
    return 0;
}

/* Every malformed part as U+FFFD. */
static void replace_malformed(const char *s, size_t len, wn_strbuf *out)
{
    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        char bytes[4];
        i += wn_utf8_decode(s + i, len - i, &cp);
        wn_strbuf_add(out, bytes, wn_utf8_encode(cp, bytes));
    }
}

static void check_bytes(const char *s, size_t len)
{
    int32_t *ids = NULL;
    size_t n = 0;
    wn_strbuf joined = {0}, streamed = {0}, want = {0};
    wn_token_decoder d = {0};
    WN_ASSERT_OK(wn_tokenizer_encode(small, s, len, WN_ENCODE_PLAIN, &ids, &n, err));
    for (size_t i = 0; i < n; i++) {
        size_t token_len = 0;
        const char *bytes = wn_tokenizer_bytes(small, ids[i], &token_len);
        wn_strbuf_add(&joined, bytes, token_len);
        size_t before = streamed.len;
        wn_token_decoder_push(&d, small, ids[i], &streamed);
        assert_true(wn_utf8_valid(wn_strbuf_cstr(&streamed) + before, streamed.len - before));
        assert_in_range(d.n_pending, 0, 3);
    }
    wn_token_decoder_finish(&d, &streamed);
    replace_malformed(s, len, &want);
    assert_int_equal(joined.len, len);
    assert_memory_equal(wn_strbuf_cstr(&joined), s, len);
    assert_int_equal(streamed.len, want.len);
    assert_memory_equal(wn_strbuf_cstr(&streamed), wn_strbuf_cstr(&want), want.len);
    wn_strbuf_free(&joined);
    wn_strbuf_free(&streamed);
    wn_strbuf_free(&want);
    free(ids);
}

static void test_random_bytes(void **state)
{
    (void)state;
    /* Pieces that make near misses of UTF-8 likely. */
    static const char *const pieces[] = {
        "\xE2",         "\x82",     "\xAC",     "\xF0\x9F",
        "\x98\x80",     "\xED\xA0", "\xF4\x90", "\xC3",
        "\xA9",         "a",        " ",        "\n",
        "\xEF\xBF\xBD", "'s",       "\xE0\x80", "\xE4\xB8\xAD",
        "12",           "\xFF",     "\xC0\xAF", "!",
        "Alice",
    };
    srand(11);
    for (int round = 0; round < 4000; round++) {
        wn_strbuf s = {0};
        for (int n = rand() % 12; n >= 0; n--) {
            if (rand() % 3 == 0)
                wn_strbuf_addc(&s, (char)(rand() % 256));
            else
                wn_strbuf_adds(&s, pieces[(size_t)rand() % (sizeof pieces / sizeof *pieces)]);
        }
        check_bytes(s.data, s.len);
        wn_strbuf_free(&s);
    }
}

static void test_every_split_of_a_character(void **state)
{
    (void)state;
    const char *s = "\xF0\x9F\x98\x80";
    wn_token_decoder d = {0};
    wn_strbuf out = {0};
    for (int i = 0; i < 4; i++) {
        int32_t *ids = NULL;
        size_t n = 0;
        WN_ASSERT_OK(wn_tokenizer_encode(small, s + i, 1, 0, &ids, &n, err));
        assert_int_equal(n, 1);
        wn_token_decoder_push(&d, small, ids[0], &out);
        assert_int_equal(out.len, i < 3 ? 0 : 4); /* nothing shows before the character is whole */
        free(ids);
    }
    assert_memory_equal(out.data, s, 4);
    wn_token_decoder_finish(&d, &out);
    assert_int_equal(out.len, 4);
    wn_strbuf_free(&out);
}

static void test_specials_and_foreign_ids(void **state)
{
    (void)state;
    wn_token_decoder d = {0};
    wn_strbuf out = {0};
    size_t len = 7;
    wn_token_decoder_push(&d, small, wn_tokenizer_find(small, "<|im_end|>"), &out);
    assert_string_equal(wn_strbuf_cstr(&out), "<|im_end|>");
    wn_token_decoder_push(&d, small, -1, &out);
    wn_token_decoder_push(&d, small, INT32_MAX, &out);
    assert_string_equal(wn_strbuf_cstr(&out), "<|im_end|>");
    assert_string_equal(wn_tokenizer_bytes(small, -1, &len), "");
    assert_int_equal(len, 0);
    assert_int_equal(wn_tokenizer_find(small, "<|im_end|> "), -1);
    assert_int_equal(wn_tokenizer_find(small, ""), -1);
    wn_strbuf_free(&out);
}

/* A quadratic step would take hours here, a linear one seconds. */
static void test_long_runs(void **state)
{
    (void)state;
    static const char *const units[] = {"a",    " ", "\n", " \n",        "ab",       "\xCC\x81",
                                        "\xFF", "1", "'",  "<|im_start", "e\xCC\x81"};
    enum { LEN = 1 << 20 };
    char *text = malloc(LEN);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]);
        for (size_t k = 0; k < LEN; k++)
            text[k] = units[i][k % unit];
        check_bytes(text, LEN);
    }
    free(text);
}

static void test_empty(void **state)
{
    (void)state;
    int32_t *ids = NULL;
    size_t n = 9;
    WN_ASSERT_OK(wn_tokenizer_encode(small, "", 0, 0, &ids, &n, err));
    assert_int_equal(n, 0);
    assert_non_null(ids); /* always an array to free */
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_every_split_of_a_character),
        cmocka_unit_test(test_specials_and_foreign_ids),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, open_small, close_small);
}
