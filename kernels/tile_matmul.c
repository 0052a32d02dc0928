/* The split of products on tiles into units: rows by threads, so that a thread finds its rows of x
 * and y in its own caches from one product to the next (thread_pool.h), and columns within them.
 * See kernel_table.h for the parts. */
#include <assert.h>
#include <math.h>

#include "kernels/compute_internal.h"

/* Each part dequantises all weights. Of large matrices that costs more than what other caches hold,
 * unless a part has many rows. */
#define PART_ROWS 128 /* of a part at least, where there are several */
#define PART_ROWS_OF_LARGE 512
#define LARGE ((size_t)1 << 21) /* weights */
#define PART_UNITS 3            /* of columns at least, for a thread */
/* Of the inner part of a feed-forward at a time, with weights in tiles: they, and what is made of
 * some hundred rows, stay in L2 together. A multiple of 32. */
#define FFN_COLUMNS 512

typedef struct tile_run {
    wn_compute *c;
    const wn_tile_kernels *t;
    size_t n_rows, n_parts, part_strips; /* of x; strips of a part, the last may have fewer */
    size_t part_items;
    size_t x_parts; /* bf16 numbers of an element of x */
    /* packing */
    const float *x;
    const wn_norm *norm; /* of x; NULL: none */
    size_t n_in;
    uint8_t *strips;
    /* products */
    const wn_product *products;
    size_t n;
    size_t row0;               /* of x and y */
    size_t column0, n_columns; /* of a single one; 0: all */
    size_t k, n_k;             /* the tiles of columns of w that the input has; 0: all */
    size_t unit_columns;
    const wn_matrix *w2;
    wn_tile_part next;
    wn_tile_result result;
    const uint8_t *input;
    uint8_t *output;
} tile_run;

static size_t strip_bytes(const tile_run *r, size_t n_columns)
{
    return wn_tile_strip_bytes(n_columns, r->x_parts);
}

/* For products with w and what is as large. */
static void split_rows(tile_run *r, const wn_matrix *w)
{
    const size_t n_strips = wn_size_div_up(r->n_rows, WN_TILE_STRIP);
    const size_t least = w->n_in * w->n_out > LARGE ? PART_ROWS_OF_LARGE : PART_ROWS;
    const size_t most = wn_size_min(r->n_rows / least, r->c->n_threads);
    r->part_strips = wn_size_div_up(n_strips, most > 0 ? most : 1);
    r->n_parts = wn_size_div_up(n_strips, r->part_strips);
}

/* Rows of a part from *row0 on. */
static size_t part_rows(const tile_run *r, size_t part, size_t *row0)
{
    *row0 = part * r->part_strips * WN_TILE_STRIP;
    return wn_size_min(r->n_rows - *row0, r->part_strips * WN_TILE_STRIP);
}

static void run_parts(tile_run *r, size_t part_items, wn_unit_fn body)
{
    r->part_items = part_items;
    wn_compute_run(r->c, r->n_parts * part_items, body, r);
}

static void pack_item(void *ctx, size_t unit, size_t worker)
{
    const tile_run *r = ctx;
    size_t row = 0;
    (void)worker;
    const size_t strip = unit % r->part_items, n = part_rows(r, unit / r->part_items, &row);
    if (strip * WN_TILE_STRIP >= n)
        return;
    const size_t at = (r->row0 + row + strip * WN_TILE_STRIP) * r->n_in;
    const size_t n_rows = wn_size_min(n - strip * WN_TILE_STRIP, WN_TILE_STRIP);
    const float *x = r->x + at;
    if (r->norm) {
        r->c->kernels->rmsnorm(x, r->norm->w, n_rows, r->n_in, r->norm->eps, r->norm->out + at);
        x = r->norm->out + at;
    }
    r->t->pack_strip(x, n_rows, r->n_in, r->x_parts,
                     r->strips + (row / WN_TILE_STRIP + strip) * strip_bytes(r, r->n_in));
}

static void pack(tile_run *r, const float *x, const wn_norm *norm, size_t n_in)
{
    r->x = x;
    r->norm = norm;
    r->n_in = n_in;
    r->strips = r->c->strips;
    run_parts(r, r->part_strips, pack_item);
}

static size_t columns_of(const tile_run *r, const wn_product *p)
{
    return r->n_columns ? r->n_columns : p->w->n_out;
}

static size_t count_units(const tile_run *r, size_t unit_columns)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += wn_size_div_up(columns_of(r, &r->products[i]), unit_columns);
    return n;
}

/* All of w, or nothing. */
static wn_tile_part whole(const wn_matrix *w)
{
    if (!w || !w->tiles)
        return (wn_tile_part){0};
    return (wn_tile_part){.w = w, .n_cols = w->n_out, .n_k = wn_size_div_up(w->n_in, 32)};
}

