/* Training of eviction heads: passes over whole texts against sessions, the loss of a key and the
 * regression against their definitions in double, the state file, the side-car. */
#include "tests/test_support.h"

#include <math.h>

#include "base/checked.h"
#include "base/fs.h"
#include "generate/dms_heads.h"
#include "generate/dms_side_car.h"
#include "generate/evict_rule.h"
#include "generate/head_fit.h"
#include "generate/key_loss.h"
#include "generate/model_internal.h"
#include "generate/session.h"
#include "tests/alloc_failure.h"
#include "tests/unit/generate/tiny_model.h"

enum { LISTS = TINY_LAYERS * TINY_KV, WINDOW = 16, KEYS = 70, GROUP = TINY_HEADS / TINY_KV };

static char dir[] = "/tmp/wn_test_fit_XXXXXX";
static char state_path[64], side_car_path[64];
static wn_compute *compute;
static wn_model *model;
static int32_t ids[TINY_CTX];
static float weight[LISTS * TINY_D], bias[LISTS];

static int open_model(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(true, false);
    if (!mkdtemp(dir) || wn_compute_open(&compute, &(wn_compute_options){.exact = true}, NULL) != 0)
        return -1;
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    snprintf(state_path, sizeof state_path, "%s/fit.state", dir);
    snprintf(side_car_path, sizeof side_car_path, "%s/heads.safetensors", dir);
    for (int i = 0; i < TINY_CTX; i++)
        ids[i] = (i * i * 7 + i) % TINY_VOCAB;
    return wn_model_open_weights(&model, compute, dir, NULL) == WN_OK ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    wn_model_close(model);
    wn_compute_close(compute);
    return wn_fs_remove_tree(dir, NULL) == WN_OK ? 0 : -1;
}

static wn_text_pass *open_pass(void)
{
    wn_text_pass *p = NULL;
    const wn_text_pass_options o = {.n_max = TINY_CTX, .kv_format = WN_KV_F32};
    WN_ASSERT_OK(wn_text_pass_open(&p, model, compute, &o, err));
    return p;
}

static double distance(const float *a, const float *b, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++)
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
    return d;
}

static void test_pass_is_a_session(void **state)
{
    (void)state;
    float *all = malloc(2 * sizeof *all * TINY_CTX * TINY_VOCAB),
          *pass = all + TINY_CTX * TINY_VOCAB;
    assert_non_null(all);
    wn_session *s = NULL;
    wn_text_pass *p = open_pass();
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &(wn_session_options){0}, err));
    WN_ASSERT_OK(wn_session_append_all_logits(s, ids, TINY_CTX, all, err));
    wn_text_pass_run(p, ids, TINY_CTX, NULL);
    wn_text_pass_logits(p, 0, TINY_CTX, pass);
    assert_memory_equal(all, pass, sizeof *all * TINY_CTX * TINY_VOCAB);
    wn_session_close(s);
    wn_text_pass_close(p);
    free(all);
}

typedef struct decision {
    wn_evict_rule rule;
    size_t n_evicted;
} decision;

static void decide(void *ctx, const wn_text_layer *y)
{
    decision *d = ctx;
    WN_ASSERT_OK(wn_evict_rule_decide(&d->rule, model, compute, y, err));
    for (size_t i = 0; i < TINY_KV * y->n_words; i++)
        d->n_evicted += (size_t)__builtin_popcountll(y->evicted[i]);
}

