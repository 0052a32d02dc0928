/* The forward pass of the Llama family, prefill and decode alike:
 *   h = rmsnorm(x); q, k, v = h Wq^T + bq, ...; RoPE on q and k; x += attention(q, K, V) Wo^T
 *   h = rmsnorm(x); x += (silu(h Wgate^T) * h Wup^T) Wdown^T
 * K and V of the new tokens are in the KV store, in its format, before attention reads it. */
#include <math.h>

#include "generate/session_internal.h"

/* The queries of each session's rows from `first` on meet its own keys. */
static void attend(const wn_session_rows *r, size_t layer, size_t first)
{
    const wn_session *s = r->sessions[0];
    const wn_model_config *c = &s->model->config;
    const size_t stride = c->n_heads * c->head_dim;
    wn_attention_args args[WN_SESSIONS_MAX];
    for (size_t i = 0; i < r->n; i++) {
        const size_t at = (i * r->n_each + first) * stride;
        args[i] = (wn_attention_args){
            .q = s->q + at,
            .m = r->n_each - first,
            .q_stride = stride,
            .decode = r->decode,
            .n_heads = c->n_heads,
            .scale = 1.0f / sqrtf((float)c->head_dim),
            .out = s->attended + at,
            .out_stride = stride,
        };
        wn_kv_store_view(r->sessions[i]->kv, layer, r->n_each, &args[i]);
    }
    wn_attention_many(s->compute, args, r->n);
}

/* Which of the new tokens' keys will go, before their queries and keys are rotated; then both are,
 * and the keys are stored. */
static void place_keys(const wn_session_rows *r, size_t layer)
{
    wn_session *s = r->sessions[0];
    const wn_model_config *c = &s->model->config;
    const size_t q_stride = c->n_heads * c->head_dim, kv_stride = c->n_kv_heads * c->head_dim;
    const size_t n = r->n_each, n_rows = r->n * n;
    for (size_t i = 0; i < r->n; i++)
        wn_session_decide(r->sessions[i], layer, s->h + i * n * c->d_model, s->q + i * n * q_stride,
                          n);
    wn_rope(s->compute, s->q, n_rows, q_stride, c->n_heads, c->head_dim, s->angles, c->rope_order);
    wn_rope(s->compute, s->new_k, n_rows, kv_stride, c->n_kv_heads, c->head_dim, s->angles,
            c->rope_order);
    for (size_t i = 0; i < r->n; i++) {
        const size_t at = i * n * kv_stride;
        wn_session_clear_channel(r->sessions[i], s->q + i * n * q_stride, n);
        wn_kv_store_write(r->sessions[i]->kv, s->compute, layer, s->new_k + at, s->new_v + at, n);
    }
}

/* Tokens that are read and those that come one by one take different kernels (compute.h). */
static void multiply(wn_session *s, bool decode, const wn_product *products, size_t n_products,
                     const float *x, size_t n)
{
    if (decode)
        wn_matmul_decode(s->compute, products, n_products, x, n);
    else
        wn_matmul_many(s->compute, products, n_products, x, n);
}

/* All rows' K and V; then the rows of x from `first` on. */
static void attention_block(const wn_session_rows *r, size_t layer, size_t first)
{
    wn_session *s = r->sessions[0];
    const wn_model_config *c = &s->model->config;
    const wn_layer *y = &s->model->layers[layer];
    const size_t n = r->n * r->n_each, q_stride = c->n_heads * c->head_dim;
    const wn_norm norm = {y->attn_norm, c->norm_eps, s->h};
    const wn_product qkv[] = {{y->q, y->q_bias, s->q, false},
                              {y->k, y->k_bias, s->new_k, false},
                              {y->v, y->v_bias, s->new_v, false}};
    if (r->decode) {
        wn_rmsnorm(s->compute, s->x, norm.w, n, c->d_model, norm.eps, s->h);
        wn_matmul_decode(s->compute, qkv, 3, s->h, n);
    } else {
        wn_matmul_normed(s->compute, qkv, 3, s->x, &norm, n);
    }
    place_keys(r, layer);
    if (first == n)
        return;
    attend(r, layer, first);
    multiply(s, r->decode, &(wn_product){.w = y->o, .y = s->x + first * c->d_model, .add = true}, 1,
             s->attended + first * q_stride, n - first);
}

static void ffn_block(wn_session *s, size_t layer, size_t first, size_t n, bool decode)
{
    const wn_model_config *c = &s->model->config;
    const wn_layer *y = &s->model->layers[layer];
    float *x = s->x + first * c->d_model;
    const wn_norm norm = {y->ffn_norm, c->norm_eps, s->h};
    const wn_ffn f = {.gate = y->gate, .up = y->up, .down = y->down, .norm = &norm};
    wn_ffn_add(s->compute, &f, x, n - first, decode, s->inner, x);
}

void wn_session_forward(const wn_session_rows *r)
{
    wn_session *s = r->sessions[0];
    const wn_model *m = s->model;
    const size_t n = r->n * r->n_each;
    for (size_t i = 0; i < r->n; i++) {
        const wn_session *own = r->sessions[i];
        wn_matrix_gather(s->compute, m->embed, own->ids + own->length, r->n_each,
                         s->x + i * r->n_each * m->config.d_model);
        wn_rope_angles(s->compute, r->n_each, m->config.head_dim, own->length, m->inv_freq,
                       s->angles + i * r->n_each * m->config.head_dim);
    }
    for (size_t layer = 0; layer < m->config.n_layers; layer++) {
        /* Rows whose outputs nobody wants leave their K and V in the last layer, no more. */
        const size_t first = layer + 1 < m->config.n_layers ? 0 : r->n_each - r->n_outputs;
        attention_block(r, layer, first);
        if (first < n)
            ffn_block(s, layer, first, n, r->decode);
    }
}

void wn_session_project(wn_session *s, size_t first, size_t n, bool decode, float *out)
{
    const wn_model *m = s->model;
    size_t d = m->config.d_model;
    wn_rmsnorm(s->compute, s->x + first * d, m->final_norm, n, d, m->config.norm_eps, s->h);
    multiply(s, decode, &(wn_product){.w = m->output, .y = out}, 1, s->h, n);
}
