/* Forward pass of a BERT encoder (bert_encoder.h).
 * Post-norm transformer: x = LN(x + attention(x)); x = LN(x + W2 gelu(W1 x)). */
#include "retrieve/bert_encoder.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "retrieve/bert_weights.h"

/* Rows of activations that are worth one pass: enough to feed all cores and to pay for the weights'
 * packing in each pass, small enough that a layer's activations (rows x d_ff) stay near the caches.
 * Two of the products' blocks of rows (at most 512, whole strips of 14): 512 rows would leave a
 * second block of 8. */
#define PACK_ROWS 1008
#define MAX_SCRATCH_FLOATS ((size_t)1 << 28) /* 1 GiB: a hostile config.json ends here */

struct wn_bert_encoder {
    wn_compute *c;
    wn_bert_config config;
    wn_bert_weights weights;
    size_t capacity;
    /* Scratch, rows = capacity. */
    float *x, *qkv, *mixed, *hidden;
    wn_kv_layout layout;
    uint8_t *pages;        /* K and V of one sequence: [n_heads][n_pages] */
    const uint8_t **lists; /* each page of them */
    wn_kv_head *heads;     /* [n_heads], all keys in the log */
    size_t n_pages;
    double *sum; /* [d], of pooling */
};

static wn_status alloc_scratch(wn_bert_encoder *e, wn_error *err)
{
    const wn_bert_config *g = &e->config;
    size_t d = g->d_model;
    e->capacity = g->max_tokens > PACK_ROWS ? g->max_tokens : PACK_ROWS;
    if (e->capacity > MAX_SCRATCH_FLOATS / (8 * d + g->d_ff))
        return wn_error_set(err, WN_LIMIT,
                            "config.json: %zu positions of hidden_size %zu and intermediate_size "
                            "%zu need too much memory",
                            e->capacity, d, g->d_ff);
    e->x = wn_alloc_aligned(64, e->capacity, d * sizeof(float));
    e->qkv = wn_alloc_aligned(64, e->capacity, 3 * d * sizeof(float));
    e->mixed = wn_alloc_aligned(64, e->capacity, d * sizeof(float));
    e->hidden = wn_alloc_aligned(64, e->capacity, g->d_ff * sizeof(float));
    e->layout = wn_kv_layout_of(wn_compute_kv_format(e->c, WN_KV_AUTO), g->head_dim);
    e->n_pages = (g->max_tokens + WN_KV_SLOTS - 1) / WN_KV_SLOTS;
    e->pages = wn_alloc_aligned(64, g->n_heads * e->n_pages, e->layout.page_bytes);
    e->sum = wn_alloc(d, sizeof *e->sum);
    e->lists = wn_alloc(g->n_heads * e->n_pages, sizeof *e->lists);
    e->heads = wn_alloc(g->n_heads, sizeof *e->heads);
    if (!e->x || !e->qkv || !e->mixed || !e->hidden || !e->pages || !e->sum || !e->lists ||
        !e->heads)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the encoder's scratch");
    for (size_t i = 0; i < g->n_heads * e->n_pages; i++)
        e->lists[i] = e->pages + i * e->layout.page_bytes;
    for (size_t h = 0; h < g->n_heads; h++)
        e->heads[h].log = e->lists + h * e->n_pages;
    return WN_OK;
}

wn_status wn_bert_encoder_open(wn_bert_encoder **out, wn_compute *c, const char *dir,
                               const wn_bert_config *config, wn_error *err)
{
    wn_status status = WN_OK;
    wn_bert_encoder *e = wn_alloc(1, sizeof *e);
    if (!e)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the encoder");
    e->c = c;
    e->config = *config;
    WN_TRY_OUT(wn_bert_weights_load(&e->weights, c, dir, config, err));
    WN_TRY_OUT(alloc_scratch(e, err));
    *out = e;
    return WN_OK;
out:
    wn_bert_encoder_close(e);
    return status;
}

void wn_bert_encoder_close(wn_bert_encoder *e)
{
    if (!e)
        return;
    float *floats[] = {e->x, e->qkv, e->mixed, e->hidden};
    for (size_t j = 0; j < sizeof floats / sizeof floats[0]; j++)
        free(floats[j]);
    free(e->sum);
    free(e->pages);
    free(e->lists);
    free(e->heads);
    wn_bert_weights_free(&e->weights);
    free(e);
}

size_t wn_bert_encoder_capacity(const wn_bert_encoder *e)
{
    return e->capacity;
}

wn_status wn_bert_encoder_hash(const wn_bert_encoder *e, wn_sha256 *h, wn_error *err)
{
    for (size_t i = 0; i < wn_safetensors_n_tensors(e->weights.file); i++) {
        const wn_tensor *t = wn_safetensors_tensor_at(e->weights.file, i);
        char head[256];
        int len = snprintf(head, sizeof head, "%s %s %d %zu %zu %zu %zu %zu\n", t->name,
                           wn_dtype_name(t->dtype), t->n_dims, t->shape[0], t->shape[1],
                           t->shape[2], t->shape[3], t->bytes);
        WN_TRY(wn_sha256_add(h, head, len < (int)sizeof head ? (size_t)len : sizeof head - 1, err));
        WN_TRY(wn_sha256_add(h, t->data, t->bytes, err));
    }
    return WN_OK;
}

