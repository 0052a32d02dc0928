/* The tensors of a model: found by name, checked against the configuration, loaded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file_map.h"
#include "generate/model_internal.h"

typedef struct loader {
    wn_model *m;
    wn_compute *c;
    const wn_tensor *first; /* of the file's table */
    size_t n_tensors;
    bool *used; /* [n_tensors] */
    wn_error *err;
} loader;

/* What a tensor is called in the two formats; "%zu" stands for the layer. */
typedef struct tensor_names {
    const char *gguf, *hf;
} tensor_names;

#define NO_LAYER 0

static const wn_tensor *find(const wn_model *m, const char *name)
{
    return m->gguf ? wn_gguf_tensor(m->gguf, name) : wn_safetensors_tensor(m->tensors, name);
}

static wn_status wrong_shape(const loader *l, const wn_tensor *t, size_t rows, size_t cols)
{
    char found[64] = "";
    size_t at = 0;
    for (int i = 0; i < t->n_dims && at < sizeof found; i++)
        at += (size_t)snprintf(found + at, sizeof found - at, "%s%zu", i ? ", " : "", t->shape[i]);
    if (rows)
        return wn_error_set(l->err, WN_FORMAT,
                            "%s: tensor %s: shape [%s], the configuration asks for [%zu, %zu]",
                            l->m->path, t->name, found, rows, cols);
    return wn_error_set(l->err, WN_FORMAT,
                        "%s: tensor %s: shape [%s], the configuration asks for [%zu]", l->m->path,
                        t->name, found, cols);
}

/* The tensor of that name with shape [rows, cols], or [cols] when rows is 0. */
static wn_status take(loader *l, tensor_names names, size_t layer, size_t rows, size_t cols,
                      const wn_tensor **out)
{
    char name[96];
    const char *pattern = l->m->gguf ? names.gguf : names.hf;
    const char *number = strstr(pattern, "%zu");
    if (number)
        snprintf(name, sizeof name, "%.*s%zu%s", (int)(number - pattern), pattern, layer,
                 number + 3);
    else
        snprintf(name, sizeof name, "%s", pattern);
    const wn_tensor *t = find(l->m, name);
    if (!t)
        return wn_error_set(l->err, WN_FORMAT, "%s: tensor %s is missing", l->m->path, name);
    bool fits = rows ? t->n_dims == 2 && t->shape[0] == rows && t->shape[1] == cols
                     : t->n_dims == 1 && t->shape[0] == cols;
    if (!fits)
        return wrong_shape(l, t, rows, cols);
    bool plain = t->dtype == WN_DTYPE_F32 || t->dtype == WN_DTYPE_F16 || t->dtype == WN_DTYPE_BF16;
    if (t->dtype == WN_DTYPE_I32 || t->dtype == WN_DTYPE_I64 || (rows == 0 && !plain))
        return wn_error_set(l->err, WN_UNSUPPORTED, "%s: tensor %s: type %s does not suit it",
                            l->m->path, name, wn_dtype_name(t->dtype));
    l->used[t - l->first] = true;
    l->m->weight_bytes += t->bytes;
    l->m->type_bytes[t->dtype] += t->bytes;
    *out = t;
    return WN_OK;
}

static wn_status matrix(loader *l, tensor_names names, size_t layer, size_t rows, size_t cols,
                        wn_matrix **out)
{
    const wn_tensor *t = NULL;
    WN_TRY(take(l, names, layer, rows, cols, &t));
    WN_TRY(wn_matrix_create(out, l->c, t, l->err));
    if (wn_dtype_block_elements(t->dtype) == 1) /* as fine as bf16 inputs, or finer */
        wn_matrix_set_wide_inputs(*out);
    if (wn_matrix_is_packed(*out)) /* no second copy of the model in memory */
        wn_file_map_drop(t->data, t->bytes);
    return WN_OK;
}

static wn_status vector(loader *l, tensor_names names, size_t layer, size_t n, float **out)
{
    const wn_tensor *t = NULL;
    WN_TRY(take(l, names, layer, 0, n, &t));
    return wn_tensor_to_f32(out, t, l->err);
}

#define NAMES(gguf_name, hf_name) ((tensor_names){gguf_name, hf_name})
#define LAYER(gguf_name, hf_name) NAMES("blk.%zu." gguf_name, "model.layers.%zu." hf_name)

static wn_status load_attention(loader *l, size_t i)
{
    const wn_model_config *c = &l->m->config;
    wn_layer *y = &l->m->layers[i];
    size_t d = c->d_model, q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim;
    WN_TRY(vector(l, LAYER("attn_norm.weight", "input_layernorm.weight"), i, d, &y->attn_norm));
    WN_TRY(matrix(l, LAYER("attn_q.weight", "self_attn.q_proj.weight"), i, q, d, &y->q));
    WN_TRY(matrix(l, LAYER("attn_k.weight", "self_attn.k_proj.weight"), i, kv, d, &y->k));
    WN_TRY(matrix(l, LAYER("attn_v.weight", "self_attn.v_proj.weight"), i, kv, d, &y->v));
    WN_TRY(matrix(l, LAYER("attn_output.weight", "self_attn.o_proj.weight"), i, d, q, &y->o));
    if (!c->qkv_bias)
        return WN_OK;
    WN_TRY(vector(l, LAYER("attn_q.bias", "self_attn.q_proj.bias"), i, q, &y->q_bias));
    WN_TRY(vector(l, LAYER("attn_k.bias", "self_attn.k_proj.bias"), i, kv, &y->k_bias));
    return vector(l, LAYER("attn_v.bias", "self_attn.v_proj.bias"), i, kv, &y->v_bias);
}

