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

/* Sequences go through the model in groups of about so many rows, each group on one thread from the
 * first layer to the last: enough to pay for the weights' way through the caches, few enough for a
 * layer's activations to stay in them. */
#define GROUP_ROWS 512
#define GROUPS 8                             /* of a thread in a call, so that all end together */
#define MAX_SCRATCH_FLOATS ((size_t)1 << 28) /* 1 GiB: a hostile config.json ends here */

/* What one thread works with. */
typedef struct lane {
    wn_compute *c; /* of one thread */
    /* Scratch of lane_rows rows. */
    float *x, *qkv, *mixed, *hidden;
    uint8_t *pages;        /* K and V of one sequence: [n_heads][n_pages] */
    const uint8_t **lists; /* each page of them */
    wn_kv_head *heads;     /* [n_heads], all keys in the log */
    double *sum;           /* [d], of pooling */
} lane;

struct wn_bert_encoder {
    wn_compute *c;
    wn_bert_config config;
    wn_bert_weights weights;
    wn_kv_layout layout;
    size_t n_pages, lane_rows;
    lane *lanes; /* one for each thread of c */
    size_t n_lanes;
    struct group *groups; /* [capacity] */
};

typedef struct group {
    size_t first, n;    /* sequences */
    size_t row, n_rows; /* of all */
} group;

static wn_status open_lane(const wn_bert_encoder *e, lane *l, wn_error *err)
{
    const wn_bert_config *g = &e->config;
    const size_t d = g->d_model, rows = e->lane_rows, n_pages = g->n_heads * e->n_pages;
    const wn_compute_options o = {
        .n_threads = 1, .isa = wn_compute_isa(e->c), .exact = wn_compute_is_exact(e->c)};
    WN_TRY(wn_compute_open(&l->c, &o, err));
    l->x = wn_alloc_aligned(64, rows, d * sizeof(float));
    l->qkv = wn_alloc_aligned(64, rows, 3 * d * sizeof(float));
    l->mixed = wn_alloc_aligned(64, rows, d * sizeof(float));
    l->hidden = wn_alloc_aligned(64, rows, g->d_ff * sizeof(float));
    l->pages = wn_alloc_aligned(64, n_pages, e->layout.page_bytes);
    l->sum = wn_alloc(d, sizeof *l->sum);
    l->lists = wn_alloc(n_pages, sizeof *l->lists);
    l->heads = wn_alloc(g->n_heads, sizeof *l->heads);
    if (!l->x || !l->qkv || !l->mixed || !l->hidden || !l->pages || !l->sum || !l->lists ||
        !l->heads)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the encoder's scratch");
    for (size_t i = 0; i < n_pages; i++)
        l->lists[i] = l->pages + i * e->layout.page_bytes;
    for (size_t h = 0; h < g->n_heads; h++)
        l->heads[h].log = l->lists + h * e->n_pages;
    return WN_OK;
}

static void close_lane(lane *l)
{
    float *floats[] = {l->x, l->qkv, l->mixed, l->hidden};
    for (size_t j = 0; j < sizeof floats / sizeof floats[0]; j++)
        free(floats[j]);
    free(l->sum);
    free(l->pages);
    free(l->lists);
    free(l->heads);
    wn_compute_close(l->c);
}

