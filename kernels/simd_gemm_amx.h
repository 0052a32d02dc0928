/* Prefill on AMX: bf16 operands, f32 sums, for packed and for plain weights alike.
 *
 * Weights are dequantised in f32 and rounded to bf16 once per panel, into L2; a block is 2 x 2
 * tiles, 32 rows of x by 32 of w. Within each quad of columns the order is 0, 2, 1, 3 on both
 * sides, which is how packed weights lie (packed_weights.h): a product does not depend on it.
 * Missing rows and columns are zeros. A block's sums go to memory and are added to y while the
 * next block runs on the tiles.
 */
#ifndef WN_KERNELS_SIMD_GEMM_AMX_H
#define WN_KERNELS_SIMD_GEMM_AMX_H

#include "kernels/amx_tile.h"
#include "kernels/simd_bf16.h"
#include "kernels/simd_gemm.h"
#include "kernels/simd_packed.h"
#ifdef WN_LANES

enum { AMX_BLOCK = 32, AMX_K_TILES = WN_GEMM_KC / 32 };

typedef uint16_t amx_pairs[AMX_ROWS][32]; /* a tile of bf16 */

typedef struct amx_strip { /* [rows 0-15, 16-31][columns / 32], tiles [16 rows][32 columns] */
    amx_pairs tile[2][AMX_K_TILES];
} amx_strip;

typedef struct amx_sliver { /* [columns / 32][rows of w 0-15, 16-31], tiles [pair][16 rows][2] */
    amx_pairs tile[AMX_K_TILES][2];
} amx_sliver;

typedef struct amx_sums { /* tile 2 i + j: rows 16 i .. of x, rows 16 j .. of w */
    _Alignas(64) float tile[4][AMX_ROWS][16];
} amx_sums;

WN_INLINE vi load_turned_bf16(const float *x, size_t at, size_t n)
{
    return vi_turn_quads(vf_to_bf16(load_some(x, at, n), load_some(x, at + WN_LANES, n)));
}

WN_INLINE size_t whole_tiles(size_t n_k)
{
    return (n_k + 31) / 32 * 32;
}

static void amx_pack_strip(const wn_matrix *w, const float *x, size_t x_stride, size_t n_rows,
                           size_t n_k, void *out)
{
    amx_strip *strip = out;
    (void)w;
    for (size_t r = 0; r < (n_rows > AMX_ROWS ? AMX_BLOCK : AMX_ROWS); r++)
        for (size_t k = 0; k < whole_tiles(n_k); k += 2 * WN_LANES)
            vi_store(&strip->tile[r / AMX_ROWS][k / 32][r % AMX_ROWS][k % 32],
                     r < n_rows ? load_turned_bf16(x + r * x_stride, k, n_k) : vi_set1(0));
}

/* Rows r .. r + LANES of a sliver, n_rows of them there, from f32 rows KC apart. */
WN_INLINE void pack_plain_rows(const float *rows, size_t n_rows, size_t n_k, amx_sliver *s,
                               size_t r)
{
    for (size_t k = 0; k < whole_tiles(n_k); k += 2 * WN_LANES) {
        vf pairs[WN_LANES];
        for (size_t i = 0; i < WN_LANES; i++)
            pairs[i] =
                i < n_rows ? vi_as_f32(load_turned_bf16(rows + i * WN_GEMM_KC, k, n_k)) : vf_zero();
        vf_transpose(pairs);
        for (size_t p = 0; p < WN_LANES; p++)
            vi_store(&s->tile[k / 32][r / 16][k % 32 / 2 + p][2 * (r % 16)], vf_as_int(pairs[p]));
    }
}

