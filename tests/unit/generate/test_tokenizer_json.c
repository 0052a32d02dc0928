/* tokenizer.json from outside: each fault is named with file and field; no bytes crash the loader.
 */
#include "tests/tokenizer_files.h"

#include "base/checked.h"
#include "generate/tokenizer.h"

static void refuse_json(const char *text, wn_status status, const char *word)
{
    char path[128];
    wn_error err = {0};
    wn_tokenizer *t = NULL;
    test_write_file(path, "tokenizer.json", text, strlen(text));
    wn_status got = wn_tokenizer_from_dir(&t, test_dir, &err);
    assert_null(t);
    test_check_error(got, status, &err, path, word);
}

#define PRE "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define VOCAB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}"
#define MODEL(rest) "\"model\":{\"type\":\"BPE\"," VOCAB "," rest "}"
#define NO_MERGES "\"merges\":[]"
#define ADDED(rest) "\"added_tokens\":[{\"id\":3,\"content\":\"<x>\"" rest "}]"

static void test_json_parts(void **state)
{
    (void)state;
    refuse_json("", WN_FORMAT, "JSON");
    refuse_json("null", WN_FORMAT, "JSON");
    refuse_json("[1]", WN_FORMAT, "model is missing");
    refuse_json("{\"model\":3}", WN_FORMAT, "model is missing");
    refuse_json("{\"model\":{\"type\":7}}", WN_INVALID, "type");
    refuse_json("{\"model\":{\"type\":\"Unigram\"}}", WN_UNSUPPORTED, "\"Unigram\"");
    refuse_json("{\"model\":{\"type\":\"BPE\"}}", WN_FORMAT, "model.vocab");
    refuse_json("{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", WN_FORMAT, "model.merges");
    refuse_json("{" PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", WN_FORMAT,
                "0 tokens");
    refuse_json("{" PRE "," MODEL(NO_MERGES) ",\"added_tokens\":{}}", WN_FORMAT, "added_tokens");
    refuse_json("{" PRE "," MODEL(NO_MERGES ",\"dropout\":0.1") "}", WN_UNSUPPORTED,
                "model.dropout");
    refuse_json("{" PRE "," MODEL(NO_MERGES ",\"byte_fallback\":true") "}", WN_UNSUPPORTED,
                "model.byte_fallback");
    refuse_json("{" PRE "," MODEL(NO_MERGES ",\"fuse_unk\":true") "}", WN_UNSUPPORTED,
                "model.fuse_unk");
    refuse_json("{" PRE "," MODEL(NO_MERGES ",\"end_of_word_suffix\":\"</w>\"") "}", WN_UNSUPPORTED,
                "</w>");
    refuse_json("{" PRE "," MODEL(NO_MERGES ",\"unk_token\":\"q\"") "}", WN_FORMAT,
                "model.unk_token");
    refuse_json("{" PRE "," MODEL(NO_MERGES ",\"ignore_merges\":1") "}", WN_INVALID,
                "ignore_merges");
}

static void test_json_steps(void **state)
{
    (void)state;
    refuse_json("{" MODEL(NO_MERGES) "}", WN_UNSUPPORTED, "pre_tokenizer none");
    refuse_json("{\"pre_tokenizer\":{\"type\":\"Metaspace\"}," MODEL(NO_MERGES) "}", WN_UNSUPPORTED,
                "Metaspace");
    refuse_json("{\"pre_tokenizer\":{\"type\":\"ByteLevel\"}," MODEL(NO_MERGES) "}", WN_UNSUPPORTED,
                "ByteLevel");
    refuse_json("{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
                "\"pattern\":{"
                "\"Regex\":\"\\\\w+|x\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":"
                "\"ByteLevel\","
                "\"add_prefix_space\":false,\"use_regex\":false}]}," MODEL(NO_MERGES) "}",
                WN_UNSUPPORTED, "\\w+|x");
    refuse_json("{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
                "\"individual_"
                "digits\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}," MODEL(
                    NO_MERGES) "}",
                WN_UNSUPPORTED, "Digits");
    refuse_json("{\"normalizer\":{\"type\":\"Lowercase\"}," PRE "," MODEL(NO_MERGES) "}",
                WN_UNSUPPORTED, "normalizer \"Lowercase\"");
    refuse_json("{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{"
                "\"SpecialToken\":{\"id\":"
                "\"<s>\",\"type_id\":0}}]}," PRE "," MODEL(NO_MERGES) "}",
                WN_FORMAT, "post_processor begins with \"<s>\"");
}

