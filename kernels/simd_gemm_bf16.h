/* Blocked product of plain weights (F32, F16, BF16) in bf16 with f32 sums: the dot-product
 * instruction takes two columns a lane, twice the peak of f32; 2^-8 of rounding on each operand.
 *
 * Packed layouts, pairs of columns:  strip [n_k / 2][MR][2];  sliver [n_k / 2][NR][2]. An odd last
 * column is paired with zeros.
 */
#ifndef WN_KERNELS_SIMD_GEMM_BF16_H
#define WN_KERNELS_SIMD_GEMM_BF16_H

#include "kernels/simd_gemm.h"
#ifdef __AVX512BF16__

/* 16 rows [n_k <= 32 columns] of f32 as bf16, turned: out[p] = column pair p of all rows. */
WN_INLINE void pack_pairs(const float *x, size_t x_stride, size_t n_rows, size_t n_k, vf out[16])
{
    for (size_t i = 0; i < 16; i++) {
        const float *row = x + i * x_stride;
        if (i >= n_rows) {
            out[i] = vf_zero();
            continue;
        }
        const vf low = n_k >= 16 ? vf_load(row) : vf_load_n(row, n_k);
        const vf high = n_k >= 32   ? vf_load(row + 16)
                        : n_k >= 16 ? vf_load_n(row + 16, n_k - 16)
                                    : vf_zero();
        out[i] = _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
    vf_transpose(out);
}

static void simd_pack_strip_bf16(const wn_matrix *w, const float *x, size_t x_stride, size_t n_rows,
                                 size_t n_k, void *out)
{
    (void)w;
    for (size_t k = 0; k < n_k; k += 32) {
        const size_t n = n_k - k < 32 ? n_k - k : 32;
        vf pairs[16];
        pack_pairs(x + k, x_stride, n_rows, n, pairs);
        for (size_t p = 0; p < (n + 1) / 2; p++)
            vf_store_n((float *)out + (k / 2 + p) * WN_MR, WN_MR, pairs[p]);
    }
}

static void simd_pack_slivers_bf16(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0,
                                   size_t n_k, void *out, float *temp)
{
    const size_t start = k0 * wn_dtype_block_bytes(w->type);
    for (size_t r = 0; r < (n_rows + WN_NR - 1) / WN_NR * WN_NR; r += 16) {
        const size_t n_here = r >= n_rows ? 0 : n_rows - r < 16 ? n_rows - r : 16;
        for (size_t i = 0; i < n_here; i++)
            weight_row_store(w->type, w->data + (row0 + r + i) * w->row_bytes + start, n_k,
                             temp + i * WN_GEMM_KC);
        float *half = (float *)out + r / WN_NR * WN_GEMM_KC / 2 * WN_NR + r % WN_NR;
        for (size_t k = 0; k < n_k; k += 32) {
            const size_t n = n_k - k < 32 ? n_k - k : 32;
            vf pairs[16];
            pack_pairs(temp + k, WN_GEMM_KC, n_here, n, pairs);
            for (size_t p = 0; p < (n + 1) / 2; p++)
                vf_store(half + (k / 2 + p) * WN_NR, pairs[p]);
        }
    }
}

WN_INLINE void multiply_tile_bf16(const float *a, const float *b, size_t n_rows, size_t n_cols,
                                  size_t n_k, const wn_gemm_out *out, const int rows)
{
    vf acc[WN_MR][2];
    WN_UNROLL
    for (int i = 0; i < rows; i++)
        acc[i][0] = acc[i][1] = vf_zero();
    for (size_t p = 0; p < (n_k + 1) / 2; p++, a += WN_MR, b += WN_NR) {
        const __m512bh b0 = (__m512bh)vf_load(b), b1 = (__m512bh)vf_load(b + 16);
        WN_UNROLL
        for (int i = 0; i < rows; i++) {
            const __m512bh ai = (__m512bh)vf_set1(a[i]);
            acc[i][0] = _mm512_dpbf16_ps(acc[i][0], ai, b0);
            acc[i][1] = _mm512_dpbf16_ps(acc[i][1], ai, b1);
        }
    }
    WN_UNROLL
    for (int i = 0; i < rows; i++)
        if ((size_t)i < n_rows)
            store_tile_row(acc[i], n_cols, out, (size_t)i);
}

static void simd_multiply_bf16(const wn_matrix *w, const void *strip, const void *sliver,
                               size_t n_rows, size_t n_cols, size_t n_k, const wn_gemm_out *out)
{
    (void)w;
    if (n_rows * 2 <= WN_MR)
        multiply_tile_bf16(strip, sliver, n_rows, n_cols, n_k, out, WN_MR / 2);
    else
        multiply_tile_bf16(strip, sliver, n_rows, n_cols, n_k, out, WN_MR);
}

static const wn_gemm_kernels simd_gemm_bf16 = {
    .mr = WN_MR,
    .nr = WN_NR,
    .kc = WN_GEMM_KC,
    .strip_bytes = WN_MR * WN_GEMM_KC * sizeof(uint16_t),
    .sliver_bytes = WN_NR * WN_GEMM_KC * sizeof(uint16_t),
    .pack_strip = simd_pack_strip_bf16,
    .pack_slivers = simd_pack_slivers_bf16,
    .multiply = simd_multiply_bf16,
};

#endif
#endif
