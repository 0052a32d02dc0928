/* Prefill with packed weights: a blocked product of 16-bit integers with exact 32-bit sums.
 *
 * One instruction (two on AVX2) multiplies and sums two columns a lane, so the peak is twice that
 * of f32. Weights are widened once per block of columns into slivers of NR rows:
 *   types of 32   words u - offset; sums over 32 columns, then scaled in f32
 *   types of 256  words (u - offset) * group scale; the sum over all 256 columns fits 32 bits with
 *                 11-bit activations: 256 * 32 * 128 * 2047 < 2^31 (Q6_K, the largest)
 *   Q8_0, AVX2    words (u - offset) * 32 d / (the largest d of the 256 columns), rounded, then as
 *                 types of 256: converting and adding every group's sums takes 6 % of the time and
 *                 registers that there are not. A step is 1/4096 of the largest weight.
 *
 * y += sx * (sum over scale steps of d * (w . q) - sum over groups of min * sum q).
 */
#ifndef WN_KERNELS_SIMD_PACKED_GEMM_H
#define WN_KERNELS_SIMD_PACKED_GEMM_H

#include "kernels/compute_internal.h"
#include "kernels/simd_gemm.h"
#include "kernels/simd_packed_gemv.h"
#include "kernels/simd_quantize.h"
#ifdef WN_LANES

/* 12 integer and 12 f32 accumulators of 32 registers, or 12 integer ones, 2 columns, 1 broadcast
 * and 1 product of 16. */
#define WN_PACKED_MR 6

/* Blocks of 256 columns of a strip or sliver: 16 KB of words. */
#define PACKED_BLOCKS (32 / WN_NR)

/* Whether scales of groups are multiplied into the words, so that a sum runs over 256 columns. */
WN_INLINE bool words_scaled(const wn_dtype type)
{
    return wn_packed_format_of(type).scale_step == 256 || (WN_LANES == 8 && type == WN_DTYPE_Q8_0);
}

/* Both of one block. */
typedef struct packed_strip {
    int16_t q[WN_BLOCK / 2][WN_PACKED_MR][2]; /* read as one stream */
    float sum[WN_BLOCK / WN_GROUP][WN_PACKED_MR];
    float scale[WN_PACKED_MR], cache_line_end[10];
} packed_strip;

typedef struct packed_sliver {
    int16_t words[WN_BLOCK / 2][WN_NR][2];
    float scale[WN_BLOCK / WN_GROUP][WN_NR];
    float min[WN_BLOCK / WN_GROUP][WN_NR]; /* subtracted */
} packed_sliver;

/* Largest |q|: as in wn_x_limit, with words of up to 32 * 128 where they are scaled. */
static float packed_x_limit(wn_dtype type)
{
    return words_scaled(type) ? 2047.0f : wn_x_limit(type);
}

/* The largest |d| of a block of a type of 32; NaN where one is not finite. */
WN_INLINE vf largest_d(const wn_packed_format f, const uint8_t *record, size_t lane, size_t n_k)
{
    vf most = vf_zero(), zero_if_finite = vf_zero();
    for (size_t g = 0; g < n_k / WN_GROUP; g++, record += f.record_bytes) {
        const vf d = record_d(record, lane);
        most = vf_max(most, vf_abs(d));
        zero_if_finite = vf_fma(d, vf_zero(), zero_if_finite);
    }
    return vf_add(most, zero_if_finite);
}

/* What a group's words are multiplied by, of its first and last 16 columns, in both halves. */
WN_INLINE void word_scales(const wn_dtype type, const uint8_t *record, size_t lane, size_t g,
                           vf most, vi scale[2])
{
    if (type == WN_DTYPE_Q8_0) {
        const vf d = record_d(record + wn_packed_format_of(type).record_bytes * g, lane);
        const vi ratio = vi_from_f32(vf_mul(d, vf_div(vf_set1(32767), most)));
        scale[0] = scale[1] = vi_and(ratio, 0xffff);
    } else if (type == WN_DTYPE_Q4_K || type == WN_DTYPE_Q5_K) {
        scale[0] = scale[1] = record_group_scale(record, lane, g);
    } else {
        for (size_t i = 0; i < 2; i++)
            scale[i] = vi_and(record_sixteenth_scale(record, lane, 2 * g + i), 0xffff);
    }
    for (int i = 0; i < 2; i++)
        scale[i] = vi_or(scale[i], vi_shift_left(scale[i], 16));
}

