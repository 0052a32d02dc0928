/* Rows behind a prefix with softly kept keys: against a pass over the whole text, and their
 * gradient against finite differences. */
#include <math.h>

#include "generate/soft_pass.h"
#include "generate/text_pass.h"
#include "tests/unit/generate/tiny_heads.h"

enum { PREFIX = 60, ROWS = 24, KV_DIM = TINY_KV * TINY_HEAD };

static float k_rows[TINY_LAYERS][PREFIX * KV_DIM], v_rows[TINY_LAYERS][PREFIX * KV_DIM];
static const float *k_of[TINY_LAYERS], *v_of[TINY_LAYERS];
static uint32_t all_keys[PREFIX];
static uint32_t one_piece[ROWS], two_pieces[ROWS];
static wn_soft_pass *pass;

static void keep_rows(void *ctx, const wn_text_layer *y)
{
    (void)ctx;
    memcpy(k_rows[y->layer], y->k, sizeof k_rows[0]);
    memcpy(v_rows[y->layer], y->v, sizeof v_rows[0]);
}

static wn_text_pass *open_text_pass(void)
{
    wn_text_pass *p = NULL;
    const wn_text_pass_options o = {.n_max = TINY_CTX, .kv_format = WN_KV_F32};
    WN_ASSERT_OK(wn_text_pass_open(&p, model, compute, &o, err));
    return p;
}

static int setup(void **state)
{
    if (tiny_heads_open(state) != 0)
        return -1;
    wn_text_pass *p = open_text_pass();
    wn_text_pass_run(p, ids, PREFIX, &(wn_text_pass_hooks){.observe = keep_rows});
    wn_text_pass_close(p);
    for (size_t l = 0; l < TINY_LAYERS; l++) {
        k_of[l] = k_rows[l];
        v_of[l] = v_rows[l];
    }
    for (uint32_t i = 0; i < PREFIX; i++)
        all_keys[i] = i;
    for (uint32_t i = 0; i < ROWS; i++)
        two_pieces[i] = i >= 10;
    WN_ASSERT_OK(wn_soft_pass_open(&pass, model, compute, ROWS, PREFIX, err));
    return 0;
}

static int teardown(void **state)
{
    wn_soft_pass_close(pass);
    return tiny_heads_close(state);
}

static void run(const int32_t *row_ids, const uint32_t *piece, size_t n, const wn_soft_keys *keys)
{
    const wn_soft_prefix prefix = {PREFIX, k_of, v_of};
    const wn_soft_rows rows = {row_ids, piece, n};
    WN_ASSERT_OK(wn_soft_pass_run(pass, &prefix, &rows, keys, err));
}

static double distance(const float *a, const float *b, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++)
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
    return d;
}

static void all_kept(wn_soft_keys keys[N_HEADS])
{
    for (size_t i = 0; i < N_HEADS; i++)
        keys[i] = (wn_soft_keys){.at = all_keys, .n = PREFIX};
}

/* With all keys the rows are those of the text's pass. */
static void test_all_keys(void **state)
{
    (void)state;
    static float expected[ROWS][TINY_VOCAB], got[ROWS][TINY_VOCAB], normed[ROWS * TINY_D];
    wn_soft_keys keys[N_HEADS];
    wn_text_pass *p = open_text_pass();
    wn_text_pass_run(p, ids, PREFIX + ROWS, NULL);
    wn_text_pass_logits(p, PREFIX, ROWS, expected[0]);
    wn_text_pass_close(p);
    all_kept(keys);
    run(ids + PREFIX, one_piece, ROWS, keys);
    wn_rmsnorm(compute, wn_soft_pass_hidden(pass), model->final_norm, ROWS, TINY_D,
               model->config.norm_eps, normed);
    wn_matmul(compute, model->output, normed, ROWS, NULL, got[0]);
    assert_true(distance(got[0], expected[0], sizeof got / sizeof(float)) < 1e-4);
}

