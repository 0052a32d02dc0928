/* The encoder's forward pass against a plain double-precision one written here, on the tiny
 * checkpoint, and its packing. */
#include "tests/unit/retrieve/embed_fixture.h"

#include <math.h>

#include "base/checked.h"
#include "base/safetensors.h"
#include "retrieve/bert_encoder.h"

static wn_compute *compute;
static wn_bert_config config;
static wn_bert_encoder *encoder;

static int open_all(void **state)
{
    (void)state;
    wn_error err = {0};
    if (wn_compute_open(&compute, &(wn_compute_options){.n_threads = 2, .exact = true}, &err) !=
            WN_OK ||
        wn_bert_config_load(&config, TINY_DIR, &err) != WN_OK ||
        wn_bert_encoder_open(&encoder, compute, TINY_DIR, &config, &err) != WN_OK) {
        printf("%s\n", err.text);
        return 1;
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    wn_bert_encoder_close(encoder);
    wn_compute_close(compute);
    return 0;
}

static void test_config(void **state)
{
    (void)state;
    assert_int_equal(config.n_layers, 2);
    assert_int_equal(config.d_model, 48);
    assert_int_equal(config.n_heads, 4);
    assert_int_equal(config.head_dim, 12);
    assert_int_equal(config.d_ff, 96);
    assert_int_equal(config.n_positions, 64);
    assert_int_equal(config.max_tokens, 48);
    assert_int_equal(config.pooling, WN_BERT_POOL_CLS);
    assert_true(config.norm_eps > 0.9e-12f && config.norm_eps < 1.1e-12f);
    assert_string_equal(config.query_prefix,
                        "Represent this sentence for searching relevant passages: ");
}

static void load(char dir[64])
{
    WN_ASSERT_OK(wn_bert_config_load(&config, dir, err));
}

/* Which file decides what: prompts before the name, either form of pooling, the smaller length. */
static void test_config_sources(void **state)
{
    (void)state;
    char dir[64];
    wn_bert_config saved = config;
    copy_tiny(dir);
    edit_file(dir, "config.json", "BAAI_bge-small-en", "some-encoder");
    load(dir);
    assert_string_equal(config.query_prefix, "");
    const char *prompts = "{\"prompts\": {\"query\": \"query: \", \"passage\": \"\"}}";
    write_file(dir, "config_sentence_transformers.json", prompts, strlen(prompts));
    load(dir);
    assert_string_equal(config.query_prefix, "query: ");
    const char *mean = "{\"embedding_dimension\": 48, \"pooling_mode\": \"mean\"}";
    write_file(dir, "1_Pooling/config.json", mean, strlen(mean));
    edit_file(dir, "sentence_bert_config.json", "48", "512");
    load(dir);
    assert_int_equal(config.pooling, WN_BERT_POOL_MEAN);
    assert_int_equal(config.max_tokens, 64); /* the positions that exist */
    config = saved;
    WN_ASSERT_OK(wn_fs_remove_tree(dir, err));
}

/* ---- the oracle ---- */

static wn_safetensors *weights;

static double *fetch(const char *format, size_t layer, size_t n)
{
    char name[128];
    int at = snprintf(name, sizeof name, "bert.");
    snprintf(name + at, sizeof name - (size_t)at, format, layer);
    const wn_tensor *t = wn_safetensors_tensor(weights, name);
    if (!t)
        fail_msg("no tensor %s", name);
    float *f = NULL;
    WN_ASSERT_OK(wn_tensor_to_f32(&f, t, err));
    double *out = wn_alloc(n, sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = (double)f[i];
    free(f);
    return out;
}

/* y[n][rows] = x[n][cols] w^T + b, both by name */
static void linear(const char *part, size_t layer, const double *x, size_t n, size_t rows,
                   size_t cols, double *y)
{
    char format[128];
    snprintf(format, sizeof format, "encoder.layer.%%zu.%s.weight", part);
    double *w = fetch(format, layer, rows * cols);
    snprintf(format, sizeof format, "encoder.layer.%%zu.%s.bias", part);
    double *b = fetch(format, layer, rows);
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < rows; r++) {
            double sum = b[r];
            for (size_t c = 0; c < cols; c++)
                sum += x[i * cols + c] * w[r * cols + c];
            y[i * rows + r] = sum;
        }
    free(w);
    free(b);
}

static void normalise(const char *w_name, const char *b_name, size_t layer, double *x, size_t n)
{
    double *w = fetch(w_name, layer, 48), *b = fetch(b_name, layer, 48);
    for (size_t i = 0; i < n; i++) {
        double mean = 0, var = 0;
        for (size_t j = 0; j < 48; j++)
            mean += x[i * 48 + j] / 48;
        for (size_t j = 0; j < 48; j++)
            var += (x[i * 48 + j] - mean) * (x[i * 48 + j] - mean) / 48;
        for (size_t j = 0; j < 48; j++)
            x[i * 48 + j] = (x[i * 48 + j] - mean) / sqrt(var + 1e-12) * w[j] + b[j];
    }
    free(w);
    free(b);
}

static void attention(const double *q, const double *k, const double *v, size_t n, double *out)
{
    for (size_t h = 0; h < 4; h++)
        for (size_t i = 0; i < n; i++) {
            double p[64], total = 0;
            for (size_t t = 0; t < n; t++) {
                double s = 0;
                for (size_t j = 0; j < 12; j++)
                    s += q[i * 48 + h * 12 + j] * k[t * 48 + h * 12 + j];
                total += p[t] = exp(s / sqrt(12));
            }
            for (size_t j = 0; j < 12; j++) {
                double s = 0;
                for (size_t t = 0; t < n; t++)
                    s += p[t] / total * v[t * 48 + h * 12 + j];
                out[i * 48 + h * 12 + j] = s;
            }
        }
}

static void layer_forward(size_t l, double *x, size_t n)
{
    double q[64 * 48], k[64 * 48], v[64 * 48], mixed[64 * 48], y[64 * 48], hidden[64 * 96];
    linear("attention.self.query", l, x, n, 48, 48, q);
    linear("attention.self.key", l, x, n, 48, 48, k);
    linear("attention.self.value", l, x, n, 48, 48, v);
    attention(q, k, v, n, mixed);
    linear("attention.output.dense", l, mixed, n, 48, 48, y);
    for (size_t i = 0; i < n * 48; i++)
        x[i] += y[i];
    normalise("encoder.layer.%zu.attention.output.LayerNorm.weight",
              "encoder.layer.%zu.attention.output.LayerNorm.bias", l, x, n);
    linear("intermediate.dense", l, x, n, 96, 48, hidden);
    for (size_t i = 0; i < n * 96; i++)
        hidden[i] *= 0.5 * (1 + erf(hidden[i] / sqrt(2)));
    linear("output.dense", l, hidden, n, 48, 96, y);
    for (size_t i = 0; i < n * 48; i++)
        x[i] += y[i];
    normalise("encoder.layer.%zu.output.LayerNorm.weight",
              "encoder.layer.%zu.output.LayerNorm.bias", l, x, n);
}

/* CLS vector, L2-normalised */
static void oracle(const int32_t *ids, size_t n, double out[48])
{
    double x[64 * 48], norm = 0;
    double *words = fetch("embeddings.word_embeddings.weight", 0, config.n_vocab * 48);
    double *positions = fetch("embeddings.position_embeddings.weight", 0, (size_t)64 * 48);
    double *types = fetch("embeddings.token_type_embeddings.weight", 0, (size_t)2 * 48);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < 48; j++)
            x[i * 48 + j] = words[(size_t)ids[i] * 48 + j] + positions[i * 48 + j] + types[j];
    normalise("embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias", 0, x, n);
    for (size_t l = 0; l < 2; l++)
        layer_forward(l, x, n);
    for (size_t j = 0; j < 48; j++)
        norm += x[j] * x[j];
    for (size_t j = 0; j < 48; j++)
        out[j] = x[j] / sqrt(norm);
    free(words);
    free(positions);
    free(types);
}

