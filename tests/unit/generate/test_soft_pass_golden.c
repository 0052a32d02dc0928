/* The gradients of rows behind a prefix with softly kept keys, and of a step of distilling heads,
 * against torch's autograd: tests/golden/soft_pass (generate.py). */
#include "tests/unit/generate/golden_logits.h"

#include "generate/head_distill_internal.h"
#include "generate/model_internal.h"
#include "generate/text_pass.h"
#include "tests/unit/generate/random_checkpoint.h"

/* In units of the largest number of a list: f32 against f64. */
#define MAX_ERROR 7e-6
#define MAX_HEADS_ERROR 2e-5

enum { N_LAYERS = 3, N_KV = 2, N_LISTS = N_LAYERS * N_KV, HEAD_DIM = 16, D_MODEL = 96 };
enum { N_PREFIX = 320, MAX_ROWS = 64, KV_DIM = N_KV * HEAD_DIM };

/* Grouped heads, biases of q, k and v; f16 matrices between bf16 embeddings.
 */
static const checkpoint_shape shape = {.n_layers = N_LAYERS,
                                       .d_model = D_MODEL,
                                       .q_dim = D_MODEL,
                                       .kv_dim = KV_DIM,
                                       .d_ff = 160,
                                       .n_vocab = 200,
                                       .tied = false,
                                       .qkv_bias = true,
                                       .dtype = CHECKPOINT_F16,
                                       .gain = 4};
#define CONFIG                                                                                     \
    "{\"model_type\":\"qwen2\",\"hidden_size\":96,\"intermediate_size\":160,"                      \
    "\"num_hidden_layers\":3,\"num_attention_heads\":6,\"num_key_value_heads\":2,"                 \
    "\"tie_word_embeddings\":false,\"rms_norm_eps\":1e-05,\"vocab_size\":200,"                     \
    "\"max_position_embeddings\":512,\"rope_theta\":256.0}"

static char folder[] = "/tmp/wn_test_soft_XXXXXX";
static wn_compute *compute;
static wn_model *model;

static int open_all(void **state)
{
    (void)state;
    if (!mkdtemp(folder) ||
        wn_compute_open(&compute, &(wn_compute_options){.exact = true}, NULL) != WN_OK)
        return -1;
    write_checkpoint(folder, &shape, CONFIG, false);
    return wn_model_open_weights(&model, compute, folder, NULL) == WN_OK ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    wn_model_close(model);
    wn_compute_close(compute);
    return wn_fs_remove_tree(folder, NULL) == WN_OK ? 0 : -1;
}

typedef struct gradient_golden {
    json_t *json;
    int32_t *ids, *pieces; /* [N_PREFIX + n_rows]; rows of each piece */
    size_t n_rows, n_pieces;
    wn_strbuf data;
    const float *numbers;
} gradient_golden;

static void load(gradient_golden *g, const char *name, size_t n_numbers)
{
    char file[512];
    size_t n_ids = 0;
    *g = (gradient_golden){0};
    snprintf(file, sizeof file, WN_SOURCE_DIR "/tests/golden/soft_pass/%s.json", name);
    WN_ASSERT_OK(wn_json_load_file(&g->json, file, 1 << 20, err));
    g->ids = golden_ints(json_object_get(g->json, "ids"), &n_ids);
    g->pieces = golden_ints(json_object_get(g->json, "pieces"), &g->n_pieces);
    g->n_rows = n_ids - N_PREFIX;
    assert_in_range(g->n_rows, 1, MAX_ROWS);
    snprintf(file, sizeof file, WN_SOURCE_DIR "/tests/golden/soft_pass/%s.bin", name);
    WN_ASSERT_OK(wn_fs_read(&g->data, file, 1 << 20, err));
    assert_int_equal(g->data.len, n_numbers * sizeof(float));
    g->numbers = (const float *)(const void *)g->data.data;
}

static void unload(gradient_golden *g)
{
    free(g->ids);
    free(g->pieces);
    json_decref(g->json);
    wn_strbuf_free(&g->data);
}

