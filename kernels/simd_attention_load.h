/* What attention copies before it multiplies: query rows, and pages of K and V. */
#ifndef WN_KERNELS_SIMD_ATTENTION_LOAD_H
#define WN_KERNELS_SIMD_ATTENTION_LOAD_H

#include "kernels/simd_gemm.h"
#include "kernels/simd_math.h"
#ifdef WN_LANES

#include <math.h>

#include "kernels/attention_pages.h"
#include "kernels/compute_internal.h"

enum {
    ATTENTION_PAGES = WN_LANES == 16 ? 2 : 1, /* per block of keys: AVX2's copies in f32 fit L1 */
    ATTENTION_KEYS = ATTENTION_PAGES * WN_KV_SLOTS,
    ATTENTION_ROWS = 192 / WN_MR * WN_MR, /* query rows per call */
    ATTENTION_DIM = WN_ATTENTION_MAX_HEAD_DIM,
};

/* Scratch of one call. A word is an f32 or, in products of pairs, two bf16 that follow each other
 * along the summed dimension; `dim` is head_dim rounded up to NR. */
typedef struct attention_scratch {
    float q[ATTENTION_ROWS * ATTENTION_DIM];  /* [rows][q_words], times scale and log2(e) */
    float o[ATTENTION_ROWS * ATTENTION_DIM];  /* [rows][dim] */
    float kt[ATTENTION_DIM * ATTENTION_KEYS]; /* [q_words][KEYS] */
    float v[ATTENTION_KEYS * ATTENTION_DIM];  /* [KEYS, or half as many words][dim] */
    float s[WN_MR * ATTENTION_KEYS];          /* [MR][KEYS]: S, then P */
    float k_scale[ATTENTION_KEYS], v_scale[ATTENTION_KEYS];
    float sum[ATTENTION_ROWS * WN_LANES], top[ATTENTION_ROWS];
    size_t position[ATTENTION_ROWS];
} attention_scratch;

typedef struct attention_block {
    const wn_attention_args *args;
    const wn_attention_span *span;
    attention_scratch *scratch;
    size_t group, head_dim, dim, q_words;
    bool scaled;
    size_t n_pages; /* of the current block of keys */
    wn_attention_page pages[ATTENTION_PAGES];
} attention_block;

WN_INLINE size_t row_offset(const attention_block *b, size_t i, size_t stride)
{
    const size_t row = b->span->row0 + i;
    return row / b->group * stride + (b->span->kv * b->group + row % b->group) * b->head_dim;
}

#ifdef __AVX512BF16__
/* The elements that `mask` names as bf16, the others 0. */
WN_INLINE vf load_pairs(const uint8_t *at, __mmask32 mask, const wn_kv_format format)
{
    if (format == WN_KV_BF16)
        return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, at));
    const __m256i bytes = _mm256_maskz_loadu_epi8(mask, at);
    const __m512i low = _mm512_cvtepi8_epi32(_mm256_castsi256_si128(bytes));
    const __m512i high = _mm512_cvtepi8_epi32(_mm256_extracti128_si256(bytes, 1));
    return (vf)_mm512_cvtne2ps_pbh(_mm512_cvtepi32_ps(high), _mm512_cvtepi32_ps(low));
}

WN_INLINE __mmask32 pair_mask(size_t n)
{
    return n >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1;
}

/* kt of slots [64] from key0 on. */
WN_INLINE void load_key_pairs(const attention_block *b, const uint8_t *rows, size_t key0,
                              const wn_kv_format format)
{
    const size_t row_bytes = b->args->layout->row_bytes;
    const size_t element = format == WN_KV_BF16 ? 2 : 1;
    for (size_t d = 0; d < b->head_dim; d += 32) {
        const __mmask32 mask = pair_mask(b->head_dim - d);
        const size_t words = wn_size_min((b->head_dim - d + 1) / 2, 16);
        for (size_t j = 0; j < WN_KV_SLOTS; j += 16) {
            vf x[16];
            WN_UNROLL
            for (size_t i = 0; i < 16; i++) {
                x[i] = load_pairs(rows + (j + i) * row_bytes + d * element, mask, format);
            }
            vf_transpose(x);
            float *kt = b->scratch->kt + d / 2 * ATTENTION_KEYS + key0 + j;
            if (words == 16) {
                WN_UNROLL
                for (size_t i = 0; i < 16; i++)
                    vf_store(kt + i * ATTENTION_KEYS, x[i]);
                continue;
            }
            for (size_t i = 0; i < words; i++)
                vf_store(kt + i * ATTENTION_KEYS, x[i]);
        }
    }
}

