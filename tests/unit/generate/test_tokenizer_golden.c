/* Ids of the `tokenizers` library, made by tests/golden/tokenizer/generate.py: thousands of random
 * strings, special tokens as names and as text, and every real text in shared/data. */
#include "tests/golden_tokens.h"

#include "base/gguf.h"
#include "base/unicode_nfc.h"
#include "generate/tokenizer.h"

typedef struct family {
    const char *name;
    int column;      /* in real_texts.tsv */
    bool nfc;        /* text comes back in NFC */
    bool lossy;      /* the vocabulary lacks some control bytes */
    wn_tokenizer *t; /* NULL: not on this machine */
} family;

static family llama3 = {.name = "llama3", .column = 0};
static family smollm2 = {.name = "smollm2", .column = 1, .lossy = true};
static family qwen2 = {.name = "qwen2", .column = 2, .nfc = true};

static void open_gguf(family *f, const char *model)
{
    char path[512];
    wn_gguf *g = NULL;
    wn_test_model_path(path, sizeof path, model);
    if (access(path, R_OK) != 0)
        return;
    WN_ASSERT_OK(wn_gguf_open(&g, path, err));
    WN_ASSERT_OK(wn_tokenizer_from_gguf(&f->t, g, err));
    wn_gguf_close(g);
}

static int open_all(void **state)
{
    (void)state;
    const char *ranks = WN_SHARED_DIR "/data/tokenizer/llama3/tokenizer.model";
    if (access(ranks, R_OK) == 0)
        WN_ASSERT_OK(wn_tokenizer_from_tiktoken(&llama3.t, ranks, err));
    open_gguf(&smollm2, "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
    open_gguf(&qwen2, "qwen2.5-1.5b/Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    wn_tokenizer_close(llama3.t);
    wn_tokenizer_close(smollm2.t);
    wn_tokenizer_close(qwen2.t);
    return 0;
}

#define NEED_FAMILY(f)                                                                             \
    do {                                                                                           \
        if (!(f)->t) {                                                                             \
            printf("SKIPPED: %s needs the tokenizer of %s, which is not on this machine\n",        \
                   __func__, (f)->name);                                                           \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

static void check_strings(const wn_tokenizer *t, const char *strings_name, const char *ids_name,
                          unsigned flags)
{
    golden_reader strings = golden_open(strings_name), want = golden_open(ids_name);
    size_t index = 0;
    for (; golden_more(&strings); index++) {
        size_t len = 0, n = 0;
        int32_t *ids = NULL;
        const char *text = golden_string(&strings, &len);
        WN_ASSERT_OK(wn_tokenizer_encode(t, text, len, flags, &ids, &n, err));
        golden_check_ids(&want, index, text, len, ids, n);
        free(ids);
    }
    assert_true(index >= 300);
    assert_false(golden_more(&want));
    wn_strbuf_free(&strings.file);
    wn_strbuf_free(&want.file);
}

static void check_family(const family *f)
{
    char ids[64];
    snprintf(ids, sizeof ids, "random.%s.ids", f->name);
    check_strings(f->t, "random.strings", ids, WN_ENCODE_PLAIN);
    snprintf(ids, sizeof ids, "specials.%s.plain.ids", f->name);
    check_strings(f->t, "specials.strings", ids, WN_ENCODE_PLAIN);
    snprintf(ids, sizeof ids, "specials.%s.specials.ids", f->name);
    check_strings(f->t, "specials.strings", ids, WN_ENCODE_SPECIALS);
}

static void test_strings_llama3(void **state)
{
    (void)state;
    NEED_FAMILY(&llama3);
    check_family(&llama3);
}

static void test_strings_smollm2(void **state)
{
    (void)state;
    NEED_FAMILY(&smollm2);
    check_family(&smollm2);
}

static void test_strings_qwen2(void **state)
{
    (void)state;
    NEED_FAMILY(&qwen2);
    check_family(&qwen2);
}

static void test_small_json(void **state)
{
    (void)state;
    static const char *const files[] = {"small_pairs.json", "small_strings.json"};
    uint8_t prints[2][32];
    for (int i = 0; i < 2; i++) {
        char path[512];
        wn_tokenizer *t = NULL;
        snprintf(path, sizeof path, GOLDEN_TOKENS "%s", files[i]);
        WN_ASSERT_OK(wn_tokenizer_from_json(&t, path, err));
        check_strings(t, "small.strings", "small.plain.ids", WN_ENCODE_PLAIN);
        check_strings(t, "small.strings", "small.specials.ids", WN_ENCODE_SPECIALS);
        assert_int_equal(wn_tokenizer_find(t, "<|im_end|>"), 1);
        assert_int_equal(wn_tokenizer_find(t, "<tool>"), -1); /* added, not special */
        assert_true(wn_tokenizer_is_end(t, 1));
        wn_tokenizer_fingerprint(t, prints[i]);
        wn_tokenizer_close(t);
    }
    assert_memory_equal(prints[0], prints[1], 32); /* both forms of merges are one tokenizer */
}

/* Encodes, and checks that the tokens' bytes are the text again. */
static void encode_and_decode(void *ctx, const char *text, size_t len, int32_t **ids, size_t *n)
{
    const family *f = ctx;
    wn_token_decoder d = {0};
    wn_strbuf out = {0}, nfc = {0};
    WN_ASSERT_OK(wn_tokenizer_encode(f->t, text, len, WN_ENCODE_PLAIN, ids, n, err));
    for (size_t i = 0; i < *n; i++)
        wn_token_decoder_push(&d, f->t, (*ids)[i], &out);
    wn_token_decoder_finish(&d, &out);
    if (f->nfc) {
        wn_unicode_nfc(text, len, &nfc);
        text = nfc.data;
        len = nfc.len;
    }
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, text, len);
    wn_strbuf_free(&out);
    wn_strbuf_free(&nfc);
}

static void check_real_texts(family *f)
{
    WN_NEED_FILE(WN_SHARED_DIR "/data/wikitext2/wiki.valid.raw");
    size_t n = golden_real_texts(f->column, encode_and_decode, f);
    assert_true(n >= 40);
    printf("%zu real texts equal the library's ids for %s\n", n, f->name);
}

static void test_real_texts_llama3(void **state)
{
    (void)state;
    NEED_FAMILY(&llama3);
    check_real_texts(&llama3);
}

static void test_real_texts_smollm2(void **state)
{
    (void)state;
    NEED_FAMILY(&smollm2);
    check_real_texts(&smollm2);
}

static void test_real_texts_qwen2(void **state)
{
    (void)state;
    NEED_FAMILY(&qwen2);
    check_real_texts(&qwen2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_llama3),    cmocka_unit_test(test_strings_smollm2),
        cmocka_unit_test(test_strings_qwen2),     cmocka_unit_test(test_small_json),
        cmocka_unit_test(test_real_texts_llama3), cmocka_unit_test(test_real_texts_smollm2),
        cmocka_unit_test(test_real_texts_qwen2),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
