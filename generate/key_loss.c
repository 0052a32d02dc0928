#include "generate/key_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/float_matmul.h"
#include "generate/model_internal.h"

#define QUERIES 128 /* in work at a time */
#define KEYS 64     /* of one unit of the sums */
/* With less attention than this on all other keys v_k - o is lost in rounding. */
#define LEAST_REST 0.02f

struct wn_key_loss {
    const wn_model *model;
    wn_compute *compute;
    size_t n_max, window, group;
    float *roots;                        /* [n_heads][head_dim][head_dim]: |root v| = |W_h v| */
    float *rows;                         /* [n_max][head_dim] of one head, contiguous */
    float *keys;                         /* [n_max][head_dim] */
    float *queries;                      /* [group][QUERIES][head_dim] */
    float *values, *outputs;             /* [group][n_max][head_dim]: root v, root o */
    float *value_square, *output_square; /* [group][n_max] */
    float *after;                        /* [n_max][d_model]: x with attention's output */
    float *stream;                       /* [n_max]: 1 / |after|^2 */
    float *weights, *products;           /* [group][QUERIES][n_max] */
};

wn_status wn_key_loss_open(wn_key_loss **out, const wn_model *m, wn_compute *c, size_t n_max,
                           size_t window, wn_error *err)
{
    const wn_model_config *g = &m->config;
    const size_t d = g->head_dim, group = g->n_heads / g->n_kv_heads;
    wn_key_loss *l = wn_alloc(1, sizeof *l);
    if (!l)
        return wn_error_set(err, WN_NO_MEMORY, "key loss: out of memory");
    *l = (wn_key_loss){.model = m, .compute = c, .n_max = n_max, .window = window, .group = group};
    if (!wn_alloc_floats(&l->roots, g->n_heads, d * d) || !wn_alloc_floats(&l->rows, n_max, d) ||
        !wn_alloc_floats(&l->keys, n_max, d) || !wn_alloc_floats(&l->queries, group, QUERIES * d) ||
        !wn_alloc_floats(&l->values, group, n_max * d) ||
        !wn_alloc_floats(&l->outputs, group, n_max * d) ||
        !wn_alloc_floats(&l->value_square, group, n_max) ||
        !wn_alloc_floats(&l->output_square, group, n_max) ||
        !wn_alloc_floats(&l->after, n_max, g->d_model) || !wn_alloc_floats(&l->stream, n_max, 1) ||
        !wn_alloc_floats(&l->weights, group, QUERIES * n_max) ||
        !wn_alloc_floats(&l->products, group, QUERIES * n_max)) {
        wn_key_loss_close(l);
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the keys of %zu tokens", n_max);
    }
    *out = l;
    return WN_OK;
}

void wn_key_loss_close(wn_key_loss *l)
{
    if (!l)
        return;
    float *const all[] = {l->roots,  l->rows,    l->keys,         l->queries,
                          l->values, l->outputs, l->value_square, l->output_square,
                          l->after,  l->stream,  l->weights,      l->products};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(l);
}

/* y[m][n_out] = x[m][n_in] w^T with w a block of floats. */
static wn_status multiply(wn_key_loss *l, const float *w, size_t n_out, size_t n_in, const float *x,
                          size_t m, float *y, wn_error *err)
{
    return wn_float_matmul(l->compute, w, n_out, n_in, x, m, false, y, err);
}

/* a [d][d] symmetric becomes L with L L^T = a; what rounding made negative counts as nothing. */
static void cholesky(float *a, size_t d)
{
    double trace = 0;
    for (size_t i = 0; i < d; i++)
        trace += (double)a[i * d + i];
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double s = (double)a[i * d + j] + (i == j ? 1e-7 * trace / (double)d : 0);
            for (size_t k = 0; k < j; k++)
                s -= (double)a[i * d + k] * (double)a[j * d + k];
            if (i == j)
                a[i * d + i] = (float)sqrt(s > 1e-30 ? s : 1e-30);
            else
                a[i * d + j] = (float)(s / (double)a[j * d + j]);
        }
}

