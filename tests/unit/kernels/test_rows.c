/* Norms, rotary embedding, activations and addition of every instruction set, against double. */
#include "tests/unit/kernels/kernel_cases.h"

static const size_t widths[] = {0, 1, 15, 31, 33, 384, 1536, 40001};
#define N_WIDTHS (sizeof widths / sizeof *widths)

typedef void (*width_check)(wn_compute *c, size_t n);

static void for_all_isas(width_check check)
{
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        for (size_t w = 0; c && w < N_WIDTHS; w++)
            check(c, widths[w]);
        wn_compute_close(c);
    }
}

static void check_rmsnorm(wn_compute *c, size_t d)
{
    const size_t m = d < 2000 ? 37 : 2;
    float *x = case_floats(m * d), *w = case_floats(d), *y = case_floats(m * d);
    wn_rmsnorm(c, x, w, m, d, 1e-5f, y);
    for (size_t r = 0; r < m; r++) {
        double mean = 0;
        for (size_t i = 0; i < d; i++)
            mean += (double)x[r * d + i] * (double)x[r * d + i] / (double)d;
        for (size_t i = 0; i < d; i++)
            case_close((float)((double)x[r * d + i] / sqrt(mean + (double)1e-5f) * (double)w[i]),
                       y[r * d + i], 2e-6, "rmsnorm", i);
    }
    wn_rmsnorm(c, x, w, m, d, 1e-5f, x); /* in place */
    assert_memory_equal(x, y, m * d * sizeof *y);
    free(y);
    free(w);
    free(x);
}

static void test_rmsnorm(void **state)
{
    (void)state;
    for_all_isas(check_rmsnorm);
}

static void check_layernorm(wn_compute *c, size_t d)
{
    const size_t m = d < 2000 ? 37 : 2;
    float *x = case_floats(m * d), *w = case_floats(d), *b = case_floats(d),
          *y = case_floats(m * d);
    for (size_t i = 0; i < m * d; i++)
        x[i] += 5.0f; /* a mean far from 0 must not cancel the variance away */
    wn_layernorm(c, x, w, b, m, d, 1e-12f, y);
    for (size_t r = 0; r < m && d > 1; r++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < d; i++)
            mean += (double)x[r * d + i] / (double)d;
        for (size_t i = 0; i < d; i++)
            variance += pow((double)x[r * d + i] - mean, 2) / (double)d;
        for (size_t i = 0; i < d; i++)
            case_close(
                (float)(((double)x[r * d + i] - mean) / sqrt(variance + 1e-12) * (double)w[i] +
                        (double)b[i]),
                y[r * d + i], 2e-5, "layernorm", i);
    }
    wn_layernorm(c, x, w, b, m, d, 1e-12f, x);
    assert_memory_equal(x, y, m * d * sizeof *y);
    free(y);
    free(b);
    free(w);
    free(x);
}

static void test_layernorm(void **state)
{
    (void)state;
    for_all_isas(check_layernorm);
}

static void check_activations(wn_compute *c, size_t n)
{
    float *x = case_floats(n), *up = case_floats(n), *y = case_floats(n);
    for (size_t i = 0; i < n; i++)
        x[i] *= i % 3 ? 6.0f : 120.0f;
    wn_silu_mul(c, x, up, n, y);
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i], silu = v / (1 + exp(-v)) * (double)up[i];
        case_close((float)silu, y[i], 4e-7 * fabs(silu) + 1e-30, "silu_mul", i);
    }
    wn_gelu_erf(c, x, n, y);
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i], gelu = 0.5 * v * erfc(-v / sqrt(2));
        case_close((float)gelu, y[i], 1.2e-7 * (1 + fabs(gelu)), "gelu", i);
    }
    wn_gelu_erf(c, x, n, x);
    assert_memory_equal(x, y, n * sizeof *y);
    wn_silu_mul(c, y, up, n, y);
    free(y);
    free(up);
    free(x);
}

static void test_activations(void **state)
{
    (void)state;
    for_all_isas(check_activations);
}

static void check_rope(wn_compute *c, size_t m, size_t n_heads, size_t head_dim, size_t pos0,
                       wn_rope_order order)
{
    const size_t stride = n_heads * head_dim + 5, half = head_dim / 2;
    float *x = case_floats(m * stride), *y = case_floats(m * stride), *freq = case_floats(half);
    memcpy(y, x, m * stride * sizeof *y);
    for (size_t i = 0; i < half; i++)
        freq[i] = fabsf(freq[i]);
    float *angles = case_floats(m * head_dim);
    wn_rope_angles(c, m, head_dim, pos0, freq, angles);
    wn_rope(c, y, m, stride, n_heads, head_dim, angles, order);
    for (size_t r = 0; r < m; r++) {
        for (size_t h = 0; h < n_heads; h++)
            for (size_t i = 0; i < half; i++) {
                const size_t base = r * stride + h * head_dim;
                const size_t a = base + (order == WN_ROPE_NEOX ? i : 2 * i);
                const size_t b = order == WN_ROPE_NEOX ? a + half : a + 1;
                const double angle = (double)(pos0 + r) * (double)freq[i];
                case_close((float)((double)x[a] * cos(angle) - (double)x[b] * sin(angle)), y[a],
                           3e-7, "rope, first of pair", i);
                case_close((float)((double)x[a] * sin(angle) + (double)x[b] * cos(angle)), y[b],
                           3e-7, "rope, second of pair", i);
            }
        assert_memory_equal(x + r * stride + n_heads * head_dim,
                            y + r * stride + n_heads * head_dim, 5 * sizeof *x);
    }
    free(angles);
    free(freq);
    free(y);
    free(x);
}

static void test_rope(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        for (int order = 0; c && order < 2; order++) {
            check_rope(c, 0, 2, 64, 0, (wn_rope_order)order);
            check_rope(c, 1, 1, 2, 7, (wn_rope_order)order);
            check_rope(c, 33, 3, 64, 0, (wn_rope_order)order);
            check_rope(c, 9, 2, 128, 130000, (wn_rope_order)order);
            check_rope(c, 3, 2, 198, 1, (wn_rope_order)order);
            check_rope(c, 1, 12, 34, 5, (wn_rope_order)order);
        }
        wn_compute_close(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_rope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
