/* The table of functions that an instruction set provides, and everything they work on.
 *
 * A table is one constant, exported by one translation unit that is compiled with its own flags
 * (kernels.cmake). compute.c chooses a table at open; the drivers (matmul.c, attention.c, ...)
 * split work into units and call it. A new instruction set is a new file and a row in compute.c's
 * list: the layouts of packed operands belong to the table, and drivers only know their sizes.
 * Functions here are pure: no allocation, no threads, no state.
 */
#ifndef WN_KERNELS_KERNEL_TABLE_H
#define WN_KERNELS_KERNEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "kernels/compute.h"

/* Weights [n_out, n_in], each row row_bytes of blocks of `type`, any alignment. */
struct wn_matrix {
    wn_dtype type;
    const uint8_t *data;
    size_t n_out, n_in, row_bytes;
};

/* Blocked product. K is cut at multiples of WN_GEMM_KC, counted from 0; each block's sum is formed
 * in registers, in order of k, and added to y: so an element's bits depend on its row of x and its
 * row of w only. */
#define WN_GEMM_KC 256 /* a multiple of every quantisation block */
#define WN_GEMM_NC                                                                                 \
    128 /* columns (rows of w) of one panel: KC x NC x 4 bytes is 1/8 of a 1 MB L2                 \
         */

typedef struct wn_gemm_kernels {
    size_t mr, nr;        /* rows of x in a strip, columns in a sliver; nr divides WN_GEMM_NC */
    size_t element_bytes; /* of packed operands */
    /* One strip: x [n_rows <= mr][n_k], row stride in floats -> packed mr * n_k elements. */
    void (*pack_strip)(const float *x, size_t x_stride, size_t n_rows, size_t n_k, void *out);
    /* One panel: rows row0 .. row0 + n_rows (<= NC) and columns k0 .. k0 + n_k (<= KC) of w -> NC *
     * KC elements at most. temp: nr * KC floats. */
    void (*pack_panel)(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0, size_t n_k,
                       void *out, float *temp);
    /* y[n_rows][n_cols] (row stride in floats) = bias + strip . panel when `first`, += otherwise.
     */
    void (*multiply)(const void *strip, const void *panel, size_t n_rows, size_t n_cols, size_t n_k,
                     bool first, const float *bias, float *y, size_t y_stride);
} wn_gemm_kernels;

#define WN_ATTENTION_MAX_HEAD_DIM 256

typedef struct wn_kernel_table {
    const char *name;
    /* y[j * y_stride + r] = w[r] . x[j] + bias[r], r in row0 .. row0 + n_rows, j < m, x [m][n_in].
     * The bits of y[j] depend on x[j] only. */
    void (*gemv)(const wn_matrix *w, size_t row0, size_t n_rows, const float *x, size_t m,
                 const float *bias, float *y, size_t y_stride);
    const wn_gemm_kernels *gemm; /* NULL: gemv serves any m */
    /* Query rows row0 .. row0 + n_rows (<= attention_rows) of KV head kv; row r is token r / group,
     * head kv * group + r % group, group = n_heads / n_kv_heads. */
    void (*attention)(const wn_attention_args *a, size_t kv, size_t row0, size_t n_rows,
                      void *scratch);
    size_t attention_rows, attention_scratch_bytes;
    void (*rmsnorm)(const float *x, const float *w, size_t m, size_t d, float eps, float *y);
    void (*layernorm)(const float *x, const float *w, const float *b, size_t m, size_t d, float eps,
                      float *y);
    /* Pairs i0 .. i0 + n_pairs of every head of one row; c, s [n_pairs]: their cosines and sines.
     */
    void (*rope)(float *x, size_t n_heads, size_t head_dim, size_t i0, size_t n_pairs,
                 const float *c, const float *s, wn_rope_order order);
    void (*silu_mul)(const float *gate, const float *up, size_t n, float *y);
    void (*gelu_erf)(const float *x, size_t n, float *y);
    void (*add)(const float *x, size_t n, float *y);
} wn_kernel_table;

extern const wn_kernel_table wn_kernels_ref;
extern const wn_kernel_table wn_kernels_avx2;
extern const wn_kernel_table wn_kernels_avx512;

#endif