/* The largest difference of n numbers, in units of the largest that is expected. */
static double error_of(const float *got, const float *expected, size_t n)
{
    difference d = {0};
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        difference_widen(&d, (double)got[i], (double)expected[i]);
        most = fmax(most, fabs((double)expected[i]));
    }
    return d.max_abs / most;
}

static float k_rows[N_LAYERS][N_PREFIX * KV_DIM], v_rows[N_LAYERS][N_PREFIX * KV_DIM];
static uint32_t at[N_LISTS][N_PREFIX], piece[MAX_ROWS];
static float log_keep[N_LISTS][N_PREFIX], key_grad[N_LISTS][N_PREFIX];
static wn_soft_keys keys[N_LISTS];

static void keep_rows(void *ctx, const wn_text_layer *y)
{
    (void)ctx;
    memcpy(k_rows[y->layer], y->k, sizeof k_rows[0]);
    memcpy(v_rows[y->layer], y->v, sizeof v_rows[0]);
}

static void read_prefix(const int32_t *ids)
{
    wn_text_pass *p = NULL;
    const wn_text_pass_options o = {.n_max = N_PREFIX, .kv_format = WN_KV_F32};
    WN_ASSERT_OK(wn_text_pass_open(&p, model, compute, &o, err));
    wn_text_pass_run(p, ids, N_PREFIX, &(wn_text_pass_hooks){.observe = keep_rows});
    wn_text_pass_close(p);
}

/* As the generator has them. */
static void set_up_rows(const gradient_golden *g)
{
    const size_t whole = (size_t)json_integer_value(json_object_get(g->json, "whole"));
    const json_t *n_keys = json_object_get(g->json, "n_keys");
    for (size_t i = 0, row = 0; i < g->n_pieces; i++)
        for (int32_t j = 0; j < g->pieces[i]; j++)
            piece[row++] = (uint32_t)i;
    random_floats("kept", 256, log_keep[0], N_LISTS * N_PREFIX);
    for (size_t i = 0; i < N_LISTS; i++) {
        size_t n = 0;
        for (uint32_t t = 0; t < N_PREFIX; t++)
            if ((7 * t + i) % (i + 3) != 0) {
                log_keep[i][n] = -fabsf(log_keep[i][t]);
                at[i][n++] = t;
            }
        keys[i] = (wn_soft_keys){at[i], i == whole ? NULL : log_keep[i], key_grad[i], n};
        assert_int_equal(n, json_integer_value(json_array_get(n_keys, i)));
    }
}

typedef struct errors {
    double hidden, grad;
} errors;

static errors run_rows(const gradient_golden *g)
{
    static float d[MAX_ROWS * D_MODEL];
    const float *k[N_LAYERS], *v[N_LAYERS];
    const float *grads = g->numbers + g->n_rows * D_MODEL;
    wn_soft_pass *p = NULL;
    errors e = {0};
    for (size_t l = 0; l < N_LAYERS; l++) {
        k[l] = k_rows[l];
        v[l] = v_rows[l];
    }
    const wn_soft_prefix prefix = {N_PREFIX, k, v};
    const wn_soft_rows rows = {g->ids + N_PREFIX, piece, g->n_rows};
    WN_ASSERT_OK(wn_soft_pass_open(&p, model, compute, g->n_rows, N_PREFIX, err));
    WN_ASSERT_OK(wn_soft_pass_run(p, &prefix, &rows, keys, err));
    e.hidden = error_of(wn_soft_pass_hidden(p), g->numbers, g->n_rows * D_MODEL);
    random_floats("loss", 16, d, g->n_rows * D_MODEL);
    WN_ASSERT_OK(wn_soft_pass_back(p, d, keys, err));
    for (size_t i = 0; i < N_LISTS; i++) {
        float expected[N_PREFIX];
        for (size_t j = 0; j < keys[i].n; j++)
            expected[j] = grads[i * N_PREFIX + keys[i].at[j]];
        e.grad = fmax(e.grad, error_of(key_grad[i], expected, keys[i].n));
    }
    wn_soft_pass_close(p);
    return e;
}

/* The golden notices what is not done as it says. */
static void expect_far(const gradient_golden *g)
{
    const errors e = run_rows(g);
    assert_true(e.hidden > 10 * MAX_ERROR && e.grad > 10 * MAX_ERROR);
}

