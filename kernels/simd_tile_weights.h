/* Weights as AMX tiles of bf16, [16 pairs of columns][16 rows of w][2]: slivers of two tiles of
 * rows for a block of columns, [columns / 32][rows 0-15, 16-31]. Within each quad of columns the
 * order is 0, 2, 1, 3, which is how packed weights lie (packed_weights.h): a product does not
 * depend on it. Missing rows and columns are zeros.
 */
#ifndef WN_KERNELS_SIMD_TILE_WEIGHTS_H
#define WN_KERNELS_SIMD_TILE_WEIGHTS_H

#include "kernels/amx_tile.h"
#include "kernels/simd_bf16.h"
#include "kernels/simd_packed.h"
#include "kernels/simd_weights.h"
#ifdef WN_LANES

#include "kernels/kernel_table.h"

enum {
    AMX_K_TILES = 18, /* of x in one part */
    AMX_STAGE_SLIVERS = 4,
    AMX_STAGE_TILES = 2 * AMX_STAGE_SLIVERS * AMX_K_TILES
};

typedef uint16_t amx_pairs[AMX_ROWS][32]; /* a tile of bf16 */
typedef float amx_sums[4][AMX_ROWS][16];  /* tile 2 i + j: rows 16 i .. of x, rows 16 j .. of w */
enum { AMX_TILE_SUMS = AMX_ROWS * 16 };

/* Tiles 0 .. 3 of sums; 2 i + j lies i * below + j * right floats from the first. NULL: zeros. */
WN_INLINE void load_sums(const float *from, size_t right, size_t below)
{
    if (!from) {
        amx_zero(0);
        amx_zero(1);
        amx_zero(2);
        amx_zero(3);
        return;
    }
    amx_load(0, from, AMX_ROW_BYTES);
    amx_load(1, from + right, AMX_ROW_BYTES);
    amx_load(2, from + below, AMX_ROW_BYTES);
    amx_load(3, from + below + right, AMX_ROW_BYTES);
}

WN_INLINE void store_sums(float *to, size_t right, size_t below)
{
    amx_store(0, to, AMX_ROW_BYTES);
    amx_store(1, to + right, AMX_ROW_BYTES);
    amx_store(2, to + below, AMX_ROW_BYTES);
    amx_store(3, to + below + right, AMX_ROW_BYTES);
}

WN_INLINE vi load_turned_bf16(const float *x, size_t at, size_t n)
{
    return vi_turn_quads(vf_to_bf16(load_some(x, at, n), load_some(x, at + WN_LANES, n)));
}

/* ---- plain weights ---- */

/* n_k <= 32 columns of a row: as they lie if they are `direct`, or as f32 in temp [32]. */
WN_INLINE const void *plain_row(const wn_matrix *w, size_t row, size_t k0, size_t n_k,
                                const bool direct, float *temp)
{
    const size_t start = k0 / wn_dtype_block_elements(w->type) * wn_dtype_block_bytes(w->type);
    const uint8_t *data = w->data + row * w->row_bytes + start;
    if (direct)
        return data; /* vectors are loaded from any address */
    weight_row_store(w->type, data, n_k, temp);
    return temp;
}

/* 16 rows from row0 on, n_rows of them there. */
WN_INLINE void pack_plain_rows(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0,
                               size_t n_k, const wn_dtype direct, amx_pairs *tile, float *temp)
{
    for (size_t r = 0; r < AMX_ROWS; r += WN_LANES) {
        const void *rows[WN_LANES];
        for (size_t i = 0; i < WN_LANES; i++)
            rows[i] = r + i < n_rows ? plain_row(w, row0 + r + i, k0, n_k, direct != WN_DTYPE_COUNT,
                                                 temp + i * 32)
                                     : NULL;
        for (size_t k = 0; k < 32; k += 2 * WN_LANES) {
            vf pairs[WN_LANES];
            for (size_t i = 0; i < WN_LANES; i++)
                if (!rows[i])
                    pairs[i] = vf_zero();
                else if (direct == WN_DTYPE_BF16)
                    pairs[i] = vi_as_f32(vi_turn_quads(vi_load((const uint16_t *)rows[i] + k)));
                else
                    pairs[i] = vi_as_f32(load_turned_bf16(rows[i], k, n_k));
            vf_transpose(pairs);
            for (size_t p = 0; p < WN_LANES; p++)
                vi_store(&(*tile)[k / 2 + p][2 * r], vf_as_int(pairs[p]));
        }
    }
}