/* roots[h] = L^T of W_h^T W_h = L L^T. */
static wn_status find_roots(wn_key_loss *l, const wn_matrix *o, wn_error *err)
{
    const wn_model_config *g = &l->model->config;
    const size_t d = g->head_dim, q_dim = g->n_heads * d, n = g->d_model;
    float *w = wn_alloc(q_dim, n * sizeof *w), *row = wn_alloc(q_dim, sizeof *row);
    wn_status status =
        w && row ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "key loss: out of memory");
    for (size_t r = 0; status == WN_OK && r < n; r++) { /* w = o^T */
        wn_matrix_row(o, r, row);
        for (size_t j = 0; j < q_dim; j++)
            w[j * n + r] = row[j];
    }
    for (size_t h = 0; status == WN_OK && h < g->n_heads; h++) {
        float *root = l->roots + h * d * d;
        status = multiply(l, w + h * d * n, d, n, w + h * d * n, d, root, err);
        cholesky(root, d);
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < i; j++) {
                root[j * d + i] = root[i * d + j];
                root[i * d + j] = 0;
            }
    }
    free(w);
    free(row);
    return status;
}

/* Rows of one head out of rows of all heads. */
static const float *head_rows(wn_key_loss *l, const float *from, size_t n, size_t n_heads,
                              size_t head, float *to)
{
    const size_t d = l->model->config.head_dim;
    for (size_t t = 0; t < n; t++)
        memcpy(to + t * d, from + (t * n_heads + head) * d, d * sizeof *to);
    return to;
}

static void squares(const float *rows, size_t n, size_t d, float *out)
{
    for (size_t t = 0; t < n; t++) {
        float s = 0;
        for (size_t i = 0; i < d; i++)
            s += rows[t * d + i] * rows[t * d + i];
        out[t] = s;
    }
}

/* What queries of KV head kv need, for all tokens. */
static wn_status prepare_group(wn_key_loss *l, const wn_text_layer *y, size_t kv, wn_error *err)
{
    const wn_model_config *g = &l->model->config;
    const size_t d = g->head_dim, n = y->n;
    head_rows(l, y->k, n, g->n_kv_heads, kv, l->keys);
    for (size_t i = 0; i < l->group; i++) {
        const size_t h = kv * l->group + i;
        const float *root = l->roots + h * d * d;
        float *values = l->values + i * n * d, *outputs = l->outputs + i * n * d;
        head_rows(l, y->v, n, g->n_kv_heads, kv, l->rows);
        WN_TRY(multiply(l, root, d, d, l->rows, n, values, err));
        head_rows(l, y->attended, n, g->n_heads, h, l->rows);
        WN_TRY(multiply(l, root, d, d, l->rows, n, outputs, err));
        squares(values, n, d, l->value_square + i * n);
        squares(outputs, n, d, l->output_square + i * n);
    }
    return WN_OK;
}

/* Queries first .. first + n_queries - 1 of a group; they see keys below `end`. */
typedef struct query_block {
    const wn_key_loss *l;
    const wn_text_layer *y;
    size_t first, n_queries, end, n_keys, kv;
    size_t n_judged; /* of the keys below `end` those whose loss is wanted */
    float *out;      /* [n_keys][n_kv_heads] */
} query_block;

/* One query of one head: its row of products becomes its terms of the sum. */
static void weigh_row(void *ctx, size_t unit, size_t worker)
{
    const query_block *b = ctx;
    const wn_key_loss *l = b->l;
    const size_t head = unit / b->n_queries, q = b->first + unit % b->n_queries;
    float *a = l->weights + unit * b->end, *p = l->products + unit * b->n_judged;
    const float *value_square = l->value_square + head * b->y->n;
    const float output_square = l->output_square[head * b->y->n + q];
    const size_t far = q > l->window ? q - l->window : 0; /* keys below are beyond the window */
    float top = -INFINITY;
    double sum = 0;
    (void)worker;
    for (size_t k = 0; k <= q; k++)
        top = a[k] > top ? a[k] : top;
    for (size_t k = 0; k <= q; k++) {
        a[k] = expf(a[k] - top);
        sum += (double)a[k];
    }
    const float inverse = (float)(1 / sum);
    for (size_t k = 0; k < far && k < b->n_judged; k++) {
        const float apart = value_square[k] + output_square - 2 * p[k]; /* |W_h (v_k - o)|^2 */
        const float weight = a[k] * inverse, ratio = weight / fmaxf(1 - weight, LEAST_REST);
        p[k] = apart > 0 ? ratio * ratio * apart * l->stream[q] : 0;
    }
}

