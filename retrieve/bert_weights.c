/* Reads and checks the weights of a BERT encoder (bert_weights.h). */
#include "retrieve/bert_weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

typedef struct loader {
    wn_bert_weights *w;
    wn_compute *c;
    const wn_bert_config *config;
} loader;

static const wn_tensor *find(const loader *l, const char *name, char full[160])
{
    snprintf(full, 160, "%s%s", l->w->prefix, name);
    return wn_safetensors_tensor(l->w->file, full);
}

/* The tensor, with its shape checked; cols 0 = a vector of `rows`. */
static wn_status get(const loader *l, const char *name, size_t rows, size_t cols,
                     const wn_tensor **out, wn_error *err)
{
    char full[160];
    const wn_tensor *t = find(l, name, full);
    if (!t)
        return wn_error_set(err, WN_FORMAT, "model.safetensors: tensor %s is missing", full);
    if (t->dtype != WN_DTYPE_F32 && t->dtype != WN_DTYPE_F16 && t->dtype != WN_DTYPE_BF16)
        return wn_error_set(err, WN_UNSUPPORTED, "model.safetensors: tensor %s has type %s", full,
                            wn_dtype_name(t->dtype));
    if (t->n_dims != (cols ? 2 : 1) || t->shape[0] != rows || (cols && t->shape[1] != cols))
        return wn_error_set(err, WN_FORMAT,
                            "model.safetensors: tensor %s has shape [%zu, %zu] (%d dimensions), "
                            "config.json asks for [%zu, %zu]",
                            full, t->n_dims > 0 ? t->shape[0] : 0, t->n_dims > 1 ? t->shape[1] : 0,
                            t->n_dims, rows, cols);
    *out = t;
    return WN_OK;
}

static wn_status get_floats(const loader *l, const char *name, size_t n, float **out, wn_error *err)
{
    const wn_tensor *t = NULL;
    WN_TRY(get(l, name, n, 0, &t, err));
    return wn_tensor_to_f32(out, t, err);
}

static wn_status get_matrix(const loader *l, const char *name, size_t rows, size_t cols,
                            wn_matrix **out, wn_error *err)
{
    const wn_tensor *t = NULL;
    WN_TRY(get(l, name, rows, cols, &t, err));
    WN_TRY(wn_matrix_create(out, l->c, t, err));
    return wn_matrix_prepare(*out, l->c, err);
}

/* "encoder.layer.<i>.<part>" */
static const char *layer_name(char out[128], size_t i, const char *part)
{
    snprintf(out, 128, "encoder.layer.%zu.%s", i, part);
    return out;
}

/* Query, key and value become one matrix [3d, d]: one product instead of three. */
static wn_status load_qkv(loader *l, wn_bert_layer *layer, size_t i, wn_error *err)
{
    static const char *const parts[] = {"query", "key", "value"};
    size_t d = l->config->d_model;
    const wn_tensor *w[3], *b[3];
    for (size_t p = 0; p < 3; p++) { /* before the allocation, whose size is then the file's */
        char part[64], name[128];
        snprintf(part, sizeof part, "attention.self.%s.weight", parts[p]);
        WN_TRY(get(l, layer_name(name, i, part), d, d, &w[p], err));
        snprintf(part, sizeof part, "attention.self.%s.bias", parts[p]);
        WN_TRY(get(l, layer_name(name, i, part), d, 0, &b[p], err));
    }
    layer->qkv_weight = wn_alloc_aligned(64, 3 * d * d, sizeof(float));
    layer->qkv_bias = wn_alloc(3 * d, sizeof(float));
    if (!layer->qkv_weight || !layer->qkv_bias)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the encoder's weights");
    for (size_t p = 0; p < 3; p++) {
        wn_dequantize(w[p]->dtype, w[p]->data, layer->qkv_weight + p * d * d, d * d);
        wn_dequantize(b[p]->dtype, b[p]->data, layer->qkv_bias + p * d, d);
    }
    wn_tensor fused = {.name = "attention.self.{query,key,value}.weight",
                       .dtype = WN_DTYPE_F32,
                       .n_dims = 2,
                       .shape = {3 * d, d},
                       .data = layer->qkv_weight,
                       .bytes = 3 * d * d * sizeof(float)};
    WN_TRY(wn_matrix_create(&layer->qkv, l->c, &fused, err));
    return wn_matrix_prepare(layer->qkv, l->c, err);
}

