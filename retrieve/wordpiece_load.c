/* WordPiece vocabulary and options from tokenizer.json, or from vocab.txt and
 * tokenizer_config.json. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "retrieve/wordpiece_internal.h"

#define MAX_FILE ((size_t)64 << 20) /* bytes */
#define MAX_VOCAB ((size_t)1 << 20)

static size_t slot_of(uint64_t hash, size_t n_slots)
{
    return (size_t)(hash ^ hash >> 32) & (n_slots - 1);
}

static size_t find_slot(const wn_wordpiece *w, const char *bytes, size_t len, bool inside,
                        uint64_t hash)
{
    size_t i = slot_of(hash, w->n_slots);
    for (; w->slots[i] >= 0; i = (i + 1) & (w->n_slots - 1)) {
        const wn_wordpiece_token *t = &w->tokens[w->slots[i]];
        if (t->len == len && t->inside == inside && memcmp(w->bytes + t->start, bytes, len) == 0)
            break;
    }
    return i;
}

int32_t wn_wordpiece_find(const wn_wordpiece *w, const char *bytes, size_t len, bool inside,
                          uint64_t hash)
{
    return w->slots[find_slot(w, bytes, len, inside, hash)];
}

static uint64_t hash_of(const char *bytes, size_t len, bool inside)
{
    uint64_t h = wn_wordpiece_hash_start(inside);
    for (size_t i = 0; i < len; i++)
        h = wn_wordpiece_hash_byte(h, bytes[i]);
    return h;
}

/* A token as the file writes it, entered under its id; `blob` collects the bytes. */
static wn_status add_token(wn_wordpiece *w, wn_strbuf *blob, const char *text, size_t len,
                           int64_t id, const char *path, wn_error *err)
{
    if (id < 0 || (uint64_t)id >= w->n || w->tokens[id].present)
        return wn_error_set(err, WN_FORMAT, "%s: \"%.40s\" has id %lld, %s", path, text,
                            (long long)id,
                            id < 0 || (uint64_t)id >= w->n ? "out of range" : "given twice");
    bool inside = len > 2 && text[0] == '#' && text[1] == '#';
    size_t skip = inside ? 2 : 0;
    w->tokens[id] = (wn_wordpiece_token){(uint32_t)blob->len, (uint32_t)(len - skip), inside, true};
    wn_strbuf_add(blob, text + skip, len - skip);
    if (len - skip > w->max_token_bytes)
        w->max_token_bytes = len - skip;
    return WN_OK;
}

static wn_status index_tokens(wn_wordpiece *w, wn_strbuf *blob, const char *path, wn_error *err)
{
    size_t n_slots = 64;
    while (n_slots < 2 * w->n)
        n_slots *= 2;
    w->bytes_len = blob->len;
    w->bytes = wn_strbuf_detach(blob);
    w->slots = wn_alloc(n_slots, sizeof *w->slots);
    if (!w->bytes || !w->slots)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    memset(w->slots, 0xFF, n_slots * sizeof *w->slots);
    w->n_slots = n_slots;
    for (size_t id = 0; id < w->n; id++) {
        const wn_wordpiece_token *t = &w->tokens[id];
        if (!t->present)
            continue;
        const char *bytes = w->bytes + t->start;
        size_t slot = find_slot(w, bytes, t->len, t->inside, hash_of(bytes, t->len, t->inside));
        if (w->slots[slot] >= 0)
            return wn_error_set(err, WN_FORMAT, "%s: tokens %d and %zu are the same", path,
                                w->slots[slot], id);
        w->slots[slot] = (int32_t)id;
    }
    return WN_OK;
}

static wn_status find_special(const wn_wordpiece *w, const char *name, int32_t *out,
                              const char *path, wn_error *err)
{
    size_t len = strlen(name);
    *out = wn_wordpiece_find(w, name, len, false, hash_of(name, len, false));
    if (*out < 0)
        return wn_error_set(err, WN_FORMAT, "%s: the vocabulary has no %.40s", path, name);
    return WN_OK;
}

