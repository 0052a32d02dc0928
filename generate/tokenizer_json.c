/* Tokenizer from a Hugging Face tokenizer.json with a byte-level BPE model. The parts that steer
 * text (normalizer, pre_tokenizer) are in tokenizer_json_steps.c. */
#include <string.h>

#include "base/json.h"
#include "generate/tokenizer_internal.h"
#include "generate/tokenizer_json.h"

#define MAX_FILE ((size_t)256 << 20) /* bytes; Llama 3's has 9 MB, the largest known 40 */

static wn_status read_options(wn_tokenizer *t, wn_tokenizer_json *j, wn_error *err)
{
    static const char *const empty[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    static const char *const off[] = {"byte_fallback", "fuse_unk"};
    const json_t *dropout = json_object_get(j->model, "dropout");
    if (dropout && !json_is_null(dropout) && json_number_value(dropout) != 0)
        return wn_error_set(err, WN_UNSUPPORTED, "%s: model.dropout is set", j->path);
    for (int i = 0; i < 2; i++) {
        const char *text = "";
        WN_TRY(wn_json_get_str(j->model, empty[i], &text, err));
        if (*text)
            return wn_error_set(err, WN_UNSUPPORTED,
                                "%s: model.%s is \"%.40s\" (none is known here)", j->path, empty[i],
                                text);
    }
    for (int i = 0; i < 2; i++) {
        bool on = false;
        WN_TRY(wn_json_get_bool(j->model, off[i], &on, err));
        if (on)
            return wn_error_set(err, WN_UNSUPPORTED, "%s: model.%s is true", j->path, off[i]);
    }
    return wn_json_get_bool(j->model, "ignore_merges", &t->ignore_merges, err);
}

/* Highest id of vocab and added_tokens, both checked for range. */
static wn_status count_ids(const wn_tokenizer_json *j, size_t *n, wn_error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;
    json_int_t max = -1;
    json_object_foreach(j->vocab, key, value)
    {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= (json_int_t)WN_VOCAB_MAX)
            return wn_error_set(err, WN_FORMAT,
                                "%s: model.vocab[\"%.40s\"] is no token id (0 to %zu)", j->path,
                                key, WN_VOCAB_MAX - 1);
        max = id > max ? id : max;
    }
    json_array_foreach(j->added, i, value)
    {
        const json_t *field = json_object_get(value, "id");
        json_int_t id = json_is_integer(field) ? json_integer_value(field) : -1;
        if (id < 0 || id >= (json_int_t)WN_VOCAB_MAX)
            return wn_error_set(err, WN_FORMAT,
                                "%s: added_tokens[%zu].id is no token id (0 to %zu)", j->path, i,
                                WN_VOCAB_MAX - 1);
        max = id > max ? id : max;
    }
    *n = (size_t)(max + 1);
    return WN_OK;
}

static wn_status read_vocab(wn_tokenizer *t, const wn_tokenizer_json *j, wn_error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(j->vocab, key, value)
    {
        WN_TRY(wn_vocab_set_text(&t->vocab, json_integer_value(value), key, strlen(key), j->path,
                                 err));
    }
    return WN_OK;
}

/* An added token may have a place in model.vocab (then under the same text) or a new id. */
static wn_status enter_added(wn_tokenizer *t, const wn_tokenizer_json *j, size_t i, json_int_t id,
                             const char *text, size_t len, uint8_t flags, wn_error *err)
{
    wn_vocab *v = &t->vocab;
    const json_t *known = json_object_get(j->vocab, text);
    if (known && json_integer_value(known) != id)
        return wn_error_set(err, WN_FORMAT,
                            "%s: added_tokens[%zu] \"%.40s\" has id %lld, but %lld in model.vocab",
                            j->path, i, text, (long long)id, (long long)json_integer_value(known));
    if (!known)
        return wn_vocab_set_bytes(v, id, text, len, flags, j->path, err);
    if (v->flags[id] & WN_TOKEN_ADDED)
        return wn_error_set(err, WN_FORMAT, "%s: added_tokens[%zu] \"%.40s\" is given twice",
                            j->path, i, text);
    /* Special tokens leave the vocabulary of merges: text must not grow into one. */
    if (flags & WN_TOKEN_SPECIAL)
        v->flags[id] = (uint8_t)(v->flags[id] & ~WN_TOKEN_NORMAL);
    v->flags[id] |= flags;
    return WN_OK;
}

static wn_status read_added(wn_tokenizer *t, const wn_tokenizer_json *j, size_t i, wn_error *err)
{
    static const char *const unknown[] = {"single_word", "lstrip", "rstrip"};
    const json_t *token = json_array_get(j->added, i), *content = json_object_get(token, "content");
    const char *text = json_string_value(content);
    size_t len = json_string_length(content);
    bool special = false, on = false;
    if (!text || len == 0 || strlen(text) != len)
        return wn_error_set(err, WN_FORMAT, "%s: added_tokens[%zu].content must be a text", j->path,
                            i);
    WN_TRY(wn_json_get_bool(token, "special", &special, err));
    for (int k = 0; k < 3; k++) {
        WN_TRY(wn_json_get_bool(token, unknown[k], &on, err));
        if (on)
            return wn_error_set(err, WN_UNSUPPORTED,
                                "%s: added_tokens[%zu].%s of \"%.40s\" is true", j->path, i,
                                unknown[k], text);
    }
    json_int_t id = json_integer_value(json_object_get(token, "id"));
    uint8_t flags = (uint8_t)(WN_TOKEN_ADDED | (special ? WN_TOKEN_SPECIAL : 0));
    WN_TRY(enter_added(t, j, i, id, text, len, flags, err));
    bool normalised = !special;
    WN_TRY(wn_json_get_bool(token, "normalized", &normalised, err));
    return wn_tokenizer_add_pattern(t, normalised, text, len, (int32_t)id, err);
}

