/* Prefill with packed weights and activations of 8 bits, straight from the panels: one instruction
 * multiplies and sums four columns a lane (VNNI), twice the peak of the 16-bit product, and weights
 * are unpacked in registers for a strip of up to 12 rows of x, so that few rows wait for memory
 * only.
 *
 * Activations have one scale per 32 columns, x = scale * q with |q| <= 127; weights are the
 * unsigned u of packed_weights.h:
 *     y += sum over groups of sx * (d * (u . q - offset * sum q) - min * sum q)
 */
#ifndef WN_KERNELS_SIMD_PANEL_GEMM_H
#define WN_KERNELS_SIMD_PANEL_GEMM_H

#include "kernels/simd_packed_gemm.h"
#include "kernels/simd_quantize.h"
#ifdef __AVX512VNNI__

/* X(type) for the types of this product. */
#define WN_PANEL_TYPES(X) X(Q8_0) X(Q4_0) X(Q4_1) X(Q4_K) X(Q5_K) X(Q6_K)
#define PANEL_MR 12      /* integer and f32 accumulators, of 32 registers */
#define PANEL_AHEAD 4096 /* bytes: few rows of x wait for memory more than they multiply */

typedef struct panel_strip_row {
    int8_t q[WN_GEMM_KC];
    int32_t start_128[WN_GEMM_KC / WN_GROUP]; /* -128 * sum of q, for that offset */
    int32_t start_8[WN_GEMM_KC / WN_GROUP];
    int32_t start_32[WN_GEMM_KC / WN_GROUP][2]; /* of 16 columns each */
    float scale[WN_GEMM_KC / WN_GROUP];
    float sum[WN_GEMM_KC / WN_GROUP]; /* scale * sum of q */
} panel_strip_row;

static void simd_panel_pack_strip(const wn_matrix *w, const float *x, size_t x_stride,
                                  size_t n_rows, size_t n_k, void *out)
{
    panel_strip_row *rows = out;
    (void)w;
    for (size_t i = 0; i < n_rows; i++)
        for (size_t g = 0; g < n_k / WN_GROUP; g++) {
            panel_strip_row *r = rows + i;
            int sums[2];
            quantize_byte_group(x + i * x_stride + WN_GROUP * g, r->q + WN_GROUP * g, r->scale + g,
                                sums);
            r->start_128[g] = -128 * (sums[0] + sums[1]);
            r->start_8[g] = -8 * (sums[0] + sums[1]);
            r->start_32[g][0] = -32 * sums[0];
            r->start_32[g][1] = -32 * sums[1];
            r->sum[g] = r->scale[g] * (float)(sums[0] + sums[1]);
        }
}

WN_INLINE int32_t start_of(const int offset, const panel_strip_row *x, size_t g, const int step)
{
    return offset == 128  ? x->start_128[g]
           : offset == 32 ? x->start_32[g][step]
           : offset == 8  ? x->start_8[g]
                          : 0;
}

/* What the columns of a step are multiplied by. */
WN_INLINE vf step_scale(const wn_dtype type, const uint8_t *record, size_t g, const int step)
{
    const vf d = record_d(record, 0);
    if (type == WN_DTYPE_Q6_K)
        return vf_mul(d, vi_to_f32(record_sixteenth_scale(record, 0, 2 * g + (size_t)step)));
    return wn_packed_format_of(type).scale_step == 256
               ? vf_mul(d, vi_to_f32(record_group_scale(record, 0, g)))
               : d;
}

/* sum[i] += group g of 16 rows of w times m (constant) rows of x, in steps that have one scale: all
 * 32 columns, or (Q6_K) 16. */
