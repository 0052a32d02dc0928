/* The embedder against sentence-transformers and transformers, and against damaged folders. */
#include "tests/sanitized.h"
#include "tests/unit/retrieve/embed_fixture.h"

#include <jansson.h>
#include <math.h>

#include "base/checked.h"
#include "base/json.h"
#include "retrieve/embedder.h"

#define GOLDEN WN_SOURCE_DIR "/tests/golden/embed/"
#define SCIFACT WN_SHARED_DIR "/data/ir/scifact/"

#define N_PASSAGES (WN_TEST_SANITIZED ? 4 : 200)

static wn_compute *compute;

static int open_compute(void **state)
{
    (void)state;
    return wn_compute_open(&compute, &(wn_compute_options){.n_threads = 2}, NULL) != WN_OK;
}

static int close_compute(void **state)
{
    (void)state;
    wn_compute_close(compute);
    return 0;
}

static float half_to_float(uint16_t h)
{
    int exponent = (h >> 10) & 31, fraction = h & 1023;
    double v = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return (float)(h & 0x8000 ? -v : v);
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* The first n rows of a JSON-lines file: title + " " + text where there is a title. */
typedef struct corpus_texts {
    char **texts;
    size_t *lens, n;
} corpus_texts;

static corpus_texts read_texts(const char *path, size_t n)
{
    corpus_texts c = {wn_alloc(n, sizeof(char *)), wn_alloc(n, sizeof(size_t)), 0};
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *line = NULL;
    size_t cap = 0;
    ssize_t len = 0;
    while (c.n < n && (len = getline(&line, &cap, f)) > 0) {
        json_t *row = NULL;
        WN_ASSERT_OK(wn_json_parse(&row, line, (size_t)len, path, err));
        const char *title = json_string_value(json_object_get(row, "title"));
        wn_strbuf text = {0};
        if (title)
            wn_strbuf_printf(&text, "%s ", title);
        wn_strbuf_adds(&text, json_string_value(json_object_get(row, "text")));
        c.lens[c.n] = text.len;
        c.texts[c.n++] = wn_strbuf_detach(&text);
        json_decref(row);
    }
    free(line);
    fclose(f);
    assert_int_equal(c.n, n);
    return c;
}

static void free_texts(corpus_texts *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->texts[i]);
    free(c->texts);
    free(c->lens);
}

static void compare_with_golden(wn_embedder *e, const char *texts_path, const char *golden,
                                size_t n)
{
    size_t dim = wn_embedder_dim(e);
    wn_strbuf expected = {0};
    read_file(&expected, GOLDEN, golden);
    assert_true(expected.len >= n * dim * 2);
    corpus_texts c = read_texts(texts_path, n);
    float *out = wn_alloc(n * dim, sizeof(float)), *row = wn_alloc(dim, sizeof(float));
    WN_ASSERT_OK(
        wn_embedder_embed(e, WN_EMBED_PASSAGE, (const char *const *)c.texts, c.lens, n, out, err));
    double worst = 1;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < dim; j++) {
            uint16_t h = 0;
            memcpy(&h, expected.data + (i * dim + j) * 2, 2);
            row[j] = half_to_float(h);
        }
        double cos = cosine(out + i * dim, row, dim);
        worst = cos < worst ? cos : worst;
        assert_float_equal(cosine(out + i * dim, out + i * dim, dim), 1, 1e-6);
    }
    printf("%s: worst cosine of %zu texts %.7f\n", golden, n, worst);
    assert_true(worst >= 0.9999);
    free(out);
    free(row);
    free_texts(&c);
    wn_strbuf_free(&expected);
}

static wn_embedder *open_minilm(char *path, size_t cap)
{
    wn_embedder *e = NULL;
    wn_test_model_path(path, cap, "minilm-l6");
    WN_ASSERT_OK(wn_embedder_open(&e, compute, path, err));
    return e;
}

