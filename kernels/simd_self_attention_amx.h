/* Attention of one head over a whole short sequence on AMX tiles, S = Q K^T, O = P V, from packed
 * rows of q, k and v to packed rows (wn_tile_heads).
 *
 * Sixteen queries (a set) are the rows of every product. From each score something is subtracted
 * that is the same for a row: for usual heads a bound of all scores, so that a tile of keys can
 * become weights at once. Where the bound is too far above the scores, they are formed twice, for
 * the largest one of each row first. The sum of a row's weights is a product with ones, of the
 * rounded weights that V gets too.
 * Processors do not rename tiles: one that takes a sum is free only when that has been stored, and
 * what is formed at the same time has tiles of its own.
 */
#ifndef WN_KERNELS_SIMD_SELF_ATTENTION_AMX_H
#define WN_KERNELS_SIMD_SELF_ATTENTION_AMX_H

#include "kernels/simd_math.h"
#include "kernels/simd_self_attention_load.h"
#ifdef WN_LANES

#include <math.h>

#if WN_LANES == 16
#define SELF_UNITS 256.0f
/* Of a, b <= 0, in units of 1 / 256: 2^(1 + a) and 2^(1 + b) as bf16, four of each by turns, with a
 * relative error of 0.8 % (0.23 % in the mean of squares; bf16 alone has 0.16 %), exactly 0 below
 * -128. The fraction of an exponent is the mantissa but for 2^f - 1 - f, which a lookup by its
 * first five bits adds, here with the half that rounds (Schraudolph 1999, in 16 bits). What
 * overflows a conversion becomes the least number, and that the least exponent. */
WN_INLINE vi self_exp2(vf a, vf b)
{
#define SELF_BENT(x) (int16_t)(128 * 256 + 1 - (x))
    static const int16_t bent[32] = {
        SELF_BENT(1),  SELF_BENT(4),  SELF_BENT(6),  SELF_BENT(8),  SELF_BENT(10), SELF_BENT(12),
        SELF_BENT(13), SELF_BENT(15), SELF_BENT(16), SELF_BENT(18), SELF_BENT(19), SELF_BENT(20),
        SELF_BENT(20), SELF_BENT(21), SELF_BENT(22), SELF_BENT(22), SELF_BENT(22), SELF_BENT(22),
        SELF_BENT(22), SELF_BENT(21), SELF_BENT(21), SELF_BENT(20), SELF_BENT(19), SELF_BENT(18),
        SELF_BENT(17), SELF_BENT(15), SELF_BENT(14), SELF_BENT(12), SELF_BENT(9),  SELF_BENT(7),
        SELF_BENT(4),  SELF_BENT(2)};
    const __m512i e = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
    const __m512i add = _mm512_permutexvar_epi16(_mm512_srli_epi16(e, 3), vi_load(bent));
    return _mm512_srli_epi16(_mm512_add_epi16(e, add), 1);
}
#else
#define SELF_UNITS 1.0f
WN_INLINE vi self_exp2(vf a, vf b)
{
    return vi_weave_quads(vf_to_bf16(vf_exp2(a, 3), vf_exp2(b, 3)));
}
#endif

/* ---- steps: a tile of keys, or two, for a set of queries ----
 * A step's scores are used two steps later, their weights again two steps later: what tiles store
 * is not there at once for vectors, nor the other way round. Vectors work while tiles do; and as a
 * processor looks ahead for far less than a step, the two are mixed by hand. */

enum { SELF_LAG = 2 };

typedef struct self_place {
    size_t set, j;
} self_place;

WN_INLINE void self_advance(const self_run *r, self_place *p, size_t n)
{
    p->j += n;
    if (p->j < r->n_tiles)
        return;
    p->j = 0;
    p->set++;
}

/* high: of rows i .. i + 4, with scores of two tiles. */
WN_INLINE void self_highest(const self_sums s[2][2], vf high[SELF_SET], const size_t i)
{
    WN_UNROLL
    for (size_t k = i; k < i + 4; k++)
        for (size_t v = 0; v < 64; v += WN_LANES)
            high[k] = vf_max(high[k], vf_load(&s[v / 32][v % 32 / 16][k][v % 16]));
}

