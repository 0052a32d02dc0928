/* Decode: y[j] = w x[j] for m <= 8 rows of integer activations and packed weights.
 *
 * One pass over the weights, whose bytes are the cost; rows of x come from L1. Per group of 32
 * columns the products are summed exactly in 32 bits, then scaled and added in f32, in order of
 * columns: a row's bits depend on that row only.
 *     y = sum over blocks of sx * sum over groups of (d * (u . q - offset * sum q) - min * sum q)
 * |sum| <= 32 * 255 * 32767 + 128 * 32 * 32767 < 2^31.
 */
#ifndef WN_KERNELS_SIMD_PACKED_GEMV_H
#define WN_KERNELS_SIMD_PACKED_GEMV_H

#include "kernels/simd_packed.h"
#ifdef WN_LANES

#include "kernels/kernel_table.h"

/* Panels that are read side by side, block by block, and bytes of each: into L2 far enough ahead to
 * have enough lines on their way from memory, and from there into L1. As measured: memory of an
 * Intel Xeon gives more to two streams than to one; AMD Zen 4 reads one, fetched farther ahead, 1.1
 * to 1.5 times as fast. */
#ifdef __AMX_TILE__
#define GEMV_STREAMS 2
#define FAR_AHEAD 4096
#else
#define GEMV_STREAMS 1
#define FAR_AHEAD 16384
#endif
#define NEAR_AHEAD 1024

WN_INLINE vi broadcast_words(const int16_t *q)
{
    int32_t two;
    memcpy(&two, q, sizeof two);
    return vi_set1(two);
}

WN_INLINE vi broadcast_quad(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof four);
    return vi_set1(four);
}

/* acc[j] += quads `first` .. `first` + 3 (constant) of a group; two chains of additions. */
WN_INLINE void dot_quads(const wn_dtype type, const uint8_t *group, const int first,
                         const wn_x_block *x, size_t x_stride, size_t k, vi (*acc)[2], const int m)
{
    WN_UNROLL
    for (int i = first; i < first + 2; i++) {
        vi w[4];
        unpack_quads(type, group, i, w);
        if (type == WN_DTYPE_Q6_K)
            for (int p = 0; p < 4; p++)
                w[p] = vi_sub16(w[p], vi_set1(32 * 0x10001));
        WN_UNROLL
        for (int j = 0; j < m; j++) {
            const int16_t *q = x[(size_t)j * x_stride].q + k + 8 * (size_t)i;
            WN_UNROLL
            for (int p = 0; p < 4; p++)
                acc[j][p % 2] = vi_dot16(acc[j][p % 2], w[p], broadcast_words(q + 2 * p));
        }
    }
}

/* One group of LANES rows: sum[j] and, of types of 256 with minima, minus[j]. */
WN_INLINE void gemv_group_of_32(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                                size_t lane, size_t g, const wn_x_block *x, size_t x_stride,
                                vf *sum, vf *minus, const int m)
{
    const wn_packed_format f = wn_packed_format_of(type);
    vi acc[8][2];
    vf scale;
    for (int j = 0; j < m; j++) {
        const int start = type == WN_DTYPE_Q6_K ? 0 : -f.offset * x[(size_t)j * x_stride].sum[g];
        acc[j][0] = vi_set1(start);
        acc[j][1] = vi_set1(0);
    }
    if (type == WN_DTYPE_Q6_K) {
        dot_quads(type, group, 0, x, x_stride, 32 * g, acc, m);
        scale = vi_to_f32(record_sixteenth_scale(record, lane, 2 * g));
        for (int j = 0; j < m; j++) {
            sum[j] = vf_fma(vi_to_f32(vi_add(acc[j][0], acc[j][1])), scale, sum[j]);
            acc[j][0] = acc[j][1] = vi_set1(0);
        }
        dot_quads(type, group, 2, x, x_stride, 32 * g, acc, m);
        scale = vi_to_f32(record_sixteenth_scale(record, lane, 2 * g + 1));
    } else {
        dot_quads(type, group, 0, x, x_stride, 32 * g, acc, m);
        dot_quads(type, group, 2, x, x_stride, 32 * g, acc, m);
        scale = f.scale_step == 32 ? record_d(record, lane)
                                   : vi_to_f32(record_group_scale(record, lane, g));
    }
    for (int j = 0; j < m; j++) {
        sum[j] = vf_fma(vi_to_f32(vi_add(acc[j][0], acc[j][1])), scale, sum[j]);
        const vf x_sum = vf_set1(x[(size_t)j * x_stride].float_sum[g]);
        if (type == WN_DTYPE_Q4_1)
            sum[j] = vf_fma(record_min(record, lane), x_sum, sum[j]);
        else if (f.has_min)
            minus[j] = vf_fma(vi_to_f32(record_group_min(record, lane, g)), x_sum, minus[j]);
    }
}

