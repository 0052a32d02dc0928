#include "api/http_fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const json_t *wn_field(const json_t *obj, const char *name)
{
    const json_t *v = json_object_get(obj, name);
    return v && !json_is_null(v) ? v : NULL;
}

static bool bad(wn_http_call *call, const char *name, const char *must)
{
    wn_http_fail(call, 400, "invalid_type", name, "'%s' must be %s.", name, must);
    return false;
}

bool wn_field_string(wn_http_call *call, const json_t *obj, const char *name, size_t max_len,
                     const char **out)
{
    const json_t *v = wn_field(obj, name);
    if (!v)
        return true;
    if (!json_is_string(v))
        return bad(call, name, "a string");
    if (json_string_length(v) > max_len) {
        wn_http_fail(call, 400, "string_above_max_length", name,
                     "'%s' may have %zu bytes, not %zu.", name, max_len, json_string_length(v));
        return false;
    }
    *out = json_string_value(v);
    return true;
}

bool wn_field_required_string(wn_http_call *call, const json_t *obj, const char *name,
                              size_t max_len, const char **out)
{
    *out = NULL;
    if (!wn_field_string(call, obj, name, max_len, out))
        return false;
    if (*out && (*out)[strspn(*out, " \t\r\n")] != '\0')
        return true;
    wn_http_fail(call, 400, "missing_required_parameter", name, "'%s' is needed.", name);
    return false;
}

bool wn_field_int(wn_http_call *call, const json_t *obj, const char *name, int64_t min, int64_t max,
                  int64_t *out)
{
    const json_t *v = wn_field(obj, name);
    if (!v)
        return true;
    if (!json_is_integer(v))
        return bad(call, name, "an integer");
    int64_t n = json_integer_value(v);
    if (n < min || n > max) {
        wn_http_fail(call, 400, "invalid_value", name, "'%s' must be from %lld to %lld.", name,
                     (long long)min, (long long)max);
        return false;
    }
    *out = n;
    return true;
}

bool wn_field_number(wn_http_call *call, const json_t *obj, const char *name, double min,
                     double max, double *out)
{
    const json_t *v = wn_field(obj, name);
    if (!v)
        return true;
    if (!json_is_number(v))
        return bad(call, name, "a number");
    double n = json_number_value(v);
    if (!(n >= min && n <= max)) {
        wn_http_fail(call, 400, "invalid_value", name, "'%s' must be from %g to %g.", name, min,
                     max);
        return false;
    }
    *out = n;
    return true;
}

bool wn_field_bool(wn_http_call *call, const json_t *obj, const char *name, bool *out)
{
    const json_t *v = wn_field(obj, name);
    if (!v)
        return true;
    if (!json_is_boolean(v))
        return bad(call, name, "true or false");
    *out = json_is_true(v);
    return true;
}

bool wn_field_object(wn_http_call *call, const json_t *obj, const char *name, const json_t **out)
{
    const json_t *v = wn_field(obj, name);
    if (v && !json_is_object(v))
        return bad(call, name, "an object");
    *out = v;
    return true;
}

bool wn_field_array(wn_http_call *call, const json_t *obj, const char *name, size_t max_items,
                    const json_t **out)
{
    const json_t *v = wn_field(obj, name);
    if (v && !json_is_array(v))
        return bad(call, name, "an array");
    if (json_array_size(v) > max_items) {
        wn_http_fail(call, 400, "array_above_max_length", name, "'%s' may have %zu items, not %zu.",
                     name, max_items, json_array_size(v));
        return false;
    }
    *out = v;
    return true;
}

bool wn_http_paging_read(wn_http_call *call, bool descending_by_default, wn_http_paging *out)
{
    const char *limit = wn_http_query(call, "limit"), *order = wn_http_query(call, "order");
    *out = (wn_http_paging){.limit = 20, .descending = descending_by_default};
    out->after = wn_http_query(call, "after");
    if (limit) {
        char *end = NULL;
        errno = 0;
        long n = strtol(limit, &end, 10);
        if (errno != 0 || end == limit || *end != '\0' || n < 1 || n > 100) {
            wn_http_fail(call, 400, "invalid_value", "limit", "'limit' must be from 1 to 100.");
            return false;
        }
        out->limit = (size_t)n;
    }
    if (order && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0) {
        wn_http_fail(call, 400, "invalid_value", "order", "'order' must be asc or desc.");
        return false;
    }
    if (order)
        out->descending = order[0] == 'd';
    return true;
}

json_t *wn_http_list_json(json_t *data, bool has_more)
{
    size_t n = json_array_size(data);
    json_t *first = n ? json_object_get(json_array_get(data, 0), "id") : NULL;
    json_t *last = n ? json_object_get(json_array_get(data, n - 1), "id") : NULL;
    return json_pack("{s:s,s:o,s:O?,s:O?,s:b}", "object", "list", "data", data, "first_id", first,
                     "last_id", last, "has_more", has_more);
}