static void test_minilm_equals_sentence_transformers(void **state)
{
    (void)state;
    char path[512];
    WN_NEED_FILE(wn_test_model_path(path, sizeof path, "minilm-l6"));
    WN_NEED_FILE(SCIFACT "corpus.jsonl");
    wn_embedder *e = open_minilm(path, sizeof path);
    assert_int_equal(wn_embedder_dim(e), 384);
    assert_int_equal(wn_embedder_max_tokens(e), 256);
    assert_string_equal(wn_embedder_name(e), "minilm-l6");
    compare_with_golden(e, SCIFACT "queries.jsonl", "minilm_queries.f16",
                        N_PASSAGES < 20 ? N_PASSAGES : 20);
    compare_with_golden(e, SCIFACT "corpus.jsonl", "minilm_passages.f16", N_PASSAGES);
    wn_embedder_close(e);
}

/* Every instruction set rounds in its own way; wherever it is "the best one here", this holds. */
static void test_minilm_on_every_set(void **state)
{
    (void)state;
    static const char *const isas[] = {"avx2", "avx512", "avx512bf16", "amx", "amx-emulated"};
    char path[512];
    WN_NEED_FILE(wn_test_model_path(path, sizeof path, "minilm-l6"));
    WN_NEED_FILE(SCIFACT "corpus.jsonl");
    wn_compute *usual = compute;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        compute = NULL;
        if (wn_compute_open(&compute, &(wn_compute_options){.isa = isas[i]}, NULL) != WN_OK) {
            printf("%s: not on this machine\n", isas[i]);
            continue;
        }
        printf("%s ", isas[i]);
        wn_embedder *e = open_minilm(path, sizeof path);
        compare_with_golden(e, SCIFACT "corpus.jsonl", "minilm_passages.f16",
                            WN_TEST_SANITIZED ? 1 : 4);
        wn_embedder_close(e);
        wn_compute_close(compute);
    }
    compute = usual;
}

static void test_minilm_token_counts(void **state)
{
    (void)state;
    char path[512];
    WN_NEED_FILE(wn_test_model_path(path, sizeof path, "minilm-l6"));
    WN_NEED_FILE(SCIFACT "corpus.jsonl");
    wn_embedder *e = open_minilm(path, sizeof path);
    corpus_texts c = read_texts(SCIFACT "corpus.jsonl", 200);
    wn_strbuf counts = {0};
    read_file(&counts, GOLDEN, "minilm_tokens.txt");
    char *at = counts.data;
    size_t n_long = 0;
    for (size_t i = 0; i < 200; i++) {
        size_t expected = strtoul(at, &at, 10);
        assert_int_equal(wn_embedder_count_tokens(e, c.texts[i], c.lens[i]) + 2, expected);
        n_long += expected > 256;
    }
    assert_true(n_long > 20); /* the golden vectors cover texts that are cut */
    free_texts(&c);
    wn_strbuf_free(&counts);
    wn_embedder_close(e);
}

