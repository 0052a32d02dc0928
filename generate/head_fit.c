#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "generate/head_fit_internal.h"

#define LEAST_LOSS 1e-10f /* added to every loss: one that no far query looks at has none */

static wn_status carve(wn_head_fit *f, wn_error *err)
{
    size_t n = 0;
    const bool fits = wn_size_mul(f->n_layers * f->n_rows, f->n_cols, &n);
    f->sums = fits ? wn_alloc(n, sizeof *f->sums) : NULL;
    f->squares = wn_alloc(f->n_layers, f->n_targets * sizeof *f->squares);
    f->columns = wn_alloc(f->n_rows, f->o.n_max * sizeof *f->columns);
    f->losses = wn_alloc(f->o.n_max, f->n_targets * sizeof *f->losses);
    if (!f->sums || !f->squares || !f->columns || !f->losses)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the sums of %zu layers", f->n_layers);
    return WN_OK;
}

wn_status wn_head_fit_open(wn_head_fit **out, const wn_model *m, wn_compute *c,
                           const wn_head_fit_options *options, wn_error *err)
{
    const wn_model_config *g = wn_model_config_of(m);
    wn_head_fit *f = wn_alloc(1, sizeof *f);
    if (!f)
        return wn_error_set(err, WN_NO_MEMORY, "head fit: out of memory");
    *f = (wn_head_fit){.model = m,
                       .compute = c,
                       .o = *options,
                       .n_layers = g->n_layers,
                       .d = g->d_model,
                       .n_targets = g->n_kv_heads,
                       .n_rows = g->d_model + 1 + g->n_kv_heads,
                       .n_cols = g->d_model + 1};
    const wn_text_pass_options po = {.n_max = options->n_max, .kv_format = WN_KV_AUTO};
    wn_status status = wn_text_pass_open(&f->pass, m, c, &po, err);
    if (status == WN_OK)
        status = wn_key_loss_open(&f->loss, m, c, options->n_max, options->window, err);
    if (status == WN_OK)
        status = carve(f, err);
    if (status != WN_OK) {
        wn_head_fit_close(f);
        return status;
    }
    *out = f;
    return WN_OK;
}

void wn_head_fit_close(wn_head_fit *f)
{
    if (!f)
        return;
    wn_text_pass_close(f->pass);
    wn_key_loss_close(f->loss);
    free(f->sums);
    free(f->squares);
    free(f->columns);
    free(f->losses);
    free(f);
}

/* f->columns of the layer; adds to f->squares. */
static void transpose(wn_head_fit *f, const wn_text_layer *y)
{
    const size_t n = f->text_keys;
    double *squares = f->squares + y->layer * f->n_targets;
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < f->d; i++)
            f->columns[i * n + t] = y->h[t * f->d + i];
        f->columns[f->d * n + t] = 1;
        for (size_t i = 0; i < f->n_targets; i++) {
            const float target = logf(f->losses[t * f->n_targets + i] + LEAST_LOSS);
            f->columns[(f->d + 1 + i) * n + t] = target;
            squares[i] += (double)target * (double)target;
        }
    }
}

static wn_status add_layer(wn_head_fit *f, const wn_text_layer *y)
{
    WN_TRY(wn_key_loss_layer(f->loss, y, f->text_keys, f->losses, f->err));
    transpose(f, y);
    wn_matrix *inputs = NULL;
    const wn_tensor t = {.name = "inputs",
                         .dtype = WN_DTYPE_F32,
                         .n_dims = 2,
                         .shape = {f->n_cols, f->text_keys},
                         .data = f->columns,
                         .bytes = f->n_cols * f->text_keys * sizeof *f->columns};
    WN_TRY(wn_matrix_create(&inputs, f->compute, &t, f->err));
    wn_matrix_set_wide_inputs(inputs);
    const wn_product sums = {
        .w = inputs, .y = f->sums + y->layer * f->n_rows * f->n_cols, .add = true};
    wn_matmul_many(f->compute, &sums, 1, f->columns, f->n_rows);
    wn_matrix_free(inputs);
    return WN_OK;
}

static void see_layer(void *ctx, const wn_text_layer *y)
{
    wn_head_fit *f = ctx;
    if (f->status == WN_OK)
        f->status = add_layer(f, y);
}

wn_status wn_head_fit_add(wn_head_fit *f, const int32_t *ids, size_t n, size_t n_keys,
                          wn_error *err)
{
    if (n < 1 || n > f->o.n_max || n_keys < 1 || n_keys > n)
        return wn_error_set(err, WN_INVALID, "head fit: %zu keys of %zu tokens (%zu at most)",
                            n_keys, n, f->o.n_max);
    f->text_keys = n_keys;
    f->status = WN_OK;
    f->err = err;
    wn_text_pass_run(f->pass, ids, n, &(wn_text_pass_hooks){.observe = see_layer, .ctx = f});
    if (f->status == WN_OK) {
        f->n_texts++;
        f->n_keys += n_keys;
    }
    return f->status;
}

size_t wn_head_fit_n_texts(const wn_head_fit *f)
{
    return (size_t)f->n_texts;
}

uint64_t wn_head_fit_n_keys(const wn_head_fit *f)
{
    return f->n_keys;
}
