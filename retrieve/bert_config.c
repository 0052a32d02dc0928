/* Reads and checks the configuration of a BERT encoder's folder (bert_config.h). */
#include "retrieve/bert_config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/json.h"

#define MAX_CONFIG_BYTES ((size_t)1 << 20)

/* bge v1.5 English models ask for this before a query and say so only in their README. */
static const char BGE_EN_PREFIX[] = "Represent this sentence for searching relevant passages: ";

/* One configuration file being read: `path` stands in every error. */
typedef struct config_file {
    json_t *json; /* NULL: absent */
    char *path;
} config_file;

static void file_close(config_file *f)
{
    json_decref(f->json);
    free(f->path);
    *f = (config_file){0};
}

/* Opens dir/name; with `optional`, absence leaves f->json NULL. */
static wn_status file_open(config_file *f, const char *dir, const char *name, bool optional,
                           wn_error *err)
{
    f->path = wn_fs_join(dir, name);
    if (!f->path)
        return wn_error_set(err, WN_NO_MEMORY, "%s: no memory for its name", name);
    if (optional && !wn_fs_exists(f->path))
        return WN_OK;
    return wn_json_load_file(&f->json, f->path, MAX_CONFIG_BYTES, err);
}

static wn_status need_object(const config_file *f, wn_error *err)
{
    if (!json_is_object(f->json))
        return wn_error_set(err, WN_FORMAT, "%s: not a JSON object", f->path);
    return WN_OK;
}

/* Forwards a failure of a wn_json_get_* call with the file's name before it. */
static wn_status in_file(const config_file *f, wn_status status, wn_error *err)
{
    if (status != WN_OK)
        wn_error_prefix(err, f->path);
    return status;
}

/* A required count in [1, max]. */
static wn_status get_count(const config_file *f, const char *field, int64_t max, size_t *out,
                           wn_error *err)
{
    int64_t value = 0;
    WN_TRY(in_file(f, wn_json_get_int(f->json, field, 1, max, &value, err), err));
    if (value == 0)
        return wn_error_set(err, WN_FORMAT, "%s: %s is missing", f->path, field);
    *out = (size_t)value;
    return WN_OK;
}

/* A string field that, where present, must be `expected`. */
static wn_status expect_str(const config_file *f, const char *field, const char *expected,
                            wn_error *err)
{
    const char *value = expected;
    WN_TRY(in_file(f, wn_json_get_str(f->json, field, &value, err), err));
    if (strcmp(value, expected) != 0)
        return wn_error_set(err, WN_UNSUPPORTED, "%s: %s is \"%s\"; only \"%s\" is supported",
                            f->path, field, value, expected);
    return WN_OK;
}

static wn_status read_shape(wn_bert_config *c, const config_file *f, wn_error *err)
{
    WN_TRY(need_object(f, err));
    if (!json_is_string(json_object_get(f->json, "model_type")))
        return wn_error_set(err, WN_FORMAT, "%s: model_type is missing", f->path);
    WN_TRY(expect_str(f, "model_type", "bert", err));
    WN_TRY(expect_str(f, "hidden_act", "gelu", err)); /* the erf form */
    WN_TRY(expect_str(f, "position_embedding_type", "absolute", err));
    WN_TRY(get_count(f, "num_hidden_layers", 256, &c->n_layers, err));
    WN_TRY(get_count(f, "hidden_size", 16384, &c->d_model, err));
    WN_TRY(get_count(f, "num_attention_heads", 1024, &c->n_heads, err));
    WN_TRY(get_count(f, "intermediate_size", 65536, &c->d_ff, err));
    WN_TRY(get_count(f, "vocab_size", 4 << 20, &c->n_vocab, err));
    WN_TRY(get_count(f, "max_position_embeddings", 65536, &c->n_positions, err));
    int64_t n_types = 2;
    WN_TRY(in_file(f, wn_json_get_int(f->json, "type_vocab_size", 1, 64, &n_types, err), err));
    c->n_types = (size_t)n_types;
    double eps = 1e-12;
    WN_TRY(in_file(f, wn_json_get_num(f->json, "layer_norm_eps", 0, 1, &eps, err), err));
    c->norm_eps = (float)eps;
    if (c->d_model % c->n_heads != 0)
        return wn_error_set(err, WN_FORMAT,
                            "%s: hidden_size %zu is no multiple of num_attention_heads %zu",
                            f->path, c->d_model, c->n_heads);
    if (c->n_positions < 3)
        return wn_error_set(err, WN_FORMAT, "%s: max_position_embeddings %zu leaves no room",
                            f->path, c->n_positions);
    c->head_dim = c->d_model / c->n_heads;
    c->max_tokens = c->n_positions;
    return WN_OK;
}

/* A folder with further modules (a Dense layer after pooling, say) would give other vectors. */
static wn_status check_modules(const char *dir, wn_error *err)
{
    config_file f = {0};
    wn_status status = WN_OK;
    size_t i = 0;
    const json_t *module = NULL;
    WN_TRY_OUT(file_open(&f, dir, "modules.json", true, err));
    json_array_foreach(f.json, i, module)
    {
        const char *type = json_string_value(json_object_get(module, "type"));
        const char *dot = type ? strrchr(type, '.') : NULL;
        const char *name = dot ? dot + 1 : type;
        if (!name || (strcmp(name, "Transformer") != 0 && strcmp(name, "Pooling") != 0 &&
                      strcmp(name, "Normalize") != 0)) {
            status = wn_error_set(err, WN_UNSUPPORTED,
                                  "%s: module %zu is \"%s\"; only Transformer, Pooling and "
                                  "Normalize are supported",
                                  f.path, i, name ? name : "?");
            goto out;
        }
    }
out:
    file_close(&f);
    return status;
}

