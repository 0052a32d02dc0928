/* Rows of weights as vectors of f32: each block is read once and dequantised in registers. The
 * values go to a sink: products with rows of activations (simd_gemv.h) or memory (simd_gemm.h).
 */
#ifndef WN_KERNELS_SIMD_WEIGHTS_H
#define WN_KERNELS_SIMD_WEIGHTS_H

#include "kernels/simd.h"
#ifdef WN_LANES

#include "kernels/dequant_block.h"

/* Where a row's values go: into m products with rows of x (from x, x_stride floats apart), or, when
 * m is 0, into memory. A compile-time choice: m is a constant wherever these functions are inlined.
 */
typedef struct weight_sink {
    vf (*acc)[2];
    const float *x;
    size_t x_stride;
    float *out;
} weight_sink;

/* Elements k .. k + NR of the row. acc[j] takes w0 and w1 in turn. */
WN_INLINE void sink_put(const weight_sink *s, size_t k, vf w0, vf w1, const int m)
{
    if (m == 0) {
        vf_store(s->out + k, w0);
        vf_store(s->out + k + WN_LANES, w1);
    }
    WN_UNROLL
    for (int j = 0; j < m; j++) {
        const float *x = s->x + (size_t)j * s->x_stride + k;
        s->acc[j][0] = vf_fma(w0, vf_load(x), s->acc[j][0]);
        s->acc[j][1] = vf_fma(w1, vf_load(x + WN_LANES), s->acc[j][1]);
    }
}

/* The last n < NR elements of a row of a plain type, already f32. */
WN_INLINE void sink_put_tail(const weight_sink *s, size_t k, const float *w, size_t n, const int m)
{
    float w_pad[WN_NR] = {0}, x_pad[WN_NR] = {0};
    memcpy(w_pad, w, n * sizeof(float));
    if (m == 0)
        memcpy(s->out + k, w, n * sizeof(float));
    for (int j = 0; j < m; j++) {
        memcpy(x_pad, s->x + (size_t)j * s->x_stride + k, n * sizeof(float));
        const weight_sink one = {s->acc + j, x_pad, 0, NULL};
        sink_put(&one, 0, vf_load(w_pad), vf_load(w_pad + WN_LANES), 1);
    }
}

#define WN_WEIGHT_ROW(type)                                                                        \
    WN_INLINE void weight_row_##type(const weight_sink *s, const uint8_t *b, size_t n, const int m)

/* F32, F16 and BF16: vectors by `load`, then a tail of any length. */
WN_INLINE vf vf_load_f32(const uint8_t *p)
{
    float pad[WN_LANES];
    memcpy(pad, p, sizeof pad); /* files do not promise alignment; compiles to one load */
    return vf_load(pad);
}

