/* The split of products into units. See kernel_table.h for the parts. */
#include <assert.h>

#include "kernels/compute_internal.h"
#include "kernels/packed_weights.h"

/* Products of the same x and kind, or the part of them that is being worked on. Units are numbered
 * through all products: first those of the first one. */
typedef struct batch {
    wn_compute *c;
    const wn_product *products;
    size_t n;
    const wn_gemm_kernels *g; /* NULL: gemv */
    const float *x;
    size_t n_in, m;      /* rows of x */
    size_t row0, n_rows; /* of x: the packed block */
    size_t k0, n_k;      /* of x: the packed block */
    size_t unit_columns; /* columns of y per unit */
} batch;

static size_t count_units(const batch *b, size_t unit_columns)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += wn_size_div_up(b->products[i].w->n_out, unit_columns);
    return n;
}

/* The product that a unit belongs to, its first column, and how many in *n. */
static const wn_product *find_unit(const batch *b, size_t unit, size_t *column, size_t *n)
{
    const wn_product *p = b->products;
    size_t units = 0;
    while (unit >= (units = wn_size_div_up(p->w->n_out, b->unit_columns))) {
        unit -= units;
        p++;
    }
    *column = unit * b->unit_columns;
    *n = wn_size_min(p->w->n_out - *column, b->unit_columns);
    return p;
}

/* Small enough that every thread has several units, large enough to stream: memory is read fastest
 * in long runs. */
static void choose_unit_columns(batch *b, size_t least, size_t most)
{
    b->unit_columns = most;
    while (b->unit_columns > least && count_units(b, b->unit_columns) < 6 * b->c->n_threads)
        b->unit_columns /= 2;
}

static bool gemv_takes_bytes(const wn_compute *c, const wn_matrix *w)
{
    return w->panels && c->kernels->byte_gemv && w->type != WN_DTYPE_Q8_0 && !w->wide_x;
}

static void gemv_unit(void *ctx, size_t unit, size_t worker)
{
    const batch *b = ctx;
    (void)worker;
    size_t row0 = 0, n = 0;
    const wn_product *p = find_unit(b, unit, &row0, &n);
    const wn_kernel_table *k = b->c->kernels;
    if (p->w->panels)
        (gemv_takes_bytes(b->c, p->w) ? k->byte_gemv : k->packed_gemv)(
            p->w, row0, n, b->c->x_blocks, wn_size_div_up(b->n_in, 256), b->m, p->add, p->bias,
            p->y, p->w->n_out);
    else
        k->gemv(p->w, row0, n, b->x, b->m, p->add, p->bias, p->y, p->w->n_out);
}

static void quantize_rows(const batch *b)
{
    const wn_matrix *w = b->products->w;
    const wn_kernel_table *kernels = b->c->kernels;
    wn_x_block *out = b->c->x_blocks;
    for (size_t j = 0; j < b->m; j++)
        for (size_t k = 0; k < b->n_in; k += 256, out++) {
            const float *x = b->x + j * b->n_in + k;
            const size_t n = wn_size_min(b->n_in - k, 256);
            if (gemv_takes_bytes(b->c, w))
                kernels->quantize_bytes(x, n, out);
            else
                kernels->quantize(x, n, wn_x_limit(w->type), out);
        }
}

static void run_gemv(batch *b)
{
    if (b->products->w->panels)
        quantize_rows(b);
    choose_unit_columns(b, WN_PANEL_ROWS, 256 * WN_PANEL_ROWS);
    wn_compute_run(b->c, count_units(b, b->unit_columns), gemv_unit, b);
}

/* Packed rows of strip `strip`, columns k .. of the packed block; k is a multiple of kc. All strips
 * of the same columns follow each other: they are read as one stream. */
static uint8_t *strip_at(const batch *b, size_t strip, size_t k)
{
    const size_t n_strips = wn_size_div_up(b->n_rows, b->g->mr);
    return b->c->strips + (k / b->g->kc * n_strips + strip) * b->g->strip_bytes;
}

static void pack_unit(void *ctx, size_t unit, size_t worker)
{
    const batch *b = ctx;
    (void)worker;
    const size_t row = unit * b->g->mr;
    for (size_t k = 0; k < b->n_k; k += b->g->kc)
        b->g->pack_strip(b->products->w, b->x + (b->row0 + row) * b->n_in + b->k0 + k, b->n_in,
                         wn_size_min(b->n_rows - row, b->g->mr), wn_size_min(b->n_k - k, b->g->kc),
                         strip_at(b, unit, k));
}

