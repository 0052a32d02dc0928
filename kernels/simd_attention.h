/* Attention of a block of query rows of one KV head, pages of keys in blocks, softmax kept running
 * (Dao et al., FlashAttention, 2022).
 *
 * The rows of a KV head are (token, head of its group) pairs, so its pages are read once for the
 * whole group. Per block of keys: K is turned to [head_dim][keys] and V widened once
 * (simd_attention_load.h); per strip of MR rows S = Q K^T (register tile over keys), P = 2^(S -
 * top), l += sum P, O += P V (register tile over head_dim); at the end out = O / l. Scale and
 * log2(e) are in Q. top follows the largest score only when that is 2^8 above it, so O and l are
 * seldom rescaled. Invisible keys count as exact zeros.
 *
 * Decoding goes to simd_attention_few.h instead, in f32.
 * `pairs`: products of bf16 pairs (two to a 32-bit word) with f32 sums, twice the rate of f32; q,
 * K, V and P are rounded to bf16 then. Otherwise all in f32. Scales of int8 rows are applied to S
 * and to P, in f32.
 */
#ifndef WN_KERNELS_SIMD_ATTENTION_H
#define WN_KERNELS_SIMD_ATTENTION_H

#include "kernels/simd_attention_few.h"
#ifdef WN_LANES

WN_INLINE vf attention_fma(vf a, vf b, vf acc, const bool pairs)
{
#ifdef __AVX512BF16__
    if (pairs)
        return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
#endif
    (void)pairs;
    return vf_fma(a, b, acc);
}

/* c[rows][n] (stride) = or += a[rows][n_k words] (stride a_row) b[n_k words][n]. */
WN_INLINE void attention_tile(const float *a, size_t a_row, const float *b, size_t b_stride,
                              size_t n_k, size_t n, float *c, size_t c_stride, const bool add,
                              const bool pairs, const int rows)
{
    for (size_t j = 0; j < n; j += WN_NR) {
        vf acc[WN_MR][2];
        WN_UNROLL
        for (int i = 0; i < rows; i++) {
            const float *ci = c + (size_t)i * c_stride + j;
            acc[i][0] = add ? vf_load(ci) : vf_zero();
            acc[i][1] = add ? vf_load(ci + WN_LANES) : vf_zero();
        }
        const float *bk = b + j;
        for (size_t k = 0; k < n_k; k++, bk += b_stride) {
            const vf b0 = vf_load(bk), b1 = vf_load(bk + WN_LANES);
            WN_UNROLL
            for (int i = 0; i < rows; i++) {
                const vf ai = vf_set1(a[(size_t)i * a_row + k]);
                acc[i][0] = attention_fma(ai, b0, acc[i][0], pairs);
                acc[i][1] = attention_fma(ai, b1, acc[i][1], pairs);
            }
        }
        WN_UNROLL
        for (int i = 0; i < rows; i++) {
            vf_store(c + (size_t)i * c_stride + j, acc[i][0]);
            vf_store(c + (size_t)i * c_stride + j + WN_LANES, acc[i][1]);
        }
    }
}

WN_INLINE void attention_product(const float *a, size_t a_row, const float *b, size_t b_stride,
                                 size_t n_k, size_t n, float *c, size_t c_stride, const bool add,
                                 const bool pairs, size_t n_rows)
{
    if (n_rows <= 1)
        attention_tile(a, a_row, b, b_stride, n_k, n, c, c_stride, add, pairs, 1);
    else if (n_rows <= 3)
        attention_tile(a, a_row, b, b_stride, n_k, n, c, c_stride, add, pairs, 3);
    else if (n_rows <= 6)
        attention_tile(a, a_row, b, b_stride, n_k, n, c, c_stride, add, pairs, 6);
    else
        attention_tile(a, a_row, b, b_stride, n_k, n, c, c_stride, add, pairs, WN_MR);
}