#define WN_WEIGHT_PLAIN(TYPE, load, size)                                                          \
    WN_WEIGHT_ROW(TYPE)                                                                            \
    {                                                                                              \
        size_t k = 0;                                                                              \
        for (; k + WN_NR <= n; k += WN_NR)                                                         \
            sink_put(s, k, load(b + k * (size)), load(b + (k + WN_LANES) * (size)), m);            \
        if (k < n) {                                                                               \
            float tail[WN_NR];                                                                     \
            wn_dequant_run(WN_DTYPE_##TYPE, b + k * (size), tail, n - k);                          \
            sink_put_tail(s, k, tail, n - k, m);                                                   \
        }                                                                                          \
    }
WN_WEIGHT_PLAIN(F32, vf_load_f32, 4)
WN_WEIGHT_PLAIN(F16, vf_load_f16, 2)
WN_WEIGHT_PLAIN(BF16, vf_load_bf16, 2)

WN_WEIGHT_ROW(Q8_0)
{
    for (size_t k = 0; k < n; k += 32, b += 34) {
        const vf d = vf_set1(wn_f16_to_f32(wn_load_u16(b)));
        WN_UNROLL
        for (size_t i = 0; i < 32; i += WN_NR)
            sink_put(s, k + i, vf_mul(d, vi_to_f32(vi_load_i8(b + 2 + i))),
                     vf_mul(d, vi_to_f32(vi_load_i8(b + 2 + i + WN_LANES))), m);
    }
}

/* 16 bytes of nibbles at q: low ones are elements 0-15, high ones 16-31; d (nibble - offset) + low.
 */
WN_INLINE void put_nibbles(const weight_sink *s, size_t k, const uint8_t *q, float d, int offset,
                           float low, const int m)
{
    const vf scale = vf_set1(d), base = vf_set1(low);
    vf w[32 / WN_LANES];
    WN_UNROLL
    for (size_t i = 0; i < 16; i += WN_LANES) {
        const vi v = vi_load_u8(q + i);
        w[i / WN_LANES] = vf_fma(scale, vi_to_f32(vi_sub(vi_and(v, 15), offset)), base);
        w[(16 + i) / WN_LANES] =
            vf_fma(scale, vi_to_f32(vi_sub(vi_shift_right(v, 4), offset)), base);
    }
    WN_UNROLL
    for (size_t i = 0; i < 32; i += WN_NR)
        sink_put(s, k + i, w[i / WN_LANES], w[i / WN_LANES + 1], m);
}

WN_WEIGHT_ROW(Q4_0)
{
    for (size_t k = 0; k < n; k += 32, b += 18)
        put_nibbles(s, k, b + 2, wn_f16_to_f32(wn_load_u16(b)), 8, 0.0f, m);
}

WN_WEIGHT_ROW(Q4_1)
{
    for (size_t k = 0; k < n; k += 32, b += 20)
        put_nibbles(s, k, b + 4, wn_f16_to_f32(wn_load_u16(b)), 0,
                    wn_f16_to_f32(wn_load_u16(b + 2)), m);
}

/* 8 bytes times f, as f32 to memory: from there a broadcast is one load. Both instruction sets have
 * 256-bit vectors; left to the compiler these conversions become scalar ones. */
WN_INLINE void scale_u8(uint64_t bytes, float f, float out[8])
{
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)bytes));
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_set1_ps(f), _mm256_cvtepi32_ps(wide)));
}

WN_INLINE void scale_i8(const uint8_t *bytes, float f, float out[8])
{
    const __m128i narrow = _mm_loadl_epi64((const __m128i *)(const void *)bytes);
    const __m256 values = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(narrow));
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_set1_ps(f), values));
}

/* As wn_kquant_scales, with the mins negated. */
WN_INLINE void kquant_scales(const uint8_t *head, float scale[8], float minus_min[8])
{
    uint64_t scale_bytes = 0, min_bytes = 0;
    wn_kquant_scale_bytes(head, &scale_bytes, &min_bytes);
    scale_u8(scale_bytes, wn_f16_to_f32(wn_load_u16(head)), scale);
    scale_u8(min_bytes, -wn_f16_to_f32(wn_load_u16(head + 2)), minus_min);
}

/* Each 32 bytes: low nibbles are one sub-block of 32, high nibbles the next. */
WN_WEIGHT_ROW(Q4_K)
{
    for (size_t k = 0; k < n; k += WN_QK, b += 144) {
        float scale[8], minus_min[8];
        kquant_scales(b, scale, minus_min);
        for (size_t j = 0; j < 4; j++) {
            const vf s0 = vf_set1(scale[2 * j]), s1 = vf_set1(scale[2 * j + 1]);
            const vf m0 = vf_set1(minus_min[2 * j]), m1 = vf_set1(minus_min[2 * j + 1]);
            const uint8_t *q = b + 16 + 32 * j;
            WN_UNROLL
            for (size_t i = 0; i < 32; i += WN_NR) {
                const vi v0 = vi_load_u8(q + i), v1 = vi_load_u8(q + i + WN_LANES);
                sink_put(s, k + 64 * j + i, vf_fma(s0, vi_to_f32(vi_and(v0, 15)), m0),
                         vf_fma(s0, vi_to_f32(vi_and(v1, 15)), m0), m);
                sink_put(s, k + 64 * j + 32 + i, vf_fma(s1, vi_to_f32(vi_shift_right(v0, 4)), m1),
                         vf_fma(s1, vi_to_f32(vi_shift_right(v1, 4)), m1), m);
            }
        }
    }
}

/* LANES elements of sub-block 2 j + odd of Q5_K. */
WN_INLINE vf q5_k_vector(const uint8_t *low, const uint8_t *high, const int j, const int odd,
                         float scale, float minus_min)
{
    const vi l = vi_load_u8(low), h = vi_load_u8(high);
    const vi four = odd ? vi_shift_right(l, 4) : vi_and(l, 15);
    const vi fifth = vi_shift_left(vi_and(vi_shift_right(h, 2 * j + odd), 1), 4);
    return vf_fma(vf_set1(scale), vi_to_f32(vi_or(four, fifth)), vf_set1(minus_min));
}

