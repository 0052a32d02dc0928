#include "base/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/gguf_internal.h"

/* Fewest bytes that a key with its value, and a tensor's description, take in a file: counts are
 * checked against them before anything is allocated. */
#define ENTRY_MIN_BYTES (8 + 1 + 4 + 1)
#define TENSOR_MIN_BYTES (8 + 1 + 4 + 8 + 4 + 8)

static const struct {
    const char *name;
    size_t bytes;
} type_table[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},     [GGUF_U32] = {"u32", 4},   [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1}, [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

const char *wn_gguf_type_name(gguf_type type)
{
    return type < GGUF_TYPE_COUNT ? type_table[type].name : "?";
}

size_t wn_gguf_left(const gguf_cursor *c)
{
    return c->g->map.size - c->pos;
}

static wn_status take(gguf_cursor *c, const char *what, size_t n, const uint8_t **out)
{
    if (n > wn_gguf_left(c))
        return wn_error_set(c->err, WN_FORMAT, "%s: file ends inside %s", c->g->path, what);
    *out = c->g->map.data + c->pos;
    c->pos += n;
    return WN_OK;
}

wn_status wn_gguf_take_u32(gguf_cursor *c, const char *what, uint32_t *out)
{
    const uint8_t *p = NULL;
    WN_TRY(take(c, what, sizeof *out, &p));
    memcpy(out, p, sizeof *out);
    return WN_OK;
}

wn_status wn_gguf_take_u64(gguf_cursor *c, const char *what, uint64_t *out)
{
    const uint8_t *p = NULL;
    WN_TRY(take(c, what, sizeof *out, &p));
    memcpy(out, p, sizeof *out);
    return WN_OK;
}

wn_status wn_gguf_take_string(gguf_cursor *c, const char *what, wn_gguf_string *out)
{
    uint64_t len = 0;
    WN_TRY(wn_gguf_take_u64(c, what, &len));
    if (len > wn_gguf_left(c))
        return wn_error_set(c->err, WN_FORMAT, "%s: %s: string of %llu bytes, %zu are left",
                            c->g->path, what, (unsigned long long)len, wn_gguf_left(c));
    *out = (wn_gguf_string){(const char *)c->g->map.data + c->pos, (size_t)len};
    c->pos += (size_t)len;
    return WN_OK;
}

wn_status wn_gguf_take_name(gguf_cursor *c, const char *what, const char **out)
{
    wn_gguf_string s = {0};
    WN_TRY(wn_gguf_take_string(c, what, &s));
    if (!wn_tensor_name_valid(s.data, s.len))
        return wn_error_set(c->err, WN_FORMAT, "%s: %s at byte %zu is empty or no clean text",
                            c->g->path, what, c->pos - s.len);
    *out = wn_arena_strndup(c->g->arena, s.data, s.len);
    if (!*out)
        return wn_error_set(c->err, WN_NO_MEMORY, "%s: no memory for %s", c->g->path, what);
    return WN_OK;
}

/* Remembers where each string of an array starts. */
static wn_status take_string_array(gguf_cursor *c, gguf_entry *e)
{
    e->offsets = wn_arena_alloc(c->g->arena, e->n, sizeof *e->offsets);
    if (!e->offsets)
        return wn_error_set(c->err, WN_NO_MEMORY, "%s: no memory for %zu strings of %s", c->g->path,
                            e->n, e->key);
    for (size_t i = 0; i < e->n; i++) {
        wn_gguf_string s = {0};
        e->offsets[i] = c->pos;
        WN_TRY(wn_gguf_take_string(c, e->key, &s));
    }
    return WN_OK;
}

static wn_status take_array(gguf_cursor *c, gguf_entry *e)
{
    uint32_t element_type = 0;
    uint64_t n = 0;
    WN_TRY(wn_gguf_take_u32(c, e->key, &element_type));
    WN_TRY(wn_gguf_take_u64(c, e->key, &n));
    if (element_type >= GGUF_TYPE_COUNT)
        return wn_error_set(c->err, WN_FORMAT, "%s: %s: unknown element type %u", c->g->path,
                            e->key, element_type);
    if (element_type == GGUF_ARRAY)
        return wn_error_set(c->err, WN_UNSUPPORTED, "%s: %s: arrays of arrays are not supported",
                            c->g->path, e->key);
    bool strings = element_type == GGUF_STRING;
    size_t min_bytes = strings ? 8 : type_table[element_type].bytes;
    if (n > wn_gguf_left(c) / min_bytes)
        return wn_error_set(c->err, WN_FORMAT, "%s: %s: %llu elements do not fit into %zu bytes",
                            c->g->path, e->key, (unsigned long long)n, wn_gguf_left(c));
    e->element_type = element_type;
    e->n = (size_t)n;
    e->data = c->g->map.data + c->pos;
    if (strings)
        return take_string_array(c, e);
    c->pos += e->n * min_bytes;
    return WN_OK;
}

static wn_status take_entry(gguf_cursor *c, gguf_entry *e)
{
    uint32_t type = 0;
    WN_TRY(wn_gguf_take_name(c, "a key", &e->key));
    WN_TRY(wn_gguf_take_u32(c, e->key, &type));
    if (type >= GGUF_TYPE_COUNT)
        return wn_error_set(c->err, WN_FORMAT, "%s: %s: unknown value type %u", c->g->path, e->key,
                            type);
    e->type = type;
    if (type == GGUF_ARRAY)
        return take_array(c, e);
    if (type == GGUF_STRING) {
        wn_gguf_string s = {0};
        e->data = c->g->map.data + c->pos;
        return wn_gguf_take_string(c, e->key, &s);
    }
    return take(c, e->key, type_table[type].bytes, &e->data);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const gguf_entry *)a)->key, ((const gguf_entry *)b)->key);
}