/* v of slots [64] from key0 on: rows of pairs of keys. */
WN_INLINE void load_value_pairs(const attention_block *b, const uint8_t *rows, uint64_t held,
                                size_t key0, const wn_kv_format format)
{
    const size_t row_bytes = b->args->layout->row_bytes;
    static const uint16_t order[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                       37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                       11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    const size_t element = format == WN_KV_BF16 ? 2 : 1;
    const vi low = vi_load(order), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (size_t d = 0; d < b->dim; d += 32) {
        const __mmask32 mask = d < b->head_dim ? pair_mask(b->head_dim - d) : 0;
        for (size_t j = 0; j < WN_KV_SLOTS; j += 2) {
            const uint8_t *row = rows + j * row_bytes + d * element;
            const __mmask32 mask0 = held >> j & 1 ? mask : 0, mask1 = held >> j & 2 ? mask : 0;
            const vi x0 = _mm512_castps_si512(load_pairs(row, mask0, format));
            const vi x1 = _mm512_castps_si512(load_pairs(row + row_bytes, mask1, format));
            float *v = b->scratch->v + (key0 + j) / 2 * b->dim + d;
            vi_store(v, _mm512_permutex2var_epi16(x0, low, x1));
            vi_store(v + 16, _mm512_permutex2var_epi16(x0, high, x1));
        }
    }
}
#endif

/* Vector i of a row, without its scale. */
WN_INLINE vf load_wide(const uint8_t *row, size_t i, const wn_kv_format format)
{
    return format == WN_KV_F32    ? vf_load((const float *)(const void *)row + i * WN_LANES)
           : format == WN_KV_BF16 ? vf_load_bf16(row + 2 * i * WN_LANES)
                                  : vi_to_f32(vi_load_i8(row + i * WN_LANES));
}

/* Elements [first, n) of a row, without its scale. */
WN_INLINE void widen_rest(const uint8_t *row, size_t first, size_t n, float *x,
                          const wn_kv_format format)
{
    for (size_t i = first; i < n; i++)
        x[i - first] = format == WN_KV_F32    ? wn_float_from_bits(wn_load_u32(row + 4 * i))
                       : format == WN_KV_BF16 ? wn_bf16_to_f32(wn_load_u16(row + 2 * i))
                                              : (float)(int8_t)row[i];
}

WN_INLINE void load_keys(const attention_block *b, const uint8_t *rows, size_t key0,
                         const wn_kv_format format)
{
    const size_t row_bytes = b->args->layout->row_bytes, n = b->head_dim / WN_LANES;
    const size_t first = n * WN_LANES;
    vf x[WN_LANES];
    for (size_t j = 0; j < WN_KV_SLOTS; j += WN_LANES) {
        const uint8_t *row = rows + j * row_bytes;
        float *kt = b->scratch->kt + key0 + j;
        for (size_t d = 0; d < n; d++) {
            WN_UNROLL
            for (size_t i = 0; i < WN_LANES; i++)
                x[i] = load_wide(row + i * row_bytes, d, format);
            vf_transpose(x);
            WN_UNROLL
            for (size_t i = 0; i < WN_LANES; i++)
                vf_store(kt + (d * WN_LANES + i) * ATTENTION_KEYS, x[i]);
        }
        if (first == b->head_dim)
            continue;
        for (size_t i = 0; i < WN_LANES; i++) {
            float rest[WN_LANES] = {0};
            widen_rest(row + i * row_bytes, first, b->head_dim, rest, format);
            x[i] = vf_load(rest);
        }
        vf_transpose(x);
        for (size_t i = 0; first + i < b->head_dim; i++)
            vf_store(kt + (first + i) * ATTENTION_KEYS, x[i]);
    }
}

WN_INLINE void load_values(const attention_block *b, const uint8_t *rows, uint64_t held,
                           size_t key0, const wn_kv_format format)
{
    const size_t row_bytes = b->args->layout->row_bytes, n = b->head_dim / WN_LANES;
    for (size_t j = 0; j < WN_KV_SLOTS; j++) {
        float *v = b->scratch->v + (key0 + j) * b->dim;
        const uint8_t *row = rows + j * row_bytes;
        if (!(held >> j & 1)) {
            memset(v, 0, b->dim * sizeof *v);
            continue;
        }
        for (size_t d = 0; d < n; d++)
            vf_store(v + d * WN_LANES, load_wide(row, d, format));
        widen_rest(row, n * WN_LANES, b->head_dim, v + n * WN_LANES, format);
        for (size_t d = b->head_dim; d < b->dim; d++)
            v[d] = 0;
    }
}

WN_INLINE void load_rows(const attention_block *b, const uint8_t *k, const uint8_t *v,
                         uint64_t held, size_t key0, const bool pairs, const wn_kv_format format)
{
#ifdef __AVX512BF16__
    if (pairs) {
        load_key_pairs(b, k, key0, format);
        load_value_pairs(b, v, held, key0, format);
        return;
    }
#endif
    (void)pairs;
    load_keys(b, k, key0, format);
    load_values(b, v, held, key0, format);
}

/* The scales of page i of the block, where it has some; 0 for V in slots that are not held. */
WN_INLINE void load_scales(const attention_block *b, size_t i)
{
    const wn_kv_layout *l = b->args->layout;
    const wn_attention_page *p = &b->pages[i];
    float *k = b->scratch->k_scale + i * WN_KV_SLOTS, *v = b->scratch->v_scale + i * WN_KV_SLOTS;
    if (!b->scaled)
        return;
    wn_kv_scales(p->data, l->k_scales_at, k);
    wn_kv_scales(p->data, l->v_scales_at, v);
    for (size_t j = 0; p->held != ~(uint64_t)0 && j < WN_KV_SLOTS; j++)
        if (!(p->held >> j & 1))
            v[j] = 0;
}

/* Page i of the block into kt, v and the scales. V of slots that are not
 * held is 0, so that whatever lies there has no effect; their scores are masked. */
static void load_page(const attention_block *b, size_t i, const bool pairs)
{
    const wn_kv_layout *l = b->args->layout;
    const wn_attention_page *p = &b->pages[i];
    const size_t key0 = i * WN_KV_SLOTS;
    const uint8_t *k = p->data, *v = p->data + l->v_at;
    load_scales(b, i);
    if (l->format == WN_KV_F32)
        load_rows(b, k, v, p->held, key0, false, WN_KV_F32);
    else if (l->format == WN_KV_BF16)
        load_rows(b, k, v, p->held, key0, pairs, WN_KV_BF16);
    else
        load_rows(b, k, v, p->held, key0, pairs, WN_KV_INT8);
}

WN_INLINE void load_queries(const attention_block *b, const bool pairs)
{
    const wn_attention_args *a = b->args;
    attention_scratch *x = b->scratch;
    const size_t n_rows = b->span->n_rows, padded = (n_rows + WN_MR - 1) / WN_MR * WN_MR;
    const float scale = a->scale * 1.44269504f;
    memset(x->q, 0, padded * b->q_words * sizeof *x->q);
    memset(x->o, 0, padded * b->dim * sizeof *x->o);
    memset(x->sum, 0, padded * WN_LANES * sizeof *x->sum);
    for (size_t i = 0; i < n_rows; i++) {
        const float *q = a->q + row_offset(b, i, a->q_stride);
        float *row = x->q + i * b->q_words, scaled[ATTENTION_DIM];
        for (size_t d = 0; d < b->head_dim; d++)
            scaled[d] = q[d] * scale;
#ifdef __AVX512BF16__
        if (pairs)
            for (size_t d = 0; d < b->head_dim; d += 16) {
                const size_t n = wn_size_min(b->head_dim - d, 16);
                _mm256_mask_storeu_epi16((uint16_t *)(void *)row + d, (__mmask16)((1u << n) - 1u),
                                         (__m256i)_mm512_cvtneps_pbh(vf_load_n(scaled + d, n)));
            }
#endif
        if (!pairs)
            memcpy(row, scaled, b->head_dim * sizeof *row);
        x->top[i] = -1e30f;
        x->position[i] = wn_attention_position(a, (b->span->row0 + i) / b->group);
    }
}

#endif
#endif