static void sum_keys(void *ctx, size_t unit, size_t worker)
{
    const query_block *b = ctx;
    const wn_key_loss *l = b->l;
    const size_t k0 = unit * KEYS, n_kv_heads = l->model->config.n_kv_heads;
    float sums[KEYS] = {0};
    (void)worker;
    for (size_t row = 0; row < l->group * b->n_queries; row++) {
        const size_t q = b->first + row % b->n_queries;
        const size_t far = q > l->window ? q - l->window : 0;
        const float *p = l->products + row * b->n_judged;
        for (size_t k = k0; k < k0 + KEYS && k < far && k < b->n_judged; k++)
            sums[k - k0] += p[k];
    }
    for (size_t k = k0; k < k0 + KEYS && k < b->n_keys; k++)
        b->out[k * n_kv_heads + b->kv] += sums[k - k0];
}

static wn_status add_block(wn_key_loss *l, query_block *b, wn_error *err)
{
    const wn_model_config *g = &l->model->config;
    const size_t d = g->head_dim, n = b->y->n, rows = b->n_queries;
    const float scale = 1.0f / sqrtf((float)d);
    for (size_t i = 0; i < l->group; i++)
        for (size_t r = 0; r < rows; r++) {
            const float *q = b->y->q + ((b->first + r) * g->n_heads + b->kv * l->group + i) * d;
            for (size_t j = 0; j < d; j++)
                l->queries[(i * rows + r) * d + j] = q[j] * scale;
        }
    WN_TRY(multiply(l, l->keys, b->end, d, l->queries, l->group * rows, l->weights, err));
    for (size_t i = 0; i < l->group; i++)
        WN_TRY(multiply(l, l->values + i * n * d, b->n_judged, d,
                        l->outputs + (i * n + b->first) * d, rows,
                        l->products + i * rows * b->n_judged, err));
    wn_thread_pool *pool = wn_compute_pool(l->compute);
    wn_thread_pool_run(pool, l->group * rows, weigh_row, b);
    wn_thread_pool_run(pool, (b->n_keys + KEYS - 1) / KEYS, sum_keys, b);
    return WN_OK;
}

wn_status wn_key_loss_layer(wn_key_loss *l, const wn_text_layer *y, size_t n_keys, float *out,
                            wn_error *err)
{
    const wn_model_config *g = &l->model->config;
    WN_TRY(find_roots(l, l->model->layers[y->layer].o, err));
    memcpy(l->after, y->x, y->n * g->d_model * sizeof *l->after);
    const wn_product attention = {.w = l->model->layers[y->layer].o, .y = l->after, .add = true};
    wn_matmul_many(l->compute, &attention, 1, y->attended, y->n);
    squares(l->after, y->n, g->d_model, l->stream);
    for (size_t t = 0; t < y->n; t++)
        l->stream[t] = 1 / fmaxf(l->stream[t], 1e-30f);
    memset(out, 0, n_keys * g->n_kv_heads * sizeof *out);
    for (size_t kv = 0; kv < g->n_kv_heads; kv++) {
        WN_TRY(prepare_group(l, y, kv, err));
        for (size_t at = 0; at < y->n; at += QUERIES) {
            const size_t n = y->n - at < QUERIES ? y->n - at : QUERIES;
            const size_t end = at + n, n_judged = end < n_keys ? end : n_keys;
            query_block b = {l, y, at, n, end, n_keys, kv, n_judged, out};
            if (b.end > l->window)
                WN_TRY(add_block(l, &b, err));
        }
    }
    return WN_OK;
}