WN_INLINE void q5_k_pair(const weight_sink *s, size_t k, const uint8_t *low, const uint8_t *high,
                         const int j, const float *scale, const float *minus_min, const int m)
{
    WN_UNROLL
    for (int odd = 0; odd < 2; odd++)
        for (size_t i = 0; i < 32; i += WN_NR)
            sink_put(s, k + 32 * (size_t)odd + i,
                     q5_k_vector(low + i, high + i, j, odd, scale[odd], minus_min[odd]),
                     q5_k_vector(low + i + WN_LANES, high + i + WN_LANES, j, odd, scale[odd],
                                 minus_min[odd]),
                     m);
}

WN_WEIGHT_ROW(Q5_K)
{
    for (size_t k = 0; k < n; k += WN_QK, b += 176) {
        float scale[8], minus_min[8];
        kquant_scales(b, scale, minus_min);
        q5_k_pair(s, k, b + 48, b + 16, 0, scale, minus_min, m);
        q5_k_pair(s, k + 64, b + 80, b + 16, 1, scale + 2, minus_min + 2, m);
        q5_k_pair(s, k + 128, b + 112, b + 16, 2, scale + 4, minus_min + 4, m);
        q5_k_pair(s, k + 192, b + 144, b + 16, 3, scale + 6, minus_min + 6, m);
    }
}

/* LANES elements of quarter `part` (0-3) of a half block: 4 low bits from `low`, 2 from `high`. */
WN_INLINE vf q6_k_vector(const uint8_t *low, const uint8_t *high, const int part, float scale)
{
    const vi l = vi_load_u8(low), h = vi_load_u8(high);
    const vi four = part < 2 ? vi_and(l, 15) : vi_shift_right(l, 4);
    const vi two = vi_shift_left(vi_and(vi_shift_right(h, 2 * part), 3), 4);
    return vf_mul(vf_set1(scale), vi_to_f32(vi_sub(vi_or(four, two), 32)));
}

WN_INLINE void q6_k_quarter(const weight_sink *s, size_t k, const uint8_t *low, const uint8_t *high,
                            const int part, const float *scale, const int m)
{
    WN_UNROLL
    for (size_t i = 0; i < 32; i += WN_NR)
        sink_put(
            s, k + i, q6_k_vector(low + i, high + i, part, scale[i / 16]),
            q6_k_vector(low + i + WN_LANES, high + i + WN_LANES, part, scale[(i + WN_LANES) / 16]),
            m);
}

WN_WEIGHT_ROW(Q6_K)
{
    for (size_t k = 0; k < n; k += WN_QK, b += 210) {
        const float d = wn_f16_to_f32(wn_load_u16(b + 208));
        float scale[16];
        scale_i8(b + 192, d, scale);
        scale_i8(b + 200, d, scale + 8);
        for (size_t half = 0; half < 2; half++) {
            const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half;
            const float *sc = scale + 8 * half;
            q6_k_quarter(s, k + 128 * half, low, high, 0, sc, m);
            q6_k_quarter(s, k + 128 * half + 32, low + 32, high, 1, sc + 2, m);
            q6_k_quarter(s, k + 128 * half + 64, low, high, 2, sc + 4, m);
            q6_k_quarter(s, k + 128 * half + 96, low + 32, high, 3, sc + 6, m);
        }
    }
}

/* X(type) for every type with a weight_row. */
#define WN_WEIGHT_TYPES(X) X(F32) X(F16) X(BF16) X(Q8_0) X(Q4_0) X(Q4_1) X(Q4_K) X(Q5_K) X(Q6_K)

/* n elements to memory. With fused multiply-add: within 1 ulp of wn_dequant_run, and exactly what
 * the products see. */
static void weight_row_store(wn_dtype type, const uint8_t *b, size_t n, float *out)
{
    const weight_sink s = {.out = out};
#define WN_STORE_CASE(TYPE)                                                                        \
    case WN_DTYPE_##TYPE:                                                                          \
        weight_row_##TYPE(&s, b, n, 0);                                                            \
        break;
    switch (type) {
        WN_WEIGHT_TYPES(WN_STORE_CASE)
    case WN_DTYPE_I32:
    case WN_DTYPE_I64:
    case WN_DTYPE_COUNT:
        break;
    }
#undef WN_STORE_CASE
}

#endif
#endif
