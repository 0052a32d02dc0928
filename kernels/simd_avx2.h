/* AVX2 + FMA + F16C vectors; see simd.h. */
#ifndef WN_KERNELS_SIMD_AVX2_H
#define WN_KERNELS_SIMD_AVX2_H
#ifdef __AVX2__

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define WN_LANES 8
#define WN_MR 6 /* 12 accumulators, 2 columns, 1 broadcast of 16 registers */
#define WN_TABLE_NAME "avx2"

typedef __m256 vf;
typedef __m256i vi;

static inline __m256i vf_mask(size_t n)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - n));
}
static inline vf vf_set1(float x)
{
    return _mm256_set1_ps(x);
}
static inline vf vf_zero(void)
{
    return _mm256_setzero_ps();
}
static inline vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline vf vf_load_n(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, vf_mask(n));
}
static inline void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}
static inline void vf_store_n(float *p, size_t n, vf x)
{
    _mm256_maskstore_ps(p, vf_mask(n), x);
}
static inline vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
/* 1 / a, relative error 2^-14 or less. */
static inline vf vf_reciprocal_14(vf a)
{
    return _mm256_div_ps(_mm256_set1_ps(1.0f), a);
}
static inline vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c) /* a b + c */
{
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c) /* c - a b */
{
    return _mm256_fnmadd_ps(a, b, c);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
static inline vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
static inline vf vf_round(vf a) /* to nearest even */
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf vf_select_negative(vf sign, vf negative, vf other)
{
    return _mm256_blendv_ps(other, negative, sign);
}
static inline float vf_sum(vf a)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
/* out[i] = sum of a[i] */
static inline void vf_sum4(const vf a[4], float *out)
{
    const vf t0 = _mm256_add_ps(_mm256_unpacklo_ps(a[0], a[1]), _mm256_unpackhi_ps(a[0], a[1]));
    const vf t1 = _mm256_add_ps(_mm256_unpacklo_ps(a[2], a[3]), _mm256_unpackhi_ps(a[2], a[3]));
    const vf u = _mm256_add_ps(_mm256_shuffle_ps(t0, t1, 0x44), _mm256_shuffle_ps(t0, t1, 0xee));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(u), _mm256_extractf128_ps(u, 1)));
}
static inline float vf_top(vf a)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
/* Lane i: bit i of `bits` ? yes : no. */
static inline vf vf_choose(unsigned bits, vf yes, vf no)
{
    const vi lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const vi set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), lane), lane);
    return _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(set));
}
static inline int vf_any_above(vf a, vf limit)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(a, limit, _CMP_GT_OQ)) != 0;
}
/* The low 8 bits of the representation as the exponent of a float. */
static inline vf vf_exponent(vf a)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}
/* 2^n for whole n in -127 .. 127; -127 gives 0. */
static inline vf vf_pow2(vf n)
{
    const vi biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

static inline vi vi_load_u8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
static inline vi vi_load_i8(const uint8_t *p)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
static inline vi vi_and(vi a, int bits)
{
    return _mm256_and_si256(a, _mm256_set1_epi32(bits));
}
static inline vi vi_or(vi a, vi b)
{
    return _mm256_or_si256(a, b);
}
static inline vi vi_sub(vi a, int b)
{
    return _mm256_sub_epi32(a, _mm256_set1_epi32(b));
}
#define vi_shift_right(a, bits) _mm256_srli_epi32((a), (bits))
#define vi_shift_left(a, bits) _mm256_slli_epi32((a), (bits))
static inline vf vi_to_f32(vi a)
{
    return _mm256_cvtepi32_ps(a);
}
static inline vi vi_from_f32(vf a) /* to nearest even */
{
    return _mm256_cvtps_epi32(a);
}
static inline vi vi_load(const void *p)
{
    return _mm256_loadu_si256(p);
}
static inline void vi_store(void *p, vi a)
{
    _mm256_storeu_si256(p, a);
}
static inline vi vi_set1(int a)
{
    return _mm256_set1_epi32(a);
}
static inline vi vi_add(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}
static inline int vi_total(vi a)
{
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}
/* Per lane: acc + a.low b.low + a.high b.high of signed 16-bit halves. */
static inline vi vi_dot16(vi acc, vi a, vi b)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
}
static inline vi vi_sub16(vi a, vi b)
{
    return _mm256_sub_epi16(a, b);
}
static inline vi vi_mul16(vi a, vi b)
{
    return _mm256_mullo_epi16(a, b);
}
/* a b / 2^15, rounded */
static inline vi vi_mul16_fraction(vi a, vi b)
{
    return _mm256_mulhrs_epi16(a, b);
}
#define vi_shift_right16(a, bits) _mm256_srli_epi16((a), (bits))
#define vi_shift_left16(a, bits) _mm256_slli_epi16((a), (bits))
static inline vf vf_load_f16(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline vi vi_load_u16(const uint8_t *p)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline vf vf_load_bf16(const uint8_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(vi_load_u16(p), 16));
}

static inline vf vf_unpack_pd(vf a, vf b, int high)
{
    const __m256d x = _mm256_castps_pd(a), y = _mm256_castps_pd(b);
    return _mm256_castpd_ps(high ? _mm256_unpackhi_pd(x, y) : _mm256_unpacklo_pd(x, y));
}

/* 8 x 8 in place: pairs, quads, then 128-bit lanes. */
static inline __attribute__((always_inline)) void vf_transpose(vf r[8])
{
    vf t[8];
    WN_UNROLL
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    WN_UNROLL
    for (int i = 0; i < 8; i += 4) {
        r[i] = vf_unpack_pd(t[i], t[i + 2], 0);
        r[i + 1] = vf_unpack_pd(t[i], t[i + 2], 1);
        r[i + 2] = vf_unpack_pd(t[i + 1], t[i + 3], 0);
        r[i + 3] = vf_unpack_pd(t[i + 1], t[i + 3], 1);
    }
    WN_UNROLL
    for (int j = 0; j < 4; j++) {
        t[j] = r[j];
        r[j] = _mm256_permute2f128_ps(t[j], r[4 + j], 0x20);
        r[4 + j] = _mm256_permute2f128_ps(t[j], r[4 + j], 0x31);
    }
}

#endif
#endif
