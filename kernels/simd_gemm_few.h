/* Products of up to 64 rows on AMX tiles (a question behind a kept prefix, say). The weights are
 * what costs: each is read and dequantised once, for all rows, and multiplied right away, from a
 * ring of tiles in L1. Blocks of 256 columns, so that x stays in L1 too; sums of a block go to
 * memory and come back. Sums are those of simd_gemm_amx.h, bit for bit: tiles in the order of k.
 *
 * A set is 16 rows of x. One or two sets take both tiles of a sliver at a time, three or four one.
 */
#ifndef WN_KERNELS_SIMD_GEMM_FEW_H
#define WN_KERNELS_SIMD_GEMM_FEW_H

#include "kernels/simd_tile_weights.h"
#ifdef WN_LANES

enum {
    AMX_FEW_SETS = 4,
    AMX_FEW_TILES = 8, /* of columns in a block */
    AMX_FEW_RING = 4,  /* tiles of weights */
};

typedef struct amx_few {
    const wn_tile_unit *u;
    amx_sums *sums; /* [sliver][strip] */
    amx_pairs *ring;
    float *temp;
    size_t n_strips, n_tiles, n_slivers;
    size_t k, n_k; /* the block's tiles of columns */
} amx_few;

/* What of w will be wanted a sliver later: the group and a piece of the scales behind the block. */
WN_INLINE void few_fetch(const wn_matrix *w, size_t row0, size_t k)
{
    const wn_packed_format f = wn_packed_format_of(w->type);
    if (!w->panels || row0 >= w->n_out)
        return;
    const uint8_t *at = w->panels + row0 / WN_PANEL_ROWS * w->panel_bytes;
    at += k / AMX_FEW_TILES * wn_block_bytes(f, WN_BLOCK);
    const size_t step = f.group_bytes + f.record_bytes * WN_GROUP / f.scale_step;
    const size_t start = k % AMX_FEW_TILES * step / 64 * 64;
    for (size_t i = 0; i < step; i += 64)
        __builtin_prefetch(at + start + i, 0, 3);
}

/* Tile j of sliver s, tile k of the block's columns. */
WN_INLINE void few_pack(const amx_few *r, size_t s, size_t j, size_t k, amx_pairs *tile)
{
    const bool swiglu = r->u->result == WN_TILE_SWIGLU;
    const wn_matrix *w = swiglu && j ? r->u->w2 : r->u->w;
    const size_t width = amx_sliver_columns(r->u);
    const size_t row0 = r->u->column + width * s + (swiglu ? 0 : 16 * j);
    pack_tile(w, row0, r->k + k, tile, r->temp);
    if (s + 1 < r->n_slivers)
        few_fetch(w, row0 + width, r->k + k);
    else if (r->k + k + AMX_FEW_TILES < r->n_tiles)
        few_fetch(w, row0 - width * s, r->k + k + AMX_FEW_TILES);
}

WN_INLINE const amx_pairs *few_x(const amx_few *r, size_t set, size_t k)
{
    const amx_pairs *strips = (const amx_pairs *)(const void *)r->u->x;
    return strips + 2 * (set / 2 * r->n_tiles + r->k + k) + set % 2;
}

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

WN_INLINE void few_multiply_pair(const amx_few *r, size_t k, const amx_pairs *w, const bool two)
{
    amx_load(4, few_x(r, 0, k), AMX_ROW_BYTES);
    amx_load(6, w[0], AMX_ROW_BYTES);
    amx_load(7, w[1], AMX_ROW_BYTES);
    amx_dot_bf16(0, 4, 6);
    amx_dot_bf16(1, 4, 7);
    if (two) {
        amx_load(5, few_x(r, 1, k), AMX_ROW_BYTES);
        amx_dot_bf16(2, 5, 6);
        amx_dot_bf16(3, 5, 7);
    }
}

/* Tiles are dequantised a step ahead of their product. */
WN_INLINE void few_pair(const amx_few *r, size_t s, const bool two)
{
    amx_sums *sums = r->sums + s * r->n_strips;
    few_begin_pair(r, sums, two);
    for (size_t k = 0; k <= r->n_k; k++) {
        for (size_t j = 0; k < r->n_k && j < 2; j++)
            few_pack(r, s, j, k, r->ring + (2 * k + j) % AMX_FEW_RING);
        if (k > 0)
            few_multiply_pair(r, k - 1, r->ring + 2 * (k - 1) % AMX_FEW_RING, two);
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

WN_INLINE void few_multiply_single(const amx_few *r, size_t k, const amx_pairs *w, const bool four)
{
    amx_load(7, *w, AMX_ROW_BYTES);
    amx_load(4, few_x(r, 0, k), AMX_ROW_BYTES);
    amx_dot_bf16(0, 4, 7);
    amx_load(5, few_x(r, 1, k), AMX_ROW_BYTES);
    amx_dot_bf16(1, 5, 7);
    amx_load(6, few_x(r, 2, k), AMX_ROW_BYTES);
    amx_dot_bf16(2, 6, 7);
    if (four) {
        amx_load(4, few_x(r, 3, k), AMX_ROW_BYTES);
        amx_dot_bf16(3, 4, 7);
    }
}

WN_INLINE void few_single(const amx_few *r, size_t s, size_t j, const bool four)
{
    amx_sums *sums = r->sums + s * r->n_strips;
    few_begin_single(r, sums, j, four);
    for (size_t k = 0; k <= r->n_k; k++) {
        if (k < r->n_k)
            few_pack(r, s, j, k, r->ring + k % AMX_FEW_RING);
        if (k > 0)
            few_multiply_single(r, k - 1, r->ring + (k - 1) % AMX_FEW_RING, four);
    }
    amx_store(0, sums[0][j], AMX_ROW_BYTES);
    amx_store(1, sums[0][2 + j], AMX_ROW_BYTES);
    amx_store(2, sums[1][j], AMX_ROW_BYTES);
    if (four)
        amx_store(3, sums[1][2 + j], AMX_ROW_BYTES);
}

static void few_sliver(const amx_few *r, size_t s)
{
    const size_t n_sets = (r->u->n_rows + AMX_ROWS - 1) / AMX_ROWS;
    if (n_sets == 1)
        few_pair(r, s, false);
    else if (n_sets == 2)
        few_pair(r, s, true);
    for (size_t j = 0; n_sets > 2 && j < 2; j++)
        if (n_sets == 3)
            few_single(r, s, j, false);
        else
            few_single(r, s, j, true);
}

#endif
#endif
