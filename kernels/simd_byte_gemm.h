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

#include "kernels/compute_internal.h"
#include "kernels/simd_packed_gemm.h"
#include "kernels/simd_quantize.h"
#if WN_LANES == 8

/* X(type) for the types of this product, and the most bits that their u have. */
#define WN_BYTE_MR 4 /* 8 accumulators, 2 columns, 1 broadcast, 1 product of 16 */
#define BYTE_KC 1024 /* slivers of 20 KB */
#define WN_BYTE_BITS 5
#define WN_BYTE_TYPES(X) X(Q4_0) X(Q4_1) X(Q4_K) X(Q5_K)

typedef struct byte_group {
    uint8_t bytes[WN_GROUP / 4][WN_NR][4]; /* in a quad: columns 0, 1, 2, 3 */
    float scale[WN_NR], min[WN_NR];        /* min is subtracted */
} byte_group;

/* One group of all rows of a strip: read as one stream. */
typedef struct byte_strip_group {
    int8_t q[WN_GROUP / 4][WN_BYTE_MR][4];
    float scale[WN_BYTE_MR], sum[WN_BYTE_MR]; /* sum: scale * sum of q */
} byte_strip_group;

/* LANES rows of a panel, up to 256 columns, into lanes `at` of a sliver. */
WN_INLINE void widen_byte_rows(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                               size_t lane, size_t n_k, byte_group *s, size_t at)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const uint8_t *block = group;
    for (size_t g = 0; g < n_k / WN_GROUP; g++, group += f.group_bytes, s++) {
        fetch_next_block(f, block, lane, g);
        WN_UNROLL
        for (int i = 0; i < 4; i++) {
            vi b[2];
            unpack_bytes(type, group + 4 * lane, i, b);
            vi_store(s->bytes[2 * i][at], b[0]);
            vi_store(s->bytes[2 * i + 1][at], b[1]);
        }
        vf scale = record_d(record, lane);
        if (f.scale_step == 256)
            scale = vf_mul(scale, vi_to_f32(record_group_scale(record, lane, g)));
        vf_store(&s->scale[at], scale);
        if (type == WN_DTYPE_Q4_1)
            vf_store(&s->min[at], vf_sub(vf_zero(), record_min(record, lane)));
        else if (f.has_min)
            vf_store(&s->min[at], vf_mul(vi_to_f32(record_group_min(record, lane, g)),
                                         record_min(record, lane)));
        else
            vf_store(&s->min[at], vf_mul(scale, vf_set1((float)f.offset)));
        record += f.scale_step == 32 ? f.record_bytes : 0;
    }
}

WN_INLINE void widen_byte_sliver(const wn_matrix *w, const wn_dtype type, size_t row0,
                                 size_t n_rows, size_t k0, size_t n_k, byte_group *s)
{
    const wn_packed_format f = wn_packed_format_of(type);
    if (n_rows < WN_NR) /* columns that nobody stores: any finite numbers */
        memset(s, 0, n_k / WN_GROUP * sizeof *s);
    const uint8_t *panel = w->panels + row0 / WN_PANEL_ROWS * w->panel_bytes;
    for (size_t k = 0; k < n_k; k += WN_BLOCK)
        for (size_t at = 0; at < wn_size_min(n_rows, WN_NR); at += WN_LANES)
            widen_byte_rows(type, panel + wn_panel_group(f, k0 + k),
                            panel + wn_panel_record(f, w->n_in, k0 + k), at,
                            wn_size_min(n_k - k, WN_BLOCK), s + k / WN_GROUP, at);
}