static void pack_plain_tile(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0, size_t n_k,
                            amx_pairs *tile, float *temp)
{
    if (w->type == WN_DTYPE_BF16 && n_k == 32)
        pack_plain_rows(w, row0, n_rows, k0, n_k, WN_DTYPE_BF16, tile, temp);
    else if (w->type == WN_DTYPE_F32 && n_k == 32)
        pack_plain_rows(w, row0, n_rows, k0, n_k, WN_DTYPE_F32, tile, temp);
    else
        pack_plain_rows(w, row0, n_rows, k0, n_k, WN_DTYPE_COUNT, tile, temp);
}

/* ---- packed weights ---- */

/* d and min of LANES rows of a record. */
typedef struct row_record {
    vf d, min;
} row_record;

WN_INLINE row_record row_record_of(const wn_dtype type, const uint8_t *record, size_t lane)
{
    const bool has_min = wn_packed_format_of(type).has_min;
    return (row_record){record_d(record, lane), has_min ? record_min(record, lane) : vf_zero()};
}

/* w = scale * u + base, columns 16 half .. of group g of LANES rows. */
WN_INLINE void row_scales(const wn_dtype type, row_record r, const uint8_t *record, size_t lane,
                          size_t g, size_t half, vf *scale, vf *base)
{
    const wn_packed_format f = wn_packed_format_of(type);
    *scale = r.d;
    *base = r.min;
    if (type == WN_DTYPE_Q4_K || type == WN_DTYPE_Q5_K) {
        *scale = vf_mul(r.d, vi_to_f32(record_group_scale(record, lane, g)));
        *base = vf_fnma(r.min, vi_to_f32(record_group_min(record, lane, g)), vf_zero());
    } else if (type == WN_DTYPE_Q6_K) {
        *scale = vf_mul(r.d, vi_to_f32(record_sixteenth_scale(record, lane, 2 * g + half)));
    }
    if (f.offset)
        *base = vf_mul(vf_set1((float)-f.offset), *scale);
}

/* The same of the rows that the two halves of a vector of words hold. */
typedef struct amx_scales {
    vf scale[2], base[2];
} amx_scales;

WN_INLINE amx_scales group_scales(const wn_dtype type, const uint8_t *record, size_t lane, size_t g,
                                  size_t half)
{
    vf scale, base;
    row_scales(type, row_record_of(type, record, lane), record, lane, g, half, &scale, &base);
    return (amx_scales){{vf_twice_low(scale), vf_twice_high(scale)},
                        {vf_twice_low(base), vf_twice_high(base)}};
}

#if WN_LANES == 16
/* Group g of a record, all rows, with 4 bits: by lookups instead of conversions: lanes become (row,
 * word) as tiles have them, then each picks its numbers by the bits of u. */
WN_INLINE void pack_nibbles(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                            size_t g, amx_pairs *tile)
{
    const amx_scales s = group_scales(type, record, 0, g, 0);
    WN_UNROLL
    for (int i = 0; i < 4; i++) {
        const vi v = vi_load(group + 64 * i);
        const vi low = vf_as_int(vf_twice_low(vi_as_f32(v)));
        const vi high = vf_as_int(vf_twice_high(vi_as_f32(v)));
        WN_UNROLL
        for (int p = 0; p < 4; p++) {
            const int at = 8 * (p % 2) + 4 * (p / 2); /* of the nibble in its word */
            vi_store((*tile)[4 * i + p],
                     vf_to_bf16(vf_fma(s.scale[0], vi_nibbles_to_f32(low, at), s.base[0]),
                                vf_fma(s.scale[1], vi_nibbles_to_f32(high, at), s.base[1])));
        }
    }
}

/* (bits & mask) | other */
WN_INLINE vi pick_bits(vi bits, int mask, vi other)
{
    return _mm512_ternarylogic_epi32(bits, vi_set1(mask), other, 0xea);
}

/* Words whose bit `from` goes to bit `to`; constants. */
#define MOVE_BIT(v, from, to)                                                                      \
    ((from) > (to) ? vi_shift_right16(v, (from) > (to) ? (from) - (to) : 0)                        \
                   : vi_shift_left16(v, (from) < (to) ? (to) - (from) : 0))

/* Of 16 columns: scale and base for 64 + u. */
WN_INLINE amx_scales six_bit_scales(const uint8_t *record, size_t g, size_t half)
{
    amx_scales s = group_scales(WN_DTYPE_Q6_K, record, 0, g, half);
    for (size_t i = 0; i < 2; i++)
        s.base[i] = vf_mul(vf_set1(-96.0f), s.scale[i]);
    return s;
}