static void multiply_item(void *ctx, size_t unit, size_t worker)
{
    const tile_run *r = ctx;
    size_t row = 0, item = unit % r->part_items;
    const size_t n_rows = part_rows(r, unit / r->part_items, &row);
    const wn_product *p = r->products;
    for (size_t n = 0; item >= (n = wn_size_div_up(columns_of(r, p), r->unit_columns)); p++)
        item -= n;
    const size_t first = item * r->unit_columns, column = r->column0 + first;
    const size_t n_cols = wn_size_min(columns_of(r, p) - first, r->unit_columns);
    const size_t n_k = r->n_k ? r->n_k : wn_size_div_up(p->w->n_in, 32);
    const size_t strip = row / WN_TILE_STRIP, stride = strip_bytes(r, columns_of(r, p));
    const wn_tile_unit u = {
        .w = p->w,
        .w2 = r->w2,
        .result = r->result,
        .x = r->input + strip * strip_bytes(r, 32 * n_k),
        .parts = r->x_parts,
        .n_rows = n_rows,
        .column = column,
        .n_cols = n_cols,
        .bias = p->bias ? p->bias + column : NULL,
        .add = p->add,
        .y = p->y ? p->y + (r->row0 + row) * p->w->n_out + column : NULL,
        .y_stride = p->w->n_out,
        .packed = r->output ? r->output + strip * stride + strip_bytes(r, first) : NULL,
        .packed_stride = stride,
        .part = {.w = p->w, .column = column, .n_cols = n_cols, .k = r->k, .n_k = n_k},
        .next = r->next,
    };
    r->t->multiply(&u, wn_compute_scratch(r->c, worker));
}

/* Few rows of a single product: narrower units, as many for each thread, where there are such. */
static void even_units(tile_run *r)
{
    const size_t n = columns_of(r, r->products), n_threads = r->c->n_threads;
    for (size_t width = r->unit_columns; r->n == 1 && width >= 128; width -= 32)
        if (n % width == 0 && n / width % n_threads == 0) {
            r->unit_columns = width;
            return;
        }
}

/* Columns of units: all of them for one thread, which then prepares a stage's weights while it
 * multiplies those before (few rows have no stages, and sums for so many columns only); fewer where
 * several threads would have too few units. */
static void multiply(tile_run *r, const wn_product *products, size_t n, const uint8_t *input)
{
    r->products = products;
    r->n = n;
    r->input = input;
    const size_t wide = r->result == WN_TILE_SWIGLU ? 2 : 1; /* columns of w for one of y */
    const size_t wanted = wn_size_div_up(PART_UNITS * r->c->n_threads, r->n_parts);
    const bool alone = r->c->n_threads == 1 && r->n_rows > WN_TILE_FEW_ROWS;
    r->unit_columns = alone ? WN_PACKED_MAX_COLS : WN_TILE_COLUMNS / wide;
    while (!alone && r->unit_columns > 64 && count_units(r, r->unit_columns) < wanted)
        r->unit_columns = r->unit_columns / 2 / 32 * 32;
    if (r->n_rows <= WN_TILE_FEW_ROWS)
        even_units(r);
    run_parts(r, count_units(r, r->unit_columns), multiply_item);
}

/* r for the next rows of m, from row0 on, and products with w; false behind the last. */
static bool next_rows(tile_run *r, const wn_matrix *w, size_t m)
{
    if (r->row0 >= m)
        return false;
    r->n_rows = wn_size_min(m - r->row0, WN_TILE_MAX_ROWS);
    r->result = WN_TILE_F32;
    r->w2 = NULL;
    r->output = NULL;
    r->x_parts = wn_tile_parts(r->c, w);
    split_rows(r, w);
    return true;
}

size_t wn_tile_parts(const wn_compute *c, const wn_matrix *w)
{
    if (!c->kernels->tiles || w->n_in == 0 || w->n_in > WN_PACKED_MAX_COLS)
        return 0;
    if (w->panels)
        return 1;
    if (c->exact || (w->wide_x && w->type != WN_DTYPE_BF16)) /* w itself would be rounded */
        return 0;
    return w->wide_x ? 2 : 1;
}

void wn_tile_matmul(wn_compute *c, const wn_product *products, size_t n, const float *x,
                    const wn_norm *norm, size_t m)
{
    tile_run r = {.c = c, .t = c->kernels->tiles};
    for (; next_rows(&r, products->w, m); r.row0 += r.n_rows) {
        pack(&r, x, norm, products->w->n_in);
        multiply(&r, products, n, c->strips);
    }
}

bool wn_tiles_serve_ffn(const wn_compute *c, const wn_ffn *f)
{
    const size_t parts = wn_tile_parts(c, f->up);
    if (parts == 0 || wn_tile_parts(c, f->down) != parts || f->up->n_out % 32 != 0)
        return false;
    if (!f->gate)
        return parts == 1;
    return wn_tile_parts(c, f->gate) == parts && f->gate->type == f->up->type &&
           !f->gate->panels == !f->up->panels;
}