static wn_status finish(wn_wordpiece *w, wn_strbuf *blob, const char *unknown, const char *path,
                        wn_error *err)
{
    WN_TRY(index_tokens(w, blob, path, err));
    WN_TRY(find_special(w, unknown, &w->unknown, path, err));
    WN_TRY(find_special(w, "[CLS]", &w->cls, path, err));
    return find_special(w, "[SEP]", &w->sep, path, err);
}

static wn_status new_tokens(wn_wordpiece *w, size_t n, const char *path, wn_error *err)
{
    if (n == 0 || n > MAX_VOCAB)
        return wn_error_set(err, WN_FORMAT, "%s: vocabulary of %zu tokens (1 to %zu are possible)",
                            path, n, MAX_VOCAB);
    w->n = n;
    w->tokens = wn_alloc(n, sizeof *w->tokens);
    return w->tokens ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
}

/* tokenizer.json ----------------------------------------------------------------------------------
 */

static wn_status check_type(const json_t *step, const char *name, const char *wanted,
                            const char *path, wn_error *err)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    if (type && strcmp(type, wanted) == 0)
        return WN_OK;
    return wn_error_set(err, WN_UNSUPPORTED, "%s: %s \"%.40s\" (known: %s)", path, name,
                        type ? type : "none", wanted);
}

static wn_status read_steps(wn_wordpiece *w, const json_t *root, const char *path, wn_error *err)
{
    const json_t *normaliser = json_object_get(root, "normalizer");
    WN_TRY(check_type(json_object_get(root, "model"), "model.type", "WordPiece", path, err));
    WN_TRY(check_type(normaliser, "normalizer", "BertNormalizer", path, err));
    WN_TRY(check_type(json_object_get(root, "pre_tokenizer"), "pre_tokenizer", "BertPreTokenizer",
                      path, err));
    WN_TRY(wn_json_get_bool(normaliser, "clean_text", &w->clean_text, err));
    WN_TRY(wn_json_get_bool(normaliser, "handle_chinese_chars", &w->cjk, err));
    WN_TRY(wn_json_get_bool(normaliser, "lowercase", &w->lowercase, err));
    w->strip_accents = w->lowercase; /* BERT's rule when the field is null */
    return wn_json_get_bool(normaliser, "strip_accents", &w->strip_accents, err);
}

static wn_status read_model(wn_wordpiece *w, const json_t *model, const char *path, wn_error *err)
{
    json_t *vocab = json_object_get(model, "vocab"), *value = NULL;
    const char *key = NULL, *unknown = "[UNK]", *prefix = "##";
    int64_t max_chars = 100;
    wn_strbuf blob = {0};
    wn_status status = WN_OK;
    WN_TRY(wn_json_get_str(model, "unk_token", &unknown, err));
    WN_TRY(wn_json_get_str(model, "continuing_subword_prefix", &prefix, err));
    WN_TRY(wn_json_get_int(model, "max_input_chars_per_word", 1, WN_WORDPIECE_MAX_WORD, &max_chars,
                           err));
    w->max_word_chars = (size_t)max_chars;
    if (strcmp(prefix, "##") != 0)
        return wn_error_set(err, WN_UNSUPPORTED,
                            "%s: model.continuing_subword_prefix \"%.40s\" (known: ##)", path,
                            prefix);
    if (!json_is_object(vocab))
        return wn_error_set(err, WN_FORMAT, "%s: model.vocab must be an object", path);
    WN_TRY(new_tokens(w, json_object_size(vocab), path, err));
    json_object_foreach(vocab, key, value)
    {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        WN_TRY_OUT(add_token(w, &blob, key, strlen(key), id, path, err));
    }
    WN_TRY_OUT(finish(w, &blob, unknown, path, err));
out:
    wn_strbuf_free(&blob);
    return status;
}

static wn_status load_json(wn_wordpiece *w, const char *path, wn_error *err)
{
    json_t *root = NULL;
    WN_TRY(wn_json_load_file(&root, path, MAX_FILE, err));
    wn_status status = read_steps(w, root, path, err);
    if (status == WN_OK)
        status = read_model(w, json_object_get(root, "model"), path, err);
    json_decref(root);
    if (status != WN_OK && err && strncmp(err->text, path, strlen(path)) != 0)
        wn_error_prefix(err, path);
    return status;
}