static wn_status open_lanes(wn_bert_encoder *e, wn_error *err)
{
    const wn_bert_config *g = &e->config;
    e->lane_rows = g->max_tokens > GROUP_ROWS ? g->max_tokens : GROUP_ROWS;
    if (e->lane_rows > MAX_SCRATCH_FLOATS / (8 * g->d_model + g->d_ff))
        return wn_error_set(err, WN_LIMIT,
                            "config.json: %zu positions of hidden_size %zu and intermediate_size "
                            "%zu need too much memory",
                            e->lane_rows, g->d_model, g->d_ff);
    e->layout = wn_kv_layout_of(wn_compute_fastest_kv_format(e->c), g->head_dim);
    e->n_pages = (g->max_tokens + WN_KV_SLOTS - 1) / WN_KV_SLOTS;
    const size_t n = wn_compute_n_threads(e->c);
    e->lanes = wn_alloc(n, sizeof *e->lanes);
    e->groups = wn_alloc(n * GROUPS * e->lane_rows, sizeof *e->groups);
    if (!e->lanes || !e->groups)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the encoder's scratch");
    while (e->n_lanes < n)
        WN_TRY(open_lane(e, &e->lanes[e->n_lanes++], err));
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
    WN_TRY_OUT(open_lanes(e, err));
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
    for (size_t i = 0; i < e->n_lanes; i++)
        close_lane(&e->lanes[i]);
    free(e->lanes);
    free(e->groups);
    wn_bert_weights_free(&e->weights);
    free(e);
}

