/* Attention of many query rows of one KV head on AMX tiles, in the form S^T = K Q^T, O^T = V^T P^T.
 *
 * Sixteen query rows (a set) are the columns of every product, so the softmax of a set is vertical:
 * one vector is one key for all its queries. K is the left operand as it lies in bf16 pages; V is
 * turned once per page for all sets of the call; Q^T is packed once. Per block of pages and set:
 * S^T to memory, P^T = 2^(S^T - top) as pairs of bf16, O^T += V^T P^T with f32 sums in memory.
 * Three sets are in work at a time, one in each of these steps, so that tiles and vectors have
 * something to do at the same time and what one writes has arrived when the other reads it.
 * Maxima, masks and scales of int8 rows are those of simd_attention.h, which also takes F32 pages
 * and decoding: a set of three queries would cost as much as one of sixteen.
 */
#ifndef WN_KERNELS_SIMD_ATTENTION_AMX_H
#define WN_KERNELS_SIMD_ATTENTION_AMX_H

#include "kernels/amx_tile.h"
#include "kernels/simd_attention.h"
#include "kernels/simd_bf16.h"
#ifdef WN_LANES

enum {
    AMX_SET = 16, /* query rows */
    AMX_SETS = 24,
    AMX_ATTENTION_ROWS = AMX_SETS * AMX_SET,
    AMX_DIM_TILES = ATTENTION_DIM / 32,
    AMX_KEY_TILES = ATTENTION_KEYS / 32,
};

typedef uint16_t amx_tile_pairs[AMX_ROWS][32];

/* `dim` below is head_dim rounded up to 32; dimensions beyond head_dim are zeros. */
typedef struct amx_attention_scratch {
    amx_tile_pairs q[AMX_SETS][AMX_DIM_TILES];          /* [pair of dimensions][query][2] */
    float o[AMX_SETS][ATTENTION_DIM][AMX_SET];          /* [dimension][query] */
    uint16_t k[ATTENTION_KEYS * ATTENTION_DIM];         /* [key][dim], where pages do not serve */
    amx_tile_pairs v[2 * AMX_DIM_TILES][AMX_KEY_TILES]; /* [dimension][32 keys] */
    float s[2][ATTENTION_KEYS][AMX_SET];
    amx_tile_pairs p[2][AMX_KEY_TILES];  /* [pair of keys][query][2] */
    float rows[AMX_SET * ATTENTION_DIM]; /* [query][dim]: O */
    float top[AMX_SETS][AMX_SET], sum[AMX_SETS][AMX_SET];
    float k_scale[ATTENTION_KEYS], v_scale[ATTENTION_KEYS];
    uint32_t visible[AMX_KEY_TILES][AMX_SET]; /* bit = key of the 32 */
} amx_attention_scratch;

typedef struct amx_attention {
    attention_block b; /* its scratch is not used */
    amx_attention_scratch *scratch;
    const uint8_t *k[ATTENTION_PAGES]; /* bf16 rows of the block's pages */
    size_t k_stride;                   /* bytes */
} amx_attention;

/* Two vectors of numbers that are not negative, or are bf16 already, as pairs: a low, b high. */
WN_INLINE vi interleave_bf16(vf a, vf b)
{
    const vi half = vi_set1(0x8000);
    const vi low = vi_shift_right(vi_add(vf_as_int(a), half), 16);
    return vi_or(low, vi_and(vi_add(vf_as_int(b), half), (int)0xffff0000u));
}

/* Elements d .. d + LANES of a row of n, without its scale; those beyond are 0. */
WN_INLINE vf widen_some(wn_kv_format format, const uint8_t *row, size_t d, size_t n)
{
    if (d + WN_LANES <= n)
        return format == WN_KV_BF16 ? vf_load_bf16(row + 2 * d) : vi_to_f32(vi_load_i8(row + d));
    float tail[WN_LANES] = {0};
    for (size_t i = d; i < n; i++)
        tail[i - d] =
            format == WN_KV_BF16 ? wn_bf16_to_f32(wn_load_u16(row + 2 * i)) : (float)(int8_t)row[i];
    return vf_load(tail);
}

