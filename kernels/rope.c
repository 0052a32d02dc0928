/* Rotary position embedding: angles in double here, rotation by the table. */
#include <assert.h>
#include <math.h>

#include "kernels/compute_internal.h"

#define PAIRS 64 /* angles on the stack at a time */

typedef struct rope_run {
    const wn_kernel_table *kernels;
    float *x;
    size_t m, stride, n_heads, head_dim, pos0, unit_rows;
    const float *inv_freq;
    wn_rope_order order;
} rope_run;

static void rope_row(const rope_run *r, size_t row)
{
    for (size_t i0 = 0; i0 < r->head_dim / 2; i0 += PAIRS) {
        const size_t n = wn_size_min(r->head_dim / 2 - i0, PAIRS);
        float c[PAIRS], s[PAIRS];
        for (size_t i = 0; i < n; i++) {
            const double angle = (double)(r->pos0 + row) * (double)r->inv_freq[i0 + i];
            c[i] = (float)cos(angle);
            s[i] = (float)sin(angle);
        }
        r->kernels->rope(r->x + row * r->stride, r->n_heads, r->head_dim, i0, n, c, s, r->order);
    }
}

static void rope_unit(void *ctx, size_t unit, size_t worker)
{
    const rope_run *r = ctx;
    (void)worker;
    const size_t first = unit * r->unit_rows;
    const size_t end = wn_size_min(r->m, first + r->unit_rows);
    for (size_t row = first; row < end; row++)
        rope_row(r, row);
}

void wn_rope(wn_compute *c, float *x, size_t m, size_t stride, size_t n_heads, size_t head_dim,
             size_t pos0, const float *inv_freq, wn_rope_order order)
{
    assert(head_dim % 2 == 0 && stride >= n_heads * head_dim);
    rope_run r = {c->kernels, x, m, stride, n_heads, head_dim, pos0, 8, inv_freq, order};
    wn_compute_run(c, wn_size_div_up(m, r.unit_rows), rope_unit, &r);
}
