#include "generate/text_pass.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/dms_internal.h"
#include "generate/model_internal.h"

struct wn_text_pass {
    const wn_model *model;
    wn_compute *compute;
    wn_kv_layout layout;
    const wn_dms_heads *borrowed; /* NULL: none */
    size_t n_max, chunk;   /* chunk: rows of the feed-forward part and of attention at once */
    size_t n_words;        /* pages of n_max tokens, of one KV head */
    float *x, *h;          /* [n_max][d_model] */
    float *q, *attended;   /* [n_max][n_heads * head_dim] */
    float *k, *v;          /* [n_max][n_kv_heads * head_dim] */
    float *inner;          /* [chunk][2 d_ff] */
    float *angles;         /* [n_max][head_dim] */
    float *normed;         /* [chunk][d_model] */
    float *own;            /* [n_max][n_kv_heads]; NULL without borrowed heads */
    uint8_t *pages;        /* [n_kv_heads][n_words] of one layer */
    const uint8_t **lists; /* into pages */
    wn_kv_head *heads;     /* [n_kv_heads] */
    uint64_t *evicted;     /* [n_kv_heads][n_words] */
};

static wn_status carve_all(wn_text_pass *p, wn_error *err)
{
    const wn_model_config *c = &p->model->config;
    const size_t q_dim = c->n_heads * c->head_dim, kv_dim = c->n_kv_heads * c->head_dim;
    const size_t n = p->n_max;
    size_t n_pages = 0, bytes = 0;
    bool ok = wn_alloc_floats(&p->x, n, c->d_model) && wn_alloc_floats(&p->h, n, c->d_model) &&
              wn_alloc_floats(&p->q, n, q_dim) && wn_alloc_floats(&p->attended, n, q_dim) &&
              wn_alloc_floats(&p->k, n, kv_dim) && wn_alloc_floats(&p->v, n, kv_dim) &&
              wn_alloc_floats(&p->inner, p->chunk, 2 * c->d_ff) &&
              wn_alloc_floats(&p->angles, n, c->head_dim) &&
              wn_alloc_floats(&p->normed, p->chunk, c->d_model) &&
              (!p->borrowed || wn_alloc_floats(&p->own, n, c->n_kv_heads));
    p->n_words = (n + WN_KV_SLOTS - 1) / WN_KV_SLOTS;
    ok = ok && wn_size_mul(c->n_kv_heads, p->n_words, &n_pages) &&
         wn_size_mul(n_pages, p->layout.page_bytes, &bytes);
    p->pages = ok ? wn_alloc_aligned(64, bytes, 1) : NULL;
    p->lists = ok ? wn_alloc(n_pages, sizeof *p->lists) : NULL;
    p->evicted = ok ? wn_alloc(n_pages, sizeof *p->evicted) : NULL;
    p->heads = ok ? wn_alloc(c->n_kv_heads, sizeof *p->heads) : NULL;
    if (!p->pages || !p->lists || !p->evicted || !p->heads)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a pass over %zu tokens", n);
    for (size_t i = 0; i < n_pages; i++)
        p->lists[i] = p->pages + i * p->layout.page_bytes;
    return WN_OK;
}

wn_status wn_text_pass_open(wn_text_pass **out, const wn_model *m, wn_compute *c,
                            const wn_text_pass_options *options, wn_error *err)
{
    if (options->n_max < 1 || options->n_max > m->config.n_ctx)
        return wn_error_set(err, WN_INVALID, "a pass over %zu tokens: %s knows %zu positions",
                            options->n_max, m->name, m->config.n_ctx);
    wn_text_pass *p = wn_alloc(1, sizeof *p);
    if (!p)
        return wn_error_set(err, WN_NO_MEMORY, "text pass: out of memory");
    assert(!options->borrowed || options->borrowed->kind == WN_DMS_BORROWED);
    *p = (wn_text_pass){.model = m,
                        .compute = c,
                        .borrowed = options->borrowed,
                        .n_max = options->n_max,
                        .chunk = wn_compute_chunk(c)};
    p->layout = wn_kv_layout_of(wn_model_kv_format(m, c, options->kv_format), m->config.head_dim);
    wn_status status = carve_all(p, err);
    if (status != WN_OK) {
        wn_text_pass_close(p);
        return status;
    }
    *out = p;
    return WN_OK;
}

void wn_text_pass_close(wn_text_pass *p)
{
    if (!p)
        return;
    float *const floats[] = {p->x, p->h,     p->q,      p->attended, p->k,
                             p->v, p->inner, p->angles, p->normed,   p->own};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        free(floats[i]);
    free(p->pages);
    free(p->lists);
    free(p->evicted);
    free(p->heads);
    free(p);
}

/* Logits of the borrowed heads from q before RoPE. */
static void read_channels(wn_text_pass *p, size_t n)
{
    const wn_model_config *c = &p->model->config;
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < c->n_kv_heads; h++) {
            const float q = p->q[t * c->n_heads * c->head_dim + wn_dms_channel(c, h)];
            p->own[t * c->n_kv_heads + h] =
                p->borrowed->alpha_scale * q - p->borrowed->alpha_offset;
        }
}

static void clear_channels(wn_text_pass *p, size_t n)
{
    const wn_model_config *c = &p->model->config;
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < c->n_kv_heads; h++)
            p->q[t * c->n_heads * c->head_dim + wn_dms_channel(c, h)] = 0;
}