/* Widens one group (32 columns) of LANES rows; `words` at the rows' first lane of pair 0. */
WN_INLINE void widen_group(const wn_dtype type, const uint8_t *group, const vi scale[2],
                           int16_t *words)
{
    const wn_packed_format f = wn_packed_format_of(type);
    WN_UNROLL
    for (int i = 0; i < 4; i++) {
        vi w[4];
        unpack_quads(type, group, i, w);
        for (int p = 0; p < 4; p++) {
            if (f.offset)
                w[p] = vi_sub16(w[p], vi_set1(f.offset * 0x10001));
            if (words_scaled(type))
                w[p] = type == WN_DTYPE_Q8_0
                           ? vi_mul16_fraction(vi_shift_left16(w[p], 5), scale[i / 2])
                           : vi_mul16(w[p], scale[i / 2]);
            vi_store(words + (size_t)(4 * i + p) * 2 * WN_NR, w[p]);
        }
    }
}

/* While group g of 256 columns of a panel is read, its part of the next 256 is fetched: with few
 * rows of x, waiting for memory is most of the work. */
WN_INLINE void fetch_next_block(const wn_packed_format f, const uint8_t *block, size_t lane,
                                size_t g)
{
    const size_t bytes = wn_block_bytes(f, WN_BLOCK), share = bytes / (WN_BLOCK / WN_GROUP);
    for (size_t at = 0; lane == 0 && at < share; at += 64)
        __builtin_prefetch(block + bytes + g * share + at, 0, 2);
}

/* What memory sends meanwhile where few rows are multiplied block by block: the next block but one,
 * a step at a time. Panels lie one behind the other. */
typedef struct packed_ahead {
    const uint8_t *at;
    size_t step; /* 0: nothing */
} packed_ahead;

WN_INLINE packed_ahead look_ahead(const wn_matrix *w, size_t row0, size_t k, size_t n_steps)
{
    const wn_packed_format f = wn_packed_format_of(w->type);
    const size_t bytes = wn_block_bytes(f, WN_BLOCK);
    return (packed_ahead){w->panels + row0 / WN_PANEL_ROWS * w->panel_bytes + wn_panel_group(f, k) +
                              2 * bytes,
                          (bytes + n_steps - 1) / n_steps};
}

WN_INLINE void fetch_ahead(packed_ahead *a)
{
    for (size_t at = 0; at < a->step; at += 64)
        __builtin_prefetch(a->at + at, 0, 3);
    a->at += a->step;
}

/* LANES rows of a panel into lanes `at` of a sliver. */
WN_INLINE void widen_rows(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                          size_t lane, size_t n_k, packed_sliver *s, size_t at)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const bool scaled = words_scaled(type);
    const vf most = scaled && f.scale_step == 32 ? largest_d(f, record, lane, n_k) : vf_zero();
    const uint8_t *block = group;
    for (size_t g = 0; g < n_k / WN_GROUP; g++, group += f.group_bytes) {
        fetch_next_block(f, block, lane, g);
        vi scale[2];
        if (scaled)
            word_scales(type, record, lane, g, most, scale);
        widen_group(type, group + 4 * lane, scale, s->words[16 * g][at]);
        if (!scaled) {
            vf_store(&s->scale[g][at], record_d(record, lane));
            if (f.has_min)
                vf_store(&s->min[g][at], vf_sub(vf_zero(), record_min(record, lane)));
            record += f.record_bytes;
        } else if (f.has_min) {
            const vf min = vi_to_f32(record_group_min(record, lane, g));
            vf_store(&s->min[g][at], vf_mul(min, record_min(record, lane)));
        }
    }
    if (scaled && f.scale_step == 32) /* a fraction has 15 bits, weights 5 more */
        vf_store(&s->scale[0][at], vf_mul(most, vf_set1(1024.0f / 32767)));
    else if (scaled)
        vf_store(&s->scale[0][at], record_d(record, lane));
}

