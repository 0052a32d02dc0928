/* Sessions with eviction heads against Hugging Face transformers with the same mask:
 * tests/golden/eviction (generate.py). */
#include "tests/unit/generate/golden_logits.h"

#include "generate/model_internal.h"
#include "generate/session.h"
#include "tests/sanitized.h"
#include "tests/unit/generate/random_checkpoint.h"
#include "tests/unit/generate/side_car.h"

#define MAX_ABS_ERROR 2e-3 /* as without heads: test_model_logits.c */
#define HEADS_GAIN 64

enum { N = 512, CHUNK = 64, N_READ = 384 }; /* tokens; the rest is decoded */

static const checkpoint_shape shape = {.n_layers = 3,
                                       .d_model = 512,
                                       .q_dim = 512,
                                       .kv_dim = 128,
                                       .d_ff = 1024,
                                       .n_vocab = 512,
                                       .tied = true,
                                       .dtype = CHECKPOINT_BF16,
                                       .gain = 2};
#define CONFIG                                                                                     \
    "{\"model_type\":\"llama\",\"hidden_size\":512,\"intermediate_size\":1024,"                    \
    "\"num_hidden_layers\":3,\"num_attention_heads\":8,\"num_key_value_heads\":2,"                 \
    "\"head_dim\":64,\"tie_word_embeddings\":true,\"rms_norm_eps\":1e-05,\"vocab_size\":512,"      \
    "\"max_position_embeddings\":131072,"
#define LLAMA_ROPE                                                                                 \
    "\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":32.0,"          \
    "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}}"
#define FAST_ROPE "\"rope_theta\":100.0}" /* the borrowed channel, the slowest, turns as well */

static char root[] = "/tmp/wn_test_evict_XXXXXX";
static char folder[64], side_car[64], asked[64];
static wn_compute *compute;

static int open_all(void **state)
{
    (void)state;
    if (!mkdtemp(root))
        return -1;
    snprintf(folder, sizeof folder, "%s", root);
    snprintf(side_car, sizeof side_car, "%s/heads.safetensors", root);
    snprintf(asked, sizeof asked, "%s/heads.json", root);
    return wn_compute_open(&compute, &(wn_compute_options){.exact = true}, NULL) == WN_OK ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    wn_compute_close(compute);
    return wn_fs_remove_tree(root, NULL) == WN_OK ? 0 : -1;
}

typedef struct eviction_case {
    golden g;
    const uint8_t *evict; /* [n_layers][n_kv_heads][N] */
    wn_model *model;
    wn_dms_heads *heads;
} eviction_case;

static int64_t heads_int(const eviction_case *c, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(c->g.json, "heads"), key));
}

/* The weights follow from their names, the biases are in the golden file. */
static void write_side_car(const eviction_case *c)
{
    const wn_model_config *m = wn_model_config_of(c->model);
    const size_t n = m->n_layers * m->n_kv_heads, per_layer = m->n_kv_heads * m->d_model;
    const json_t *biases = json_object_get(c->g.json, "bias");
    char fingerprint[WN_SHA256_HEX], window[24], shift[24], points[96], name[64];
    float *weight = calloc(m->n_layers * per_layer, sizeof *weight);
    float *bias = calloc(n, sizeof *bias);
    assert_true(weight && bias && json_array_size(biases) == n);
    for (size_t l = 0; l < m->n_layers; l++) {
        snprintf(name, sizeof name, "layers.%zu.weight", l);
        random_floats(name, HEADS_GAIN, weight + l * per_layer, per_layer);
    }
    for (size_t i = 0; i < n; i++)
        bias[i] = (float)json_real_value(json_array_get(biases, i));
    WN_ASSERT_OK(wn_model_fingerprint(c->model, fingerprint, err));
    snprintf(window, sizeof window, "%lld", (long long)heads_int(c, "window"));
    snprintf(shift, sizeof shift, "%lld", (long long)heads_int(c, "shift"));
    snprintf(points, sizeof points, "[{'window':%s,'bias':0,'ratio':2}]", window);
    const side_car_spec s = {.n_layers = m->n_layers,
                             .n_kv_heads = m->n_kv_heads,
                             .d_model = m->d_model,
                             .fingerprint = fingerprint,
                             .window = window,
                             .shift = shift,
                             .points = points,
                             .weight = weight,
                             .bias = bias};
    side_car_write(side_car, &s);
    free(weight);
    free(bias);
}

static void write_metadata(const eviction_case *c)
{
    const json_t *h = json_object_get(c->g.json, "heads");
    char text[256];
    snprintf(text, sizeof text,
             "{\"dms_window_size\":%lld,\"alpha_scale\":%g,\"dms_alpha_offset\":%g,"
             "\"decision_shift\":%lld,\"zero_after_rope\":%s}",
             (long long)heads_int(c, "window"), json_real_value(json_object_get(h, "scale")),
             json_real_value(json_object_get(h, "offset")), (long long)heads_int(c, "shift"),
             json_is_true(json_object_get(h, "after_rope")) ? "true" : "false");
    write_text_file(asked, text);
}

static void case_open(eviction_case *c, const char *name, const char *path)
{
    *c = (eviction_case){0};
    WN_ASSERT_OK(wn_model_open_weights(&c->model, compute, path, err));
    const wn_model_config *m = wn_model_config_of(c->model);
    const size_t n_decisions = m->n_layers * m->n_kv_heads * N;
    golden_load(&c->g, "eviction", name, n_decisions);
    assert_int_equal(c->g.n, N);
    c->evict = (const uint8_t *)c->g.data.data + c->g.data.len - n_decisions;
    const bool linear = json_array_size(json_object_get(c->g.json, "bias")) > 0;
    if (linear)
        write_side_car(c);
    else
        write_metadata(c);
    WN_ASSERT_OK(wn_dms_heads_open(&c->heads, c->model, linear ? side_car : asked, err));
    assert_int_equal(c->heads->kind, linear ? WN_DMS_LINEAR : WN_DMS_BORROWED);
}

