/* Attention of one head over a whole short sequence on AMX tiles, S = Q K^T, O = P V, from packed
 * rows of q, k and v to packed rows (wn_tile_heads).
 *
 * Sixteen queries (a set) are the rows of every product. K is turned once into pairs of dimensions,
 * V woven into pairs of keys: [16 pairs][16 columns][2]. All scores of a set are there before the
 * first exponential, so each row has its own largest one and nothing is rescaled. The sum of a
 * row's weights is a product with ones, of the rounded weights that V gets too.
 * Keys come in tiles of 32. Missing ones are copies of the last: their scores change no largest
 * one, and in V and in the ones they are zeros.
 * Dimensions stay in the order of packed rows; weaving takes each half of eight apart and
 * vi_weave_quads joins them again.
 */
#ifndef WN_KERNELS_SIMD_SELF_ATTENTION_AMX_H
#define WN_KERNELS_SIMD_SELF_ATTENTION_AMX_H

#include "kernels/amx_tile.h"
#include "kernels/simd_bf16.h"
#include "kernels/simd_math.h"
#ifdef WN_LANES

#include "kernels/kernel_table.h"

enum { SELF_SET = 16, SELF_KEY_TILES = WN_TILE_HEAD_ROWS / 32, SELF_DIM_TILES = 2 };

typedef uint16_t self_pairs[AMX_ROWS][32];
typedef float self_sums[AMX_ROWS][16];

typedef struct self_scratch {
    self_pairs k[SELF_KEY_TILES][2][SELF_DIM_TILES]; /* [pair of dimensions][key][2] */
    self_pairs v[SELF_KEY_TILES][SELF_DIM_TILES][2]; /* [pair of keys][dimension][2] */
    self_pairs ones[2];             /* [pair of keys][16][2]: of a whole tile, of the last one */
    self_pairs q[SELF_DIM_TILES];   /* [query][dimension] */
    self_sums s[SELF_KEY_TILES][2]; /* [query][key] */
    self_pairs p[SELF_KEY_TILES];   /* [query][key] */
    self_sums o[SELF_DIM_TILES][2], sum; /* [query][dimension]; [query][16], all alike */
    float top[SELF_SET];
} self_scratch;

typedef struct self_run {
    const wn_tile_heads *h;
    self_scratch *x;
    size_t n_dims, n_tiles; /* tiles of 32 dimensions, of 32 keys */
    float scale;            /* of scores, log2(e) included */
} self_run;

/* 32 columns of row i of the sequence, from 32 `tile` on. */
WN_INLINE const uint16_t *self_row(const self_run *r, size_t i, size_t tile)
{
    const size_t row = r->h->row0 + i;
    return (const uint16_t *)(const void *)(r->h->qkv +
                                            row / 32 * wn_tile_strip_bytes(3 * r->h->d) +
                                            tile * 2048 + row % 32 * 64);
}