static void project_inputs(wn_text_pass *p, const wn_layer *y, size_t n)
{
    const wn_model_config *c = &p->model->config;
    const size_t d = c->d_model, q_dim = c->n_heads * c->head_dim;
    const size_t kv_dim = c->n_kv_heads * c->head_dim;
    wn_rmsnorm(p->compute, p->x, y->attn_norm, n, d, c->norm_eps, p->h);
    const wn_product qkv[] = {{y->q, y->q_bias, p->q, false},
                              {y->k, y->k_bias, p->k, false},
                              {y->v, y->v_bias, p->v, false}};
    wn_matmul_many(p->compute, qkv, 3, p->h, n);
    if (p->borrowed)
        read_channels(p, n);
    if (p->borrowed && !p->borrowed->zero_after_rope)
        clear_channels(p, n);
    wn_rope(p->compute, p->q, n, q_dim, c->n_heads, c->head_dim, p->angles, c->rope_order);
    if (p->borrowed && p->borrowed->zero_after_rope)
        clear_channels(p, n);
    wn_rope(p->compute, p->k, n, kv_dim, c->n_kv_heads, c->head_dim, p->angles, c->rope_order);
}

typedef struct page_run {
    wn_text_pass *p;
    size_t n;
} page_run;

static void write_page(void *ctx, size_t unit, size_t worker)
{
    const page_run *r = ctx;
    wn_text_pass *p = r->p;
    const wn_model_config *c = &p->model->config;
    const size_t head = unit / p->n_words, from = unit % p->n_words * WN_KV_SLOTS;
    (void)worker;
    for (size_t t = from; t < from + WN_KV_SLOTS && t < r->n; t++) {
        const size_t at = (t * c->n_kv_heads + head) * c->head_dim;
        wn_kv_write(&p->layout, p->pages + unit * p->layout.page_bytes, t - from, p->k + at,
                    p->v + at);
    }
}

static void attend(wn_text_pass *p, size_t n, size_t window)
{
    const wn_model_config *c = &p->model->config;
    const size_t stride = c->n_heads * c->head_dim;
    for (size_t h = 0; h < c->n_kv_heads; h++)
        p->heads[h] =
            (wn_kv_head){.tail = p->lists + h * p->n_words, .evicted = p->evicted + h * p->n_words};
    for (size_t at = 0; at < n; at += p->chunk) {
        const size_t m = n - at < p->chunk ? n - at : p->chunk;
        const wn_attention_args a = {.q = p->q + at * stride,
                                     .m = m,
                                     .q_stride = stride,
                                     .layout = &p->layout,
                                     .heads = p->heads,
                                     .n_tail = at + m,
                                     .window = window,
                                     .n_heads = c->n_heads,
                                     .n_kv_heads = c->n_kv_heads,
                                     .scale = 1.0f / sqrtf((float)c->head_dim),
                                     .out = p->attended + at * stride,
                                     .out_stride = stride};
        wn_attention(p->compute, &a);
    }
}

static void feed_forward(wn_text_pass *p, const wn_layer *y, size_t n)
{
    const wn_model_config *c = &p->model->config;
    const wn_norm norm = {y->ffn_norm, c->norm_eps, p->normed};
    const wn_ffn f = {.gate = y->gate, .up = y->up, .down = y->down, .norm = &norm};
    for (size_t at = 0; at < n; at += p->chunk) {
        const size_t m = n - at < p->chunk ? n - at : p->chunk;
        float *x = p->x + at * c->d_model;
        wn_ffn_add(p->compute, &f, x, m, false, p->inner, x);
    }
}

static void run_layer(wn_text_pass *p, size_t layer, size_t n, const wn_text_pass_hooks *hooks)
{
    const wn_layer *y = &p->model->layers[layer];
    const size_t n_pages = p->model->config.n_kv_heads * p->n_words;
    wn_text_layer l = {.layer = layer,
                       .n = n,
                       .x = p->x,
                       .h = p->h,
                       .q = p->q,
                       .k = p->k,
                       .v = p->v,
                       .own = p->own,
                       .evicted = p->evicted,
                       .n_words = p->n_words};
    project_inputs(p, y, n);
    page_run r = {p, n};
    wn_thread_pool_run(wn_compute_pool(p->compute), n_pages, write_page, &r);
    memset(p->evicted, 0, n_pages * sizeof *p->evicted);
    if (hooks->decide)
        hooks->decide(hooks->ctx, &l);
    attend(p, n, hooks->decide ? hooks->window : SIZE_MAX);
    l.attended = p->attended;
    if (hooks->observe)
        hooks->observe(hooks->ctx, &l);
    wn_matmul_many(p->compute, &(wn_product){.w = y->o, .y = p->x, .add = true}, 1, p->attended, n);
    feed_forward(p, y, n);
}

void wn_text_pass_run(wn_text_pass *p, const int32_t *ids, size_t n,
                      const wn_text_pass_hooks *hooks)
{
    const wn_model_config *c = &p->model->config;
    const wn_text_pass_hooks none = {0};
    assert(n <= p->n_max);
    wn_matrix_gather(p->compute, p->model->embed, ids, n, p->x);
    wn_rope_angles(p->compute, n, c->head_dim, 0, p->model->inv_freq, p->angles);
    for (size_t layer = 0; layer < c->n_layers; layer++)
        run_layer(p, layer, n, hooks ? hooks : &none);
}

void wn_text_pass_logits(wn_text_pass *p, size_t first, size_t n, float *out)
{
    const wn_model *m = p->model;
    const size_t d = m->config.d_model, n_vocab = m->config.n_vocab;
    for (size_t done = 0; done < n; done += p->chunk) {
        const size_t rows = n - done < p->chunk ? n - done : p->chunk;
        wn_rmsnorm(p->compute, p->x + (first + done) * d, m->final_norm, rows, d,
                   m->config.norm_eps, p->normed);
        wn_matmul(p->compute, m->output, p->normed, rows, NULL, out + done * n_vocab);
    }
}
