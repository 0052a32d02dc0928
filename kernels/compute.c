#include "kernels/compute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/compute_internal.h"
#include "kernels/cpu_features.h"

typedef struct isa_row {
    const wn_kernel_table *table;
    bool present; /* on this machine */
    bool named_only;
} isa_row;

enum { N_ISAS = 6 };

/* Best first; the last one is for tests. */
static void list_isas(isa_row rows[N_ISAS])
{
    const wn_cpu_features f = wn_cpu_features_get();
    rows[0] = (isa_row){&wn_kernels_amx, f.amx, false};
    rows[1] = (isa_row){&wn_kernels_avx512bf16, f.avx512bf16, false};
    rows[2] = (isa_row){&wn_kernels_avx512, f.avx512, false};
    rows[3] = (isa_row){&wn_kernels_avx2, f.avx2, false};
    rows[4] = (isa_row){&wn_kernels_ref, true, false};
    rows[5] = (isa_row){&wn_kernels_amx_emulated, f.avx2, true};
}

static void describe_machine(const isa_row rows[N_ISAS], char *text, size_t cap)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < N_ISAS; i++)
        if (rows[i].present && !rows[i].named_only && used < cap)
            used += (size_t)snprintf(text + used, cap - used, "%s%s", used ? ", " : "",
                                     rows[i].table->name);
}

static wn_status choose_isa(wn_compute *c, const char *wanted, wn_error *err)
{
    isa_row rows[N_ISAS];
    char machine[64];
    list_isas(rows);
    describe_machine(rows, machine, sizeof machine);
    const bool automatic = !wanted || !strcmp(wanted, "auto");
    bool known = automatic;
    for (size_t i = 0; i < N_ISAS && !c->kernels; i++) {
        const bool named = !automatic && !strcmp(wanted, rows[i].table->name);
        known = known || named;
        if (rows[i].present && (named || (automatic && !rows[i].named_only)))
            c->kernels = rows[i].table;
    }
    if (!known)
        return wn_error_set(err, WN_INVALID,
                            "instruction set \"%s\" is unknown: use auto, ref, avx2, avx512, "
                            "avx512bf16 or amx",
                            wanted);
    if (!c->kernels)
        return wn_error_set(err, WN_UNSUPPORTED,
                            "instruction set %s is not on this machine, which has: %s", wanted,
                            machine);
    snprintf(c->reason, sizeof c->reason, "%s, %s; this machine has: %s", c->kernels->name,
             automatic ? "the best one here" : "as asked for", machine);
    return WN_OK;
}

static size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The largest of a thread's scratch and of the strips, over the table's products. */
static void measure_scratch(const wn_kernel_table *k, size_t *scratch, size_t *strips)
{
    const wn_gemm_kernels *all[] = {k->gemm, k->fast_gemm, k->word_gemm, k->packed_gemm,
                                    k->byte_gemm};
    *scratch = k->attention_scratch_bytes;
    *strips = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const wn_gemm_kernels *g = all[i];
        if (!g)
            continue;
        const size_t floats = WN_GEMM_TEMP + WN_GEMM_MC * WN_GEMM_NC;
        *scratch = size_max(*scratch, g->sliver_bytes + floats * sizeof(float));
        *strips = size_max(*strips, WN_GEMM_MC / g->mr * (WN_GEMM_KS / g->kc) * g->strip_bytes);
    }
    if (k->tiles) {
        *scratch = size_max(*scratch, k->tiles->scratch_bytes);
        *strips = size_max(*strips, WN_TILE_MAX_ROWS / WN_TILE_STRIP *
                                        wn_tile_strip_bytes(WN_PACKED_MAX_COLS, WN_TILE_PARTS));
    }
    *scratch = wn_size_div_up(*scratch, 64) * 64;
}

static wn_status open_parts(wn_compute *c, const wn_compute_options *options, wn_error *err)
{
    WN_TRY(choose_isa(c, options->isa, err));
    WN_TRY(wn_thread_pool_open(&c->pool, options->n_threads, err));
    c->n_threads = wn_thread_pool_size(c->pool);
    c->exact = options->exact || !c->kernels->packed_gemv;
    size_t strips = 0;
    measure_scratch(c->kernels, &c->scratch_bytes, &strips);
    c->scratch = wn_alloc_huge(c->n_threads * c->scratch_bytes);
    c->strips = wn_alloc_huge(strips);
    c->inner_strips = c->kernels->tiles ? wn_alloc_huge(strips) : NULL;
    c->x_blocks =
        wn_alloc_aligned(64, WN_GEMV_ROWS * (WN_PACKED_MAX_COLS / 256), sizeof *c->x_blocks);
    c->partials = wn_alloc(WN_PARTIAL_ROWS, (WN_ATTENTION_MAX_HEAD_DIM + 2) * sizeof(float));
    if (!c->scratch || !c->strips || (c->kernels->tiles && !c->inner_strips) || !c->x_blocks ||
        !c->partials)
        return wn_error_set(err, WN_NO_MEMORY, "scratch of %zu threads does not fit in memory",
                            c->n_threads);
    return WN_OK;
}

wn_status wn_compute_open(wn_compute **out, const wn_compute_options *options, wn_error *err)
{
    const wn_compute_options defaults = {0};
    wn_compute *c = wn_alloc(1, sizeof *c);
    if (!c)
        return wn_error_set(err, WN_NO_MEMORY, "compute context");
    const wn_status status = open_parts(c, options ? options : &defaults, err);
    if (status != WN_OK) {
        wn_compute_close(c);
        return status;
    }
    *out = c;
    return WN_OK;
}

void wn_compute_close(wn_compute *c)
{
    if (!c)
        return;
    wn_thread_pool_close(c->pool);
    wn_panel_region_release(c->region);
    free(c->strips);
    free(c->inner_strips);
    free(c->x_blocks);
    free(c->scratch);
    free(c->partials);
    free(c);
}

const char *wn_compute_isa(const wn_compute *c)
{
    return c->kernels->name;
}

const char *wn_compute_reason(const wn_compute *c)
{
    return c->reason;
}

bool wn_compute_is_exact(const wn_compute *c)
{
    return c->exact;
}

size_t wn_compute_n_threads(const wn_compute *c)
{
    return c->n_threads;
}

void wn_compute_wipe(wn_compute *c)
{
    memset(c->scratch, 0, c->n_threads * c->scratch_bytes);
}

size_t wn_compute_chunk(const wn_compute *c)
{
    return c->kernels->tiles && !c->exact ? WN_TILE_MAX_ROWS : 256;
}

wn_kv_format wn_compute_kv_format(const wn_compute *c, wn_kv_format asked)
{
    if (asked != WN_KV_AUTO)
        return asked;
    return c->exact ? WN_KV_F32 : WN_KV_BF16;
}

wn_kv_format wn_compute_fastest_kv_format(const wn_compute *c)
{
    return c->exact ? WN_KV_F32 : c->kernels->attention_format;
}

wn_thread_pool *wn_compute_pool(wn_compute *c)
{
    return c->pool;
}

void wn_compute_run(wn_compute *c, size_t n_units, wn_unit_fn body, void *ctx)
{
    if (n_units == 1)
        body(ctx, 0, 0);
    else if (n_units > 1)
        wn_thread_pool_run(c->pool, n_units, body, ctx);
}