static void pack_plain_panel(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0, size_t n_k,
                             amx_sliver *s, float *temp)
{
    const size_t start = k0 / wn_dtype_block_elements(w->type) * wn_dtype_block_bytes(w->type);
    for (size_t r = 0; r < (n_rows + AMX_BLOCK - 1) / AMX_BLOCK * AMX_BLOCK; r += WN_LANES) {
        const size_t n_here = r >= n_rows ? 0 : n_rows - r < WN_LANES ? n_rows - r : WN_LANES;
        for (size_t i = 0; i < n_here; i++)
            weight_row_store(w->type, w->data + (row0 + r + i) * w->row_bytes + start, n_k,
                             temp + i * WN_GEMM_KC);
        pack_plain_rows(temp, n_here, n_k, s + r / AMX_BLOCK, r % AMX_BLOCK);
    }
}

/* w = scale * u + base, of the rows that the two halves of a vector of words hold. */
typedef struct amx_scales {
    vf scale[2], base[2];
} amx_scales;

/* Columns 16 half .. of group g of LANES rows. */
WN_INLINE amx_scales group_scales(const wn_dtype type, const uint8_t *record, size_t lane, size_t g,
                                  size_t half)
{
    const wn_packed_format f = wn_packed_format_of(type);
    vf scale = record_d(record, lane), base = vf_zero();
    if (type == WN_DTYPE_Q4_K || type == WN_DTYPE_Q5_K) {
        scale = vf_mul(scale, vi_to_f32(record_group_scale(record, lane, g)));
        base = vf_fnma(record_min(record, lane), vi_to_f32(record_group_min(record, lane, g)),
                       vf_zero());
    } else if (type == WN_DTYPE_Q6_K) {
        scale = vf_mul(scale, vi_to_f32(record_sixteenth_scale(record, lane, 2 * g + half)));
    } else if (f.has_min) {
        base = record_min(record, lane);
    }
    if (f.offset)
        base = vf_mul(vf_set1((float)-f.offset), scale);
    return (amx_scales){{vf_twice_low(scale), vf_twice_high(scale)},
                        {vf_twice_low(base), vf_twice_high(base)}};
}

/* One group of LANES rows into lanes `at` (0 .. 15) of a tile. */
WN_INLINE void pack_group(const wn_dtype type, const uint8_t *group, const uint8_t *record,
                          size_t at, size_t g, uint16_t (*tile)[32])
{
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
            vi_store(&tile[4 * i + p][2 * at], vf_to_bf16(vf_fma(s.scale[0], low, s.base[0]),
                                                          vf_fma(s.scale[1], high, s.base[1])));
        }
    }
}

/* Up to 32 rows: two panels of packed weights. */
WN_INLINE void pack_sliver(const wn_dtype type, const wn_matrix *w, size_t row0, size_t n_rows,
                           size_t k0, size_t n_k, amx_sliver *s)
{
    const wn_packed_format f = wn_packed_format_of(type);
    for (size_t half = 0; half < 2; half++) {
        const uint8_t *panel =
            w->panels + (row0 + half * WN_PANEL_ROWS) / WN_PANEL_ROWS * w->panel_bytes;
        const uint8_t *record = panel + wn_panel_record(f, w->n_in, k0);
        const uint8_t *group = panel + wn_panel_group(f, k0);
        for (size_t g = 0; g < n_k / WN_GROUP; g++, group += f.group_bytes) {
            if (half * WN_PANEL_ROWS >= n_rows) {
                memset(s->tile[g][half], 0, sizeof s->tile[g][half]);
                continue;
            }
            for (size_t at = 0; at < WN_PANEL_ROWS; at += WN_LANES)
                pack_group(type, group, record, at, g, s->tile[g][half]);
            record += f.scale_step == WN_GROUP ? f.record_bytes : 0;
        }
    }
}