/* A key that is hardly kept is one that is not there. */
static void test_absent_keys(void **state)
{
    (void)state;
    static float expected[ROWS * TINY_D], log_keep[N_HEADS][PREFIX];
    static uint32_t some[N_HEADS][PREFIX];
    wn_soft_keys keys[N_HEADS], few[N_HEADS];
    for (size_t i = 0; i < N_HEADS; i++) {
        few[i] = (wn_soft_keys){.at = some[i]};
        for (uint32_t t = 0; t < PREFIX; t++) {
            const bool kept = (t * 7 + i) % 3 == 0;
            log_keep[i][t] = kept ? 0 : -80;
            if (kept)
                some[i][few[i].n++] = t;
        }
        keys[i] = (wn_soft_keys){.at = all_keys, .log_keep = log_keep[i], .n = PREFIX};
    }
    run(ids + PREFIX, one_piece, ROWS, few);
    memcpy(expected, wn_soft_pass_hidden(pass), sizeof expected);
    run(ids + PREFIX, one_piece, ROWS, keys);
    assert_true(distance(wn_soft_pass_hidden(pass), expected, ROWS * TINY_D) < 1e-4);
    all_kept(keys);
    run(ids + PREFIX, one_piece, ROWS, keys);
    assert_true(distance(wn_soft_pass_hidden(pass), expected, ROWS * TINY_D) > 1e-2);
}

static void test_pieces_do_not_meet(void **state)
{
    (void)state;
    static float together[ROWS * TINY_D];
    wn_soft_keys keys[N_HEADS];
    all_kept(keys);
    run(ids + PREFIX, two_pieces, ROWS, keys);
    memcpy(together, wn_soft_pass_hidden(pass), sizeof together);
    run(ids + PREFIX + 10, one_piece, ROWS - 10, keys);
    assert_true(distance(wn_soft_pass_hidden(pass), together + 10 * TINY_D, (ROWS - 10) * TINY_D) <
                1e-4);
    run(ids + PREFIX, one_piece, 10, keys);
    assert_true(distance(wn_soft_pass_hidden(pass), together, 10 * TINY_D) < 1e-4);
}

/* A fixed linear function of the last hidden states. */
static double loss(const float *by)
{
    double sum = 0;
    for (size_t i = 0; i < ROWS * TINY_D; i++)
        sum += (double)by[i] * (double)wn_soft_pass_hidden(pass)[i];
    return sum;
}

/* Along random directions of all keys' log_keep, and along single ones. */
static void test_gradient(void **state)
{
    (void)state;
    static float by[ROWS * TINY_D], d[ROWS * TINY_D], at[N_HEADS][PREFIX], moved[N_HEADS][PREFIX];
    static float grad[N_HEADS][PREFIX], direction[N_HEADS][PREFIX];
    wn_soft_keys keys[N_HEADS];
    random_floats("loss", 256, by, ROWS * TINY_D);
    random_floats("kept", 512, at[0], N_HEADS * PREFIX);
    for (size_t i = 0; i < N_HEADS; i++)
        for (size_t t = 0; t < PREFIX; t++)
            at[i][t] = -fabsf(at[i][t]) / 8;
    for (size_t i = 0; i < N_HEADS; i++)
        keys[i] = (wn_soft_keys){all_keys, at[i], grad[i], PREFIX};
    run(ids + PREFIX, two_pieces, ROWS, keys);
    memcpy(d, by, sizeof d);
    WN_ASSERT_OK(wn_soft_pass_back(pass, d, keys, err));
    for (size_t i = 0; i < N_HEADS; i++)
        keys[i].log_keep = moved[i];
    for (int trial = 0; trial < 12; trial++) {
        char name[] = "direction a";
        name[sizeof name - 2] += (char)trial;
        random_floats(name, 256, direction[0], N_HEADS * PREFIX);
        const int list = trial % N_HEADS, key = trial * 5 % PREFIX;
        double expected = 0, sides[2];
        for (int i = 0; i < N_HEADS; i++)
            for (int t = 0; t < PREFIX; t++) {
                if (trial >= 4) /* a list alone, or a key alone */
                    direction[i][t] =
                        i == list && (trial < 8 || t == key) ? (trial < 8 ? 1 : 8) : 0;
                expected += (double)grad[i][t] * (double)direction[i][t];
            }
        const float step = 1.0f / 256;
        for (int side = 0; side < 2; side++) {
            for (int i = 0; i < N_HEADS; i++)
                for (int t = 0; t < PREFIX; t++)
                    moved[i][t] = at[i][t] + (side ? step : -step) * direction[i][t];
            run(ids + PREFIX, two_pieces, ROWS, keys);
            sides[side] = loss(by);
        }
        const double measured = (sides[1] - sides[0]) / (2 * (double)step);
        assert_true(fabs(measured - expected) < 0.005 * fabs(measured) + 5e-3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_absent_keys),
        cmocka_unit_test(test_pieces_do_not_meet),
        cmocka_unit_test(test_gradient),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
