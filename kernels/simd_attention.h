/* Attention of a block of query rows of one KV head, keys in blocks, softmax kept running (Dao et
 * al., FlashAttention, 2022), all in f32.
 *
 * The rows of a KV head are (token, head of its group) pairs, so its keys and values are read once
 * for the whole group. Per block of keys: K is turned to [head_dim][keys] once; per strip of MR
 * rows S = Q K^T (register tile over keys), m' = max(m, row max of S), P = exp(S - m'), l = l exp(m
 * - m') + sum P,  O = O exp(m - m') + P V (register tile over head_dim); at the end out = O / l.
 * Key blocks start at multiples of KEYS and invisible keys count as exact zeros: a row's bits
 * depend on its query and visible keys only, so decode equals prefill.
 */
#ifndef WN_KERNELS_SIMD_ATTENTION_H
#define WN_KERNELS_SIMD_ATTENTION_H

#include "kernels/simd_gemm.h"
#include "kernels/simd_math.h"
#ifdef WN_LANES

#include <math.h>

#include "kernels/compute_internal.h"

enum {
    ATTENTION_KEYS = 128,       /* keys per block */
    ATTENTION_ROWS = 8 * WN_MR, /* query rows per call */
    ATTENTION_DIM = WN_ATTENTION_MAX_HEAD_DIM,
};

/* Scratch of one call; `dim` below is head_dim rounded up to NR. */
typedef struct attention_scratch {
    float q[ATTENTION_ROWS * ATTENTION_DIM];  /* [rows][head_dim], times scale */
    float o[ATTENTION_ROWS * ATTENTION_DIM];  /* [rows][dim] */
    float kt[ATTENTION_DIM * ATTENTION_KEYS]; /* [head_dim][KEYS] */
    float v[ATTENTION_KEYS * ATTENTION_DIM];  /* [KEYS][dim], when head_dim is no multiple of NR */
    float s[WN_MR * ATTENTION_KEYS];          /* [MR][KEYS] */
    float top[ATTENTION_ROWS], sum[ATTENTION_ROWS];
} attention_scratch;

typedef struct attention_block {
    const wn_attention_args *args;
    attention_scratch *scratch;
    size_t kv, group, row0, n_rows, dim;
    size_t key0, n_keys; /* of the current block of keys */
    const float *v;
    size_t v_stride;
} attention_block;

/* Keys that token t may see. */
WN_INLINE size_t visible_keys(const wn_attention_args *a, size_t t)
{
    return a->causal ? a->n_keys - a->m + t + 1 : a->n_keys;
}

WN_INLINE size_t row_offset(const attention_block *b, size_t i, size_t stride)
{
    const size_t row = b->row0 + i;
    return row / b->group * stride + (b->kv * b->group + row % b->group) * b->args->head_dim;
}

static void load_queries(const attention_block *b)
{
    const wn_attention_args *a = b->args;
    attention_scratch *s = b->scratch;
    const size_t padded = (b->n_rows + WN_MR - 1) / WN_MR * WN_MR;
    memset(s->q, 0, padded * a->head_dim * sizeof(float));
    memset(s->o, 0, padded * b->dim * sizeof(float));
    for (size_t i = 0; i < b->n_rows; i++) {
        const float *q = a->q + row_offset(b, i, a->q_stride);
        for (size_t d = 0; d < a->head_dim; d++)
            s->q[i * a->head_dim + d] = q[d] * a->scale;
        s->top[i] = -INFINITY;
        s->sum[i] = 0;
    }
}

/* K of the block turned, zeros up to whole tiles of keys; V copied only when a tile would read past
 * the end of a row. */
static void load_keys(attention_block *b)
{
    const size_t d = b->args->head_dim;
    attention_scratch *s = b->scratch;
    const float *k = b->args->k[b->kv] + b->key0 * d;
    for (size_t j = 0; j < (b->n_keys + WN_NR - 1) / WN_NR * WN_NR; j += WN_LANES) {
        const size_t rows = j >= b->n_keys ? 0 : wn_size_min(b->n_keys - j, WN_LANES);
        for (size_t i = 0; i < d; i += WN_LANES)
            transpose_block(k + j * d + i, d, rows, wn_size_min(d - i, WN_LANES),
                            s->kt + i * ATTENTION_KEYS + j, ATTENTION_KEYS, WN_LANES);
    }
    b->v = b->args->v[b->kv] + b->key0 * d;
    b->v_stride = d;
    if (d == b->dim)
        return;
    for (size_t j = 0; j < b->n_keys; j++) {
        memcpy(s->v + j * b->dim, b->v + j * d, d * sizeof(float));
        memset(s->v + j * b->dim + d, 0, (b->dim - d) * sizeof(float));
    }
    b->v = s->v;
    b->v_stride = b->dim;
}