/* Scores with tiles j and i of the keys, and the largest ones of the step before the last. */
WN_INLINE void self_top_step(const self_run *r, size_t turn, size_t j, size_t i, vf high[SELF_SET])
{
    self_sums(*s)[2] = r->x->s[turn];
    amx_zero(0);
    amx_zero(1);
    amx_zero(2);
    amx_zero(3);
    self_highest(s, high, 0);
    for (size_t d = 0; d < r->n_dims; d++) {
        amx_load(4, r->x->q[d], AMX_ROW_BYTES);
        amx_load(5, *self_k(r, j, 0, d), AMX_ROW_BYTES);
        amx_dot_bf16(0, 4, 5);
        amx_load(6, *self_k(r, j, 1, d), AMX_ROW_BYTES);
        amx_dot_bf16(1, 4, 6);
        amx_load(7, *self_k(r, i, 0, d), AMX_ROW_BYTES);
        amx_dot_bf16(2, 4, 7);
        amx_load(5, *self_k(r, i, 1, d), AMX_ROW_BYTES);
        amx_dot_bf16(3, 4, 5);
    }
    self_highest(s, high, 4);
    self_highest(s, high, 8);
    self_highest(s, high, 12);
    amx_store(0, s[0][0], AMX_ROW_BYTES);
    amx_store(1, s[0][1], AMX_ROW_BYTES);
    amx_store(2, s[1][0], AMX_ROW_BYTES);
    amx_store(3, s[1][1], AMX_ROW_BYTES);
}

/* Rows i .. i + n of a step: from scores to weights, 2^(scale (s - largest)). */
WN_INLINE void self_weigh(const self_run *r, size_t turn, const float *tops, const size_t i,
                          const size_t n)
{
    const vf scale = vf_set1(r->scale);
    const self_sums *s = r->x->s[turn][0];
    WN_UNROLL
    for (size_t k = i; k < i + n; k++) {
        const vf top = vf_set1(tops[k]);
        for (size_t v = 0; v < 16; v += WN_LANES)
            vi_store(&r->x->p[turn][k][2 * v], self_exp2(vf_fma(vf_load(&s[0][k][v]), scale, top),
                                                         vf_fma(vf_load(&s[1][k][v]), scale, top)));
    }
}

/* Scores with tile j of the keys, weights of a step before (whose rows have these tops), and O += P
 * V of one before that, with tile i of the keys. O: tiles 0, 1; 2: the sum of P. */
WN_INLINE void self_step_32(const self_run *r, size_t turn, size_t j, const float *tops, size_t i)
{
    self_sums *s = r->x->s[turn][0];
    amx_load(6, r->x->p[turn], AMX_ROW_BYTES);
    amx_load(7, *self_v(r, i, 0, 0), AMX_ROW_BYTES);
    amx_zero(3);
    amx_zero(4);
    amx_dot_bf16(0, 6, 7);
    self_weigh(r, turn, tops, 0, 2);
    amx_load(5, *self_v(r, i, 0, 1), AMX_ROW_BYTES);
    amx_dot_bf16(1, 6, 5);
    self_weigh(r, turn, tops, 2, 2);
    amx_load(7, r->x->ones[i + 1 == r->n_tiles], AMX_ROW_BYTES);
    amx_dot_bf16(2, 6, 7);
    self_weigh(r, turn, tops, 4, 2);
    amx_load(6, r->x->q[0], AMX_ROW_BYTES);
    amx_load(5, *self_k(r, j, 0, 0), AMX_ROW_BYTES);
    amx_dot_bf16(3, 6, 5);
    self_weigh(r, turn, tops, 6, 4);
    amx_load(7, *self_k(r, j, 1, 0), AMX_ROW_BYTES);
    amx_dot_bf16(4, 6, 7);
    self_weigh(r, turn, tops, 10, 6);
    amx_store(3, s[0], AMX_ROW_BYTES);
    amx_store(4, s[1], AMX_ROW_BYTES);
}

/* The same for 64 dimensions; O: tiles 0, 1, 3, 4. */
WN_INLINE void self_step_64(const self_run *r, size_t turn, size_t j, const float *tops, size_t i)
{
    self_sums *s = r->x->s[turn][0];
    amx_load(6, r->x->p[turn], AMX_ROW_BYTES);
    amx_load(7, *self_v(r, i, 0, 0), AMX_ROW_BYTES);
    amx_dot_bf16(0, 6, 7);
    self_weigh(r, turn, tops, 0, 2);
    amx_load(5, *self_v(r, i, 0, 1), AMX_ROW_BYTES);
    amx_dot_bf16(1, 6, 5);
    self_weigh(r, turn, tops, 2, 2);
    amx_load(7, *self_v(r, i, 1, 0), AMX_ROW_BYTES);
    amx_dot_bf16(3, 6, 7);
    self_weigh(r, turn, tops, 4, 2);
    amx_load(5, *self_v(r, i, 1, 1), AMX_ROW_BYTES);
    amx_dot_bf16(4, 6, 5);
    self_weigh(r, turn, tops, 6, 2);
    amx_load(7, r->x->ones[i + 1 == r->n_tiles], AMX_ROW_BYTES);
    amx_dot_bf16(2, 6, 7);
    self_weigh(r, turn, tops, 8, 8);
    for (size_t half = 0; half < 2; half++) {
        amx_zero(5);
        for (size_t d = 0; d < 2; d++) {
            amx_load(6, r->x->q[d], AMX_ROW_BYTES);
            amx_load(7, *self_k(r, j, half, d), AMX_ROW_BYTES);
            amx_dot_bf16(5, 6, 7);
        }
        amx_store(5, s[half], AMX_ROW_BYTES);
    }
}

