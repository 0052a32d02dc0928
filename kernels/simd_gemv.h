/* Product of a few rows of activations with quantised weights: y[j] = w x[j], j < m.
 *
 * Memory-bound when m is small, so the blocks are read once, dequantised in registers and used for
 * up to four rows of x. Every row of x has two accumulators that take alternate vectors of the row,
 * so that its bits do not depend on m. Types without code of their own go through 256 f32 on the
 * stack.
 */
#ifndef WN_KERNELS_SIMD_GEMV_H
#define WN_KERNELS_SIMD_GEMV_H

#include "kernels/simd.h"
#ifdef WN_LANES

#include "kernels/dequant_block.h"
#include "kernels/kernel_table.h"

/* acc[j] += w0 x[j][0 .. LANES) and w1 x[j][LANES .. 2 LANES); x_stride between rows of x. */
WN_INLINE void gemv_step(vf (*acc)[2], vf w0, vf w1, const float *x, size_t x_stride, const int m)
{
    WN_UNROLL
    for (int j = 0; j < m; j++) {
        acc[j][0] = vf_fma(w0, vf_load(x + (size_t)j * x_stride), acc[j][0]);
        acc[j][1] = vf_fma(w1, vf_load(x + (size_t)j * x_stride + WN_LANES), acc[j][1]);
    }
}

/* The last n < WN_NR elements of a row of a plain type, already made f32. */
WN_INLINE void gemv_tail(vf (*acc)[2], const float *w, size_t n, const float *x, size_t x_stride,
                         const int m)
{
    float w_pad[WN_NR] = {0}, x_pad[WN_NR] = {0};
    memcpy(w_pad, w, n * sizeof(float));
    for (int j = 0; j < m; j++) {
        memcpy(x_pad, x + (size_t)j * x_stride, n * sizeof(float));
        gemv_step(acc + j, vf_load(w_pad), vf_load(w_pad + WN_LANES), x_pad, 0, 1);
    }
}

#define WN_GEMV_ROW(type)                                                                          \
    WN_INLINE void gemv_row_##type(vf(*acc)[2], const uint8_t *b, size_t n, const float *x,        \
                                   size_t x_stride, const int m)

/* F32, F16 and BF16: vectors of `load`, then a tail of any length. */
WN_INLINE vf vf_load_f32(const uint8_t *p)
{
    float pad[WN_LANES];
    memcpy(pad, p, sizeof pad); /* files do not promise alignment; compiles to one load */
    return vf_load(pad);
}

