#include "generate/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "generate/model_internal.h"

/* Far above any model of these families, and low enough that no product of two sizes overflows. */
static wn_status check_limit(const char *path, const char *what, size_t value, size_t max,
                             wn_error *err)
{
    if (value >= 1 && value <= max)
        return WN_OK;
    return wn_error_set(err, WN_FORMAT, "%s: %s is %zu (1 to %zu are possible)", path, what, value,
                        max);
}

wn_status wn_model_check_config(const wn_model_config *c, const char *path, wn_error *err)
{
    WN_TRY(check_limit(path, "the number of layers", c->n_layers, 1024, err));
    WN_TRY(check_limit(path, "the hidden size", c->d_model, 1 << 17, err));
    WN_TRY(check_limit(path, "the feed-forward size", c->d_ff, 1 << 20, err));
    WN_TRY(check_limit(path, "the number of heads", c->n_heads, 1024, err));
    WN_TRY(check_limit(path, "the number of KV heads", c->n_kv_heads, c->n_heads, err));
    WN_TRY(check_limit(path, "the head size", c->head_dim, 1024, err));
    WN_TRY(check_limit(path, "the vocabulary", c->n_vocab, 1 << 24, err));
    WN_TRY(check_limit(path, "the context length", c->n_ctx, 1 << 28, err));
    if (c->n_heads % c->n_kv_heads != 0)
        return wn_error_set(err, WN_FORMAT, "%s: %zu heads are no multiple of %zu KV heads", path,
                            c->n_heads, c->n_kv_heads);
    if (c->head_dim % 2 != 0)
        return wn_error_set(err, WN_FORMAT, "%s: the head size %zu is odd", path, c->head_dim);
    if (!(c->norm_eps > 0 && c->norm_eps < 1))
        return wn_error_set(err, WN_FORMAT, "%s: the norm's epsilon is %g", path,
                            (double)c->norm_eps);
    if (!(c->rope_theta >= 1 && c->rope_theta <= 1e12f))
        return wn_error_set(err, WN_FORMAT, "%s: the rope base is %g", path, (double)c->rope_theta);
    return WN_OK;
}

/* A folder that holds no Hugging Face model but one GGUF file stands for that file. */
typedef struct gguf_search {
    char *path;
    size_t n_found;
} gguf_search;

static wn_status visit_gguf(void *ctx, const wn_fs_entry *entry, wn_error *err)
{
    gguf_search *search = ctx;
    if (strcmp(wn_fs_extension(entry->path), "gguf") != 0)
        return WN_OK;
    if (++search->n_found == 1 && !(search->path = wn_strdup(entry->path)))
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", entry->path);
    return WN_OK;
}

static wn_status resolve_path(char **out, const char *path, wn_error *err)
{
    wn_status status = WN_OK;
    gguf_search search = {0};
    char *config = wn_fs_join(path, "config.json");
    *out = wn_strdup(path);
    if (!config || !*out)
        status = wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    for (size_t n = *out ? strlen(*out) : 0; n > 1 && (*out)[n - 1] == '/'; n--)
        (*out)[n - 1] = '\0';
    if (status == WN_OK && wn_fs_is_dir(path) && !wn_fs_exists(config)) {
        status = wn_fs_walk(path, visit_gguf, &search, err);
        if (status == WN_OK && search.n_found != 1)
            status = wn_error_set(err, search.n_found ? WN_INVALID : WN_NOT_FOUND,
                                  search.n_found ? "%s: more than one .gguf file: name one of them"
                                                 : "%s: neither config.json nor a .gguf file",
                                  path);
        if (status == WN_OK) {
            free(*out);
            *out = search.path;
            search.path = NULL;
        }
    }
    free(search.path);
    free(config);
    return status;
}

/* File or folder name; ".gguf" goes, other dots belong to the name ("Llama-3.2-1B"). */
static wn_status set_name(wn_model *m, wn_error *err)
{
    const char *base = wn_fs_basename(m->path);
    size_t len = strlen(base);
    if (m->gguf && len > 5 && strcmp(base + len - 5, ".gguf") == 0)
        len -= 5;
    m->name = wn_strndup(base, len);
    return m->name ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", m->path);
}