/* K of page i as bf16 rows of whole tiles. */
static void amx_load_keys(amx_attention *a, size_t i)
{
    const wn_kv_layout *l = a->b.args->layout;
    const uint8_t *rows = a->b.pages[i].data;
    if (l->format == WN_KV_BF16 && a->b.head_dim % 32 == 0) {
        a->k[i] = rows;
        a->k_stride = l->row_bytes;
        return;
    }
    uint16_t *k = a->scratch->k + i * WN_KV_SLOTS * a->b.dim;
    a->k[i] = (const uint8_t *)k;
    a->k_stride = a->b.dim * sizeof *k;
    for (size_t j = 0; j < WN_KV_SLOTS; j++, rows += l->row_bytes, k += a->b.dim)
        for (size_t d = 0; d < a->b.dim; d += 2 * WN_LANES)
            vi_store(k + d, vf_to_bf16(widen_some(l->format, rows, d, a->b.head_dim),
                                       widen_some(l->format, rows, d + WN_LANES, a->b.head_dim)));
}

/* Elements d .. d + LANES of two rows as pairs; those beyond n0 or n1 are 0. */
WN_INLINE vi value_pairs(wn_kv_format format, const uint8_t *row, size_t row_bytes, size_t d,
                         size_t n0, size_t n1)
{
    if (format == WN_KV_BF16 && d + WN_LANES <= n0 && d + WN_LANES <= n1)
        return vi_or(vi_load_u16(row + 2 * d), vf_as_int(vf_load_bf16(row + row_bytes + 2 * d)));
    return interleave_bf16(widen_some(format, row, d, n0),
                           widen_some(format, row + row_bytes, d, n1));
}

/* V of page i, turned; slots that are not held become 0. */
static void amx_load_values(const amx_attention *a, size_t i)
{
    const wn_kv_layout *l = a->b.args->layout;
    const uint8_t *rows = a->b.pages[i].data + l->v_at;
    const uint64_t held = a->b.pages[i].held;
    for (size_t j = 0; j < WN_KV_SLOTS; j += 2 * WN_LANES)
        for (size_t d = 0; d < a->b.dim; d += WN_LANES) {
            vf pairs[WN_LANES];
            for (size_t p = 0; p < WN_LANES; p++) {
                const size_t slot = j + 2 * p;
                const uint8_t *row = rows + slot * l->row_bytes;
                const size_t n0 = held >> slot & 1 ? a->b.head_dim : 0;
                const size_t n1 = held >> slot >> 1 & 1 ? a->b.head_dim : 0;
                pairs[p] = vi_as_f32(value_pairs(l->format, row, l->row_bytes, d, n0, n1));
            }
            vf_transpose(pairs);
            uint16_t(*tile)[32] = a->scratch->v[d / 16][(i * WN_KV_SLOTS + j) / 32];
            for (size_t r = 0; r < WN_LANES; r++)
                vi_store(&tile[d % 16 + r][j % 32], vf_as_int(pairs[r]));
        }
}

static void amx_load_page(amx_attention *a, size_t i)
{
    const wn_kv_layout *l = a->b.args->layout;
    const wn_attention_page *p = &a->b.pages[i];
    amx_load_keys(a, i);
    amx_load_values(a, i);
    if (!a->b.scaled)
        return;
    float *k_scale = a->scratch->k_scale + i * WN_KV_SLOTS;
    float *v_scale = a->scratch->v_scale + i * WN_KV_SLOTS;
    wn_kv_scales(p->data, l->k_scales_at, k_scale);
    wn_kv_scales(p->data, l->v_scales_at, v_scale);
    for (size_t j = 0; p->held != ~(uint64_t)0 && j < WN_KV_SLOTS; j++)
        if (!(p->held >> j & 1))
            v_scale[j] = 0;
}