/* Heads in a side-car of ours, read back and used by a session, evict what the rule evicts. */
static void test_heads_in_both(void **state)
{
    (void)state;
    float last[TINY_VOCAB], dense[TINY_VOCAB];
    wn_session *s = NULL;
    wn_dms_heads *heads = NULL;
    wn_text_pass *p = open_pass();
    for (size_t i = 0; i < LISTS * TINY_D; i++)
        weight[i] = (float)((int)(i * 37 % 101) - 50) / 64;
    for (size_t i = 0; i < LISTS; i++)
        bias[i] = (float)i - 1.5f;
    json_t *points = json_pack("[{s:i, s:f, s:f, s:f}]", "window", WINDOW, "bias", 0.25, "ratio",
                               2.5, "kept", 0.4);
    const wn_dms_side_car car = {
        .weight = weight, .bias = bias, .window = WINDOW, .min_window = WINDOW, .points = points};
    WN_ASSERT_OK(wn_dms_side_car_write(side_car_path, model, &car, err));
    json_decref(points);
    WN_ASSERT_OK(wn_dms_heads_open(&heads, model, side_car_path, err));
    assert_memory_equal(heads->weight, weight, sizeof weight);
    assert_memory_equal(heads->bias, bias, sizeof bias);
    assert_true(heads->n_points == 1 && heads->points[0].bias == 0.25f);
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &(wn_session_options){.heads = heads}, err));
    WN_ASSERT_OK(wn_session_append(s, ids, TINY_CTX, NULL, NULL, err));

    decision d = {{.kind = WN_EVICT_HEADS, .weight = weight, .bias = bias, .offset = 0.25f}, 0};
    wn_text_pass_run(p, ids, TINY_CTX, NULL);
    wn_text_pass_logits(p, TINY_CTX - 1, 1, dense);
    const wn_text_pass_hooks hooks = {.window = WINDOW, .decide = decide, .ctx = &d};
    wn_text_pass_run(p, ids, TINY_CTX, &hooks);
    wn_text_pass_logits(p, TINY_CTX - 1, 1, last);
    assert_true(d.n_evicted > LISTS * TINY_CTX / 10 && d.n_evicted < LISTS * TINY_CTX * 9 / 10);
    assert_true(distance(last, dense, TINY_VOCAB) > 1e-2);
    assert_true(distance(last, wn_session_logits(s), TINY_VOCAB) < 1e-4);
    wn_session_close(s);
    wn_dms_heads_close(heads);
    wn_text_pass_close(p);
}

static void test_other_rules(void **state)
{
    (void)state;
    static const struct {
        wn_evict_kind kind;
        double least, most; /* share evicted */
        /* 5 pages of 64 keys are left of 4 lists of 160 */
    } rows[] = {{WN_EVICT_WINDOW, 0.97, 0.98},
                {WN_EVICT_RANDOM, 0.499999, 0.500001},
                {WN_EVICT_KEY_NORM, 0.499999, 0.500001}};
    wn_text_pass *p = open_pass();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        decision d = {{.kind = rows[i].kind, .pages = 1.25, .among = TINY_CTX}, 0};
        wn_text_pass_run(p, ids, TINY_CTX,
                         &(wn_text_pass_hooks){.window = WINDOW, .decide = decide, .ctx = &d});
        const double share = (double)d.n_evicted / (LISTS * TINY_CTX);
        assert_true(share > rows[i].least && share < rows[i].most);
    }
    wn_text_pass_close(p);
}

/* loss[k] of one layer, as key_loss.h defines it. */
static void define_loss(const wn_text_layer *y, size_t k, size_t kv, double *out)
{
    float o_row[TINY_HEADS * TINY_HEAD];
    *out = 0;
    for (size_t q = k + WINDOW + 1; q < y->n; q++)
        for (size_t h = kv * GROUP; h < (kv + 1) * GROUP; h++) {
            double weights[TINY_CTX], sum = 0, move = 0, stream = 0, o[TINY_HEAD] = {0};
            double without[TINY_HEAD] = {0}; /* the output, had key k not been there */
            for (size_t j = 0; j <= q; j++) {
                double score = 0;
                for (size_t i = 0; i < TINY_HEAD; i++)
                    score += (double)y->q[(q * TINY_HEADS + h) * TINY_HEAD + i] *
                             (double)y->k[(j * TINY_KV + kv) * TINY_HEAD + i];
                sum += weights[j] = exp(score / sqrt(TINY_HEAD));
            }
            for (size_t j = 0; j <= q; j++)
                for (size_t i = 0; i < TINY_HEAD; i++) {
                    const double v = (double)y->v[(j * TINY_KV + kv) * TINY_HEAD + i];
                    o[i] += weights[j] / sum * v;
                    without[i] += j == k ? 0 : weights[j] / (sum - weights[k]) * v;
                }
            for (size_t r = 0; r < TINY_D; r++) {
                double part = 0, after = (double)y->x[q * TINY_D + r];
                wn_matrix_row(model->layers[y->layer].o, r, o_row);
                for (size_t i = 0; i < TINY_HEAD; i++)
                    part += (double)o_row[h * TINY_HEAD + i] * (without[i] - o[i]);
                for (size_t i = 0; i < TINY_HEADS * TINY_HEAD; i++)
                    after += (double)o_row[i] * (double)y->attended[q * TINY_HEADS * TINY_HEAD + i];
                move += part * part;
                stream += after * after;
            }
            *out += move / stream;
        }
}

