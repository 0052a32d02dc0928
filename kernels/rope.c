/* Rotary position embedding: angles in double here, rotation by the table. */
#include <assert.h>
#include <math.h>

#include "kernels/compute_internal.h"

#define UNIT_ROWS 8

typedef struct angles_run {
    float *angles;
    size_t m, n_pairs, pos0;
    const float *inv_freq;
} angles_run;

static void angles_unit(void *ctx, size_t unit, size_t worker)
{
    const angles_run *r = ctx;
    (void)worker;
    const size_t end = wn_size_min(r->m, (unit + 1) * UNIT_ROWS);
    for (size_t row = unit * UNIT_ROWS; row < end; row++) {
        float *c = r->angles + 2 * row * r->n_pairs, *s = c + r->n_pairs;
        for (size_t i = 0; i < r->n_pairs; i++) {
            const double angle = (double)(r->pos0 + row) * (double)r->inv_freq[i];
            c[i] = (float)cos(angle);
            s[i] = (float)sin(angle);
        }
    }
}

void wn_rope_angles(wn_compute *c, size_t m, size_t head_dim, size_t pos0, const float *inv_freq,
                    float *angles)
{
    assert(head_dim % 2 == 0);
    angles_run r = {angles, m, head_dim / 2, pos0, inv_freq};
    wn_compute_run(c, wn_size_div_up(m, UNIT_ROWS), angles_unit, &r);
}

typedef struct rope_run {
    const wn_kernel_table *kernels;
    float *x;
    size_t m, stride, n_heads, head_dim;
    const float *angles;
    wn_rope_order order;
} rope_run;

static void rope_unit(void *ctx, size_t unit, size_t worker)
{
    const rope_run *r = ctx;
    (void)worker;
    const size_t end = wn_size_min(r->m, (unit + 1) * UNIT_ROWS);
    for (size_t row = unit * UNIT_ROWS; row < end; row++) {
        const float *c = r->angles + row * r->head_dim, *s = c + r->head_dim / 2;
        r->kernels->rope(r->x + row * r->stride, r->n_heads, r->head_dim, c, s, r->order);
    }
}

void wn_rope(wn_compute *c, float *x, size_t m, size_t stride, size_t n_heads, size_t head_dim,
             const float *angles, wn_rope_order order)
{
    assert(head_dim % 2 == 0 && stride >= n_heads * head_dim);
    rope_run r = {c->kernels, x, m, stride, n_heads, head_dim, angles, order};
    wn_compute_run(c, wn_size_div_up(m, UNIT_ROWS), rope_unit, &r);
}
