#include "generate/soft_attention.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/float_matmul.h"
#include "generate/model_internal.h"

#define KEYS 256 /* whose gradients are summed by one unit */

struct wn_soft_attention {
    const wn_model *model;
    wn_compute *compute;
    size_t n_rows, n_keys, group;
    float *keys, *values;        /* [n_keys + n_rows][head_dim] of one KV head: prefix, then own */
    float *columns;              /* of either, or of rows of the group: transposed */
    float *queries, *out, *owed; /* [group * n_rows][head_dim] */
    float *weights, *d;          /* [group * n_rows][n_keys + n_rows] */
    float *own;                  /* [n_rows][group * n_rows] */
};

wn_status wn_soft_attention_open(wn_soft_attention **out, const wn_model *m, wn_compute *c,
                                 size_t n_rows, size_t n_keys, wn_error *err)
{
    const wn_model_config *g = &m->config;
    const size_t group = g->n_heads / g->n_kv_heads, d = g->head_dim, all = n_keys + n_rows;
    const size_t longest = all > group * n_rows ? all : group * n_rows;
    wn_soft_attention *a = wn_alloc(1, sizeof *a);
    if (!a)
        return wn_error_set(err, WN_NO_MEMORY, "soft pass: out of memory");
    *a = (wn_soft_attention){
        .model = m, .compute = c, .n_rows = n_rows, .n_keys = n_keys, .group = group};
    if (!wn_alloc_floats(&a->keys, all, d) || !wn_alloc_floats(&a->values, all, d) ||
        !wn_alloc_floats(&a->columns, longest, d) ||
        !wn_alloc_floats(&a->queries, group * n_rows, d) ||
        !wn_alloc_floats(&a->out, group * n_rows, d) ||
        !wn_alloc_floats(&a->owed, group * n_rows, d) ||
        !wn_alloc_floats(&a->weights, group * n_rows, all) ||
        !wn_alloc_floats(&a->d, group * n_rows, all) ||
        !wn_alloc_floats(&a->own, n_rows, group * n_rows)) {
        wn_soft_attention_close(a);
        return wn_error_set(err, WN_NO_MEMORY, "no memory for %zu rows and %zu keys", n_rows,
                            n_keys);
    }
    *out = a;
    return WN_OK;
}

void wn_soft_attention_close(wn_soft_attention *a)
{
    if (!a)
        return;
    float *const all[] = {a->keys, a->values,  a->columns, a->queries, a->out,
                          a->owed, a->weights, a->d,       a->own};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(a);
}

/* One KV head in work. */
typedef struct head_run {
    const wn_soft_attention *a;
    const wn_soft_layer_args *y;
    const wn_soft_keys *keys;
    size_t kv, n, n_all; /* rows; keys of both kinds */
} head_run;

/* Rows of KV head kv: those of the prefix that are there, then the rows' own. */
static void gather(const head_run *r, const float *prefix, const float *own, float *out)
{
    const wn_model_config *g = &r->a->model->config;
    const size_t d = g->head_dim, stride = g->n_kv_heads * d;
    for (size_t i = 0; i < r->keys->n; i++)
        memcpy(out + i * d, prefix + r->keys->at[i] * stride + r->kv * d, d * sizeof *out);
    for (size_t i = 0; i < r->n; i++)
        memcpy(out + (r->keys->n + i) * d, own + i * stride + r->kv * d, d * sizeof *out);
}

static void transpose(const float *x, size_t rows, size_t cols, float *out)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            out[c * rows + r] = x[r * cols + c];
}

/* Row (head of the group, row of the pass) of [group * n][head_dim] and of rows of all heads. */
static size_t row_of(const head_run *r, size_t i)
{
    const wn_model_config *g = &r->a->model->config;
    return ((i % r->n) * g->n_heads + r->kv * r->a->group + i / r->n) * g->head_dim;
}

static void take_heads(const head_run *r, const float *from, float scale, float *to)
{
    const size_t d = r->a->model->config.head_dim;
    for (size_t i = 0; i < r->a->group * r->n; i++)
        for (size_t j = 0; j < d; j++)
            to[i * d + j] = from[row_of(r, i) + j] * scale;
}

static void put_heads(const head_run *r, const float *from, float scale, float *to)
{
    const size_t d = r->a->model->config.head_dim;
    for (size_t i = 0; i < r->a->group * r->n; i++)
        for (size_t j = 0; j < d; j++)
            to[row_of(r, i) + j] = from[i * d + j] * scale;
}

static bool sees(const head_run *r, size_t row, size_t own)
{
    return own <= row && r->y->piece[own] == r->y->piece[row];
}

static void softmax_row(void *ctx, size_t unit, size_t worker)
{
    const head_run *r = ctx;
    float *s = r->a->weights + unit * r->n_all;
    const size_t row = unit % r->n, n = r->keys->n;
    float top = -INFINITY;
    double sum = 0;
    (void)worker;
    for (size_t i = 0; r->keys->log_keep && i < n; i++)
        s[i] += r->keys->log_keep[i];
    for (size_t i = 0; i < r->n; i++)
        if (!sees(r, row, i))
            s[n + i] = -INFINITY;
    for (size_t i = 0; i < r->n_all; i++)
        top = s[i] > top ? s[i] : top;
    for (size_t i = 0; i < r->n_all; i++) {
        s[i] = expf(s[i] - top);
        sum += (double)s[i];
    }
    const float inverse = (float)(1 / sum);
    for (size_t i = 0; i < r->n_all; i++)
        s[i] *= inverse;
}

