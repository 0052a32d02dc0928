/* The configuration of a GGUF model (architectures llama, qwen2). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/model_internal.h"

/* "<architecture>.<suffix>" */
typedef struct key_name {
    char text[96];
} key_name;

static key_name key_of(const wn_model *m, const char *suffix)
{
    key_name k;
    snprintf(k.text, sizeof k.text, "%s.%s", m->config.architecture, suffix);
    return k;
}

static wn_status read_size(const wn_model *m, const char *suffix, size_t *out, wn_error *err)
{
    uint32_t u = 0;
    WN_TRY(wn_gguf_u32(m->gguf, key_of(m, suffix).text, &u, err));
    *out = u;
    return WN_OK;
}

/* As read_size; *out stays (the default) when the key is absent. */
static wn_status read_size_or(const wn_model *m, const char *suffix, size_t *out, wn_error *err)
{
    return wn_gguf_has(m->gguf, key_of(m, suffix).text) ? read_size(m, suffix, out, err) : WN_OK;
}

static wn_status read_float_or(const wn_model *m, const char *suffix, float *out, wn_error *err)
{
    key_name k = key_of(m, suffix);
    return wn_gguf_has(m->gguf, k.text) ? wn_gguf_f32(m->gguf, k.text, out, err) : WN_OK;
}

static wn_status read_architecture(wn_model *m, wn_error *err)
{
    static const char *const known[] = {"llama", "qwen2"};
    wn_gguf_string s = {0};
    WN_TRY(wn_gguf_str(m->gguf, "general.architecture", &s, err));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (s.len == strlen(known[i]) && memcmp(s.data, known[i], s.len) == 0) {
            snprintf(m->config.architecture, sizeof m->config.architecture, "%s", known[i]);
            return WN_OK;
        }
    return wn_error_set(err, WN_UNSUPPORTED,
                        "%s: general.architecture \"%.*s\" is not supported (llama, qwen2 are)",
                        m->path, s.len < 40 ? (int)s.len : 40, s.data);
}

/* Head size: given twice or not at all; both must agree, and all of it must be rotated. */
static wn_status read_head_dim(wn_model *m, wn_error *err)
{
    wn_model_config *c = &m->config;
    size_t value_length = 0, rotated = 0;
    if (c->n_heads == 0)
        return wn_error_set(err, WN_FORMAT, "%s: %s is 0", m->path,
                            key_of(m, "attention.head_count").text);
    c->head_dim = c->d_model / c->n_heads;
    WN_TRY(read_size_or(m, "attention.key_length", &c->head_dim, err));
    value_length = rotated = c->head_dim;
    WN_TRY(read_size_or(m, "attention.value_length", &value_length, err));
    WN_TRY(read_size_or(m, "rope.dimension_count", &rotated, err));
    if (value_length != c->head_dim || rotated != c->head_dim)
        return wn_error_set(
            err, WN_UNSUPPORTED,
            "%s: key length %zu, value length %zu and rotated part %zu must be equal", m->path,
            c->head_dim, value_length, rotated);
    return WN_OK;
}

static wn_status read_sizes(wn_model *m, wn_error *err)
{
    wn_model_config *c = &m->config;
    size_t n_experts = 0;
    WN_TRY(read_size(m, "block_count", &c->n_layers, err));
    WN_TRY(read_size(m, "context_length", &c->n_ctx, err));
    WN_TRY(read_size(m, "embedding_length", &c->d_model, err));
    WN_TRY(read_size(m, "feed_forward_length", &c->d_ff, err));
    WN_TRY(read_size(m, "attention.head_count", &c->n_heads, err));
    c->n_kv_heads = c->n_heads;
    WN_TRY(read_size_or(m, "attention.head_count_kv", &c->n_kv_heads, err));
    WN_TRY(read_head_dim(m, err));
    WN_TRY(read_size_or(m, "expert_count", &n_experts, err));
    if (n_experts)
        return wn_error_set(err, WN_UNSUPPORTED, "%s: %s: experts are not supported", m->path,
                            key_of(m, "expert_count").text);
    const wn_tensor *embed = wn_gguf_tensor(m->gguf, "token_embd.weight");
    if (!embed || embed->n_dims != 2)
        return wn_error_set(err, WN_FORMAT, "%s: tensor token_embd.weight is missing or no matrix",
                            m->path);
    c->n_vocab = embed->shape[0];
    WN_TRY(read_size_or(m, "vocab_size", &c->n_vocab, err)); /* the shapes are checked against it */
    return WN_OK;
}

