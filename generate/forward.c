/* The forward pass of the Llama family, prefill and decode alike:
 *   h = rmsnorm(x); q, k, v = h Wq^T + bq, ...; RoPE on q and k; x += attention(q, K, V) Wo^T
 *   h = rmsnorm(x); x += (silu(h Wgate^T) * h Wup^T) Wdown^T
 * K and V of the new tokens are in the KV store, in its format, before attention reads it. */
#include <math.h>

#include "generate/session_internal.h"

static void attend(wn_session *s, size_t layer, size_t n, bool decode)
{
    const wn_model_config *c = &s->model->config;
    size_t stride = c->n_heads * c->head_dim;
    wn_attention_args a = {
        .q = s->q,
        .m = n,
        .q_stride = stride,
        .decode = decode,
        .n_heads = c->n_heads,
        .scale = 1.0f / sqrtf((float)c->head_dim),
        .out = s->attended,
        .out_stride = stride,
    };
    wn_kv_store_view(s->kv, layer, n, &a);
    wn_attention(s->compute, &a);
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

static void attention_block(wn_session *s, size_t layer, size_t n, bool decode)
{
    const wn_model *m = s->model;
    const wn_model_config *c = &m->config;
    const wn_layer *y = &m->layers[layer];
    wn_compute *k = s->compute;
    size_t q_stride = c->n_heads * c->head_dim, kv_stride = c->n_kv_heads * c->head_dim;
    wn_rmsnorm(k, s->x, y->attn_norm, n, c->d_model, c->norm_eps, s->h);
    const wn_product qkv[] = {{y->q, y->q_bias, s->q, false},
                              {y->k, y->k_bias, s->new_k, false},
                              {y->v, y->v_bias, s->new_v, false}};
    multiply(s, decode, qkv, 3, s->h, n);
    wn_session_decide(s, layer, n);
    wn_rope(k, s->q, n, q_stride, c->n_heads, c->head_dim, s->angles, c->rope_order);
    wn_session_clear_channel(s, n);
    wn_rope(k, s->new_k, n, kv_stride, c->n_kv_heads, c->head_dim, s->angles, c->rope_order);
    wn_kv_store_write(s->kv, k, layer, s->new_k, s->new_v, n);
    attend(s, layer, n, decode);
    multiply(s, decode, &(wn_product){.w = y->o, .y = s->x, .add = true}, 1, s->attended, n);
}

static void ffn_block(wn_session *s, size_t layer, size_t n, bool decode)
{
    const wn_model_config *c = &s->model->config;
    const wn_layer *y = &s->model->layers[layer];
    wn_compute *k = s->compute;
    wn_rmsnorm(k, s->x, y->ffn_norm, n, c->d_model, c->norm_eps, s->h);
    const wn_ffn f = {.gate = y->gate, .up = y->up, .down = y->down};
    wn_ffn_add(k, &f, s->h, n, decode, s->inner, s->x);
}

void wn_session_forward(wn_session *s, size_t n, bool decode)
{
    const wn_model *m = s->model;
    for (size_t r = 0; r < n; r++)
        wn_matrix_row(m->embed, (size_t)s->ids[s->length + r], s->x + r * m->config.d_model);
    wn_rope_angles(s->compute, n, m->config.head_dim, s->length, m->inv_freq, s->angles);
    for (size_t layer = 0; layer < m->config.n_layers; layer++) {
        attention_block(s, layer, n, decode);
        ffn_block(s, layer, n, decode);
    }
}

void wn_session_project(wn_session *s, size_t first, size_t n, bool decode, float *out)
{
    const wn_model *m = s->model;
    size_t d = m->config.d_model;
    wn_rmsnorm(s->compute, s->x + first * d, m->final_norm, n, d, m->config.norm_eps, s->h);
    multiply(s, decode, &(wn_product){.w = m->output, .y = out}, 1, s->h, n);
}