static float attention_scale(const wn_soft_attention *a)
{
    return 1.0f / sqrtf((float)a->model->config.head_dim);
}

/* Queries, keys and attention weights of the head. */
static wn_status weigh(wn_soft_attention *a, const head_run *r, wn_error *err)
{
    const size_t d = a->model->config.head_dim, rows = a->group * r->n;
    gather(r, r->y->prefix_k, r->y->k, a->keys);
    take_heads(r, r->y->q, attention_scale(a), a->queries);
    WN_TRY(wn_float_matmul(a->compute, a->keys, r->n_all, d, a->queries, rows, false, a->weights,
                           err));
    wn_thread_pool_run(wn_compute_pool(a->compute), rows, softmax_row, (void *)(uintptr_t)r);
    return WN_OK;
}

static head_run run_of(const wn_soft_attention *a, const wn_soft_layer_args *y, size_t kv)
{
    assert(y->n <= a->n_rows && y->keys[kv].n <= a->n_keys);
    return (head_run){a, y, &y->keys[kv], kv, y->n, y->keys[kv].n + y->n};
}

wn_status wn_soft_attend(wn_soft_attention *a, const wn_soft_layer_args *y, wn_error *err)
{
    const size_t d = a->model->config.head_dim;
    for (size_t kv = 0; kv < a->model->config.n_kv_heads; kv++) {
        const head_run r = run_of(a, y, kv);
        WN_TRY(weigh(a, &r, err));
        gather(&r, y->prefix_v, y->v, a->values);
        transpose(a->values, r.n_all, d, a->columns);
        WN_TRY(wn_float_matmul(a->compute, a->columns, d, r.n_all, a->weights, a->group * r.n,
                               false, a->out, err));
        put_heads(&r, a->out, 1, y->attended);
    }
    return WN_OK;
}

/* a->d, what the loss owes the weights, becomes what it owes the scores. */
static void score_row(void *ctx, size_t unit, size_t worker)
{
    const head_run *r = ctx;
    const float *w = r->a->weights + unit * r->n_all;
    float *d = r->a->d + unit * r->n_all;
    double along = 0;
    (void)worker;
    for (size_t i = 0; i < r->n_all; i++)
        along += (double)w[i] * (double)d[i];
    for (size_t i = 0; i < r->n_all; i++)
        d[i] = w[i] * (d[i] - (float)along);
}

static void sum_grads(void *ctx, size_t unit, size_t worker)
{
    const head_run *r = ctx;
    const size_t from = unit * KEYS, n = r->keys->n - from < KEYS ? r->keys->n - from : KEYS;
    float *grad = r->keys->grad + from;
    (void)worker;
    memset(grad, 0, n * sizeof *grad);
    for (size_t row = 0; row < r->a->group * r->n; row++)
        for (size_t i = 0; i < n; i++)
            grad[i] += r->a->d[row * r->n_all + from + i];
}

/* out [n][head_dim], rows of KV head kv: sum over rows of x[row][own key] * by[row]. */
static wn_status own_grads(wn_soft_attention *a, const head_run *r, const float *x, const float *by,
                           float *out, wn_error *err)
{
    const wn_model_config *g = &a->model->config;
    const size_t d = g->head_dim, rows = a->group * r->n;
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < r->n; k++)
            a->own[k * rows + i] = x[i * r->n_all + r->keys->n + k];
    transpose(by, rows, d, a->columns);
    WN_TRY(wn_float_matmul(a->compute, a->columns, d, rows, a->own, r->n, false, a->out, err));
    for (size_t k = 0; k < r->n; k++)
        memcpy(out + (k * g->n_kv_heads + r->kv) * d, a->out + k * d, d * sizeof *out);
    return WN_OK;
}

static wn_status head_back(wn_soft_attention *a, const head_run *r, const wn_soft_layer_grads *to,
                           wn_error *err)
{
    const size_t d = a->model->config.head_dim, rows = a->group * r->n;
    wn_thread_pool *pool = wn_compute_pool(a->compute);
    WN_TRY(weigh(a, r, err));
    gather(r, r->y->prefix_v, r->y->v, a->values);
    take_heads(r, to->attended, 1, a->owed);
    WN_TRY(wn_float_matmul(a->compute, a->values, r->n_all, d, a->owed, rows, false, a->d, err));
    wn_thread_pool_run(pool, rows, score_row, (void *)(uintptr_t)r);
    if (r->keys->grad)
        wn_thread_pool_run(pool, (r->keys->n + KEYS - 1) / KEYS, sum_grads, (void *)(uintptr_t)r);
    WN_TRY(own_grads(a, r, a->weights, a->owed, to->v, err));
    WN_TRY(own_grads(a, r, a->d, a->queries, to->k, err));
    transpose(a->keys, r->n_all, d, a->columns);
    WN_TRY(wn_float_matmul(a->compute, a->columns, d, r->n_all, a->d, rows, false, a->out, err));
    put_heads(r, a->out, attention_scale(a), to->q);
    return WN_OK;
}

wn_status wn_soft_attend_back(wn_soft_attention *a, const wn_soft_layer_args *y,
                              const wn_soft_layer_grads *to, wn_error *err)
{
    for (size_t kv = 0; kv < a->model->config.n_kv_heads; kv++) {
        const head_run r = run_of(a, y, kv);
        WN_TRY(head_back(a, &r, to, err));
    }
    return WN_OK;
}
