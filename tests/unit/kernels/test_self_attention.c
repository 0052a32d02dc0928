/* The attention part of an encoder's layer on the sets that do it in one go, against sums in
 * double; what they leave to others; and that a sequence's bits depend on that sequence only. */
#include "tests/unit/kernels/kernel_cases.h"

typedef struct self_case {
    wn_dtype type;
    size_t d, n_heads, lens[4], n;
    float size; /* of x: large ones make softmax choose one key, and scores too large for a bound */
    bool biased, tiles;
} self_case;

typedef struct self_data {
    wn_matrix *w[2]; /* qkv, out */
    uint8_t *storage[2];
    float *rows[2]; /* dequantised */
    float *bias[2];
    wn_self_attention a;
    size_t m;
    float *x, *y;
} self_data;

static void make_matrix(wn_compute *c, self_data *s, size_t i, const self_case *k, size_t n_out)
{
    wn_tensor t = {.name = "w", .dtype = k->type, .n_dims = 2, .shape = {n_out, k->d}};
    s->storage[i] = case_weights(k->type, n_out * k->d, &t.bytes);
    t.data = s->storage[i];
    WN_ASSERT_OK(wn_matrix_create(&s->w[i], c, &t, err));
    if (k->tiles)
        WN_ASSERT_OK(wn_matrix_prepare(s->w[i], c, err));
    s->rows[i] = wn_alloc(n_out * k->d, sizeof(float));
    for (size_t r = 0; r < n_out; r++)
        wn_matrix_row(s->w[i], r, s->rows[i] + r * k->d);
    s->bias[i] = case_floats(n_out);
}

static self_data make_case(wn_compute *c, const self_case *k)
{
    self_data s = {0};
    make_matrix(c, &s, 0, k, 3 * k->d);
    make_matrix(c, &s, 1, k, k->d);
    s.a = (wn_self_attention){.qkv = s.w[0], .out = s.w[1], .n_heads = k->n_heads};
    if (k->biased) {
        s.a.qkv_bias = s.bias[0];
        s.a.out_bias = s.bias[1];
    }
    for (size_t i = 0; i < k->n; i++)
        s.m += k->lens[i];
    s.x = case_floats(s.m * k->d);
    s.y = case_floats(s.m * k->d);
    for (size_t i = 0; i < s.m * k->d; i++)
        s.x[i] *= k->size;
    return s;
}

static void free_case(self_data *s)
{
    for (size_t i = 0; i < 2; i++) {
        wn_matrix_free(s->w[i]);
        free(s->storage[i]);
        free(s->rows[i]);
        free(s->bias[i]);
    }
    free(s->x);
    free(s->y);
}

/* y[n_out] = w x + bias. */
static void product(const self_data *s, size_t i, size_t n_out, size_t n_in, const double *x,
                    const float *bias, double *y)
{
    for (size_t r = 0; r < n_out; r++) {
        y[r] = bias ? (double)bias[r] : 0;
        for (size_t j = 0; j < n_in; j++)
            y[r] += (double)s->rows[i][r * n_in + j] * x[j];
    }
}

/* Row t of one sequence's heads; qkv [n][3 d]. */
static void expect_heads(const self_case *k, const double *qkv, size_t n, size_t t, double *out)
{
    const size_t d = k->d, dim = d / k->n_heads;
    double *p = wn_alloc(n, sizeof *p);
    for (size_t h = 0; h < d; h += dim) {
        double top = -INFINITY, total = 0;
        for (size_t j = 0; j < n; j++) {
            p[j] = 0;
            for (size_t i = 0; i < dim; i++)
                p[j] += qkv[t * 3 * d + h + i] * qkv[j * 3 * d + d + h + i] / sqrt((double)dim);
            top = fmax(top, p[j]);
        }
        for (size_t j = 0; j < n; j++)
            total += p[j] = exp(p[j] - top);
        for (size_t i = 0; i < dim; i++) {
            out[h + i] = 0;
            for (size_t j = 0; j < n; j++)
                out[h + i] += p[j] / total * qkv[j * 3 * d + 2 * d + h + i];
        }
    }
    free(p);
}

/* What is added to the rows of y. */
static double *expect(const self_data *s, const self_case *k)
{
    const size_t d = k->d;
    double *sum = wn_alloc(s->m * d, sizeof *sum), *x = wn_alloc(d, sizeof *x);
    double *qkv = wn_alloc(s->m * 3 * d, sizeof *qkv);
    for (size_t r = 0; r < s->m; r++) {
        for (size_t i = 0; i < d; i++)
            x[i] = (double)s->x[r * d + i];
        product(s, 0, 3 * d, d, x, s->a.qkv_bias, qkv + r * 3 * d);
    }
    for (size_t i = 0, row = 0; i < k->n; row += k->lens[i++])
        for (size_t t = 0; t < k->lens[i]; t++) {
            expect_heads(k, qkv + row * 3 * d, k->lens[i], t, x);
            product(s, 1, d, d, x, s->a.out_bias, sum + (row + t) * d);
        }
    free(qkv);
    free(x);
    return sum;
}