static void test_json_ids(void **state)
{
    (void)state;
    static const char *const bad_ids[] = {"-1",    "1048576", "4294967296", "1e3",
                                          "\"7\"", "null",    "[]"};
    for (size_t i = 0; i < sizeof bad_ids / sizeof *bad_ids; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{" PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":%s},\"merges\":[]}}",
                 bad_ids[i]);
        refuse_json(text, WN_FORMAT, "model.vocab[\"a\"]");
        snprintf(text, sizeof text,
                 "{" PRE
                 "," MODEL(NO_MERGES) ",\"added_tokens\":[{\"id\":%s,\"content\":\"<x>\"}]}",
                 bad_ids[i]);
        refuse_json(text, WN_FORMAT, "added_tokens[0].id");
    }
    refuse_json("{" PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
                WN_FORMAT, "id 0 is given twice");
    refuse_json("{" PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\":1},\"merges\":[]}}",
                WN_FORMAT, "token 1 is empty");
    refuse_json("{" PRE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}",
                WN_FORMAT, "JSON");
}

static void test_json_added(void **state)
{
    (void)state;
    refuse_json("{" PRE "," MODEL(NO_MERGES) "," ADDED(",\"lstrip\":true") "}", WN_UNSUPPORTED,
                "lstrip");
    refuse_json("{" PRE "," MODEL(NO_MERGES) "," ADDED(",\"special\":\"yes\"") "}", WN_INVALID,
                "special");
    refuse_json("{" PRE "," MODEL(NO_MERGES) ",\"added_tokens\":[{\"id\":3,\"content\":\"\"}]}",
                WN_FORMAT, "added_tokens[0].content");
    refuse_json("{" PRE "," MODEL(NO_MERGES) ",\"added_tokens\":[{\"id\":3}]}", WN_FORMAT,
                "added_tokens[0].content");
    refuse_json("{" PRE "," MODEL(NO_MERGES) ",\"added_tokens\":[{\"id\":1,\"content\":\"<x>\"}]}",
                WN_FORMAT, "id 1 is given twice");
    refuse_json("{" PRE "," MODEL(NO_MERGES) ",\"added_tokens\":[{\"id\":3,\"content\":\"ab\"}]}",
                WN_FORMAT, "has id 3, but 2 in model.vocab");
    refuse_json("{" PRE
                "," MODEL(NO_MERGES) ",\"added_tokens\":[{\"id\":2,\"content\":\"ab\"},{\"id\":2,"
                                     "\"content\":\"ab\"}]}",
                WN_FORMAT, "added_tokens[1]");
}

static void test_json_merges(void **state)
{
    (void)state;
    static const char *const bad[] = {"7",         "\"ab\"", "[]", "[\"a\"]", "[\"a\",\"b\",\"c\"]",
                                      "[\"a\",1]", "null"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];
        snprintf(text, sizeof text, "{" PRE "," MODEL("\"merges\":[\"a b\",%s]") "}", bad[i]);
        refuse_json(text, WN_FORMAT, "model.merges[1]");
    }
    refuse_json("{" PRE "," MODEL("\"merges\":[\"a b\",\"b q\"]") "}", WN_FORMAT, "right part");
    refuse_json("{" PRE "," MODEL("\"merges\":[\"q b\"]") "}", WN_FORMAT, "merge 0 names a token");
    refuse_json("{" PRE "," MODEL("\"merges\":[\"b a\"]") "}", WN_FORMAT, "(result)");
    refuse_json("{" PRE "," MODEL("\"merges\":[\"a \"]") "}", WN_FORMAT, "1 and 0 bytes");
    refuse_json("{" PRE "," MODEL("\"merges\":[\"a \xE4\xB8\xAD\"]") "}", WN_FORMAT,
                "byte alphabet");
}

static void test_json_depth(void **state)
{
    (void)state;
    wn_strbuf text = {0};
    for (int i = 0; i < 100000; i++)
        wn_strbuf_adds(&text, i % 2 ? "[" : "[[");
    refuse_json(text.data, WN_FORMAT, "JSON");
    wn_strbuf_free(&text);
}

