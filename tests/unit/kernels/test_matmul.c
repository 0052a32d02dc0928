/* Products of every instruction set and weight type against sums in double, and their promises: the
 * same bits for any number of threads, from run to run, and for a row whatever m is. */
#include "tests/unit/kernels/product_rounding.h"

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

typedef enum kind { AS_IT_IS, WIDE, PREPARED } kind;

static wn_matrix *make_kind(wn_compute *c, wn_dtype type, kind as, size_t n_out, size_t n_in,
                            uint8_t **storage)
{
    wn_matrix *w = make_matrix(c, type, n_out, n_in, storage);
    if (as == WIDE)
        wn_matrix_set_wide_inputs(w);
    if (as == PREPARED)
        WN_ASSERT_OK(wn_matrix_prepare(w, c, err));
    return w;
}

/* One element against the sum in double. */
static void check_element(const float *row, const float *x, size_t n_in, double bias, rounding r,
                          float y, const char *what, size_t at)
{
    double sum = bias, bound = 1e-6 * fabs(bias) + 1e-30;
    for (size_t k = 0; k < n_in; k += r.block) {
        const size_t end = n_in - k < r.block ? n_in : k + r.block;
        double top = 0, weight = 0, size = 0, w_top = 0, x_sum = 0;
        for (size_t i = k; i < end; i++) {
            sum += (double)row[i] * (double)x[i];
            size += fabs((double)row[i] * (double)x[i]);
            weight += fabs((double)row[i]);
            top = fmax(top, fabs((double)x[i]));
            w_top = fmax(w_top, fabs((double)row[i]));
            x_sum += fabs((double)x[i]);
        }
        /* minima cancel within a weight, so w is smaller than what is summed: hence the 4 */
        bound += (1e-6 + r.relative) * size;
        bound += r.steps > 0 ? weight * top * (0.5 / r.steps + 4e-6) : 0;
        bound += r.w_steps > 0 ? x_sum * w_top * (0.5 / r.w_steps + 2e-5) : 0;
    }
    case_close((float)sum, y, bound, what, at);
}

static void check_product(const wn_matrix *w, const float *x, size_t m, const float *bias,
                          rounding rounds, const float *y, const char *what)
{
    const size_t n_in = wn_matrix_cols(w), n_out = wn_matrix_rows(w);
    float *row = wn_alloc(n_in, sizeof *row);
    assert_non_null(row);
    for (size_t r = 0; r < n_out; r++) {
        wn_matrix_row(w, r, row);
        for (size_t j = 0; j < m; j++)
            check_element(row, x + j * n_in, n_in, bias ? (double)bias[r] : 0, rounds,
                          y[j * n_out + r], what, j * n_out + r);
    }
    free(row);
}

static void check_kind(wn_compute *c, bool exact, wn_dtype type, kind as, size_t n_out, size_t n_in,
                       size_t m, bool with_bias)
{
    uint8_t *storage = NULL;
    wn_matrix *w = make_kind(c, type, as, n_out, n_in, &storage);
    float *x = case_floats(m * n_in), *bias = case_floats(n_out), *y = case_floats(m * n_out + 1);
    const float guard = y[m * n_out];
    char what[160];
    snprintf(what, sizeof what, "%s%s %s [%zu, %zu] m=%zu", wn_compute_isa(c),
             exact ? " exact" : "", wn_dtype_name(type), n_out, n_in, m);
    for (int decode = 0; decode < 2; decode++) {
        const wn_product p = {.w = w, .bias = with_bias ? bias : NULL, .y = y};
        (decode ? wn_matmul_decode : wn_matmul_many)(c, &p, 1, x, m);
        const rounding r = as == WIDE       ? wide_rounding_of(c, w, type, decode, exact)
                           : as == PREPARED ? prepared_rounding_of(c, w, type, decode, exact)
                                            : rounding_of(c, w, type, decode, exact);
        check_product(w, x, m, p.bias, r, y, what);
        assert_true(y[m * n_out] == guard);
    }
    free(y);
    free(bias);
    free(x);
    wn_matrix_free(w);
    free(storage);
}