static void amx_pack_panel(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0, size_t n_k,
                           void *out, float *temp)
{
    amx_sliver *s = out;
    if (!w->panels) {
        pack_plain_panel(w, row0, n_rows, k0, n_k, s, temp);
        return;
    }
    for (size_t r = 0; r < n_rows; r += AMX_BLOCK, s++) {
#define WN_PACK_CASE(TYPE)                                                                         \
    case WN_DTYPE_##TYPE:                                                                          \
        pack_sliver(WN_DTYPE_##TYPE, w, row0 + r, n_rows - r, k0, n_k, s);                         \
        break;
        switch (w->type) {
            WN_PACKED_TYPES(WN_PACK_CASE)
        default:
            break;
        }
#undef WN_PACK_CASE
    }
}

/* c = strip . sliver over n_tiles tiles of columns; rows 16-31 only when there are `two`. */
WN_INLINE void amx_block(const amx_strip *x, const amx_sliver *w, size_t n_tiles, bool two,
                         amx_sums *c)
{
    amx_zero(0);
    amx_zero(1);
    amx_zero(2);
    amx_zero(3);
    for (size_t k = 0; k < n_tiles; k++) {
        amx_load(4, x->tile[0][k], AMX_ROW_BYTES);
        amx_load(6, w->tile[k][0], AMX_ROW_BYTES);
        amx_load(7, w->tile[k][1], AMX_ROW_BYTES);
        if (two)
            amx_load(5, x->tile[1][k], AMX_ROW_BYTES);
        amx_dot_bf16(0, 4, 6);
        amx_dot_bf16(1, 4, 7);
        if (two) {
            amx_dot_bf16(2, 5, 6);
            amx_dot_bf16(3, 5, 7);
        }
    }
    amx_store(0, c->tile[0], AMX_ROW_BYTES);
    amx_store(1, c->tile[1], AMX_ROW_BYTES);
    if (two) {
        amx_store(2, c->tile[2], AMX_ROW_BYTES);
        amx_store(3, c->tile[3], AMX_ROW_BYTES);
    }
}

/* A block of y that waits for its sums to be added. */
typedef struct amx_pending {
    size_t n_rows, n_cols;
    const float *bias;
    float *y;
} amx_pending;

WN_INLINE void finish_block(const amx_pending *b, const amx_sums *c, bool add, size_t y_stride)
{
    for (size_t i = 0; i < b->n_rows; i++)
        for (size_t j = 0; j < b->n_cols; j += WN_NR) {
            const size_t next = j + WN_LANES, tile = i / AMX_ROWS * 2, row = i % AMX_ROWS;
            const vf acc[2] = {vf_load(&c->tile[tile + j / 16][row][j % 16]),
                               vf_load(&c->tile[tile + next / 16][row][next % 16])};
            store_row(acc, b->n_cols - j, add, b->bias ? b->bias + j : NULL,
                      b->y + i * y_stride + j);
        }
}

static void amx_multiply_panel(const wn_gemm_panel *p)
{
    const amx_sliver *w = p->panel;
    const size_t n_tiles = whole_tiles(p->n_k) / 32;
    amx_sums sums[2];
    amx_pending pending = {0};
    size_t turn = 0;
    amx_begin();
    for (size_t j = 0; j < p->n_cols; j += AMX_BLOCK, w++)
        for (size_t row = 0; row < p->n_rows; row += AMX_BLOCK, turn ^= 1) {
            const size_t left = p->n_rows - row, cols = p->n_cols - j;
            const void *strip = p->strips + row / AMX_BLOCK * p->strip_step;
            if (left > AMX_ROWS)
                amx_block(strip, w, n_tiles, true, &sums[turn]);
            else
                amx_block(strip, w, n_tiles, false, &sums[turn]);
            finish_block(&pending, &sums[turn ^ 1], p->add, p->y_stride);
            pending = (amx_pending){left < AMX_BLOCK ? left : AMX_BLOCK,
                                    cols < AMX_BLOCK ? cols : AMX_BLOCK,
                                    p->bias ? p->bias + j : NULL, p->y + row * p->y_stride + j};
        }
    amx_end();
    finish_block(&pending, &sums[turn ^ 1], p->add, p->y_stride);
}

static const wn_gemm_kernels amx_gemm = {
    .mr = AMX_BLOCK,
    .nr = AMX_BLOCK,
    .strip_bytes = sizeof(amx_strip),
    .sliver_bytes = sizeof(amx_sliver),
    .pack_strip = amx_pack_strip,
    .pack_panel = amx_pack_panel,
    .multiply_panel = amx_multiply_panel,
};

#endif
#endif
