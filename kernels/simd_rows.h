/* Norms, activations, rotary embedding and addition on vectors. See compute.h for the formulas. */
#ifndef WN_KERNELS_SIMD_ROWS_H
#define WN_KERNELS_SIMD_ROWS_H

#include "kernels/simd_math.h"
#ifdef WN_LANES

#include <math.h>

#include "kernels/compute.h"

/* Sum of x, and of (x - mean)^2, over d elements. Lanes are summed apart, then together; in `four`
 * chains, none of which waits for the others. */
static float row_sum(const float *x, size_t d)
{
    vf sum = vf_zero(), sums[4] = {sum, sum, sum, sum};
    size_t i = 0;
    for (; i + 4 * WN_LANES <= d; i += 4 * WN_LANES)
        WN_UNROLL
    for (size_t j = 0; j < 4; j++)
        sums[j] = vf_add(sums[j], vf_load(x + i + j * WN_LANES));
    for (; i + WN_LANES <= d; i += WN_LANES)
        sum = vf_add(sum, vf_load(x + i));
    if (i < d)
        sum = vf_add(sum, vf_load_n(x + i, d - i));
    return vf_sum(vf_add(sum, vf_add(vf_add(sums[0], sums[1]), vf_add(sums[2], sums[3]))));
}

WN_INLINE float row_sum_squares(const float *x, size_t d, float mean, const bool four)
{
    const vf middle = vf_set1(mean);
    vf sum = vf_zero(), sums[4] = {sum, sum, sum, sum};
    size_t i = 0;
    for (; four && i + 4 * WN_LANES <= d; i += 4 * WN_LANES)
        WN_UNROLL
    for (size_t j = 0; j < 4; j++) {
        const vf v = vf_sub(vf_load(x + i + j * WN_LANES), middle);
        sums[j] = vf_fma(v, v, sums[j]);
    }
    sum = vf_add(vf_add(sums[0], sums[1]), vf_add(sums[2], sums[3]));
    for (; i + WN_LANES <= d; i += WN_LANES) {
        const vf v = vf_sub(vf_load(x + i), middle);
        sum = vf_fma(v, v, sum);
    }
    float rest = 0;
    for (; i < d; i++)
        rest += (x[i] - mean) * (x[i] - mean);
    return vf_sum(sum) + rest;
}

static void simd_rmsnorm(const float *x, const float *w, size_t m, size_t d, float eps, float *y)
{
    for (size_t r = 0; r < m; r++, x += d, y += d) {
        const float scale = 1.0f / sqrtf(row_sum_squares(x, d, 0, false) / (float)d + eps);
        const vf s = vf_set1(scale);
        size_t i = 0;
        for (; i + WN_LANES <= d; i += WN_LANES)
            vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), s), vf_load(w + i)));
        for (; i < d; i++)
            y[i] = x[i] * scale * w[i];
    }
}

static void simd_layernorm(const float *x, const float *w, const float *b, size_t m, size_t d,
                           float eps, float *y)
{
    for (size_t r = 0; r < m; r++, x += d, y += d) {
        const float mean = row_sum(x, d) / (float)d;
        const float scale = 1.0f / sqrtf(row_sum_squares(x, d, mean, true) / (float)d + eps);
        const vf s = vf_set1(scale), middle = vf_set1(mean);
        size_t i = 0;
        for (; i + WN_LANES <= d; i += WN_LANES) {
            const vf v = vf_mul(vf_sub(vf_load(x + i), middle), s);
            vf_store(y + i, vf_fma(v, vf_load(w + i), vf_load(b + i)));
        }
        if (i < d) {
            const size_t n = d - i;
            const vf v = vf_mul(vf_sub(vf_load_n(x + i, n), middle), s);
            vf_store_n(y + i, n, vf_fma(v, vf_load_n(w + i, n), vf_load_n(b + i, n)));
        }
    }
}

static void simd_silu_mul(const float *gate, const float *up, size_t n, float *y)
{
    size_t i = 0;
    for (; i + WN_LANES <= n; i += WN_LANES)
        vf_store(y + i, vf_mul(vf_silu(vf_load(gate + i)), vf_load(up + i)));
    if (i < n)
        vf_store_n(y + i, n - i,
                   vf_mul(vf_silu(vf_load_n(gate + i, n - i)), vf_load_n(up + i, n - i)));
}

static void simd_gelu_erf(const float *x, size_t n, float *y)
{
    size_t i = 0;
    for (; i + WN_LANES <= n; i += WN_LANES)
        vf_store(y + i, vf_gelu(vf_load(x + i)));
    if (i < n)
        vf_store_n(y + i, n - i, vf_gelu(vf_load_n(x + i, n - i)));
}

/* Plain loops: no reduction, so the compiler's vectoriser does as well as we would. */
static void simd_rope(float *x, size_t n_heads, size_t head_dim, const float *c, const float *s,
                      wn_rope_order order)
{
    const size_t n_pairs = head_dim / 2;
    for (size_t h = 0; h < n_heads; h++, x += head_dim) {
        if (order == WN_ROPE_NEOX) {
            float *a = x, *b = x + n_pairs;
            for (size_t i = 0; i < n_pairs; i++) {
                const float low = a[i], high = b[i];
                a[i] = low * c[i] - high * s[i];
                b[i] = low * s[i] + high * c[i];
            }
        } else {
            for (size_t i = 0; i < n_pairs; i++) {
                const float even = x[2 * i], odd = x[2 * i + 1];
                x[2 * i] = even * c[i] - odd * s[i];
                x[2 * i + 1] = even * s[i] + odd * c[i];
            }
        }
    }
}

#endif
#endif