size_t wn_bert_encoder_capacity(const wn_bert_encoder *e)
{
    return e->n_lanes * GROUPS * e->lane_rows;
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

static void embed_tokens(const wn_bert_encoder *e, const lane *l, const int32_t *ids,
                         const size_t *lens, size_t n)
{
    size_t d = e->config.d_model, row_bytes = 0, row = 0;
    wn_dtype_bytes(e->weights.words->dtype, d, &row_bytes);
    for (size_t s = 0; s < n; s++) {
        for (size_t pos = 0; pos < lens[s]; pos++, row++) {
            assert(ids[row] >= 0 && (size_t)ids[row] < e->config.n_vocab);
            float *x = l->x + row * d;
            wn_dequantize(e->weights.words->dtype,
                          (const char *)e->weights.words->data + (size_t)ids[row] * row_bytes, x,
                          d);
            for (size_t j = 0; j < d; j++)
                x[j] += e->weights.positions[pos * d + j];
        }
    }
}

/* K and V of one sequence, rows of the packed product, to the heads' pages. */
static void split_heads(const wn_bert_encoder *e, const lane *l, const float *qkv, size_t len)
{
    size_t d = e->config.d_model, dh = e->config.head_dim;
    for (size_t h = 0; h < e->config.n_heads; h++) {
        uint8_t *pages = l->pages + h * e->n_pages * e->layout.page_bytes;
        l->heads[h].n_log = len;
        for (size_t i = 0; i < len; i++) {
            const float *k = qkv + i * 3 * d + d + h * dh;
            wn_kv_write(&e->layout, pages + i / WN_KV_SLOTS * e->layout.page_bytes, i % WN_KV_SLOTS,
                        k, k + d);
        }
    }
}

static void attend(const wn_bert_encoder *e, const lane *l, const size_t *lens, size_t n)
{
    const wn_bert_config *g = &e->config;
    size_t d = g->d_model, row = 0;
    for (size_t s = 0; s < n; row += lens[s++]) {
        const float *qkv = l->qkv + row * 3 * d;
        split_heads(e, l, qkv, lens[s]);
        wn_attention(l->c, &(wn_attention_args){.q = qkv,
                                                .m = lens[s],
                                                .q_stride = 3 * d,
                                                .layout = &e->layout,
                                                .heads = l->heads,
                                                .n_heads = g->n_heads,
                                                .n_kv_heads = g->n_heads,
                                                .scale = 1.0f / sqrtf((float)g->head_dim),
                                                .out = l->mixed + row * d,
                                                .out_stride = d});
    }
}

static void run_layer(const wn_bert_encoder *e, const lane *l, size_t layer, const size_t *lens,
                      size_t n, size_t rows)
{
    const wn_bert_layer *y = &e->weights.layers[layer];
    size_t d = e->config.d_model;
    float eps = e->config.norm_eps;
    const wn_self_attention self = {.qkv = y->qkv,
                                    .out = y->attn_out,
                                    .qkv_bias = y->qkv_bias,
                                    .out_bias = y->attn_out_bias,
                                    .n_heads = e->config.n_heads,
                                    .next = y->up};
    if (!wn_self_attention_add(l->c, &self, l->x, lens, n, l->x)) {
        const wn_product attn_out = {
            .w = y->attn_out, .bias = y->attn_out_bias, .y = l->x, .add = true};
        wn_matmul(l->c, y->qkv, l->x, rows, y->qkv_bias, l->qkv);
        attend(e, l, lens, n);
        wn_matmul_many(l->c, &attn_out, 1, l->mixed, rows);
    }
    wn_layernorm(l->c, l->x, y->attn_norm_w, y->attn_norm_b, rows, d, eps, l->x);
    const wn_ffn ffn = {.up = y->up,
                        .down = y->down,
                        .up_bias = y->up_bias,
                        .down_bias = y->down_bias,
                        .next = layer + 1 < e->config.n_layers ? y[1].qkv : NULL};
    wn_ffn_add(l->c, &ffn, l->x, rows, false, l->hidden, l->x);
    wn_layernorm(l->c, l->x, y->ffn_norm_w, y->ffn_norm_b, rows, d, eps, l->x);
}

/* Mean over all tokens (or the first token alone), then L2, summed in double. */
static void pool(const wn_bert_encoder *e, const lane *l, const float *x, size_t len, float *out)
{
    size_t d = e->config.d_model, n = e->config.pooling == WN_BERT_POOL_CLS ? 1 : len;
    double norm = 0;
    memset(l->sum, 0, d * sizeof *l->sum);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            l->sum[j] += (double)x[i * d + j];
    for (size_t j = 0; j < d; j++) {
        l->sum[j] /= (double)n;
        norm += l->sum[j] * l->sum[j];
    }
    double scale = 1.0 / fmax(sqrt(norm), 1e-12);
    for (size_t j = 0; j < d; j++)
        out[j] = (float)(l->sum[j] * scale);
}

typedef struct encode_run {
    const wn_bert_encoder *e;
    const int32_t *ids;
    const size_t *lens;
    float *out;
} encode_run;

static void encode_group(void *ctx, size_t unit, size_t worker)
{
    const encode_run *r = ctx;
    const wn_bert_encoder *e = r->e;
    const lane *l = &e->lanes[worker];
    const group *g = &e->groups[unit];
    const size_t *lens = r->lens + g->first;
    size_t d = e->config.d_model;
    embed_tokens(e, l, r->ids + g->row, lens, g->n);
    wn_layernorm(l->c, l->x, e->weights.norm_w, e->weights.norm_b, g->n_rows, d, e->config.norm_eps,
                 l->x);
    for (size_t i = 0; i < e->config.n_layers; i++)
        run_layer(e, l, i, lens, g->n, g->n_rows);
    for (size_t s = 0, row = 0; s < g->n; row += lens[s++])
        pool(e, l, l->x + row * d, lens[s], r->out + (g->first + s) * d);
}

/* Groups of at most lane_rows rows; of fewer, where threads would have none. */
static size_t make_groups(const wn_bert_encoder *e, const size_t *lens, size_t n, size_t total)
{
    const size_t share = (total + e->n_lanes - 1) / e->n_lanes;
    const size_t most = share < GROUP_ROWS ? share : GROUP_ROWS;
    size_t n_groups = 0, row = 0;
    for (size_t s = 0; s < n; n_groups++) {
        group *g = &e->groups[n_groups];
        *g = (group){.first = s, .row = row};
        do {
            g->n_rows += lens[s++];
            g->n++;
        } while (s < n && g->n_rows + lens[s] <= most);
        row += g->n_rows;
    }
    return n_groups;
}

void wn_bert_encoder_encode(wn_bert_encoder *e, const int32_t *ids, const size_t *lens, size_t n,
                            float *out)
{
    size_t total = 0;
    for (size_t s = 0; s < n; s++) {
        assert(lens[s] > 0 && lens[s] <= e->config.max_tokens);
        total += lens[s];
    }
    assert(total <= wn_bert_encoder_capacity(e));
    encode_run r = {e, ids, lens, out};
    wn_thread_pool_run(wn_compute_pool(e->c), make_groups(e, lens, n, total), encode_group, &r);
}