static wn_status load_ffn(loader *l, size_t i)
{
    const wn_model_config *c = &l->m->config;
    wn_layer *y = &l->m->layers[i];
    size_t d = c->d_model, ff = c->d_ff;
    WN_TRY(
        vector(l, LAYER("ffn_norm.weight", "post_attention_layernorm.weight"), i, d, &y->ffn_norm));
    WN_TRY(matrix(l, LAYER("ffn_gate.weight", "mlp.gate_proj.weight"), i, ff, d, &y->gate));
    WN_TRY(matrix(l, LAYER("ffn_up.weight", "mlp.up_proj.weight"), i, ff, d, &y->up));
    return matrix(l, LAYER("ffn_down.weight", "mlp.down_proj.weight"), i, d, ff, &y->down);
}

static wn_status load_outer(loader *l)
{
    wn_model *m = l->m;
    size_t d = m->config.d_model, n = m->config.n_vocab;
    WN_TRY(matrix(l, NAMES("token_embd.weight", "model.embed_tokens.weight"), NO_LAYER, n, d,
                  &m->embed));
    WN_TRY(
        vector(l, NAMES("output_norm.weight", "model.norm.weight"), NO_LAYER, d, &m->final_norm));
    m->output = m->embed;
    if (!m->config.tied_embeddings)
        WN_TRY(matrix(l, NAMES("output.weight", "lm_head.weight"), NO_LAYER, n, d, &m->output));
    /* An error here is in the logits at once, and only evaluation asks for more than a row. */
    wn_matrix_set_wide_inputs(m->output);
    return WN_OK;
}

/* Tensors that are no weights, or copies of what is computed or tied. */
static bool harmless(const loader *l, const char *name)
{
    static const char suffix[] = "rotary_emb.inv_freq";
    size_t len = strlen(name);
    if (strcmp(name, "rope_freqs.weight") == 0)
        return true;
    if (len >= sizeof suffix - 1 && strcmp(name + len - (sizeof suffix - 1), suffix) == 0)
        return true;
    return l->m->config.tied_embeddings && strcmp(name, "lm_head.weight") == 0;
}

static wn_status refuse_strangers(const loader *l)
{
    for (size_t i = 0; i < l->n_tensors; i++)
        if (!l->used[i] && !harmless(l, l->first[i].name))
            return wn_error_set(l->err, WN_UNSUPPORTED,
                                "%s: tensor %s is no part of architecture %s with %zu layers",
                                l->m->path, l->first[i].name, l->m->config.architecture,
                                l->m->config.n_layers);
    return WN_OK;
}

static wn_status load_all(loader *l)
{
    WN_TRY(load_outer(l));
    for (size_t i = 0; i < l->m->config.n_layers; i++) {
        WN_TRY(load_attention(l, i));
        WN_TRY(load_ffn(l, i));
    }
    return refuse_strangers(l);
}

wn_status wn_model_load_weights(wn_model *m, wn_compute *c, wn_error *err)
{
    loader l = {.m = m, .c = c, .err = err};
    l.first = m->gguf ? wn_gguf_tensor_at(m->gguf, 0) : wn_safetensors_tensor_at(m->tensors, 0);
    l.n_tensors = m->gguf ? wn_gguf_n_tensors(m->gguf) : wn_safetensors_n_tensors(m->tensors);
    l.used = wn_alloc(l.n_tensors, sizeof *l.used);
    m->layers = wn_alloc(m->config.n_layers, sizeof *m->layers);
    wn_status status = l.used && m->layers
                           ? load_all(&l)
                           : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", m->path);
    free(l.used);
    return status;
}

void wn_model_free_weights(wn_model *m)
{
    for (size_t i = 0; m->layers && i < m->config.n_layers; i++) {
        wn_layer *y = &m->layers[i];
        wn_matrix *matrices[] = {y->q, y->k, y->v, y->o, y->gate, y->up, y->down};
        float *vectors[] = {y->attn_norm, y->ffn_norm, y->q_bias, y->k_bias, y->v_bias};
        for (size_t j = 0; j < sizeof matrices / sizeof matrices[0]; j++)
            wn_matrix_free(matrices[j]);
        for (size_t j = 0; j < sizeof vectors / sizeof vectors[0]; j++)
            free(vectors[j]);
    }
    free(m->layers);
    if (m->output != m->embed)
        wn_matrix_free(m->output);
    wn_matrix_free(m->embed);
    free(m->final_norm);
    free(m->inv_freq);
}
