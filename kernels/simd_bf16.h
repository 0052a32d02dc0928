/* Pairs of bf16 in the lanes of a vector: rounding, widening, and the order of columns that packed
 * weights have. */
#ifndef WN_KERNELS_SIMD_BF16_H
#define WN_KERNELS_SIMD_BF16_H

#include "kernels/simd.h"
#ifdef WN_LANES

#if WN_LANES == 16

/* a then b as 32 bf16, to nearest even. */
WN_INLINE vi vf_to_bf16(vf a, vf b)
{
#ifdef __AVX512BF16__
    return (__m512i)_mm512_cvtne2ps_pbh(b, a);
#else
#error "no AVX-512 table without BF16 uses this"
#endif
}
/* The first and the second half of the 16-bit words, unsigned, as 32 bits. */
WN_INLINE vi vi_widen_low(vi a)
{
    return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(a));
}
WN_INLINE vi vi_widen_high(vi a)
{
    return _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(a, 1));
}
/* Lanes 0 0 1 1 2 2 ..; the same of the second half. */
WN_INLINE vf vf_twice_low(vf a)
{
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
                                 a);
}
WN_INLINE vf vf_twice_high(vf a)
{
    return _mm512_permutexvar_ps(
        _mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15), a);
}
/* Words of each quad in the order 0, 2, 1, 3. */
WN_INLINE vi vi_turn_quads(vi a)
{
    return _mm512_shufflehi_epi16(_mm512_shufflelo_epi16(a, 0xd8), 0xd8);
}
/* The four bits from bit `at` on of even lanes, and from 16 + at on of odd ones. */
WN_INLINE vf vi_nibbles_to_f32(vi a, int at)
{
    const vi by = _mm512_set1_epi64(((long long)(at + 16) << 32) | at);
    return _mm512_permutexvar_ps(
        _mm512_srlv_epi32(a, by),
        _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}
WN_INLINE vf vi_as_f32(vi a)
{
    return _mm512_castsi512_ps(a);
}
WN_INLINE vi vf_as_int(vf a)
{
    return _mm512_castps_si512(a);
}

/* 16 elements as bf16, words of each quad turned. */
WN_INLINE void store_turned_16(uint16_t *to, const vf h[1])
{
    _mm256_storeu_si256((__m256i *)(void *)to,
                        _mm512_castsi512_si256(vi_turn_quads(vf_to_bf16(h[0], h[0]))));
}
/* Words of a and b by turns: of the first four words of each eight, and of the others. */
WN_INLINE vi vi_weave_low16(vi a, vi b)
{
    return _mm512_unpacklo_epi16(a, b);
}
WN_INLINE vi vi_weave_high16(vi a, vi b)
{
    return _mm512_unpackhi_epi16(a, b);
}
/* Quads of words of the first and of the second half by turns. */
WN_INLINE vi vi_weave_quads(vi a)
{
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), a);
}

#else

WN_INLINE vi round_to_bf16(vf x)
{
    const vi bits = _mm256_castps_si256(x), high = _mm256_srli_epi32(bits, 16);
    const vi half = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), vi_and(high, 1));
    const vi rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const vi nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, vi_or(high, vi_set1(0x40)), nan);
}
WN_INLINE vi vf_to_bf16(vf a, vf b)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(round_to_bf16(a), round_to_bf16(b)), 0xd8);
}
WN_INLINE vi vi_widen_low(vi a)
{
    return _mm256_cvtepu16_epi32(_mm256_castsi256_si128(a));
}
WN_INLINE vi vi_widen_high(vi a)
{
    return _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1));
}
WN_INLINE vf vf_twice_low(vf a)
{
    return _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}
WN_INLINE vf vf_twice_high(vf a)
{
    return _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
}
WN_INLINE vi vi_turn_quads(vi a)
{
    return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(a, 0xd8), 0xd8);
}
WN_INLINE vf vi_as_f32(vi a)
{
    return _mm256_castsi256_ps(a);
}
WN_INLINE vi vf_as_int(vf a)
{
    return _mm256_castps_si256(a);
}

WN_INLINE void store_turned_16(uint16_t *to, const vf h[2])
{
    vi_store(to, vi_turn_quads(vf_to_bf16(h[0], h[1])));
}
WN_INLINE vi vi_weave_low16(vi a, vi b)
{
    return _mm256_unpacklo_epi16(a, b);
}
WN_INLINE vi vi_weave_high16(vi a, vi b)
{
    return _mm256_unpackhi_epi16(a, b);
}
WN_INLINE vi vi_weave_quads(vi a)
{
    return _mm256_permute4x64_epi64(a, 0xd8);
}

#endif

/* What rounding to bf16 leaves of x: in bf16, too, it makes 16 bits of it. */
WN_INLINE vf vf_bf16_rest(vf x)
{
    return vf_sub(x, vi_as_f32(vi_shift_left(vi_widen_low(vf_to_bf16(x, x)), 16)));
}

/* Elements at .. at + LANES of n; those beyond are 0. */
WN_INLINE vf load_some(const float *x, size_t at, size_t n)
{
    if (at + WN_LANES <= n)
        return vf_load(x + at);
    return at < n ? vf_load_n(x + at, n - at) : vf_zero();
}

#endif
#endif