/* A block of one panel and m (constant) rows of x: total[half][j] += the 16 products. Returns the
 * panel's next block. */
WN_INLINE const uint8_t *gemv_block(const wn_dtype type, const uint8_t *block, size_t n_groups,
                                    const wn_x_block *x, size_t x_stride,
                                    vf total[WN_PANEL_HALVES][8], const int m)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const uint8_t *record = block + n_groups * f.group_bytes, *ahead = block;
    vf sum[WN_PANEL_HALVES][8], minus[WN_PANEL_HALVES][8];
    for (size_t h = 0; h < WN_PANEL_HALVES; h++)
        for (int j = 0; j < m; j++)
            sum[h][j] = minus[h][j] = vf_zero();
    for (size_t g = 0; g < n_groups; g++, block += f.group_bytes) {
        for (size_t at = 0; at < wn_block_bytes(f, WN_BLOCK) / 8; at += 64) {
            __builtin_prefetch(ahead + FAR_AHEAD + at, 0, 2);
            __builtin_prefetch(ahead + NEAR_AHEAD + at, 0, 3);
        }
        ahead += wn_block_bytes(f, WN_BLOCK) / 8;
        WN_UNROLL
        for (size_t h = 0; h < WN_PANEL_HALVES; h++)
            gemv_group_of_32(type, block + 4 * WN_LANES * h, record, WN_LANES * h, g, x, x_stride,
                             sum[h], minus[h], m);
        record += f.scale_step == 32 ? f.record_bytes : 0;
    }
    for (size_t h = 0; h < WN_PANEL_HALVES; h++)
        for (int j = 0; j < m; j++) {
            vf s = sum[h][j];
            if (f.scale_step == 256)
                s = vf_mul(s, record_d(record, WN_LANES * h));
            if (f.scale_step == 256 && f.has_min)
                s = vf_fnma(record_min(record, WN_LANES * h), minus[h][j], s);
            total[h][j] = vf_fma(s, vf_set1(x[(size_t)j * x_stride].scale), total[h][j]);
        }
    return record + (f.scale_step == 256 ? f.record_bytes : 0);
}

/* n (constant) <= GEMV_STREAMS panels, step bytes apart: total[panel][half][j] = the products. */
WN_INLINE void gemv_streams(const wn_dtype type, const uint8_t *panel, size_t step, size_t n_in,
                            const wn_x_block *x, size_t x_stride,
                            vf total[GEMV_STREAMS][WN_PANEL_HALVES][8], const int m, const int n)
{
    const uint8_t *block[GEMV_STREAMS];
    for (int i = 0; i < n; i++) {
        block[i] = panel + (size_t)i * step;
        for (size_t h = 0; h < WN_PANEL_HALVES; h++)
            for (int j = 0; j < m; j++)
                total[i][h][j] = vf_zero();
    }
    for (size_t k = 0; k < n_in; k += WN_BLOCK, x++) {
        const size_t n_groups = (n_in - k < WN_BLOCK ? n_in - k : WN_BLOCK) / WN_GROUP;
        WN_UNROLL
        for (int i = 0; i < n; i++)
            block[i] = gemv_block(type, block[i], n_groups, x, x_stride, total[i], m);
    }
}

/* y = (add ? y : 0) + v + bias, the first n_rows of 16. */
WN_INLINE void store_panel(const vf *v, size_t v_step, size_t n_rows, bool add, const float *bias,
                           float *y)
{
    for (size_t r = 0; r < n_rows; r += WN_LANES, v += v_step) {
        const size_t n = n_rows - r < WN_LANES ? n_rows - r : WN_LANES;
        vf s = *v;
        if (bias)
            s = vf_add(s, n == WN_LANES ? vf_load(bias + r) : vf_load_n(bias + r, n));
        if (add)
            s = vf_add(s, n == WN_LANES ? vf_load(y + r) : vf_load_n(y + r, n));
        if (n == WN_LANES)
            vf_store(y + r, s);
        else
            vf_store_n(y + r, n, s);
    }
}

