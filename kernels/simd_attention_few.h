/* Attention of few query rows (decode) in f32: K and V are read once, straight from their pages,
 * and widened in registers; copies as in simd_attention_load.h would cost more than the products.
 *
 * Per page and tile of a few rows: S, 4 keys at a time, as dot products along head_dim whose
 * vectors are summed together; then P as in simd_attention.h; then O += P V, 4 vectors of head_dim
 * at a time. Needs head_dim in whole vectors.
 */
#ifndef WN_KERNELS_SIMD_ATTENTION_FEW_H
#define WN_KERNELS_SIMD_ATTENTION_FEW_H

#include "kernels/simd_attention_softmax.h"
#ifdef WN_LANES

enum {
    ATTENTION_FEW_ROWS = 16,             /* more are worth the copies */
    ATTENTION_FEW = WN_MR >= 14 ? 6 : 3, /* rows of a tile: 4 sums of each in registers */
    ATTENTION_FEW_KEYS = 4,
};

/* s[rows][KEYS] of the page's 64 keys; `ahead`: K of the page that is read next. */
WN_INLINE void few_scores(const attention_block *b, const uint8_t *keys, const uint8_t *ahead,
                          const float *q, const int rows, const wn_kv_format format)
{
    const size_t row_bytes = b->args->layout->row_bytes, n = b->head_dim / WN_LANES;
    float *s = b->scratch->s;
    for (size_t j = 0; j < WN_KV_SLOTS; j += ATTENTION_FEW_KEYS) {
        vf acc[ATTENTION_FEW][ATTENTION_FEW_KEYS];
        WN_UNROLL
        for (int r = 0; r < rows; r++)
            WN_UNROLL
        for (int i = 0; i < ATTENTION_FEW_KEYS; i++)
            acc[r][i] = vf_zero();
        for (size_t d = 0; d < n; d++)
            WN_UNROLL
        for (size_t i = 0; i < ATTENTION_FEW_KEYS; i++) {
            const vf k = load_wide(keys + (j + i) * row_bytes, d, format);
            WN_UNROLL
            for (int r = 0; r < rows; r++)
                acc[r][i] =
                    vf_fma(vf_load(q + (size_t)r * b->head_dim + d * WN_LANES), k, acc[r][i]);
        }
        WN_UNROLL
        for (int r = 0; r < rows; r++)
            vf_sum4(acc[r], s + (size_t)r * ATTENTION_KEYS + j);
        for (size_t at = 0; at < ATTENTION_FEW_KEYS * row_bytes; at += 64)
            __builtin_prefetch(ahead + j * row_bytes + at, 0, 2);
    }
}

/* Vectors d0 .. d0 + n_vectors of o[rows][dim] += P V over slots first .. end; `ahead`: V of the
 * page that is read next. */
WN_INLINE void few_values(const attention_block *b, const uint8_t *values, const uint8_t *ahead,
                          size_t first, size_t end, size_t d0, float *o, const int rows,
                          const int n_vectors, const wn_kv_format format)
{
    const size_t row_bytes = b->args->layout->row_bytes;
    const float *p = b->scratch->s;
    vf acc[ATTENTION_FEW][4];
    WN_UNROLL
    for (int r = 0; r < rows; r++)
        WN_UNROLL
    for (int i = 0; i < n_vectors; i++)
        acc[r][i] = vf_load(o + (size_t)r * b->dim + (d0 + (size_t)i) * WN_LANES);
    for (size_t j = first; j < end; j++) {
        vf weight[ATTENTION_FEW];
        for (size_t at = 0; d0 == 0 && at < row_bytes; at += 64)
            __builtin_prefetch(ahead + j * row_bytes + at, 0, 2);
        WN_UNROLL
        for (int r = 0; r < rows; r++)
            weight[r] = vf_set1(p[(size_t)r * ATTENTION_KEYS + j]);
        WN_UNROLL
        for (int i = 0; i < n_vectors; i++) {
            const vf v = load_wide(values + j * row_bytes, d0 + (size_t)i, format);
            WN_UNROLL
            for (int r = 0; r < rows; r++)
                acc[r][i] = vf_fma(weight[r], v, acc[r][i]);
        }
    }
    WN_UNROLL
    for (int r = 0; r < rows; r++)
        WN_UNROLL
    for (int i = 0; i < n_vectors; i++)
        vf_store(o + (size_t)r * b->dim + (d0 + (size_t)i) * WN_LANES, acc[r][i]);
}

/* Rows row0 .. row0 + rows of the call against the block's one page. */
WN_INLINE void few_rows(const attention_block *b, const wn_attention_page *next, size_t row0,
                        const int rows, const wn_kv_format format)
{
    attention_scratch *x = b->scratch;
    const wn_attention_page *page = &b->pages[0];
    const size_t v_at = b->args->layout->v_at, n_vectors = b->head_dim / WN_LANES;
    few_scores(b, page->data, next->data, x->q + row0 * b->q_words, rows, format);
    for (size_t r = 0; r < (size_t)rows; r++) {
        const uint64_t visible = wn_attention_visible(b->args, page, x->position[row0 + r]);
        softmax_row(b, row0 + r, &visible, x->s + r * ATTENTION_KEYS, WN_KV_SLOTS, false);
    }
    if (!page->held)
        return;
    /* What lies outside of the list may be NaN, and its weight of 0 would not help. */
    const size_t first = (size_t)__builtin_ctzll(page->held);
    const size_t end = 64 - (size_t)__builtin_clzll(page->held);
    float *o = x->o + row0 * b->dim;
    size_t d = 0;
    for (; d + 4 <= n_vectors; d += 4)
        few_values(b, page->data + v_at, next->data + v_at, first, end, d, o, rows, 4, format);
    for (; d < n_vectors; d++)
        few_values(b, page->data + v_at, next->data + v_at, first, end, d, o, rows, 1, format);
}

WN_INLINE void attend_few_of(attention_block *b, const wn_kv_format format)
{
    const wn_attention_span *span = b->span;
    b->n_pages = 1;
    for (size_t i = 0; i < span->n_pages; i++) {
        const size_t page = span->page0 + i, last = span->page0 + span->n_pages - 1;
        const wn_attention_page next =
            wn_attention_page_at(b->args, span->kv, page < last ? page + 1 : last);
        b->pages[0] = wn_attention_page_at(b->args, span->kv, page);
        load_scales(b, 0);
        size_t row = 0;
        for (; row + ATTENTION_FEW <= span->n_rows; row += ATTENTION_FEW)
            few_rows(b, &next, row, ATTENTION_FEW, format);
        if (ATTENTION_FEW > 3 && span->n_rows - row >= 3) {
            few_rows(b, &next, row, 3, format);
            row += 3;
        }
        if (span->n_rows - row == 2)
            few_rows(b, &next, row, 2, format);
        else if (span->n_rows - row == 1)
            few_rows(b, &next, row, 1, format);
    }
}

static void attend_few(attention_block *b)
{
    const wn_kv_format format = b->args->layout->format;
    if (format == WN_KV_F32)
        attend_few_of(b, WN_KV_F32);
    else if (format == WN_KV_BF16)
        attend_few_of(b, WN_KV_BF16);
    else
        attend_few_of(b, WN_KV_INT8);
}

#endif
#endif