/* Scaling by the keys: none, or one factor for all frequencies (linear). */
static wn_status read_scaling(wn_model *m, float *linear_factor, wn_error *err)
{
    key_name k = key_of(m, "rope.scaling.type");
    wn_gguf_string s = {0};
    *linear_factor = 1;
    if (!wn_gguf_has(m->gguf, k.text))
        return WN_OK;
    WN_TRY(wn_gguf_str(m->gguf, k.text, &s, err));
    if (s.len == 4 && memcmp(s.data, "none", 4) == 0)
        return WN_OK;
    if (s.len != 6 || memcmp(s.data, "linear", 6) != 0)
        return wn_error_set(err, WN_UNSUPPORTED, "%s: %s \"%.*s\" is not supported (none, linear)",
                            m->path, k.text, s.len < 40 ? (int)s.len : 40, s.data);
    k = key_of(m, "rope.scaling.factor");
    WN_TRY(wn_gguf_f32(m->gguf, k.text, linear_factor, err));
    if (!(*linear_factor >= 1) || !isfinite(*linear_factor))
        return wn_error_set(err, WN_FORMAT, "%s: %s is %g", m->path, k.text,
                            (double)*linear_factor);
    return WN_OK;
}

/* rope_freqs.weight: what llama3 scaling divides each frequency by, worked out by the converter. */
static wn_status read_factors(wn_model *m, float **factors, wn_error *err)
{
    const wn_tensor *t = wn_gguf_tensor(m->gguf, "rope_freqs.weight");
    size_t n = m->config.head_dim / 2;
    if (!t)
        return WN_OK;
    if (t->n_dims != 1 || t->shape[0] != n || t->dtype != WN_DTYPE_F32)
        return wn_error_set(err, WN_FORMAT, "%s: tensor rope_freqs.weight must be F32 [%zu]",
                            m->path, n);
    WN_TRY(wn_tensor_to_f32(factors, t, err));
    for (size_t i = 0; i < n; i++)
        if (!((*factors)[i] > 0) || !isfinite((*factors)[i]))
            return wn_error_set(err, WN_FORMAT, "%s: tensor rope_freqs.weight: element %zu is %g",
                                m->path, i, (double)(*factors)[i]);
    m->config.rope_llama3 = true;
    return WN_OK;
}

static wn_status read_rope(wn_model *m, wn_error *err)
{
    float *factors = NULL, linear = 1;
    wn_status status = read_scaling(m, &linear, err);
    if (status == WN_OK)
        status = read_factors(m, &factors, err);
    if (status == WN_OK)
        status = wn_rope_inv_freq(&m->inv_freq, &m->config, factors, err);
    for (size_t i = 0; status == WN_OK && i < m->config.head_dim / 2; i++)
        m->inv_freq[i] /= linear;
    free(factors);
    return status;
}

wn_status wn_model_gguf_config(wn_model *m, wn_error *err)
{
    wn_model_config *c = &m->config;
    WN_TRY(read_architecture(m, err));
    WN_TRY(read_sizes(m, err));
    WN_TRY(wn_gguf_f32(m->gguf, key_of(m, "attention.layer_norm_rms_epsilon").text, &c->norm_eps,
                       err));
    c->rope_theta = 10000;
    WN_TRY(read_float_or(m, "rope.freq_base", &c->rope_theta, err));
    bool llama = strcmp(c->architecture, "llama") == 0;
    /* converters permute the q and k rows of llama models so that pairs are neighbours */
    c->rope_order = llama ? WN_ROPE_INTERLEAVED : WN_ROPE_NEOX;
    c->qkv_bias = !llama;
    c->tied_embeddings = !wn_gguf_tensor(m->gguf, "output.weight");
    WN_TRY(wn_model_check_config(c, m->path, err));
    return read_rope(m, err);
}
