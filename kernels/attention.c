/* The split of attention into units. Usually a unit is a block of query rows and walks through all
 * their pages; when decoding it is a KV head and a run of pages, and the partial results are put
 * together afterwards, in order. See kernel_table.h for the rows' order. */
#include <assert.h>
#include <math.h>

#include "kernels/attention_pages.h"
#include "kernels/compute_internal.h"

#define SPLIT_ROWS 16      /* of a KV head; more rows are not split by keys */
#define SPLIT_MIN_PAGES 4  /* of a unit: 256 keys */
#define SPLIT_MAX_UNITS 16 /* of a KV head */

#define COPY_ROWS 8 /* of a unit: as long as the copies that it makes of every page take */

#define BATCH_MAX 8 /* calls whose units are handed out together */

/* One call's attention. */
typedef struct attention_run {
    const wn_attention_args *args;
    size_t n_rows;      /* of a KV head */
    size_t n_units;     /* of all KV heads */
    size_t block_rows;  /* of a unit, by rows */
    size_t split_pages; /* of a unit, by keys; 0: by rows */
    size_t max_units;   /* by keys: of the longest KV head */
    float *partials;    /* by keys: [n_kv_heads][max_units][n_rows][head_dim + 2] */
} attention_run;

typedef struct attention_batch {
    const wn_compute *c;
    attention_run runs[BATCH_MAX];
    size_t n, n_units, partial_rows;
} attention_batch;

static size_t head_pages(const wn_attention_args *a, size_t kv)
{
    return wn_attention_n_pages(a, kv, a->m - 1);
}

static void run_block(const wn_compute *c, const attention_run *r, size_t unit, size_t worker)
{
    const wn_attention_args *a = r->args;
    const size_t block = unit / a->n_kv_heads;
    wn_attention_span span = {.kv = unit % a->n_kv_heads, .row0 = block * r->block_rows};
    span.n_rows = wn_size_min(r->n_rows - span.row0, r->block_rows);
    span.n_pages = wn_attention_n_pages(
        a, span.kv, (span.row0 + span.n_rows - 1) / (a->n_heads / a->n_kv_heads));
    c->kernels->attention(a, &span, wn_compute_scratch(c, worker));
}

static float *partial_rows(const attention_run *r, size_t kv, size_t unit)
{
    const size_t row = r->args->layout->head_dim + 2;
    return r->partials + (kv * r->max_units + unit) * r->n_rows * row;
}

static size_t head_units(const attention_run *r, size_t kv)
{
    return wn_size_div_up(head_pages(r->args, kv), r->split_pages);
}

static void run_split(const wn_compute *c, const attention_run *r, size_t unit, size_t worker)
{
    const size_t kv = unit % r->args->n_kv_heads, i = unit / r->args->n_kv_heads;
    if (i >= head_units(r, kv))
        return;
    const wn_attention_span span = {
        .kv = kv,
        .n_rows = r->n_rows,
        .page0 = i * r->split_pages,
        .n_pages = wn_size_min(head_pages(r->args, kv) - i * r->split_pages, r->split_pages),
        .partial = partial_rows(r, kv, i)};
    c->kernels->attention(r->args, &span, wn_compute_scratch(c, worker));
}

static void batch_unit(void *ctx, size_t unit, size_t worker)
{
    const attention_batch *b = ctx;
    const attention_run *r = b->runs;
    for (; unit >= r->n_units; r++)
        unit -= r->n_units;
    (r->split_pages ? run_split : run_block)(b->c, r, unit, worker);
}

/* out[head_dim] = sum of w o / sum of w l, w = 2^(top - largest top). */
static void join_row(const attention_run *r, size_t kv, size_t row, float *out)
{
    const size_t d = r->args->layout->head_dim, n = head_units(r, kv);
    float top = -INFINITY, total = 0;
    for (size_t i = 0; i < n; i++)
        top = fmaxf(top, partial_rows(r, kv, i)[row * (d + 2) + d]);
    for (size_t j = 0; j < d; j++)
        out[j] = 0;
    for (size_t i = 0; i < n; i++) {
        const float *p = partial_rows(r, kv, i) + row * (d + 2);
        const float weight = exp2f(p[d] - top);
        total += weight * p[d + 1];
        for (size_t j = 0; j < d; j++)
            out[j] += weight * p[j];
    }
    const float inverse = total == 0 ? 0.0f : 1.0f / total;
    for (size_t j = 0; j < d; j++)
        out[j] *= inverse;
}

