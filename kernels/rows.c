/* The split of row-wise and element-wise operations over the pool. */
#include "kernels/compute_internal.h"

/* Elements per unit: some microseconds of work, so that waking a thread pays. */
#define UNIT_ELEMENTS 16384

typedef struct rows_run {
    const wn_kernel_table *kernels;
    const float *x, *w, *b;
    float *y;
    size_t m, d, unit_rows; /* rows of d; element-wise operations have rows of 1 */
    float eps;
} rows_run;

/* First row of a unit, and how many in *n. */
static size_t unit_rows(const rows_run *r, size_t unit, size_t *n)
{
    const size_t row0 = unit * r->unit_rows;
    *n = wn_size_min(r->m - row0, r->unit_rows);
    return row0;
}

static void run_rows(wn_compute *c, rows_run *r, wn_unit_fn body)
{
    r->kernels = c->kernels;
    r->unit_rows = wn_size_div_up(UNIT_ELEMENTS, r->d > 0 ? r->d : 1);
    wn_compute_run(c, wn_size_div_up(r->m, r->unit_rows), body, r);
}

static void rmsnorm_unit(void *ctx, size_t unit, size_t worker)
{
    const rows_run *r = ctx;
    size_t n = 0;
    const size_t at = unit_rows(r, unit, &n) * r->d;
    (void)worker;
    r->kernels->rmsnorm(r->x + at, r->w, n, r->d, r->eps, r->y + at);
}

void wn_rmsnorm(wn_compute *c, const float *x, const float *w, size_t m, size_t d, float eps,
                float *y)
{
    rows_run r = {.x = x, .w = w, .y = y, .m = m, .d = d, .eps = eps};
    run_rows(c, &r, rmsnorm_unit);
}

static void layernorm_unit(void *ctx, size_t unit, size_t worker)
{
    const rows_run *r = ctx;
    size_t n = 0;
    const size_t at = unit_rows(r, unit, &n) * r->d;
    (void)worker;
    r->kernels->layernorm(r->x + at, r->w, r->b, n, r->d, r->eps, r->y + at);
}

void wn_layernorm(wn_compute *c, const float *x, const float *w, const float *b, size_t m, size_t d,
                  float eps, float *y)
{
    rows_run r = {.x = x, .w = w, .b = b, .y = y, .m = m, .d = d, .eps = eps};
    run_rows(c, &r, layernorm_unit);
}

static void silu_mul_unit(void *ctx, size_t unit, size_t worker)
{
    const rows_run *r = ctx;
    size_t n = 0;
    const size_t at = unit_rows(r, unit, &n);
    (void)worker;
    r->kernels->silu_mul(r->x + at, r->w + at, n, r->y + at);
}

void wn_silu_mul(wn_compute *c, const float *gate, const float *up, size_t n, float *y)
{
    rows_run r = {.x = gate, .w = up, .y = y, .m = n, .d = 1};
    run_rows(c, &r, silu_mul_unit);
}

static void gelu_unit(void *ctx, size_t unit, size_t worker)
{
    const rows_run *r = ctx;
    size_t n = 0;
    const size_t at = unit_rows(r, unit, &n);
    (void)worker;
    r->kernels->gelu_erf(r->x + at, n, r->y + at);
}

void wn_gelu_erf(wn_compute *c, const float *x, size_t n, float *y)
{
    rows_run r = {.x = x, .y = y, .m = n, .d = 1};
    run_rows(c, &r, gelu_unit);
}