/* Q^T of a set, times scale and log2(e); rows beyond the call's are 0. */
static void amx_load_queries(const amx_attention *a, size_t set)
{
    const wn_attention_args *args = a->b.args;
    const vf scale = vf_set1(args->scale * 1.44269504f);
    for (size_t d = 0; d < a->b.dim; d += 2 * WN_LANES)
        for (size_t i = 0; i < AMX_SET; i += WN_LANES) {
            vf pairs[WN_LANES];
            for (size_t r = 0; r < WN_LANES; r++) {
                const size_t row = set * AMX_SET + i + r;
                const size_t n = row < a->b.span->n_rows ? a->b.head_dim : 0;
                const float *q = n ? args->q + row_offset(&a->b, row, args->q_stride) : NULL;
                pairs[r] = vi_as_f32(vf_to_bf16(vf_mul(scale, load_some(q, d, n)),
                                                vf_mul(scale, load_some(q, d + WN_LANES, n))));
            }
            vf_transpose(pairs);
            for (size_t p = 0; p < WN_LANES; p++)
                vi_store(&a->scratch->q[set][d / 32][d % 32 / 2 + p][2 * i], vf_as_int(pairs[p]));
        }
    memset(a->scratch->o[set], 0, a->b.dim * sizeof *a->scratch->o[set]);
    memset(a->scratch->sum[set], 0, sizeof a->scratch->sum[set]);
    for (size_t i = 0; i < AMX_SET; i++)
        a->scratch->top[set][i] = -1e30f;
}

/* A set against the current block of pages. */
typedef struct amx_task {
    size_t set, n_tiles; /* of 32 keys that any of its queries sees; 0: no task */
    unsigned open;       /* bit = page that all of them see */
    float (*s)[AMX_SET];
    amx_tile_pairs *p;
} amx_task;

/* S^T of 32 keys. */
WN_INLINE void amx_scores(const amx_attention *a, const amx_task *t, size_t tile)
{
    const size_t n_dim_tiles = a->b.dim / 32, stride = a->k_stride;
    const uint8_t *k = a->k[tile / 2] + tile % 2 * 32 * stride;
    amx_zero(4);
    amx_zero(5);
    for (size_t d = 0; d < n_dim_tiles; d++) {
        amx_load(6, a->scratch->q[t->set][d], AMX_ROW_BYTES);
        amx_load(7, k + 64 * d, stride);
        amx_dot_bf16(4, 7, 6);
        amx_load(3, k + 64 * d + 16 * stride, stride);
        amx_dot_bf16(5, 3, 6);
    }
    amx_store(4, t->s + 32 * tile, AMX_ROW_BYTES);
    amx_store(5, t->s + 32 * tile + 16, AMX_ROW_BYTES);
}

/* O^T += V^T P^T for 32 keys and 64 (or, not wide, 32) dimensions from d on: tiles 0 .. 3. */
WN_INLINE void amx_values(const amx_attention *a, const amx_task *t, size_t tile, size_t d,
                          const bool wide)
{
    const amx_tile_pairs(*v)[AMX_KEY_TILES] = (const void *)(a->scratch->v + d / 16);
    amx_load(6, t->p[tile], AMX_ROW_BYTES);
    amx_load(7, v[0][tile], AMX_ROW_BYTES);
    amx_dot_bf16(0, 7, 6);
    amx_load(4, v[1][tile], AMX_ROW_BYTES);
    amx_dot_bf16(1, 4, 6);
    if (wide) {
        amx_load(5, v[2][tile], AMX_ROW_BYTES);
        amx_dot_bf16(2, 5, 6);
        amx_load(7, v[3][tile], AMX_ROW_BYTES);
        amx_dot_bf16(3, 7, 6);
    }
}

WN_INLINE void amx_load_output(const amx_attention *a, size_t set, size_t d, const bool wide)
{
    float(*o)[AMX_SET] = a->scratch->o[set] + d;
    amx_load(0, o, AMX_ROW_BYTES);
    amx_load(1, o + 16, AMX_ROW_BYTES);
    if (wide) {
        amx_load(2, o + 32, AMX_ROW_BYTES);
        amx_load(3, o + 48, AMX_ROW_BYTES);
    }
}

