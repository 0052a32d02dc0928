/* Weights of 4 bits as AMX tiles by rows, [16 rows of w][32 columns], the first operand of a
 * product: half the work of the other order (simd_tile_weights.h). A row has 16 values in a group
 * of columns, so they are rounded to bf16 once and then looked up, a row at a time.
 *
 * The product comes out transposed, and x has to lie in pairs of columns, [16 pairs][16 rows][2].
 * Bits are the same: factors are, and pairs of columns are summed in the same order.
 */
#ifndef WN_KERNELS_SIMD_TILE_ROWS_H
#define WN_KERNELS_SIMD_TILE_ROWS_H

#include "kernels/simd_tile_weights.h"
#ifdef WN_LANES

/* 16 x 16 words of 32 bits; not in place. */
WN_INLINE void turn_tile(const void *from, void *to)
{
    const float *in = from;
    float *out = to;
    for (size_t row = 0; row < AMX_ROWS; row += WN_LANES)
        for (size_t column = 0; column < 16; column += WN_LANES) {
            vf v[WN_LANES];
            for (size_t i = 0; i < WN_LANES; i++)
                v[i] = vf_load(in + (row + i) * 16 + column);
            vf_transpose(v);
            for (size_t i = 0; i < WN_LANES; i++)
                vf_store(out + (column + i) * 16 + row, v[i]);
        }
}

WN_INLINE bool can_pack_rows(const wn_matrix *w)
{
    return w->panels && wn_packed_bits(wn_packed_format_of(w->type)) == 4;
}

/* w = scale * u + base, of the rows of a group. In memory: what was just stored comes back late. */
typedef struct row_numbers {
    _Alignas(64) float scale[AMX_ROWS], base[AMX_ROWS];
} row_numbers;

#if WN_LANES == 16
/* v[i]: words i of all rows -> words 0 .. 3 of rows i, 4 + i, 8 + i, 12 + i. */
WN_INLINE void gather_rows(vi v[4])
{
    const vi a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
    const vi c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
    v[0] = _mm512_unpacklo_epi64(a, c);
    v[1] = _mm512_unpackhi_epi64(a, c);
    v[2] = _mm512_unpacklo_epi64(b, d);
    v[3] = _mm512_unpackhi_epi64(b, d);
}

/* Through memory, where reading a part again costs no shuffle; compilers would make some of it. */
#define TILE_IN_MEMORY(x) __asm__("" : "+m"(x))

WN_INLINE void fill_row_numbers(const wn_dtype type, const wn_matrix *w, size_t panel, size_t k,
                                size_t n, row_numbers *out)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const uint8_t *record = w->panels + panel * w->panel_bytes + wn_panel_record(f, w->n_in, k);
    for (size_t i = 0; i < n; record += f.record_bytes) {
        const row_record r = row_record_of(type, record, 0);
        for (size_t g = 0; i < n && g < f.scale_step / WN_GROUP; g++, i++) {
            vf scale, base;
            row_scales(type, r, record, 0, g, 0, &scale, &base);
            vf_store(out[i].scale, scale);
            vf_store(out[i].base, base);
        }
    }
}

/* The 16 values of two rows as bf16, first those of `row`. */
WN_INLINE vi row_values(const row_numbers *n, int row)
{
    const vf u = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return vf_to_bf16(vf_fma(vf_set1(n->scale[row]), u, vf_set1(n->base[row])),
                      vf_fma(vf_set1(n->scale[row + 1]), u, vf_set1(n->base[row + 1])));
}

/* The 32 numbers of lane `lane` (128 bits) of v, in the order of tiles, from a table of 16. */
WN_INLINE vi look_up_row(vi v, const int lane, const uint16_t table[16])
{
    const vi word = _mm512_add_epi32(
        _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3), vi_set1(4 * lane));
    const vi by = _mm512_set4_epi32(12 * 0x10001, 4 * 0x10001, 8 * 0x10001, 0);
    /* Twice the table: only four bits of each index count then. */
    const vi twice = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)table));
    return _mm512_permutexvar_epi16(_mm512_srlv_epi16(_mm512_permutexvar_epi32(word, v), by),
                                    twice);
}
#endif

/* Of n groups, up to a block of 256 columns, from column 32 k on, where such a block begins. */
static void pack_row_numbers(const wn_matrix *w, size_t row0, size_t k, size_t n, row_numbers *out)
{
#if WN_LANES == 16
    if (row0 >= w->n_out)
        return;
    if (w->type == WN_DTYPE_Q4_K)
        fill_row_numbers(WN_DTYPE_Q4_K, w, row0 / WN_PANEL_ROWS, 32 * k, n, out);
    else if (w->type == WN_DTYPE_Q4_0)
        fill_row_numbers(WN_DTYPE_Q4_0, w, row0 / WN_PANEL_ROWS, 32 * k, n, out);
    else
        fill_row_numbers(WN_DTYPE_Q4_1, w, row0 / WN_PANEL_ROWS, 32 * k, n, out);
#else
    (void)w, (void)row0, (void)k, (void)n, (void)out;
#endif
}

/* 16 rows of w from row0 on, zeros for those that are not there, columns 32 k .., and the numbers
 * of this group. Lines of memory that are wanted later are asked for between rows, not all at once:
 * a core has 16 on their way at most. temp: see pack_tile. */
WN_INLINE void pack_row_tile(const wn_matrix *w, size_t row0, size_t k, const row_numbers *numbers,
                             const uint8_t *later, amx_pairs *tile, float *temp)
{
#if WN_LANES == 16
    (void)temp;
    if (row0 >= w->n_out) {
        memset(tile, 0, sizeof *tile);
        return;
    }
    _Alignas(64) uint16_t tables[8][32];
    const uint8_t *group = w->panels + row0 / WN_PANEL_ROWS * w->panel_bytes +
                           wn_panel_group(wn_packed_format_of(w->type), 32 * k);
    vi v[4] = {vi_load(group), vi_load(group + 64), vi_load(group + 128), vi_load(group + 192)};
    gather_rows(v);
    WN_UNROLL
    for (int row = 0; row < 16; row += 2) {
        if (row % 8 == 0)
            __builtin_prefetch(later + row / 8 * 64, 0, 3);
        vi_store(tables[row / 2], row_values(numbers, row));
    }
    TILE_IN_MEMORY(tables);
    WN_UNROLL
    for (int row = 0; row < 16; row++) {
        if (row % 6 == 0)
            __builtin_prefetch(later + (2 + row / 6) * 64, 0, 3);
        vi_store((*tile)[row], look_up_row(v[row % 4], row / 4, tables[row / 2] + 16 * (row % 2)));
    }
#else
    _Alignas(64) amx_pairs pairs;
    (void)numbers, (void)later;
    pack_tile(w, row0, k, &pairs, temp);
    turn_tile(pairs, tile);
#endif
}

#endif
#endif