static void self_load_keys(const self_run *r)
{
    const size_t first = (r->h->d + r->h->head * r->h->head_dim) / 32, last = r->h->n_rows - 1;
    for (size_t j = 0; j < 32 * r->n_tiles; j += WN_LANES)
        for (size_t d = 0; d < r->n_dims; d++)
            for (size_t p = 0; p < 16; p += WN_LANES) {
                vf pairs[WN_LANES];
                for (size_t i = 0; i < WN_LANES; i++)
                    pairs[i] = vi_as_f32(
                        vi_load(self_row(r, j + i < last ? j + i : last, first + d) + 2 * p));
                vf_transpose(pairs);
                self_pairs *tile = &r->x->k[j / 32][j % 32 / 16][d];
                for (size_t i = 0; i < WN_LANES; i++)
                    vi_store(&(*tile)[p + i][j % 16 * 2], vf_as_int(pairs[i]));
            }
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
                vi_store(&r->x->v[j / 32][d][0][pair][c], vi_weave_low16(a, b));
                vi_store(&r->x->v[j / 32][d][1][pair][c], vi_weave_high16(a, b));
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

/* Scores with tile j of the keys. Few dimensions leave tiles 3 and 4 to work on both halves. */
WN_INLINE void self_scores(const self_run *r, size_t j)
{
    if (r->n_dims == 1) {
        amx_zero(5);
        amx_zero(3);
        amx_load(6, r->x->q[0], AMX_ROW_BYTES);
        amx_load(7, r->x->k[j][0][0], AMX_ROW_BYTES);
        amx_dot_bf16(5, 6, 7);
        amx_load(4, r->x->k[j][1][0], AMX_ROW_BYTES);
        amx_dot_bf16(3, 6, 4);
        amx_store(5, r->x->s[j][0], AMX_ROW_BYTES);
        amx_store(3, r->x->s[j][1], AMX_ROW_BYTES);
        return;
    }
    for (size_t half = 0; half < 2; half++) {
        amx_zero(5);
        for (size_t d = 0; d < r->n_dims; d++) {
            amx_load(6, r->x->q[d], AMX_ROW_BYTES);
            amx_load(7, r->x->k[j][half][d], AMX_ROW_BYTES);
            amx_dot_bf16(5, 6, 7);
        }
        amx_store(5, r->x->s[j][half], AMX_ROW_BYTES);
    }
}

/* O += P V for tile j of the keys: tiles 0, 1 and 3, 4, 16 dimensions each; 2: the sum of P. */
WN_INLINE void self_values(const self_run *r, size_t j)
{
    amx_load(6, r->x->p[j], AMX_ROW_BYTES);
    amx_load(7, r->x->v[j][0][0], AMX_ROW_BYTES);
    amx_dot_bf16(0, 6, 7);
    amx_load(5, r->x->v[j][0][1], AMX_ROW_BYTES);
    amx_dot_bf16(1, 6, 5);
    amx_load(7, r->x->ones[j + 1 == r->n_tiles], AMX_ROW_BYTES);
    amx_dot_bf16(2, 6, 7);
    if (r->n_dims == 1)
        return;
    amx_load(5, r->x->v[j][1][0], AMX_ROW_BYTES);
    amx_dot_bf16(3, 6, 5);
    amx_load(7, r->x->v[j][1][1], AMX_ROW_BYTES);
    amx_dot_bf16(4, 6, 7);
}

/* vf_exp2 of degree 3 for x <= 0, with AVX-512's instructions for the fraction and the exponent, on
 * x - floor(x): relative error 8e-5, exactly 0 below -150. */
WN_INLINE vf self_exp2(vf x)
{
#if WN_LANES == 16
    x = vf_max(x, vf_set1(-160.0f));
    const vf f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
    vf p = vf_fma(vf_set1(0.0780245513f), f, vf_set1(0.226067185f));
    p = vf_fma(p, f, vf_set1(0.695833504f));
    return _mm512_scalef_ps(vf_fma(p, f, vf_set1(0.999925256f)), x);
#else
    return vf_exp2(x, 3);
#endif
}

/* Weights of tile j of the keys: 2^(scale (s - top)), to bf16. */
WN_INLINE void self_weights(const self_run *r, size_t j)
{
    const vf scale = vf_set1(r->scale);
    for (size_t i = 0; i < SELF_SET; i++) {
        const vf top = vf_set1(r->x->top[i]);
        vf p[32 / WN_LANES];
        for (size_t v = 0; v < 32 / WN_LANES; v++) {
            const vf s = vf_load(&r->x->s[j][v * WN_LANES / 16][i][v * WN_LANES % 16]);
            p[v] = self_exp2(vf_fma(s, scale, top));
        }
        for (size_t v = 0; v < 32 / WN_LANES; v += 2)
            vi_store(&r->x->p[j][i][v * WN_LANES], vf_to_bf16(p[v], p[v + 1]));
    }
}

WN_INLINE void self_highest(const self_run *r, size_t j, vf high[SELF_SET])
{
    WN_UNROLL
    for (size_t i = 0; i < SELF_SET; i++)
        for (size_t v = 0; v < 32; v += WN_LANES)
            high[i] = vf_max(high[i], vf_load(&r->x->s[j][v / 16][i][v % 16]));
}

/* top = -scale times the largest lane. */
static void self_store_tops(const self_run *r, vf high[SELF_SET])
{
    for (size_t i = 0; i < SELF_SET; i += WN_LANES) {
        vf_transpose(high + i);
        vf top = high[i];
        for (size_t v = 1; v < WN_LANES; v++)
            top = vf_max(top, high[i + v]);
        vf_store(r->x->top + i, vf_mul(top, vf_set1(-r->scale)));
    }
}

static void self_store_output(const self_run *r, size_t set)
{
    const wn_tile_heads *h = r->h;
    for (size_t i = 0; i < SELF_SET && set * SELF_SET + i < h->n_rows; i++) {
        const size_t row = h->row0 + set * SELF_SET + i;
        const vf inverse = vf_reciprocal_14(vf_load(r->x->sum[i]));
        uint8_t *out = h->out + row / 32 * wn_tile_strip_bytes(h->d) + row % 32 * 64;
        for (size_t d = 0; d < r->n_dims; d++)
            for (size_t v = 0; v < 16; v += WN_LANES)
                vi_store(
                    out + (h->head * h->head_dim / 32 + d) * 2048 + 4 * v,
                    vi_weave_quads(vf_to_bf16(vf_mul(vf_load(&r->x->o[d][0][i][v]), inverse),
                                              vf_mul(vf_load(&r->x->o[d][1][i][v]), inverse))));
    }
}

static void self_zero_output(void)
{
    amx_zero(0);
    amx_zero(1);
    amx_zero(2);
    amx_zero(3);
    amx_zero(4);
}

static void self_finish_output(const self_run *r, size_t set)
{
    amx_store(0, r->x->o[0][0], AMX_ROW_BYTES);
    amx_store(1, r->x->o[0][1], AMX_ROW_BYTES);
    amx_store(2, r->x->sum, AMX_ROW_BYTES);
    if (r->n_dims > 1) {
        amx_store(3, r->x->o[1][0], AMX_ROW_BYTES);
        amx_store(4, r->x->o[1][1], AMX_ROW_BYTES);
    }
    self_store_output(r, set);
}

/* Values of the set before the last, weights of the last one, scores and largest scores of `set`,
 * all at once, tile by tile of the keys: each finds its operands where another one left them a step
 * ago, and the next one's results come in place of them. */
static void self_step(const self_run *r, size_t set, size_t n_sets)
{
    const bool scores = set<n_sets, weights = set> 0 && set <= n_sets, values = set > 1;
    vf high[SELF_SET];
    if (scores)
        self_load_queries(r, set);
    self_zero_output();
    WN_UNROLL
    for (size_t i = 0; i < SELF_SET; i++)
        high[i] = vf_set1(-INFINITY);
    for (size_t j = 0; j < r->n_tiles; j++) {
        if (values)
            self_values(r, j);
        if (weights)
            self_weights(r, j);
        if (scores)
            self_scores(r, j);
        if (scores && j > 0)
            self_highest(r, j - 1, high);
    }
    if (scores) {
        self_highest(r, r->n_tiles - 1, high);
        self_store_tops(r, high);
    }
    if (values)
        self_finish_output(r, set - 2);
}

static void amx_self_attention(const wn_tile_heads *h, void *scratch)
{
    const self_run r = {
        .h = h,
        .x = scratch,
        .n_dims = h->head_dim / 32,
        .n_tiles = (h->n_rows + 31) / 32,
        .scale = h->scale * 1.44269504f,
    };
    const size_t n_sets = (h->n_rows + SELF_SET - 1) / SELF_SET;
    self_load_keys(&r);
    self_load_values(&r);
    amx_begin();
    for (size_t set = 0; set < n_sets + 2; set++)
        self_step(&r, set, n_sets);
    amx_end();
}

#endif
#endif
