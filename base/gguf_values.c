/* Typed look-ups of a GGUF file's keys. */
#include <string.h>

#include "base/gguf_internal.h"

wn_gguf_string wn_gguf_string_at(const uint8_t *p)
{
    uint64_t len = 0;
    memcpy(&len, p, sizeof len);
    return (wn_gguf_string){(const char *)p + sizeof len, (size_t)len};
}

bool wn_gguf_has(const wn_gguf *g, const char *key)
{
    return wn_gguf_entry(g, key) != NULL;
}

static wn_status find(const wn_gguf *g, const char *key, const gguf_entry **out, wn_error *err)
{
    *out = wn_gguf_entry(g, key);
    if (!*out)
        return wn_error_set(err, WN_NOT_FOUND, "%s: key %s is missing", g->path, key);
    return WN_OK;
}

static wn_status wrong_type(const wn_gguf *g, const gguf_entry *e, const char *wanted,
                            wn_error *err)
{
    const char *array_of = e->type == GGUF_ARRAY ? wn_gguf_type_name(e->element_type) : "";
    return wn_error_set(err, WN_FORMAT, "%s: key %s: %s expected, found %s%s%s", g->path, e->key,
                        wanted, wn_gguf_type_name(e->type), *array_of ? " of " : "", array_of);
}

#define LOAD(type, p, out)                                                                         \
    do {                                                                                           \
        type load_ = 0;                                                                            \
        memcpy(&load_, (p), sizeof load_);                                                         \
        (out) = load_;                                                                             \
    } while (0)

/* An integer of any width as sign and magnitude; false for other types. */
static bool load_integer(gguf_type type, const uint8_t *p, bool *negative, uint64_t *magnitude)
{
    int64_t i = 0;
    uint64_t u = 0;
    switch (type) {
    case GGUF_U8:
        LOAD(uint8_t, p, u);
        break;
    case GGUF_U16:
        LOAD(uint16_t, p, u);
        break;
    case GGUF_U32:
        LOAD(uint32_t, p, u);
        break;
    case GGUF_U64:
        LOAD(uint64_t, p, u);
        break;
    case GGUF_I8:
        LOAD(int8_t, p, i);
        break;
    case GGUF_I16:
        LOAD(int16_t, p, i);
        break;
    case GGUF_I32:
        LOAD(int32_t, p, i);
        break;
    case GGUF_I64:
        LOAD(int64_t, p, i);
        break;
    default:
        return false;
    }
    *negative = i < 0;
    *magnitude = i < 0 ? 0 - (uint64_t)i : u + (uint64_t)i;
    return true;
}

static size_t scalar_bytes(gguf_type type)
{
    switch (type) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL:
        return 1;
    case GGUF_U16:
    case GGUF_I16:
        return 2;
    case GGUF_U64:
    case GGUF_I64:
    case GGUF_F64:
        return 8;
    default:
        return 4;
    }
}

wn_status wn_gguf_u32(const wn_gguf *g, const char *key, uint32_t *out, wn_error *err)
{
    const gguf_entry *e = NULL;
    bool negative = false;
    uint64_t magnitude = 0;
    WN_TRY(find(g, key, &e, err));
    if (!load_integer(e->type, e->data, &negative, &magnitude))
        return wrong_type(g, e, "an integer", err);
    if ((negative && magnitude != 0) || magnitude > UINT32_MAX)
        return wn_error_set(err, WN_FORMAT, "%s: key %s: %s%llu is out of range", g->path, key,
                            negative ? "-" : "", (unsigned long long)magnitude);
    *out = (uint32_t)magnitude;
    return WN_OK;
}

wn_status wn_gguf_f32(const wn_gguf *g, const char *key, float *out, wn_error *err)
{
    const gguf_entry *e = NULL;
    WN_TRY(find(g, key, &e, err));
    if (e->type == GGUF_F32) {
        memcpy(out, e->data, sizeof *out);
    } else if (e->type == GGUF_F64) {
        double d = 0;
        memcpy(&d, e->data, sizeof d);
        *out = (float)d;
    } else {
        return wrong_type(g, e, "a number", err);
    }
    return WN_OK;
}

wn_status wn_gguf_bool(const wn_gguf *g, const char *key, bool *out, wn_error *err)
{
    const gguf_entry *e = NULL;
    WN_TRY(find(g, key, &e, err));
    if (e->type != GGUF_BOOL)
        return wrong_type(g, e, "a bool", err);
    if (e->data[0] > 1)
        return wn_error_set(err, WN_FORMAT, "%s: key %s: %u is no bool", g->path, key, e->data[0]);
    *out = e->data[0] == 1;
    return WN_OK;
}

wn_status wn_gguf_str(const wn_gguf *g, const char *key, wn_gguf_string *out, wn_error *err)
{
    const gguf_entry *e = NULL;
    WN_TRY(find(g, key, &e, err));
    if (e->type != GGUF_STRING)
        return wrong_type(g, e, "a string", err);
    *out = wn_gguf_string_at(e->data);
    return WN_OK;
}

static wn_status find_array(const wn_gguf *g, const char *key, const gguf_entry **out,
                            wn_error *err)
{
    WN_TRY(find(g, key, out, err));
    return (*out)->type == GGUF_ARRAY ? WN_OK : wrong_type(g, *out, "an array", err);
}

/* Array `key`, and that i is inside it. */
static wn_status find_element(const wn_gguf *g, const char *key, size_t i, const gguf_entry **out,
                              wn_error *err)
{
    WN_TRY(find_array(g, key, out, err));
    if (i >= (*out)->n)
        return wn_error_set(err, WN_INVALID, "%s: key %s: element %zu of %zu", g->path, key, i,
                            (*out)->n);
    return WN_OK;
}

wn_status wn_gguf_array_len(const wn_gguf *g, const char *key, size_t *out, wn_error *err)
{
    const gguf_entry *e = NULL;
    WN_TRY(find_array(g, key, &e, err));
    *out = e->n;
    return WN_OK;
}

wn_status wn_gguf_array_str(const wn_gguf *g, const char *key, size_t i, wn_gguf_string *out,
                            wn_error *err)
{
    const gguf_entry *e = NULL;
    WN_TRY(find_element(g, key, i, &e, err));
    if (e->element_type != GGUF_STRING)
        return wrong_type(g, e, "an array of strings", err);
    *out = wn_gguf_string_at(g->map.data + e->offsets[i]);
    return WN_OK;
}

wn_status wn_gguf_array_i32(const wn_gguf *g, const char *key, size_t i, int32_t *out,
                            wn_error *err)
{
    const gguf_entry *e = NULL;
    bool negative = false;
    uint64_t magnitude = 0;
    WN_TRY(find_element(g, key, i, &e, err));
    const uint8_t *p = e->data + i * scalar_bytes(e->element_type);
    if (!load_integer(e->element_type, p, &negative, &magnitude))
        return wrong_type(g, e, "an array of integers", err);
    if (magnitude > (uint64_t)INT32_MAX + negative)
        return wn_error_set(err, WN_FORMAT, "%s: key %s: element %zu is out of range", g->path, key,
                            i);
    *out = (int32_t)(negative ? -(int64_t)magnitude : (int64_t)magnitude);
    return WN_OK;
}

wn_status wn_gguf_array_f32(const wn_gguf *g, const char *key, size_t i, float *out, wn_error *err)
{
    const gguf_entry *e = NULL;
    WN_TRY(find_element(g, key, i, &e, err));
    if (e->element_type != GGUF_F32)
        return wrong_type(g, e, "an array of f32", err);
    memcpy(out, e->data + i * sizeof *out, sizeof *out);
    return WN_OK;
}
