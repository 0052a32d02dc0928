/* Products of many rows with weights that lie in tiles (wn_matrix_prepare), on AMX tiles; sums
 * are those of simd_gemm_amx.h, bit for bit.
 *
 * A block is 2 x 2 tiles, 32 rows of x by 32 of w. Its columns are cut into stretches, so that a
 * strip's stay in L1 while the weights of a group of slivers pass through it from L2; the group's
 * sums wait for the next stretch. Meanwhile the next group's weights come to L2
 * (simd_tile_stream.h). Tiles and vectors work at the same time: between the products of a step lie
 * rows of the block that was complete last.
 */
#ifndef WN_KERNELS_SIMD_GEMM_IN_PLACE_H
#define WN_KERNELS_SIMD_GEMM_IN_PLACE_H

#include "kernels/simd_gemm.h"
#include "kernels/simd_math.h"
#include "kernels/simd_tile_stream.h"
#include "kernels/simd_tile_weights.h"
#ifdef WN_LANES

enum {
    PLACE_STRETCH = 16, /* tiles of columns */
    /* Slivers of a group at most, where there are several stretches. */
    PLACE_GROUP = TILE_GROUP_PAIRS / PLACE_STRETCH,
};

typedef float place_sums[2][WN_TILE_STRIP][16]; /* columns 0-15, 16-31 of a block */
enum { PLACE_HALF = sizeof(place_sums) / 2 / sizeof(float) };

typedef struct place_scratch {
    _Alignas(64) place_sums sums[PLACE_GROUP];
    _Alignas(64) place_sums finished[2];
} place_scratch;

/* A block whose sums are complete, and where they go: 32 floats of a row of y, or [32][32] packed.
 */
typedef struct place_block {
    const float *sums, *bias; /* [32] of bias */
    void *to;
    size_t n_rows, n_cols, stride; /* bytes from row to row */
} place_block;

typedef struct place_run {
    const wn_tile_unit *u;
    place_scratch *scratch;
    size_t n_strips, n_slivers;  /* of x; of the unit */
    size_t group, group_slivers; /* the first one of a group, and how many it has at most */
    tile_stream ahead;
    size_t turn;       /* of `finished` */
    place_block ready; /* n_rows: 0 for none */
} place_run;

/* low, high: sums of columns 0-15 and 16-31. */
WN_INLINE void store_packed_row(const float *low, const float *high, const float *bias,
                                uint16_t *to, const bool gelu)
{
    for (size_t v = 0; v < 32; v += 2 * WN_LANES) {
        vf h[2];
        for (size_t j = 0; j < 2; j++) {
            const size_t c = v + j * WN_LANES;
            h[j] = vf_add(vf_load((c < 16 ? low : high) + c % 16), vf_load(bias + c));
            if (gelu)
                h[j] = vf_gelu_12(h[j]);
        }
        vi_store(to + v, vi_turn_quads(vf_to_bf16(h[0], h[1])));
    }
}

WN_INLINE void place_store_f32(const float *low, const float *high, const float *bias, float *y,
                               const bool add)
{
    for (size_t j = 0; j < 32; j += WN_LANES) {
        const vf sum = vf_add(vf_load((j < 16 ? low : high) + j % 16), vf_load(bias + j));
        vf_store(y + j, add ? vf_add(vf_load(y + j), sum) : sum);
    }
}

WN_INLINE void place_row(const place_block *b, size_t i, const wn_tile_result result,
                         const bool add)
{
    const float *low = b->sums + 16 * i, *high = low + PLACE_HALF;
    void *to = (char *)b->to + i * b->stride;
    if (result == WN_TILE_F32)
        place_store_f32(low, high, b->bias, to, add);
    else
        store_packed_row(low, high, b->bias, to, result == WN_TILE_GELU);
}

/* Fewer than 32 columns of y. */
static void place_edge_row(const wn_tile_unit *u, const place_block *b, size_t i)
{
    float *y = (float *)(void *)((char *)b->to + i * b->stride);
    for (size_t j = 0; j < b->n_cols; j++) {
        const float sum = b->sums[j / 16 * PLACE_HALF + 16 * i + j % 16] + b->bias[j];
        y[j] = u->add ? y[j] + sum : sum;
    }
}

/* The columns of a tile of x, and `rows` rows of the block that is ready between the products. */
WN_INLINE void place_step(const amx_pairs *x, const amx_pairs *w, const place_block *ready,
                          size_t row, const size_t rows, const wn_tile_result result,
                          const bool add)
{
    amx_load(4, x[0], AMX_ROW_BYTES);
    amx_load_once(6, w[0], AMX_ROW_BYTES);
    amx_load(5, x[1], AMX_ROW_BYTES);
    amx_load_once(7, w[1], AMX_ROW_BYTES);
    amx_dot_bf16(0, 4, 6);
    if (rows > 0)
        place_row(ready, row, result, add);
    amx_dot_bf16(1, 4, 7);
    if (rows > 1)
        place_row(ready, row + 1, result, add);
    amx_dot_bf16(2, 5, 6);
    if (rows > 2)
        place_row(ready, row + 2, result, add);
    amx_dot_bf16(3, 5, 7);
    if (rows > 3)
        place_row(ready, row + 3, result, add);
}

