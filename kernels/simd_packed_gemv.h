/* Decode: y[j] = w x[j] for m <= 8 rows of integer activations and packed weights.
 *
 * One pass over the weights, whose bytes are the cost; rows of x come from L1. Per group of 32
 * columns the products are summed exactly in 32 bits, then scaled and added in f32, in order of
 * columns: a row's bits depend on that row only.
 *     y = sum over blocks of sx * sum over groups of (d * (u . q - offset * sum q) - min * sum q)
 * |sum| <= 32 * 255 * 32767 + 128 * 32 * 32767 < 2^31.
 *
 * AVX2 has an instruction for bytes that multiplies two columns to one of words: weights of 4 to 6
 * bits and activations of 8, which have their scale sx per group, take half the instructions, and
 * then memory sets the pace.
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

#if WN_LANES == 8
/* X(type) for every type whose products of bytes, several of two columns each, fit 16 bits. */
#define WN_BYTE_GEMV_TYPES(X) X(Q4_0) X(Q4_1) X(Q4_K) X(Q5_K) X(Q6_K)

/* 8 bytes, each as both words of a lane. */
WN_INLINE vi twin_words(const uint8_t *bytes, const bool is_signed)
{
    int64_t eight;
    memcpy(&eight, bytes, sizeof eight);
    const vi high = _mm256_setr_epi32(0x00800080, 0x01800180, 0x02800280, 0x03800380, 0x04800480,
                                      0x05800580, 0x06800680, 0x07800780);
    const vi words = _mm256_shuffle_epi8(_mm256_set1_epi64x(eight), high);
    return is_signed ? _mm256_srai_epi16(words, 8) : vi_shift_right16(words, 8);
}

/* What the words of the products of pairs of quads `pair`, which have one scale, are multiplied
 * with. */
WN_INLINE vi byte_scale_words(const wn_dtype type, const uint8_t *record, size_t lane, size_t g,
                              const int pair)
{
    if (type == WN_DTYPE_Q6_K)
        return twin_words(record + 32 + 16 * (2 * g + (size_t)pair / 2) + lane, true);
    return wn_packed_format_of(type).scale_step == 256
               ? twin_words(record + 64 + 16 * g + lane, false)
               : vi_set1(0x10001);
}

/* What is to be added to the sums of u . q for u's offset. */
WN_INLINE vi byte_start(const wn_dtype type, const uint8_t *record, size_t lane, size_t g,
                        const wn_x_block *x)
{
    if (type != WN_DTYPE_Q6_K)
        return vi_set1(-wn_packed_format_of(type).offset * x->sum[g]);
    int32_t halves;
    memcpy(&halves, x->half_sums[g], sizeof halves);
    const vi first = record_sixteenth_scale(record, lane, 2 * g);
    const vi second = record_sixteenth_scale(record, lane, 2 * g + 1);
    const vi scales = _mm256_blend_epi16(first, vi_shift_left(second, 16), 0xaa);
    const vi sum = vi_dot16(vi_set1(0), scales, vi_set1(halves));
    return _mm256_sub_epi32(vi_set1(0), vi_shift_left(sum, 5)); /* of 32 */
}

/* As gemv_group_of_32. A word takes 8, 4 or 2 products of two columns: 2 * 127 * 8 * 15, 4 * 31 and
 * 2 * 63 are below 2^15. */
WN_INLINE void byte_gemv_group(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                               size_t lane, size_t g, const wn_x_block *x, size_t x_stride, vf *sum,
                               vf *minus, const int m)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const int pairs = type == WN_DTYPE_Q6_K ? 1 : type == WN_DTYPE_Q5_K ? 2 : 4; /* of quads */
    vi acc[8];
    for (int j = 0; j < m; j++)
        acc[j] = byte_start(type, record, lane, g, x + (size_t)j * x_stride);
    WN_UNROLL
    for (int first = 0; first < 4; first += pairs) {
        vi part[8];
        WN_UNROLL
        for (int i = first; i < first + pairs; i++) {
            vi b[2];
            unpack_bytes(type, group, i, b);
            WN_UNROLL
            for (int j = 0; j < m; j++) {
                const int8_t *q = x[(size_t)j * x_stride].bytes + 32 * g + 8 * (size_t)i;
                const vi two = _mm256_add_epi16(_mm256_maddubs_epi16(b[0], broadcast_quad(q)),
                                                _mm256_maddubs_epi16(b[1], broadcast_quad(q + 4)));
                part[j] = i == first ? two : _mm256_add_epi16(part[j], two);
            }
        }
        const vi scales = byte_scale_words(type, record, lane, g, first);
        for (int j = 0; j < m; j++)
            acc[j] = vi_dot16(acc[j], part[j], scales);
    }
    for (int j = 0; j < m; j++) {
        const wn_x_block *b = x + (size_t)j * x_stride;
        vf scale = vf_set1(b->scales[g]);
        if (f.scale_step == 32)
            scale = vf_mul(scale, record_d(record, lane));
        sum[j] = vf_fma(vi_to_f32(acc[j]), scale, sum[j]);
        const vf x_sum = vf_set1(b->float_sum[g]);
        if (type == WN_DTYPE_Q4_1)
            sum[j] = vf_fma(record_min(record, lane), x_sum, sum[j]);
        else if (f.has_min)
            minus[j] = vf_fma(vi_to_f32(record_group_min(record, lane, g)), x_sum, minus[j]);
    }
}
#define WN_GEMV_GROUP(bytes) ((bytes) ? byte_gemv_group : gemv_group_of_32)
#else
#define WN_BYTE_GEMV_TYPES(X)
#define WN_GEMV_GROUP(bytes) ((void)(bytes), gemv_group_of_32)
#endif

