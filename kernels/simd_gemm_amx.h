/* Products of many rows on AMX tiles (wn_tile_kernels), for packed and for plain weights alike.
 *
 * Weights in tiles have products of their own (simd_gemm_in_place.h). For others a unit goes
 * through stages: up to 576 columns of x times up to 128 rows of w. Within a stage a block is 2 x 2
 * tiles, 32 rows of x by 32 of w; its sums go to memory and come back in the stage of the next
 * columns. A strip of x stays in L1, because the stage's weights (simd_tile_weights.h) pass through
 * it from L2 without staying; what is more than L2 holds of x is fetched a strip ahead. Tiles and
 * vectors work at the same time: after every step of the tiles follows a piece of what has to be
 * done on vectors, which is to store the sums of the last block that is complete, and to dequantise
 * the weights of the next stage. x in two parts takes stages of half the columns, and each tile of
 * w is multiplied by both parts, the coarse one first.
 */
#ifndef WN_KERNELS_SIMD_GEMM_AMX_H
#define WN_KERNELS_SIMD_GEMM_AMX_H

#include "kernels/simd_tile_weights.h"
#ifdef WN_LANES

#include "kernels/simd_gemm.h"
#include "kernels/simd_gemm_few.h"
#include "kernels/simd_gemm_in_place.h"
#include "kernels/simd_self_attention_amx.h"

enum { AMX_PART = 2 * AMX_ROWS * 32 }; /* bf16 numbers from a part of a strip's tile to the next */

typedef struct amx_scratch {
    amx_pairs weights[2][AMX_STAGE_TILES]; /* of this stage and the next */
    /* Of a stage: [sliver][strip]. */
    _Alignas(64) amx_sums sums[AMX_STAGE_SLIVERS * (WN_TILE_MAX_ROWS / WN_TILE_STRIP)];
    _Alignas(64) amx_sums finished[2];
    float temp[WN_LANES * 32];
} amx_scratch;

/* 2 LANES columns of a row, part after part. */
WN_INLINE void pack_parts(const float *x, size_t at, size_t n, size_t parts, uint16_t *to)
{
    vf a = load_some(x, at, n), b = load_some(x, at + WN_LANES, n);
    vi_store(to, vi_turn_quads(vf_to_bf16(a, b)));
    for (size_t part = 1; part < parts; part++) {
        a = vf_bf16_rest(a);
        b = vf_bf16_rest(b);
        vi_store(to + part * AMX_PART, vi_turn_quads(vf_to_bf16(a, b)));
    }
}

static void amx_pack_strip(const float *x, size_t n_rows, size_t n_in, size_t parts, uint8_t *strip)
{
    amx_pairs *tile = (amx_pairs *)(void *)strip;
    for (size_t k = 0; k < n_in; k += 32, tile += 2 * parts)
        for (size_t r = 0; r < WN_TILE_STRIP; r++)
            for (size_t i = 0; i < 32; i += 2 * WN_LANES) {
                uint16_t *to = &tile[r / AMX_ROWS][r % AMX_ROWS][i];
                if (r < n_rows)
                    pack_parts(x + r * n_in, k + i, n_in, parts, to);
                else
                    for (size_t part = 0; part < parts; part++)
                        vi_store(to + part * AMX_PART, vi_set1(0));
            }
}

/* ---- what becomes of sums: rows i .. i + n of a block of 32 x 32 ---- */

typedef struct amx_place {
    size_t row, column; /* of the unit */
    const amx_sums *sums;
} amx_place;

WN_INLINE void store_f32(const wn_tile_unit *u, const amx_place *b, size_t i, size_t end)
{
    const size_t n_cols = u->n_cols - b->column;
    const float *bias = u->bias ? u->bias + b->column : NULL;
    float *y = u->y + (b->row + i) * u->y_stride + b->column;
    end = end < u->n_rows - b->row ? end : u->n_rows - b->row;
    for (; i < end; i++, y += u->y_stride)
        for (size_t j = 0; j < 32 && j < n_cols; j += WN_NR) {
            const size_t next = j + WN_LANES, tile = i / AMX_ROWS * 2, r = i % AMX_ROWS;
            const vf acc[2] = {vf_load(&(*b->sums)[tile + j / 16][r][j % 16]),
                               vf_load(&(*b->sums)[tile + next / 16][r][next % 16])};
            store_row(acc, n_cols - j, u->add ? y + j : NULL, bias ? bias + j : NULL, y + j);
        }
}