WN_INLINE void amx_store_output(const amx_attention *a, size_t set, size_t d, const bool wide)
{
    float(*o)[AMX_SET] = a->scratch->o[set] + d;
    amx_store(0, o, AMX_ROW_BYTES);
    amx_store(1, o + 16, AMX_ROW_BYTES);
    if (wide) {
        amx_store(2, o + 32, AMX_ROW_BYTES);
        amx_store(3, o + 48, AMX_ROW_BYTES);
    }
}

/* Whether every query between two positions sees the whole page: the first one misses the most by
 * order, the last one by eviction. */
WN_INLINE bool all_see(const amx_attention *a, const wn_attention_page *p, size_t first,
                       size_t last)
{
    return wn_attention_visible(a->b.args, p, first) == ~(uint64_t)0 &&
           wn_attention_visible(a->b.args, p, last) == ~(uint64_t)0;
}

/* The largest scores of queries v .. v + LANES among 32 keys and `high`; scores are scaled and
 * masked in place where that has to be. From the last key down, so that its bit is the sign. */
WN_INLINE vf highest(const amx_attention *a, const amx_task *t, size_t tile, size_t v, vf high,
                     const bool scaled)
{
    const amx_attention_scratch *x = a->scratch;
    float(*s)[AMX_SET] = t->s + 32 * tile;
    if (t->open >> tile / 2 & 1) {
        for (size_t j = 0; j < 32; j++) {
            vf score = vf_load(&s[j][v]);
            if (scaled) {
                score = vf_mul(score, vf_set1(x->k_scale[32 * tile + j]));
                vf_store(&s[j][v], score);
            }
            high = vf_max(high, score);
        }
        return high;
    }
    vi bits = vi_load(&x->visible[tile][v]);
    for (size_t j = 32; j-- > 0; bits = vi_shift_left(bits, 1)) {
        vf score = vf_load(&s[j][v]);
        if (scaled)
            score = vf_mul(score, vf_set1(x->k_scale[32 * tile + j]));
        score = vf_select_negative(vi_as_f32(bits), score, vf_set1(-INFINITY));
        vf_store(&s[j][v], score);
        high = vf_max(high, score);
    }
    return high;
}

/* Moves top up to `high` where that is far above it. */
static void raise_tops(const amx_attention *a, size_t set, size_t v, vf high)
{
    amx_attention_scratch *x = a->scratch;
    const vf top = vf_load(&x->top[set][v]);
    const vf far = vf_sub(vf_add(top, vf_set1(ATTENTION_HEADROOM)), high); /* negative */
    const vf decay = vf_select_negative(far, vf_exp2(vf_sub(top, high), 5), vf_set1(1.0f));
    vf_store(&x->top[set][v], vf_select_negative(far, high, top));
    vf_store(&x->sum[set][v], vf_mul(vf_load(&x->sum[set][v]), decay));
    for (size_t d = 0; d < a->b.dim; d++)
        vf_store(&x->o[set][d][v], vf_mul(vf_load(&x->o[set][d][v]), decay));
}

/* P^T of 32 keys; returns the sum of it added to `sum`. */
WN_INLINE vf exponentials(const amx_attention *a, const amx_task *t, size_t tile, size_t v, vf sum,
                          const bool scaled)
{
    const amx_attention_scratch *x = a->scratch;
    const vf top = vf_load(&x->top[t->set][v]);
    vf odd = vf_zero();
    for (size_t j = 32 * tile; j < 32 * tile + 32; j += 2) {
        vf p0 = vf_exp2(vf_sub(vf_load(&t->s[j][v]), top), 3);
        vf p1 = vf_exp2(vf_sub(vf_load(&t->s[j + 1][v]), top), 3);
        sum = vf_add(sum, p0);
        odd = vf_add(odd, p1);
        if (scaled) {
            p0 = vf_mul(p0, vf_set1(x->v_scale[j]));
            p1 = vf_mul(p1, vf_set1(x->v_scale[j + 1]));
        }
        vi_store(&t->p[tile][j % 32 / 2][2 * v], interleave_bf16(p0, p1));
    }
    return vf_add(sum, odd);
}