static void case_close(eviction_case *c)
{
    wn_dms_heads_close(c->heads);
    wn_model_close(c->model);
    golden_free(&c->g);
}

/* Reads the first n_read tokens, decodes the others; all logits are compared. */
static difference run(const eviction_case *c, wn_session *s, size_t n_read)
{
    const size_t n_vocab = wn_model_config_of(c->model)->n_vocab;
    difference d = {0};
    float *logits = malloc(2 * CHUNK * n_vocab * sizeof *logits);
    assert_non_null(logits);
    for (size_t at = 0; at < n_read; at += 2 * CHUNK) {
        WN_ASSERT_OK(wn_session_append_all_logits(s, c->g.ids + at, 2 * CHUNK, logits, err));
        for (size_t i = 0; i < 2 * CHUNK; i++)
            golden_compare(&d, &c->g, at + i, logits + i * n_vocab, n_vocab);
    }
    for (size_t at = n_read; at < N; at++) {
        WN_ASSERT_OK(wn_session_decode(s, c->g.ids[at], err));
        golden_compare(&d, &c->g, at, wn_session_logits(s), n_vocab);
    }
    free(logits);
    return d;
}

static wn_session *open_session(const eviction_case *c, const wn_dms_heads *heads,
                                const wn_dms_point *point)
{
    wn_session *s = NULL;
    const wn_session_options o = {
        .n_ctx = N, .n_chunk = CHUNK, .kv_format = WN_KV_F32, .heads = heads, .point = point};
    WN_ASSERT_OK(wn_session_open(&s, c->model, compute, &o, err));
    return s;
}

/* Every head has the tokens that the golden's has, and no others. */
static void expect_kept(const eviction_case *c, const wn_session *s)
{
    const wn_model_config *m = wn_model_config_of(c->model);
    const size_t window = c->heads->points[0].window;
    size_t n_gone = 0;
    for (size_t i = 0; i < m->n_layers * m->n_kv_heads; i++) {
        const size_t layer = i / m->n_kv_heads, head = i % m->n_kv_heads;
        size_t n_kept = 0;
        for (size_t t = 0; t < N; t++) {
            const bool kept = t + window >= N || !c->evict[i * N + t];
            if (wn_session_has(s, layer, head, t) != kept)
                fail_msg("layer %zu, head %zu, token %zu: kept %d, should be %d", layer, head, t,
                         !kept, kept);
            n_kept += kept;
        }
        assert_int_equal(wn_session_n_kept(s, layer, head), n_kept);
        n_gone += N - n_kept;
    }
    assert_in_range(100 * n_gone / (m->n_layers * m->n_kv_heads * N), 25, 90);
}

static void check(const eviction_case *c, const char *name, size_t n_read)
{
    wn_session *s = open_session(c, c->heads, NULL);
    difference d = run(c, s, n_read);
    printf("%s: %zu read, %zu decoded, max abs error %.2e, %zu other arg max\n", name, n_read,
           N - n_read, d.max_abs, d.n_argmax);
    assert_true(d.max_abs <= MAX_ABS_ERROR);
    assert_int_equal(d.n_argmax, 0);
    expect_kept(c, s);
    wn_session_close(s);
}

/* The golden notices what is not done as it says. */
static void expect_far(const eviction_case *c, const wn_dms_heads *heads, size_t window)
{
    const wn_dms_point point = {.window = window};
    wn_session *s = open_session(c, heads, heads ? &point : NULL);
    difference d = run(c, s, N);
    wn_session_close(s);
    assert_true(d.max_abs > 10 * MAX_ABS_ERROR);
}

static void check_random(const char *name, const char *config)
{
    eviction_case c;
    write_checkpoint(folder, &shape, config, false);
    case_open(&c, name, folder);
    check(&c, name, N);
    check(&c, name, N_READ);
    wn_dms_heads other = *c.heads;
    const size_t window = c.heads->points[0].window;
    expect_far(&c, NULL, 0);
    expect_far(&c, &other, window + 1);
    other.decision_shift = !other.decision_shift;
    expect_far(&c, &other, window);
    other = *c.heads;
    other.zero_after_rope = !other.zero_after_rope;
    if (other.kind == WN_DMS_BORROWED)
        expect_far(&c, &other, window);
    case_close(&c);
}

static void test_linear(void **state)
{
    (void)state;
    check_random("linear", CONFIG LLAMA_ROPE);
}

static void test_borrowed(void **state)
{
    (void)state;
    check_random("borrowed", CONFIG FAST_ROPE);
}

static void test_borrowed_next(void **state)
{
    (void)state;
    check_random("borrowed-next", CONFIG FAST_ROPE);
}

static void test_smollm2(void **state)
{
    (void)state;
    if (WN_TEST_SANITIZED)
        skip(); /* minutes, and the random models' code */
    char path[512];
    eviction_case c;
    wn_test_model_path(path, sizeof path, "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
    WN_NEED_FILE(path);
    case_open(&c, "smollm2-135m", path);
    check(&c, "smollm2-135m", N);
    check(&c, "smollm2-135m", N_READ);
    case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_borrowed),
        cmocka_unit_test(test_borrowed_next),
        cmocka_unit_test(test_smollm2),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