typedef struct seen {
    wn_key_loss *loss;
    double worst; /* relative error */
    float x[TINY_LAYERS][KEYS][TINY_D], y[TINY_LAYERS][KEYS][TINY_KV];
} seen;

static void compare_losses(void *ctx, const wn_text_layer *y)
{
    seen *s = ctx;
    float out[KEYS * TINY_KV];
    WN_ASSERT_OK(wn_key_loss_layer(s->loss, y, KEYS, out, err));
    for (size_t k = 0; k < KEYS; k++) {
        memcpy(s->x[y->layer][k], y->h + k * TINY_D, sizeof s->x[0][0]);
        for (size_t kv = 0; kv < TINY_KV; kv++) {
            const float loss = out[k * TINY_KV + kv];
            double expected = 0;
            s->y[y->layer][k][kv] = logf(loss + 1e-10f);
            if (k % 7 == 0) {
                define_loss(y, k, kv, &expected);
                s->worst = fmax(s->worst, fabs((double)loss - expected) / expected);
            }
        }
    }
}

static seen *see(size_t n)
{
    seen *s = calloc(1, sizeof *s);
    assert_non_null(s);
    wn_text_pass *p = open_pass();
    WN_ASSERT_OK(wn_key_loss_open(&s->loss, model, compute, TINY_CTX, WINDOW, err));
    wn_text_pass_run(p, ids, n, &(wn_text_pass_hooks){.observe = compare_losses, .ctx = s});
    wn_key_loss_close(s->loss);
    wn_text_pass_close(p);
    return s;
}

/* Beyond two blocks of 128 queries, and on a number of tokens that is none of them. The smallest
 * losses are differences of f32 sums, whose order the instruction set decides: 1.02e-3 on AVX2. */
static void test_loss_is_its_definition(void **state)
{
    (void)state;
    seen *s = see(TINY_CTX - 3);
    assert_true(s->worst > 0 && s->worst < 3e-3);
    free(s);
}

static wn_head_fit *open_fit(void)
{
    wn_head_fit *f = NULL;
    const wn_head_fit_options o = {
        .n_max = TINY_CTX, .window = WINDOW, .ridge = 0.05, .means = 0.75};
    WN_ASSERT_OK(wn_head_fit_open(&f, model, compute, &o, err));
    return f;
}

/* At the least of sum (w x + b - y)^2 + ridge |w|^2 its gradient is 0; of the mean of y a quarter
 * is taken off b. */
static void check_optimum(const seen *s, size_t layer, size_t kv)
{
    const float *w = weight + (layer * TINY_KV + kv) * TINY_D;
    double mean[TINY_D] = {0}, variance = 0, scale = 0, residual = 0, worst = 0, level = 0;
    for (size_t k = 0; k < KEYS; k++)
        level += (double)s->y[layer][k][kv] / KEYS;
    for (size_t i = 0; i < TINY_D; i++)
        for (size_t k = 0; k < KEYS; k++)
            mean[i] += (double)s->x[layer][k][i] / KEYS;
    for (size_t i = 0; i < TINY_D; i++)
        for (size_t k = 0; k < KEYS; k++)
            variance += pow((double)s->x[layer][k][i] - mean[i], 2) / TINY_D;
    for (size_t i = 0; i < TINY_D; i++) {
        double gradient = 0.05 * variance * -(double)w[i];
        residual = 0;
        for (size_t k = 0; k < KEYS; k++) {
            double r =
                0.25 * level - (double)bias[layer * TINY_KV + kv] - (double)s->y[layer][k][kv];
            for (size_t j = 0; j < TINY_D; j++)
                r -= (double)w[j] * (double)s->x[layer][k][j];
            gradient += r * (double)s->x[layer][k][i];
            scale += fabs(r * (double)s->x[layer][k][i]) / TINY_D;
            residual += r;
        }
        worst = fmax(worst, fabs(gradient));
    }
    assert_true(worst < 2e-3 * scale && fabs(residual) < 2e-3 * scale);
}