/* From column j and row `row` of a unit on. */
static wn_gemm_out tile_out(const wn_gemm_out *unit, size_t row, size_t j)
{
    wn_gemm_out tile = *unit;
    tile.from = unit->from ? unit->from + row * unit->from_stride + j : NULL;
    tile.bias = unit->bias ? unit->bias + j : NULL;
    tile.y = unit->y + row * unit->y_stride + j;
    return tile;
}

/* Columns j .. of a unit, at most a sliver: all packed rows of x, which are read as one stream. */
static void multiply_sliver(const batch *b, const wn_matrix *w, const uint8_t *sliver, size_t j,
                            size_t n_columns, size_t k, size_t n_k, const wn_gemm_out *out)
{
    const wn_gemm_kernels *g = b->g;
    const size_t n_strips = wn_size_div_up(b->n_rows, g->mr);
    for (size_t i = 0; i < n_strips; i++) {
        const size_t row = i * g->mr;
        const wn_gemm_out tile = tile_out(out, row, j);
        g->multiply(w, strip_at(b, i, k), sliver, wn_size_min(b->n_rows - row, g->mr), n_columns,
                    n_k, &tile);
    }
}

/* Of a unit's columns of x from k on. Between its first and its last ones sums lie in `sums`,
 * [MC][NC]: rows of y are often whole pages apart, and then share few sets of the caches. */
static wn_gemm_out unit_out(const batch *b, const wn_product *p, size_t column, size_t k,
                            float *sums)
{
    float *y = p->y + b->row0 * p->w->n_out + column;
    const size_t stride = p->w->n_out;
    const bool first = k == 0, last = k + b->g->kc >= b->n_k, adds = p->add || b->k0 > 0;
    return (wn_gemm_out){.from = !first ? sums
                                 : adds ? y
                                        : NULL,
                         .from_stride = first ? stride : WN_GEMM_NC,
                         .bias = b->k0 + k == 0 && p->bias ? p->bias + column : NULL,
                         .y = last ? y : sums,
                         .y_stride = last ? stride : WN_GEMM_NC};
}

/* n_columns columns of y, all packed rows, all packed k. */
static void multiply_unit(void *ctx, size_t unit, size_t worker)
{
    const batch *b = ctx;
    const wn_gemm_kernels *g = b->g;
    uint8_t *sliver = wn_compute_scratch(b->c, worker);
    float *temp = (float *)(void *)(sliver + g->sliver_bytes);
    float *sums = temp + WN_GEMM_TEMP;
    size_t column = 0, n_columns = 0;
    const wn_product *p = find_unit(b, unit, &column, &n_columns);
    const bool few = b->n_rows <= WN_GEMM_FEW_ROWS;
    /* Few rows: one panel after the other, as it lies in memory. Many: strips of x stay in the
     * cache while all columns pass. */
    const size_t columns_at_once = few && (g->in_panels || g->multiply_few) ? g->nr : n_columns;
    for (size_t first = 0; first < n_columns; first += columns_at_once)
        for (size_t k = 0; k < b->n_k; k += g->kc) {
            const size_t n_k = wn_size_min(b->n_k - k, g->kc);
            const wn_gemm_out out = unit_out(b, p, column, k, sums);
            for (size_t j = first; j < wn_size_min(first + columns_at_once, n_columns);
                 j += g->nr) {
                const size_t n = wn_size_min(n_columns - j, g->nr);
                const uint8_t *packed = sliver;
                if (few && g->multiply_few) {
                    const wn_gemm_out tile = tile_out(&out, 0, j);
                    g->multiply_few(p->w, column + j, b->k0 + k, strip_at(b, 0, k), b->n_rows, n,
                                    n_k, sliver, &tile);
                    continue;
                }
                if (p->w->slivers)
                    packed = wn_matrix_sliver(p->w, g, column + j, b->k0 + k);
                else if (g->in_panels)
                    packed = p->w->panels + (column + j) / WN_PANEL_ROWS * p->w->panel_bytes +
                             wn_panel_group(wn_packed_format_of(p->w->type), b->k0 + k);
                else
                    g->pack_slivers(p->w, column + j, n, b->k0 + k, n_k, sliver, temp);
                multiply_sliver(b, p->w, packed, j, n, k, n_k, &out);
            }
        }
}

static void run_gemm(batch *b)
{
    choose_unit_columns(b, b->g->nr, WN_GEMM_NC);
    const size_t n_units = count_units(b, b->unit_columns);
    const size_t most_rows = WN_GEMM_MC / b->g->mr * b->g->mr;
    for (b->row0 = 0; b->row0 < b->m; b->row0 += most_rows) {
        b->n_rows = wn_size_min(b->m - b->row0, most_rows);
        for (b->k0 = 0; b->k0 < b->n_in; b->k0 += WN_GEMM_KS) {
            b->n_k = wn_size_min(b->n_in - b->k0, WN_GEMM_KS);
            wn_compute_run(b->c, wn_size_div_up(b->n_rows, b->g->mr), pack_unit, b);
            wn_compute_run(b->c, n_units, multiply_unit, b);
        }
    }
}