/* Where 16 columns of row i of a strip lie, first part; column: of the unit, a multiple of 16. */
WN_INLINE uint16_t *packed_at(const wn_tile_unit *u, size_t row, size_t i, size_t column)
{
    amx_pairs *tile = (amx_pairs *)(void *)(u->packed + row / WN_TILE_STRIP * u->packed_stride);
    return &tile[column / 32 * 2 * u->parts + i / AMX_ROWS][i % AMX_ROWS][column % 32];
}

/* 16 columns: one tile of sums is the gate, the other one what it lets through. */
WN_INLINE void store_swiglu(const wn_tile_unit *u, const amx_place *b, size_t i, size_t end)
{
    for (; i < end; i++) {
        const float *gate = (*b->sums)[i / AMX_ROWS * 2][i % AMX_ROWS];
        const float *up = (*b->sums)[i / AMX_ROWS * 2 + 1][i % AMX_ROWS];
        vf h[16 / WN_LANES];
        for (size_t v = 0; v < 16 / WN_LANES; v++)
            h[v] = vf_mul(vf_silu_14(vf_load(gate + v * WN_LANES)), vf_load(up + v * WN_LANES));
        uint16_t *to = packed_at(u, b->row, i, b->column);
        store_turned_16(to, h);
        for (size_t part = 1; part < u->parts; part++) {
            for (size_t v = 0; v < 16 / WN_LANES; v++)
                h[v] = vf_bf16_rest(h[v]);
            store_turned_16(to + part * AMX_PART, h);
        }
    }
}

/* 32 columns of rows i .. end of a half of the strip. */
WN_INLINE void store_packed(const wn_tile_unit *u, const amx_place *b, size_t i, size_t end,
                            const bool gelu)
{
    static const float none[32];
    const float *bias = u->bias ? u->bias + b->column : none;
    const float *sum = (*b->sums)[i / AMX_ROWS * 2][i % AMX_ROWS];
    uint16_t *to = packed_at(u, b->row, i, b->column);
    for (size_t n = end - i; n > 0; n--, sum += 16, to += 32)
        store_packed_row(sum, sum + sizeof(amx_sums) / 4 / sizeof *sum, bias, to, gelu);
}

/* ---- a unit ---- */

/* Bytes of x in L2 that leave room for what else a stage needs. */
#define AMX_X_STAYS ((size_t)1200 << 10)

/* Memory that is fetched to L2 before it is used, some in every step. */
typedef struct amx_stream {
    const uint8_t *at;
    size_t step_bytes; /* a multiple of 64; 0: nothing */
} amx_stream;

typedef struct amx_run {
    const wn_tile_unit *u;
    amx_scratch *scratch;
    size_t n_strips, n_tiles; /* of x; tiles of columns */
    size_t x_step;            /* bytes of x that a step fetches */
    amx_stage now, next;
    size_t turn;                  /* weights[turn] are of now, [turn ^ 1] of next */
    size_t n_packed, pace, paced; /* tiles of next; steps from one to the next, since the last */
    amx_place ready;              /* a block whose sums are complete; rows from ready_row on wait */
    size_t ready_row, ready_turn;
} amx_run;

/* The next four rows of the block that is ready. */
WN_INLINE void finish_rows(amx_run *r)
{
    const size_t i = r->ready_row, end = i + 4;
    r->ready_row = end;
    if (r->u->result == WN_TILE_F32)
        store_f32(r->u, &r->ready, i, end);
    else if (r->u->result == WN_TILE_SWIGLU)
        store_swiglu(r->u, &r->ready, i, end);
    else if (r->u->result == WN_TILE_GELU)
        store_packed(r->u, &r->ready, i, end, true);
    else
        store_packed(r->u, &r->ready, i, end, false);
}

WN_INLINE void fetch_some(amx_stream *s)
{
    for (size_t i = 0; i < s->step_bytes; i += 64)
        __builtin_prefetch(s->at + i, 0, 2);
    s->at += s->step_bytes;
}

/* A piece of the vectors' work. */
WN_INLINE void side_work(amx_run *r)
{
    if (r->ready_row < WN_TILE_STRIP)
        finish_rows(r);
    if (++r->paced >= r->pace && r->n_packed < r->next.n_weights) {
        r->paced = 0;
        amx_pack_weights(r->u, &r->next, r->n_packed++, r->scratch->weights[r->turn ^ 1],
                         r->scratch->temp);
    }
}

