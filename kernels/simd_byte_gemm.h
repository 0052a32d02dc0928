/* Prefill with packed weights and activations of 8 bits: one instruction multiplies and sums four
 * columns a lane, twice the peak of the 16-bit product.
 *
 * Activations have one scale per 32 columns, x = scale * q with |q| <= 127; weights are widened
 * once per block of columns into slivers of NR rows of unsigned bytes u = (value - offset) + 128,
 * so that the sum of every group starts at -128 * sum q, whatever the type. y += sum over groups of
 * sx * (d * (u . q - 128 sum q) - min * sum q) Q6_K has scales per 16 columns and stays with 16
 * bits.
 */
#ifndef WN_KERNELS_SIMD_BYTE_GEMM_H
#define WN_KERNELS_SIMD_BYTE_GEMM_H

#include "kernels/simd_packed_gemm.h"
#ifdef __AVX512VNNI__

#define WN_BYTE_MR 6 /* 12 integer and 12 f32 accumulators of 32 registers */

typedef struct byte_sliver {
    uint8_t bytes[WN_GEMM_KC / 4][WN_NR][4]; /* in a quad: columns 0, 1, 2, 3 */
    float scale[WN_GEMM_KC / WN_GROUP][WN_NR];
    float min[WN_GEMM_KC / WN_GROUP][WN_NR]; /* subtracted */
} byte_sliver;

typedef struct byte_strip_row {
    int8_t q[WN_GEMM_KC];
    int32_t start[WN_GEMM_KC / WN_GROUP]; /* -128 * sum of q */
    float scale[WN_GEMM_KC / WN_GROUP];
    float sum[WN_GEMM_KC / WN_GROUP]; /* scale * sum of q */
} byte_strip_row;

/* Quads 2 i and 2 i + 1 of a group as bytes u; type and i are constants. The bytes of a word are
 * its even and its odd column, so a lane holds columns 0, 1, 2, 3 of its quad. */
WN_INLINE void unpack_bytes(const wn_dtype type, const uint8_t *group, const int i, vi b[2])
{
    if (type == WN_DTYPE_Q8_0) {
        b[0] = vi_load(group + 128 * i);
        b[1] = vi_load(group + 128 * i + 64);
        return;
    }
    const vi v = vi_load(group + 64 * i);
    b[0] = vi_and(v, 0x0f0f0f0f);
    b[1] = vi_and(vi_shift_right16(v, 4), 0x0f0f0f0f);
    if (type ==
        WN_DTYPE_Q5_K) { /* bit 2 * quad of a word is its even column, the next its odd one */
        const vi high = vi_load(group + 256);
        for (int j = 0; j < 2; j++) {
            const int at = 4 * i + 2 * j;
            b[j] = vi_or(b[j], FIELD_AT_4(high, at, 0x10));
            b[j] = vi_or(b[j], vi_shift_left16(FIELD_AT_4(high, at + 1, 0x10), 8));
        }
    }
    /* no carry from byte to byte: u - offset + 128 fits */
    const vi shift =
        vi_set1((int)((128u - (unsigned)wn_packed_format_of(type).offset) * 0x01010101u));
    b[0] = vi_add(b[0], shift);
    b[1] = vi_add(b[1], shift);
}