/* A block of one panel and m (constant) rows of x: total[half][j] += the 16 products. Returns the
 * panel's next block. */
WN_INLINE const uint8_t *gemv_block(const wn_dtype type, const bool bytes, const uint8_t *block,
                                    size_t n_groups, const wn_x_block *x, size_t x_stride,
                                    vf total[WN_PANEL_HALVES][8], const int m)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const uint8_t *first_record = block + n_groups * f.group_bytes, *ahead = block;
    /* More rows of sums than one do not fit the registers for two halves. */
    const size_t halves = m == 1 ? WN_PANEL_HALVES : 1;
    for (size_t first = 0; first < WN_PANEL_HALVES; first += halves) {
        const uint8_t *group = block, *record = first_record;
        vf sum[WN_PANEL_HALVES][8], minus[WN_PANEL_HALVES][8];
        for (size_t h = 0; h < halves; h++)
            for (int j = 0; j < m; j++)
                sum[h][j] = minus[h][j] = vf_zero();
        for (size_t g = 0; g < n_groups; g++, group += f.group_bytes) {
            for (size_t at = 0; first == 0 && at < wn_block_bytes(f, WN_BLOCK) / 8; at += 64) {
                __builtin_prefetch(ahead + FAR_AHEAD + at, 0, 2);
                __builtin_prefetch(ahead + NEAR_AHEAD + at, 0, 3);
            }
            ahead += wn_block_bytes(f, WN_BLOCK) / 8;
            WN_UNROLL
            for (size_t h = 0; h < halves; h++)
                WN_GEMV_GROUP(bytes)
            (type, group + 4 * WN_LANES * (first + h), record, WN_LANES * (first + h), g, x,
             x_stride, sum[h], minus[h], m);
            record += f.scale_step == 32 ? f.record_bytes : 0;
        }
        for (size_t h = 0; h < halves; h++)
            for (int j = 0; j < m; j++) {
                const size_t lane = WN_LANES * (first + h);
                vf s = sum[h][j];
                if (f.scale_step == 256)
                    s = vf_mul(s, record_d(record, lane));
                if (f.scale_step == 256 && f.has_min)
                    s = vf_fnma(record_min(record, lane), minus[h][j], s);
                total[first + h][j] =
                    vf_fma(s, vf_set1(x[(size_t)j * x_stride].scale), total[first + h][j]);
            }
    }
    return first_record + n_groups * WN_GROUP / f.scale_step * f.record_bytes;
}

