/* Prefill with packed weights of 4 and 5 bits and activations of 8 bits on AVX2: one instruction
 * multiplies and sums two columns a word, twice the peak of the 16-bit product.
 *
 * Activations have one scale per 32 columns, x = scale * q with |q| <= 127; weights are widened
 * once per block of columns into slivers of NR rows of unsigned bytes u, so small that several
 * products of two columns fit 16 bits. What is subtracted for the offset joins the minimum:
 *     y += sum over groups of sx * (d * (u . q) - (min + d offset) * sum q)
 */
#ifndef WN_KERNELS_SIMD_BYTE_GEMM_H
#define WN_KERNELS_SIMD_BYTE_GEMM_H

#include "kernels/simd_packed_gemm.h"
#include "kernels/simd_quantize.h"
#if WN_LANES == 8

/* X(type) for the types of this product, and the most bits that their u have. */
#define WN_BYTE_MR 4 /* 8 accumulators, 2 columns, 1 broadcast, 1 product of 16 */
#define WN_BYTE_BITS 5
#define WN_BYTE_TYPES(X) X(Q4_0) X(Q4_1) X(Q4_K) X(Q5_K)

typedef struct byte_sliver {
    uint8_t bytes[WN_GEMM_KC / 4][WN_NR][4]; /* in a quad: columns 0, 1, 2, 3 */
    float scale[WN_GEMM_KC / WN_GROUP][WN_NR];
    float min[WN_GEMM_KC / WN_GROUP][WN_NR]; /* subtracted */
} byte_sliver;

typedef struct byte_strip_row {
    int8_t q[WN_GEMM_KC];
    float scale[WN_GEMM_KC / WN_GROUP];
    float sum[WN_GEMM_KC / WN_GROUP]; /* scale * sum of q */
} byte_strip_row;

/* LANES rows of a panel into lanes `at` of a sliver. */
WN_INLINE void widen_byte_rows(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                               size_t lane, size_t n_k, byte_sliver *s, size_t at)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const uint8_t *block = group;
    for (size_t g = 0; g < n_k / WN_GROUP; g++, group += f.group_bytes) {
        fetch_next_block(f, block, lane, g);
        WN_UNROLL
        for (int i = 0; i < 4; i++) {
            vi b[2];
            unpack_bytes(type, group + 4 * lane, i, b);
            vi_store(s->bytes[8 * g + 2 * (size_t)i][at], b[0]);
            vi_store(s->bytes[8 * g + 2 * (size_t)i + 1][at], b[1]);
        }
        vf scale = record_d(record, lane);
        if (f.scale_step == 256)
            scale = vf_mul(scale, vi_to_f32(record_group_scale(record, lane, g)));
        vf_store(&s->scale[g][at], scale);
        if (type == WN_DTYPE_Q4_1)
            vf_store(&s->min[g][at], vf_sub(vf_zero(), record_min(record, lane)));
        else if (f.has_min)
            vf_store(&s->min[g][at], vf_mul(vi_to_f32(record_group_min(record, lane, g)),
                                            record_min(record, lane)));
        else
            vf_store(&s->min[g][at], vf_mul(scale, vf_set1((float)f.offset)));
        record += f.scale_step == 32 ? f.record_bytes : 0;
    }
}

WN_INLINE void widen_byte_sliver(const wn_matrix *w, const wn_dtype type, size_t row0,
                                 size_t n_rows, size_t k0, size_t n_k, byte_sliver *s)
{
    const wn_packed_format f = wn_packed_format_of(type);
    for (size_t at = 0; at < WN_NR; at += WN_LANES) {
        if (at >= n_rows) { /* columns that nobody stores: any finite numbers */
            for (size_t p = 0; p < n_k / 4; p++)
                vi_store(s->bytes[p][at], vi_set1(0));
            for (size_t g = 0; g < n_k / WN_GROUP; g++) {
                vf_store(&s->scale[g][at], vf_zero());
                vf_store(&s->min[g][at], vf_zero());
            }
            continue;
        }
        const size_t row = row0 + at;
        const uint8_t *panel = w->panels + row / WN_PANEL_ROWS * w->panel_bytes;
        widen_byte_rows(type, panel + wn_panel_group(f, k0),
                        panel + wn_panel_record(f, w->n_in, k0), row % WN_PANEL_ROWS, n_k, s, at);
    }
}

