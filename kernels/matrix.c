/* Matrices: checks, and packing on all threads. */
#include <assert.h>
#include <stdlib.h>

#include "base/checked.h"
#include "kernels/compute_internal.h"
#include "kernels/dequant_block.h"
#include "kernels/packed_weights.h"

static wn_status check_tensor(const wn_tensor *w, size_t *row_bytes, wn_error *err)
{
    const char *name = w->name ? w->name : "?";
    size_t bytes = 0;
    if (!wn_dtype_is_weight(w->dtype))
        return wn_error_set(err, WN_UNSUPPORTED, "tensor %s: %s is no type of weights", name,
                            wn_dtype_name(w->dtype));
    if (w->n_dims != 2)
        return wn_error_set(err, WN_FORMAT, "tensor %s: a matrix has 2 dimensions, not %d", name,
                            w->n_dims);
    if (!wn_dtype_bytes(w->dtype, w->shape[1], row_bytes))
        return wn_error_set(err, WN_FORMAT, "tensor %s: rows of %zu are no whole %s blocks of %zu",
                            name, w->shape[1], wn_dtype_name(w->dtype),
                            wn_dtype_block_elements(w->dtype));
    if (!wn_size_mul(*row_bytes, w->shape[0], &bytes) || bytes != w->bytes)
        return wn_error_set(err, WN_FORMAT, "tensor %s: %zu bytes do not hold %zu x %zu %s", name,
                            w->bytes, w->shape[0], w->shape[1], wn_dtype_name(w->dtype));
    return WN_OK;
}

typedef struct packing {
    wn_matrix *m;
    const uint8_t *data;
} packing;

static void pack_unit(void *ctx, size_t unit, size_t worker)
{
    const packing *p = ctx;
    const wn_matrix *m = p->m;
    (void)worker;
    const size_t row = unit * WN_PANEL_ROWS;
    wn_panel_pack(m->type, p->data + row * m->row_bytes, m->row_bytes,
                  wn_size_min(m->n_out - row, WN_PANEL_ROWS), m->n_in,
                  m->panels + unit * m->panel_bytes);
}

static bool pack(wn_matrix *m, wn_compute *c)
{
    const size_t n_panels = wn_size_div_up(m->n_out, WN_PANEL_ROWS);
    size_t bytes = 0;
    m->panel_bytes = wn_panel_bytes(wn_packed_format_of(m->type), m->n_in);
    if (!wn_size_mul(n_panels, m->panel_bytes, &bytes))
        return false;
    m->panels = wn_panel_region_carve(&c->region, bytes);
    if (!m->panels)
        return false;
    m->region = c->region;
    packing p = {m, m->data};
    wn_compute_run(c, n_panels, pack_unit, &p);
    m->data = NULL;
    return true;
}

wn_status wn_matrix_create(wn_matrix **out, wn_compute *c, const wn_tensor *w, wn_error *err)
{
    size_t row_bytes = 0;
    WN_TRY(check_tensor(w, &row_bytes, err));
    wn_matrix *m = wn_alloc(1, sizeof *m);
    if (!m)
        return wn_error_set(err, WN_NO_MEMORY, "tensor %s", w->name ? w->name : "?");
    *m = (wn_matrix){.type = w->dtype,
                     .data = w->data,
                     .n_out = w->shape[0],
                     .n_in = w->shape[1],
                     .row_bytes = row_bytes};
    const bool packs = !c->exact && wn_packed_format_of(m->type).group_bytes > 0 && w->bytes > 0 &&
                       m->n_in <= WN_PACKED_MAX_COLS;
    if (packs && !pack(m, c)) {
        free(m);
        return wn_error_set(err, WN_NO_MEMORY, "tensor %s: no memory to pack %zu bytes",
                            w->name ? w->name : "?", w->bytes);
    }
    *out = m;
    return WN_OK;
}

typedef struct prepare_run {
    const wn_compute *c;
    wn_matrix *w;
} prepare_run;