/* What the set sees of the block, and its masks. */
static amx_task begin_task(const amx_attention *a, size_t set)
{
    const attention_block *b = &a->b;
    const size_t row0 = b->span->row0 + set * AMX_SET, end = b->span->row0 + b->span->n_rows;
    const size_t n = wn_size_min(end - row0, AMX_SET);
    const size_t first = wn_attention_position(b->args, row0 / b->group);
    const size_t last = wn_attention_position(b->args, (row0 + n - 1) / b->group);
    amx_task t = {.set = set, .s = a->scratch->s[set % 2], .p = a->scratch->p[set % 2]};
    for (size_t i = 0; i < b->n_pages; i++, t.n_tiles += 2) {
        const wn_attention_page *p = &b->pages[i];
        if (p->in_tail && p->position > last)
            break;
        t.open |= (unsigned)all_see(a, p, first, last) << i;
    }
    return t;
}

static void find_visible(const amx_attention *a, const amx_task *t)
{
    const attention_block *b = &a->b;
    const size_t row0 = b->span->row0 + t->set * AMX_SET, end = b->span->row0 + b->span->n_rows;
    for (size_t page = 0; page < t->n_tiles / 2; page++) {
        uint32_t(*visible)[AMX_SET] = a->scratch->visible + 2 * page;
        if (t->open >> page & 1) {
            memset(visible, 0xff, 2 * sizeof *visible);
            continue;
        }
        for (size_t i = 0; i < AMX_SET;) { /* rows of one token see the same */
            const size_t token = wn_size_min(row0 + i, end - 1) / b->group;
            const size_t position = wn_attention_position(b->args, token);
            const uint64_t bits = wn_attention_visible(b->args, &b->pages[page], position);
            do {
                visible[0][i] = (uint32_t)bits;
                visible[1][i] = (uint32_t)(bits >> 32);
            } while (++i < AMX_SET && (row0 + i < (token + 1) * b->group || row0 + i >= end));
        }
    }
}

/* Scores of the first task, while the second one's get their largest; then exponentials of the
 * second one, while the third one's values are summed up. */
WN_INLINE void run_tasks(const amx_attention *a, const amx_task task[3], const bool scaled)
{
    amx_attention_scratch *x = a->scratch;
    const amx_task *s = &task[0], *e = &task[1], *o = &task[2];
    const size_t n_first = s->n_tiles > e->n_tiles ? s->n_tiles : e->n_tiles;
    const size_t n_second = e->n_tiles > o->n_tiles ? e->n_tiles : o->n_tiles;
    vf high[AMX_SET / WN_LANES], sum[AMX_SET / WN_LANES];
    for (size_t v = 0; v < AMX_SET / WN_LANES; v++) { /* of set 0 where there is no task */
        high[v] = vf_load(&x->top[e->set][v * WN_LANES]);
        sum[v] = vf_load(&x->sum[e->set][v * WN_LANES]);
    }
    for (size_t i = 0; i < n_first; i++) {
        if (i < s->n_tiles)
            amx_scores(a, s, i);
        for (size_t v = 0; i < e->n_tiles && v < AMX_SET / WN_LANES; v++)
            high[v] = highest(a, e, i, v * WN_LANES, high[v], scaled);
    }
    for (size_t v = 0; e->n_tiles && v < AMX_SET; v += WN_LANES)
        if (vf_any_above(high[v / WN_LANES],
                         vf_add(vf_load(&x->top[e->set][v]), vf_set1(ATTENTION_HEADROOM)))) {
            raise_tops(a, e->set, v, high[v / WN_LANES]);
            sum[v / WN_LANES] = vf_load(&x->sum[e->set][v]);
        }
    for (size_t d = 0; d < a->b.dim; d += 64) {
        const bool wide = d + 64 <= a->b.dim;
        if (o->n_tiles)
            amx_load_output(a, o->set, d, wide);
        for (size_t i = 0; i < n_second; i++) {
            if (i < o->n_tiles)
                amx_values(a, o, i, d, wide);
            for (size_t v = 0; d == 0 && i < e->n_tiles && v < AMX_SET / WN_LANES; v++)
                sum[v] = exponentials(a, e, i, v * WN_LANES, sum[v], scaled);
        }
        if (o->n_tiles)
            amx_store_output(a, o->set, d, wide);
    }
    for (size_t v = 0; e->n_tiles && v < AMX_SET / WN_LANES; v++)
        vf_store(&x->sum[e->set][v * WN_LANES], sum[v]);
}