static const wn_gemm_kernels *gemm_of(const wn_compute *c, const wn_matrix *w)
{
    const wn_kernel_table *k = c->kernels;
    const bool bytes =
        k->byte_gemm && !w->wide_x && wn_packed_bits(wn_packed_format_of(w->type)) <= k->byte_bits;
    if (w->panels)
        return bytes ? k->byte_gemm : k->packed_gemm;
    if (w->slivers)
        return k->word_gemm;
    return !c->exact && !w->wide_x && k->fast_gemm ? k->fast_gemm : k->gemm;
}

/* Whether rows of x, once packed or rounded, serve both. */
static bool same_kind(const wn_compute *c, const wn_matrix *a, const wn_matrix *b, bool decode)
{
    if (!decode && wn_tile_parts(c, a) != wn_tile_parts(c, b))
        return false;
    if (!decode && wn_tile_parts(c, a) > 0)
        return true;
    if (!a->panels != !b->panels)
        return false;
    if (decode && gemv_takes_bytes(c, a) != gemv_takes_bytes(c, b))
        return false;
    if (decode)
        return !a->panels || gemv_takes_bytes(c, a) || wn_x_limit(a->type) == wn_x_limit(b->type);
    const wn_gemm_kernels *g = gemm_of(c, a);
    return g == gemm_of(c, b) && (!g || !g->x_limit || g->x_limit(a->type) == g->x_limit(b->type));
}

static void run_batch(batch b, bool decode)
{
    if (!decode && wn_tile_parts(b.c, b.products->w) > 0) {
        wn_tile_matmul(b.c, b.products, b.n, b.x, NULL, b.m);
        return;
    }
    b.g = decode || b.n_in == 0 ? NULL : gemm_of(b.c, b.products->w);
    if (b.g) {
        run_gemm(&b);
        return;
    }
    wn_product moved[WN_MATMUL_MANY];
    for (size_t i = 0; i < b.n; i++)
        moved[i] = b.products[i];
    b.products = moved;
    for (size_t left = b.m; left > 0; left -= b.m) {
        b.m = wn_size_min(left, WN_GEMV_ROWS);
        run_gemv(&b);
        b.x += b.m * b.n_in;
        for (size_t i = 0; i < b.n; i++)
            moved[i].y += b.m * moved[i].w->n_out;
    }
}

static void multiply(wn_compute *c, const wn_product *products, size_t n, const float *x, size_t m,
                     bool decode)
{
    assert(n <= WN_MATMUL_MANY);
    for (size_t i = 0, end = 0; i < n && m > 0; i = end) {
        const wn_matrix *w = products[i].w;
        for (end = i + 1; end < n && same_kind(c, w, products[end].w, decode); end++)
            assert(products[end].w->n_in == w->n_in);
        const batch b = {
            .c = c, .products = products + i, .n = end - i, .x = x, .n_in = w->n_in, .m = m};
        run_batch(b, decode);
    }
}

void wn_matmul_many(wn_compute *c, const wn_product *products, size_t n, const float *x, size_t m)
{
    multiply(c, products, n, x, m, false);
}

static bool tiles_serve_all(const wn_compute *c, const wn_product *products, size_t n)
{
    const size_t parts = wn_tile_parts(c, products->w);
    for (size_t i = 1; i < n; i++)
        if (wn_tile_parts(c, products[i].w) != parts)
            return false;
    return parts > 0;
}

void wn_matmul_normed(wn_compute *c, const wn_product *products, size_t n, const float *x,
                      const wn_norm *norm, size_t m)
{
    if (tiles_serve_all(c, products, n)) {
        wn_tile_matmul(c, products, n, x, norm, m);
        return;
    }
    wn_rmsnorm(c, x, norm->w, m, products->w->n_in, norm->eps, norm->out);
    wn_matmul_many(c, products, n, norm->out, m);
}

void wn_matmul_decode(wn_compute *c, const wn_product *products, size_t n, const float *x, size_t m)
{
    multiply(c, products, n, x, m, true);
}

void wn_matmul(wn_compute *c, const wn_matrix *w, const float *x, size_t m, const float *bias,
               float *y)
{
    wn_matmul_many(c, &(wn_product){.w = w, .bias = bias, .y = y}, 1, x, m);
}
