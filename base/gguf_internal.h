/* Shared by the files of the GGUF reader: gguf.c (open, keys and values), gguf_tensors.c (tensor
 * descriptions), gguf_values.c (typed look-ups). */
#ifndef WN_BASE_GGUF_INTERNAL_H
#define WN_BASE_GGUF_INTERNAL_H

#include "base/arena.h"
#include "base/file_map.h"
#include "base/gguf.h"
#include "base/tensor_table.h"

/* Numbers are those of the file format. */
typedef enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
} gguf_type;

typedef struct gguf_entry {
    const char *key;
    gguf_type type, element_type; /* element_type: of arrays */
    const uint8_t *data;          /* scalar, string (with its length in front) or first element */
    size_t n;                     /* elements of an array */
    size_t *offsets;              /* arrays of strings: of each element in the file */
} gguf_entry;

struct wn_gguf {
    char *path;
    wn_file_map map;
    wn_arena *arena;     /* names, entries, offsets */
    gguf_entry *entries; /* sorted by key */
    size_t n_entries;
    wn_tensor_table tensors;
};

/* Reads forward through the map; every take checks the bytes left. */
typedef struct gguf_cursor {
    wn_gguf *g;
    size_t pos;
    wn_error *err;
} gguf_cursor;

size_t wn_gguf_left(const gguf_cursor *c);
/* WN_FORMAT "path: file ends inside <what>" when it ends too early. */
wn_status wn_gguf_take_u32(gguf_cursor *c, const char *what, uint32_t *out);
wn_status wn_gguf_take_u64(gguf_cursor *c, const char *what, uint64_t *out);
wn_status wn_gguf_take_string(gguf_cursor *c, const char *what, wn_gguf_string *out);
/* A key or tensor name: taken, checked by wn_tensor_name_valid, copied with a NUL. */
wn_status wn_gguf_take_name(gguf_cursor *c, const char *what, const char **out);
wn_status wn_gguf_take_tensors(gguf_cursor *c, size_t n_tensors);

wn_gguf_string wn_gguf_string_at(const uint8_t *p); /* length-prefixed, already validated */
const gguf_entry *wn_gguf_entry(const wn_gguf *g, const char *key); /* or NULL */
const char *wn_gguf_type_name(gguf_type type);

#endif