static void check_shape(wn_compute *c, bool exact, wn_dtype type, size_t n_out, size_t n_in,
                        size_t m, bool with_bias)
{
    check_kind(c, exact, type, AS_IT_IS, n_out, n_in, m, with_bias);
}

static void test_types_and_row_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * N_ISAS; i++) {
        const bool exact = i % 2;
        wn_compute *c = case_compute_of(all_isas[i / 2], 2, exact);
        if (!c)
            continue;
        for (size_t t = 0; t < N_TYPES; t++) {
            const size_t block = wn_dtype_block_elements(all_types[t]);
            const size_t n_in = block == 1 ? 131 : block == 32 ? 96 : 512;
            for (size_t m = 0; m <= 33; m++)
                check_shape(c, exact, all_types[t], 37, n_in, m, m % 2);
        }
        wn_compute_close(c);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    /* columns over several panels and a ragged end; k over KC = 256 and KS = 4096; rows over the
     * whole strips of MC = 512 */
    static const struct {
        wn_dtype type;
        size_t n_out, n_in, m;
    } cases[] = {
        {WN_DTYPE_F32, 0, 5, 12},      {WN_DTYPE_F32, 5, 0, 12},
        {WN_DTYPE_F32, 5, 0, 3},       {WN_DTYPE_F32, 1, 1, 1},
        {WN_DTYPE_F32, 1, 1, 9},       {WN_DTYPE_F16, 31, 33, 31},
        {WN_DTYPE_BF16, 33, 31, 33},   {WN_DTYPE_F32, 129, 257, 65},
        {WN_DTYPE_F16, 65, 4161, 15},  {WN_DTYPE_F32, 1100, 40, 17},
        {WN_DTYPE_Q8_0, 70, 4192, 19}, {WN_DTYPE_Q4_K, 300, 4608, 29},
        {WN_DTYPE_Q6_K, 130, 2560, 1}, {WN_DTYPE_Q4_1, 40, 288, 519},
        {WN_DTYPE_Q4_0, 33, 64, 1013},
    };
    for (size_t i = 0; i < 2 * N_ISAS; i++) {
        const bool exact = i % 2;
        wn_compute *c = case_compute_of(all_isas[i / 2], 2, exact);
        if (!c)
            continue;
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
            check_shape(c, exact, cases[k].type, cases[k].n_out, cases[k].n_in, cases[k].m, k % 2);
        wn_compute_close(c);
    }
}

/* Inputs that are rounded less, of more columns than a stage of tiles has. */
static void test_wide_inputs(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 16, 17, 33, 64, 65, 130};
    for (size_t i = 0; i < 2 * N_ISAS; i++) {
        const bool exact = i % 2;
        wn_compute *c = case_compute_of(all_isas[i / 2], 2, exact);
        for (size_t t = 0; c && t < N_TYPES; t++)
            for (size_t j = 0; j < 7; j++)
                check_kind(c, exact, all_types[t], WIDE, 37,
                           wn_dtype_block_elements(all_types[t]) == 1 ? 1250 : 1280, rows[j],
                           j % 2);
        wn_compute_close(c);
    }
}

/* Plain types in the form that their set likes best: more than a panel of rows of w, a ragged end;
 * columns that are blocks and a rest, and some that are no groups. */
static void test_prepared(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 6, 7, 33, 513}, columns[] = {32, 4384, 672, 100, 288};
    for (size_t i = 0; i < 2 * N_ISAS; i++) {
        const bool exact = i % 2;
        wn_compute *c = case_compute_of(all_isas[i / 2], 2, exact);
        for (size_t t = 0; c && t < N_TYPES; t++)
            for (size_t j = 0; j < 5 && wn_dtype_block_elements(all_types[t]) == 1; j++)
                check_kind(c, exact, all_types[t], PREPARED, 133, columns[j], rows[j], j % 2);
        wn_compute_close(c);
    }
}

