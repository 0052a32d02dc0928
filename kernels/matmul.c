/* Matrices, and the split of products into units. See kernel_table.h for the parts. */
#include <assert.h>
#include <stdlib.h>

#include "base/checked.h"
#include "kernels/compute_internal.h"
#include "kernels/dequant_block.h"

wn_status wn_matrix_create(wn_matrix **out, wn_compute *c, const wn_tensor *w, wn_error *err)
{
    (void)c;
    const char *name = w->name ? w->name : "?";
    if (!wn_dtype_is_weight(w->dtype))
        return wn_error_set(err, WN_UNSUPPORTED, "tensor %s: %s is no type of weights", name,
                            wn_dtype_name(w->dtype));
    if (w->n_dims != 2)
        return wn_error_set(err, WN_FORMAT, "tensor %s: a matrix has 2 dimensions, not %d", name,
                            w->n_dims);
    size_t row_bytes = 0, bytes = 0;
    if (!wn_dtype_bytes(w->dtype, w->shape[1], &row_bytes))
        return wn_error_set(err, WN_FORMAT, "tensor %s: rows of %zu are no whole %s blocks of %zu",
                            name, w->shape[1], wn_dtype_name(w->dtype),
                            wn_dtype_block_elements(w->dtype));
    if (!wn_size_mul(row_bytes, w->shape[0], &bytes) || bytes != w->bytes)
        return wn_error_set(err, WN_FORMAT, "tensor %s: %zu bytes do not hold %zu x %zu %s", name,
                            w->bytes, w->shape[0], w->shape[1], wn_dtype_name(w->dtype));
    wn_matrix *m = wn_alloc(1, sizeof *m);
    if (!m)
        return wn_error_set(err, WN_NO_MEMORY, "tensor %s", name);
    *m = (wn_matrix){w->dtype, w->data, w->shape[0], w->shape[1], row_bytes};
    *out = m;
    return WN_OK;
}

void wn_matrix_free(wn_matrix *w)
{
    free(w);
}

size_t wn_matrix_rows(const wn_matrix *w)
{
    return w->n_out;
}

size_t wn_matrix_cols(const wn_matrix *w)
{
    return w->n_in;
}

void wn_matrix_row(const wn_matrix *w, size_t i, float *out)
{
    assert(i < w->n_out);
    wn_dequant_run(w->type, w->data + i * w->row_bytes, out, w->n_in);
}

/* A product, or the part of it that is being worked on. */
typedef struct product {
    wn_compute *c;
    const wn_matrix *w;
    const float *x, *bias;
    float *y;
    size_t m;            /* rows of x */
    size_t row0, n_rows; /* of x: the packed block */
    size_t k0, n_k;      /* of x: the packed block */
    size_t n_columns;    /* columns of y per unit */
} product;

#define GEMV_ROWS 32 /* rows of w per unit: small enough to balance, large enough to stream */

static void gemv_unit(void *ctx, size_t unit, size_t worker)
{
    const product *p = ctx;
    (void)worker;
    const size_t row0 = unit * GEMV_ROWS;
    p->c->kernels->gemv(p->w, row0, wn_size_min(p->w->n_out - row0, GEMV_ROWS), p->x, p->m, p->bias,
                        p->y, p->w->n_out);
}

static void run_gemv(product *p)
{
    wn_compute_run(p->c, wn_size_div_up(p->w->n_out, GEMV_ROWS), gemv_unit, p);
}

static uint8_t *strip_at(const product *p, size_t strip, size_t k)
{
    const wn_gemm_kernels *g = p->c->kernels->gemm;
    return p->c->strips + (strip * WN_GEMM_KS + k) * g->mr * g->element_bytes;
}

static void pack_unit(void *ctx, size_t unit, size_t worker)
{
    const product *p = ctx;
    const wn_gemm_kernels *g = p->c->kernels->gemm;
    (void)worker;
    const size_t row = unit * g->mr;
    g->pack_strip(p->x + (p->row0 + row) * p->w->n_in + p->k0, p->w->n_in,
                  wn_size_min(p->n_rows - row, g->mr), p->n_k, strip_at(p, unit, 0));
}

/* n_columns columns of y, all packed rows, all packed k. */
static void multiply_unit(void *ctx, size_t unit, size_t worker)
{
    const product *p = ctx;
    const wn_gemm_kernels *g = p->c->kernels->gemm;
    uint8_t *panel = wn_compute_scratch(p->c, worker);
    float *temp = (float *)(void *)(panel + WN_GEMM_NC * WN_GEMM_KC * g->element_bytes);
    const size_t column = unit * p->n_columns, n_out = p->w->n_out;
    const size_t n_columns = wn_size_min(n_out - column, p->n_columns);
    for (size_t k = 0; k < p->n_k; k += WN_GEMM_KC) {
        const size_t n_k = wn_size_min(p->n_k - k, WN_GEMM_KC);
        g->pack_panel(p->w, column, n_columns, p->k0 + k, n_k, panel, temp);
        for (size_t row = 0; row < p->n_rows; row += g->mr)
            g->multiply(strip_at(p, row / g->mr, k), panel, wn_size_min(p->n_rows - row, g->mr),
                        n_columns, n_k, p->k0 + k == 0, p->bias ? p->bias + column : NULL,
                        p->y + (p->row0 + row) * n_out + column, n_out);
    }
}

/* Narrow outputs get narrower units, so that every thread has several. */
static size_t unit_columns(const product *p)
{
    size_t n = WN_GEMM_NC;
    while (n > p->c->kernels->gemm->nr && wn_size_div_up(p->w->n_out, n) < 4 * p->c->n_threads)
        n /= 2;
    return n;
}

static void run_gemm(product *p)
{
    p->n_columns = unit_columns(p);
    for (p->row0 = 0; p->row0 < p->m; p->row0 += WN_GEMM_MC) {
        p->n_rows = wn_size_min(p->m - p->row0, WN_GEMM_MC);
        for (p->k0 = 0; p->k0 < p->w->n_in; p->k0 += WN_GEMM_KS) {
            p->n_k = wn_size_min(p->w->n_in - p->k0, WN_GEMM_KS);
            wn_compute_run(p->c, wn_size_div_up(p->n_rows, p->c->kernels->gemm->mr), pack_unit, p);
            wn_compute_run(p->c, wn_size_div_up(p->w->n_out, p->n_columns), multiply_unit, p);
        }
    }
}

void wn_matmul(wn_compute *c, const wn_matrix *w, const float *x, size_t m, const float *bias,
               float *y)
{
    product p = {.c = c, .w = w, .x = x, .bias = bias, .y = y, .m = m};
    if (m > WN_MATMUL_GEMV_MAX && c->kernels->gemm && w->n_in > 0) {
        run_gemm(&p);
        return;
    }
    while (m > 0) {
        p.m = wn_size_min(m, WN_MATMUL_GEMV_MAX);
        run_gemv(&p);
        p.x += p.m * w->n_in;
        p.y += p.m * w->n_out;
        m -= p.m;
    }
}