/* c[rows][n] (stride) = or += a[rows][n_k] (stride a_row) b[n_k][n]. */
WN_INLINE void small_product(const float *a, size_t a_row, const float *b, size_t b_stride,
                             size_t n_k, size_t n, float *c, size_t c_stride, bool add,
                             const int rows)
{
    for (size_t j = 0; j < n; j += WN_NR) {
        vf acc[WN_MR][2];
        WN_UNROLL
        for (int i = 0; i < rows; i++) {
            const float *ci = c + (size_t)i * c_stride + j;
            acc[i][0] = add ? vf_load(ci) : vf_zero();
            acc[i][1] = add ? vf_load(ci + WN_LANES) : vf_zero();
        }
        tile_multiply(acc, a, a_row, 1, b + j, b_stride, n_k, rows);
        WN_UNROLL
        for (int i = 0; i < rows; i++) {
            vf_store(c + (size_t)i * c_stride + j, acc[i][0]);
            vf_store(c + (size_t)i * c_stride + j + WN_LANES, acc[i][1]);
        }
    }
}

static void multiply_rows(const float *a, size_t a_row, const float *b, size_t b_stride, size_t n_k,
                          size_t n, float *c, size_t c_stride, bool add, size_t n_rows)
{
    if (n_rows <= 1)
        small_product(a, a_row, b, b_stride, n_k, n, c, c_stride, add, 1);
    else if (n_rows <= WN_MR / 2)
        small_product(a, a_row, b, b_stride, n_k, n, c, c_stride, add, WN_MR / 2);
    else
        small_product(a, a_row, b, b_stride, n_k, n, c, c_stride, add, WN_MR);
}

/* s[n] -> exp(s - top), n in whole vectors; `valid` of them are visible. Updates top, sum and
 * o[dim]. */
static void softmax_row(float *s, size_t valid, size_t n, float *top, float *sum, float *o,
                        size_t dim)
{
    for (size_t j = valid; j < n; j++)
        s[j] = -INFINITY;
    vf high = vf_set1(*top);
    for (size_t j = 0; j < n; j += WN_LANES)
        high = vf_max(high, vf_load(s + j));
    const float new_top = vf_top(high);
    const vf shift = vf_set1(new_top);
    vf total = vf_zero();
    for (size_t j = 0; j < n; j += WN_LANES) {
        const vf p = vf_exp(vf_sub(vf_load(s + j), shift));
        vf_store(s + j, p);
        total = vf_add(total, p);
    }
    if (new_top > *top) {
        const vf decay = vf_exp(vf_set1(*top - new_top));
        float decayed[WN_LANES];
        vf_store(decayed, decay);
        *sum *= decayed[0];
        for (size_t d = 0; d < dim; d += WN_LANES)
            vf_store(o + d, vf_mul(vf_load(o + d), decay));
        *top = new_top;
    }
    *sum += vf_sum(total);
}

/* Rows i0 .. i0 + n of the call against the current block of keys. */
static void attend_strip(const attention_block *b, size_t i0, size_t n)
{
    const wn_attention_args *a = b->args;
    attention_scratch *s = b->scratch;
    const size_t last = visible_keys(a, (b->row0 + i0 + n - 1) / b->group);
    if (last <= b->key0)
        return;
    const size_t n_keys = wn_size_min(last - b->key0, b->n_keys);
    multiply_rows(s->q + i0 * a->head_dim, a->head_dim, s->kt, ATTENTION_KEYS, a->head_dim, n_keys,
                  s->s, ATTENTION_KEYS, false, n);
    for (size_t i = 0; i < n; i++) {
        const size_t seen = visible_keys(a, (b->row0 + i0 + i) / b->group);
        const size_t valid = seen <= b->key0 ? 0 : wn_size_min(seen - b->key0, n_keys);
        softmax_row(s->s + i * ATTENTION_KEYS, valid, (n_keys + WN_LANES - 1) / WN_LANES * WN_LANES,
                    &s->top[i0 + i], &s->sum[i0 + i], s->o + (i0 + i) * b->dim, b->dim);
    }
    multiply_rows(s->s, ATTENTION_KEYS, b->v, b->v_stride, n_keys, b->dim, s->o + i0 * b->dim,
                  b->dim, true, n);
}

static void simd_attention(const wn_attention_args *a, size_t kv, size_t row0, size_t n_rows,
                           void *scratch)
{
    attention_block b = {
        .args = a,
        .scratch = scratch,
        .kv = kv,
        .row0 = row0,
        .n_rows = n_rows,
        .group = a->n_heads / a->n_kv_heads,
        .dim = (a->head_dim + WN_NR - 1) / WN_NR * WN_NR,
    };
    load_queries(&b);
    const size_t limit = visible_keys(a, (row0 + n_rows - 1) / b.group);
    for (b.key0 = 0; b.key0 < limit; b.key0 += ATTENTION_KEYS) {
        b.n_keys = wn_size_min(limit - b.key0, ATTENTION_KEYS);
        load_keys(&b);
        for (size_t i = 0; i < n_rows; i += WN_MR)
            attend_strip(&b, i, wn_size_min(n_rows - i, WN_MR));
    }
    for (size_t i = 0; i < n_rows; i++) {
        const float inverse = b.scratch->sum[i] == 0 ? 0.0f : 1.0f / b.scratch->sum[i];
        float *out = a->out + row_offset(&b, i, a->out_stride);
        for (size_t d = 0; d < a->head_dim; d++)
            out[d] = b.scratch->o[i * b.dim + d] * inverse;
    }
}

#endif
#endif