/* x [max_m] through w, and m = 1 .. max_m rows of it: row j has the same bits for every m and
 * place, on either side of the 64 rows that tiles count as few. */
static void check_rows_alone(wn_compute *one, wn_compute *two, wn_dtype type, kind as, size_t n_in,
                             bool decode)
{
    enum { N_OUT = 75, MAX_M = 70 };
    uint8_t *storage = NULL;
    wn_matrix *w = make_kind(one, type, as, N_OUT, n_in, &storage);
    float *x = case_floats(MAX_M * n_in), *bias = case_floats(N_OUT);
    float all[MAX_M * N_OUT], y[MAX_M * N_OUT];
    const wn_product whole = {.w = w, .bias = bias, .y = all};
    const wn_product part = {.w = w, .bias = bias, .y = y};
    void (*multiply)(wn_compute *, const wn_product *, size_t, const float *, size_t) =
        decode ? wn_matmul_decode : wn_matmul_many;
    multiply(one, &whole, 1, x, MAX_M);
    for (size_t m = 1; m <= MAX_M; m += m < 20 ? 1 : 7)
        for (size_t first = 0; first + m <= MAX_M && first < 3; first++) {
            memset(y, 0xff, sizeof y);
            multiply(m % 2 ? one : two, &part, 1, x + first * n_in, m);
            assert_memory_equal(y, all + first * N_OUT, m * N_OUT * sizeof *y);
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
        for (size_t t = 0; one && two && t < 2 * N_TYPES; t++)
            check_rows_alone(one, two, all_types[t / 2], AS_IT_IS,
                             wn_dtype_block_elements(all_types[t / 2]) == 1 ? 277 : 512, t % 2);
        if (one && two) {
            check_rows_alone(one, two, WN_DTYPE_BF16, WIDE, 1250, false);
            check_rows_alone(one, two, WN_DTYPE_F32, PREPARED, 384, false);
        }
        wn_compute_close(one);
        wn_compute_close(two);
    }
}

/* Few rows times more columns than a unit has, by one thread. */
static void test_one_thread(void **state)
{
    (void)state;
    enum { N_OUT = 12300, N_IN = 64, M = 33 };
    for (size_t i = 1; i < N_ISAS; i++) {
        wn_compute *one = case_compute(all_isas[i], 1), *two = case_compute(all_isas[i], 2);
        if (one && two) {
            uint8_t *storage = NULL;
            wn_matrix *w = make_matrix(one, WN_DTYPE_Q4_0, N_OUT, N_IN, &storage);
            float *x = case_floats(M * N_IN), *y = case_floats(2 * M * N_OUT);
            wn_matmul(one, w, x, M, NULL, y);
            wn_matmul(two, w, x, M, NULL, y + M * N_OUT);
            assert_memory_equal(y, y + M * N_OUT, M * N_OUT * sizeof *y);
            free(x);
            free(y);
            wn_matrix_free(w);
            free(storage);
        }
        wn_compute_close(one);
        wn_compute_close(two);
    }
}

static void test_matrix_row(void **state)
{
    (void)state;
    enum { ROWS = 19, COLS = 512 }; /* more than a panel */
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        for (size_t t = 0; c && t < N_TYPES; t++) {
            uint8_t *storage = NULL;
            wn_matrix *w = make_matrix(c, all_types[t], ROWS, COLS, &storage);
            assert_int_equal(wn_matrix_rows(w), ROWS);
            assert_int_equal(wn_matrix_cols(w), COLS);
            assert_int_equal(wn_matrix_is_packed(w),
                             i > 0 && wn_dtype_block_elements(all_types[t]) > 1);
            float all[ROWS * COLS], row[COLS];
            wn_dequantize(all_types[t], storage + 1, all, ROWS * COLS);
            for (size_t r = 0; r < ROWS; r++) {
                wn_matrix_row(w, r, row);
                assert_memory_equal(row, all + r * COLS, sizeof row);
            }
            wn_matrix_free(w);
            free(storage);
        }
        wn_compute_close(c);
    }
}

