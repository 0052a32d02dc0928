/* Products of up to 64 rows on AMX tiles (a question behind a kept prefix, say). The weights are
 * what costs: each is read and dequantised once, for all rows, and multiplied right away, from a
 * ring of tiles in L1. Blocks of columns, so that x stays in L1 or L2 too; sums of a block go to
 * memory and come back. Sums are those of simd_gemm_amx.h, bit for bit: tiles in the order of k.
 *
 * A set is 16 rows of x. One or two sets take both tiles of a sliver at a time, three or four one.
 * Where weights can be packed by rows (simd_tile_rows.h) they are the first operand: `turned`.
 */
#ifndef WN_KERNELS_SIMD_GEMM_FEW_H
#define WN_KERNELS_SIMD_GEMM_FEW_H

#include "kernels/simd_tile_rows.h"
#ifdef WN_LANES

enum {
    AMX_FEW_SETS = WN_TILE_FEW_ROWS / AMX_ROWS,
    AMX_FEW_TILES = WN_BLOCK / WN_GROUP, /* of columns whose scales are at hand */
    AMX_FEW_X = 128,                     /* tiles of x in a block */
    AMX_FEW_X_IN_L1 = 32,
    AMX_FEW_RING = 8, /* tiles of weights */
    AMX_FEW_LAG = 2,  /* steps from a tile's making to its product: stores take a while to arrive */
    AMX_FEW_AHEAD = 12
};

typedef struct amx_few {
    const wn_tile_unit *u;
    amx_sums *sums; /* [sliver][strip] */
    amx_pairs *ring;
    amx_pairs *x;         /* turned: [sets][block], in pairs of columns */
    row_numbers *numbers; /* turned: [2][AMX_FEW_TILES], of a sliver's two tiles of rows */
    float *temp;
    bool turned;
    size_t n_strips, n_tiles, n_slivers;
    size_t block_bytes, step; /* of packed weights: of 256 columns, and for each of their groups */
    size_t block;             /* tiles of columns in one, at most */
    size_t ahead;             /* tiles of columns that memory is ahead */
    size_t k, n_k;            /* those of this one */
} amx_few;

/* Tile j of a sliver's rows. */
WN_INLINE const wn_matrix *few_matrix(const amx_few *r, size_t s, size_t j, size_t *row0)
{
    const bool swiglu = r->u->result == WN_TILE_SWIGLU;
    *row0 = r->u->column + amx_sliver_columns(r->u) * s + (swiglu ? 0 : 16 * j);
    return swiglu && j ? r->u->w2 : r->u->w;
}

/* From tile k of the block's columns on. */
WN_INLINE void few_numbers(const amx_few *r, size_t s, size_t j, size_t k)
{
    size_t row0;
    const wn_matrix *w = few_matrix(r, s, j, &row0);
    const size_t left = r->n_k - k;
    pack_row_numbers(w, row0, r->k + k, left < AMX_FEW_TILES ? left : AMX_FEW_TILES,
                     r->numbers + j * AMX_FEW_TILES);
}

/* What of w comes a while after tile k of the block's columns: the group and a piece of the scales
 * behind the 256 columns, `step` bytes of it. At the end of the unit, anything. */
WN_INLINE const uint8_t *few_later(const amx_few *r, const wn_matrix *w, size_t row0, size_t s,
                                   size_t k)
{
    const size_t width = amx_sliver_columns(r->u);
    size_t later = r->k + k + r->ahead;
    if (k + r->ahead >= r->n_k && s + 1 < r->n_slivers) {
        later -= r->n_k;
        row0 += width;
    } else if (k + r->ahead >= r->n_k) {
        row0 -= width * s;
    }
    const size_t at =
        row0 / WN_PANEL_ROWS * w->panel_bytes + later / AMX_FEW_TILES * r->block_bytes;
    return (const uint8_t *)((uintptr_t)w->panels + at + later % AMX_FEW_TILES * r->step / 64 * 64);
}

/* Tile j of sliver s, tile k of the block's columns. */
WN_INLINE void few_pack(const amx_few *r, size_t s, size_t j, size_t k, amx_pairs *tile,
                        const bool turned)
{
    size_t row0;
    const wn_matrix *w = few_matrix(r, s, j, &row0);
    const uint8_t *later = few_later(r, w, row0, s, k);
    if (turned) {
        pack_row_tile(w, row0, r->k + k, r->numbers + j * AMX_FEW_TILES + k % AMX_FEW_TILES, later,
                      tile, r->temp);
        return;
    }
    pack_tile(w, row0, r->k + k, tile, r->temp);
    for (size_t i = 0; i < r->step; i += 64)
        __builtin_prefetch(later + i, 0, 3);
}