/* tops = -scale times the largest lane. */
static void self_store_tops(const self_run *r, vf high[SELF_SET], float *tops)
{
    for (size_t i = 0; i < SELF_SET; i += WN_LANES) {
        vf_transpose(high + i);
        vf top = high[i];
        for (size_t v = 1; v < WN_LANES; v++)
            top = vf_max(top, high[i + v]);
        vf_store(tops + i, vf_mul(top, vf_set1(-r->scale)));
    }
}

static void self_store_output(const self_run *r, size_t set)
{
    const wn_tile_heads *h = r->h;
    for (size_t i = 0; i < SELF_SET && set * SELF_SET + i < h->n_rows; i++) {
        const size_t row = h->row0 + set * SELF_SET + i;
        const vf inverse = vf_reciprocal_14(vf_load(r->x->sum[i]));
        uint8_t *out = h->out + row / 32 * wn_tile_strip_bytes(h->d, 1) + row % 32 * 64;
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

/* The largest scores of all queries. */
static void self_find_tops(const self_run *r, size_t n_sets)
{
    const size_t last = r->n_tiles - 1, n_steps = n_sets * ((r->n_tiles + 1) / 2);
    self_place next = {0}, now = {0};
    vf high[SELF_SET];
    for (size_t t = 0; t < n_steps + SELF_LAG; t++) {
        if (next.j == 0 && next.set < n_sets)
            self_load_queries(r, next.set);
        if (now.j == 0)
            WN_UNROLL
        for (size_t i = 0; i < SELF_SET; i++)
            high[i] = vf_set1(-INFINITY);
        self_top_step(r, t % 2, next.j, next.j < last ? next.j + 1 : last, high);
        self_advance(r, &next, 2);
        if (t < SELF_LAG)
            continue;
        if (now.j + 2 >= r->n_tiles)
            self_store_tops(r, high, r->x->top + now.set * SELF_SET);
        self_advance(r, &now, 2);
    }
}

/* No score is larger than the product of the longest query and the longest key. As no score is less
 * than the negative of that either, a product so small leaves the largest weight of each row far
 * above 2^-126, and may be subtracted instead of the row's largest score. */
#define SELF_BOUND (50 * SELF_UNITS)

static void self_choose_tops(const self_run *r, size_t n_sets, float longest_key)
{
    const float bound = 1.001f * r->scale * sqrtf(longest_key) * sqrtf(self_longest_query(r));
    if (!(bound <= SELF_BOUND)) {
        self_find_tops(r, n_sets);
        return;
    }
    for (size_t i = 0; i < n_sets * SELF_SET; i++)
        r->x->top[i] = -bound;
}

static void self_find_output(const self_run *r, size_t n_sets)
{
    const size_t n_steps = n_sets * r->n_tiles;
    self_place next = {0}, now = {0}, last = {0};
    for (size_t t = 0; t < n_steps + 2 * SELF_LAG; t++) {
        if (next.j == 0 && next.set < n_sets)
            self_load_queries(r, next.set);
        if (last.j == 0)
            self_zero_output();
        const float *tops = r->x->top + now.set * SELF_SET;
        if (r->n_dims == 1)
            self_step_32(r, t % 2, next.j, tops, last.j);
        else
            self_step_64(r, t % 2, next.j, tops, last.j);
        self_advance(r, &next, 1);
        if (t >= SELF_LAG)
            self_advance(r, &now, 1);
        if (t < 2 * SELF_LAG)
            continue;
        if (last.j + 1 == r->n_tiles)
            self_finish_output(r, last.set);
        self_advance(r, &last, 1);
    }
}

static void amx_self_attention(const wn_tile_heads *h, void *scratch)
{
    const self_run r = {
        .h = h,
        .x = scratch,
        .n_dims = h->head_dim / 32,
        .n_tiles = (h->n_rows + 31) / 32,
        .scale = h->scale * 1.44269504f * SELF_UNITS,
    };
    const size_t n_sets = (h->n_rows + SELF_SET - 1) / SELF_SET;
    const float longest_key = self_load_keys(&r);
    self_load_values(&r);
    amx_begin();
    self_choose_tops(&r, n_sets, longest_key);
    self_find_output(&r, n_sets);
    amx_end();
}

#endif
#endif