static void check_case(wn_compute *c, const self_case *k, double tolerance)
{
    self_data s = make_case(c, k);
    double *sum = expect(&s, k), error = 0, size = 0;
    float *y = wn_alloc(s.m * k->d, sizeof *y);
    memcpy(y, s.y, s.m * k->d * sizeof *y);
    assert_true(wn_self_attention_add(c, &s.a, s.x, k->lens, k->n, y));
    for (size_t i = 0; i < s.m * k->d; i++) {
        error += pow((double)y[i] - (double)s.y[i] - sum[i], 2);
        size += sum[i] * sum[i];
    }
    if (!(sqrt(error) <= tolerance * sqrt(size)))
        fail_msg("%s d=%zu heads=%zu m=%zu: relative error %.3g > %.3g", wn_compute_isa(c), k->d,
                 k->n_heads, s.m, sqrt(error / size), tolerance);
    free(y);
    free(sum);
    free_case(&s);
}

static const self_case cases[] = {
    {WN_DTYPE_F32, 64, 2, {1, 2, 31, 32}, 4, 1, true, true},
    {WN_DTYPE_F32, 96, 3, {100, 17, 65}, 3, 0.3f, true, true},
    {WN_DTYPE_F32, 128, 2, {33, 48}, 2, 0.5f, true, false},
    {WN_DTYPE_BF16, 64, 1, {300}, 1, 1, false, true},
    {WN_DTYPE_F32, 64, 2, {512}, 1, 0.2f, true, true},
    {WN_DTYPE_F32, 64, 1, {40, 90}, 2, 0.4f, true, true},
    {WN_DTYPE_F32, 64, 2, {70, 5}, 2, 2, true, true},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static const char *const tile_isas[] = {"amx", "amx-emulated"};

static void test_against_double(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        wn_compute *c = case_compute(tile_isas[i], 2);
        for (size_t j = 0; c && j < N_CASES; j++)
            check_case(c, &cases[j], 0.02);
        wn_compute_close(c);
    }
}

static void test_left_to_others(void **state)
{
    (void)state;
    static const self_case narrow = {WN_DTYPE_F32, 64, 4, {5}, 1, 1, true, true};
    static const self_case long_one = {WN_DTYPE_F32, 64, 2, {513}, 1, 1, true, true};
    static const self_case plain = {WN_DTYPE_F32, 64, 2, {5}, 1, 1, true, true};
    for (size_t i = 0; i < 2 * N_ISAS; i++) {
        const bool exact = i % 2, tiles = !exact && !strncmp(all_isas[i / 2], "amx", 3);
        wn_compute *c = case_compute_of(all_isas[i / 2], 1, exact);
        const self_case *all[] = {&narrow, &long_one, tiles ? NULL : &plain};
        for (size_t j = 0; c && j < 3 && all[j]; j++) {
            self_data s = make_case(c, all[j]);
            float *y = wn_alloc(s.m * 64, sizeof *y);
            memcpy(y, s.y, s.m * 64 * sizeof *y);
            assert_false(wn_self_attention_add(c, &s.a, s.x, all[j]->lens, 1, y));
            assert_memory_equal(y, s.y, s.m * 64 * sizeof *y);
            free(y);
            free_case(&s);
        }
        wn_compute_close(c);
    }
}

/* Sequences in any company, one thread or two, in place or not: the same bits. */
static void check_sequences_alone(const self_case *k)
{
    for (size_t i = 0; i < 2; i++) {
        wn_compute *c = case_compute(tile_isas[i], 2), *one = case_compute(tile_isas[i], 1);
        if (c && one) {
            self_data s = make_case(c, k);
            memcpy(s.y, s.x, s.m * k->d * sizeof *s.y);
            float *alone = wn_alloc(s.m * k->d, sizeof *alone);
            memcpy(alone, s.x, s.m * k->d * sizeof *alone);
            assert_true(wn_self_attention_add(c, &s.a, s.x, k->lens, k->n, s.y));
            for (size_t j = 0, at = 0; j < k->n; at += k->lens[j++] * k->d)
                assert_true(
                    wn_self_attention_add(one, &s.a, alone + at, &k->lens[j], 1, alone + at));
            assert_memory_equal(alone, s.y, s.m * k->d * sizeof *alone);
            free(alone);
            free_case(&s);
        }
        wn_compute_close(c);
        wn_compute_close(one);
    }
}

static void test_sequences_alone(void **state)
{
    (void)state;
    static const self_case small = {WN_DTYPE_F32, 96, 3, {100, 17, 65, 200}, 4, 0.5f, true, true};
    static const self_case large = {WN_DTYPE_F32, 128, 2, {33, 500, 1, 64}, 4, 2, true, true};
    check_sequences_alone(&small);
    check_sequences_alone(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_left_to_others),
        cmocka_unit_test(test_sequences_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
