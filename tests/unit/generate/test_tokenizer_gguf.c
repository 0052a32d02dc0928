/* Tokenizers in GGUF files written here: kinds of tokens, and each fault named with file and key.
 */
#include "tests/tokenizer_files.h"

#include "base/gguf.h"
#include "generate/tokenizer.h"

enum { GGUF_U32 = 4, GGUF_I32 = 5, GGUF_STRING = 8, GGUF_ARRAY = 9 };

static void put_u32(wn_strbuf *b, uint32_t v)
{
    wn_strbuf_add(b, &v, sizeof v);
}

static void put_u64(wn_strbuf *b, uint64_t v)
{
    wn_strbuf_add(b, &v, sizeof v);
}

static void put_text(wn_strbuf *b, const char *s)
{
    put_u64(b, strlen(s));
    wn_strbuf_adds(b, s);
}

static void put_key(wn_strbuf *b, const char *key, uint32_t type)
{
    put_text(b, key);
    put_u32(b, type);
}

static void put_texts(wn_strbuf *b, const char *key, const char *const *texts, size_t n)
{
    put_key(b, key, GGUF_ARRAY);
    put_u32(b, GGUF_STRING);
    put_u64(b, n);
    for (size_t i = 0; i < n; i++)
        put_text(b, texts[i]);
}

typedef struct gguf_case {
    const char *model, *pre;
    const char *tokens[6], *merges[2];
    int32_t types[6];
    size_t n_tokens, n_types, n_merges;
    uint32_t eos;
} gguf_case;

static const gguf_case good_gguf = {
    .model = "gpt2",
    .pre = "gpt-2",
    .tokens = {"a", "b", "ab", "<end>", "<bell>", "[PAD5]"},
    .types = {1, 1, 1, 3, 4, 5},
    .merges = {"a b"},
    .n_tokens = 6,
    .n_types = 6,
    .n_merges = 1,
    .eos = 3,
};

static wn_status load_gguf(wn_tokenizer **t, const gguf_case *c, char path[128], wn_error *error)
{
    wn_strbuf b = {0};
    wn_strbuf_adds(&b, "GGUF");
    put_u32(&b, 3);
    put_u64(&b, 0); /* tensors */
    put_u64(&b, 6); /* keys */
    put_key(&b, "tokenizer.ggml.model", GGUF_STRING);
    put_text(&b, c->model);
    put_key(&b, "tokenizer.ggml.pre", GGUF_STRING);
    put_text(&b, c->pre);
    put_texts(&b, "tokenizer.ggml.tokens", c->tokens, c->n_tokens);
    put_texts(&b, "tokenizer.ggml.merges", c->merges, c->n_merges);
    put_key(&b, "tokenizer.ggml.token_type", GGUF_ARRAY);
    put_u32(&b, GGUF_I32);
    put_u64(&b, c->n_types);
    wn_strbuf_add(&b, c->types, c->n_types * sizeof *c->types);
    put_key(&b, "tokenizer.ggml.eos_token_id", GGUF_U32);
    put_u32(&b, c->eos);
    test_write_file(path, "model.gguf", b.data, b.len);
    wn_strbuf_free(&b);
    wn_gguf *g = NULL;
    WN_ASSERT_OK(wn_gguf_open(&g, path, err));
    wn_status status = wn_tokenizer_from_gguf(t, g, error);
    wn_gguf_close(g);
    return status;
}

static void refuse_gguf(gguf_case c, wn_status status, const char *word)
{
    char path[128];
    wn_error err = {0};
    wn_tokenizer *t = NULL;
    wn_status got = load_gguf(&t, &c, path, &err);
    assert_null(t);
    test_check_error(got, status, &err, path, word);
}

static void test_gguf_good(void **state)
{
    (void)state;
    char path[128];
    wn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    gguf_case c = good_gguf;
    WN_ASSERT_OK(load_gguf(&t, &c, path, err));
    assert_int_equal(wn_tokenizer_n_vocab(t), 6);
    assert_int_equal(wn_tokenizer_bos(t), -1);
    assert_true(wn_tokenizer_is_end(t, 3) && wn_tokenizer_is_special(t, 3));
    assert_false(wn_tokenizer_is_special(t, 4));
    assert_false(wn_tokenizer_is_end(t, -1) || wn_tokenizer_is_end(t, 6));
    /* A user-defined token is matched always, a special one on demand, an unused one never. */
    const char *text = "ab<bell><end>[PAD5]";
    WN_ASSERT_OK(wn_tokenizer_encode(t, text, strlen(text), WN_ENCODE_SPECIALS, &ids, &n, err));
    assert_int_equal(n, 3);
    assert_memory_equal(ids, ((int32_t[]){2, 4, 3}), 12);
    free(ids);
    WN_ASSERT_OK(wn_tokenizer_encode(t, text, strlen(text), WN_ENCODE_PLAIN, &ids, &n, err));
    assert_int_equal(n, 2); /* bytes that this vocabulary lacks are dropped */
    free(ids);
    wn_tokenizer_close(t);

    t = NULL;
    c.eos = 4; /* the end token is special even if its type says "user defined" */
    WN_ASSERT_OK(load_gguf(&t, &c, path, err));
    assert_true(wn_tokenizer_is_special(t, 4));
    assert_int_equal(wn_tokenizer_find(t, "<bell>"), 4);
    wn_tokenizer_close(t);
}

static void test_gguf_refused(void **state)
{
    (void)state;
    gguf_case c = good_gguf;
    c.model = "llama";
    refuse_gguf(c, WN_UNSUPPORTED, "\"llama\"");
    c = good_gguf;
    c.pre = "tekken";
    refuse_gguf(c, WN_UNSUPPORTED, "\"tekken\"");
    c = good_gguf;
    c.n_types = 5;
    refuse_gguf(c, WN_FORMAT, "5 tokenizer.ggml.token_type for 6");
    c = good_gguf;
    c.types[1] = 9;
    refuse_gguf(c, WN_FORMAT, "token_type[1] is 9");
    c = good_gguf;
    c.tokens[1] = "a";
    refuse_gguf(c, WN_FORMAT, "tokens 0 and 1 are the same");
    c = good_gguf;
    c.tokens[3] = "";
    refuse_gguf(c, WN_FORMAT, "added token 3 is empty");
    c = good_gguf;
    c.merges[0] = "a c";
    refuse_gguf(c, WN_FORMAT, "right part");
    c = good_gguf;
    c.merges[0] = "ab";
    refuse_gguf(c, WN_FORMAT, "merge 0");
    c = good_gguf;
    c.merges[0] = "a <end>"; /* special: no part of any merge */
    refuse_gguf(c, WN_FORMAT, "right part");
    c = good_gguf;
    c.eos = 6;
    refuse_gguf(c, WN_FORMAT, "eos_token_id is 6");
    c = good_gguf;
    c.n_tokens = c.n_types = 0;
    refuse_gguf(c, WN_FORMAT, "0 tokens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_good),
        cmocka_unit_test(test_gguf_refused),
    };
    return cmocka_run_group_tests(tests, test_make_dir, test_remove_dir);
}
