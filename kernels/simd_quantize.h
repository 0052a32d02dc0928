/* Activations as integers, in blocks of up to 256 columns.
 *
 * 16 bits: one scale, x = scale * q, |q| <= limit. The limit follows from the sums that have to fit
 * 32 bits (kernel_table.h); rounding is 2^-12 or 2^-16 of the block's largest magnitude, against
 * 2^-8 of the usual 8 bits. Within each quad of columns the order is 0, 2, 1, 3 (packed_weights.h).
 * 8 bits: a scale per 32 columns, |q| <= 127.
 */
#ifndef WN_KERNELS_SIMD_QUANTIZE_H
#define WN_KERNELS_SIMD_QUANTIZE_H

#include "kernels/simd.h"
#ifdef WN_LANES

#include <string.h>

#include "kernels/kernel_table.h"
#include "kernels/packed_weights.h"

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

/* What n columns are multiplied by to become words, and the scale that undoes it. Not-a-number and
 * infinity have no integers: such columns get scale NaN, so that they show in the results. */
WN_INLINE vf word_inverse(const float *x, size_t n, float limit, float *scale)
{
    const float top = block_top(x, n);
    vf zero_if_finite = vf_zero();
    for (size_t i = 0; i < n; i += WN_LANES)
        zero_if_finite = vf_add(zero_if_finite, vf_mul(vf_load(x + i), vf_zero()));
    const float spoiled = vf_sum(zero_if_finite);
    const float usable = top > 0 && spoiled == 0 ? top : 1;
    *scale = usable / limit + spoiled;
    return vf_set1(usable < 1e-30f ? 0 : limit / usable);
}

/* n <= 256 columns, a multiple of 32. */
static void simd_quantize(const float *x, size_t n, float limit, wn_x_block *out)
{
    const vf inverse = word_inverse(x, n, limit, &out->scale);
    const bool finite = out->scale == out->scale;
    for (size_t g = 0; g < n / WN_GROUP; g++) {
        const vi low = quantize_16(x + 32 * g, inverse, out->q + 32 * g);
        const vi high = quantize_16(x + 32 * g + 16, inverse, out->q + 32 * g + 16);
        out->sum[g] = finite ? vi_total(vi_add(low, high)) : 0;
        out->float_sum[g] = (float)out->sum[g];
    }
}

/* 32 columns to bytes; in sums those of 16. */
WN_INLINE void quantize_32(const float *x, vf inverse, int8_t *q, int sums[2])
{
    vi v[32 / WN_LANES];
    WN_UNROLL
    for (size_t i = 0; i < 32 / WN_LANES; i++)
        v[i] = vi_from_f32(vf_mul(vf_load(x + WN_LANES * i), inverse));
#if WN_LANES == 16
    const __m256i bytes =
        _mm256_set_m128i(_mm512_cvtsepi32_epi8(v[1]), _mm512_cvtsepi32_epi8(v[0]));
#else /* packs work within halves of 128 bits: dwords 0, 4, 1, 5, ... put them in order */
    const vi low = _mm256_packs_epi32(v[0], v[1]), high = _mm256_packs_epi32(v[2], v[3]);
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                                      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
#endif
    _mm256_storeu_si256((__m256i *)(void *)q, bytes);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    __m256i sum = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0xb1));
    sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0x4e));
    sums[0] = _mm256_extract_epi32(sum, 0);
    sums[1] = _mm256_extract_epi32(sum, 4);
}

/* A group of 32 columns to 8 bits, x = *scale * q; the sums of q of 16 columns each. One with a
 * value that is not finite gets scale NaN and sums of 0. */
WN_INLINE void quantize_byte_group(const float *x, int8_t *q, float *scale, int sums[2])
{
    vf top = vf_zero(), zero_if_finite = vf_zero();
    WN_UNROLL
    for (size_t i = 0; i < 32; i += WN_LANES) {
        top = vf_max(top, vf_abs(vf_load(x + i)));
        zero_if_finite = vf_add(zero_if_finite, vf_mul(vf_load(x + i), vf_zero()));
    }
    const float most = vf_top(top), spoiled = vf_sum(zero_if_finite);
    const float usable = most > 0 && spoiled == 0 ? most : 1;
    quantize_32(x, vf_set1(usable < 1e-30f ? 0 : 127 / usable), q, sums);
    *scale = usable / 127 + spoiled;
    if (spoiled != 0) /* NaN */
        sums[0] = sums[1] = 0;
}

/* n <= 256 columns, a multiple of 32. */
static inline void simd_quantize_bytes(const float *x, size_t n, wn_x_block *out)
{
    for (size_t g = 0; g < n / WN_GROUP; g++) {
        int sums[2];
        quantize_byte_group(x + 32 * g, out->bytes + 32 * g, out->scales + g, sums);
        out->half_sums[g][0] = (int16_t)sums[0];
        out->half_sums[g][1] = (int16_t)sums[1];
        out->sum[g] = sums[0] + sums[1];
        out->float_sum[g] = out->scales[g] * (float)out->sum[g];
    }
    out->scale = 1;
}

#endif
#endif