/* n (constant) <= GEMV_STREAMS panels, step bytes apart: total[panel][half][j] = the products. */
WN_INLINE void gemv_streams(const wn_dtype type, const bool bytes, const uint8_t *panel,
                            size_t step, size_t n_in, const wn_x_block *x, size_t x_stride,
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
            block[i] = gemv_block(type, bytes, block[i], n_groups, x, x_stride, total[i], m);
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
WN_INLINE void gemv_some_panels(const packed_gemv_args *a, const wn_dtype type, const bool bytes,
                                size_t first, size_t step, const int m, const int n)
{
    vf total[GEMV_STREAMS][WN_PANEL_HALVES][8];
    const uint8_t *panel = a->w->panels + (a->row0 + first) / WN_PANEL_ROWS * a->w->panel_bytes;
    gemv_streams(type, bytes, panel, step * a->w->panel_bytes, a->w->n_in, a->x, a->x_stride, total,
                 m, n);
    for (int i = 0; i < n; i++) {
        const size_t r = first + (size_t)i * step * WN_PANEL_ROWS, left = a->n_rows - r;
        const size_t row = a->row0 + r;
        for (int j = 0; j < m; j++)
            store_panel(&total[i][0][j], 8, left < WN_PANEL_ROWS ? left : WN_PANEL_ROWS, a->add,
                        a->bias ? a->bias + row : NULL, a->y + (size_t)j * a->y_stride + row);
    }
}

WN_INLINE void gemv_panels(const packed_gemv_args *a, const wn_dtype type, const bool bytes,
                           const int m)
{
    const size_t n = (a->n_rows + WN_PANEL_ROWS - 1) / WN_PANEL_ROWS, step = n / GEMV_STREAMS;
    for (size_t i = 0; i < step; i++)
        gemv_some_panels(a, type, bytes, i * WN_PANEL_ROWS, step, m, GEMV_STREAMS);
    for (size_t i = step * GEMV_STREAMS; i < n; i++)
        gemv_some_panels(a, type, bytes, i * WN_PANEL_ROWS, 0, m, 1);
}

/* One function per type, kind of x and number of rows, so that the loops over them unroll. */
#define WN_PANEL_GEMV(TYPE, BYTES, M)                                                              \
    static void gemv_##TYPE##_##BYTES##_##M(const packed_gemv_args *a)                             \
    {                                                                                              \
        gemv_panels(a, WN_DTYPE_##TYPE, BYTES, M);                                                 \
    }
#define WN_PANEL_GEMVS(TYPE, BYTES)                                                                \
    WN_PANEL_GEMV(TYPE, BYTES, 1)                                                                  \
    WN_PANEL_GEMV(TYPE, BYTES, 2)                                                                  \
    WN_PANEL_GEMV(TYPE, BYTES, 4)
#define WN_WORD_FUNCTIONS(TYPE) WN_PANEL_GEMVS(TYPE, 0)
#define WN_BYTE_FUNCTIONS(TYPE) WN_PANEL_GEMVS(TYPE, 1)
WN_PACKED_TYPES(WN_WORD_FUNCTIONS)
WN_BYTE_GEMV_TYPES(WN_BYTE_FUNCTIONS)

#define WN_PANEL_GEMV_CASE(TYPE, BYTES)                                                            \
    case 2 * WN_DTYPE_##TYPE + BYTES:                                                              \
        if (m == 1)                                                                                \
            gemv_##TYPE##_##BYTES##_1(a);                                                          \
        else if (m == 2)                                                                           \
            gemv_##TYPE##_##BYTES##_2(a);                                                          \
        else                                                                                       \
            gemv_##TYPE##_##BYTES##_4(a);                                                          \
        break;
#define WN_WORD_CASE(TYPE) WN_PANEL_GEMV_CASE(TYPE, 0)
#define WN_BYTE_CASE(TYPE) WN_PANEL_GEMV_CASE(TYPE, 1)

static void gemv_rows(const packed_gemv_args *a, bool bytes, int m)
{
    switch (2 * (int)a->w->type + bytes) {
        WN_PACKED_TYPES(WN_WORD_CASE)
        WN_BYTE_GEMV_TYPES(WN_BYTE_CASE)
    default:
        break;
    }
}

/* As packed_gemv and byte_gemv of kernel_table.h. */
WN_INLINE void gemv_all_rows(packed_gemv_args a, bool bytes, size_t m)
{
    while (m > 0) {
        const int n = m >= 4 ? 4 : m >= 2 ? 2 : 1;
        gemv_rows(&a, bytes, n);
        a.x += (size_t)n * a.x_stride;
        a.y += (size_t)n * a.y_stride;
        m -= (size_t)n;
    }
}

static void simd_packed_gemv(const wn_matrix *w, size_t row0, size_t n_rows, const wn_x_block *x,
                             size_t x_stride, size_t m, bool add, const float *bias, float *y,
                             size_t y_stride)
{
    const packed_gemv_args a = {w, row0, n_rows, x, x_stride, add, bias, y, y_stride};
    gemv_all_rows(a, false, m);
}

#if WN_LANES == 8
static inline void simd_byte_gemv(const wn_matrix *w, size_t row0, size_t n_rows,
                                  const wn_x_block *x, size_t x_stride, size_t m, bool add,
                                  const float *bias, float *y, size_t y_stride)
{
    const packed_gemv_args a = {w, row0, n_rows, x, x_stride, add, bias, y, y_stride};
    gemv_all_rows(a, true, m);
}
#endif

#endif
#endif
