/* The sums of a fit: head_fit.c gathers them, head_solve.c solves, head_state.c keeps them. */
#ifndef WN_GENERATE_HEAD_FIT_INTERNAL_H
#define WN_GENERATE_HEAD_FIT_INTERNAL_H

#include "generate/head_fit.h"
#include "generate/key_loss.h"

struct wn_head_fit {
    const wn_model *model;
    wn_compute *compute;
    wn_head_fit_options o;
    wn_text_pass *pass;
    wn_key_loss *loss;
    size_t n_layers, d, n_targets; /* d_model, n_kv_heads */
    size_t n_rows, n_cols;         /* of one layer's sums: d + 1 + n_targets, d + 1 */
    uint64_t n_texts, n_keys;
    float *sums;     /* [n_layers][n_rows][n_cols]: rows x, 1 and y times columns x and 1 */
    double *squares; /* [n_layers][n_targets]: of y */
    /* of the text being read: */
    size_t text_keys;
    float *columns; /* [n_rows][text_keys]: x, 1 and y, transposed */
    float *losses;  /* [n_max][n_targets] */
    wn_status status;
    wn_error *err;
};

static inline size_t wn_head_fit_n_sums(const wn_head_fit *f)
{
    return f->n_layers * f->n_rows * f->n_cols;
}

#endif
