#include "generate/soft_pass.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/float_matmul.h"
#include "generate/model_internal.h"
#include "generate/soft_attention.h"

/* What a layer's way back needs of its way forth. */
typedef struct soft_layer {
    float *x, *middle;   /* [n][d_model]: before attention; before the feed-forward part */
    float *q, *attended; /* [n][q_dim], q after RoPE */
    float *k, *v;        /* [n][kv_dim] */
    float *gate, *up;    /* [n][d_ff] */
} soft_layer;

struct wn_soft_pass {
    const wn_model *model;
    wn_compute *compute;
    size_t n_max;
    wn_soft_prefix prefix;
    wn_soft_rows rows;
    soft_layer *layers;
    wn_soft_attention *attention;
    float *x, *h, *dh;         /* [n][d_model] */
    float *inner, *d_inner;    /* [n][d_ff] */
    float *dq, *d_attended;    /* [n][q_dim] */
    float *dk, *dv;            /* [n][kv_dim] */
    float *angles, *backwards; /* [n][head_dim] */
};

static bool carve_layers(wn_soft_pass *p)
{
    const wn_model_config *g = &p->model->config;
    const size_t n = p->n_max, q_dim = g->n_heads * g->head_dim;
    const size_t kv_dim = g->n_kv_heads * g->head_dim;
    p->layers = wn_alloc(g->n_layers, sizeof *p->layers);
    bool ok = p->layers != NULL;
    for (size_t l = 0; ok && l < g->n_layers; l++) {
        soft_layer *y = &p->layers[l];
        ok = wn_alloc_floats(&y->x, n, g->d_model) && wn_alloc_floats(&y->middle, n, g->d_model) &&
             wn_alloc_floats(&y->q, n, q_dim) && wn_alloc_floats(&y->attended, n, q_dim) &&
             wn_alloc_floats(&y->k, n, kv_dim) && wn_alloc_floats(&y->v, n, kv_dim) &&
             wn_alloc_floats(&y->gate, n, g->d_ff) && wn_alloc_floats(&y->up, n, g->d_ff);
    }
    return ok;
}

static bool carve_rest(wn_soft_pass *p)
{
    const wn_model_config *g = &p->model->config;
    const size_t n = p->n_max, q_dim = g->n_heads * g->head_dim;
    const size_t kv_dim = g->n_kv_heads * g->head_dim;
    return wn_alloc_floats(&p->x, n, g->d_model) && wn_alloc_floats(&p->h, n, g->d_model) &&
           wn_alloc_floats(&p->dh, n, g->d_model) && wn_alloc_floats(&p->inner, n, g->d_ff) &&
           wn_alloc_floats(&p->d_inner, n, g->d_ff) && wn_alloc_floats(&p->dq, n, q_dim) &&
           wn_alloc_floats(&p->d_attended, n, q_dim) && wn_alloc_floats(&p->dk, n, kv_dim) &&
           wn_alloc_floats(&p->dv, n, kv_dim) && wn_alloc_floats(&p->angles, n, g->head_dim) &&
           wn_alloc_floats(&p->backwards, n, g->head_dim);
}

wn_status wn_soft_pass_open(wn_soft_pass **out, const wn_model *m, wn_compute *c, size_t n_rows,
                            size_t n_keys, wn_error *err)
{
    wn_soft_pass *p = wn_alloc(1, sizeof *p);
    if (!p)
        return wn_error_set(err, WN_NO_MEMORY, "soft pass: out of memory");
    *p = (wn_soft_pass){.model = m, .compute = c, .n_max = n_rows};
    wn_status status =
        carve_layers(p) && carve_rest(p)
            ? wn_soft_attention_open(&p->attention, m, c, n_rows, n_keys, err)
            : wn_error_set(err, WN_NO_MEMORY, "no memory for the gradient of %zu rows", n_rows);
    if (status != WN_OK) {
        wn_soft_pass_close(p);
        return status;
    }
    *out = p;
    return WN_OK;
}

void wn_soft_pass_close(wn_soft_pass *p)
{
    if (!p)
        return;
    for (size_t l = 0; p->layers && l < p->model->config.n_layers; l++) {
        const soft_layer *y = &p->layers[l];
        float *const all[] = {y->x, y->middle, y->q, y->attended, y->k, y->v, y->gate, y->up};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            free(all[i]);
    }
    float *const all[] = {p->x,  p->h,          p->dh, p->inner,  p->d_inner,  p->dq,
                          p->dk, p->d_attended, p->dv, p->angles, p->backwards};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    wn_soft_attention_close(p->attention);
    free(p->layers);
    free(p);
}