static void test_soft_pass(void **state)
{
    (void)state;
    gradient_golden g;
    load(&g, "soft-pass", MAX_ROWS * D_MODEL + N_LISTS * N_PREFIX);
    read_prefix(g.ids);
    set_up_rows(&g);
    const errors e = run_rows(&g);
    printf("soft pass: error of hidden states %.2e, of gradients %.2e\n", e.hidden, e.grad);
    assert_true(e.hidden <= MAX_ERROR && e.grad <= MAX_ERROR);
    for (size_t i = 0; i < keys[0].n; i++)
        log_keep[0][i] -= 1.0f / 64; /* a list is kept a little less */
    expect_far(&g);
    for (size_t i = 0; i < keys[0].n; i++)
        log_keep[0][i] += 1.0f / 64;
    piece[1] = 0; /* a row belongs to the piece before it */
    expect_far(&g);
    piece[1] = 1;
    keys[2].n--; /* a key is not there */
    expect_far(&g);
    unload(&g);
}

static wn_head_distill *read_questions(const gradient_golden *g)
{
    static float weight[N_LISTS * D_MODEL], bias[N_LISTS];
    wn_head_distill *d = NULL;
    wn_distill_question q[8];
    size_t n_judged = 0;
    int32_t *judged = golden_ints(json_object_get(g->json, "judged"), &n_judged);
    const int32_t *from = g->ids + N_PREFIX;
    random_floats("heads", 8, weight, N_LISTS * D_MODEL);
    random_floats("heads.bias", 32, bias, N_LISTS);
    const wn_head_distill_options o = {
        .weight = weight,
        .bias = bias,
        .n_max = N_PREFIX,
        .window = (size_t)json_integer_value(json_object_get(g->json, "window")),
        .keep = json_real_value(json_object_get(g->json, "keep")),
        .n_rows = g->n_rows,
        .n_steps = 1,
        .temperature = json_real_value(json_object_get(g->json, "temperature")),
        .noise = 1e-30}; /* 0 would be the default */
    assert_true(n_judged == g->n_pieces && n_judged <= 8);
    for (size_t i = 0; i < n_judged; i++) {
        q[i] = (wn_distill_question){from, (size_t)g->pieces[i], (size_t)judged[i]};
        from += g->pieces[i];
    }
    WN_ASSERT_OK(wn_head_distill_open(&d, model, compute, &o, err));
    WN_ASSERT_OK(wn_head_distill_add(d, g->ids, N_PREFIX, q, n_judged, err));
    WN_ASSERT_OK(wn_head_distill_read(d, 0, err));
    free(judged);
    return d;
}

static void test_distill(void **state)
{
    (void)state;
    static const size_t order[] = {0, 1, 2, 3};
    gradient_golden g;
    size_t n_rows = 0;
    double loss = 0, error = 0;
    load(&g, "distill", N_LISTS * D_MODEL + N_LISTS);
    wn_head_distill *d = read_questions(&g);
    assert_int_equal(wn_distill_fill(d, order, g.n_pieces, &n_rows), g.n_pieces);
    assert_int_equal(n_rows, g.n_rows);
    WN_ASSERT_OK(wn_head_distill_gradient(d, order, g.n_pieces, n_rows, &loss, err));
    const double expected = json_real_value(json_object_get(g.json, "loss"));
    const double loss_error = fabs(loss - expected) / expected;
    for (size_t i = 0; i < N_LISTS; i++)
        error = fmax(error, error_of(d->grad + i * D_MODEL, g.numbers + i * D_MODEL, D_MODEL));
    const double bias_error = error_of(d->bias_grad, g.numbers + N_LISTS * D_MODEL, N_LISTS);
    printf("distill: error of the loss %.2e, of gradients by weights %.2e, by biases %.2e\n",
           loss_error, error, bias_error);
    assert_true(loss_error <= MAX_ERROR);
    assert_true(error <= MAX_HEADS_ERROR && bias_error <= MAX_HEADS_ERROR);
    wn_head_distill_close(d);
    unload(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_soft_pass),
        cmocka_unit_test(test_distill),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