/* vocab.txt ---------------------------------------------------------------------------------------
 */

static wn_status read_config(wn_wordpiece *w, const char *dir, wn_error *err)
{
    json_t *root = NULL;
    char *path = wn_fs_join(dir, "tokenizer_config.json");
    if (!path)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", dir);
    wn_status status = WN_OK;
    if (wn_fs_exists(path)) {
        WN_TRY_OUT(wn_json_load_file(&root, path, MAX_FILE, err));
        WN_TRY_OUT(wn_json_get_bool(root, "do_lower_case", &w->lowercase, err));
        WN_TRY_OUT(wn_json_get_bool(root, "tokenize_chinese_chars", &w->cjk, err));
        w->strip_accents = w->lowercase;
        WN_TRY_OUT(wn_json_get_bool(root, "strip_accents", &w->strip_accents, err));
    }
out:
    json_decref(root);
    free(path);
    return status;
}

/* One token a line; the id is the line's number from 0. */
static wn_status read_lines(wn_wordpiece *w, const wn_strbuf *text, wn_strbuf *blob,
                            const char *path, wn_error *err)
{
    const char *s = wn_strbuf_cstr(text), *end = s + text->len;
    size_t n = 0;
    for (const char *p = s; p < end; p++)
        n += *p == '\n' || p + 1 == end;
    WN_TRY(new_tokens(w, n, path, err));
    for (int64_t id = 0; s < end; id++) {
        const char *line_end = memchr(s, '\n', (size_t)(end - s));
        line_end = line_end ? line_end : end;
        size_t len = (size_t)(line_end - s);
        if (len > 0 && s[len - 1] == '\r')
            len--;
        if (len > 0)
            WN_TRY(add_token(w, blob, s, len, id, path, err));
        s = line_end + 1;
    }
    return finish(w, blob, "[UNK]", path, err);
}

static wn_status load_text(wn_wordpiece *w, const char *dir, const char *path, wn_error *err)
{
    wn_strbuf text = {0}, blob = {0};
    wn_status status = read_config(w, dir, err);
    if (status == WN_OK)
        status = wn_fs_read(&text, path, MAX_FILE, err);
    if (status == WN_OK)
        status = read_lines(w, &text, &blob, path, err);
    wn_strbuf_free(&text);
    wn_strbuf_free(&blob);
    return status;
}

wn_status wn_wordpiece_open(wn_wordpiece **out, const char *dir, wn_error *err)
{
    wn_status status = WN_OK;
    char *json = wn_fs_join(dir, "tokenizer.json"), *lines = wn_fs_join(dir, "vocab.txt");
    wn_wordpiece *w = wn_alloc(1, sizeof *w);
    if (!json || !lines || !w) {
        status = wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", dir);
        goto out;
    }
    w->clean_text = w->cjk = w->strip_accents = w->lowercase = true;
    w->max_word_chars = 100;
    if (wn_fs_exists(json))
        status = load_json(w, json, err);
    else if (wn_fs_exists(lines))
        status = load_text(w, dir, lines, err);
    else
        status =
            wn_error_set(err, WN_NOT_FOUND, "%s: holds neither tokenizer.json nor vocab.txt", dir);
    if (status == WN_OK) {
        *out = w;
        w = NULL;
    }
out:
    wn_wordpiece_close(w);
    free(json);
    free(lines);
    return status;
}

void wn_wordpiece_close(wn_wordpiece *w)
{
    if (!w)
        return;
    free(w->tokens);
    free(w->bytes);
    free(w->slots);
    free(w);
}

size_t wn_wordpiece_n_vocab(const wn_wordpiece *w)
{
    return w->n;
}

int32_t wn_wordpiece_cls(const wn_wordpiece *w)
{
    return w->cls;
}

int32_t wn_wordpiece_sep(const wn_wordpiece *w)
{
    return w->sep;
}