/* Bits of a vector must not depend on what shares its batch, its place or the threads. */
static void test_minilm_batch_independence(void **state)
{
    (void)state;
    char path[512];
    WN_NEED_FILE(wn_test_model_path(path, sizeof path, "minilm-l6"));
    WN_NEED_FILE(SCIFACT "corpus.jsonl");
    wn_compute *single = NULL;
    WN_ASSERT_OK(wn_compute_open(&single, &(wn_compute_options){.n_threads = 1}, err));
    wn_embedder *e = open_minilm(path, sizeof path), *one = NULL;
    WN_ASSERT_OK(wn_embedder_open(&one, single, path, err));
    corpus_texts c = read_texts(SCIFACT "corpus.jsonl", 12);
    const char *texts[15] = {"gene", "", "a b c"}; /* alone, these are below the GEMV limit */
    size_t lens[15] = {4, 0, 5}, n = N_PASSAGES < 12 ? 4 : 15;
    for (size_t i = 3; i < n; i++) {
        texts[i] = c.texts[i - 3];
        lens[i] = c.lens[i - 3];
    }
    float *batch = wn_alloc(15 * 384, sizeof(float)), *alone = wn_alloc(384, sizeof(float));
    WN_ASSERT_OK(wn_embedder_embed(e, WN_EMBED_PASSAGE, texts, lens, n, batch, err));
    for (size_t i = 0; i < n; i++) {
        WN_ASSERT_OK(wn_embedder_embed(e, WN_EMBED_PASSAGE, &texts[i], &lens[i], 1, alone, err));
        assert_memory_equal(alone, batch + i * 384, 384 * sizeof(float));
        WN_ASSERT_OK(wn_embedder_embed(one, WN_EMBED_PASSAGE, &texts[i], &lens[i], 1, alone, err));
        assert_memory_equal(alone, batch + i * 384, 384 * sizeof(float));
    }
    WN_ASSERT_OK(wn_embedder_embed(e, WN_EMBED_QUERY, texts, lens, 0, batch, err));
    free(batch);
    free(alone);
    free_texts(&c);
    wn_embedder_close(one);
    wn_embedder_close(e);
    wn_compute_close(single);
}

static void test_tiny_cls_equals_transformers(void **state)
{
    (void)state;
    wn_embedder *e = NULL;
    wn_compute *exact = NULL;
    WN_ASSERT_OK(wn_compute_open(&exact, &(wn_compute_options){.exact = true}, err));
    WN_ASSERT_OK(wn_embedder_open(&e, exact, TINY_DIR "/", err));
    assert_string_equal(wn_embedder_name(e), "tiny_cls");
    assert_int_equal(wn_embedder_max_tokens(e), 48);
    json_t *cases = NULL, *c = NULL;
    WN_ASSERT_OK(wn_json_load_file(&cases, GOLDEN "tiny_cls.json", 1 << 20, err));
    assert_int_equal(json_array_size(cases), 8);
    size_t i = 0;
    json_array_foreach(cases, i, c)
    {
        const char *text = json_string_value(json_object_get(c, "text"));
        const char *role = json_string_value(json_object_get(c, "role"));
        size_t len = strlen(text);
        float out[48] = {0};
        WN_ASSERT_OK(
            wn_embedder_embed(e, strcmp(role, "query") == 0 ? WN_EMBED_QUERY : WN_EMBED_PASSAGE,
                              &text, &len, 1, out, err));
        for (size_t j = 0; j < 48; j++) {
            double expected = json_number_value(json_array_get(json_object_get(c, "vector"), j));
            assert_float_equal((double)out[j], expected, 2e-5);
        }
    }
    json_decref(cases);
    wn_embedder_close(e);
    wn_compute_close(exact);
}

static void test_fingerprint(void **state)
{
    (void)state;
    char dir[64], first[80];
    copy_tiny(dir);
    wn_embedder *e = NULL;
    WN_ASSERT_OK(wn_embedder_open(&e, compute, TINY_DIR, err));
    assert_int_equal(strlen(wn_embedder_fingerprint(e)), 64);
    snprintf(first, sizeof first, "%s", wn_embedder_fingerprint(e));
    wn_embedder_close(e);
    WN_ASSERT_OK(wn_embedder_open(&e, compute, dir, err)); /* the same bytes elsewhere */
    assert_string_equal(wn_embedder_fingerprint(e), first);
    wn_embedder_close(e);
    edit_file(dir, "sentence_bert_config.json", "48", "47");
    WN_ASSERT_OK(wn_embedder_open(&e, compute, dir, err));
    assert_string_not_equal(wn_embedder_fingerprint(e), first);
    wn_embedder_close(e);
    edit_file(dir, "sentence_bert_config.json", "47", "48");
    wn_strbuf weights = {0};
    read_file(&weights, dir, "model.safetensors");
    weights.data[weights.len - 1] ^= 1; /* one bit of one weight */
    write_file(dir, "model.safetensors", weights.data, weights.len);
    WN_ASSERT_OK(wn_embedder_open(&e, compute, dir, err));
    assert_string_not_equal(wn_embedder_fingerprint(e), first);
    wn_embedder_close(e);
    wn_strbuf_free(&weights);
    WN_ASSERT_OK(wn_fs_remove_tree(dir, err));
}