/* All sets against the current block of pages. */
static void amx_attend(const amx_attention *a, size_t n_sets)
{
    amx_task task[3] = {{0}};
    for (size_t i = 0; i < n_sets + 2; i++) {
        task[2] = task[1];
        task[1] = task[0];
        task[0] = i < n_sets ? begin_task(a, i) : (amx_task){0};
        find_visible(a, &task[1]);
        if (a->b.scaled)
            run_tasks(a, task, true);
        else
            run_tasks(a, task, false);
    }
}

static void amx_store_set(const amx_attention *a, size_t set)
{
    amx_attention_scratch *x = a->scratch;
    const size_t dim = a->b.dim, d = a->b.head_dim;
    for (size_t j = 0; j < dim; j += WN_LANES)
        for (size_t v = 0; v < AMX_SET; v += WN_LANES)
            transpose_block(&x->o[set][j][v], AMX_SET, WN_LANES, WN_LANES, x->rows + v * dim + j,
                            dim, WN_LANES);
    for (size_t i = 0; i < AMX_SET && set * AMX_SET + i < a->b.span->n_rows; i++) {
        const size_t row = set * AMX_SET + i;
        const float *o = x->rows + i * dim, total = x->sum[set][i];
        if (a->b.span->partial) {
            float *partial = a->b.span->partial + row * (d + 2);
            memcpy(partial, o, d * sizeof *o);
            partial[d] = x->top[set][i];
            partial[d + 1] = total;
            continue;
        }
        const float inverse = total == 0 ? 0.0f : 1.0f / total;
        float *out = a->b.args->out + row_offset(&a->b, row, a->b.args->out_stride);
        for (size_t j = 0; j < d; j++)
            out[j] = o[j] * inverse;
    }
}

static void amx_attention_tiles(amx_attention *a)
{
    const wn_attention_span *span = a->b.span;
    const size_t n_sets = (span->n_rows + AMX_SET - 1) / AMX_SET;
    for (size_t set = 0; set < n_sets; set++)
        amx_load_queries(a, set);
    amx_begin();
    for (size_t at = 0; at < span->n_pages; at += ATTENTION_PAGES) {
        a->b.n_pages = wn_size_min(span->n_pages - at, ATTENTION_PAGES);
        for (size_t i = 0; i < a->b.n_pages; i++) {
            a->b.pages[i] = wn_attention_page_at(a->b.args, span->kv, span->page0 + at + i);
            amx_load_page(a, i);
        }
        amx_attend(a, n_sets);
    }
    amx_end();
    for (size_t set = 0; set < n_sets; set++)
        amx_store_set(a, set);
}

/* By simd_attention, which takes fewer rows at a time. */
static void attention_span_f32(const wn_attention_args *args, wn_attention_span span, void *scratch)
{
    const size_t end = span.row0 + span.n_rows;
    for (; span.row0 < end; span.row0 += ATTENTION_ROWS) {
        span.n_rows = wn_size_min(end - span.row0, ATTENTION_ROWS);
        simd_attention(args, &span, scratch);
    }
}

static void amx_attention_span(const wn_attention_args *args, const wn_attention_span *span,
                               void *scratch)
{
    if (args->layout->format == WN_KV_F32 || args->decode) {
        attention_span_f32(args, *span, scratch);
        return;
    }
    amx_attention a = {
        .b = {.args = args,
              .span = span,
              .group = args->n_heads / args->n_kv_heads,
              .head_dim = args->layout->head_dim,
              .dim = (args->layout->head_dim + 31) / 32 * 32,
              .scaled = args->layout->format == WN_KV_INT8},
        .scratch = scratch,
    };
    amx_attention_tiles(&a);
}

#define AMX_ATTENTION_SCRATCH                                                                      \
    (sizeof(amx_attention_scratch) > sizeof(attention_scratch) ? sizeof(amx_attention_scratch)     \
                                                               : sizeof(attention_scratch))

#endif
#endif
