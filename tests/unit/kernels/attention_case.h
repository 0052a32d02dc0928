/* Random attention arguments in pages, and what the definition needs to know about them. */
#ifndef WN_TESTS_ATTENTION_CASE_H
#define WN_TESTS_ATTENTION_CASE_H

#include "tests/unit/kernels/kernel_cases.h"

enum { CASE_KV_HEADS = 12 };

typedef struct attention_case {
    size_t m, n_log, tail_first, n_tail, window, n_heads, n_kv_heads, head_dim;
} attention_case;

typedef struct attention_data {
    attention_case shape;
    wn_attention_args args;
    wn_kv_layout layout;
    float *q, *out;
    size_t n_log[CASE_KV_HEADS], n_keys[CASE_KV_HEADS], n_tail_pages;
    float *k[CASE_KV_HEADS], *v[CASE_KV_HEADS]; /* as the pages have them: log, then tail */
    uint8_t *pages[CASE_KV_HEADS];
    const uint8_t *log[CASE_KV_HEADS][64], *tail[CASE_KV_HEADS][128];
    uint64_t *evicted[CASE_KV_HEADS];
    wn_kv_head heads[CASE_KV_HEADS];
} attention_data;

/* Writes key i of KV head h to its slot and reads back what is left of it. */
static inline void case_write(attention_data *d, size_t h, size_t i)
{
    const size_t dim = d->shape.head_dim;
    float *k = d->k[h] + i * dim, *v = d->v[h] + i * dim;
    const uint8_t *page;
    size_t slot = i % WN_KV_SLOTS;
    if (i < d->n_log[h]) {
        page = d->log[h][i / WN_KV_SLOTS];
    } else {
        const size_t position = d->shape.tail_first + i - d->n_log[h];
        slot = position % WN_KV_SLOTS;
        page = d->tail[h][position / WN_KV_SLOTS - d->shape.tail_first / WN_KV_SLOTS];
    }
    uint8_t *at = d->pages[h] + (page - d->pages[h]);
    wn_kv_write(&d->layout, at, slot, k, v);
    wn_kv_read(&d->layout, at, slot, k, v);
}

static inline void case_head(attention_data *d, size_t h)
{
    const attention_case *k = &d->shape;
    d->n_log[h] = k->n_log ? k->n_log + 7 * h : 0; /* heads differ */
    d->n_keys[h] = d->n_log[h] + k->n_tail;
    const size_t n_log_pages = (d->n_log[h] + WN_KV_SLOTS - 1) / WN_KV_SLOTS;
    d->n_tail_pages = (k->tail_first % WN_KV_SLOTS + k->n_tail + WN_KV_SLOTS - 1) / WN_KV_SLOTS;
    assert_true(n_log_pages <= 64 && d->n_tail_pages <= 128);
    const size_t n = n_log_pages + d->n_tail_pages;
    d->k[h] = case_floats(d->n_keys[h] * k->head_dim);
    d->v[h] = case_floats(d->n_keys[h] * k->head_dim);
    d->pages[h] = wn_alloc_aligned(64, n + 1, d->layout.page_bytes);
    d->evicted[h] = wn_alloc(d->n_tail_pages + 1, sizeof **d->evicted);
    assert_true(d->pages[h] && d->evicted[h]);
    memset(d->pages[h], 0xff, n * d->layout.page_bytes); /* NaN */
    const uint16_t nan = 0x7fc0; /* other bits than those: rounding may carry them over to 0 */
    for (size_t i = 0; d->layout.format == WN_KV_INT8 && i < n; i++)
        for (size_t at = d->layout.k_scales_at; at < d->layout.page_bytes; at += sizeof nan)
            memcpy(d->pages[h] + i * d->layout.page_bytes + at, &nan, sizeof nan);
    for (size_t i = 0; i < n; i++) /* in any order */
        *(i < n_log_pages ? &d->log[h][i] : &d->tail[h][i - n_log_pages]) =
            d->pages[h] + (n - 1 - i) * d->layout.page_bytes;
    for (size_t i = 0; i < d->n_keys[h]; i++)
        case_write(d, h, i);
    for (size_t i = 0; i < d->n_tail_pages; i++)
        d->evicted[h][i] = (uint64_t)case_bits() << 32 | case_bits();
    d->heads[h] = (wn_kv_head){.log = d->log[h],
                               .n_log = d->n_log[h],
                               .tail = d->tail[h],
                               .evicted = k->window == SIZE_MAX ? NULL : d->evicted[h]};
}

/* q and out rows have a gap after the heads, as in a fused QKV projection. */
static inline attention_data *case_attention(const attention_case *k, wn_kv_format format,
                                             float q_size)
{
    attention_data *d = wn_alloc(1, sizeof *d);
    assert_non_null(d);
    const size_t stride = k->n_heads * k->head_dim + 3;
    d->shape = *k;
    d->layout = wn_kv_layout_of(format, k->head_dim);
    d->q = case_floats(k->m * stride);
    for (size_t i = 0; i < k->m * stride; i++)
        d->q[i] *= q_size;
    d->out = case_floats(k->m * stride);
    for (size_t h = 0; h < k->n_kv_heads; h++)
        case_head(d, h);
    d->args = (wn_attention_args){.q = d->q,
                                  .m = k->m,
                                  .q_stride = stride,
                                  .layout = &d->layout,
                                  .heads = d->heads,
                                  .tail_first = k->tail_first,
                                  .n_tail = k->n_tail,
                                  .window = k->window,
                                  .n_heads = k->n_heads,
                                  .n_kv_heads = k->n_kv_heads,
                                  .scale = 1.0f / sqrtf((float)k->head_dim),
                                  .out = d->out,
                                  .out_stride = stride};
    return d;
}

static inline void case_attention_free(attention_data *d)
{
    for (size_t h = 0; h < CASE_KV_HEADS; h++) {
        free(d->k[h]);
        free(d->v[h]);
        free(d->pages[h]);
        free(d->evicted[h]);
    }
    free(d->q);
    free(d->out);
    free(d);
}

/* The definition of visibility, for key j of KV head kv (log, then tail) and token t. */
static inline bool case_sees(const attention_data *d, size_t kv, size_t t, size_t j)
{
    const attention_case *k = &d->shape;
    if (j < d->n_log[kv])
        return true;
    const size_t key = k->tail_first + j - d->n_log[kv];
    const size_t query = k->tail_first + k->n_tail - k->m + t;
    if (key > query)
        return false;
    if (query - key <= k->window)
        return true;
    const size_t at = key - k->tail_first / WN_KV_SLOTS * WN_KV_SLOTS;
    return !(d->evicted[kv][at / WN_KV_SLOTS] >> at % WN_KV_SLOTS & 1);
}

static inline float case_round_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* q . k scale log2(e); bf16: with q rounded as products of bf16 pairs have it. */
static inline double case_score(const attention_data *d, size_t t, size_t head, const float *key,
                                bool bf16)
{
    const size_t dim = d->shape.head_dim;
    const float *q = d->q + t * d->args.q_stride + head * dim;
    double s = 0;
    for (size_t i = 0; i < dim; i++) {
        const float rounded = case_round_bf16(q[i] * (d->args.scale * 1.44269504f));
        s += (bf16 ? (double)rounded : (double)q[i] * (double)d->args.scale * 1.4426950408889634) *
             (double)key[i];
    }
    return s;
}

#endif