/* The same with 6 bits (Q6_K), without conversions: 64 + u is the bf16 number 0x4280 | u << 1, and
 * scale (u - 32) = scale (64 + u) - 96 scale, where 96 scale is exact (2 bits, 11 of d, 7 of the 16
 * columns' scale), so that it is rounded once as it is otherwise. Words are unpacked within lanes
 * of 128 bits: rows are put where that takes them from. */
WN_INLINE void pack_six_bits(const uint8_t *group, const uint8_t *record, size_t g, amx_pairs *tile)
{
    const vi order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), zero = vi_set1(0);
    const vi high[2] = {_mm512_permutexvar_epi64(order, vi_load(group + 256)),
                        _mm512_permutexvar_epi64(order, vi_load(group + 320))};
    amx_scales s = six_bit_scales(record, g, 0);
    WN_UNROLL
    for (int i = 0; i < 4; i++) {
        const vi v = _mm512_permutexvar_epi64(order, vi_load(group + 64 * i));
        if (i == 2)
            s = six_bit_scales(record, g, 1);
        WN_UNROLL
        for (int p = 0; p < 4; p++) {
            const int at = 8 * (p % 2) + 4 * (p / 2), high_at = 4 * i + 2 * (p / 2);
            const vi top =
                pick_bits(MOVE_BIT(high[p % 2], high_at, 5), 0x600060, vi_set1(0x42804280));
            const vi w = pick_bits(MOVE_BIT(v, at, 1), 0x1e001e, top);
            const vf low = vi_as_f32(_mm512_unpacklo_epi16(zero, w));
            const vf up = vi_as_f32(_mm512_unpackhi_epi16(zero, w));
            vi_store((*tile)[4 * i + p], vf_to_bf16(vf_fma(s.scale[0], low, s.base[0]),
                                                    vf_fma(s.scale[1], up, s.base[1])));
        }
    }
}
#endif

/* Group g of a record, LANES rows, into lanes `at` (0 .. 15) of a tile. */
WN_INLINE void pack_group(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                          size_t at, size_t g, amx_pairs *tile)
{
#if WN_LANES == 16
    if (wn_packed_bits(wn_packed_format_of(type)) == 4) {
        pack_nibbles(type, group, record, g, tile);
        return;
    }
    if (type == WN_DTYPE_Q6_K) {
        pack_six_bits(group, record, g, tile);
        return;
    }
#endif
    amx_scales s = group_scales(type, record, at, g, 0);
    WN_UNROLL
    for (int i = 0; i < 4; i++) {
        vi w[4];
        if (type == WN_DTYPE_Q6_K && i == 2)
            s = group_scales(type, record, at, g, 1);
        unpack_quads(type, group + 4 * at, i, w);
        WN_UNROLL
        for (int p = 0; p < 4; p++) {
            const vf low = vi_to_f32(vi_widen_low(w[p])), high = vi_to_f32(vi_widen_high(w[p]));
            vi_store(&(*tile)[4 * i + p][2 * at], vf_to_bf16(vf_fma(s.scale[0], low, s.base[0]),
                                                             vf_fma(s.scale[1], high, s.base[1])));
        }
    }
}

/* A group of one panel. */
WN_INLINE void pack_panel_tile(const wn_dtype type, const wn_matrix *w, size_t panel, size_t k,
                               amx_pairs *tile)
{
    const wn_packed_format f = wn_packed_format_of(type);
    const uint8_t *data = w->panels + panel * w->panel_bytes;
    const uint8_t *group = data + wn_panel_group(f, k);
    for (size_t at = 0; at < WN_PANEL_ROWS; at += WN_LANES)
        pack_group(type, group, data + wn_panel_record(f, w->n_in, k), at,
                   k % f.scale_step / WN_GROUP, tile);
}