/* The inner part's columns from `column` on, n of them, and what they add to y. */
static void multiply_inner(tile_run *r, const wn_ffn *f, size_t column, size_t n, float *y)
{
    const wn_product first = {.w = f->gate ? f->gate : f->up, .bias = f->up_bias};
    const wn_product second = {
        .w = f->down, .bias = column ? NULL : f->down_bias, .y = y, .add = true};
    const wn_tile_part all = whole(f->down);
    r->column0 = column;
    r->n_columns = n;
    r->k = r->n_k = 0;
    r->w2 = f->gate ? f->up : NULL;
    r->result = f->gate ? WN_TILE_SWIGLU : WN_TILE_GELU;
    r->output = r->c->inner_strips;
    r->next = (wn_tile_part){all.w, 0, all.n_cols, column / 32, n / 32};
    multiply(r, &first, 1, r->c->strips);
    r->column0 = r->n_columns = 0;
    r->k = column / 32;
    r->n_k = n / 32;
    r->w2 = NULL;
    r->result = WN_TILE_F32;
    r->output = NULL;
    r->next = whole(f->next);
    if (column + n < f->up->n_out) {
        r->next = whole(f->up);
        r->next.column = column + n;
        r->next.n_cols -= column + n;
    }
    multiply(r, &second, 1, r->c->inner_strips);
}

void wn_tile_ffn(wn_compute *c, const wn_ffn *f, const float *x, size_t m, float *y)
{
    tile_run r = {.c = c, .t = c->kernels->tiles};
    const size_t d_ff = f->up->n_out;
    const size_t step = f->up->tiles && f->down->tiles && !f->gate ? FFN_COLUMNS : d_ff;
    for (; next_rows(&r, f->up, m); r.row0 += r.n_rows) {
        pack(&r, x, f->norm, f->up->n_in);
        for (size_t column = 0; column < d_ff; column += step)
            multiply_inner(&r, f, column, wn_size_min(d_ff - column, step), y);
    }
}

typedef struct heads_run {
    const wn_compute *c;
    const size_t *lens;
    size_t n_heads;
    wn_tile_heads all; /* of the first sequence and head */
} heads_run;

static void attend_item(void *ctx, size_t unit, size_t worker)
{
    const heads_run *r = ctx;
    wn_tile_heads h = r->all;
    const size_t sequence = unit / r->n_heads;
    for (size_t s = 0; s < sequence; s++)
        h.row0 += r->lens[s];
    h.n_rows = r->lens[sequence];
    h.head = unit % r->n_heads;
    r->c->kernels->tiles->attend(&h, wn_compute_scratch(r->c, worker));
}

static bool tiles_serve_heads(const wn_compute *c, const wn_self_attention *a, const size_t *lens,
                              size_t n)
{
    const size_t d = a->out->n_in, dim = d / a->n_heads;
    if (wn_tile_parts(c, a->qkv) != 1 || wn_tile_parts(c, a->out) != 1 ||
        3 * d > WN_PACKED_MAX_COLS || dim % 32 != 0 || dim > WN_TILE_HEAD_DIM)
        return false;
    for (size_t i = 0; i < n; i++)
        if (lens[i] > WN_TILE_HEAD_ROWS)
            return false;
    return true;
}

bool wn_self_attention_add(wn_compute *c, const wn_self_attention *a, const float *x,
                           const size_t *lens, size_t n, float *y)
{
    size_t m = 0;
    if (!tiles_serve_heads(c, a, lens, n))
        return false;
    for (size_t i = 0; i < n; i++)
        m += lens[i];
    assert(m <= WN_TILE_MAX_ROWS);
    tile_run r = {.c = c, .t = c->kernels->tiles};
    const size_t d = a->out->n_in;
    heads_run heads = {.c = c, .lens = lens, .n_heads = a->n_heads};
    heads.all = (wn_tile_heads){.qkv = c->inner_strips,
                                .d = d,
                                .head_dim = d / a->n_heads,
                                .scale = 1.0f / sqrtf((float)(d / a->n_heads)),
                                .out = c->strips};
    const wn_product in = {.w = a->qkv, .bias = a->qkv_bias};
    const wn_product out = {.w = a->out, .bias = a->out_bias, .y = y, .add = true};
    if (!next_rows(&r, a->qkv, m))
        return true;
    pack(&r, x, NULL, d);
    r.result = WN_TILE_BF16;
    r.output = c->inner_strips;
    r.next = whole(a->out);
    multiply(&r, &in, 1, c->strips);
    wn_compute_run(c, n * a->n_heads, attend_item, &heads);
    r.result = WN_TILE_F32;
    r.output = NULL;
    r.next = whole(a->next);
    multiply(&r, &out, 1, c->strips);
    return true;
}