/* Every piece begins behind the prefix. */
static void find_angles(wn_soft_pass *p)
{
    const wn_model_config *g = &p->model->config;
    const size_t half = g->head_dim / 2, n = p->rows.n;
    for (size_t at = 0; at < n;) {
        size_t end = at + 1;
        while (end < n && p->rows.piece[end] == p->rows.piece[at])
            end++;
        wn_rope_angles(p->compute, end - at, g->head_dim, p->prefix.n, p->model->inv_freq,
                       p->angles + at * g->head_dim);
        at = end;
    }
    memcpy(p->backwards, p->angles, n * g->head_dim * sizeof *p->angles);
    for (size_t r = 0; r < n; r++) /* cosines, then sines */
        for (size_t i = half; i < g->head_dim; i++)
            p->backwards[r * g->head_dim + i] *= -1;
}

static void rotate(const wn_soft_pass *p, float *x, size_t n_heads, const float *angles)
{
    const wn_model_config *g = &p->model->config;
    wn_rope(p->compute, x, p->rows.n, n_heads * g->head_dim, n_heads, g->head_dim, angles,
            g->rope_order);
}

static wn_soft_layer_args attention_args(const wn_soft_pass *p, size_t l, const wn_soft_keys *keys)
{
    const soft_layer *y = &p->layers[l];
    return (wn_soft_layer_args){.prefix_k = p->prefix.k[l],
                                .prefix_v = p->prefix.v[l],
                                .keys = keys + l * p->model->config.n_kv_heads,
                                .piece = p->rows.piece,
                                .n = p->rows.n,
                                .q = y->q,
                                .k = y->k,
                                .v = y->v,
                                .attended = y->attended};
}

static wn_status run_layer(wn_soft_pass *p, size_t l, const wn_soft_keys *keys, wn_error *err)
{
    const wn_model_config *g = &p->model->config;
    const wn_layer *w = &p->model->layers[l];
    soft_layer *y = &p->layers[l];
    const size_t n = p->rows.n, d = g->d_model;
    memcpy(y->x, p->x, n * d * sizeof *p->x);
    wn_rmsnorm(p->compute, p->x, w->attn_norm, n, d, g->norm_eps, p->h);
    const wn_product qkv[] = {{w->q, w->q_bias, y->q, false},
                              {w->k, w->k_bias, y->k, false},
                              {w->v, w->v_bias, y->v, false}};
    wn_matmul_many(p->compute, qkv, 3, p->h, n);
    rotate(p, y->q, g->n_heads, p->angles);
    rotate(p, y->k, g->n_kv_heads, p->angles);
    const wn_soft_layer_args a = attention_args(p, l, keys);
    WN_TRY(wn_soft_attend(p->attention, &a, err));
    const wn_product o = {.w = w->o, .y = p->x, .add = true};
    wn_matmul_many(p->compute, &o, 1, y->attended, n);
    memcpy(y->middle, p->x, n * d * sizeof *p->x);
    wn_rmsnorm(p->compute, p->x, w->ffn_norm, n, d, g->norm_eps, p->h);
    const wn_product in[] = {{w->gate, NULL, y->gate, false}, {w->up, NULL, y->up, false}};
    wn_matmul_many(p->compute, in, 2, p->h, n);
    wn_silu_mul(p->compute, y->gate, y->up, n * g->d_ff, p->inner);
    const wn_product down = {.w = w->down, .y = p->x, .add = true};
    wn_matmul_many(p->compute, &down, 1, p->inner, n);
    return WN_OK;
}

wn_status wn_soft_pass_run(wn_soft_pass *p, const wn_soft_prefix *prefix, const wn_soft_rows *rows,
                           const wn_soft_keys *keys, wn_error *err)
{
    assert(rows->n <= p->n_max);
    p->prefix = *prefix;
    p->rows = *rows;
    find_angles(p);
    wn_matrix_gather(p->compute, p->model->embed, rows->ids, rows->n, p->x);
    for (size_t l = 0; l < p->model->config.n_layers; l++)
        WN_TRY(run_layer(p, l, keys, err));
    return WN_OK;
}

const float *wn_soft_pass_hidden(const wn_soft_pass *p)
{
    return p->x;
}

typedef struct norm_rows {
    const float *x, *w, *dy;
    float *dx;
    size_t d;
    float eps;
} norm_rows;