/* Keys of the block that rows up to `position` need, whole tiles. */
WN_INLINE size_t keys_needed(const attention_block *b, size_t position)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n_pages; i++) {
        const wn_attention_page *p = &b->pages[i];
        if (p->in_tail && p->position > position)
            break;
        uint64_t seen = p->held;
        if (p->in_tail)
            seen &= wn_bits_below(position - p->position + 1);
        if (seen)
            n = i * WN_KV_SLOTS + 64 - (size_t)__builtin_clzll(seen);
    }
    return (n + WN_NR - 1) / WN_NR * WN_NR;
}

/* Rows i0 .. i0 + n of the call against the current block of keys. */
WN_INLINE void attend_strip(const attention_block *b, size_t i0, size_t n, const bool pairs)
{
    attention_scratch *x = b->scratch;
    const size_t n_keys = keys_needed(b, x->position[i0 + n - 1]);
    if (n_keys == 0)
        return;
    attention_product(x->q + i0 * b->q_words, b->q_words, x->kt, ATTENTION_KEYS, b->q_words, n_keys,
                      x->s, ATTENTION_KEYS, false, pairs, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t visible[ATTENTION_PAGES] = {0};
        for (size_t p = 0; p < b->n_pages; p++)
            visible[p] = wn_attention_visible(b->args, &b->pages[p], x->position[i0 + i]);
        softmax_row(b, i0 + i, visible, x->s + i * ATTENTION_KEYS, n_keys, pairs);
    }
    attention_product(x->s, ATTENTION_KEYS, x->v, b->dim, pairs ? n_keys / 2 : n_keys, b->dim,
                      x->o + i0 * b->dim, b->dim, true, pairs, n);
}

static void store_rows(const attention_block *b)
{
    const attention_scratch *x = b->scratch;
    const size_t d = b->head_dim;
    for (size_t i = 0; i < b->span->n_rows; i++) {
        const float *o = x->o + i * b->dim;
        const float total = vf_sum(vf_load(x->sum + i * WN_LANES));
        float *partial = b->span->partial;
        if (partial) {
            partial += i * (d + 2);
            memcpy(partial, o, d * sizeof *o);
            partial[d] = x->top[i];
            partial[d + 1] = total;
            continue;
        }
        const float inverse = total == 0 ? 0.0f : 1.0f / total;
        float *out = b->args->out + row_offset(b, i, b->args->out_stride);
        for (size_t j = 0; j < d; j++)
            out[j] = o[j] * inverse;
    }
}

WN_INLINE void attend_span(attention_block *b, const bool pairs)
{
    const wn_attention_span *span = b->span;
    load_queries(b, pairs);
    for (size_t at = 0; at < span->n_pages; at += ATTENTION_PAGES) {
        b->n_pages = wn_size_min(span->n_pages - at, ATTENTION_PAGES);
        for (size_t i = 0; i < b->n_pages; i++) {
            b->pages[i] = wn_attention_page_at(b->args, span->kv, span->page0 + at + i);
            load_page(b, i, pairs);
        }
        for (size_t i = 0; i < span->n_rows; i += WN_MR)
            attend_strip(b, i, wn_size_min(span->n_rows - i, WN_MR), pairs);
    }
}

static void simd_attention(const wn_attention_args *a, const wn_attention_span *span, void *scratch)
{
    attention_block b = {
        .args = a,
        .span = span,
        .scratch = scratch,
        .group = a->n_heads / a->n_kv_heads,
        .head_dim = a->layout->head_dim,
        .dim = (a->layout->head_dim + WN_NR - 1) / WN_NR * WN_NR,
        .q_words = a->layout->head_dim,
        .scaled = a->layout->format == WN_KV_INT8,
    };
    if (a->decode && a->m * b.group <= ATTENTION_FEW_ROWS && b.head_dim % WN_LANES == 0) {
        load_queries(&b, false);
        attend_few(&b);
    }
#ifdef __AVX512BF16__
    else if (a->layout->format != WN_KV_F32) {
        b.q_words = (b.head_dim + 1) / 2;
        attend_span(&b, true);
    }
#endif
    else {
        attend_span(&b, false);
    }
    store_rows(&b);
}

#endif
#endif