/* Tiles 4, 5 of x times 6, 7 of w. */
WN_INLINE void dot_block(const bool two)
{
    amx_dot_bf16(0, 4, 6);
    amx_dot_bf16(1, 4, 7);
    if (two) {
        amx_dot_bf16(2, 5, 6);
        amx_dot_bf16(3, 5, 7);
    }
}

/* Sums of a strip and a sliver over the stage's columns; rows 16-31 only when there are `two`. */
WN_INLINE void run_tiles(amx_run *r, const amx_pairs *x, const amx_pairs *w, amx_stream *ahead,
                         const bool two, const size_t parts, const amx_sums *in, amx_sums *out)
{
    const amx_pairs *end = x + 2 * parts * r->now.n_k;
    load_sums(r->now.k > 0 ? (*in)[0][0] : NULL, AMX_TILE_SUMS, 2 * AMX_TILE_SUMS);
    for (; x < end; x += 2 * parts, w += 2) {
        amx_load(4, x[0], AMX_ROW_BYTES);
        amx_load_once(6, w[0], AMX_ROW_BYTES);
        if (two)
            amx_load(5, x[1], AMX_ROW_BYTES);
        amx_load_once(7, w[1], AMX_ROW_BYTES);
        dot_block(two);
        if (parts == 2) {
            amx_load(4, x[2], AMX_ROW_BYTES);
            if (two)
                amx_load(5, x[3], AMX_ROW_BYTES);
            dot_block(two);
        }
        fetch_some(ahead);
        side_work(r);
    }
    store_sums((*out)[0][0], AMX_TILE_SUMS, 2 * AMX_TILE_SUMS);
}

WN_INLINE void run_block(amx_run *r, size_t strip, size_t s, const bool two, const size_t parts)
{
    const amx_pairs *strips = (const amx_pairs *)(const void *)r->u->x;
    const size_t tiles = 2 * parts; /* of 32 columns */
    const amx_pairs *x = strips + tiles * (strip * r->n_tiles + r->now.k);
    const amx_pairs *next =
        strip + 1 < r->n_strips ? x + tiles * r->n_tiles : strips + tiles * r->next.k;
    const amx_pairs *w = r->scratch->weights[r->turn] + 2 * s * r->now.n_k;
    amx_stream ahead = {(const uint8_t *)next + s * r->now.n_k * r->x_step, r->x_step};
    amx_sums *sums = &r->scratch->sums[s * r->n_strips + strip];
    amx_sums *finished = &r->scratch->finished[r->ready_turn];
    const bool last = r->now.k + r->now.n_k == r->n_tiles;
    run_tiles(r, x, w, &ahead, two, parts, sums, last ? finished : sums);
    while (r->ready_row < WN_TILE_STRIP)
        finish_rows(r);
    if (!last)
        return;
    r->ready =
        (amx_place){strip * WN_TILE_STRIP, r->now.column + amx_sliver_columns(r->u) * s, finished};
    r->ready_row = 0;
    r->ready_turn ^= 1;
}

WN_INLINE void run_blocks(amx_run *r, const size_t parts)
{
    for (size_t strip = 0; strip < r->n_strips; strip++)
        for (size_t s = 0; s < r->now.n_slivers; s++)
            if (r->u->n_rows - strip * WN_TILE_STRIP > AMX_ROWS)
                run_block(r, strip, s, true, parts);
            else
                run_block(r, strip, s, false, parts);
}

static void run_stage(amx_run *r)
{
    const size_t steps = r->n_strips * r->now.n_slivers * r->now.n_k;
    r->n_packed = r->paced = 0;
    r->pace = r->next.n_weights ? steps / r->next.n_weights : 0;
    if (r->u->parts == 2)
        run_blocks(r, 2);
    else
        run_blocks(r, 1);
    while (r->n_packed < r->next.n_weights) /* few rows of x have fewer steps than that */
        amx_pack_weights(r->u, &r->next, r->n_packed++, r->scratch->weights[r->turn ^ 1],
                         r->scratch->temp);
}