WN_INLINE void widen_block(const wn_matrix *w, const wn_dtype type, size_t row0, size_t n_rows,
                           size_t k0, size_t n_k, packed_sliver *s)
{
    const wn_packed_format f = wn_packed_format_of(type);
    for (size_t at = 0; at < WN_NR; at += WN_LANES) {
        if (at >= n_rows) {
            for (size_t p = 0; p < n_k / 2; p++)
                vi_store(s->words[p][at], vi_set1(0));
            for (size_t g = 0; g < WN_BLOCK / WN_GROUP; g++) {
                vf_store(&s->scale[g][at], vf_zero());
                vf_store(&s->min[g][at], vf_zero());
            }
            continue;
        }
        const size_t row = row0 + at;
        const uint8_t *panel = w->panels + row / WN_PANEL_ROWS * w->panel_bytes;
        widen_rows(type, panel + wn_panel_group(f, k0), panel + wn_panel_record(f, w->n_in, k0),
                   row % WN_PANEL_ROWS, n_k, s, at);
    }
}

WN_INLINE void widen_sliver(const wn_matrix *w, const wn_dtype type, size_t row0, size_t n_rows,
                            size_t k0, size_t n_k, packed_sliver *s)
{
    for (size_t k = 0; k < n_k; k += WN_BLOCK, s++)
        widen_block(w, type, row0, n_rows, k0 + k, wn_size_min(n_k - k, WN_BLOCK), s);
}