/* LANES rows of a panel into lanes `at` of a sliver. */
WN_INLINE void widen_byte_rows(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                               size_t lane, size_t n_k, byte_sliver *s, size_t at)
{
    const wn_packed_format f = wn_packed_format_of(type);
    for (size_t g = 0; g < n_k / WN_GROUP; g++, group += f.group_bytes) {
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

/* X(type) for the types of this product. */
#define WN_BYTE_TYPES(X) X(Q8_0) X(Q4_0) X(Q4_1) X(Q4_K) X(Q5_K)

static void simd_byte_pack_panel(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0,
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

/* 32 columns. As in simd_quantize.h, a group with a value that is not finite gets scale NaN. */
WN_INLINE void quantize_byte_group(const float *x, byte_strip_row *out, size_t g)
{
    const vf low = vf_load(x), high = vf_load(x + 16);
    const float top = vf_top(vf_max(vf_abs(low), vf_abs(high)));
    const float spoiled = vf_sum(vf_mul(vf_add(low, high), vf_zero()));
    const float usable = top > 0 && spoiled == 0 ? top : 1;
    const vf inverse = vf_set1(usable < 1e-30f ? 0 : 127 / usable);
    const vi a = vi_from_f32(vf_mul(low, inverse)), b = vi_from_f32(vf_mul(high, inverse));
    _mm_storeu_si128((__m128i *)(void *)(out->q + 32 * g), _mm512_cvtsepi32_epi8(a));
    _mm_storeu_si128((__m128i *)(void *)(out->q + 32 * g + 16), _mm512_cvtsepi32_epi8(b));
    const int sum = spoiled == 0 ? vi_total(vi_add(a, b)) : 0;
    out->scale[g] = usable / 127 + spoiled;
    out->start[g] = -128 * sum;
    out->sum[g] = out->scale[g] * (float)sum;
}

static void simd_byte_pack_strip(const wn_matrix *w, const float *x, size_t x_stride, size_t n_rows,
                                 size_t n_k, void *out)
{
    byte_strip_row *blocks = out;
    (void)w;
    for (size_t i = 0; i < WN_BYTE_MR; i++)
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            if (i < n_rows)
                quantize_byte_group(x + i * x_stride + WN_GROUP * g, blocks + i, g);
            else
                blocks[i].scale[g] = blocks[i].sum[g] = 0;
}

/* sum[i][v] += one group of all rows. */
WN_INLINE void multiply_byte_group(const byte_sliver *s, const byte_strip_row *x, size_t g,
                                   bool has_min, vf (*sum)[2])
{
    vi acc[WN_BYTE_MR][2];
    WN_UNROLL
    for (int i = 0; i < WN_BYTE_MR; i++)
        acc[i][0] = acc[i][1] = vi_set1(x[i].start[g]);
    for (size_t p = 8 * g; p < 8 * g + 8; p++) {
        const vi w0 = vi_load(s->bytes[p][0]), w1 = vi_load(s->bytes[p][WN_LANES]);
        WN_UNROLL
        for (int i = 0; i < WN_BYTE_MR; i++) {
            const vi q = broadcast_quad(x[i].q + 4 * p);
            acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], w0, q);
            acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], w1, q);
        }
    }
    WN_UNROLL
    for (int v = 0; v < 2; v++) {
        const vf scale = vf_load(&s->scale[g][(size_t)v * WN_LANES]);
        WN_UNROLL
        for (int i = 0; i < WN_BYTE_MR; i++)
            sum[i][v] =
                vf_fma(vi_to_f32(acc[i][v]), vf_mul(scale, vf_set1(x[i].scale[g])), sum[i][v]);
    }
    if (!has_min)
        return;
    WN_UNROLL
    for (int v = 0; v < 2; v++) {
        const vf min = vf_load(&s->min[g][(size_t)v * WN_LANES]);
        WN_UNROLL
        for (int i = 0; i < WN_BYTE_MR; i++)
            sum[i][v] = vf_fnma(min, vf_set1(x[i].sum[g]), sum[i][v]);
    }
}

static void simd_byte_multiply(const wn_matrix *w, const void *strip, const void *sliver,
                               size_t n_rows, size_t n_cols, size_t n_k, bool add,
                               const float *bias, float *y, size_t y_stride)
{
    const bool has_min = wn_packed_format_of(w->type).has_min;
    vf sum[WN_BYTE_MR][2];
    WN_UNROLL
    for (int i = 0; i < WN_BYTE_MR; i++)
        sum[i][0] = sum[i][1] = vf_zero();
    if (has_min)
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            multiply_byte_group(sliver, strip, g, true, sum);
    else
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            multiply_byte_group(sliver, strip, g, false, sum);
    for (size_t i = 0; i < n_rows; i++)
        store_row(sum[i], n_cols, add, bias, y + i * y_stride);
}

static const wn_gemm_kernels simd_byte_gemm = {
    .mr = WN_BYTE_MR,
    .nr = WN_NR,
    .strip_bytes = WN_BYTE_MR * sizeof(byte_strip_row),
    .sliver_bytes = sizeof(byte_sliver),
    .pack_strip = simd_byte_pack_strip,
    .pack_panel = simd_byte_pack_panel,
    .multiply = simd_byte_multiply,
};

#endif
#endif