/* 16 rows of w from row0 on, those of them that are there, columns 32 k .. */
static void pack_tile(const wn_matrix *w, size_t row0, size_t k, amx_pairs *tile, float *temp)
{
    if (row0 >= w->n_out) {
        memset(tile, 0, sizeof *tile);
        return;
    }
    if (!w->panels) {
        const size_t rows = w->n_out - row0, columns = w->n_in - 32 * k;
        pack_plain_tile(w, row0, rows < AMX_ROWS ? rows : AMX_ROWS, 32 * k,
                        columns < 32 ? columns : 32, tile, temp);
        return;
    }
#define WN_PACK_CASE(TYPE)                                                                         \
    case WN_DTYPE_##TYPE:                                                                          \
        pack_panel_tile(WN_DTYPE_##TYPE, w, row0 / WN_PANEL_ROWS, 32 * k, tile);                   \
        break;
    switch (w->type) {
        WN_PACKED_TYPES(WN_PACK_CASE)
    default:
        break;
    }
#undef WN_PACK_CASE
}

/* ---- the stages of a unit ---- */

typedef struct amx_stage {
    size_t column, n_slivers; /* columns of the unit */
    size_t k, n_k;            /* tiles of columns of x */
    size_t n_weights;         /* tiles: [sliver][n_k][2]; 0: there is no such stage */
} amx_stage;

/* Columns of the unit that a sliver is for: with two matrices each has one of the tiles. */
WN_INLINE size_t amx_sliver_columns(const wn_tile_unit *u)
{
    return u->result == WN_TILE_SWIGLU ? 16 : 32;
}

/* Tiles of columns in a stage: equal stages, and whole super-blocks of 256 columns. */
WN_INLINE size_t stage_tiles(const wn_tile_unit *u)
{
    const size_t n_tiles = (u->w->n_in + 31) / 32, most = AMX_K_TILES / u->parts;
    if (wn_dtype_block_elements(u->w->type) == 256)
        return 16;
    const size_t n_stages = (n_tiles + most - 1) / most;
    return (n_tiles + n_stages - 1) / n_stages;
}

static amx_stage stage_at(const wn_tile_unit *u, size_t column, size_t k)
{
    const size_t n_tiles = (u->w->n_in + 31) / 32, step = stage_tiles(u);
    const size_t width = amx_sliver_columns(u);
    amx_stage s = {.column = column, .k = k, .n_k = n_tiles - k < step ? n_tiles - k : step};
    s.n_slivers = (u->n_cols - column + width - 1) / width;
    if (s.n_slivers > AMX_STAGE_SLIVERS)
        s.n_slivers = AMX_STAGE_SLIVERS;
    s.n_weights = s.n_slivers * s.n_k * 2;
    return s;
}

static amx_stage amx_first_stage(const wn_tile_unit *u)
{
    return stage_at(u, 0, 0);
}

static amx_stage amx_next_stage(const wn_tile_unit *u, const amx_stage *s)
{
    if (32 * (s->k + s->n_k) < u->w->n_in)
        return stage_at(u, s->column, s->k + s->n_k);
    const size_t column = s->column + s->n_slivers * amx_sliver_columns(u);
    return column < u->n_cols ? stage_at(u, column, 0) : (amx_stage){0};
}

/* Bytes ahead in the panel's stream: about a stage's columns of 8 bits, two of 4 bits. */
#define AMX_FETCH_AHEAD 4096

/* 16 rows, 32 columns from column k0 on. */
WN_INLINE void fetch_plain(const wn_matrix *w, size_t row0, size_t k0)
{
    const size_t bytes = wn_dtype_block_bytes(w->type);
    const uint8_t *at = w->data + row0 * w->row_bytes + k0 * bytes;
    for (size_t row = row0; row < w->n_out && row < row0 + AMX_ROWS; row++, at += w->row_bytes)
        for (size_t i = 0; i < 32 * bytes; i += 64)
            __builtin_prefetch(at + i, 0, 2);
}

/* What comes later in the stream than tile k of the rows from row0 on. */
WN_INLINE void fetch_ahead(const wn_matrix *w, size_t row0, size_t k)
{
    if (row0 >= w->n_out)
        return;
    if (!w->panels) {
        fetch_plain(w, row0 + AMX_ROWS, 32 * k);
        return;
    }
    const wn_packed_format f = wn_packed_format_of(w->type);
    const uint8_t *at = w->panels + row0 / WN_PANEL_ROWS * w->panel_bytes +
                        wn_panel_group(f, 32 * k) + AMX_FETCH_AHEAD;
    for (size_t i = 0; i <= f.group_bytes; i += 64)
        __builtin_prefetch(at + i, 0, 2);
}

/* Tile i of a stage's weights, in the order of the panels' streams. */
static void amx_pack_weights(const wn_tile_unit *u, const amx_stage *s, size_t i, amx_pairs *tiles,
                             float *temp)
{
    const size_t half = i / s->n_k, k = i % s->n_k, sliver = half / 2;
    const bool swiglu = u->result == WN_TILE_SWIGLU;
    const wn_matrix *w = swiglu && half % 2 ? u->w2 : u->w;
    const size_t row = u->column + s->column + amx_sliver_columns(u) * sliver;
    const size_t row0 = row + (swiglu ? 0 : 16 * (half % 2));
    fetch_ahead(w, row0, s->k + k);
    pack_tile(w, row0, s->k + k, tiles + 2 * (sliver * s->n_k + k) + half % 2, temp);
}

#endif
#endif
