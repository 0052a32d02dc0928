/* Products of every instruction set and weight type against sums in double, and their promises: the
 * same bits for any number of threads, from run to run, and for a row whatever m is. */
#include "tests/unit/kernels/kernel_cases.h"

typedef struct shape {
    size_t n_out, n_in; /* n_in in blocks of the type, or elements of a plain type */
} shape;

static wn_matrix *make_matrix(wn_compute *c, wn_dtype type, size_t n_out, size_t n_in,
                              uint8_t **storage)
{
    wn_tensor t = {.name = "w", .dtype = type, .n_dims = 2, .shape = {n_out, n_in}};
    *storage = case_weights(type, n_out * n_in, &t.bytes);
    memmove(*storage + 1, *storage, t.bytes); /* files promise no alignment */
    t.data = *storage + 1;
    wn_matrix *w = NULL;
    WN_ASSERT_OK(wn_matrix_create(&w, c, &t, err));
    return w;
}

/* y against x w^T + bias in double. The bound is per element: 1e-6 of the sum of magnitudes, which
 * is many times what f32 sums of these lengths lose and far below any wrong index. */
static void check_product(const wn_matrix *w, const float *x, size_t m, const float *bias,
                          const float *y, const char *what)
{
    const size_t n_in = wn_matrix_cols(w), n_out = wn_matrix_rows(w);
    float *row = wn_alloc(n_in, sizeof *row);
    assert_non_null(row);
    for (size_t r = 0; r < n_out; r++) {
        wn_matrix_row(w, r, row);
        for (size_t j = 0; j < m; j++) {
            double sum = bias ? (double)bias[r] : 0, size = fabs(sum);
            for (size_t k = 0; k < n_in; k++) {
                sum += (double)row[k] * (double)x[j * n_in + k];
                size += fabs((double)row[k] * (double)x[j * n_in + k]);
            }
            case_close((float)sum, y[j * n_out + r], 1e-6 * size + 1e-30, what, j * n_out + r);
        }
    }
    free(row);
}

static void check_shape(wn_compute *c, wn_dtype type, size_t n_out, size_t n_in, size_t m,
                        bool with_bias)
{
    uint8_t *storage = NULL;
    wn_matrix *w = make_matrix(c, type, n_out, n_in, &storage);
    float *x = case_floats(m * n_in), *bias = case_floats(n_out), *y = case_floats(m * n_out + 1);
    const float guard = y[m * n_out];
    char what[160];
    snprintf(what, sizeof what, "%s %s [%zu, %zu] m=%zu", wn_compute_isa(c), wn_dtype_name(type),
             n_out, n_in, m);
    wn_matmul(c, w, x, m, with_bias ? bias : NULL, y);
    check_product(w, x, m, with_bias ? bias : NULL, y, what);
    assert_true(y[m * n_out] == guard);
    free(y);
    free(bias);
    free(x);
    wn_matrix_free(w);
    free(storage);
}

static void test_types_and_row_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        if (!c)
            continue;
        for (size_t t = 0; t < N_TYPES; t++) {
            const size_t block = wn_dtype_block_elements(all_types[t]);
            const size_t n_in = block == 1 ? 131 : block == 32 ? 96 : 512;
            for (size_t m = 0; m <= 33; m++)
                check_shape(c, all_types[t], 37, n_in, m, m % 2);
        }
        wn_compute_close(c);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    /* columns over several panels and a ragged end; k over KC = 256 and KS = 2304; rows over MC =
     * 504 */
    static const struct {
        wn_dtype type;
        size_t n_out, n_in, m;
    } cases[] = {
        {WN_DTYPE_F32, 0, 5, 12},      {WN_DTYPE_F32, 5, 0, 12},
        {WN_DTYPE_F32, 5, 0, 3},       {WN_DTYPE_F32, 1, 1, 1},
        {WN_DTYPE_F32, 1, 1, 9},       {WN_DTYPE_F16, 31, 33, 31},
        {WN_DTYPE_BF16, 33, 31, 33},   {WN_DTYPE_F32, 129, 257, 65},
        {WN_DTYPE_F16, 65, 2337, 15},  {WN_DTYPE_F32, 1100, 40, 17},
        {WN_DTYPE_Q8_0, 70, 2336, 19}, {WN_DTYPE_Q4_K, 300, 2560, 29},
        {WN_DTYPE_Q6_K, 130, 2560, 1}, {WN_DTYPE_Q4_1, 40, 288, 511},
        {WN_DTYPE_Q4_0, 33, 64, 1013},
    };
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        if (!c)
            continue;
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
            check_shape(c, cases[k].type, cases[k].n_out, cases[k].n_in, cases[k].m, k % 2);
        wn_compute_close(c);
    }
}

/* x [max_m] through w with m = 1 .. max_m rows: row j has the same bits for every m in a range. */
static void check_rows_alone(wn_compute *one, wn_compute *two, wn_dtype type, size_t n_in)
{
    enum { N_OUT = 75, MAX_M = 40 };
    uint8_t *storage = NULL;
    wn_matrix *w = make_matrix(one, type, N_OUT, n_in, &storage);
    float *x = case_floats(MAX_M * n_in), *bias = case_floats(N_OUT);
    float few[WN_MATMUL_GEMV_MAX * N_OUT], many[MAX_M * N_OUT], y[MAX_M * N_OUT];
    wn_matmul(one, w, x, WN_MATMUL_GEMV_MAX, bias, few);
    wn_matmul(one, w, x, MAX_M, bias, many);
    for (size_t m = 1; m <= MAX_M; m++) {
        const float *expected = m <= WN_MATMUL_GEMV_MAX ? few : many;
        for (int run = 0; run < 3; run++) {
            memset(y, 0xff, sizeof y);
            wn_matmul(run == 0 ? one : two, w, x, m, bias, y);
            assert_memory_equal(y, expected, m * N_OUT * sizeof *y);
        }
        /* the last row of x alone in first place: its bits do not depend on where it stands */
        if (m > WN_MATMUL_GEMV_MAX && m < MAX_M) {
            wn_matmul(two, w, x + n_in, m, bias, y);
            assert_memory_equal(y, many + N_OUT, m * N_OUT * sizeof *y);
        }
    }
    free(bias);
    free(x);
    wn_matrix_free(w);
    free(storage);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *one = case_compute(all_isas[i], 1), *two = case_compute(all_isas[i], 2);
        for (size_t t = 0; one && two && t < N_TYPES; t++)
            check_rows_alone(one, two, all_types[t],
                             wn_dtype_block_elements(all_types[t]) == 1 ? 277 : 512);
        wn_compute_close(one);
        wn_compute_close(two);
    }
}

static void test_matrix_row(void **state)
{
    (void)state;
    wn_compute *c = case_compute("ref", 1);
    for (size_t t = 0; t < N_TYPES; t++) {
        uint8_t *storage = NULL;
        wn_matrix *w = make_matrix(c, all_types[t], 3, 256, &storage);
        assert_int_equal(wn_matrix_rows(w), 3);
        assert_int_equal(wn_matrix_cols(w), 256);
        float all[3 * 256], row[256];
        wn_dequantize(all_types[t], storage + 1, all, 3 * 256);
        for (size_t i = 0; i < 3; i++) {
            wn_matrix_row(w, i, row);
            assert_memory_equal(row, all + i * 256, sizeof row);
        }
        wn_matrix_free(w);
        free(storage);
    }
    wn_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_and_row_counts),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_matrix_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
