/* A forward pass over a whole text, layer by layer, for those who look into it or decide which keys
 * live: training eviction heads and judging them. A session reads the same text chunk by chunk
 * through all layers; the numbers of a pass without evictions are those, bit for bit.
 *
 *     wn_text_pass_options o = {.n_max = 4096, .kv_format = WN_KV_BF16};
 *     WN_TRY(wn_text_pass_open(&p, model, compute, &o, err));
 *     wn_text_pass_run(p, ids, n, &(wn_text_pass_hooks){.window = 256, .decide = evict, .ctx = x});
 *     wn_text_pass_logits(p, first, n_rows, out);
 *
 * Visibility: key k is visible to query q iff k <= q and (q - k <= window or it is not evicted).
 * Memory: n_max * (4 d_model + 2 q_dim + 4 kv_dim) floats or so, whatever the number of layers.
 * Threads: as the compute context, one at a time. Nothing fails after open.
 */
#ifndef WN_GENERATE_TEXT_PASS_H
#define WN_GENERATE_TEXT_PASS_H

#include "generate/dms_heads.h"

typedef struct wn_text_pass wn_text_pass;

typedef struct wn_text_pass_options {
    size_t n_max; /* tokens of a text at most; within the model's context */
    wn_kv_format kv_format;
    const wn_dms_heads *borrowed; /* heads in the model's own q, which attention must not see there:
                                     the pass clears their channel, whoever decides; borrowed from
                                     the caller as well; NULL: none */
} wn_text_pass_options;

/* One layer of a text of n tokens: f32 rows. */
typedef struct wn_text_layer {
    size_t layer, n;
    const float *x;        /* [n][d_model] residual stream before attention */
    const float *h;        /* [n][d_model] the same, normed: what q_proj reads */
    const float *q;        /* [n][n_heads * head_dim], after RoPE */
    const float *k, *v;    /* [n][n_kv_heads * head_dim], K after RoPE, both before rounding */
    const float *attended; /* [n][n_heads * head_dim]; NULL in decide */
    const float *own;      /* [n][n_kv_heads]: logits of borrowed heads; NULL: there are none */
    uint64_t *evicted;     /* [n_kv_heads][n_words]: bit of token t = t % 64 of word t / 64; zero */
    size_t n_words;
} wn_text_layer;

typedef struct wn_text_pass_hooks {
    size_t window;
    void (*decide)(void *ctx, const wn_text_layer *l);  /* before attention; may set evicted */
    void (*observe)(void *ctx, const wn_text_layer *l); /* after attention, before its projection */
    void *ctx;
} wn_text_pass_hooks;

wn_status wn_text_pass_open(wn_text_pass **out, const wn_model *m, wn_compute *c,
                            const wn_text_pass_options *options, wn_error *err);
void wn_text_pass_close(wn_text_pass *p);

/* ids: n <= n_max, all in the vocabulary (assert). hooks: NULL, or any of its functions may be. */
void wn_text_pass_run(wn_text_pass *p, const int32_t *ids, size_t n,
                      const wn_text_pass_hooks *hooks);
/* Logits of rows first .. first + n - 1 of the last run, f32 [n][n_vocab]. */
void wn_text_pass_logits(wn_text_pass *p, size_t first, size_t n, float *out);

#endif