/* y_i = s x_i w_i with s = (mean(x^2) + eps)^-1/2, whose derivative by x_j is -s^3 x_j / d. */
static void norm_row(void *ctx, size_t unit, size_t worker)
{
    const norm_rows *r = ctx;
    const float *x = r->x + unit * r->d, *dy = r->dy + unit * r->d;
    float *dx = r->dx + unit * r->d;
    double squares = 0, along = 0;
    (void)worker;
    for (size_t i = 0; i < r->d; i++) {
        squares += (double)x[i] * (double)x[i];
        along += (double)dy[i] * (double)r->w[i] * (double)x[i];
    }
    const double s = 1 / sqrt(squares / (double)r->d + (double)r->eps);
    const float scale = (float)s, back = (float)(along * s * s * s / (double)r->d);
    for (size_t i = 0; i < r->d; i++)
        dx[i] += scale * r->w[i] * dy[i] - back * x[i];
}

void wn_rmsnorm_back(wn_compute *c, const float *x, const float *w, const float *dy, size_t m,
                     size_t d, float eps, float *dx)
{
    norm_rows r = {x, w, dy, dx, d, eps};
    wn_thread_pool_run(wn_compute_pool(c), m, norm_row, &r);
}

typedef struct swiglu {
    float *gate, *up; /* become what the loss owes them */
    const float *d;   /* what it owes silu(gate) * up */
    size_t n;
} swiglu;

static void swiglu_row(void *ctx, size_t unit, size_t worker)
{
    const swiglu *s = ctx;
    const size_t end = (unit + 1) * s->n;
    (void)worker;
    for (size_t i = unit * s->n; i < end; i++) {
        const float g = s->gate[i], sigma = 1 / (1 + expf(-g));
        s->gate[i] = s->d[i] * s->up[i] * sigma * (1 + g * (1 - sigma));
        s->up[i] = s->d[i] * g * sigma;
    }
}

static wn_status ffn_back(wn_soft_pass *p, size_t l, float *d, wn_error *err)
{
    const wn_model_config *g = &p->model->config;
    const wn_layer *w = &p->model->layers[l];
    const soft_layer *y = &p->layers[l];
    const size_t n = p->rows.n;
    memset(p->d_inner, 0, n * g->d_ff * sizeof *p->d_inner);
    memset(p->dh, 0, n * g->d_model * sizeof *p->dh);
    WN_TRY(wn_matmul_back(p->compute, w->down, d, n, p->d_inner, err));
    swiglu s = {y->gate, y->up, p->d_inner, g->d_ff};
    wn_thread_pool_run(wn_compute_pool(p->compute), n, swiglu_row, &s);
    WN_TRY(wn_matmul_back(p->compute, w->gate, y->gate, n, p->dh, err));
    WN_TRY(wn_matmul_back(p->compute, w->up, y->up, n, p->dh, err));
    wn_rmsnorm_back(p->compute, y->middle, w->ffn_norm, p->dh, n, g->d_model, g->norm_eps, d);
    return WN_OK;
}

static wn_status attention_back(wn_soft_pass *p, size_t l, const wn_soft_keys *keys, float *d,
                                wn_error *err)
{
    const wn_model_config *g = &p->model->config;
    const wn_layer *w = &p->model->layers[l];
    const soft_layer *y = &p->layers[l];
    const size_t n = p->rows.n;
    memset(p->d_attended, 0, n * g->n_heads * g->head_dim * sizeof *p->d_attended);
    memset(p->dh, 0, n * g->d_model * sizeof *p->dh);
    WN_TRY(wn_matmul_back(p->compute, w->o, d, n, p->d_attended, err));
    const wn_soft_layer_args a = attention_args(p, l, keys);
    const wn_soft_layer_grads to = {p->d_attended, p->dq, p->dk, p->dv};
    WN_TRY(wn_soft_attend_back(p->attention, &a, &to, err));
    if (l == 0) /* nothing below has keys to keep */
        return WN_OK;
    rotate(p, p->dq, g->n_heads, p->backwards);
    rotate(p, p->dk, g->n_kv_heads, p->backwards);
    WN_TRY(wn_matmul_back(p->compute, w->q, p->dq, n, p->dh, err));
    WN_TRY(wn_matmul_back(p->compute, w->k, p->dk, n, p->dh, err));
    WN_TRY(wn_matmul_back(p->compute, w->v, p->dv, n, p->dh, err));
    wn_rmsnorm_back(p->compute, y->x, w->attn_norm, p->dh, n, g->d_model, g->norm_eps, d);
    return WN_OK;
}

wn_status wn_soft_pass_back(wn_soft_pass *p, float *d, const wn_soft_keys *keys, wn_error *err)
{
    for (size_t l = p->model->config.n_layers; l-- > 0;) {
        WN_TRY(ffn_back(p, l, d, err));
        WN_TRY(attention_back(p, l, keys, d, err));
    }
    return WN_OK;
}
