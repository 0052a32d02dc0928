/* The compute context from inside: for the drivers in this folder. */
#ifndef WN_KERNELS_COMPUTE_INTERNAL_H
#define WN_KERNELS_COMPUTE_INTERNAL_H

#include "kernels/kernel_table.h"

#define WN_GEMM_MC 512 /* rows of x packed at a time, less what is not a whole strip */
#define WN_GEMM_TEMP (32 * WN_GEMM_KC) /* floats that packing slivers needs */
#define WN_GEMM_KS 4096                /* columns of x packed at a time: a multiple of every kc */
#define WN_PARTIAL_ROWS 2048           /* of attention that is split by keys */
#define WN_PACKED_MAX_COLS 32768       /* a matrix of more columns is not packed */

struct wn_compute {
    const wn_kernel_table *kernels;
    wn_thread_pool *pool;
    size_t n_threads;
    bool exact;
    char reason[160];
    uint8_t *strips;       /* packed rows of x: of gemms [MC / mr][KS / KC], of tiles [rows / 32] */
    uint8_t *inner_strips; /* of the feed-forward part; NULL without tiles */
    wn_x_block *x_blocks;  /* [WN_GEMV_ROWS][WN_PACKED_MAX_COLS / 256]; NULL when exact */
    uint8_t *scratch;      /* n_threads pieces of scratch_bytes, 64-byte aligned */
    size_t scratch_bytes;
    float *partials;         /* [WN_PARTIAL_ROWS][WN_ATTENTION_MAX_HEAD_DIM + 2] */
    wn_panel_region *region; /* for the next matrix */
};

/* F32 F16 BF16 and the block-quantised types. */
bool wn_dtype_is_weight(wn_dtype type);

/* Runs units 0 .. n - 1 over the pool; a single unit runs here, without waking anyone. */
void wn_compute_run(wn_compute *c, size_t n_units, wn_unit_fn body, void *ctx);

/* How many bf16 numbers an element of x is in wn_tile_matmul of w (kernel_table.h); 0: it does not
 * take w. Whether wn_tile_ffn takes these (tile_matmul.c). */
size_t wn_tile_parts(const wn_compute *c, const wn_matrix *w);
bool wn_tiles_serve_ffn(const wn_compute *c, const wn_ffn *f);
/* norm: may be NULL. */
void wn_tile_matmul(wn_compute *c, const wn_product *products, size_t n, const float *x,
                    const wn_norm *norm, size_t m);
void wn_tile_ffn(wn_compute *c, const wn_ffn *f, const float *x, size_t m, float *y);

static inline uint8_t *wn_compute_scratch(const wn_compute *c, size_t worker)
{
    return c->scratch + worker * c->scratch_bytes;
}

static inline size_t wn_size_div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Where the sliver of rows from `row` on and of columns from k on lies; k is a multiple of kc. */
static inline uint8_t *wn_matrix_sliver(const wn_matrix *w, const wn_gemm_kernels *g, size_t row,
                                        size_t k)
{
    return w->slivers +
           (k / g->kc * wn_size_div_up(w->n_out, g->nr) + row / g->nr) * g->sliver_bytes;
}

static inline size_t wn_size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