/* Products of one x, of types that share packed activations and of some that do not; one added to
 * what is there: the same bits as one by one. */
static void check_many(wn_compute *c, bool prepared, size_t m, bool decode)
{
    enum { N = 8 };
    const size_t n_in = 512;
    static const wn_dtype types[N] = {WN_DTYPE_Q4_K, WN_DTYPE_Q6_K, WN_DTYPE_F32,  WN_DTYPE_Q4_0,
                                      WN_DTYPE_Q8_0, WN_DTYPE_BF16, WN_DTYPE_BF16, WN_DTYPE_F16};
    static const size_t n_out[N] = {130, 5, 70, 18, 33, 40, 35, 20};
    uint8_t *storage[N];
    wn_matrix *w[N];
    wn_product many[N];
    float *one[N], *bias = case_floats(130), *x = case_floats(m * n_in);
    for (size_t i = 0; i < N; i++) {
        const bool wide = i == 3 || i == 4 || i == 6;
        w[i] = make_kind(c, types[i],
                         wide       ? WIDE
                         : prepared ? PREPARED
                                    : AS_IT_IS,
                         n_out[i], n_in, &storage[i]);
        many[i] = (wn_product){w[i], i == 1 ? bias : NULL, case_floats(m * n_out[i]), i == 2};
        one[i] = wn_alloc(m * n_out[i], sizeof(float));
        memcpy(one[i], many[i].y, m * n_out[i] * sizeof(float));
    }
    (decode ? wn_matmul_decode : wn_matmul_many)(c, many, N, x, m);
    for (size_t i = 0; i < N; i++) {
        float *expected = wn_alloc(m * n_out[i], sizeof(float));
        const wn_product alone = {.w = w[i], .bias = many[i].bias, .y = expected};
        (decode ? wn_matmul_decode : wn_matmul_many)(c, &alone, 1, x, m);
        for (size_t j = 0; j < m * n_out[i]; j++)
            if (many[i].add)
                case_close(one[i][j] + expected[j], many[i].y[j],
                           2e-5 * (1 + fabs((double)expected[j])), "added", j);
            else
                assert_true(many[i].y[j] == expected[j]);
        free(expected);
        free(one[i]);
        free(many[i].y);
        wn_matrix_free(w[i]);
        free(storage[i]);
    }
    free(bias);
    free(x);
}

static void test_many_products(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        for (size_t m = 0; c && m <= 20; m += 5) {
            for (int k = 0; k < 4; k++)
                check_many(c, k / 2, m, k % 2);
        }
        wn_compute_close(c);
    }
}

/* Not-a-number and infinity in x show in the row's results, zeros and tiny numbers are harmless. */
static void test_odd_activations(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 1);
        if (!c)
            continue;
        uint8_t *storage = NULL;
        wn_matrix *w = make_matrix(c, WN_DTYPE_Q8_0, 3, 64, &storage);
        for (size_t m = 4; m <= 12; m += 8) {
            float *x = case_floats(m * 64), *y = case_floats(m * 3);
            x[3] = NAN;
            x[64] = INFINITY;
            memset(x + 2 * 64, 0, 64 * sizeof *x);
            for (size_t k = 0; k < 64; k++)
                x[3 * 64 + k] *= 1e-38f;
            if (m == 4)
                wn_matmul_decode(c, &(wn_product){.w = w, .y = y}, 1, x, m);
            else
                wn_matmul(c, w, x, m, NULL, y);
            for (size_t r = 0; r < 3; r++) {
                assert_true(isfinite((double)y[r]) == 0);
                assert_true(isfinite((double)y[3 + r]) == 0);
                assert_true(y[6 + r] == 0);
                assert_true(fabsf(y[9 + r]) < 1e-30f);
            }
            free(x);
            free(y);
        }
        wn_matrix_free(w);
        free(storage);
        wn_compute_close(c);
    }
}

