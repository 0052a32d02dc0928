/* The feed-forward part of a layer, on every instruction set, against sums in double; and its
 * promise that a row's bits depend on that row only. */
#include "tests/unit/kernels/kernel_cases.h"

typedef enum ffn_weights { AS_THEY_ARE, IN_TILES, WIDE_INPUTS } ffn_weights;

typedef struct ffn_case {
    wn_dtype type;
    size_t d, d_ff, m;
    bool gated;
    ffn_weights weights;
} ffn_case;

typedef struct ffn_data {
    wn_matrix *w[3]; /* gate, up, down */
    uint8_t *storage[3];
    float *rows[3]; /* dequantised */
    float *up_bias, *down_bias;
    wn_ffn ffn;
} ffn_data;

static void make_matrix(wn_compute *c, ffn_data *d, size_t i, const ffn_case *k, size_t n_out,
                        size_t n_in)
{
    wn_tensor t = {.name = "w", .dtype = k->type, .n_dims = 2, .shape = {n_out, n_in}};
    d->storage[i] = case_weights(k->type, n_out * n_in, &t.bytes);
    t.data = d->storage[i];
    WN_ASSERT_OK(wn_matrix_create(&d->w[i], c, &t, err));
    if (k->weights == WIDE_INPUTS)
        wn_matrix_set_wide_inputs(d->w[i]);
    if (k->weights == IN_TILES)
        WN_ASSERT_OK(wn_matrix_prepare(d->w[i], c, err));
    d->rows[i] = wn_alloc(n_out * n_in, sizeof(float));
    for (size_t r = 0; r < n_out; r++)
        wn_matrix_row(d->w[i], r, d->rows[i] + r * n_in);
}

static ffn_data make_ffn(wn_compute *c, const ffn_case *k)
{
    ffn_data d = {0};
    make_matrix(c, &d, 0, k, k->d_ff, k->d);
    make_matrix(c, &d, 1, k, k->d_ff, k->d);
    make_matrix(c, &d, 2, k, k->d, k->d_ff);
    d.down_bias = case_floats(k->d);
    d.up_bias = case_floats(k->d_ff);
    d.ffn = (wn_ffn){.up = d.w[1], .down = d.w[2], .next = k->weights == IN_TILES ? d.w[1] : NULL};
    if (k->gated)
        d.ffn.gate = d.w[0];
    else {
        d.ffn.up_bias = d.up_bias;
        d.ffn.down_bias = d.down_bias;
    }
    return d;
}

static void free_ffn(ffn_data *d)
{
    for (size_t i = 0; i < 3; i++) {
        wn_matrix_free(d->w[i]);
        free(d->storage[i]);
        free(d->rows[i]);
    }
    free(d->up_bias);
    free(d->down_bias);
}