WN_INLINE void panel_group(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                           size_t g, const panel_strip_row *x, vf *sum, const int m)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const int n_steps = type == WN_DTYPE_Q6_K ? 2 : 1, pairs = 4 / n_steps;
    WN_UNROLL
    for (int step = 0; step < n_steps; step++) {
        vi acc[PANEL_MR];
        WN_UNROLL
        for (int i = 0; i < m; i++)
            acc[i] = vi_set1(start_of(f.offset, x + i, g, step));
        WN_UNROLL
        for (int pair = step * pairs; pair < (step + 1) * pairs; pair++) {
            vi b[2];
            unpack_bytes(type, group, pair, b);
            WN_UNROLL
            for (int quad = 0; quad < 2; quad++)
                WN_UNROLL
            for (int i = 0; i < m; i++)
                acc[i] = _mm512_dpbusd_epi32(acc[i], b[quad],
                                             broadcast_quad(x[i].q + 32 * g + 8 * pair + 4 * quad));
        }
        const vf scale = step_scale(type, record, g, step);
        WN_UNROLL
        for (int i = 0; i < m; i++)
            sum[i] = vf_fma(vi_to_f32(acc[i]), vf_mul(scale, vf_set1(x[i].scale[g])), sum[i]);
    }
    if (!f.has_min)
        return;
    const vf min = type == WN_DTYPE_Q4_1
                       ? vf_sub(vf_zero(), record_min(record, 0))
                       : vf_mul(vi_to_f32(record_group_min(record, 0, g)), record_min(record, 0));
    WN_UNROLL
    for (int i = 0; i < m; i++)
        sum[i] = vf_fnma(min, vf_set1(x[i].sum[g]), sum[i]);
}

/* A block of a panel, n_cols <= 16 of its rows, and n_rows <= m (constant) of x. */
WN_INLINE void panel_block(const wn_dtype type, const uint8_t *block, const panel_strip_row *x,
                           size_t n_rows, size_t n_cols, size_t n_k, const wn_gemm_out *out,
                           const int m)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const size_t n_groups = n_k / WN_GROUP, share = wn_block_bytes(f, WN_BLOCK) / 8;
    const uint8_t *group = block, *record = block + n_groups * f.group_bytes;
    vf sum[PANEL_MR];
    WN_UNROLL
    for (int i = 0; i < m; i++)
        sum[i] = vf_zero();
    for (size_t g = 0; g < n_groups; g++, group += f.group_bytes) {
        for (size_t at = 0; at < share; at += 64)
            __builtin_prefetch(block + PANEL_AHEAD + g * share + at, 0, 3);
        panel_group(type, group, record, g, x, sum, m);
        record += f.scale_step == 32 ? f.record_bytes : 0;
    }
    WN_UNROLL
    for (int i = 0; i < m; i++)
        if ((size_t)i < n_rows)
            store_tile_row((const vf[2]){sum[i], vf_zero()}, n_cols, out, (size_t)i);
}

/* One function per type and number of rows, so that the loops over them unroll. */
#define WN_PANEL_BLOCK(TYPE, M)                                                                    \
    static void panel_block_##TYPE##_##M(const uint8_t *block, const panel_strip_row *x,           \
                                         size_t n_rows, size_t n_cols, size_t n_k,                 \
                                         const wn_gemm_out *out)                                   \
    {                                                                                              \
        panel_block(WN_DTYPE_##TYPE, block, x, n_rows, n_cols, n_k, out, M);                       \
    }
#define WN_PANEL_BLOCKS(TYPE)                                                                      \
    WN_PANEL_BLOCK(TYPE, 4) WN_PANEL_BLOCK(TYPE, 8) WN_PANEL_BLOCK(TYPE, 12)
WN_PANEL_TYPES(WN_PANEL_BLOCKS)

static void simd_panel_multiply(const wn_matrix *w, const void *strip, const void *block,
                                size_t n_rows, size_t n_cols, size_t n_k, const wn_gemm_out *out)
{
#define WN_PANEL_CASE(TYPE)                                                                        \
    case WN_DTYPE_##TYPE:                                                                          \
        if (n_rows <= 4)                                                                           \
            panel_block_##TYPE##_4(block, strip, n_rows, n_cols, n_k, out);                        \
        else if (n_rows <= 8)                                                                      \
            panel_block_##TYPE##_8(block, strip, n_rows, n_cols, n_k, out);                        \
        else                                                                                       \
            panel_block_##TYPE##_12(block, strip, n_rows, n_cols, n_k, out);                       \
        break;
    switch (w->type) {
        WN_PANEL_TYPES(WN_PANEL_CASE)
    default:
        break;
    }
#undef WN_PANEL_CASE
}

static const wn_gemm_kernels simd_panel_gemm = {
    .mr = PANEL_MR,
    .nr = WN_PANEL_ROWS,
    .kc = WN_GEMM_KC,
    .in_panels = true,
    .strip_bytes = PANEL_MR * sizeof(panel_strip_row),
    .pack_strip = simd_panel_pack_strip,
    .multiply = simd_panel_multiply,
};

#endif
#endif
