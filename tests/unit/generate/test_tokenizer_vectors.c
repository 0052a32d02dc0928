/* The 47 cases of llama.cpp for each vocabulary that is on this machine, and decoding back to the
 * text. */
#include "tests/test_support.h"

#include "base/fs.h"
#include "generate/tokenizer.h"

#define VECTORS WN_SHARED_DIR "/data/tokenizer/llamacpp_vectors/ggml-vocab-"
#define SEPARATOR "\n__ggml_vocab_test__\n"
#define N_CASES 47

static void check_case(const wn_tokenizer *t, const char *text, size_t len, const char **expected)
{
    int32_t *ids = NULL;
    size_t n = 0;
    WN_ASSERT_OK(wn_tokenizer_encode(t, text, len, 0, &ids, &n, err));
    wn_token_decoder d = {0};
    wn_strbuf decoded = {0};
    for (size_t i = 0; i < n; i++) {
        char *end = NULL;
        long want = strtol(*expected, &end, 10);
        assert_ptr_not_equal(end, *expected);
        *expected = end;
        assert_int_equal(ids[i], want);
        wn_token_decoder_push(&d, t, ids[i], &decoded);
    }
    *expected += strspn(*expected, " ");
    assert_true(**expected == '\n' || **expected == '\0'); /* no ids are left */
    *expected += **expected == '\n';
    wn_token_decoder_finish(&d, &decoded);
    assert_int_equal(decoded.len, len);
    assert_memory_equal(wn_strbuf_cstr(&decoded), text, len);
    wn_strbuf_free(&decoded);
    free(ids);
}

static void check_vectors(const wn_tokenizer *t, const char *name)
{
    char path[512];
    wn_strbuf inp = {0}, out = {0};
    snprintf(path, sizeof path, VECTORS "%s.gguf.inp", name);
    WN_ASSERT_OK(wn_fs_read(&inp, path, 1 << 20, err));
    snprintf(path, sizeof path, VECTORS "%s.gguf.out", name);
    WN_ASSERT_OK(wn_fs_read(&out, path, 1 << 20, err));
    const char *text = wn_strbuf_cstr(&inp), *expected = wn_strbuf_cstr(&out);
    for (int i = 0; i < N_CASES; i++) {
        const char *end = strstr(text, SEPARATOR);
        assert_true((end != NULL) == (i < N_CASES - 1));
        check_case(t, text, end ? (size_t)(end - text) : strlen(text), &expected);
        text = end ? end + strlen(SEPARATOR) : text;
    }
    assert_string_equal(expected, "");
    wn_strbuf_free(&inp);
    wn_strbuf_free(&out);
}

static void check_gguf(const char *name)
{
    char path[512];
    wn_gguf *g = NULL;
    wn_tokenizer *t = NULL;
    snprintf(path, sizeof path, VECTORS "%s.gguf", name);
    WN_NEED_FILE(path);
    WN_ASSERT_OK(wn_gguf_open(&g, path, err));
    WN_ASSERT_OK(wn_tokenizer_from_gguf(&t, g, err));
    wn_gguf_close(g); /* the tokenizer owns what it needs */
    check_vectors(t, name);
    wn_tokenizer_close(t);
}

static void test_gpt2(void **state)
{
    (void)state;
    check_gguf("gpt-2");
}

static void test_starcoder(void **state)
{
    (void)state;
    check_gguf("starcoder");
}

static void test_refact(void **state)
{
    (void)state;
    check_gguf("refact");
}

static void test_llama3(void **state)
{
    (void)state;
    wn_tokenizer *t = NULL;
    const char *dir = WN_SHARED_DIR "/data/tokenizer/llama3";
    WN_NEED_FILE(dir);
    WN_ASSERT_OK(wn_tokenizer_from_dir(&t, dir, err));
    check_vectors(t, "llama-bpe");

    int32_t *ids = NULL;
    size_t n = 0;
    const char *text = "<|begin_of_text|>This is a test sentence.<|end_of_text|>";
    const int32_t want[] = {128000, 2028, 374, 264, 1296, 11914, 13, 128001};
    WN_ASSERT_OK(wn_tokenizer_encode(t, text, strlen(text), WN_ENCODE_SPECIALS, &ids, &n, err));
    assert_int_equal(n, 8);
    assert_memory_equal(ids, want, sizeof want);
    assert_int_equal(wn_tokenizer_n_vocab(t), 128256);
    assert_int_equal(wn_tokenizer_bos(t), 128000);
    assert_int_equal(wn_tokenizer_find(t, "<|eot_id|>"), 128009);
    assert_int_equal(wn_tokenizer_find(t, "<|start_header_id|>"), 128006);
    assert_int_equal(wn_tokenizer_find(t, "<|reserved_special_token_3|>"), 128011);
    assert_int_equal(wn_tokenizer_find(t, "<|reserved_special_token_247|>"), 128255);
    assert_true(wn_tokenizer_is_end(t, 128009) && wn_tokenizer_is_end(t, 128001));
    assert_false(wn_tokenizer_is_end(t, 128006));
    free(ids);
    wn_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_starcoder),
        cmocka_unit_test(test_refact),
        cmocka_unit_test(test_llama3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
