/* The definition of a model with eviction heads, in double precision, over the tiny checkpoint of
 * tiny_model.h: all tokens at once, the mask written out, nothing ever dropped. */
#ifndef WN_TEST_MASKED_REFERENCE_H
#define WN_TEST_MASKED_REFERENCE_H

#include <math.h>

#include "generate/session.h"
#include "tests/unit/generate/tiny_model.h"

enum { REF_Q = TINY_HEADS * TINY_HEAD, REF_KV = TINY_KV * TINY_HEAD };

typedef struct masked_reference {
    const wn_token_range *keep; /* the caller's; as of a session */
    size_t n_keep;
    size_t n;
    double x[TINY_CTX][TINY_D], h[TINY_CTX][TINY_D];
    double q[TINY_CTX][REF_Q], k[TINY_CTX][REF_KV], v[TINY_CTX][REF_KV], o[TINY_CTX][REF_Q];
    bool evict[TINY_LAYERS][TINY_KV][TINY_CTX];
    double margin; /* the smallest |logit| of any decision */
    double logits[TINY_VOCAB];
} masked_reference;

/* Made once for every name; `name` is what stands between "model.layers.N." and ".weight", or, with
 * layer SIZE_MAX, behind "model.". */
static inline const float *ref_weight(size_t layer, const char *name)
{
    enum { MAX = TINY_VOCAB * TINY_FF };
    static float w[CHECKPOINT_MAX_TENSORS][MAX];
    static char names[CHECKPOINT_MAX_TENSORS][96];
    char full[96];
    size_t i = 0;
    if (layer == SIZE_MAX)
        snprintf(full, sizeof full, "model.%s.weight", name);
    else
        snprintf(full, sizeof full, "model.layers.%zu.%s.weight", layer, name);
    while (names[i][0] && strcmp(names[i], full) != 0)
        i++;
    if (!names[i][0]) {
        memcpy(names[i], full, sizeof full);
        random_floats(full, 8, w[i], MAX);
    }
    return w[i];
}

/* out[n_out] += or = w[n_out][n_in] in[n_in] */
static inline void ref_product(const float *w, const double *in, size_t n_in, double *out,
                               size_t n_out, bool add)
{
    for (size_t i = 0; i < n_out; i++) {
        double sum = 0;
        for (size_t j = 0; j < n_in; j++)
            sum += (double)w[i * n_in + j] * in[j];
        out[i] = add ? out[i] + sum : sum;
    }
}

static inline void ref_norm(const double *x, const float *w, double *out)
{
    double sum = 0;
    for (size_t i = 0; i < TINY_D; i++)
        sum += x[i] * x[i];
    for (size_t i = 0; i < TINY_D; i++)
        out[i] = x[i] / sqrt(sum / TINY_D + 1e-5) * (double)w[i];
}

static inline void ref_rope(double *x, size_t n_heads, size_t position)
{
    for (size_t h = 0; h < n_heads; h++)
        for (size_t i = 0; i < TINY_HEAD / 2; i++) {
            double *a = x + h * TINY_HEAD + i, *b = a + TINY_HEAD / 2, old = *a;
            const double t = (double)position * pow(1000, -2.0 * (double)i / TINY_HEAD);
            *a = old * cos(t) - *b * sin(t);
            *b = *b * cos(t) + old * sin(t);
        }
}

static inline double *ref_channel(masked_reference *r, size_t t, size_t head)
{
    return &r->q[t][head * (TINY_HEADS / TINY_KV) * TINY_HEAD + TINY_HEAD - 1];
}

static inline void ref_clear(masked_reference *r)
{
    for (size_t t = 0; t < r->n; t++)
        for (size_t h = 0; h < TINY_KV; h++)
            *ref_channel(r, t, h) = 0;
}

static inline bool ref_stays(const masked_reference *r, size_t t)
{
    for (size_t i = 0; i < r->n_keep; i++)
        if (t >= r->keep[i].first && t < r->keep[i].first + r->keep[i].n)
            return true;
    return false;
}

static inline void ref_decide(masked_reference *r, const wn_dms_heads *d, const wn_dms_point *p,
                              size_t layer)
{
    for (size_t t = 0; t < r->n; t++)
        for (size_t h = 0; h < TINY_KV; h++) {
            double z = (double)p->bias;
            const size_t at = layer * TINY_KV + h;
            if (d->kind == WN_DMS_LINEAR) {
                z += (double)d->bias[at];
                for (size_t i = 0; i < TINY_D; i++)
                    z += (double)d->weight[at * TINY_D + i] * r->h[t][i];
            } else {
                z += (double)d->alpha_scale * *ref_channel(r, t, h) - (double)d->alpha_offset;
            }
            r->margin = fmin(r->margin, fabs(z));
            if (t >= d->decision_shift)
                r->evict[layer][h][t - d->decision_shift] =
                    z > 0 && !ref_stays(r, t - d->decision_shift);
        }
}