static void expect_refused(const char *dir, const char *part_of_text)
{
    wn_embedder *e = NULL;
    wn_error err = {0};
    wn_status status = wn_embedder_open(&e, compute, dir, &err);
    if (status == WN_OK)
        fail_msg("opened; expected an error about %s", part_of_text);
    assert_null(e);
    assert_int_equal(err.status, status);
    if (!strstr(err.text, part_of_text))
        fail_msg("\"%s\" does not name %s", err.text, part_of_text);
}

static void test_missing_files(void **state)
{
    (void)state;
    expect_refused("/nonexistent/embedder", "/nonexistent/embedder");
    const char *const required[] = {"config.json", "vocab.txt", "model.safetensors"};
    for (size_t i = 0; i < 3; i++) {
        char dir[64], path[128];
        copy_tiny(dir);
        snprintf(path, sizeof path, "%s/%s", dir, required[i]);
        assert_int_equal(unlink(path), 0);
        expect_refused(dir, i == 1 ? dir : required[i]);
        WN_ASSERT_OK(wn_fs_remove_tree(dir, err));
    }
}

static void test_wrong_configuration(void **state)
{
    (void)state;
    static const struct {
        const char *file, *from, *to, *named;
    } cases[] = {
        {"config.json", "\"bert\"", "\"xlm-roberta\"", "model_type"},
        {"config.json", "\"gelu\"", "\"relu\"", "hidden_act"},
        {"config.json", "\"absolute\"", "\"relative_key\"", "position_embedding_type"},
        {"config.json", "\"hidden_size\": 48", "\"hidden_size\": 44", "hidden_size 44"},
        {"config.json", "\"hidden_size\": 48", "\"hidden_size\": \"48\"", "hidden_size"},
        {"config.json", "\"hidden_size\": 48", "\"hidden_size\": -48", "hidden_size"},
        {"config.json", "\"hidden_size\": 48", "\"hidden_sizes\": 48", "hidden_size"},
        {"config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "encoder.layer.2"},
        {"config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 99999999999",
         "num_hidden_layers"},
        {"config.json", "\"num_attention_heads\": 4", "\"num_attention_heads\": 5",
         "num_attention_heads"},
        {"config.json", "\"intermediate_size\": 96", "\"intermediate_size\": 97",
         "intermediate.dense"},
        {"config.json", "\"max_position_embeddings\": 64", "\"max_position_embeddings\": 65",
         "position_embeddings"},
        {"config.json", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 2", "layer_norm_eps"},
        {"config.json", "{", "[", "config.json"},
        {"1_Pooling/config.json", "\"pooling_mode_mean_tokens\": false",
         "\"pooling_mode_mean_tokens\": true", "pooling_mode_cls_token"},
        {"1_Pooling/config.json", "pooling_mode_cls_token", "pooling_mode_max_tokens", "max"},
        {"1_Pooling/config.json", "48", "47", "word_embedding_dimension"},
        {"sentence_bert_config.json", "48", "-1", "max_seq_length"},
        {"sentence_bert_config.json", "48", "\"x\"", "max_seq_length"},
        {"model.safetensors", "\"dtype\":\"F16\"", "\"dtype\":\"I16\"", "model.safetensors"},
        {"vocab.txt", "[CLS]", "[CLX]", "[CLS]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char dir[64];
        copy_tiny(dir);
        edit_file(dir, cases[i].file, cases[i].from, cases[i].to);
        expect_refused(dir, cases[i].named);
        WN_ASSERT_OK(wn_fs_remove_tree(dir, err));
    }
}

static void test_other_modules_refused(void **state)
{
    (void)state;
    char dir[64];
    copy_tiny(dir);
    const char *modules = "[{\"type\": \"sentence_transformers.models.Transformer\"},"
                          " {\"type\": \"sentence_transformers.models.Dense\"}]";
    write_file(dir, "modules.json", modules, strlen(modules));
    expect_refused(dir, "Dense");
    WN_ASSERT_OK(wn_fs_remove_tree(dir, err));
}

/* Any damage gives an error or a working embedder, never a crash (AddressSanitizer runs this). */
static void open_and_use(const char *dir)
{
    wn_embedder *e = NULL;
    wn_error err = {0};
    if (wn_embedder_open(&e, compute, dir, &err) != WN_OK) {
        assert_null(e);
        assert_true(err.text[0] != '\0');
        return;
    }
    const char *text = "the cell is a protein";
    size_t len = strlen(text);
    float *out = wn_alloc(wn_embedder_dim(e), sizeof(float));
    assert_int_equal(wn_embedder_embed(e, WN_EMBED_QUERY, &text, &len, 1, out, &err), WN_OK);
    assert_int_equal(strlen(wn_embedder_fingerprint(e)), 64);
    free(out);
    wn_embedder_close(e);
}

static void test_random_damage(void **state)
{
    (void)state;
    char dir[64];
    copy_tiny(dir);
    wn_strbuf whole = {0};
    uint32_t random = 12345;
    for (size_t round = 0; round < 240; round++) {
        const char *name = tiny_files[round % N_TINY_FILES];
        read_file(&whole, TINY_DIR, name);
        /* Half of the rounds cut the file, half change bytes (of the header, in the weights' file)
         */
        size_t span = whole.len > 4096 ? 4096 : whole.len;
        random = random * 1664525 + 1013904223;
        if (round % 12 < 6) {
            size_t len = (random >> 8) % (round % 24 < 12 ? whole.len : span);
            write_file(dir, name, whole.data, len);
        } else {
            for (size_t k = 0; k < 1 + round % 3; k++) {
                random = random * 1664525 + 1013904223;
                whole.data[(random >> 8) % span] = (char)(random >> 3);
            }
            write_file(dir, name, whole.data, whole.len);
        }
        open_and_use(dir);
        read_file(&whole, TINY_DIR, name);
        write_file(dir, name, whole.data, whole.len);
    }
    wn_strbuf_free(&whole);
    WN_ASSERT_OK(wn_fs_remove_tree(dir, err));
}

static void test_out_of_memory(void **state)
{
    (void)state;
    const char *text = "the cell is a protein";
    size_t len = strlen(text), n_failures = 0;
    for (size_t nth = 1;; nth++) {
        wn_embedder *e = NULL;
        float out[48];
        wn_error err = {0};
        wn_alloc_fail_after(nth, false);
        wn_status status = wn_embedder_open(&e, compute, TINY_DIR, &err);
        if (status == WN_OK)
            status = wn_embedder_embed(e, WN_EMBED_QUERY, &text, &len, 1, out, &err);
        wn_alloc_fail_after(0, false);
        wn_embedder_close(e);
        if (status == WN_OK)
            break;
        assert_true(err.text[0] != '\0');
        n_failures++;
    }
    assert_true(n_failures > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny_cls_equals_transformers),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_wrong_configuration),
        cmocka_unit_test(test_other_modules_refused),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_minilm_equals_sentence_transformers),
        cmocka_unit_test(test_minilm_on_every_set),
        cmocka_unit_test(test_minilm_token_counts),
        cmocka_unit_test(test_minilm_batch_independence),
    };
    return cmocka_run_group_tests(tests, open_compute, close_compute);
}