static double dot(const float *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static void expect_row(const ffn_data *d, const ffn_case *k, const float *x, double *y)
{
    double *h = wn_alloc(k->d, sizeof *h), *a = wn_alloc(k->d_ff, sizeof *a);
    for (size_t i = 0; i < k->d; i++)
        h[i] = (double)x[i];
    for (size_t j = 0; j < k->d_ff; j++) {
        const double up = dot(d->rows[1] + j * k->d, h, k->d);
        const double gate = dot(d->rows[0] + j * k->d, h, k->d);
        const double v = up + (double)d->up_bias[j];
        a[j] = k->gated ? gate / (1 + exp(-gate)) * up : 0.5 * v * erfc(-v / sqrt(2));
    }
    for (size_t i = 0; i < k->d; i++)
        y[i] +=
            dot(d->rows[2] + i * k->d_ff, a, k->d_ff) + (k->gated ? 0 : (double)d->down_bias[i]);
    free(h);
    free(a);
}

/* Root mean square of the error over that of the result: rounding of operands to 8 bits or bf16
 * costs about 0.5 % in each of two products; wide inputs leave that of the gate, 2^-13 at most. */
static void check_case(wn_compute *c, const ffn_case *k, bool decode, double tolerance)
{
    ffn_data d = make_ffn(c, k);
    float *x = case_floats(k->m * k->d), *y = case_floats(k->m * k->d);
    float *inner = wn_alloc(2 * k->m * k->d_ff, sizeof *inner);
    double *expected = wn_alloc(k->m * k->d, sizeof *expected), error = 0, size = 0;
    for (size_t i = 0; i < k->m * k->d; i++)
        expected[i] = (double)y[i];
    wn_ffn_add(c, &d.ffn, x, k->m, decode, inner, y);
    for (size_t r = 0; r < k->m; r++)
        expect_row(&d, k, x + r * k->d, expected + r * k->d);
    for (size_t i = 0; i < k->m * k->d; i++) {
        error += pow((double)y[i] - expected[i], 2);
        size += expected[i] * expected[i];
    }
    if (!(sqrt(error) <= tolerance * sqrt(size)))
        fail_msg("%s %s d=%zu d_ff=%zu m=%zu %s%s: relative error %.3g > %.3g", wn_compute_isa(c),
                 wn_dtype_name(k->type), k->d, k->d_ff, k->m, k->gated ? "swiglu" : "gelu",
                 decode ? " decode" : "", sqrt(error / size), tolerance);
    free(expected);
    free(inner);
    free(y);
    free(x);
    free_ffn(&d);
}

/* With tiles: more inner columns than are made at a time, and more columns of x than stay in L1. */
static const ffn_case cases[] = {
    {WN_DTYPE_Q8_0, 96, 160, 37, true, AS_THEY_ARE},
    {WN_DTYPE_Q4_K, 256, 512, 33, true, AS_THEY_ARE},
    {WN_DTYPE_Q6_K, 256, 256, 5, true, AS_THEY_ARE},
    {WN_DTYPE_F32, 70, 96, 40, false, AS_THEY_ARE},
    {WN_DTYPE_F32, 33, 50, 17, false, AS_THEY_ARE},
    {WN_DTYPE_Q4_1, 288, 320, 300, true, AS_THEY_ARE},
    {WN_DTYPE_F16, 64, 128, 1, true, AS_THEY_ARE},
    {WN_DTYPE_BF16, 64, 128, 66, false, AS_THEY_ARE},
    {WN_DTYPE_F32, 550, 1088, 70, false, IN_TILES},
    {WN_DTYPE_BF16, 64, 512, 9, false, IN_TILES},
    {WN_DTYPE_F16, 64, 96, 33, true, IN_TILES},
    {WN_DTYPE_BF16, 650, 736, 70, true, WIDE_INPUTS},
    {WN_DTYPE_BF16, 64, 96, 33, false, WIDE_INPUTS},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void test_against_double(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * N_ISAS; i++) {
        const bool exact = i % 2;
        wn_compute *c = case_compute_of(all_isas[i / 2], 2, exact);
        for (size_t j = 0; c && j < N_CASES; j++) {
            const double rounded = cases[j].weights == WIDE_INPUTS ? 1e-4 : 0.012;
            check_case(c, &cases[j], false, exact ? 1e-5 : rounded);
            const bool bytes = wn_dtype_block_elements(cases[j].type) > 1 &&
                               cases[j].type != WN_DTYPE_Q8_0 && !strcmp(all_isas[i / 2], "avx2");
            check_case(c, &cases[j], true, exact ? 1e-5 : bytes ? rounded : 2e-3);
        }
        wn_compute_close(c);
    }
}

/* Rows in any company, one thread or two: the same bits. */
static void check_rows_alone(const ffn_case *k)
{
    static const size_t few[] = {1, 2, 16, 33, 131};
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2), *one = case_compute(all_isas[i], 1);
        if (!c || !one) {
            wn_compute_close(c);
            wn_compute_close(one);
            continue;
        }
        ffn_data d = make_ffn(c, k);
        float *x = case_floats(k->m * k->d), *y = wn_alloc(2 * k->m * k->d, sizeof *y);
        float *inner = wn_alloc(2 * k->m * k->d_ff, sizeof *inner), *part = y + k->m * k->d;
        wn_ffn_add(c, &d.ffn, x, k->m, false, inner, y);
        for (size_t j = 0; j < sizeof few / sizeof *few; j++) {
            const size_t first = (k->m - few[j]) * k->d, n = few[j] * k->d;
            memset(part, 0, n * sizeof *part);
            wn_ffn_add(one, &d.ffn, x + first, few[j], false, inner, part);
            assert_memory_equal(part, y + first, n * sizeof *part);
        }
        memcpy(part, x, k->m * k->d * sizeof *part); /* in place */
        wn_ffn_add(c, &d.ffn, part, k->m, false, inner, part);
        memcpy(y, x, k->m * k->d * sizeof *y);
        wn_ffn_add(c, &d.ffn, x, k->m, false, inner, y);
        assert_memory_equal(part, y, k->m * k->d * sizeof *y);
        free(inner);
        free(y);
        free(x);
        free_ffn(&d);
        wn_compute_close(c);
        wn_compute_close(one);
    }
}

static void test_rows_alone(void **state)
{
    (void)state;
    static const ffn_case packed = {WN_DTYPE_Q8_0, 96, 160, 300, true, AS_THEY_ARE};
    static const ffn_case tiles = {WN_DTYPE_F32, 96, 544, 300, false, IN_TILES};
    static const ffn_case wide = {WN_DTYPE_BF16, 96, 160, 300, true, WIDE_INPUTS};
    check_rows_alone(&packed);
    check_rows_alone(&wide);
    check_rows_alone(&tiles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_rows_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