static void join(const attention_run *r)
{
    const wn_attention_args *a = r->args;
    const size_t group = a->n_heads / a->n_kv_heads;
    for (size_t kv = 0; kv < a->n_kv_heads; kv++)
        for (size_t row = 0; row < r->n_rows; row++)
            join_row(r, kv, row,
                     a->out + row / group * a->out_stride +
                         (kv * group + row % group) * a->layout->head_dim);
}

/* The size of blocks with which the threads are done soonest: fewer rows than a call could take
 * where some of them had nothing to do otherwise. It is a matter of time only, a row's bits are the
 * same in every block. */
static void plan_blocks(const wn_compute *c, attention_run *r)
{
    const size_t limit = c->kernels->attention_rows, step = c->kernels->attention_row_step;
    size_t least = SIZE_MAX;
    for (size_t rows = limit; rows >= step; rows -= step) {
        const size_t n_units = wn_size_div_up(r->n_rows, rows) * r->args->n_kv_heads;
        const size_t turns = wn_size_div_up(n_units, c->n_threads);
        const size_t time =
            turns * (wn_size_min(rows, wn_size_div_up(r->n_rows, step) * step) + COPY_ROWS);
        if (time >= least)
            continue;
        least = time;
        r->block_rows = rows;
        r->n_units = n_units;
    }
}

static void plan_splits(attention_run *r, size_t most_pages)
{
    const size_t n_kv_heads = r->args->n_kv_heads;
    const size_t room = WN_PARTIAL_ROWS / (r->n_rows * n_kv_heads);
    r->split_pages = wn_size_div_up(most_pages, wn_size_min(SPLIT_MAX_UNITS, room));
    if (r->split_pages < SPLIT_MIN_PAGES)
        r->split_pages = SPLIT_MIN_PAGES;
    r->max_units = wn_size_div_up(most_pages, r->split_pages);
    r->n_units = r->max_units * n_kv_heads;
}

/* Depends on these arguments only. */
static attention_run plan(const wn_compute *c, const wn_attention_args *a)
{
    assert(a->n_kv_heads > 0 && a->n_heads % a->n_kv_heads == 0);
    assert(a->layout->head_dim > 0 && a->layout->head_dim <= WN_ATTENTION_MAX_HEAD_DIM);
    assert(a->n_tail == 0 || a->n_tail >= a->m);
    attention_run r = {.args = a, .n_rows = a->m * (a->n_heads / a->n_kv_heads)};
    size_t most_pages = 0;
    for (size_t kv = 0; kv < a->n_kv_heads; kv++)
        if (head_pages(a, kv) > most_pages)
            most_pages = head_pages(a, kv);
    if (!a->decode || r.n_rows > SPLIT_ROWS || most_pages <= SPLIT_MIN_PAGES ||
        2 * r.n_rows * a->n_kv_heads > WN_PARTIAL_ROWS)
        plan_blocks(c, &r);
    else
        plan_splits(&r, most_pages);
    return r;
}

/* False when there is no room for it beside the others. */
static bool batch_add(attention_batch *b, attention_run r)
{
    const size_t rows = r.split_pages ? r.n_units * r.n_rows : 0;
    if (b->n == BATCH_MAX || b->partial_rows + rows > WN_PARTIAL_ROWS)
        return false;
    r.partials = b->c->partials + b->partial_rows * (WN_ATTENTION_MAX_HEAD_DIM + 2);
    b->runs[b->n++] = r;
    b->n_units += r.n_units;
    b->partial_rows += rows;
    return true;
}

static void batch_run(wn_compute *c, attention_batch *b)
{
    wn_compute_run(c, b->n_units, batch_unit, b);
    for (size_t i = 0; i < b->n; i++)
        if (b->runs[i].split_pages)
            join(&b->runs[i]);
    *b = (attention_batch){.c = c};
}

void wn_attention_many(wn_compute *c, const wn_attention_args *args, size_t n)
{
    attention_batch b = {.c = c};
    for (size_t i = 0; i < n; i++) {
        if (args[i].m == 0)
            continue;
        const attention_run r = plan(c, &args[i]);
        if (batch_add(&b, r))
            continue;
        batch_run(c, &b);
        const bool fits = batch_add(&b, r);
        assert(fits);
        (void)fits;
    }
    if (b.n > 0)
        batch_run(c, &b);
}

void wn_attention(wn_compute *c, const wn_attention_args *a)
{
    wn_attention_many(c, a, 1);
}