WN_INLINE const amx_pairs *few_strip_tile(const amx_few *r, size_t set, size_t k)
{
    const amx_pairs *strips = (const amx_pairs *)(const void *)r->u->x;
    return strips + 2 * (set / 2 * r->n_tiles + r->k + k) + set % 2;
}

WN_INLINE size_t few_sets(const amx_few *r)
{
    return (r->u->n_rows + AMX_ROWS - 1) / AMX_ROWS;
}

/* The block's x in pairs of columns. */
static void few_turn_x(const amx_few *r)
{
    for (size_t set = 0; r->turned && set < few_sets(r); set++)
        for (size_t k = 0; k < r->n_k; k++)
            turn_tile(few_strip_tile(r, set, k), r->x + set * r->block + k);
}

/* The sums of a sliver and strip as they are wanted, in `out` where they have to be turned. */
static const amx_sums *few_sums(const amx_few *r, size_t s, size_t strip, amx_sums *out)
{
    const amx_sums *sums = r->sums + s * r->n_strips + strip;
    if (!r->turned)
        return sums;
    for (size_t i = 0; i < 4 && 2 * strip + i / 2 < few_sets(r); i++)
        turn_tile((*sums)[i], (*out)[i]);
    return out;
}

/* Long blocks are read as the streams that panels are, but then x comes from L2, for each two tiles
 * of weights: not with many rows. */
WN_INLINE size_t few_block(const amx_few *r)
{
    const size_t n_sets = few_sets(r);
    return (n_sets > 2 ? AMX_FEW_X_IN_L1 : AMX_FEW_X) / n_sets / AMX_FEW_TILES * AMX_FEW_TILES;
}

WN_INLINE const amx_pairs *few_x(const amx_few *r, size_t set, size_t k, const bool turned)
{
    return turned ? r->x + set * r->block + k : few_strip_tile(r, set, k);
}

/* x of tile k from L2, while its weights are made. */
WN_INLINE void few_fetch_x(const amx_few *r, size_t k, const bool two, const bool turned)
{
    for (size_t set = 0; set < (two ? 2 : 1); set++)
        for (size_t row = 0; row < AMX_ROWS; row++)
            __builtin_prefetch((*few_x(r, set, k, turned))[row], 0, 3);
}

/* Constants all of them. */
#define FEW_DOT(turned, sum, x, w)                                                                 \
    do {                                                                                           \
        if (turned)                                                                                \
            amx_dot_bf16(sum, w, x);                                                               \
        else                                                                                       \
            amx_dot_bf16(sum, x, w);                                                               \
    } while (0)

/* ---- one or two sets: tile 2 set + j has the sums with tile j of w ---- */

WN_INLINE void few_begin_pair(const amx_few *r, amx_sums *sums, const bool two)
{
    if (r->k == 0) {
        amx_zero(0);
        amx_zero(1);
        amx_zero(2);
        amx_zero(3);
        return;
    }
    amx_load(0, (*sums)[0], AMX_ROW_BYTES);
    amx_load(1, (*sums)[1], AMX_ROW_BYTES);
    if (two) {
        amx_load(2, (*sums)[2], AMX_ROW_BYTES);
        amx_load(3, (*sums)[3], AMX_ROW_BYTES);
    }
}

/* Tile j's part. */
WN_INLINE void few_multiply_pair(const amx_few *r, size_t k, size_t j, const amx_pairs *w,
                                 const bool two, const bool turned)
{
    if (j == 0) {
        amx_load(4, few_x(r, 0, k, turned), AMX_ROW_BYTES);
        amx_load(6, w[0], AMX_ROW_BYTES);
        FEW_DOT(turned, 0, 4, 6);
        if (two) {
            amx_load(5, few_x(r, 1, k, turned), AMX_ROW_BYTES);
            FEW_DOT(turned, 2, 5, 6);
        }
    } else {
        amx_load(7, w[1], AMX_ROW_BYTES);
        FEW_DOT(turned, 1, 4, 7);
        if (two)
            FEW_DOT(turned, 3, 5, 7);
    }
}