typedef struct packed_gemv_args {
    const wn_matrix *w;
    size_t row0, n_rows;
    const wn_x_block *x;
    size_t x_stride;
    bool add;
    const float *bias;
    float *y;
    size_t y_stride;
} packed_gemv_args;

/* n (constant) panels from rows `first` on of a->n_rows, step panels apart. */
WN_INLINE void gemv_some_panels(const packed_gemv_args *a, const wn_dtype type, size_t first,
                                size_t step, const int m, const int n)
{
    vf total[GEMV_STREAMS][WN_PANEL_HALVES][8];
    const uint8_t *panel = a->w->panels + (a->row0 + first) / WN_PANEL_ROWS * a->w->panel_bytes;
    gemv_streams(type, panel, step * a->w->panel_bytes, a->w->n_in, a->x, a->x_stride, total, m, n);
    for (int i = 0; i < n; i++) {
        const size_t r = first + (size_t)i * step * WN_PANEL_ROWS, left = a->n_rows - r;
        const size_t row = a->row0 + r;
        for (int j = 0; j < m; j++)
            store_panel(&total[i][0][j], 8, left < WN_PANEL_ROWS ? left : WN_PANEL_ROWS, a->add,
                        a->bias ? a->bias + row : NULL, a->y + (size_t)j * a->y_stride + row);
    }
}

WN_INLINE void gemv_panels(const packed_gemv_args *a, const wn_dtype type, const int m)
{
    const size_t n = (a->n_rows + WN_PANEL_ROWS - 1) / WN_PANEL_ROWS, step = n / GEMV_STREAMS;
    for (size_t i = 0; i < step; i++)
        gemv_some_panels(a, type, i * WN_PANEL_ROWS, step, m, GEMV_STREAMS);
    for (size_t i = step * GEMV_STREAMS; i < n; i++)
        gemv_some_panels(a, type, i * WN_PANEL_ROWS, 0, m, 1);
}

/* One function per type and number of rows, so that the loops over them unroll. */
#define WN_GEMV_FUNCTION(TYPE, M)                                                                  \
    static void packed_gemv_##TYPE##_##M(const packed_gemv_args *a)                                \
    {                                                                                              \
        gemv_panels(a, WN_DTYPE_##TYPE, M);                                                        \
    }
#define WN_GEMV_FUNCTIONS(TYPE)                                                                    \
    WN_GEMV_FUNCTION(TYPE, 1) WN_GEMV_FUNCTION(TYPE, 2) WN_GEMV_FUNCTION(TYPE, 4)
WN_PACKED_TYPES(WN_GEMV_FUNCTIONS)

static void packed_gemv_rows(const packed_gemv_args *a, int m)
{
#define WN_GEMV_CASE(TYPE)                                                                         \
    case WN_DTYPE_##TYPE:                                                                          \
        if (m == 1)                                                                                \
            packed_gemv_##TYPE##_1(a);                                                             \
        else if (m == 2)                                                                           \
            packed_gemv_##TYPE##_2(a);                                                             \
        else                                                                                       \
            packed_gemv_##TYPE##_4(a);                                                             \
        break;
    switch (a->w->type) {
        WN_PACKED_TYPES(WN_GEMV_CASE)
    default:
        break;
    }
#undef WN_GEMV_CASE
}

static void simd_packed_gemv(const wn_matrix *w, size_t row0, size_t n_rows, const wn_x_block *x,
                             size_t x_stride, size_t m, bool add, const float *bias, float *y,
                             size_t y_stride)
{
    packed_gemv_args a = {w, row0, n_rows, x, x_stride, add, bias, y, y_stride};
    while (m > 0) {
        const int n = m >= 4 ? 4 : m >= 2 ? 2 : 1;
        packed_gemv_rows(&a, n);
        a.x += (size_t)n * x_stride;
        a.y += (size_t)n * y_stride;
        m -= (size_t)n;
    }
}

#endif
#endif