static void amx_multiply_many(const wn_tile_unit *u, void *scratch)
{
    amx_run r = {.u = u,
                 .scratch = scratch,
                 .n_strips = (u->n_rows + WN_TILE_STRIP - 1) / WN_TILE_STRIP,
                 .n_tiles = (u->w->n_in + 31) / 32,
                 .now = amx_first_stage(u),
                 .ready_row = WN_TILE_STRIP};
    if (u->n_rows * u->w->n_in * u->parts * sizeof(uint16_t) > AMX_X_STAYS)
        r.x_step = 2 * u->parts * sizeof(amx_pairs) / AMX_STAGE_SLIVERS;
    amx_begin();
    for (size_t i = 0; i < r.now.n_weights; i++)
        amx_pack_weights(u, &r.now, i, r.scratch->weights[0], r.scratch->temp);
    for (; r.now.n_weights > 0; r.now = r.next, r.turn ^= 1) {
        r.next = amx_next_stage(u, &r.now);
        run_stage(&r);
    }
    amx_end();
    while (r.ready_row < WN_TILE_STRIP)
        finish_rows(&r);
}

static void finish_few(const amx_few *f, amx_run *r, size_t s)
{
    for (size_t row = 0; row < f->u->n_rows; row += WN_TILE_STRIP) {
        const size_t n = f->u->n_rows - row < WN_TILE_STRIP ? f->u->n_rows - row : WN_TILE_STRIP;
        r->ready = (amx_place){row, amx_sliver_columns(f->u) * s,
                               few_sums(f, s, row / WN_TILE_STRIP, r->scratch->finished)};
        for (r->ready_row = 0; r->ready_row < n;)
            finish_rows(r);
    }
}

static amx_few few_of(const wn_tile_unit *u, amx_scratch *x)
{
    const wn_packed_format format = wn_packed_format_of(u->w->type);
    const size_t width = amx_sliver_columns(u);
    amx_few f = {.u = u,
                 .sums = x->sums,
                 .ring = x->weights[0],
                 .numbers = (row_numbers *)(void *)(x->weights[0] + AMX_FEW_RING),
                 .x = x->weights[1],
                 .temp = x->temp,
                 .turned = can_pack_rows(u->w),
                 .n_strips = (u->n_rows + WN_TILE_STRIP - 1) / WN_TILE_STRIP,
                 .n_tiles = (u->w->n_in + 31) / 32,
                 .n_slivers = (u->n_cols + width - 1) / width};
    if (u->w->panels)
        f.block_bytes = wn_block_bytes(format, WN_BLOCK);
    f.step = f.block_bytes / AMX_FEW_TILES;
    f.block = few_block(&f);
    f.ahead = f.block < AMX_FEW_AHEAD ? f.block : AMX_FEW_AHEAD;
    return f;
}

static void amx_multiply_few(const wn_tile_unit *u, void *scratch)
{
    amx_run r = {.u = u, .scratch = scratch};
    amx_few f = few_of(u, scratch);
    amx_begin();
    for (; f.k < f.n_tiles; f.k += f.n_k) {
        f.n_k = f.n_tiles - f.k < f.block ? f.n_tiles - f.k : f.block;
        few_turn_x(&f);
        for (size_t s = 0; s < f.n_slivers; s++) {
            few_sliver(&f, s);
            if (f.k + f.n_k == f.n_tiles)
                finish_few(&f, &r, s);
        }
    }
    amx_end();
}

/* x in two parts has no way of its own for few rows: plain weights cost little to make tiles of. */
static void amx_multiply(const wn_tile_unit *u, void *scratch)
{
    if (u->w->tiles && u->result != WN_TILE_SWIGLU)
        amx_multiply_in_place(u, scratch);
    else if (u->parts == 1 && u->n_rows <= AMX_FEW_SETS * AMX_ROWS)
        amx_multiply_few(u, scratch);
    else
        amx_multiply_many(u, scratch);
}

static void amx_pack_tile(const wn_matrix *w, size_t row0, size_t k, void *tile, float *temp)
{
    pack_tile(w, row0, k, tile, temp);
}

static const wn_tile_kernels amx_tiles_kernels = {
    .pack_strip = amx_pack_strip,
    .multiply = amx_multiply,
    .attend = amx_self_attention,
    .pack_tile = amx_pack_tile,
    .scratch_bytes =
        sizeof(amx_scratch) > sizeof(self_scratch) ? sizeof(amx_scratch) : sizeof(self_scratch),
};

#endif
#endif