static void simd_byte_pack_slivers(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0,
                                   size_t n_k, void *out, float *temp)
{
    byte_sliver *s = out;
    (void)temp;
    for (size_t r = 0; r < n_rows; r += WN_NR, s++) {
#define WN_WIDEN_CASE(TYPE)                                                                        \
    case WN_DTYPE_##TYPE:                                                                          \
        widen_byte_sliver(w, WN_DTYPE_##TYPE, row0 + r, n_rows - r, k0, n_k, s);                   \
        break;
        switch (w->type) {
            WN_BYTE_TYPES(WN_WIDEN_CASE)
        default:
            break;
        }
#undef WN_WIDEN_CASE
    }
}

WN_INLINE void pack_byte_group(const float *x, byte_strip_row *out, size_t g)
{
    int sums[2];
    quantize_byte_group(x, out->q + 32 * g, out->scale + g, sums);
    out->sum[g] = out->scale[g] * (float)(sums[0] + sums[1]);
}

static void simd_byte_pack_strip(const wn_matrix *w, const float *x, size_t x_stride, size_t n_rows,
                                 size_t n_k, void *out)
{
    byte_strip_row *blocks = out;
    (void)w;
    for (size_t i = 0; i < WN_BYTE_MR; i++)
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            if (i < n_rows)
                pack_byte_group(x + i * x_stride + WN_GROUP * g, blocks + i, g);
            else
                blocks[i].scale[g] = blocks[i].sum[g] = 0;
}

/* 8 products of two columns with 4 bits, or 4 with 5 bits, fit 16 bits: 8 * 2 * 15 * 127 < 2^15. */
WN_INLINE void multiply_bytes(const byte_sliver *s, const byte_strip_row *x, size_t g,
                              const int bits, vi (*acc)[2])
{
    const int n = bits == 4 ? 8 : 4; /* of the group's 8 quads */
    const vi ones = vi_set1(0x10001);
    WN_UNROLL
    for (int p0 = 0; p0 < 8; p0 += n) {
        vi part[WN_BYTE_MR][2];
        WN_UNROLL
        for (int p = p0; p < p0 + n; p++) {
            const uint8_t(*w)[4] = s->bytes[8 * g + (size_t)p];
            const vi w0 = vi_load(w[0]), w1 = vi_load(w[WN_LANES]);
            WN_UNROLL
            for (int i = 0; i < WN_BYTE_MR; i++) {
                const vi q = broadcast_quad(x[i].q + 32 * g + 4 * p);
                const vi two0 = _mm256_maddubs_epi16(w0, q), two1 = _mm256_maddubs_epi16(w1, q);
                part[i][0] = p == p0 ? two0 : _mm256_add_epi16(part[i][0], two0);
                part[i][1] = p == p0 ? two1 : _mm256_add_epi16(part[i][1], two1);
                /* Else gcc multiplies all rows first, for which there are no registers. */
                __asm__("" : "+x"(part[i][0]), "+x"(part[i][1]));
            }
        }
        WN_UNROLL
        for (int i = 0; i < WN_BYTE_MR; i++)
            for (int v = 0; v < 2; v++)
                acc[i][v] = p0 == 0 ? _mm256_madd_epi16(part[i][v], ones)
                                    : vi_dot16(acc[i][v], part[i][v], ones);
    }
}

/* sum[i][v] += one group of all rows. */
WN_INLINE void multiply_byte_group(const byte_sliver *s, const byte_strip_row *x, size_t g,
                                   const int bits, vf (*sum)[2])
{
    vi acc[WN_BYTE_MR][2];
    multiply_bytes(s, x, g, bits, acc);
    WN_UNROLL
    for (int v = 0; v < 2; v++) {
        const vf scale = vf_load(&s->scale[g][(size_t)v * WN_LANES]);
        WN_UNROLL
        for (int i = 0; i < WN_BYTE_MR; i++)
            sum[i][v] =
                vf_fma(vi_to_f32(acc[i][v]), vf_mul(scale, vf_set1(x[i].scale[g])), sum[i][v]);
    }
    WN_UNROLL
    for (int v = 0; v < 2; v++) {
        const vf min = vf_load(&s->min[g][(size_t)v * WN_LANES]);
        WN_UNROLL
        for (int i = 0; i < WN_BYTE_MR; i++)
            sum[i][v] = vf_fnma(min, vf_set1(x[i].sum[g]), sum[i][v]);
    }
}

static void simd_byte_multiply(const wn_matrix *w, const void *strip, const void *sliver,
                               size_t n_rows, size_t n_cols, size_t n_k, const wn_gemm_out *out)
{
    vf sum[WN_BYTE_MR][2];
    WN_UNROLL
    for (int i = 0; i < WN_BYTE_MR; i++)
        sum[i][0] = sum[i][1] = vf_zero();
    if (w->type == WN_DTYPE_Q5_K)
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            multiply_byte_group(sliver, strip, g, 5, sum);
    else
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            multiply_byte_group(sliver, strip, g, 4, sum);
    for (size_t i = 0; i < n_rows; i++)
        store_tile_row(sum[i], n_cols, out, i);
}

static const wn_gemm_kernels simd_byte_gemm = {
    .mr = WN_BYTE_MR,
    .nr = WN_NR,
    .kc = WN_GEMM_KC,
    .strip_bytes = WN_BYTE_MR * sizeof(byte_strip_row),
    .sliver_bytes = sizeof(byte_sliver),
    .pack_strip = simd_byte_pack_strip,
    .pack_slivers = simd_byte_pack_slivers,
    .multiply = simd_byte_multiply,
};

#endif
#endif