static void pack_byte_slivers(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0, size_t n_k,
                              byte_group *s)
{
    for (size_t r = 0; r < n_rows; r += WN_NR, s += BYTE_KC / WN_GROUP) {
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

static void simd_byte_pack_slivers(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0,
                                   size_t n_k, void *out, float *temp)
{
    (void)temp;
    pack_byte_slivers(w, row0, n_rows, k0, n_k, out);
}

WN_INLINE void pack_byte_group(const float *x, byte_strip_group *out, size_t row)
{
    int8_t q[WN_GROUP];
    int sums[2];
    quantize_byte_group(x, q, &out->scale[row], sums);
    out->sum[row] = out->scale[row] * (float)(sums[0] + sums[1]);
    WN_UNROLL
    for (size_t p = 0; p < WN_GROUP / 4; p++)
        memcpy(out->q[p][row], q + 4 * p, 4);
}

static void simd_byte_pack_strip(const wn_matrix *w, const float *x, size_t x_stride, size_t n_rows,
                                 size_t n_k, void *out)
{
    byte_strip_group *groups = out;
    (void)w;
    for (size_t i = 0; i < WN_BYTE_MR; i++)
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            if (i < n_rows)
                pack_byte_group(x + i * x_stride + WN_GROUP * g, groups + g, i);
            else
                groups[g].scale[i] = groups[g].sum[i] = 0;
}

/* 8 products of two columns with 4 bits, or 4 with 5 bits, fit 16 bits: 8 * 2 * 15 * 127 < 2^15. */
WN_INLINE void multiply_bytes(const byte_group *s, const byte_strip_group *x, const int bits,
                              const int rows, vi (*acc)[2])
{
    const int n = bits == 4 ? 8 : 4; /* of the group's 8 quads */
    const vi ones = vi_set1(0x10001);
    WN_UNROLL
    for (int p0 = 0; p0 < 8; p0 += n) {
        vi part[WN_BYTE_MR][2];
        WN_UNROLL
        for (int p = p0; p < p0 + n; p++) {
            const uint8_t(*w)[4] = s->bytes[p];
            const vi w0 = vi_load(w[0]), w1 = vi_load(w[WN_LANES]);
            WN_UNROLL
            for (int i = 0; i < rows; i++) {
                const vi q = broadcast_quad(x->q[p][i]);
                const vi two0 = _mm256_maddubs_epi16(w0, q), two1 = _mm256_maddubs_epi16(w1, q);
                part[i][0] = p == p0 ? two0 : _mm256_add_epi16(part[i][0], two0);
                part[i][1] = p == p0 ? two1 : _mm256_add_epi16(part[i][1], two1);
                /* Else gcc multiplies all rows first, for which there are no registers. */
                __asm__("" : "+x"(part[i][0]), "+x"(part[i][1]));
            }
        }
        WN_UNROLL
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < 2; v++)
                acc[i][v] = p0 == 0 ? _mm256_madd_epi16(part[i][v], ones)
                                    : vi_dot16(acc[i][v], part[i][v], ones);
    }
}

/* sum[i][v] += one group of all rows. */
WN_INLINE void multiply_byte_group(const byte_group *s, const byte_strip_group *x, const int bits,
                                   const int rows, vf (*sum)[2])
{
    vi acc[WN_BYTE_MR][2];
    multiply_bytes(s, x, bits, rows, acc);
    WN_UNROLL
    for (int v = 0; v < 2; v++) {
        const vf scale = vf_load(s->scale + (size_t)v * WN_LANES);
        WN_UNROLL
        for (int i = 0; i < rows; i++)
            sum[i][v] =
                vf_fma(vi_to_f32(acc[i][v]), vf_mul(scale, vf_set1(x->scale[i])), sum[i][v]);
    }
    WN_UNROLL
    for (int v = 0; v < 2; v++) {
        const vf min = vf_load(s->min + (size_t)v * WN_LANES);
        WN_UNROLL
        for (int i = 0; i < rows; i++)
            sum[i][v] = vf_fnma(min, vf_set1(x->sum[i]), sum[i][v]);
    }
}

/* sum[i][v] += n groups of all rows. */
WN_INLINE void multiply_byte_groups(const byte_group *s, const byte_strip_group *x, size_t n,
                                    packed_ahead *ahead, const int bits, const int rows,
                                    vf (*sum)[2])
{
    for (size_t g = 0; g < n; g++) {
        fetch_ahead(ahead);
        multiply_byte_group(s + g, x + g, bits, rows, sum);
    }
}

WN_INLINE void multiply_byte_rows(wn_dtype type, const byte_group *s, const byte_strip_group *x,
                                  size_t n, packed_ahead *ahead, const int rows, vf (*sums)[2])
{
    vf sum[WN_BYTE_MR][2];
    WN_UNROLL
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++)
            sum[i][v] = sums[i][v];
    if (type == WN_DTYPE_Q5_K)
        multiply_byte_groups(s, x, n, ahead, 5, rows, sum);
    else
        multiply_byte_groups(s, x, n, ahead, 4, rows, sum);
    WN_UNROLL
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++)
            sums[i][v] = sum[i][v];
}