static void test_against_oracle(void **state)
{
    (void)state;
    WN_ASSERT_OK(wn_safetensors_open(&weights, TINY_DIR, err));
    static const size_t lens[] = {48, 1, 2, 7, 9, 33};
    int32_t ids[128];
    size_t n = sizeof lens / sizeof lens[0], total = 0;
    for (size_t s = 0; s < n; s++)
        for (size_t i = 0; i < lens[s]; i++, total++)
            ids[total] = (int32_t)((total * 7919 + s) % config.n_vocab);
    float out[6 * 48], alone[48];
    wn_bert_encoder_encode(encoder, ids, lens, n, out);
    for (size_t s = 0, at = 0; s < n; at += lens[s++]) {
        double expected[48];
        oracle(ids + at, lens[s], expected);
        for (size_t j = 0; j < 48; j++)
            assert_float_equal((double)out[s * 48 + j], expected[j], 1e-5);
        wn_bert_encoder_encode(encoder, ids + at, &lens[s], 1, alone);
        assert_memory_equal(alone, out + s * 48, sizeof alone);
    }
    wn_safetensors_close(weights);
}

static void test_full_pack(void **state)
{
    (void)state;
    size_t capacity = wn_bert_encoder_capacity(encoder), n = 0, total = 0;
    assert_true(capacity >= config.max_tokens);
    int32_t *ids = wn_alloc(capacity, sizeof *ids);
    size_t *lens = wn_alloc(capacity, sizeof *lens);
    for (; total < capacity; total += lens[n++])
        lens[n] = capacity - total < 48 ? capacity - total : 48;
    for (size_t i = 0; i < capacity; i++)
        ids[i] = (int32_t)(i % 48); /* equal sequences: equal vectors */
    float *out = wn_alloc(n * 48, sizeof *out);
    wn_bert_encoder_encode(encoder, ids, lens, n, out);
    for (size_t s = 1; s < n && lens[s] == 48; s++)
        assert_memory_equal(out, out + s * 48, 48 * sizeof *out);
    free(ids);
    free(lens);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_config_sources),
        cmocka_unit_test(test_against_oracle),
        cmocka_unit_test(test_full_pack),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
