/* What attention over a whole short sequence (simd_self_attention_amx.h) works with: Q, K and V of
 * one head as tiles.
 *
 * K is turned once into pairs of dimensions, V woven into pairs of keys: [16 pairs][16 columns][2].
 * Keys come in tiles of 32, in K in the order of SELF_KEY. Missing ones are copies of the last:
 * their scores change no largest one, and in V and in the ones they are zeros.
 * Dimensions stay in the order of packed rows; weaving takes each half of eight apart and
 * vi_weave_quads joins them again.
 */
#ifndef WN_KERNELS_SIMD_SELF_ATTENTION_LOAD_H
#define WN_KERNELS_SIMD_SELF_ATTENTION_LOAD_H

#include "kernels/amx_tile.h"
#include "kernels/simd_bf16.h"
#ifdef WN_LANES

#include "kernels/kernel_table.h"

enum { SELF_SET = 16, SELF_KEY_TILES = WN_TILE_HEAD_ROWS / 32, SELF_DIM_TILES = 2 };

/* The key of column `at` (of 16) of a half of K's tile: so packs of 32 bits to 16, which join each
 * four of one half with four of the other, put the weights in the order of keys. */
#define SELF_KEY(half, at) ((at) / 4 * 8 + (half)*4 + (at) % 4)

typedef uint16_t self_pairs[AMX_ROWS][32];
typedef float self_sums[AMX_ROWS][16];

typedef struct self_scratch {
    /* Tiles of K, [half of the keys][tile of dimensions], and of V, [tile of dimensions][half], of
     * each 32 keys: [pair of dimensions][SELF_KEY][2], [pair of keys][dimension][2]. */
    self_pairs k[SELF_KEY_TILES * 2 * SELF_DIM_TILES], v[SELF_KEY_TILES * 2 * SELF_DIM_TILES];
    self_pairs ones[2];           /* [pair of keys][16][2]: of a whole tile, of the last one */
    self_pairs q[SELF_DIM_TILES]; /* [query][dimension] */
    self_sums s[2][2][2];         /* of two steps, of two tiles of keys: [half][query][SELF_KEY] */
    self_pairs p[2];              /* of two steps: [query][key] */
    self_sums o[SELF_DIM_TILES][2], sum;     /* [query][dimension]; [query][16], all alike */
    float top[WN_TILE_HEAD_ROWS + SELF_SET]; /* of a row: -scale times its largest score */
} self_scratch;

typedef struct self_run {
    const wn_tile_heads *h;
    self_scratch *x;
    size_t n_dims, n_tiles; /* tiles of 32 dimensions, of 32 keys */
    float scale;            /* of scores, to units of exponents of 2 */
} self_run;

/* One after the other, whatever n_dims is, or few lines of L1 would have to hold all of them. */
WN_INLINE self_pairs *self_k(const self_run *r, size_t j, size_t half, size_t d)
{
    return &r->x->k[(2 * j + half) * r->n_dims + d];
}
WN_INLINE self_pairs *self_v(const self_run *r, size_t j, size_t d, size_t half)
{
    return &r->x->v[2 * (j * r->n_dims + d) + half];
}

/* 32 columns of row i of the sequence, from 32 `tile` on. */
WN_INLINE const uint16_t *self_row(const self_run *r, size_t i, size_t tile)
{
    const size_t row = r->h->row0 + i;
    return (const uint16_t *)(const void *)(r->h->qkv +
                                            row / 32 * wn_tile_strip_bytes(3 * r->h->d, 1) +
                                            tile * 2048 + row % 32 * 64);
}

/* Per lane, the sum of the squares of a pair of bf16. */
WN_INLINE vf self_squares(vi pair)
{
    const vf even = vi_as_f32(vi_shift_left(pair, 16));
    const vf odd = vi_as_f32(vi_and(pair, (int)0xffff0000u));
    return vf_fma(even, even, vf_mul(odd, odd));
}