static void pack_packed_slivers(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0,
                                size_t n_k, packed_sliver *s)
{
    for (size_t r = 0; r < n_rows; r += WN_NR, s += PACKED_BLOCKS) {
#define WN_WIDEN_CASE(TYPE)                                                                        \
    case WN_DTYPE_##TYPE:                                                                          \
        widen_sliver(w, WN_DTYPE_##TYPE, row0 + r, n_rows - r, k0, n_k, s);                        \
        break;
        switch (w->type) {
            WN_PACKED_TYPES(WN_WIDEN_CASE)
        default:
            break;
        }
#undef WN_WIDEN_CASE
    }
}

static void simd_packed_pack_slivers(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0,
                                     size_t n_k, void *out, float *temp)
{
    (void)temp;
    pack_packed_slivers(w, row0, n_rows, k0, n_k, out);
}

static void pack_block(const float *x, size_t x_stride, size_t n_rows, size_t n_k, float limit,
                       packed_strip *strip)
{
    wn_x_block row;
    for (size_t i = 0; i < n_rows; i++) {
        simd_quantize(x + i * x_stride, n_k, limit, &row);
        for (size_t p = 0; p < n_k / 2; p++)
            memcpy(strip->q[p][i], row.q + 2 * p, sizeof strip->q[p][i]);
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            strip->sum[g][i] = row.float_sum[g];
        strip->scale[i] = row.scale;
    }
    for (size_t i = n_rows; i < WN_PACKED_MR; i++) { /* rows that nobody stores */
        for (size_t p = 0; p < n_k / 2; p++)
            memset(strip->q[p][i], 0, sizeof strip->q[p][i]);
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            strip->sum[g][i] = 0;
        strip->scale[i] = 0;
    }
}

static void simd_packed_pack_strip(const wn_matrix *w, const float *x, size_t x_stride,
                                   size_t n_rows, size_t n_k, void *out)
{
    packed_strip *strip = out;
    for (size_t k = 0; k < n_k; k += WN_BLOCK, strip++)
        pack_block(x + k, x_stride, n_rows, wn_size_min(n_k - k, WN_BLOCK), packed_x_limit(w->type),
                   strip);
}

/* acc[v] += w[v] . the pair at `pair`, in all lanes. */
WN_INLINE void multiply_pair(vi acc[2], const vi w[2], const int16_t *pair)
{
#if WN_LANES == 8 /* as intrinsics, gcc interleaves rows, for which there are no registers */
    vi q, product;
    __asm__("vpbroadcastd %4, %2\n\t"
            "vpmaddwd %2, %5, %3\n\t"
            "vpmaddwd %2, %6, %2\n\t"
            "vpaddd %3, %0, %0\n\t"
            "vpaddd %2, %1, %1"
            : "+x"(acc[0]), "+x"(acc[1]), "=&x"(q), "=&x"(product)
            : "m"(*(const char(*)[4])(const void *)pair), "x"(w[0]), "x"(w[1]));
#else
    const vi q = broadcast_words(pair);
    acc[0] = vi_dot16(acc[0], w[0], q);
    acc[1] = vi_dot16(acc[1], w[1], q);
#endif
}

/* acc[i][v] += n pairs of all rows, n even: x[p * pair + i * row ...]; pair, row and rows are
 * constants. */
WN_INLINE void multiply_words(const int16_t (*words)[WN_NR][2], const int16_t *x, const size_t pair,
                              const size_t row, size_t n, vi (*acc)[2], const int rows)
{
    for (size_t p = 0; p < n; p += 2, x += 2 * pair) {
        WN_UNROLL
        for (size_t at = 0; at < 2; at++) {
            const vi w[2] = {vi_load(words[p + at][0]), vi_load(words[p + at][WN_LANES])};
            WN_UNROLL
            for (int i = 0; i < rows; i++)
                multiply_pair(acc[i], w, x + at * pair + (size_t)i * row);
        }
    }
}

/* sum[i][v] += scaled sums of one scale step, pairs p0 .. p0 + n. */
WN_INLINE void multiply_step(const packed_sliver *s, const packed_strip *x, size_t step, size_t p0,
                             size_t n, vf (*sum)[2], const int rows)
{
    vi acc[WN_PACKED_MR][2];
    WN_UNROLL
    for (int i = 0; i < rows; i++)
        acc[i][0] = acc[i][1] = vi_set1(0);
    multiply_words(s->words + p0, x->q[p0][0], 2 * WN_PACKED_MR, 2, n, acc, rows);
    WN_UNROLL
    for (int v = 0; v < 2; v++) {
        const vf scale = vf_load(&s->scale[step][(size_t)v * WN_LANES]);
        WN_UNROLL
        for (int i = 0; i < rows; i++)
            sum[i][v] = vf_fma(vi_to_f32(acc[i][v]), scale, sum[i][v]);
    }
}

/* total[i][v] += one block of all rows. */
WN_INLINE void multiply_block(const packed_sliver *s, const packed_strip *x, size_t n_k,
                              const int per_group, bool has_min, vf (*total)[2], const int rows)
{
    vf sum[WN_PACKED_MR][2];
    WN_UNROLL
    for (int i = 0; i < rows; i++)
        sum[i][0] = sum[i][1] = vf_zero();
    if (per_group)
        for (size_t g = 0; g < n_k / WN_GROUP; g++)
            multiply_step(s, x, g, 16 * g, 16, sum, rows);
    else
        multiply_step(s, x, 0, 0, n_k / 2, sum, rows);
    for (size_t g = 0; has_min && g < n_k / WN_GROUP; g++) {
        const vf m0 = vf_load(&s->min[g][0]), m1 = vf_load(&s->min[g][WN_LANES]);
        WN_UNROLL
        for (int i = 0; i < rows; i++) {
            const vf x_sum = vf_set1(x->sum[g][i]);
            sum[i][0] = vf_fnma(m0, x_sum, sum[i][0]);
            sum[i][1] = vf_fnma(m1, x_sum, sum[i][1]);
        }
    }
    WN_UNROLL
    for (int i = 0; i < rows; i++) {
        total[i][0] = vf_fma(sum[i][0], vf_set1(x->scale[i]), total[i][0]);
        total[i][1] = vf_fma(sum[i][1], vf_set1(x->scale[i]), total[i][1]);
    }
}

static void simd_packed_multiply(const wn_matrix *w, const void *strip, const void *sliver,
                                 size_t n_rows, size_t n_cols, size_t n_k, const wn_gemm_out *out)
{
    const bool has_min = wn_packed_format_of(w->type).has_min, scaled = words_scaled(w->type);
    const packed_sliver *s = sliver;
    const packed_strip *x = strip;
    vf sum[WN_PACKED_MR][2];
    for (size_t i = 0; i < WN_PACKED_MR; i++)
        sum[i][0] = sum[i][1] = vf_zero();
    for (size_t k = 0; k < n_k; k += WN_BLOCK, s++, x++) {
        const size_t n = wn_size_min(n_k - k, WN_BLOCK);
        if (scaled)
            multiply_block(s, x, n, 0, has_min, sum, WN_PACKED_MR);
        else
            multiply_block(s, x, n, 1, has_min, sum, WN_PACKED_MR);
    }
    for (size_t i = 0; i < n_rows; i++)
        store_tile_row(sum[i], n_cols, out, i);
}

#if WN_LANES == 8 /* with AVX-512, few matrices are multiplied here */
/* A block of weights, and the sums of all rows with the blocks before. */
typedef struct packed_few {
    packed_sliver block;
    vf sums[WN_GEMM_FEW_ROWS + WN_PACKED_MR][2];
} packed_few;
_Static_assert(sizeof(packed_few) <= PACKED_BLOCKS * sizeof(packed_sliver), "sliver_bytes");

static void simd_packed_multiply_few(const wn_matrix *w, size_t row0, size_t k0, const void *strips,
                                     size_t n_rows, size_t n_cols, size_t n_k, void *scratch,
                                     const wn_gemm_out *out)
{
    const bool has_min = wn_packed_format_of(w->type).has_min, scaled = words_scaled(w->type);
    const size_t n_strips = wn_size_div_up(n_rows, WN_PACKED_MR);
    packed_few *few = scratch;
    for (size_t i = 0; i < n_strips * WN_PACKED_MR; i++)
        few->sums[i][0] = few->sums[i][1] = vf_zero();
    for (size_t k = 0; k < n_k; k += WN_BLOCK) {
        const size_t n = wn_size_min(n_k - k, WN_BLOCK);
        const packed_strip *x = (const packed_strip *)strips + k / WN_BLOCK;
        packed_ahead ahead = look_ahead(w, row0, k0 + k, n_strips);
        pack_packed_slivers(w, row0, n_cols, k0 + k, n, &few->block);
        for (size_t i = 0; i < n_strips; i++, x += PACKED_BLOCKS) {
            fetch_ahead(&ahead);
            if (scaled)
                multiply_block(&few->block, x, n, 0, has_min, few->sums + i * WN_PACKED_MR,
                               WN_PACKED_MR);
            else
                multiply_block(&few->block, x, n, 1, has_min, few->sums + i * WN_PACKED_MR,
                               WN_PACKED_MR);
        }
    }
    for (size_t i = 0; i < n_rows; i++)
        store_tile_row(few->sums[i], n_cols, out, i);
}
#else
#define simd_packed_multiply_few NULL
#endif

static const wn_gemm_kernels simd_packed_gemm = {
    .mr = WN_PACKED_MR,
    .nr = WN_NR,
    .kc = PACKED_BLOCKS * WN_BLOCK,
    .strip_bytes = PACKED_BLOCKS * sizeof(packed_strip),
    .sliver_bytes = PACKED_BLOCKS * sizeof(packed_sliver),
    .x_limit = packed_x_limit,
    .pack_strip = simd_packed_pack_strip,
    .pack_slivers = simd_packed_pack_slivers,
    .multiply = simd_packed_multiply,
    .multiply_few = simd_packed_multiply_few,
};

#endif
#endif