WN_INLINE void place_steps(place_run *r, const amx_pairs *x, const amx_pairs *w, size_t n,
                           const size_t rows, const wn_tile_result result, const bool add)
{
    const place_block ready = r->ready;
    const size_t with_rows = ready.n_rows / rows < n ? ready.n_rows / rows : n;
    const size_t ahead_bytes = r->ahead.step_bytes;
    const uint8_t *ahead = r->ahead.now.at;
    for (size_t k = 0; k < n; k++, x += 2, w += 2) {
        if (k < with_rows)
            place_step(x, w, &ready, k * rows, rows, result, add);
        else
            place_step(x, w, &ready, 0, 0, result, add);
        tile_stream_fetch(ahead_bytes, &ahead);
    }
    for (size_t i = with_rows * rows; i < ready.n_rows; i++)
        place_row(&ready, i, result, add);
    r->ahead.now.at = ahead;
    r->ready.n_rows = 0;
}

/* Sums of a strip and a sliver over n tiles of columns; in: NULL for zeros. */
WN_INLINE void place_tiles(place_run *r, const amx_pairs *x, const amx_pairs *w, size_t n,
                           place_sums *in, place_sums *out, const wn_tile_result result,
                           const bool add)
{
    load_sums(in ? (*in)[0][0] : NULL, PLACE_HALF, AMX_TILE_SUMS);
    if (n < PLACE_STRETCH)
        place_steps(r, x, w, n, 3, result, add);
    else
        place_steps(r, x, w, n, 2, result, add);
    store_sums((*out)[0][0], PLACE_HALF, AMX_TILE_SUMS);
}

static place_block place_at(const place_run *r, size_t strip, size_t sliver, place_sums *sums)
{
    static const float none[32];
    const wn_tile_unit *u = r->u;
    const size_t row = strip * WN_TILE_STRIP, column = sliver * 32;
    place_block b = {.sums = (*sums)[0][0],
                     .bias = u->bias ? u->bias + column : none,
                     .n_rows = WN_TILE_STRIP,
                     .n_cols = u->part.n_cols - column};
    if (u->result != WN_TILE_F32) {
        b.to = u->packed + strip * u->packed_stride + sliver * 2048;
        b.stride = 64;
        return b;
    }
    b.to = u->y + row * u->y_stride + column;
    b.stride = u->y_stride * sizeof(float);
    b.n_rows = u->n_rows - row < WN_TILE_STRIP ? u->n_rows - row : WN_TILE_STRIP;
    return b;
}

WN_INLINE void place_sliver(place_run *r, size_t strip, size_t sliver, size_t k,
                            const wn_tile_result result, const bool add)
{
    const wn_tile_unit *u = r->u;
    const amx_pairs *x = (const amx_pairs *)(const void *)u->x + 2 * (strip * u->part.n_k + k);
    const amx_pairs *w = (const amx_pairs *)(const void *)tiles_at(&u->part, sliver, k);
    place_sums *sums = &r->scratch->sums[(sliver - r->group) % PLACE_GROUP];
    const size_t left = u->part.n_k - k, n = left < PLACE_STRETCH ? left : PLACE_STRETCH;
    place_sums *out = n == left ? &r->scratch->finished[r->turn] : sums;
    place_tiles(r, x, w, n, k ? sums : NULL, out, result, add);
    tile_stream_advance(&r->ahead);
    if (n < left)
        return;
    r->ready = place_at(r, strip, sliver, out);
    r->turn ^= 1;
    if (r->ready.n_cols >= 32)
        return;
    for (size_t i = 0; i < r->ready.n_rows; i++)
        place_edge_row(u, &r->ready, i);
    r->ready.n_rows = 0;
}

WN_INLINE void place_multiply(place_run *r, const wn_tile_result result, const bool add)
{
    for (; r->group < r->n_slivers; r->group += r->group_slivers) {
        const size_t left = r->n_slivers - r->group;
        const size_t end = r->group + (left < r->group_slivers ? left : r->group_slivers);
        for (size_t strip = 0; strip < r->n_strips; strip++)
            for (size_t k = 0; k < r->u->part.n_k; k += PLACE_STRETCH)
                for (size_t s = r->group; s < end; s++)
                    place_sliver(r, strip, s, k, result, add);
    }
    amx_end();
    for (size_t i = 0; i < r->ready.n_rows; i++)
        place_row(&r->ready, i, result, add);
}

static void amx_multiply_in_place(const wn_tile_unit *u, void *scratch)
{
    place_run r = {.u = u,
                   .scratch = scratch,
                   .n_strips = (u->n_rows + WN_TILE_STRIP - 1) / WN_TILE_STRIP,
                   .n_slivers = (u->part.n_cols + 31) / 32,
                   .group_slivers = tile_group_slivers(&u->part)};
    r.ahead = tile_stream_open(u, r.n_strips * r.n_slivers * u->part.n_k);
    amx_begin();
    if (u->result == WN_TILE_F32 && u->add)
        place_multiply(&r, WN_TILE_F32, true);
    else if (u->result == WN_TILE_F32)
        place_multiply(&r, WN_TILE_F32, false);
    else if (u->result == WN_TILE_GELU)
        place_multiply(&r, WN_TILE_GELU, false);
    else
        place_multiply(&r, WN_TILE_BF16, false);
}

#endif
#endif
