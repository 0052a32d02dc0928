/* Prefill with plain weights that were rounded once (wn_matrix_prepare) to 16-bit words with one
 * scale per row and 256 columns: the product of simd_packed_gemm.h without its widening, at up to
 * twice the rate of f32. 256 * 4096 * 2047 < 2^31: weights lose 2^-13 of the largest in their
 * block, activations 2^-12. In blocks of 512 activations have a bit less, and ADI's ranking
 * loses 0.007 of nDCG (test_ir_eval).
 */
#ifndef WN_KERNELS_SIMD_WORD_GEMM_H
#define WN_KERNELS_SIMD_WORD_GEMM_H

#include "kernels/simd_packed_gemm.h"
#ifdef WN_LANES

#define WN_WORD_LIMIT 4096.0f
#define WN_WORD_X_LIMIT 2047.0f

typedef struct word_sliver {
    int16_t words[WN_GEMM_KC / 2][WN_NR][2];
    float scale[WN_NR];
} word_sliver;

typedef struct word_strip {
    int16_t q[WN_GEMM_KC / 16][WN_PACKED_MR][16]; /* read as one stream */
    float scale[WN_PACKED_MR], cache_line_end[10];
} word_strip;

static void simd_word_pack_slivers(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0,
                                   size_t n_k, void *out, float *temp)
{
    const size_t start = k0 * wn_dtype_block_bytes(w->type);
    word_sliver *s = out;
    int16_t q[16];
    for (size_t r = 0; r < (n_rows + WN_NR - 1) / WN_NR * WN_NR; r++) {
        word_sliver *here = s + r / WN_NR;
        const size_t at = r % WN_NR;
        if (r < n_rows)
            weight_row_store(w->type, w->data + (row0 + r) * w->row_bytes + start, n_k, temp);
        else
            memset(temp, 0, n_k * sizeof *temp);
        const vf inverse = word_inverse(temp, n_k, WN_WORD_LIMIT, &here->scale[at]);
        for (size_t k = 0; k < n_k; k += 16) {
            quantize_16(temp + k, inverse, q);
            for (size_t p = 0; p < 8; p++)
                memcpy(here->words[k / 2 + p][at], q + 2 * p, sizeof here->words[0][0]);
        }
    }
}

static void simd_word_pack_strip(const wn_matrix *w, const float *x, size_t x_stride, size_t n_rows,
                                 size_t n_k, void *out)
{
    word_strip *strip = out;
    (void)w;
    for (size_t i = 0; i < WN_PACKED_MR; i++) {
        if (i >= n_rows) { /* nobody stores it */
            for (size_t k = 0; k < n_k; k += 16)
                memset(strip->q[k / 16][i], 0, sizeof strip->q[0][0]);
            continue;
        }
        const vf inverse = word_inverse(x + i * x_stride, n_k, WN_WORD_X_LIMIT, &strip->scale[i]);
        for (size_t k = 0; k < n_k; k += 16)
            quantize_16(x + i * x_stride + k, inverse, strip->q[k / 16][i]);
    }
}

static void simd_word_multiply(const wn_matrix *w, const void *strip, const void *sliver,
                               size_t n_rows, size_t n_cols, size_t n_k, const wn_gemm_out *out)
{
    const word_sliver *s = sliver;
    const word_strip *x = strip;
    (void)w;
    vi acc[WN_PACKED_MR][2];
    WN_UNROLL
    for (int i = 0; i < WN_PACKED_MR; i++)
        acc[i][0] = acc[i][1] = vi_set1(0);
    for (size_t k = 0; k < n_k; k += 16)
        multiply_words(s->words + k / 2, x->q[k / 16][0], 2, 16, 8, acc, WN_PACKED_MR);
    const vf scale[2] = {vf_load(s->scale), vf_load(s->scale + WN_LANES)};
    WN_UNROLL
    for (int i = 0; i < WN_PACKED_MR; i++) {
        if ((size_t)i >= n_rows)
            break;
        const vf x_scale = vf_set1(x->scale[i]);
        const vf sum[2] = {vf_mul(vi_to_f32(acc[i][0]), vf_mul(scale[0], x_scale)),
                           vf_mul(vi_to_f32(acc[i][1]), vf_mul(scale[1], x_scale))};
        store_tile_row(sum, n_cols, out, (size_t)i);
    }
}

static const wn_gemm_kernels simd_word_gemm = {
    .mr = WN_PACKED_MR,
    .nr = WN_NR,
    .kc = WN_GEMM_KC,
    .strip_bytes = sizeof(word_strip),
    .sliver_bytes = sizeof(word_sliver),
    .pack_strip = simd_word_pack_strip,
    .pack_slivers = simd_word_pack_slivers,
    .multiply = simd_word_multiply,
};

#endif
#endif