static wn_status load(wn_model *m, wn_compute *c, const char *path, wn_error *err)
{
    WN_TRY(resolve_path(&m->path, path, err));
    if (wn_fs_is_dir(m->path)) {
        WN_TRY(wn_model_hf_config(m, err));
        WN_TRY(wn_safetensors_open(&m->tensors, m->path, err));
    } else {
        WN_TRY(wn_gguf_open(&m->gguf, m->path, err));
        WN_TRY(wn_model_gguf_config(m, err));
    }
    WN_TRY(set_name(m, err));
    return wn_model_load_weights(m, c, err);
}

wn_status wn_model_open_weights(wn_model **out, wn_compute *c, const char *path, wn_error *err)
{
    wn_model *m = wn_alloc(1, sizeof *m);
    if (!m)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    wn_status status = load(m, c, path, err);
    if (status != WN_OK) {
        wn_model_close(m);
        return status;
    }
    *out = m;
    return WN_OK;
}

static wn_status find_chat_family(wn_model *m, wn_error *err)
{
    if (strcmp(m->config.architecture, "qwen2") == 0)
        m->chat_family = WN_CHAT_CHATML_QWEN2;
    else if (wn_tokenizer_find(m->tokenizer, "<|start_header_id|>") >= 0)
        m->chat_family = WN_CHAT_LLAMA3;
    else if (wn_tokenizer_find(m->tokenizer, "<|im_start|>") >= 0)
        m->chat_family = WN_CHAT_CHATML_SMOLLM2;
    else
        return wn_error_set(err, WN_UNSUPPORTED,
                            "%s: no known chat template: the tokenizer has neither "
                            "<|start_header_id|> nor <|im_start|>",
                            m->path);
    return WN_OK;
}

static wn_status load_tokenizer(wn_model *m, wn_error *err)
{
    if (m->gguf)
        WN_TRY(wn_tokenizer_from_gguf(&m->tokenizer, m->gguf, err));
    else
        WN_TRY(wn_tokenizer_from_dir(&m->tokenizer, m->path, err));
    if (wn_tokenizer_n_vocab(m->tokenizer) > m->config.n_vocab)
        return wn_error_set(err, WN_FORMAT, "%s: the tokenizer has %zu ids, the model %zu", m->path,
                            wn_tokenizer_n_vocab(m->tokenizer), m->config.n_vocab);
    return find_chat_family(m, err);
}

wn_status wn_model_open(wn_model **out, wn_compute *c, const char *path, wn_error *err)
{
    wn_model *m = NULL;
    WN_TRY(wn_model_open_weights(&m, c, path, err));
    wn_status status = load_tokenizer(m, err);
    if (status != WN_OK) {
        wn_model_close(m);
        return status;
    }
    *out = m;
    return WN_OK;
}

void wn_model_close(wn_model *m)
{
    if (!m)
        return;
    wn_model_free_weights(m);
    if (m->tokenizer)
        wn_tokenizer_close(m->tokenizer);
    wn_gguf_close(m->gguf);
    wn_safetensors_close(m->tensors);
    free(m->path);
    free(m->name);
    free(m);
}

const wn_model_config *wn_model_config_of(const wn_model *m)
{
    return &m->config;
}

const wn_tokenizer *wn_model_tokenizer(const wn_model *m)
{
    return m->tokenizer;
}

wn_chat_family wn_model_chat_family(const wn_model *m)
{
    return m->chat_family;
}

const char *wn_model_name(const wn_model *m)
{
    return m->name;
}

const char *wn_model_path(const wn_model *m)
{
    return m->path;
}

size_t wn_model_weight_bytes(const wn_model *m)
{
    return m->weight_bytes;
}

wn_dtype wn_model_weight_type(const wn_model *m)
{
    wn_dtype most = WN_DTYPE_F32;
    for (int t = 0; t < WN_DTYPE_COUNT; t++)
        if (m->type_bytes[t] > m->type_bytes[most])
            most = (wn_dtype)t;
    return most;
}

wn_kv_format wn_model_kv_format(const wn_model *m, const wn_compute *c, wn_kv_format asked)
{
    const wn_dtype type = wn_model_weight_type(m);
    const bool precise = type == WN_DTYPE_F16 || type == WN_DTYPE_F32;
    return asked == WN_KV_AUTO && precise ? WN_KV_F32 : wn_compute_kv_format(c, asked);
}