/* n groups of a strip of n_rows; what short questions leave over has a narrower one. */
WN_INLINE void multiply_byte_strip(wn_dtype type, const byte_group *s, const byte_strip_group *x,
                                   size_t n_rows, size_t n, packed_ahead *ahead, vf (*sums)[2])
{
    if (n_rows <= WN_BYTE_MR / 2)
        multiply_byte_rows(type, s, x, n, ahead, WN_BYTE_MR / 2, sums);
    else
        multiply_byte_rows(type, s, x, n, ahead, WN_BYTE_MR, sums);
}

static void simd_byte_multiply(const wn_matrix *w, const void *strip, const void *sliver,
                               size_t n_rows, size_t n_cols, size_t n_k, const wn_gemm_out *out)
{
    vf sums[WN_BYTE_MR][2];
    for (size_t i = 0; i < WN_BYTE_MR; i++)
        sums[i][0] = sums[i][1] = vf_zero();
    multiply_byte_strip(w->type, sliver, strip, n_rows, n_k / WN_GROUP, &(packed_ahead){0}, sums);
    for (size_t i = 0; i < n_rows; i++)
        store_tile_row(sums[i], n_cols, out, i);
}

/* A block of weights, and the sums of all rows with the blocks before. */
typedef struct byte_few {
    byte_group block[WN_BLOCK / WN_GROUP];
    vf sums[WN_GEMM_FEW_ROWS][2];
} byte_few;
_Static_assert(sizeof(byte_few) <= BYTE_KC / WN_GROUP * sizeof(byte_group), "sliver_bytes");

static void simd_byte_multiply_few(const wn_matrix *w, size_t row0, size_t k0, const void *strips,
                                   size_t n_rows, size_t n_cols, size_t n_k, void *scratch,
                                   const wn_gemm_out *out)
{
    const size_t n_strips = wn_size_div_up(n_rows, WN_BYTE_MR);
    byte_few *few = scratch;
    for (size_t i = 0; i < n_strips * WN_BYTE_MR; i++)
        few->sums[i][0] = few->sums[i][1] = vf_zero();
    for (size_t k = 0; k < n_k; k += WN_BLOCK) {
        const size_t n = wn_size_min(n_k - k, WN_BLOCK) / WN_GROUP;
        const byte_strip_group *x = (const byte_strip_group *)strips + k / WN_GROUP;
        packed_ahead ahead = look_ahead(w, row0, k0 + k, n_strips * n);
        pack_byte_slivers(w, row0, n_cols, k0 + k, n * WN_GROUP, few->block);
        for (size_t i = 0; i < n_rows; i += WN_BYTE_MR, x += BYTE_KC / WN_GROUP)
            multiply_byte_strip(w->type, few->block, x, n_rows - i, n, &ahead, few->sums + i);
    }
    for (size_t i = 0; i < n_rows; i++)
        store_tile_row(few->sums[i], n_cols, out, i);
}

static const wn_gemm_kernels simd_byte_gemm = {
    .mr = WN_BYTE_MR,
    .nr = WN_NR,
    .kc = BYTE_KC,
    .strip_bytes = BYTE_KC / WN_GROUP * sizeof(byte_strip_group),
    .sliver_bytes = BYTE_KC / WN_GROUP * sizeof(byte_group),
    .pack_strip = simd_byte_pack_strip,
    .pack_slivers = simd_byte_pack_slivers,
    .multiply = simd_byte_multiply,
    .multiply_few = simd_byte_multiply_few,
};

#endif
#endif