/* Both forms of sentence-transformers: pooling_mode_*_tokens booleans, or one "pooling_mode". */
static wn_status pooling_of(const config_file *f, wn_bert_pooling *out, wn_error *err)
{
    static const struct {
        const char *flag, *mode;
    } forms[] = {{"pooling_mode_mean_tokens", "mean"},
                 {"pooling_mode_cls_token", "cls"},
                 {"pooling_mode_max_tokens", "max"},
                 {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
                 {"pooling_mode_weightedmean_tokens", "weightedmean"},
                 {"pooling_mode_lasttoken", "lasttoken"}};
    WN_TRY(need_object(f, err));
    const char *mode = NULL;
    WN_TRY(in_file(f, wn_json_get_str(f->json, "pooling_mode", &mode, err), err));
    for (size_t i = 0, n_on = 0;
         !json_object_get(f->json, "pooling_mode") && i < sizeof forms / sizeof forms[0]; i++) {
        bool on = false;
        WN_TRY(in_file(f, wn_json_get_bool(f->json, forms[i].flag, &on, err), err));
        if (on && ++n_on > 1)
            return wn_error_set(err, WN_UNSUPPORTED,
                                "%s: %s besides another pooling mode is not supported", f->path,
                                forms[i].flag);
        mode = on ? forms[i].mode : mode;
    }
    if (mode && strcmp(mode, "mean") != 0 && strcmp(mode, "cls") != 0)
        return wn_error_set(err, WN_UNSUPPORTED,
                            "%s: pooling \"%s\" is not supported (mean and cls are)", f->path,
                            mode);
    *out = mode && strcmp(mode, "cls") == 0 ? WN_BERT_POOL_CLS : WN_BERT_POOL_MEAN;
    return WN_OK;
}

static wn_status read_pooling(wn_bert_config *c, const char *dir, wn_error *err)
{
    config_file f = {0};
    wn_status status = WN_OK;
    WN_TRY_OUT(file_open(&f, dir, "1_Pooling/config.json", true, err));
    if (!f.json)
        goto out;
    WN_TRY_OUT(pooling_of(&f, &c->pooling, err));
    int64_t dim = (int64_t)c->d_model;
    status = in_file(&f, wn_json_get_int(f.json, "word_embedding_dimension", 1, 1 << 20, &dim, err),
                     err);
    if (status == WN_OK && dim != (int64_t)c->d_model)
        status = wn_error_set(err, WN_FORMAT,
                              "%s: word_embedding_dimension %lld differs from hidden_size %zu",
                              f.path, (long long)dim, c->d_model);
out:
    file_close(&f);
    return status;
}

static wn_status read_max_tokens(wn_bert_config *c, const char *dir, wn_error *err)
{
    config_file f = {0};
    wn_status status = WN_OK;
    WN_TRY_OUT(file_open(&f, dir, "sentence_bert_config.json", true, err));
    if (!f.json)
        goto out;
    WN_TRY_OUT(need_object(&f, err));
    int64_t max = (int64_t)c->max_tokens;
    WN_TRY_OUT(in_file(&f, wn_json_get_int(f.json, "max_seq_length", 3, 1 << 20, &max, err), err));
    if ((size_t)max < c->max_tokens)
        c->max_tokens = (size_t)max;
out:
    file_close(&f);
    return status;
}

static wn_status set_prefix(wn_bert_config *c, const char *prefix, const char *path, wn_error *err)
{
    size_t len = strlen(prefix);
    if (len >= sizeof c->query_prefix)
        return wn_error_set(err, WN_LIMIT, "%s: prompts.query has %zu bytes, the limit is %zu",
                            path, len, sizeof c->query_prefix - 1);
    memcpy(c->query_prefix, prefix, len + 1);
    return WN_OK;
}

/* "prompts": {"query": "..."} where given; otherwise bge's English models are known by name. */
static wn_status read_prefix(wn_bert_config *c, const config_file *model, const char *dir,
                             wn_error *err)
{
    config_file f = {0};
    wn_status status = WN_OK;
    WN_TRY_OUT(file_open(&f, dir, "config_sentence_transformers.json", true, err));
    const json_t *prompts = json_object_get(f.json, "prompts");
    const char *query = NULL;
    if (json_is_object(prompts))
        WN_TRY_OUT(in_file(&f, wn_json_get_str(prompts, "query", &query, err), err));
    const char *origin = json_string_value(json_object_get(model->json, "_name_or_path"));
    const char *names[] = {wn_fs_basename(dir), origin ? origin : ""};
    for (size_t i = 0; !query && i < 2; i++) {
        const char *bge = strstr(names[i], "bge-");
        if (bge && strstr(bge, "-en"))
            query = BGE_EN_PREFIX;
    }
    status = set_prefix(c, query ? query : "", f.path, err);
out:
    file_close(&f);
    return status;
}

wn_status wn_bert_config_load(wn_bert_config *out, const char *dir, wn_error *err)
{
    config_file f = {0};
    wn_status status = WN_OK;
    wn_bert_config c = {0};
    WN_TRY_OUT(file_open(&f, dir, "config.json", false, err));
    WN_TRY_OUT(read_shape(&c, &f, err));
    WN_TRY_OUT(check_modules(dir, err));
    WN_TRY_OUT(read_pooling(&c, dir, err));
    WN_TRY_OUT(read_max_tokens(&c, dir, err));
    WN_TRY_OUT(read_prefix(&c, &f, dir, err));
    *out = c;
out:
    file_close(&f);
    return status;
}
