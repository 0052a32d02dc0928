/* Operations that others are made of have the bits of these one by one: normed products, rows
 * looked up together, and products with weights that were put into tiles before. */
#include "tests/unit/kernels/kernel_cases.h"

#define N_IN 768 /* whole blocks; more than a stretch of tiles */

static wn_matrix *make_matrix(wn_compute *c, wn_dtype type, size_t n_out, uint8_t **storage)
{
    wn_tensor t = {.name = "w", .dtype = type, .n_dims = 2, .shape = {n_out, N_IN}};
    wn_matrix *w = NULL;
    *storage = case_weights(type, n_out * N_IN, &t.bytes);
    t.data = *storage;
    WN_ASSERT_OK(wn_matrix_create(&w, c, &t, err));
    return w;
}

static void check_normed(wn_compute *c, wn_dtype type, bool wide, size_t m)
{
    enum { N_OUT = 70 };
    uint8_t *storage = NULL;
    wn_matrix *w = make_matrix(c, type, N_OUT, &storage);
    if (wide)
        wn_matrix_set_wide_inputs(w);
    float *x = case_floats(m * N_IN), *weights = case_floats(N_IN), *normed = case_floats(m * N_IN);
    float *y = case_floats(2 * m * N_OUT), *alone = case_floats(m * N_IN);
    const wn_norm norm = {weights, 1e-5f, normed};
    wn_rmsnorm(c, x, weights, m, N_IN, norm.eps, alone);
    wn_matmul(c, w, alone, m, NULL, y + m * N_OUT);
    wn_matmul_normed(c, &(wn_product){.w = w, .y = y}, 1, x, &norm, m);
    assert_memory_equal(y, y + m * N_OUT, m * N_OUT * sizeof *y);
    assert_memory_equal(normed, alone, m * N_IN * sizeof *normed);
    free(x);
    free(weights);
    free(normed);
    free(alone);
    free(y);
    wn_matrix_free(w);
    free(storage);
}

/* 600 rows: several parts of tiles; 1,100: more than are packed at a time. */
static void test_normed_products(void **state)
{
    static const size_t rows[] = {1, 33, 600, 1100};
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        for (size_t j = 0; c && j < 4; j++) {
            check_normed(c, WN_DTYPE_Q8_0, false, rows[j]);
            check_normed(c, WN_DTYPE_F32, false, rows[j]);
            check_normed(c, WN_DTYPE_BF16, true, rows[j]);
        }
        wn_compute_close(c);
    }
}

static float *ffn_of(wn_compute *c, wn_ffn f, const float *x, size_t m, bool decode)
{
    float *inner = case_floats(2 * m * wn_matrix_rows(f.up)), *y = wn_alloc(m * N_IN, sizeof *y);
    assert_non_null(y);
    wn_ffn_add(c, &f, x, m, decode, inner, y);
    free(inner);
    return y;
}

static void test_normed_ffn(void **state)
{
    enum { M = 130, D_FF = N_IN };
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        for (int decode = 0; c && decode < 2; decode++) {
            const size_t m = decode ? 3 : M;
            uint8_t *storage[3];
            wn_matrix *w[3];
            for (size_t j = 0; j < 3; j++)
                w[j] = make_matrix(c, WN_DTYPE_Q8_0, D_FF, &storage[j]);
            float *x = case_floats(m * N_IN), *weights = case_floats(N_IN);
            float *normed = case_floats(m * N_IN), *alone = case_floats(m * N_IN);
            const wn_norm norm = {weights, 1e-5f, normed};
            wn_ffn f = {.gate = w[0], .up = w[1], .down = w[2]};
            wn_rmsnorm(c, x, weights, m, N_IN, norm.eps, alone);
            float *expected = ffn_of(c, f, alone, m, decode);
            f.norm = &norm;
            float *y = ffn_of(c, f, x, m, decode);
            assert_memory_equal(y, expected, m * N_IN * sizeof *y);
            float *all[] = {x, weights, normed, alone, expected, y};
            for (size_t j = 0; j < 6; j++)
                free(all[j]);
            for (size_t j = 0; j < 3; j++) {
                wn_matrix_free(w[j]);
                free(storage[j]);
            }
        }
        wn_compute_close(c);
    }
}

static void test_gather(void **state)
{
    enum { ROWS = 37, N = 50 };
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        for (size_t t = 0; c && t < N_TYPES; t++) {
            uint8_t *storage = NULL;
            wn_matrix *w = make_matrix(c, all_types[t], ROWS, &storage);
            int32_t ids[N];
            float out[N * N_IN], row[N_IN];
            for (size_t j = 0; j < N; j++)
                ids[j] = (int32_t)(case_bits() % ROWS);
            wn_matrix_gather(c, w, ids, N, out);
            for (size_t j = 0; j < N; j++) {
                wn_matrix_row(w, (size_t)ids[j], row);
                assert_memory_equal(out + j * N_IN, row, sizeof row);
            }
            wn_matrix_free(w);
            free(storage);
        }
        wn_compute_close(c);
    }
}

/* On tiles: of all plain types, with rows of w and of x that fill no tile. */
static void test_prepared_tiles(void **state)
{
    enum { N_OUT = 150, M = 75 };
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = strncmp(all_isas[i], "amx", 3) ? NULL : case_compute(all_isas[i], 2);
        for (size_t t = 0; c && t < N_TYPES; t++) {
            uint8_t *storage = NULL;
            wn_matrix *w = make_matrix(c, all_types[t], N_OUT, &storage);
            float *x = case_floats(M * N_IN), *y = case_floats(2 * M * N_OUT);
            wn_matmul(c, w, x, M, NULL, y);
            WN_ASSERT_OK(wn_matrix_prepare(w, c, err));
            wn_matmul(c, w, x, M, NULL, y + M * N_OUT);
            assert_memory_equal(y, y + M * N_OUT, M * N_OUT * sizeof *y);
            free(x);
            free(y);
            wn_matrix_free(w);
            free(storage);
        }
        wn_compute_close(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normed_products),
        cmocka_unit_test(test_normed_ffn),
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_prepared_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