/* Returns the largest square of a key's length. */
static float self_load_keys(const self_run *r)
{
    const size_t first = (r->h->d + r->h->head * r->h->head_dim) / 32, last = r->h->n_rows - 1;
    vf longest = vf_zero();
    for (size_t j = 0; j < 32 * r->n_tiles; j += WN_LANES) {
        const size_t half = j % 32 / 16;
        vf length = vf_zero();
        for (size_t d = 0; d < r->n_dims; d++)
            for (size_t p = 0; p < 16; p += WN_LANES) {
                vf pairs[WN_LANES];
                for (size_t i = 0; i < WN_LANES; i++) {
                    const size_t key = j / 32 * 32 + SELF_KEY(half, j % 16 + i);
                    const uint16_t *row = self_row(r, key < last ? key : last, first + d);
                    pairs[i] = vi_as_f32(vi_load(row + 2 * p));
                }
                vf_transpose(pairs);
                for (size_t i = 0; i < WN_LANES; i++) {
                    const vi pair = vf_as_int(pairs[i]);
                    vi_store(&(*self_k(r, j / 32, half, d))[p + i][j % 16 * 2], pair);
                    length = vf_add(length, self_squares(pair));
                }
            }
        longest = vf_max(longest, length);
    }
    return vf_top(longest);
}

/* The largest square of a query's length. */
static float self_longest_query(const self_run *r)
{
    const size_t first = r->h->head * r->h->head_dim / 32, last = r->h->n_rows - 1;
    float longest = 0;
    for (size_t i = 0; i <= last; i += 4) {
        vf parts[4];
        float lengths[4];
        for (size_t k = 0; k < 4; k++) {
            const size_t row = i + k < last ? i + k : last;
            parts[k] = vf_zero();
            for (size_t d = 0; d < r->n_dims; d++)
                for (size_t c = 0; c < 32; c += 2 * WN_LANES)
                    parts[k] =
                        vf_add(parts[k], self_squares(vi_load(self_row(r, row, first + d) + c)));
        }
        vf_sum4(parts, lengths);
        for (size_t k = 0; k < 4; k++)
            longest = lengths[k] > longest ? lengths[k] : longest;
    }
    return longest;
}

static void self_load_values(const self_run *r)
{
    const size_t first = (2 * r->h->d + r->h->head * r->h->head_dim) / 32, n = r->h->n_rows;
    const vi zero = vi_set1(0);
    for (size_t j = 0; j < 32 * r->n_tiles; j += 2) {
        const size_t pair = j % 32 / 2;
        const int one = (j < n ? 0x3f80 : 0) | (j + 1 < n ? 0x3f800000 : 0);
        for (size_t c = 0; c < 32; c += 2 * WN_LANES) {
            vi_store(&r->x->ones[0][pair][c], vi_set1(0x3f803f80));
            vi_store(&r->x->ones[1][pair][c], vi_set1(one));
            for (size_t d = 0; d < r->n_dims; d++) {
                const vi a = j < n ? vi_load(self_row(r, j, first + d) + c) : zero;
                const vi b = j + 1 < n ? vi_load(self_row(r, j + 1, first + d) + c) : zero;
                vi_store(&(*self_v(r, j / 32, d, 0))[pair][c], vi_weave_low16(a, b));
                vi_store(&(*self_v(r, j / 32, d, 1))[pair][c], vi_weave_high16(a, b));
            }
        }
    }
}

static void self_load_queries(const self_run *r, size_t set)
{
    const size_t first = r->h->head * r->h->head_dim / 32, last = r->h->n_rows - 1;
    for (size_t i = 0; i < SELF_SET; i++)
        for (size_t d = 0; d < r->n_dims; d++) {
            const size_t row = set * SELF_SET + i;
            const uint16_t *from = self_row(r, row < last ? row : last, first + d);
            for (size_t c = 0; c < 32; c += 2 * WN_LANES)
                vi_store(&r->x->q[d][i][c], vi_load(from + c));
        }
}

#endif
#endif