/* A special token found in the vocabulary of merges cannot grow out of text. */
static void test_specials_never_grow(void **state)
{
    (void)state;
    const char *text =
        "{" PRE
        "," MODEL("\"merges\":[],\"ignore_merges\":true") ",\"added_tokens\":[{\"id\":2,"
                                                          "\"content\":\"ab\",\"special\":true}]}";
    char path[128];
    wn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    test_write_file(path, "tokenizer.json", text, strlen(text));
    WN_ASSERT_OK(wn_tokenizer_from_json(&t, path, err));
    WN_ASSERT_OK(wn_tokenizer_encode(t, "ab", 2, WN_ENCODE_PLAIN, &ids, &n, err));
    assert_int_equal(n, 2); /* a, b */
    free(ids);
    WN_ASSERT_OK(wn_tokenizer_encode(t, "ab", 2, WN_ENCODE_SPECIALS, &ids, &n, err));
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 2);
    free(ids);
    wn_tokenizer_close(t);
}

/* Whatever a damaged file loads as, encoding stays in range. */
static void use_tokenizer(const wn_tokenizer *t)
{
    const char *text = "Alice was <|im_start|>user caf\xC3\xA9 \xFF\xE2\x82 12345  \n\n ok";
    for (unsigned flags = 0; flags < 2; flags++) {
        int32_t *ids = NULL;
        size_t n = 0;
        WN_ASSERT_OK(wn_tokenizer_encode(t, text, strlen(text), flags, &ids, &n, err));
        for (size_t i = 0; i < n; i++)
            assert_in_range(ids[i], 0, wn_tokenizer_n_vocab(t) - 1);
        free(ids);
    }
}

static void test_json_byte_flips(void **state)
{
    (void)state;
    golden_reader file = golden_open("small_pairs.json");
    size_t n_loaded = 0, n_refused = 0;
    srand(7);
    for (int round = 0; round < 1500; round++) {
        char path[128];
        wn_tokenizer *t = NULL;
        wn_error err = {0};
        size_t at = (size_t)rand() % file.file.len;
        char before = file.file.data[at];
        file.file.data[at] = (char)(round % 2 ? before ^ (1 << rand() % 8) : rand() % 256);
        test_write_file(path, "tokenizer.json", file.file.data, file.file.len);
        if (wn_tokenizer_from_json(&t, path, &err) == WN_OK) {
            use_tokenizer(t);
            n_loaded++;
        } else {
            assert_null(t);
            assert_true(strstr(err.text, "tokenizer.json") != NULL);
            n_refused++;
        }
        wn_tokenizer_close(t);
        file.file.data[at] = before;
    }
    assert_true(n_loaded > 50 && n_refused > 200);
    wn_strbuf_free(&file.file);
}

static void test_json_out_of_memory(void **state)
{
    (void)state;
    wn_status status = WN_NO_MEMORY;
    size_t n_failed = 0;
    for (size_t k = 1; status != WN_OK; k++) {
        wn_tokenizer *t = NULL;
        wn_alloc_fail_after(k, false);
        status = wn_tokenizer_from_json(&t, GOLDEN_TOKENS "small_pairs.json", NULL);
        wn_alloc_fail_after(0, false);
        if (status != WN_OK) {
            assert_int_equal(status, WN_NO_MEMORY);
            assert_null(t);
            n_failed++;
        }
        wn_tokenizer_close(t);
    }
    assert_true(n_failed > 10);
}

static void test_encode_out_of_memory(void **state)
{
    (void)state;
    wn_tokenizer *t = NULL;
    WN_ASSERT_OK(wn_tokenizer_from_json(&t, GOLDEN_TOKENS "small_pairs.json", err));
    char text[6000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "ae\xCC\x81z <|im_end|>"[i % 15];
    wn_status status = WN_NO_MEMORY;
    size_t n_failed = 0;
    for (size_t k = 1; status != WN_OK; k++) {
        int32_t *ids = NULL;
        size_t n = 0;
        wn_alloc_fail_after(k, false);
        status = wn_tokenizer_encode(t, text, sizeof text, 1, &ids, &n, NULL);
        wn_alloc_fail_after(0, false);
        n_failed += status == WN_NO_MEMORY;
        if (status == WN_OK && n_failed < 3) /* the cache is optional: go on behind it */
            status = WN_NO_MEMORY;
        free(ids);
    }
    wn_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_parts),
        cmocka_unit_test(test_json_steps),
        cmocka_unit_test(test_json_ids),
        cmocka_unit_test(test_json_added),
        cmocka_unit_test(test_json_merges),
        cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_specials_never_grow),
        cmocka_unit_test(test_json_byte_flips),
        cmocka_unit_test(test_json_out_of_memory),
        cmocka_unit_test(test_encode_out_of_memory),
    };
    return cmocka_run_group_tests(tests, test_make_dir, test_remove_dir);
}