/* ---- forward ---- */

static void embed_tokens(wn_bert_encoder *e, const int32_t *ids, const size_t *lens, size_t n)
{
    size_t d = e->config.d_model, row_bytes = 0, row = 0;
    wn_dtype_bytes(e->weights.words->dtype, d, &row_bytes);
    for (size_t s = 0; s < n; s++) {
        for (size_t pos = 0; pos < lens[s]; pos++, row++) {
            assert(ids[row] >= 0 && (size_t)ids[row] < e->config.n_vocab);
            float *x = e->x + row * d;
            wn_dequantize(e->weights.words->dtype,
                          (const char *)e->weights.words->data + (size_t)ids[row] * row_bytes, x,
                          d);
            for (size_t j = 0; j < d; j++)
                x[j] += e->weights.positions[pos * d + j];
        }
    }
}

/* K and V of one sequence, rows of the packed product, to the heads' pages. */
static void split_heads(wn_bert_encoder *e, const float *qkv, size_t len)
{
    size_t d = e->config.d_model, dh = e->config.head_dim;
    for (size_t h = 0; h < e->config.n_heads; h++) {
        uint8_t *pages = e->pages + h * e->n_pages * e->layout.page_bytes;
        e->heads[h].n_log = len;
        for (size_t i = 0; i < len; i++) {
            const float *k = qkv + i * 3 * d + d + h * dh;
            wn_kv_write(&e->layout, pages + i / WN_KV_SLOTS * e->layout.page_bytes, i % WN_KV_SLOTS,
                        k, k + d);
        }
    }
}

static void attend(wn_bert_encoder *e, const size_t *lens, size_t n)
{
    const wn_bert_config *g = &e->config;
    size_t d = g->d_model, row = 0;
    for (size_t s = 0; s < n; row += lens[s++]) {
        const float *qkv = e->qkv + row * 3 * d;
        split_heads(e, qkv, lens[s]);
        wn_attention(e->c, &(wn_attention_args){.q = qkv,
                                                .m = lens[s],
                                                .q_stride = 3 * d,
                                                .layout = &e->layout,
                                                .heads = e->heads,
                                                .n_heads = g->n_heads,
                                                .n_kv_heads = g->n_heads,
                                                .scale = 1.0f / sqrtf((float)g->head_dim),
                                                .out = e->mixed + row * d,
                                                .out_stride = d});
    }
}

/* The residual stream: x += from w^T + bias. */
static void add_product(wn_bert_encoder *e, const wn_matrix *w, const float *bias,
                        const float *from, size_t rows)
{
    const wn_product p = {.w = w, .bias = bias, .y = e->x, .add = true};
    wn_matmul_many(e->c, &p, 1, from, rows);
}

static void run_layer(wn_bert_encoder *e, const wn_bert_layer *l, const size_t *lens, size_t n,
                      size_t rows)
{
    size_t d = e->config.d_model;
    float eps = e->config.norm_eps;
    wn_matmul(e->c, l->qkv, e->x, rows, l->qkv_bias, e->qkv);
    attend(e, lens, n);
    add_product(e, l->attn_out, l->attn_out_bias, e->mixed, rows);
    wn_layernorm(e->c, e->x, l->attn_norm_w, l->attn_norm_b, rows, d, eps, e->x);
    const wn_ffn ffn = {
        .up = l->up, .down = l->down, .up_bias = l->up_bias, .down_bias = l->down_bias};
    wn_ffn_add(e->c, &ffn, e->x, rows, false, e->hidden, e->x);
    wn_layernorm(e->c, e->x, l->ffn_norm_w, l->ffn_norm_b, rows, d, eps, e->x);
}

/* Mean over all tokens (or the first token alone), then L2, summed in double. */
static void pool(const wn_bert_encoder *e, const float *x, size_t len, float *out)
{
    size_t d = e->config.d_model, n = e->config.pooling == WN_BERT_POOL_CLS ? 1 : len;
    double norm = 0;
    memset(e->sum, 0, d * sizeof *e->sum);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            e->sum[j] += (double)x[i * d + j];
    for (size_t j = 0; j < d; j++) {
        e->sum[j] /= (double)n;
        norm += e->sum[j] * e->sum[j];
    }
    double scale = 1.0 / fmax(sqrt(norm), 1e-12);
    for (size_t j = 0; j < d; j++)
        out[j] = (float)(e->sum[j] * scale);
}

void wn_bert_encoder_encode(wn_bert_encoder *e, const int32_t *ids, const size_t *lens, size_t n,
                            float *out)
{
    size_t d = e->config.d_model, total = 0;
    for (size_t s = 0; s < n; s++) {
        assert(lens[s] > 0 && lens[s] <= e->config.max_tokens);
        total += lens[s];
    }
    assert(total <= e->capacity);
    if (n == 0)
        return;
    embed_tokens(e, ids, lens, n);
    wn_layernorm(e->c, e->x, e->weights.norm_w, e->weights.norm_b, total, d, e->config.norm_eps,
                 e->x);
    for (size_t i = 0; i < e->config.n_layers; i++)
        run_layer(e, &e->weights.layers[i], lens, n, total);
    for (size_t s = 0, row = 0; s < n; row += lens[s++])
        pool(e, e->x + row * d, lens[s], out + s * d);
}
