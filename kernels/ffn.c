/* The feed-forward part of a layer, from its products; on tiles in one go (tile_matmul.c). */
#include "kernels/compute_internal.h"

static void multiply(wn_compute *c, bool decode, const wn_product *products, size_t n,
                     const float *x, size_t m)
{
    (decode ? wn_matmul_decode : wn_matmul_many)(c, products, n, x, m);
}

void wn_ffn_add(wn_compute *c, const wn_ffn *f, const float *x, size_t m, bool decode, float *inner,
                float *y)
{
    if (m > 0 && !decode && wn_tiles_serve_ffn(c, f)) {
        wn_tile_ffn(c, f, x, m, y);
        return;
    }
    if (f->norm) {
        wn_rmsnorm(c, x, f->norm->w, m, f->up->n_in, f->norm->eps, f->norm->out);
        x = f->norm->out;
    }
    const size_t n = m * f->up->n_out;
    const wn_product first[] = {{.w = f->up, .bias = f->up_bias, .y = inner},
                                {.w = f->gate, .y = inner + n}};
    multiply(c, decode, first, f->gate ? 2 : 1, x, m);
    if (f->gate)
        wn_silu_mul(c, inner + n, inner, n, inner);
    else
        wn_gelu_erf(c, inner, n, inner);
    multiply(c, decode, &(wn_product){.w = f->down, .bias = f->down_bias, .y = y, .add = true}, 1,
             inner, m);
}
