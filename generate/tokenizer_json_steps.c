/* What a tokenizer.json does with text before and after the BPE model: recognised, never
 * interpreted. */
#include <string.h>

#include "base/json.h"
#include "generate/tokenizer_internal.h"
#include "generate/tokenizer_json.h"

static const char *type_of(const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    return type ? type : "";
}

static bool is_type(const json_t *step, const char *type)
{
    return strcmp(type_of(step), type) == 0;
}

/* The steps of a Sequence (field = its array), or the step itself; NULL past the end. */
static const json_t *step_at(const json_t *step, const char *field, size_t i)
{
    if (is_type(step, "Sequence"))
        return json_array_get(json_object_get(step, field), i);
    return i == 0 && !json_is_null(step) ? step : NULL;
}

static bool flag(const json_t *step, const char *field, bool otherwise)
{
    const json_t *v = json_object_get(step, field);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static wn_status read_normaliser(wn_tokenizer *t, const wn_tokenizer_json *j, wn_error *err)
{
    const json_t *root = json_object_get(j->root, "normalizer"), *step = NULL;
    for (size_t i = 0; (step = step_at(root, "normalizers", i)); i++) {
        if (!is_type(step, "NFC"))
            return wn_error_set(err, WN_UNSUPPORTED, "%s: normalizer \"%.40s\" (known: none, NFC)",
                                j->path, type_of(step));
        t->nfc = true;
    }
    return WN_OK;
}

/* Split by one of the known expressions, each match a piece. */
static bool split_kind(const json_t *step, wn_pretokenizer_kind *kind)
{
    const json_t *pattern = json_object_get(step, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *behavior = json_string_value(json_object_get(step, "behavior"));
    if (!is_type(step, "Split") || !regex || !behavior || flag(step, "invert", false) ||
        strcmp(behavior, "Isolated") != 0)
        return false;
    if (strcmp(regex, WN_PRE_LLAMA3_REGEX) == 0)
        *kind = WN_PRE_LLAMA3;
    else if (strcmp(regex, WN_PRE_QWEN2_REGEX) == 0)
        *kind = WN_PRE_QWEN2;
    else
        return false;
    return true;
}

/* The byte alphabet, with or without GPT-2's expression, and no space put before the text. */
static bool is_byte_level(const json_t *step, bool regex)
{
    return is_type(step, "ByteLevel") && !flag(step, "add_prefix_space", true) &&
           flag(step, "use_regex", true) == regex;
}

static wn_status read_pretokenizer(wn_tokenizer *t, const wn_tokenizer_json *j, wn_error *err)
{
    const json_t *root = json_object_get(j->root, "pre_tokenizer");
    const json_t *a = step_at(root, "pretokenizers", 0), *b = step_at(root, "pretokenizers", 1);
    bool third = step_at(root, "pretokenizers", 2) != NULL;
    if (a && !b && is_byte_level(a, true)) {
        t->pre = WN_PRE_GPT2;
        return WN_OK;
    }
    if (b && !third && is_byte_level(b, false) && split_kind(a, &t->pre))
        return WN_OK;
    if (b && !third && is_byte_level(b, true) && is_type(a, "Digits") &&
        flag(a, "individual_digits", false)) {
        t->pre = WN_PRE_SMOLLM;
        return WN_OK;
    }
    const char *regex = json_string_value(json_object_get(json_object_get(a, "pattern"), "Regex"));
    return wn_error_set(
        err, WN_UNSUPPORTED,
        "%s: pre_tokenizer %.30s %.30s%s%.60s (known: those of Llama 3, Qwen2, SmolLM2 "
        "and GPT-2)",
        j->path, a ? type_of(a) : "none", b ? type_of(b) : "", regex ? ", regex " : "",
        regex ? regex : "");
}

wn_status wn_tokenizer_json_steps(wn_tokenizer *t, const wn_tokenizer_json *j, wn_error *err)
{
    WN_TRY(read_normaliser(t, j, err));
    return read_pretokenizer(t, j, err);
}

wn_status wn_tokenizer_json_bos(wn_tokenizer *t, const wn_tokenizer_json *j, wn_error *err)
{
    const json_t *root = json_object_get(j->root, "post_processor"), *step = NULL;
    for (size_t i = 0; (step = step_at(root, "processors", i)); i++) {
        const json_t *first = json_array_get(json_object_get(step, "single"), 0);
        const json_t *special = json_object_get(first, "SpecialToken");
        const char *name = json_string_value(json_object_get(special, "id"));
        if (!is_type(step, "TemplateProcessing") || !name)
            continue;
        t->bos = wn_tokenizer_find(t, name);
        if (t->bos < 0)
            return wn_error_set(
                err, WN_FORMAT,
                "%s: post_processor begins with \"%.40s\", which is no special token", j->path,
                name);
    }
    return WN_OK;
}
