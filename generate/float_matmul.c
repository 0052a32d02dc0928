#include "generate/float_matmul.h"

#include <stdlib.h>

#include "base/checked.h"

#define SLAB 512 /* rows of w transposed at a time */
#define BLOCK 16 /* of them by one thread */

wn_status wn_float_matmul(wn_compute *c, const float *w, size_t n_out, size_t n_in, const float *x,
                          size_t m, bool add, float *y, wn_error *err)
{
    wn_matrix *matrix = NULL;
    const wn_tensor t = {.name = "rows",
                         .dtype = WN_DTYPE_F32,
                         .n_dims = 2,
                         .shape = {n_out, n_in},
                         .data = w,
                         .bytes = n_out * n_in * sizeof *w};
    WN_TRY(wn_matrix_create(&matrix, c, &t, err));
    wn_matrix_set_wide_inputs(matrix);
    wn_matmul_many(c, &(wn_product){.w = matrix, .y = y, .add = add}, 1, x, m);
    wn_matrix_free(matrix);
    return WN_OK;
}

/* Rows first .. first + n - 1 of w as columns. */
typedef struct slab {
    const wn_matrix *w;
    size_t first, n, n_in;
    float *rows;    /* [n_threads][BLOCK][n_in] */
    float *columns; /* [n_in][n] */
} slab;

static void transpose_block(void *ctx, size_t unit, size_t worker)
{
    const slab *s = ctx;
    float *rows = s->rows + worker * BLOCK * s->n_in;
    const size_t at = unit * BLOCK, n = s->n - at < BLOCK ? s->n - at : BLOCK;
    for (size_t r = 0; r < n; r++)
        wn_matrix_row(s->w, s->first + at + r, rows + r * s->n_in);
    for (size_t i = 0; i < s->n_in; i++)
        for (size_t r = 0; r < n; r++)
            s->columns[i * s->n + at + r] = rows[r * s->n_in + i];
}

wn_status wn_matmul_back(wn_compute *c, const wn_matrix *w, const float *dy, size_t m, float *dx,
                         wn_error *err)
{
    const size_t n_out = wn_matrix_rows(w), n_in = wn_matrix_cols(w);
    float *rows = wn_alloc(wn_compute_n_threads(c) * BLOCK, n_in * sizeof *rows);
    float *columns = wn_alloc_aligned(64, n_in * SLAB, sizeof *columns);
    float *part = wn_alloc_aligned(64, m * SLAB, sizeof *part);
    wn_status status = rows && columns && part
                           ? WN_OK
                           : wn_error_set(err, WN_NO_MEMORY, "gradient: out of memory");
    for (size_t at = 0; status == WN_OK && at < n_out; at += SLAB) {
        const size_t n = n_out - at < SLAB ? n_out - at : SLAB;
        slab s = {w, at, n, n_in, rows, columns};
        wn_thread_pool_run(wn_compute_pool(c), (n + BLOCK - 1) / BLOCK, transpose_block, &s);
        for (size_t r = 0; r < m; r++)
            for (size_t i = 0; i < n; i++)
                part[r * n + i] = dy[r * n_out + at + i];
        status = wn_float_matmul(c, columns, n_in, n, part, m, true, dx, err);
    }
    free(rows);
    free(columns);
    free(part);
    return status;
}
