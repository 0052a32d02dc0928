/* The configuration of a Hugging Face folder (config.json; model_type llama, qwen2). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/json.h"
#include "generate/model_internal.h"

#define MAX_CONFIG_BYTES (1u << 20)
#define MAX_SIZE (1 << 30)

static wn_status read_size(const json_t *json, const char *field, size_t *out, wn_error *err)
{
    int64_t value = (int64_t)*out;
    WN_TRY(wn_json_get_int(json, field, 1, MAX_SIZE, &value, err));
    if (value == 0)
        return wn_error_set(err, WN_FORMAT, "%s is missing", field);
    *out = (size_t)value;
    return WN_OK;
}

static wn_status read_float(const json_t *json, const char *field, float *out, wn_error *err)
{
    double value = (double)*out;
    WN_TRY(wn_json_get_num(json, field, 1e-12, 1e12, &value, err));
    *out = (float)value;
    return WN_OK;
}

/* Switches that would change the computation in ways that winnow does not do. */
static wn_status refuse_variants(const json_t *json, wn_error *err)
{
    static const char *const switches[] = {"attention_bias", "mlp_bias", "use_sliding_window"};
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        bool on = false;
        WN_TRY(wn_json_get_bool(json, switches[i], &on, err));
        if (on)
            return wn_error_set(err, WN_UNSUPPORTED, "%s true is not supported", switches[i]);
    }
    const char *act = "silu";
    WN_TRY(wn_json_get_str(json, "hidden_act", &act, err));
    if (strcmp(act, "silu") != 0)
        return wn_error_set(err, WN_UNSUPPORTED, "hidden_act \"%s\" is not supported", act);
    const json_t *quantization = json_object_get(json, "quantization_config");
    if (quantization && !json_is_null(quantization))
        return wn_error_set(err, WN_UNSUPPORTED, "quantization_config is not supported");
    return WN_OK;
}

static wn_status read_architecture(wn_model_config *c, const json_t *json, wn_error *err)
{
    const char *type = "";
    WN_TRY(wn_json_get_str(json, "model_type", &type, err));
    if (strcmp(type, "llama") != 0 && strcmp(type, "qwen2") != 0)
        return wn_error_set(err, WN_UNSUPPORTED,
                            "model_type \"%s\" is not supported (llama, qwen2 are)", type);
    snprintf(c->architecture, sizeof c->architecture, "%s", type);
    c->qkv_bias = strcmp(type, "qwen2") == 0;
    return WN_OK;
}

static wn_status read_sizes(wn_model_config *c, const json_t *json, wn_error *err)
{
    WN_TRY(read_size(json, "num_hidden_layers", &c->n_layers, err));
    WN_TRY(read_size(json, "max_position_embeddings", &c->n_ctx, err));
    WN_TRY(read_size(json, "hidden_size", &c->d_model, err));
    WN_TRY(read_size(json, "intermediate_size", &c->d_ff, err));
    WN_TRY(read_size(json, "vocab_size", &c->n_vocab, err));
    WN_TRY(read_size(json, "num_attention_heads", &c->n_heads, err));
    c->n_kv_heads = c->n_heads;
    WN_TRY(read_size(json, "num_key_value_heads", &c->n_kv_heads, err));
    c->head_dim = c->d_model / c->n_heads;
    return read_size(json, "head_dim", &c->head_dim, err);
}

static wn_status refuse_partial(const json_t *block, wn_error *err)
{
    double partial = 1;
    WN_TRY(wn_json_get_num(block, "partial_rotary_factor", 0, 1, &partial, err));
    if (partial < 1)
        return wn_error_set(err, WN_UNSUPPORTED, "partial_rotary_factor below 1 is not supported");
    return WN_OK;
}

/* One block of RoPE parameters: type, theta (newer files) and llama3's numbers. */
static wn_status read_rope_block(wn_model_config *c, const json_t *block, const char *field,
                                 wn_error *err)
{
    const char *type = "default";
    if (!json_is_object(block))
        return wn_error_set(err, WN_FORMAT, "%s must be an object", field);
    WN_TRY(refuse_partial(block, err));
    WN_TRY(wn_json_get_str(block, "type", &type, err)); /* the older name; rope_type wins */
    WN_TRY(wn_json_get_str(block, "rope_type", &type, err));
    WN_TRY(read_float(block, "rope_theta", &c->rope_theta, err));
    if (strcmp(type, "default") == 0)
        return WN_OK;
    if (strcmp(type, "llama3") != 0)
        return wn_error_set(err, WN_UNSUPPORTED, "%s: type \"%s\" is not supported (llama3 is)",
                            field, type);
    c->rope_llama3 = true;
    WN_TRY(read_float(block, "factor", &c->rope_factor, err));
    WN_TRY(read_float(block, "low_freq_factor", &c->rope_low_freq_factor, err));
    WN_TRY(read_float(block, "high_freq_factor", &c->rope_high_freq_factor, err));
    c->rope_original_ctx = c->n_ctx; /* transformers' default */
    WN_TRY(read_size(block, "original_max_position_embeddings", &c->rope_original_ctx, err));
    if (!(c->rope_factor >= 1) || !(c->rope_low_freq_factor > 0) ||
        !(c->rope_high_freq_factor > c->rope_low_freq_factor))
        return wn_error_set(err, WN_FORMAT,
                            "%s: factor >= 1 and 0 < low_freq_factor < high_freq_factor are needed",
                            field);
    return WN_OK;
}

static wn_status read_rope(wn_model_config *c, const json_t *json, wn_error *err)
{
    static const char *const fields[] = {"rope_scaling",
                                         "rope_parameters"}; /* older, newer files */
    c->rope_order = WN_ROPE_NEOX;
    c->rope_theta = 10000;
    WN_TRY(refuse_partial(json, err));
    WN_TRY(read_float(json, "rope_theta", &c->rope_theta, err));
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const json_t *block = json_object_get(json, fields[i]);
        if (block && !json_is_null(block))
            WN_TRY(read_rope_block(c, block, fields[i], err));
    }
    return WN_OK;
}

static wn_status read_config(wn_model_config *c, const json_t *json, wn_error *err)
{
    if (!json_is_object(json))
        return wn_error_set(err, WN_FORMAT, "not an object");
    WN_TRY(read_architecture(c, json, err));
    WN_TRY(refuse_variants(json, err));
    WN_TRY(read_sizes(c, json, err));
    c->norm_eps = 1e-6f;
    WN_TRY(read_float(json, "rms_norm_eps", &c->norm_eps, err));
    WN_TRY(wn_json_get_bool(json, "tie_word_embeddings", &c->tied_embeddings, err));
    return read_rope(c, json, err);
}

wn_status wn_model_hf_config(wn_model *m, wn_error *err)
{
    json_t *json = NULL;
    wn_error local = {0}; /* field errors do not know the file */
    char *path = wn_fs_join(m->path, "config.json");
    if (!path)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", m->path);
    wn_status status = wn_json_load_file(&json, path, MAX_CONFIG_BYTES, err);
    if (status == WN_OK) {
        status = read_config(&m->config, json, &local);
        if (status != WN_OK)
            (void)wn_error_set(err, status, "%s: %s", path, local.text);
    }
    if (status == WN_OK)
        status = wn_model_check_config(&m->config, path, err);
    if (status == WN_OK)
        status = wn_rope_inv_freq(&m->inv_freq, &m->config, NULL, err);
    json_decref(json);
    free(path);
    return status;
}
