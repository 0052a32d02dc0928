/* Product of a few rows of activations with quantised weights: y[j] = w x[j], j < m.
 *
 * Memory-bound when m is small, so the blocks are read once and used for up to four rows of x.
 * Every row of x has two accumulators that take alternate vectors of the row of w, whatever m is,
 * so its bits do not depend on m.
 */
#ifndef WN_KERNELS_SIMD_GEMV_H
#define WN_KERNELS_SIMD_GEMV_H

#include "kernels/simd_weights.h"
#ifdef WN_LANES

#include "kernels/kernel_table.h"

/* All of a group of m (1, 2 or 4) rows of x. */
WN_INLINE void gemv_group(const wn_matrix *w, size_t row0, size_t n_rows, const float *x, bool add,
                          const float *bias, float *y, size_t y_stride, const int m)
{
#define WN_GEMV_CASE(TYPE)                                                                         \
    case WN_DTYPE_##TYPE:                                                                          \
        for (size_t r = row0; r < row0 + n_rows; r++) {                                            \
            vf acc[4][2];                                                                          \
            const weight_sink s = {acc, x, w->n_in, NULL};                                         \
            for (int j = 0; j < m; j++)                                                            \
                acc[j][0] = acc[j][1] = vf_zero();                                                 \
            weight_row_##TYPE(&s, w->data + r * w->row_bytes, w->n_in, m);                         \
            for (int j = 0; j < m; j++) {                                                          \
                float *yj = y + (size_t)j * y_stride + r;                                          \
                const float sum = vf_sum(vf_add(acc[j][0], acc[j][1])) + (bias ? bias[r] : 0.0f);  \
                *yj = add ? *yj + sum : sum;                                                       \
            }                                                                                      \
        }                                                                                          \
        break;
    switch (w->type) {
        WN_WEIGHT_TYPES(WN_GEMV_CASE)
    case WN_DTYPE_I32:
    case WN_DTYPE_I64:
    case WN_DTYPE_COUNT:
        break;
    }
#undef WN_GEMV_CASE
}

static void simd_gemv(const wn_matrix *w, size_t row0, size_t n_rows, const float *x, size_t m,
                      bool add, const float *bias, float *y, size_t y_stride)
{
    size_t j = 0;
    for (; j + 4 <= m; j += 4)
        gemv_group(w, row0, n_rows, x + j * w->n_in, add, bias, y + j * y_stride, y_stride, 4);
    if (j + 2 <= m) {
        gemv_group(w, row0, n_rows, x + j * w->n_in, add, bias, y + j * y_stride, y_stride, 2);
        j += 2;
    }
    if (j < m)
        gemv_group(w, row0, n_rows, x + j * w->n_in, add, bias, y + j * y_stride, y_stride, 1);
}

#endif
#endif