static void test_fit_is_the_optimum(void **state)
{
    (void)state;
    double r2 = 0;
    seen *s = see(TINY_CTX);
    wn_head_fit *f = open_fit();
    assert_int_equal(wn_head_fit_solve(f, weight, bias, &r2, NULL), WN_INVALID);
    assert_int_equal(wn_head_fit_add(f, ids, TINY_CTX + 1, KEYS, NULL), WN_INVALID);
    WN_ASSERT_OK(wn_head_fit_add(f, ids, TINY_CTX, KEYS, err));
    WN_ASSERT_OK(wn_head_fit_solve(f, weight, bias, &r2, err));
    for (size_t layer = 0; layer < TINY_LAYERS; layer++)
        for (size_t kv = 0; kv < TINY_KV; kv++)
            check_optimum(s, layer, kv);
    assert_true(r2 > 0.1 && r2 < 1);
    wn_head_fit_close(f);
    free(s);
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    const int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    fputc(c ^ 1, f);
    fclose(f);
}

/* Interrupted between two texts and begun again: the same heads, bit for bit. */
static void test_state(void **state)
{
    (void)state;
    static const uint8_t key[WN_SHA256_BYTES] = {1}, other[WN_SHA256_BYTES] = {2};
    float whole[LISTS * TINY_D];
    wn_head_fit *f = open_fit(), *again = open_fit();
    WN_ASSERT_OK(wn_head_fit_add(f, ids, TINY_CTX, KEYS, err));
    WN_ASSERT_OK(wn_head_fit_save(f, key, state_path, err));
    WN_ASSERT_OK(wn_head_fit_add(f, ids + 9, 120, KEYS, err));
    WN_ASSERT_OK(wn_head_fit_solve(f, whole, bias, NULL, err));
    WN_ASSERT_OK(wn_head_fit_load(again, key, state_path, err));
    assert_int_equal(wn_head_fit_n_texts(again), 1);
    assert_int_equal(wn_head_fit_n_keys(again), KEYS);
    WN_ASSERT_OK(wn_head_fit_add(again, ids + 9, 120, KEYS, err));
    WN_ASSERT_OK(wn_head_fit_solve(again, weight, bias, NULL, err));
    assert_memory_equal(whole, weight, sizeof whole);
    assert_int_equal(wn_head_fit_load(again, other, state_path, NULL), WN_CONFLICT);
    flip(state_path, -40);
    assert_int_equal(wn_head_fit_load(again, key, state_path, NULL), WN_FORMAT);
    flip(state_path, 0);
    assert_int_equal(wn_head_fit_load(again, key, state_path, NULL), WN_FORMAT);
    assert_int_equal(wn_head_fit_load(again, key, "/nowhere/fit.state", NULL), WN_NOT_FOUND);
    wn_head_fit_close(f);
    wn_head_fit_close(again);
}

static wn_status fit_once(void *ctx, wn_error *err)
{
    (void)ctx;
    wn_head_fit *f = NULL;
    const wn_head_fit_options o = {.n_max = TINY_CTX, .window = WINDOW};
    WN_TRY(wn_head_fit_open(&f, model, compute, &o, err));
    wn_status status = wn_head_fit_add(f, ids, 40, 20, err);
    if (status == WN_OK)
        status = wn_head_fit_solve(f, weight, bias, NULL, err);
    wn_head_fit_close(f);
    return status;
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    wn_test_each_alloc_fails(fit_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pass_is_a_session),  cmocka_unit_test(test_heads_in_both),
        cmocka_unit_test(test_other_rules),        cmocka_unit_test(test_loss_is_its_definition),
        cmocka_unit_test(test_fit_is_the_optimum), cmocka_unit_test(test_state),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
