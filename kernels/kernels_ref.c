/* The reference table: plain C, sums in double. It is the oracle of every other table, and what
 * runs on a processor without AVX2. */
#include <assert.h>
#include <math.h>

#include "kernels/dequant_block.h"
#include "kernels/kernel_table.h"

static void ref_gemv(const wn_matrix *w, size_t row0, size_t n_rows, const float *x, size_t m,
                     bool add, const float *bias, float *y, size_t y_stride)
{
    const size_t block_bytes = wn_dtype_block_bytes(w->type);
    const size_t block = wn_dtype_block_elements(w->type);
    const size_t step = block == 1 ? WN_QK : block;
    assert(m <= WN_GEMV_ROWS);
    for (size_t r = row0; r < row0 + n_rows; r++) {
        double sum[WN_GEMV_ROWS] = {0};
        for (size_t k = 0; k < w->n_in; k += step) {
            float values[WN_QK];
            const size_t n = w->n_in - k < step ? w->n_in - k : step;
            wn_dequant_run(w->type, w->data + r * w->row_bytes + k / block * block_bytes, values,
                           n);
            for (size_t j = 0; j < m; j++)
                for (size_t i = 0; i < n; i++)
                    sum[j] += (double)values[i] * (double)x[j * w->n_in + k + i];
        }
        for (size_t j = 0; j < m; j++)
            y[j * y_stride + r] = (float)(sum[j] + (bias ? (double)bias[r] : 0.0) +
                                          (add ? (double)y[j * y_stride + r] : 0.0));
    }
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void ref_rmsnorm(const float *x, const float *w, size_t m, size_t d, float eps, float *y)
{
    for (size_t r = 0; r < m; r++, x += d, y += d) {
        const double scale = 1.0 / sqrt(dot(x, x, d) / (double)d + (double)eps);
        for (size_t i = 0; i < d; i++)
            y[i] = (float)((double)x[i] * scale * (double)w[i]);
    }
}

static void ref_layernorm(const float *x, const float *w, const float *b, size_t m, size_t d,
                          float eps, float *y)
{
    for (size_t r = 0; r < m; r++, x += d, y += d) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < d; i++)
            mean += (double)x[i] / (double)d;
        for (size_t i = 0; i < d; i++)
            variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)d;
        const double scale = 1.0 / sqrt(variance + (double)eps);
        for (size_t i = 0; i < d; i++)
            y[i] = (float)(((double)x[i] - mean) * scale * (double)w[i] + (double)b[i]);
    }
}

static void ref_rope(float *x, size_t n_heads, size_t head_dim, const float *c, const float *s,
                     wn_rope_order order)
{
    const size_t apart = order == WN_ROPE_NEOX ? head_dim / 2 : 1;
    const size_t step = order == WN_ROPE_NEOX ? 1 : 2;
    for (size_t h = 0; h < n_heads; h++)
        for (size_t i = 0; i < head_dim / 2; i++) {
            float *p = x + h * head_dim + i * step;
            const double a = (double)p[0], b = (double)p[apart];
            p[0] = (float)(a * (double)c[i] - b * (double)s[i]);
            p[apart] = (float)(a * (double)s[i] + b * (double)c[i]);
        }
}

static void ref_silu_mul(const float *gate, const float *up, size_t n, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)gate[i] / (1.0 + exp(-(double)gate[i])) * (double)up[i]);
}

static void ref_gelu_erf(const float *x, size_t n, float *y)
{
    for (size_t i = 0; i < n; i++) /* erfc: no cancellation in the negative tail */
        y[i] = (float)(0.5 * (double)x[i] * erfc((double)x[i] * -0.70710678118654752440));
}

const wn_kernel_table wn_kernels_ref = {
    .name = "ref",
    .gemv = ref_gemv,
    .gemm = NULL, /* and no packed weights: this is the oracle of those too */
    .attention = wn_attention_ref,
    .attention_format = WN_KV_F32,
    .attention_rows = 16,
    .attention_row_step = 1,
    .attention_scratch_bytes = WN_ATTENTION_MAX_HEAD_DIM * sizeof(double),
    .rmsnorm = ref_rmsnorm,
    .layernorm = ref_layernorm,
    .rope = ref_rope,
    .silu_mul = ref_silu_mul,
    .gelu_erf = ref_gelu_erf,
};
