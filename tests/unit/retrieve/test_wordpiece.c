/* WordPiece against the `tokenizers` library, llama.cpp's vectors, limits and malformed
 * vocabularies. */
#include "tests/golden_tokens.h"

#include <sys/mman.h>

#include "retrieve/wordpiece.h"

static wn_wordpiece *minilm; /* NULL: not on this machine */

static int open_minilm(void **state)
{
    (void)state;
    char dir[512];
    wn_test_model_path(dir, sizeof dir, "minilm-l6");
    if (access(dir, R_OK) == 0)
        WN_ASSERT_OK(wn_wordpiece_open(&minilm, dir, err));
    return 0;
}

static int close_minilm(void **state)
{
    (void)state;
    wn_wordpiece_close(minilm);
    return 0;
}

#define NEED_MINILM()                                                                              \
    do {                                                                                           \
        if (!minilm) {                                                                             \
            printf("SKIPPED: %s needs minilm-l6, which is not on this machine\n", __func__);       \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

static void test_strings(void **state)
{
    (void)state;
    NEED_MINILM();
    golden_reader strings = golden_open("random.strings"),
                  want = golden_open("random.wordpiece.ids");
    size_t index = 0;
    for (; golden_more(&strings); index++) {
        size_t len = 0, n = 0;
        int32_t *ids = NULL;
        const char *text = golden_string(&strings, &len);
        WN_ASSERT_OK(wn_wordpiece_encode(minilm, text, len, SIZE_MAX, &ids, NULL, &n, err));
        golden_check_ids(&want, index, text, len, ids, n);
        free(ids);
    }
    assert_true(index > 2000);
    assert_false(golden_more(&want));
    wn_strbuf_free(&strings.file);
    wn_strbuf_free(&want.file);
}

static void encode_all(void *ctx, const char *text, size_t len, int32_t **ids, size_t *n)
{
    WN_ASSERT_OK(wn_wordpiece_encode(ctx, text, len, SIZE_MAX, ids, NULL, n, err));
}

static void test_real_texts(void **state)
{
    (void)state;
    NEED_MINILM();
    WN_NEED_FILE(WN_SHARED_DIR "/data/wikitext2/wiki.valid.raw");
    assert_true(golden_real_texts(3, encode_all, minilm) >= 40);
}

/* The vocabulary of bge is MiniLM's. */
static void test_vectors(void **state)
{
    (void)state;
    NEED_MINILM();
    const char *base = WN_SHARED_DIR "/data/tokenizer/llamacpp_vectors/ggml-vocab-bert-bge.gguf";
    const char *separator = "\n__ggml_vocab_test__\n";
    char path[512];
    wn_strbuf inp = {0}, out = {0};
    snprintf(path, sizeof path, "%s.inp", base);
    WN_NEED_FILE(path);
    WN_ASSERT_OK(wn_fs_read(&inp, path, 1 << 20, err));
    snprintf(path, sizeof path, "%s.out", base);
    WN_ASSERT_OK(wn_fs_read(&out, path, 1 << 20, err));
    const char *text = wn_strbuf_cstr(&inp), *want = wn_strbuf_cstr(&out);
    for (int i = 0; i < 47; i++) {
        const char *end = strstr(text, separator);
        assert_true((end != NULL) == (i < 46));
        int32_t *ids = NULL;
        size_t n = 0, len = end ? (size_t)(end - text) : strlen(text);
        WN_ASSERT_OK(wn_wordpiece_encode(minilm, text, len, 512, &ids, NULL, &n, err));
        for (size_t k = 0; k < n; k++) {
            char *next = NULL;
            assert_int_equal(ids[k], strtol(want, &next, 10));
            want = next;
        }
        want += strspn(want, " ");
        assert_true(*want == '\n' || *want == '\0');
        want += *want == '\n';
        free(ids);
        text = end ? end + strlen(separator) : text;
    }
    assert_string_equal(want, "");
    wn_strbuf_free(&inp);
    wn_strbuf_free(&out);
}

static void check_offsets(const char *text, size_t max, size_t n_want, const int32_t *ids_want,
                          const size_t *offsets_want)
{
    int32_t *ids = NULL;
    size_t *offsets = NULL, n = 0;
    WN_ASSERT_OK(wn_wordpiece_encode(minilm, text, strlen(text), max, &ids, &offsets, &n, err));
    assert_int_equal(n, n_want);
    assert_memory_equal(ids, ids_want, n * sizeof *ids);
    assert_memory_equal(offsets, offsets_want, n * sizeof *offsets);
    free(ids);
    free(offsets);
}

static void test_offsets_and_max(void **state)
{
    (void)state;
    NEED_MINILM();
    /* hello , em ##bed ##ding ##s: the accent takes a byte of the text and none of the word */
    const int32_t ids[] = {7592, 1010, 7861, 8270, 4667, 2015};
    const size_t at[] = {0, 6, 8, 10, 13, 17};
    for (size_t max = 0; max <= 6; max++)
        check_offsets("H\xC3\xA9llo, Embeddings", max, max, ids, at);
}

static void test_max_stops_early(void **state)
{
    (void)state;
    NEED_MINILM();
    /* The text ends in a guard: reading past the 256th token's word would run into unreadable
     * bytes. */
    size_t page = (size_t)sysconf(_SC_PAGESIZE), len = page * 2;
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    memset(map, ' ', 2 * page);
    for (size_t i = 0; i < 300; i++)
        memcpy(map + 4 * i, "cat", 3);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    int32_t *ids = NULL;
    size_t n = 0;
    WN_ASSERT_OK(wn_wordpiece_encode(minilm, map, len, 256, &ids, NULL, &n, err));
    assert_int_equal(n, 256);
    free(ids);
    munmap(map, 2 * page);
}

static void test_malformed_text(void **state)
{
    (void)state;
    NEED_MINILM();
    int32_t *ids = NULL;
    size_t n = 0;
    WN_ASSERT_OK(
        wn_wordpiece_encode(minilm, "ca\xFFt\xE2\x82 \xF0\x9F", 9, 99, &ids, NULL, &n, err));
    assert_int_equal(n, 1); /* malformed bytes are dropped, as U+FFFD is: "cat" */
    assert_int_equal(ids[0], 4937);
    free(ids);
}

static void write_dir(char *dir, const char *name, const char *text)
{
    char path[600];
    strcpy(dir, "/tmp/winnow-wordpiece-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    WN_ASSERT_OK(wn_fs_write_atomic(path, text, strlen(text), err));
}

static void refuse(const char *name, const char *text, wn_status status, const char *word)
{
    char dir[64];
    wn_wordpiece *w = NULL;
    wn_error err = {0};
    write_dir(dir, name, text);
    assert_int_equal(wn_wordpiece_open(&w, dir, &err), status);
    assert_null(w);
    assert_non_null(strstr(err.text, name)); /* the file is named, and the field */
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not name \"%s\"", err.text, word);
    wn_fs_remove_tree(dir, NULL);
}

#define STEPS                                                                                      \
    "\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":"                    \
    "\"BertPreTokenizer\"},"
#define VOCAB "{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"##a\":4}"

static void test_vocab_txt(void **state)
{
    (void)state;
    char dir[64];
    wn_wordpiece *w = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    write_dir(dir, "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\r\n##a\n\nb\n");
    WN_ASSERT_OK(wn_wordpiece_open(&w, dir, err));
    assert_int_equal(wn_wordpiece_n_vocab(w), 7);
    assert_int_equal(wn_wordpiece_cls(w), 1);
    assert_int_equal(wn_wordpiece_sep(w), 2);
    WN_ASSERT_OK(wn_wordpiece_encode(w, "AAA b ab", 8, 9, &ids, NULL, &n, err));
    const int32_t want[] = {3, 4, 4, 6, 0};
    assert_int_equal(n, 5);
    assert_memory_equal(ids, want, sizeof want);
    free(ids);
    wn_wordpiece_close(w);
    wn_fs_remove_tree(dir, NULL);
}

/* Marks that BERT keeps (spacing ones) stand in canonical order: U+302E and U+302F are of class
 * 224, U+1D165 of 216; U+034F, a starter, keeps what is on its two sides apart though it is dropped
 * itself. */
static void test_order_of_marks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t want[3];
    } cases[] = {
        {"a\xE3\x80\xAE\xE3\x80\xAF", {3, 4, 5}},
        {"a\xE3\x80\xAF\xE3\x80\xAE", {3, 5, 4}},
        {"a\xE3\x80\xAE\xF0\x9D\x85\xA5", {3, 6, 4}},
        {"a\xE3\x80\xAE\xCD\x8F\xF0\x9D\x85\xA5", {3, 4, 6}},
        {"a\xE3\x80\xAE\xCC\x81\xF0\x9D\x85\xA5", {3, 6, 4}},
    };
    char dir[64];
    wn_wordpiece *w = NULL;
    write_dir(dir, "vocab.txt",
              "[UNK]\n[CLS]\n[SEP]\na\n##\xE3\x80\xAE\n##\xE3\x80\xAF\n##\xF0\x9D\x85\xA5\n");
    WN_ASSERT_OK(wn_wordpiece_open(&w, dir, err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t *ids = NULL;
        size_t n = 0;
        const char *text = cases[i].text;
        WN_ASSERT_OK(wn_wordpiece_encode(w, text, strlen(text), 9, &ids, NULL, &n, err));
        assert_int_equal(n, 3);
        assert_memory_equal(ids, cases[i].want, sizeof cases[i].want);
        free(ids);
    }
    wn_wordpiece_close(w);
    wn_fs_remove_tree(dir, NULL);
}

static void test_refused(void **state)
{
    (void)state;
    refuse("vocab.txt", "[UNK]\n[CLS]\n", WN_FORMAT, "[SEP]");
    refuse("vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\na\n", WN_FORMAT, "3 and 4");
    refuse("vocab.txt", "", WN_FORMAT, "0 tokens");
    refuse("tokenizer.json", "{", WN_FORMAT, "JSON");
    refuse("tokenizer.json", "[]", WN_UNSUPPORTED, "model.type");
    refuse("tokenizer.json", "{\"model\":{\"type\":\"BPE\"}}", WN_UNSUPPORTED, "BPE");
    refuse("tokenizer.json", "{\"model\":{\"type\":\"WordPiece\"}}", WN_UNSUPPORTED, "normalizer");
    refuse("tokenizer.json", "{" STEPS "\"model\":{\"type\":\"WordPiece\"}}", WN_FORMAT,
           "model.vocab");
    refuse("tokenizer.json", "{" STEPS "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":7}}}",
           WN_FORMAT, "out of range");
    refuse("tokenizer.json",
           "{" STEPS "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0,\"b\":0}}}", WN_FORMAT,
           "twice");
    refuse("tokenizer.json",
           "{" STEPS
           "\"model\":{\"type\":\"WordPiece\",\"max_input_chars_per_word\":100000,\"vocab\":" VOCAB
           "}}",
           WN_INVALID, "max_input_chars_per_word");
    refuse("tokenizer.json",
           "{" STEPS
           "\"model\":{\"type\":\"WordPiece\",\"continuing_subword_prefix\":\"@@\",\"vocab\":" VOCAB
           "}}",
           WN_UNSUPPORTED, "@@");
}

static void test_empty_dir(void **state)
{
    (void)state;
    wn_wordpiece *w = NULL;
    assert_int_equal(wn_wordpiece_open(&w, "/nonexistent", NULL), WN_NOT_FOUND);
    assert_null(w);
    wn_wordpiece_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),         cmocka_unit_test(test_real_texts),
        cmocka_unit_test(test_vectors),         cmocka_unit_test(test_offsets_and_max),
        cmocka_unit_test(test_max_stops_early), cmocka_unit_test(test_malformed_text),
        cmocka_unit_test(test_vocab_txt),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_order_of_marks),  cmocka_unit_test(test_empty_dir),
    };
    return cmocka_run_group_tests(tests, open_minilm, close_minilm);
}
