/* AVX-512 (F, BW, DQ, VL, VNNI) vectors; see simd.h. */
#ifndef WN_KERNELS_SIMD_AVX512_H
#define WN_KERNELS_SIMD_AVX512_H
#ifdef __AVX512F__

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define WN_LANES 16
#define WN_MR 14 /* 28 accumulators, 2 columns, 1 broadcast of 32 registers */
#ifdef __AVX512BF16__
#define WN_TABLE_NAME "avx512bf16"
#else
#define WN_TABLE_NAME "avx512"
#endif

typedef __m512 vf;
typedef __m512i vi;

static inline __mmask16 vf_mask(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}
static inline vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}
static inline vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline vf vf_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(vf_mask(n), p);
}
static inline void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
static inline void vf_store_n(float *p, size_t n, vf x)
{
    _mm512_mask_storeu_ps(p, vf_mask(n), x);
}
static inline vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
/* 1 / a, relative error 2^-14. */
static inline vf vf_reciprocal_14(vf a)
{
    return _mm512_rcp14_ps(a);
}
static inline vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c) /* a b + c */
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c) /* c - a b */
{
    return _mm512_fnmadd_ps(a, b, c);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
static inline vf vf_abs(vf a)
{
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a);
}
static inline vf vf_round(vf a) /* to nearest even */
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf vf_select_negative(vf sign, vf negative, vf other)
{
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(sign)), other, negative);
}
static inline float vf_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
/* out[i] = sum of a[i] */
static inline void vf_sum4(const vf a[4], float *out)
{
    __m256 h[4];
    for (int i = 0; i < 4; i++)
        h[i] = _mm256_add_ps(_mm512_castps512_ps256(a[i]), _mm512_extractf32x8_ps(a[i], 1));
    const __m256 t0 = _mm256_add_ps(_mm256_unpacklo_ps(h[0], h[1]), _mm256_unpackhi_ps(h[0], h[1]));
    const __m256 t1 = _mm256_add_ps(_mm256_unpacklo_ps(h[2], h[3]), _mm256_unpackhi_ps(h[2], h[3]));
    const __m256 u =
        _mm256_add_ps(_mm256_shuffle_ps(t0, t1, 0x44), _mm256_shuffle_ps(t0, t1, 0xee));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(u), _mm256_extractf128_ps(u, 1)));
}
static inline float vf_top(vf a)
{
    return _mm512_reduce_max_ps(a);
}
/* Lane i: bit i of `bits` ? yes : no. */
static inline vf vf_choose(unsigned bits, vf yes, vf no)
{
    return _mm512_mask_blend_ps((__mmask16)bits, no, yes);
}
static inline int vf_any_above(vf a, vf limit)
{
    return _mm512_cmp_ps_mask(a, limit, _CMP_GT_OQ) != 0;
}
/* The low 8 bits of the representation as the exponent of a float. */
static inline vf vf_exponent(vf a)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}
/* 2^n for whole n in -127 .. 127; -127 gives 0. */
static inline vf vf_pow2(vf n)
{
    const vi biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}

static inline vi vi_load_u8(const uint8_t *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline vi vi_load_i8(const uint8_t *p)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline vi vi_and(vi a, int bits)
{
    return _mm512_and_si512(a, _mm512_set1_epi32(bits));
}
static inline vi vi_or(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}
static inline vi vi_sub(vi a, int b)
{
    return _mm512_sub_epi32(a, _mm512_set1_epi32(b));
}
#define vi_shift_right(a, bits) _mm512_srli_epi32((a), (unsigned)(bits))
#define vi_shift_left(a, bits) _mm512_slli_epi32((a), (unsigned)(bits))
static inline vf vi_to_f32(vi a)
{
    return _mm512_cvtepi32_ps(a);
}
static inline vi vi_from_f32(vf a) /* to nearest even */
{
    return _mm512_cvtps_epi32(a);
}
static inline vi vi_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
static inline void vi_store(void *p, vi a)
{
    _mm512_storeu_si512(p, a);
}
static inline vi vi_set1(int a)
{
    return _mm512_set1_epi32(a);
}
static inline vi vi_add(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}
static inline int vi_total(vi a)
{
    return _mm512_reduce_add_epi32(a);
}
/* Per lane: acc + a.low b.low + a.high b.high of signed 16-bit halves. */
static inline vi vi_dot16(vi acc, vi a, vi b)
{
    return _mm512_dpwssd_epi32(acc, a, b);
}
static inline vi vi_sub16(vi a, vi b)
{
    return _mm512_sub_epi16(a, b);
}
static inline vi vi_mul16(vi a, vi b)
{
    return _mm512_mullo_epi16(a, b);
}
/* a b / 2^15, rounded */
static inline vi vi_mul16_fraction(vi a, vi b)
{
    return _mm512_mulhrs_epi16(a, b);
}
#ifdef __clang__
#define WN_COUNT(bits) (unsigned)(bits) /* compilers differ in the type of this argument */
#else
#define WN_COUNT(bits) (bits)
#endif
#define vi_shift_right16(a, bits) _mm512_srli_epi16((a), WN_COUNT(bits))
#define vi_shift_left16(a, bits) _mm512_slli_epi16((a), WN_COUNT(bits))
static inline vf vf_load_f16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vi vi_load_u16(const uint8_t *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vf vf_load_bf16(const uint8_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(vi_load_u16(p), 16));
}

static inline vf vf_unpack_pd(vf a, vf b, int high)
{
    const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(x, y) : _mm512_unpacklo_pd(x, y));
}

/* 16 x 16 in place: pairs, quads, then 128-bit lanes. */
static inline __attribute__((always_inline)) void vf_transpose(vf r[16])
{
    vf t[16];
    WN_UNROLL
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    WN_UNROLL
    for (int i = 0; i < 16; i += 4) {
        r[i] = vf_unpack_pd(t[i], t[i + 2], 0);
        r[i + 1] = vf_unpack_pd(t[i], t[i + 2], 1);
        r[i + 2] = vf_unpack_pd(t[i + 1], t[i + 3], 0);
        r[i + 3] = vf_unpack_pd(t[i + 1], t[i + 3], 1);
    }
    WN_UNROLL
    for (int j = 0; j < 4; j++) {
        t[j] = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88);
        t[4 + j] = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xdd);
        t[8 + j] = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88);
        t[12 + j] = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xdd);
    }
    WN_UNROLL
    for (int j = 0; j < 4; j++) {
        r[j] = _mm512_shuffle_f32x4(t[j], t[8 + j], 0x88);
        r[4 + j] = _mm512_shuffle_f32x4(t[4 + j], t[12 + j], 0x88);
        r[8 + j] = _mm512_shuffle_f32x4(t[j], t[8 + j], 0xdd);
        r[12 + j] = _mm512_shuffle_f32x4(t[4 + j], t[12 + j], 0xdd);
    }
}

#endif
#endif