/* Bounds of single elements are far above what rounding to nearest does on average, and no bias, so
 * that sums grow by cancelling errors: bf16 2^-9 / sqrt(3) of each operand, 8 bits a step /
 * sqrt(12), where 32 even numbers have their largest near 1.7 times their root mean square. */
static void test_mean_error(void **state)
{
    (void)state;
    enum { N_OUT = 64, N_IN = 2048, M = 32 };
    static const wn_dtype types[] = {WN_DTYPE_F32, WN_DTYPE_Q8_0, WN_DTYPE_Q4_K, WN_DTYPE_Q6_K};
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        for (size_t t = 0; c && t < 2 * sizeof types / sizeof *types; t++) {
            const wn_dtype type = types[t / 2];
            const bool decode = t % 2;
            uint8_t *storage = NULL;
            wn_matrix *w = make_matrix(c, type, N_OUT, N_IN, &storage);
            float row[N_IN], *x = case_floats(M * N_IN), *y = case_floats(M * N_OUT);
            double error = 0, size = 0;
            (decode ? wn_matmul_decode : wn_matmul_many)(c, &(wn_product){.w = w, .y = y}, 1, x, M);
            for (size_t r = 0; r < N_OUT; r++) {
                wn_matrix_row(w, r, row);
                for (size_t j = 0; j < M; j++) {
                    double sum = 0;
                    for (size_t k = 0; k < N_IN; k++)
                        sum += (double)row[k] * (double)x[j * N_IN + k];
                    error += pow((double)y[j * N_OUT + r] - sum, 2);
                    size += sum * sum;
                }
            }
            printf("%s %s, %s rows: relative error %.2e\n", all_isas[i], wn_dtype_name(type),
                   decode ? "few" : "many", sqrt(error / size));
            const bool bytes = rounding_of(c, w, type, decode, false).steps == 127;
            assert_true(sqrt(error / size) < (bytes ? 0.006 : 0.004));
            free(x);
            free(y);
            wn_matrix_free(w);
            free(storage);
        }
        wn_compute_close(c);
    }
}

/* What the tests of the emulated tiles say holds for the hardware where it is: the same bits. */
static void test_emulation(void **state)
{
    (void)state;
    enum { N_OUT = 70, M = 45 };
    wn_compute *hardware = case_compute("amx", 2), *emulated = case_compute("amx-emulated", 2);
    for (size_t t = 0; hardware && emulated && t <= N_TYPES; t++) {
        const wn_dtype type = t < N_TYPES ? all_types[t] : WN_DTYPE_BF16;
        const size_t n_in = wn_dtype_block_elements(type) == 1 ? 277 : 512;
        uint8_t *storage = NULL;
        wn_matrix *w =
            make_kind(hardware, type, t == N_TYPES ? WIDE : AS_IT_IS, N_OUT, n_in, &storage);
        float *x = case_floats(M * n_in), *y = case_floats(2 * M * N_OUT);
        wn_matmul(hardware, w, x, M, NULL, y);
        wn_matmul(emulated, w, x, M, NULL, y + M * N_OUT);
        assert_memory_equal(y, y + M * N_OUT, M * N_OUT * sizeof *y);
        free(x);
        free(y);
        wn_matrix_free(w);
        free(storage);
    }
    wn_compute_close(hardware);
    wn_compute_close(emulated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_and_row_counts),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_wide_inputs),
        cmocka_unit_test(test_prepared),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_matrix_row),
        cmocka_unit_test(test_many_products),
        cmocka_unit_test(test_odd_activations),
        cmocka_unit_test(test_mean_error),
        cmocka_unit_test(test_emulation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