#define WN_GEMV_PLAIN(TYPE, load, size)                                                            \
    WN_GEMV_ROW(TYPE)                                                                              \
    {                                                                                              \
        size_t k = 0;                                                                              \
        for (; k + WN_NR <= n; k += WN_NR)                                                         \
            gemv_step(acc, load(b + k * (size)), load(b + (k + WN_LANES) * (size)), x + k,         \
                      x_stride, m);                                                                \
        if (k < n) {                                                                               \
            float tail[WN_NR];                                                                     \
            wn_dequant_run(WN_DTYPE_##TYPE, b + k * (size), tail, n - k);                          \
            gemv_tail(acc, tail, n - k, x + k, x_stride, m);                                       \
        }                                                                                          \
    }
WN_GEMV_PLAIN(F32, vf_load_f32, 4)
WN_GEMV_PLAIN(F16, vf_load_f16, 2)
WN_GEMV_PLAIN(BF16, vf_load_bf16, 2)

WN_GEMV_ROW(Q8_0)
{
    for (size_t k = 0; k < n; k += 32, b += 34) {
        const vf d = vf_set1(wn_f16_to_f32(wn_load_u16(b)));
        WN_UNROLL
        for (size_t i = 0; i < 32; i += WN_NR)
            gemv_step(acc, vf_mul(d, vi_to_f32(vi_load_i8(b + 2 + i))),
                      vf_mul(d, vi_to_f32(vi_load_i8(b + 2 + i + WN_LANES))), x + k + i, x_stride,
                      m);
    }
}

/* 16 bytes of nibbles: low ones are elements 0-15, high ones 16-31. */
WN_GEMV_ROW(Q4_1)
{
    for (size_t k = 0; k < n; k += 32, b += 20) {
        const vf d = vf_set1(wn_f16_to_f32(wn_load_u16(b)));
        const vf low = vf_set1(wn_f16_to_f32(wn_load_u16(b + 2)));
        vf w[32 / WN_LANES];
        WN_UNROLL
        for (size_t i = 0; i < 16; i += WN_LANES) {
            const vi q = vi_load_u8(b + 4 + i);
            w[i / WN_LANES] = vf_fma(d, vi_to_f32(vi_and(q, 15)), low);
            w[(16 + i) / WN_LANES] = vf_fma(d, vi_to_f32(vi_shift_right(q, 4)), low);
        }
        WN_UNROLL
        for (size_t i = 0; i < 32; i += WN_NR)
            gemv_step(acc, w[i / WN_LANES], w[i / WN_LANES + 1], x + k + i, x_stride, m);
    }
}

/* Each 32 bytes: low nibbles are one sub-block of 32, high nibbles the next. */
WN_GEMV_ROW(Q4_K)
{
    for (size_t k = 0; k < n; k += WN_QK, b += 144) {
        float scale[8], min[8];
        wn_kquant_scales(b, scale, min);
        for (size_t j = 0; j < 4; j++) {
            const vf s0 = vf_set1(scale[2 * j]), s1 = vf_set1(scale[2 * j + 1]);
            const vf m0 = vf_set1(-min[2 * j]), m1 = vf_set1(-min[2 * j + 1]);
            const uint8_t *q = b + 16 + 32 * j;
            const float *xj = x + k + 64 * j;
            WN_UNROLL
            for (size_t i = 0; i < 32; i += WN_NR) {
                const vi a = vi_load_u8(q + i), c = vi_load_u8(q + i + WN_LANES);
                gemv_step(acc, vf_fma(s0, vi_to_f32(vi_and(a, 15)), m0),
                          vf_fma(s0, vi_to_f32(vi_and(c, 15)), m0), xj + i, x_stride, m);
                gemv_step(acc, vf_fma(s1, vi_to_f32(vi_shift_right(a, 4)), m1),
                          vf_fma(s1, vi_to_f32(vi_shift_right(c, 4)), m1), xj + 32 + i, x_stride,
                          m);
            }
        }
    }
}

/* LANES elements of quarter `part` (0-3) of a half block: 4 low bits from `low`, 2 from `high`. */
WN_INLINE vf q6_k_vector(const uint8_t *low, const uint8_t *high, const int part, float scale)
{
    const vi l = vi_load_u8(low), h = vi_load_u8(high);
    const vi low_bits = part < 2 ? vi_and(l, 15) : vi_shift_right(l, 4);
    const vi high_bits = part < 2 ? vi_shift_left(vi_and(h, 3 << (2 * part)), 4 - 2 * part)
                                  : vi_shift_right(vi_and(h, 3 << (2 * part)), 2 * part - 4);
    return vf_mul(vf_set1(scale), vi_to_f32(vi_sub(vi_or(low_bits, high_bits), 32)));
}

WN_INLINE void q6_k_quarter(vf (*acc)[2], const uint8_t *low, const uint8_t *high, const int part,
                            const float *scale, const float *x, size_t x_stride, const int m)
{
    WN_UNROLL
    for (size_t i = 0; i < 32; i += WN_NR)
        gemv_step(
            acc, q6_k_vector(low + i, high + i, part, scale[i / 16]),
            q6_k_vector(low + i + WN_LANES, high + i + WN_LANES, part, scale[(i + WN_LANES) / 16]),
            x + i, x_stride, m);
}

WN_GEMV_ROW(Q6_K)
{
    for (size_t k = 0; k < n; k += WN_QK, b += 210) {
        const float d = wn_f16_to_f32(wn_load_u16(b + 208));
        float scale[16];
        for (int i = 0; i < 16; i++)
            scale[i] = d * (float)(int8_t)b[192 + i];
        for (size_t half = 0; half < 2; half++) {
            const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half;
            const float *s = scale + 8 * half, *xh = x + k + 128 * half;
            q6_k_quarter(acc, low, high, 0, s, xh, x_stride, m);
            q6_k_quarter(acc, low + 32, high, 1, s + 2, xh + 32, x_stride, m);
            q6_k_quarter(acc, low, high, 2, s + 4, xh + 64, x_stride, m);
            q6_k_quarter(acc, low + 32, high, 3, s + 6, xh + 96, x_stride, m);
        }
    }
}

/* Q4_0 and Q5_K: a block at a time through the stack. */
#define WN_GEMV_BUFFERED(TYPE, function, elements, bytes)                                          \
    WN_GEMV_ROW(TYPE)                                                                              \
    {                                                                                              \
        for (size_t k = 0; k < n; k += (elements), b += (bytes)) {                                 \
            float w[elements];                                                                     \
            function(b, w);                                                                        \
            for (size_t i = 0; i < (elements); i += WN_NR)                                         \
                gemv_step(acc, vf_load(w + i), vf_load(w + i + WN_LANES), x + k + i, x_stride, m); \
        }                                                                                          \
    }
WN_GEMV_BUFFERED(Q4_0, wn_dequant_q4_0, 32, 18)
WN_GEMV_BUFFERED(Q5_K, wn_dequant_q5_k, WN_QK, 176)

/* All of a group of m (1, 2 or 4) rows of x. */
WN_INLINE void gemv_group(const wn_matrix *w, size_t row0, size_t n_rows, const float *x,
                          const float *bias, float *y, size_t y_stride, const int m)
{
#define WN_GEMV_CASE(TYPE)                                                                         \
    case WN_DTYPE_##TYPE:                                                                          \
        for (size_t r = row0; r < row0 + n_rows; r++) {                                            \
            vf acc[4][2];                                                                          \
            for (int j = 0; j < m; j++)                                                            \
                acc[j][0] = acc[j][1] = vf_zero();                                                 \
            gemv_row_##TYPE(acc, w->data + r * w->row_bytes, w->n_in, x, w->n_in, m);              \
            for (int j = 0; j < m; j++)                                                            \
                y[(size_t)j * y_stride + r] =                                                      \
                    vf_sum(vf_add(acc[j][0], acc[j][1])) + (bias ? bias[r] : 0.0f);                \
        }                                                                                          \
        break
    switch (w->type) {
        WN_GEMV_CASE(F32);
        WN_GEMV_CASE(F16);
        WN_GEMV_CASE(BF16);
        WN_GEMV_CASE(Q8_0);
        WN_GEMV_CASE(Q4_0);
        WN_GEMV_CASE(Q4_1);
        WN_GEMV_CASE(Q4_K);
        WN_GEMV_CASE(Q5_K);
        WN_GEMV_CASE(Q6_K);
    case WN_DTYPE_I32:
    case WN_DTYPE_I64:
    case WN_DTYPE_COUNT:
        break;
    }
#undef WN_GEMV_CASE
}

static void simd_gemv(const wn_matrix *w, size_t row0, size_t n_rows, const float *x, size_t m,
                      const float *bias, float *y, size_t y_stride)
{
    size_t j = 0;
    for (; j + 4 <= m; j += 4)
        gemv_group(w, row0, n_rows, x + j * w->n_in, bias, y + j * y_stride, y_stride, 4);
    if (j + 2 <= m) {
        gemv_group(w, row0, n_rows, x + j * w->n_in, bias, y + j * y_stride, y_stride, 2);
        j += 2;
    }
    if (j < m)
        gemv_group(w, row0, n_rows, x + j * w->n_in, bias, y + j * y_stride, y_stride, 1);
}

#endif
#endif