WN_INLINE void few_pair(const amx_few *r, size_t s, const bool two, const bool turned)
{
    amx_sums *sums = r->sums + s * r->n_strips;
    few_begin_pair(r, sums, two);
    for (size_t k = 0; k < r->n_k + AMX_FEW_LAG; k++) {
        if (k < r->n_k)
            few_fetch_x(r, k, two, turned);
        for (size_t j = 0; turned && k < r->n_k && k % AMX_FEW_TILES == 0 && j < 2; j++)
            few_numbers(r, s, j, k);
        /* A product after each tile: while both wait, vectors have half as much to go on with. */
        WN_UNROLL
        for (size_t j = 0; j < 2; j++) {
            if (k < r->n_k)
                few_pack(r, s, j, k, r->ring + (2 * k + j) % AMX_FEW_RING, turned);
            if (k >= AMX_FEW_LAG)
                few_multiply_pair(r, k - AMX_FEW_LAG, j,
                                  r->ring + 2 * (k - AMX_FEW_LAG) % AMX_FEW_RING, two, turned);
        }
    }
    amx_store(0, (*sums)[0], AMX_ROW_BYTES);
    amx_store(1, (*sums)[1], AMX_ROW_BYTES);
    if (two) {
        amx_store(2, (*sums)[2], AMX_ROW_BYTES);
        amx_store(3, (*sums)[3], AMX_ROW_BYTES);
    }
}

/* ---- three or four sets: tile i has the sums of set i ---- */

WN_INLINE void few_begin_single(const amx_few *r, amx_sums *sums, size_t j, const bool four)
{
    if (r->k == 0) {
        amx_zero(0);
        amx_zero(1);
        amx_zero(2);
        amx_zero(3);
        return;
    }
    amx_load(0, sums[0][j], AMX_ROW_BYTES);
    amx_load(1, sums[0][2 + j], AMX_ROW_BYTES);
    amx_load(2, sums[1][j], AMX_ROW_BYTES);
    if (four)
        amx_load(3, sums[1][2 + j], AMX_ROW_BYTES);
}

WN_INLINE void few_multiply_single(const amx_few *r, size_t k, const amx_pairs *w, const bool four,
                                   const bool turned)
{
    amx_load(7, *w, AMX_ROW_BYTES);
    amx_load(4, few_x(r, 0, k, turned), AMX_ROW_BYTES);
    FEW_DOT(turned, 0, 4, 7);
    amx_load(5, few_x(r, 1, k, turned), AMX_ROW_BYTES);
    FEW_DOT(turned, 1, 5, 7);
    amx_load(6, few_x(r, 2, k, turned), AMX_ROW_BYTES);
    FEW_DOT(turned, 2, 6, 7);
    if (four) {
        amx_load(4, few_x(r, 3, k, turned), AMX_ROW_BYTES);
        FEW_DOT(turned, 3, 4, 7);
    }
}

WN_INLINE void few_single(const amx_few *r, size_t s, size_t j, const bool four, const bool turned)
{
    amx_sums *sums = r->sums + s * r->n_strips;
    few_begin_single(r, sums, j, four);
    for (size_t k = 0; k < r->n_k + AMX_FEW_LAG; k++) {
        if (turned && k < r->n_k && k % AMX_FEW_TILES == 0)
            few_numbers(r, s, j, k);
        if (k < r->n_k)
            few_pack(r, s, j, k, r->ring + k % AMX_FEW_RING, turned);
        if (k >= AMX_FEW_LAG)
            few_multiply_single(r, k - AMX_FEW_LAG, r->ring + (k - AMX_FEW_LAG) % AMX_FEW_RING,
                                four, turned);
    }
    amx_store(0, sums[0][j], AMX_ROW_BYTES);
    amx_store(1, sums[0][2 + j], AMX_ROW_BYTES);
    amx_store(2, sums[1][j], AMX_ROW_BYTES);
    if (four)
        amx_store(3, sums[1][2 + j], AMX_ROW_BYTES);
}

WN_INLINE void few_sliver_of(const amx_few *r, size_t s, const bool turned)
{
    const size_t n_sets = few_sets(r);
    if (n_sets == 1)
        few_pair(r, s, false, turned);
    else if (n_sets == 2)
        few_pair(r, s, true, turned);
    for (size_t j = 0; n_sets > 2 && j < 2; j++)
        if (n_sets == 3)
            few_single(r, s, j, false, turned);
        else
            few_single(r, s, j, true, turned);
}

static void few_sliver(const amx_few *r, size_t s)
{
    if (r->turned)
        few_sliver_of(r, s, true);
    else
        few_sliver_of(r, s, false);
}

#endif
#endif
