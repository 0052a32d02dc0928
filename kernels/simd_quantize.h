/* Activations as 16-bit integers: blocks of up to 256 columns with one scale each.
 *
 * x = scale * q, |q| <= limit. The limit follows from the sums that have to fit 32 bits
 * (kernel_table.h); rounding is 2^-12 or 2^-16 of the block's largest magnitude, against 2^-8 of
 * the usual 8 bits. Within each quad of columns the order is 0, 2, 1, 3 (packed_weights.h).
 */
#ifndef WN_KERNELS_SIMD_QUANTIZE_H
#define WN_KERNELS_SIMD_QUANTIZE_H

#include "kernels/simd.h"
#ifdef WN_LANES

#include <string.h>

#include "kernels/kernel_table.h"

WN_INLINE float block_top(const float *x, size_t n)
{
    vf top = vf_zero();
    for (size_t i = 0; i < n; i += WN_LANES)
        top = vf_max(top, vf_abs(vf_load(x + i)));
    return vf_top(top);
}

/* 16 columns to words in the quads' order; their sum. */
WN_INLINE vi quantize_16(const float *x, vf inverse, int16_t *q)
{
    const vi a = vi_from_f32(vf_mul(vf_load(x), inverse));
#if WN_LANES == 16
    const __m256i words = _mm512_cvtsepi32_epi16(a);
    const vi sum = a;
#else
    const vi b = vi_from_f32(vf_mul(vf_load(x + 8), inverse));
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    const vi sum = _mm256_add_epi32(a, b);
#endif
    const __m256i turned = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(words, 0xd8), 0xd8);
    _mm256_storeu_si256((__m256i *)(void *)q, turned);
    return sum;
}

/* n <= 256 columns, a multiple of 32. Not-a-number and infinity have no integers: such a block gets
 * scale NaN, so that they show in the results. */
static void simd_quantize(const float *x, size_t n, float limit, wn_x_block *out)
{
    const float top = block_top(x, n);
    vf zero_if_finite = vf_zero();
    for (size_t i = 0; i < n; i += WN_LANES)
        zero_if_finite = vf_add(zero_if_finite, vf_mul(vf_load(x + i), vf_zero()));
    const float spoiled = vf_sum(zero_if_finite);
    const float usable = top > 0 && spoiled == 0 ? top : 1;
    const vf inverse = vf_set1(usable < 1e-30f ? 0 : limit / usable);
    for (size_t g = 0; g < n / WN_GROUP; g++) {
        const vi low = quantize_16(x + 32 * g, inverse, out->q + 32 * g);
        const vi high = quantize_16(x + 32 * g + 16, inverse, out->q + 32 * g + 16);
        out->sum[g] = spoiled == 0 ? vi_total(vi_add(low, high)) : 0;
        out->float_sum[g] = (float)out->sum[g];
    }
    out->scale = usable / limit + spoiled;
}

#endif
#endif
