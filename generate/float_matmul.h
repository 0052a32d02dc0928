/* Products of blocks of floats, for training: sizes and contents change from call to call, so that
 * nothing is packed or kept. Activations and weights stay in f32 on every set. Threads: as the
 * compute context. */
#ifndef WN_GENERATE_FLOAT_MATMUL_H
#define WN_GENERATE_FLOAT_MATMUL_H

#include "kernels/compute.h"

/* y[m][n_out] = x[m][n_in] w^T, or += where add; w [n_out][n_in]. */
wn_status wn_float_matmul(wn_compute *c, const float *w, size_t n_out, size_t n_in, const float *x,
                          size_t m, bool add, float *y, wn_error *err);
/* What a product's inputs owe its outputs: dx[m][n_in] += dy[m][n_out] w. */
wn_status wn_matmul_back(wn_compute *c, const wn_matrix *w, const float *dy, size_t m, float *dx,
                         wn_error *err);

#endif
