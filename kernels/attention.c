/* The split of attention into blocks of query rows. See kernel_table.h for the rows' order. */
#include <assert.h>

#include "kernels/compute_internal.h"

typedef struct attention_run {
    const wn_compute *c;
    const wn_attention_args *args;
    size_t n_rows, n_blocks; /* per KV head */
} attention_run;

static void attention_unit(void *ctx, size_t unit, size_t worker)
{
    const attention_run *r = ctx;
    const wn_kernel_table *k = r->c->kernels;
    /* Last rows first: under a causal mask they see the most keys, and a long unit at the end would
     * leave the other threads waiting. */
    const size_t block = r->n_blocks - 1 - unit / r->args->n_kv_heads;
    const size_t row0 = block * k->attention_rows;
    k->attention(r->args, unit % r->args->n_kv_heads, row0,
                 wn_size_min(r->n_rows - row0, k->attention_rows),
                 wn_compute_scratch(r->c, worker));
}

void wn_attention(wn_compute *c, const wn_attention_args *a)
{
    if (a->m == 0)
        return;
    assert(a->n_kv_heads > 0 && a->n_heads % a->n_kv_heads == 0);
    assert(a->head_dim > 0 && a->head_dim <= WN_ATTENTION_MAX_HEAD_DIM);
    assert(!a->causal || a->n_keys >= a->m);
    attention_run r = {.c = c, .args = a, .n_rows = a->m * (a->n_heads / a->n_kv_heads)};
    r.n_blocks = wn_size_div_up(r.n_rows, c->kernels->attention_rows);
    wn_compute_run(c, r.n_blocks * a->n_kv_heads, attention_unit, &r);
}