static inline bool ref_sees(const masked_reference *r, const wn_dms_point *p, size_t layer,
                            size_t head, size_t query, size_t key)
{
    return key <= query && (query - key <= p->window || !r->evict[layer][head][key]);
}

static inline void ref_attend(masked_reference *r, const wn_dms_point *p, size_t layer, size_t t,
                              size_t head)
{
    const size_t kv = head / (TINY_HEADS / TINY_KV);
    double sum = 0, *o = &r->o[t][head * TINY_HEAD];
    memset(o, 0, TINY_HEAD * sizeof *o);
    for (size_t j = 0; j <= t; j++) {
        double score = 0;
        for (size_t i = 0; i < TINY_HEAD; i++)
            score += r->q[t][head * TINY_HEAD + i] * r->k[j][kv * TINY_HEAD + i];
        const double mask = ref_sees(r, p, layer, kv, t, j) ? 0 : -INFINITY;
        const double e = exp(score / sqrt(TINY_HEAD) + mask);
        sum += e;
        for (size_t i = 0; i < TINY_HEAD; i++)
            o[i] += e * r->v[j][kv * TINY_HEAD + i];
    }
    for (size_t i = 0; i < TINY_HEAD; i++)
        o[i] /= sum;
}

static inline void ref_attention(masked_reference *r, const wn_dms_heads *d, const wn_dms_point *p,
                                 size_t layer)
{
    for (size_t t = 0; t < r->n; t++)
        ref_norm(r->x[t], ref_weight(layer, "input_layernorm"), r->h[t]);
    for (size_t t = 0; t < r->n; t++) {
        ref_product(ref_weight(layer, "self_attn.q_proj"), r->h[t], TINY_D, r->q[t], REF_Q, false);
        ref_product(ref_weight(layer, "self_attn.k_proj"), r->h[t], TINY_D, r->k[t], REF_KV, false);
        ref_product(ref_weight(layer, "self_attn.v_proj"), r->h[t], TINY_D, r->v[t], REF_KV, false);
    }
    ref_decide(r, d, p, layer);
    if (d->kind == WN_DMS_BORROWED && !d->zero_after_rope)
        ref_clear(r);
    for (size_t t = 0; t < r->n; t++) {
        ref_rope(r->q[t], TINY_HEADS, t);
        ref_rope(r->k[t], TINY_KV, t);
    }
    if (d->kind == WN_DMS_BORROWED && d->zero_after_rope)
        ref_clear(r);
    for (size_t t = 0; t < r->n; t++)
        for (size_t h = 0; h < TINY_HEADS; h++)
            ref_attend(r, p, layer, t, h);
    for (size_t t = 0; t < r->n; t++)
        ref_product(ref_weight(layer, "self_attn.o_proj"), r->o[t], REF_Q, r->x[t], TINY_D, true);
}

static inline void ref_ffn(masked_reference *r, size_t layer)
{
    double gate[TINY_FF], up[TINY_FF];
    for (size_t t = 0; t < r->n; t++) {
        ref_norm(r->x[t], ref_weight(layer, "post_attention_layernorm"), r->h[t]);
        ref_product(ref_weight(layer, "mlp.gate_proj"), r->h[t], TINY_D, gate, TINY_FF, false);
        ref_product(ref_weight(layer, "mlp.up_proj"), r->h[t], TINY_D, up, TINY_FF, false);
        for (size_t i = 0; i < TINY_FF; i++)
            up[i] *= gate[i] / (1 + exp(-gate[i]));
        ref_product(ref_weight(layer, "mlp.down_proj"), up, TINY_FF, r->x[t], TINY_D, true);
    }
}

/* Logits of the last of n tokens. */
static inline void masked_reference_run(masked_reference *r, const wn_dms_heads *d,
                                        const wn_dms_point *p, const int32_t *ids, size_t n)
{
    const masked_reference empty = {
        .keep = r->keep, .n_keep = r->n_keep, .n = n, .margin = INFINITY};
    *r = empty;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < TINY_D; i++)
            r->x[t][i] = (double)ref_weight(SIZE_MAX, "embed_tokens")[(size_t)ids[t] * TINY_D + i];
    for (size_t layer = 0; layer < TINY_LAYERS; layer++) {
        ref_attention(r, d, p, layer);
        ref_ffn(r, layer);
    }
    ref_norm(r->x[n - 1], ref_weight(SIZE_MAX, "norm"), r->h[0]);
    ref_product(ref_weight(SIZE_MAX, "embed_tokens"), r->h[0], TINY_D, r->logits, TINY_VOCAB,
                false);
}

#endif
