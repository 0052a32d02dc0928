#include "base/json.h"

#include <string.h>

#include "base/fs.h"

static wn_status json_error(wn_error *err, const char *name, const json_error_t *e)
{
    /* jansson leaves the text empty when its very first allocations fail. */
    if (json_error_code(e) == json_error_out_of_memory || e->text[0] == '\0')
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", name);
    return wn_error_set(err, WN_FORMAT, "%s: not valid JSON at line %d, column %d: %s", name,
                        e->line, e->column, e->text);
}

wn_status wn_json_parse(json_t **out, const char *text, size_t len, const char *name, wn_error *err)
{
    json_error_t e;
    *out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
    return *out ? WN_OK : json_error(err, name, &e);
}

wn_status wn_json_load_file(json_t **out, const char *path, size_t max_bytes, wn_error *err)
{
    wn_strbuf text = {0};
    wn_status status = wn_fs_read(&text, path, max_bytes, err);
    if (status == WN_OK)
        status = wn_json_parse(out, wn_strbuf_cstr(&text), text.len, path, err);
    wn_strbuf_free(&text);
    return status;
}

/* The field's value, NULL when absent or null. */
static const json_t *field_of(const json_t *obj, const char *field)
{
    const json_t *v = json_object_get(obj, field);
    return v && !json_is_null(v) ? v : NULL;
}

wn_status wn_json_get_str(const json_t *obj, const char *field, const char **out, wn_error *err)
{
    const json_t *v = field_of(obj, field);
    if (!v)
        return WN_OK;
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
        return wn_error_set(err, WN_INVALID, "%s must be a string", field);
    *out = json_string_value(v);
    return WN_OK;
}

wn_status wn_json_get_int(const json_t *obj, const char *field, int64_t min, int64_t max,
                          int64_t *out, wn_error *err)
{
    const json_t *v = field_of(obj, field);
    if (!v)
        return WN_OK;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return wn_error_set(err, WN_INVALID, "%s must be an integer from %lld to %lld", field,
                            (long long)min, (long long)max);
    *out = json_integer_value(v);
    return WN_OK;
}

wn_status wn_json_get_num(const json_t *obj, const char *field, double min, double max, double *out,
                          wn_error *err)
{
    const json_t *v = field_of(obj, field);
    if (!v)
        return WN_OK;
    double number = json_number_value(v);
    if (!json_is_number(v) || !(number >= min && number <= max))
        return wn_error_set(err, WN_INVALID, "%s must be a number from %g to %g", field, min, max);
    *out = number;
    return WN_OK;
}

wn_status wn_json_get_bool(const json_t *obj, const char *field, bool *out, wn_error *err)
{
    const json_t *v = field_of(obj, field);
    if (!v)
        return WN_OK;
    if (!json_is_boolean(v))
        return wn_error_set(err, WN_INVALID, "%s must be true or false", field);
    *out = json_is_true(v);
    return WN_OK;
}
