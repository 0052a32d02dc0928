/* Blocked f32 product: packing and the register tile (MR rows of x by two vectors of columns).
 *
 * Packed layouts, f32:  strip [n_k][MR];  sliver [n_k][NR].
 * One tile step reads two vectors of the sliver and MR broadcasts of the strip for 2 MR
 * multiply-adds. Missing rows and columns are packed as zeros and not stored.
 */
#ifndef WN_KERNELS_SIMD_GEMM_H
#define WN_KERNELS_SIMD_GEMM_H

#include "kernels/simd_weights.h"
#ifdef WN_LANES

#include "kernels/kernel_table.h"

_Static_assert(WN_GEMM_NC % WN_NR == 0 && WN_GEMM_KC % 16 == 0, "units are whole slivers");

/* acc[i] += sum over k of a[i * a_row + k * a_k] * b[k * b_k ...]; `rows` is a constant. */
WN_INLINE void tile_multiply(vf (*acc)[2], const float *a, size_t a_row, size_t a_k, const float *b,
                             size_t b_k, size_t n_k, const int rows)
{
    for (size_t k = 0; k < n_k; k++, a += a_k, b += b_k) {
        const vf b0 = vf_load(b), b1 = vf_load(b + WN_LANES);
        WN_UNROLL
        for (int i = 0; i < rows; i++) {
            const vf ai = vf_set1(a[(size_t)i * a_row]);
            acc[i][0] = vf_fma(ai, b0, acc[i][0]);
            acc[i][1] = vf_fma(ai, b1, acc[i][1]);
        }
    }
}

/* LANES columns of up to LANES rows of x, turned: out[k * out_k + row]. Rows beyond n_rows are 0.
 */
WN_INLINE void transpose_block(const float *x, size_t x_stride, size_t n_rows, size_t n_k,
                               float *out, size_t out_k, size_t n_out)
{
    vf r[WN_LANES];
    for (size_t i = 0; i < WN_LANES; i++)
        r[i] = i < n_rows ? vf_load_n(x + i * x_stride, n_k) : vf_zero();
    vf_transpose(r);
    for (size_t k = 0; k < n_k; k++)
        vf_store_n(out + k * out_k, n_out, r[k]);
}

static void simd_pack_strip(const wn_matrix *w, const float *x, size_t x_stride, size_t n_rows,
                            size_t n_k, void *out)
{
    float *packed = out;
    (void)w;
    for (size_t k = 0; k < n_k; k += WN_LANES) {
        const size_t n = n_k - k < WN_LANES ? n_k - k : WN_LANES;
        transpose_block(x + k, x_stride, n_rows, n, packed + k * WN_MR, WN_MR, WN_MR);
    }
}

/* LANES rows of w at a time: dequantise into temp [LANES][KC], turn into half a sliver. */
static void simd_pack_slivers(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0, size_t n_k,
                              void *out, float *temp)
{
    const size_t start = k0 / wn_dtype_block_elements(w->type) * wn_dtype_block_bytes(w->type);
    for (size_t r = 0; r < (n_rows + WN_NR - 1) / WN_NR * WN_NR; r += WN_LANES) {
        const size_t n_here = r >= n_rows ? 0 : n_rows - r < WN_LANES ? n_rows - r : WN_LANES;
        for (size_t i = 0; i < n_here; i++)
            weight_row_store(w->type, w->data + (row0 + r + i) * w->row_bytes + start, n_k,
                             temp + i * WN_GEMM_KC);
        float *half = (float *)out + r / WN_NR * WN_GEMM_KC * WN_NR + r % WN_NR;
        for (size_t k = 0; k < n_k; k += WN_LANES) {
            const size_t n = n_k - k < WN_LANES ? n_k - k : WN_LANES;
            transpose_block(temp + k, WN_GEMM_KC, n_here, n, half + k * WN_NR, WN_NR, WN_LANES);
        }
    }
}

/* One row of a tile: y = from + (acc + bias), whole vectors or n_cols < NR columns. */
WN_INLINE void store_row(const vf acc[2], size_t n_cols, const float *from, const float *bias,
                         float *y)
{
    for (size_t v = 0; v < 2; v++) {
        const size_t at = v * WN_LANES;
        vf sum = acc[v];
        if (n_cols >= at + WN_LANES) {
            sum = bias ? vf_add(sum, vf_load(bias + at)) : sum;
            vf_store(y + at, from ? vf_add(vf_load(from + at), sum) : sum);
        } else if (n_cols > at) {
            const size_t n = n_cols - at;
            sum = bias ? vf_add(sum, vf_load_n(bias + at, n)) : sum;
            vf_store_n(y + at, n, from ? vf_add(vf_load_n(from + at, n), sum) : sum);
        }
    }
}

WN_INLINE void store_tile_row(const vf acc[2], size_t n_cols, const wn_gemm_out *out, size_t i)
{
    store_row(acc, n_cols, out->from ? out->from + i * out->from_stride : NULL, out->bias,
              out->y + i * out->y_stride);
}

WN_INLINE void multiply_tile(const float *a, const float *b, size_t n_rows, size_t n_cols,
                             size_t n_k, const wn_gemm_out *out, const int rows)
{
    vf acc[WN_MR][2];
    WN_UNROLL
    for (int i = 0; i < rows; i++)
        acc[i][0] = acc[i][1] = vf_zero();
    tile_multiply(acc, a, 1, WN_MR, b, WN_NR, n_k, rows);
    WN_UNROLL
    for (int i = 0; i < rows; i++)
        if ((size_t)i < n_rows)
            store_tile_row(acc[i], n_cols, out, (size_t)i);
}

static void simd_multiply(const wn_matrix *w, const void *strip, const void *sliver, size_t n_rows,
                          size_t n_cols, size_t n_k, const wn_gemm_out *out)
{
    (void)w;
    if (n_rows * 2 <= WN_MR)
        multiply_tile(strip, sliver, n_rows, n_cols, n_k, out, WN_MR / 2);
    else
        multiply_tile(strip, sliver, n_rows, n_cols, n_k, out, WN_MR);
}

static const wn_gemm_kernels simd_gemm = {
    .mr = WN_MR,
    .nr = WN_NR,
    .kc = WN_GEMM_KC,
    .strip_bytes = WN_MR * WN_GEMM_KC * sizeof(float),
    .sliver_bytes = WN_NR * WN_GEMM_KC * sizeof(float),
    .pack_strip = simd_pack_strip,
    .pack_slivers = simd_pack_slivers,
    .multiply = simd_multiply,
};

#endif
#endif