const gguf_entry *wn_gguf_entry(const wn_gguf *g, const char *key)
{
    gguf_entry wanted = {.key = key};
    return g->n_entries ? bsearch(&wanted, g->entries, g->n_entries, sizeof wanted, compare_keys)
                        : NULL;
}

static wn_status take_entries(gguf_cursor *c, size_t n)
{
    wn_gguf *g = c->g;
    g->entries = wn_arena_alloc(g->arena, n, sizeof *g->entries);
    if (!g->entries)
        return wn_error_set(c->err, WN_NO_MEMORY, "%s: no memory for %zu keys", g->path, n);
    for (size_t i = 0; i < n; i++)
        WN_TRY(take_entry(c, &g->entries[i]));
    if (n)
        qsort(g->entries, n, sizeof *g->entries, compare_keys);
    for (size_t i = 1; i < n; i++)
        if (strcmp(g->entries[i - 1].key, g->entries[i].key) == 0)
            return wn_error_set(c->err, WN_FORMAT, "%s: key %s is there twice", g->path,
                                g->entries[i].key);
    g->n_entries = n;
    return WN_OK;
}

/* Magic, version and the two counts. */
static wn_status take_header(gguf_cursor *c, uint64_t *n_tensors, uint64_t *n_entries)
{
    const char *path = c->g->path;
    const uint8_t *magic = NULL;
    uint32_t version = 0;
    if (c->g->map.size < 4 || memcmp(c->g->map.data, "GGUF", 4) != 0)
        return wn_error_set(c->err, WN_FORMAT, "%s: not a GGUF file (magic)", path);
    WN_TRY(take(c, "the magic", 4, &magic));
    WN_TRY(wn_gguf_take_u32(c, "the version", &version));
    if (version != 0 && (version & 0xFFFF) == 0)
        return wn_error_set(c->err, WN_UNSUPPORTED, "%s: big-endian GGUF is not supported", path);
    if (version != 2 && version != 3)
        return wn_error_set(c->err, WN_UNSUPPORTED,
                            "%s: GGUF version %u is not supported (2 and 3 are)", path, version);
    WN_TRY(wn_gguf_take_u64(c, "the tensor count", n_tensors));
    WN_TRY(wn_gguf_take_u64(c, "the key count", n_entries));
    size_t left = wn_gguf_left(c);
    if (*n_tensors > left / TENSOR_MIN_BYTES || *n_entries > left / ENTRY_MIN_BYTES)
        return wn_error_set(c->err, WN_FORMAT,
                            "%s: %llu tensors and %llu keys do not fit into %zu bytes", path,
                            (unsigned long long)*n_tensors, (unsigned long long)*n_entries, left);
    return WN_OK;
}

/* What hostile counts could make us hold is bounded by a multiple of the file's size. */
static wn_status open_arena(wn_gguf *g, wn_error *err)
{
    size_t cap = 0;
    if (!wn_size_mul(g->map.size, 16, &cap) || !wn_size_add(cap, 64 << 10, &cap))
        return wn_error_set(err, WN_LIMIT, "%s: too large", g->path);
    return wn_arena_create(&g->arena, cap, err);
}

static wn_status parse(wn_gguf *g, wn_error *err)
{
    gguf_cursor c = {.g = g, .err = err};
    uint64_t n_tensors = 0, n_entries = 0;
    WN_TRY(open_arena(g, err));
    WN_TRY(take_header(&c, &n_tensors, &n_entries));
    WN_TRY(take_entries(&c, (size_t)n_entries));
    return wn_gguf_take_tensors(&c, (size_t)n_tensors);
}

wn_status wn_gguf_open(wn_gguf **out, const char *path, wn_error *err)
{
    wn_gguf *g = wn_alloc(1, sizeof *g);
    if (!g || !(g->path = wn_strdup(path))) {
        free(g);
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    }
    wn_status status = wn_file_map_open(&g->map, path, err);
    if (status == WN_OK)
        status = parse(g, err);
    if (status != WN_OK) {
        wn_gguf_close(g);
        return status;
    }
    *out = g;
    return WN_OK;
}

void wn_gguf_close(wn_gguf *g)
{
    if (!g)
        return;
    wn_tensor_table_free(&g->tensors);
    wn_arena_free(g->arena);
    wn_file_map_close(&g->map);
    free(g->path);
    free(g);
}

const char *wn_gguf_path(const wn_gguf *g)
{
    return g->path;
}