static void tiles_unit(void *ctx, size_t unit, size_t worker)
{
    const prepare_run *r = ctx;
    const size_t n_k = wn_size_div_up(r->w->n_in, 32);
    (void)worker;
    float temp[512];
    for (size_t k = 0; k < n_k; k++)
        for (size_t half = 0; half < 2; half++)
            r->c->kernels->tiles->pack_tile(r->w, 32 * unit + 16 * half, k,
                                            r->w->tiles + ((unit * n_k + k) * 2 + half) * 1024,
                                            temp);
}

static wn_status pack_tiles(wn_matrix *w, wn_compute *c, wn_error *err)
{
    const size_t n = wn_size_div_up(w->n_out, 32);
    w->tiles = wn_panel_region_carve(&c->region, n * wn_size_div_up(w->n_in, 32) * 2048);
    if (!w->tiles)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a matrix's tiles");
    w->region = c->region;
    prepare_run r = {c, w};
    wn_compute_run(c, n, tiles_unit, &r);
    return WN_OK;
}

static void slivers_unit(void *ctx, size_t unit, size_t worker)
{
    const prepare_run *r = ctx;
    const wn_gemm_kernels *g = r->c->kernels->word_gemm;
    const size_t row = unit * WN_GEMM_NC;
    float *temp = (float *)(void *)wn_compute_scratch(r->c, worker);
    for (size_t k = 0; k < r->w->n_in; k += g->kc)
        g->pack_slivers(r->w, row, wn_size_min(r->w->n_out - row, WN_GEMM_NC), k,
                        wn_size_min(r->w->n_in - k, g->kc), wn_matrix_sliver(r->w, g, row, k),
                        temp);
}

static wn_status pack_slivers(wn_matrix *w, wn_compute *c, wn_error *err)
{
    const wn_gemm_kernels *g = c->kernels->word_gemm;
    const size_t n = wn_size_div_up(w->n_out, g->nr) * wn_size_div_up(w->n_in, g->kc);
    w->slivers = wn_panel_region_carve(&c->region, n * g->sliver_bytes);
    if (!w->slivers)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a matrix's words");
    w->region = c->region;
    prepare_run r = {c, w};
    wn_compute_run(c, wn_size_div_up(w->n_out, WN_GEMM_NC), slivers_unit, &r);
    return WN_OK;
}

wn_status wn_matrix_prepare(wn_matrix *w, wn_compute *c, wn_error *err)
{
    if (c->exact || w->panels || w->tiles || w->slivers || w->wide_x)
        return WN_OK;
    if (c->kernels->tiles)
        return wn_tile_parts(c, w) == 1 ? pack_tiles(w, c, err) : WN_OK;
    const bool words = c->kernels->word_gemm && w->n_in > 0 && w->n_in % WN_GROUP == 0;
    return words ? pack_slivers(w, c, err) : WN_OK;
}

void wn_matrix_free(wn_matrix *w)
{
    if (!w)
        return;
    wn_panel_region_release(w->region);
    free(w);
}

bool wn_matrix_is_packed(const wn_matrix *w)
{
    return w->panels != NULL;
}

void wn_matrix_set_wide_inputs(wn_matrix *w)
{
    w->wide_x = true;
}

size_t wn_matrix_rows(const wn_matrix *w)
{
    return w->n_out;
}

size_t wn_matrix_cols(const wn_matrix *w)
{
    return w->n_in;
}

typedef struct gather_run {
    const wn_matrix *w;
    const int32_t *ids;
    float *out;
} gather_run;

static void gather_unit(void *ctx, size_t unit, size_t worker)
{
    const gather_run *r = ctx;
    (void)worker;
    wn_matrix_row(r->w, (size_t)r->ids[unit], r->out + unit * r->w->n_in);
}

void wn_matrix_gather(wn_compute *c, const wn_matrix *w, const int32_t *ids, size_t n, float *out)
{
    gather_run r = {w, ids, out};
    wn_compute_run(c, n, gather_unit, &r);
}

void wn_matrix_row(const wn_matrix *w, size_t i, float *out)
{
    assert(i < w->n_out);
    if (w->panels)
        wn_panel_row(w->type, w->panels + i / WN_PANEL_ROWS * w->panel_bytes, i % WN_PANEL_ROWS,
                     w->n_in, out);
    else
        wn_dequant_run(w->type, w->data + i * w->row_bytes, out, w->n_in);
}