/* merges[i] is "left right" or ["left", "right"]. */
static wn_status read_merge(wn_tokenizer *t, const wn_tokenizer_json *j, size_t i,
                            wn_strbuf *scratch, wn_error *err)
{
    const json_t *merge = json_array_get(j->merges, i);
    const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
    const char *left = json_string_value(a), *right = json_string_value(b);
    size_t left_len = json_string_length(a), right_len = json_string_length(b);
    if (json_is_string(merge)) {
        left = json_string_value(merge);
        const char *space = memchr(left, ' ', json_string_length(merge));
        right = space ? space + 1 : NULL;
        left_len = space ? (size_t)(space - left) : 0;
        right_len = space ? json_string_length(merge) - left_len - 1 : 0;
    } else if (json_array_size(merge) != 2) {
        left = NULL;
    }
    if (!left || !right)
        return wn_error_set(err, WN_FORMAT, "%s: model.merges[%zu] is no pair of tokens", j->path,
                            i);
    return wn_tokenizer_add_merge_text(t, left, left_len, right, right_len, (uint32_t)i, scratch,
                                       j->path, err);
}

static wn_status read_merges(wn_tokenizer *t, const wn_tokenizer_json *j, wn_error *err)
{
    wn_strbuf scratch = {0};
    wn_status status = WN_OK;
    WN_TRY(wn_bpe_init(&t->bpe, json_array_size(j->merges), err));
    for (size_t i = 0; status == WN_OK && i < json_array_size(j->merges); i++)
        status = read_merge(t, j, i, &scratch, err);
    wn_strbuf_free(&scratch);
    return status;
}

static wn_status read_unknown(wn_tokenizer *t, const wn_tokenizer_json *j, wn_error *err)
{
    const char *text = NULL;
    WN_TRY(wn_json_get_str(j->model, "unk_token", &text, err));
    if (!text)
        return WN_OK;
    const json_t *id = json_object_get(j->vocab, text);
    if (!id)
        return wn_error_set(err, WN_FORMAT, "%s: model.unk_token \"%.40s\" is not in model.vocab",
                            j->path, text);
    t->unknown = (int32_t)json_integer_value(id);
    return WN_OK;
}

static wn_status find_parts(wn_tokenizer_json *j, wn_error *err)
{
    j->model = json_object_get(j->root, "model");
    j->vocab = json_object_get(j->model, "vocab");
    j->merges = json_object_get(j->model, "merges");
    j->added = json_object_get(j->root, "added_tokens");
    const char *type = "BPE";
    if (!json_is_object(j->model))
        return wn_error_set(err, WN_FORMAT, "%s: model is missing", j->path);
    WN_TRY(wn_json_get_str(j->model, "type", &type, err));
    if (strcmp(type, "BPE") != 0)
        return wn_error_set(err, WN_UNSUPPORTED, "%s: model.type \"%.40s\" (known: BPE)", j->path,
                            type);
    if (!json_is_object(j->vocab))
        return wn_error_set(err, WN_FORMAT, "%s: model.vocab must be an object", j->path);
    if (!json_is_array(j->merges))
        return wn_error_set(err, WN_FORMAT, "%s: model.merges must be an array", j->path);
    if (j->added && !json_is_null(j->added) && !json_is_array(j->added))
        return wn_error_set(err, WN_FORMAT, "%s: added_tokens must be an array", j->path);
    return WN_OK;
}

static wn_status load(wn_tokenizer *t, wn_tokenizer_json *j, wn_error *err)
{
    size_t n = 0;
    WN_TRY(find_parts(j, err));
    WN_TRY(read_options(t, j, err));
    WN_TRY(wn_tokenizer_json_steps(t, j, err));
    WN_TRY(count_ids(j, &n, err));
    WN_TRY(wn_vocab_init(&t->vocab, n, err));
    WN_TRY(read_vocab(t, j, err));
    for (size_t i = 0; i < json_array_size(j->added); i++)
        WN_TRY(read_added(t, j, i, err));
    WN_TRY(wn_vocab_index(&t->vocab, j->path, err));
    WN_TRY(read_merges(t, j, err));
    WN_TRY(read_unknown(t, j, err));
    WN_TRY(wn_tokenizer_json_bos(t, j, err));
    return wn_tokenizer_finish(t, j->path, err);
}

wn_status wn_tokenizer_from_json(wn_tokenizer **out, const char *path, wn_error *err)
{
    wn_tokenizer_json j = {.path = path};
    WN_TRY(wn_json_load_file(&j.root, path, MAX_FILE, err));
    wn_tokenizer *t = wn_tokenizer_new();
    wn_status status =
        t ? load(t, &j, err) : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    json_decref(j.root);
    return wn_tokenizer_hand_over(t, status, path, out, err);
}