static wn_status load_layer(loader *l, size_t i, wn_error *err)
{
    wn_bert_layer *layer = &l->w->layers[i];
    size_t d = l->config->d_model, f = l->config->d_ff;
    const struct {
        const char *name;
        size_t rows, cols;
        wn_matrix **matrix;
        float **floats;
    } table[] = {
        {"attention.output.dense.weight", d, d, &layer->attn_out, NULL},
        {"attention.output.dense.bias", d, 0, NULL, &layer->attn_out_bias},
        {"attention.output.LayerNorm.weight", d, 0, NULL, &layer->attn_norm_w},
        {"attention.output.LayerNorm.bias", d, 0, NULL, &layer->attn_norm_b},
        {"intermediate.dense.weight", f, d, &layer->up, NULL},
        {"intermediate.dense.bias", f, 0, NULL, &layer->up_bias},
        {"output.dense.weight", d, f, &layer->down, NULL},
        {"output.dense.bias", d, 0, NULL, &layer->down_bias},
        {"output.LayerNorm.weight", d, 0, NULL, &layer->ffn_norm_w},
        {"output.LayerNorm.bias", d, 0, NULL, &layer->ffn_norm_b},
    };
    WN_TRY(load_qkv(l, layer, i, err));
    for (size_t j = 0; j < sizeof table / sizeof table[0]; j++) {
        char name[128];
        layer_name(name, i, table[j].name);
        if (table[j].matrix)
            WN_TRY(get_matrix(l, name, table[j].rows, table[j].cols, table[j].matrix, err));
        else
            WN_TRY(get_floats(l, name, table[j].rows, table[j].floats, err));
    }
    return WN_OK;
}

/* Position rows with the row of token type 0 added: all our texts are of type 0. */
static wn_status load_positions(loader *l, wn_error *err)
{
    size_t d = l->config->d_model, n = l->config->n_positions;
    const wn_tensor *positions = NULL, *types = NULL;
    WN_TRY(get(l, "embeddings.position_embeddings.weight", n, d, &positions, err));
    WN_TRY(get(l, "embeddings.token_type_embeddings.weight", l->config->n_types, d, &types, err));
    WN_TRY(wn_tensor_to_f32(&l->w->positions, positions, err));
    float *type = NULL;
    WN_TRY(wn_tensor_to_f32(&type, types, err));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            l->w->positions[i * d + j] += type[j];
    free(type);
    return WN_OK;
}

static wn_status load_weights(loader *l, const char *dir, wn_error *err)
{
    char full[160];
    WN_TRY(wn_safetensors_open(&l->w->file, dir, err));
    l->w->prefix = "bert.";
    if (!find(l, "embeddings.word_embeddings.weight", full))
        l->w->prefix = "";
    size_t d = l->config->d_model;
    WN_TRY(get(l, "embeddings.word_embeddings.weight", l->config->n_vocab, d, &l->w->words, err));
    WN_TRY(load_positions(l, err));
    WN_TRY(get_floats(l, "embeddings.LayerNorm.weight", d, &l->w->norm_w, err));
    WN_TRY(get_floats(l, "embeddings.LayerNorm.bias", d, &l->w->norm_b, err));
    l->w->layers = wn_alloc(l->config->n_layers, sizeof *l->w->layers);
    l->w->n_layers = l->w->layers ? l->config->n_layers : 0;
    if (!l->w->layers)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the encoder's layers");
    for (size_t i = 0; i < l->config->n_layers; i++)
        WN_TRY(load_layer(l, i, err));
    return WN_OK;
}

wn_status wn_bert_weights_load(wn_bert_weights *out, wn_compute *c, const char *dir,
                               const wn_bert_config *config, wn_error *err)
{
    *out = (wn_bert_weights){0};
    loader l = {.w = out, .c = c, .config = config};
    wn_status status = load_weights(&l, dir, err);
    if (status != WN_OK) {
        wn_error_prefix(err, dir);
        wn_bert_weights_free(out);
    }
    return status;
}

void wn_bert_weights_free(wn_bert_weights *w)
{
    for (size_t i = 0; i < w->n_layers; i++) {
        wn_bert_layer *l = &w->layers[i];
        wn_matrix *matrices[] = {l->qkv, l->attn_out, l->up, l->down};
        float *floats[] = {l->qkv_weight,  l->qkv_bias,   l->attn_out_bias,
                           l->up_bias,     l->down_bias,  l->attn_norm_w,
                           l->attn_norm_b, l->ffn_norm_w, l->ffn_norm_b};
        for (size_t j = 0; j < sizeof matrices / sizeof matrices[0]; j++)
            wn_matrix_free(matrices[j]);
        for (size_t j = 0; j < sizeof floats / sizeof floats[0]; j++)
            free(floats[j]);
    }
    free(w->layers);
    free(w->positions);
    free(w->norm_w);
    free(w->norm_b);
    wn_safetensors_close(w->file);
    *w = (wn_bert_weights){0};
}
