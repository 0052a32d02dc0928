/* The header of one safetensors file: 8 bytes length (little endian), JSON
 * {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {...}},
 * data. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/safetensors_internal.h"
#include "base/tensor_table.h"

#define LENGTH_BYTES 8
#define MAX_HEADER_BYTES (100u << 20) /* the format's own limit */
#define METADATA_KEY "__metadata__"

static wn_status check_metadata(const safetensors_shard *shard, wn_error *err)
{
    json_t *metadata = json_object_get(shard->header, METADATA_KEY);
    const char *key = NULL;
    json_t *value = NULL;
    if (metadata && !json_is_object(metadata))
        return wn_error_set(err, WN_FORMAT, "%s: __metadata__ is no object", shard->path);
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return wn_error_set(err, WN_FORMAT, "%s: __metadata__ %s is no string", shard->path,
                                key);
    }
    return WN_OK;
}

wn_status wn_safetensors_shard_open(safetensors_shard *shard, wn_error *err)
{
    uint64_t header_bytes = 0;
    WN_TRY(wn_file_map_open(&shard->map, shard->path, err));
    size_t size = shard->map.size;
    if (size < LENGTH_BYTES)
        return wn_error_set(err, WN_FORMAT, "%s: %zu bytes are no safetensors file", shard->path,
                            size);
    memcpy(&header_bytes, shard->map.data, sizeof header_bytes);
    if (header_bytes > size - LENGTH_BYTES || header_bytes > MAX_HEADER_BYTES)
        return wn_error_set(err, WN_FORMAT, "%s: header of %llu bytes in a file of %zu",
                            shard->path, (unsigned long long)header_bytes, size);
    const char *text = (const char *)shard->map.data + LENGTH_BYTES;
    WN_TRY(wn_json_parse(&shard->header, text, (size_t)header_bytes, shard->path, err));
    if (!json_is_object(shard->header))
        return wn_error_set(err, WN_FORMAT, "%s: the header is no object", shard->path);
    WN_TRY(check_metadata(shard, err));
    shard->data_start = LENGTH_BYTES + (size_t)header_bytes;
    shard->n_tensors = json_object_size(shard->header);
    if (json_object_get(shard->header, METADATA_KEY))
        shard->n_tensors--;
    return WN_OK;
}

void wn_safetensors_shard_close(safetensors_shard *shard)
{
    json_decref(shard->header);
    wn_file_map_close(&shard->map);
    free(shard->path);
    *shard = (safetensors_shard){0};
}

static wn_status bad_tensor(const safetensors_shard *shard, const wn_tensor *t, const char *what,
                            wn_error *err)
{
    return wn_error_set(err, WN_FORMAT, "%s: tensor %s: %s", shard->path, t->name, what);
}

static wn_status read_dtype(const safetensors_shard *shard, const json_t *spec, wn_tensor *t,
                            wn_error *err)
{
    static const wn_dtype known[] = {WN_DTYPE_F32, WN_DTYPE_F16, WN_DTYPE_BF16, WN_DTYPE_I32,
                                     WN_DTYPE_I64};
    const char *name = json_string_value(json_object_get(spec, "dtype"));
    if (!name)
        return bad_tensor(shard, t, "dtype is missing or no string", err);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, wn_dtype_name(known[i])) == 0) {
            t->dtype = known[i];
            return WN_OK;
        }
    return wn_error_set(err, WN_UNSUPPORTED, "%s: tensor %s: dtype %s is not supported",
                        shard->path, t->name, name);
}

/* shape, and the bytes that it makes with the dtype */
static wn_status read_shape(const safetensors_shard *shard, const json_t *spec, wn_tensor *t,
                            wn_error *err)
{
    const json_t *shape = json_object_get(spec, "shape");
    size_t n_dims = json_array_size(shape), n = 1;
    if (!json_is_array(shape))
        return bad_tensor(shard, t, "shape is missing or no array", err);
    if (n_dims > WN_TENSOR_MAX_DIMS)
        return wn_error_set(err, WN_UNSUPPORTED, "%s: tensor %s: %zu dimensions (up to %d)",
                            shard->path, t->name, n_dims, WN_TENSOR_MAX_DIMS);
    t->n_dims = (int)n_dims;
    for (size_t i = 0; i < n_dims; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return bad_tensor(shard, t, "shape holds something else than sizes", err);
        t->shape[i] = (size_t)json_integer_value(d);
        if (!wn_size_mul(n, t->shape[i], &n))
            return bad_tensor(shard, t, "shape is too large", err);
    }
    if (!wn_dtype_bytes(t->dtype, n, &t->bytes))
        return bad_tensor(shard, t, "shape is too large", err);
    return WN_OK;
}

static wn_status read_place(const safetensors_shard *shard, const json_t *spec, wn_tensor *t,
                            wn_error *err)
{
    const json_t *offsets = json_object_get(spec, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return bad_tensor(shard, t, "data_offsets is no pair of integers", err);
    long long begin = json_integer_value(first), end = json_integer_value(last);
    size_t room = shard->map.size - shard->data_start;
    if (begin < 0 || end < begin || (unsigned long long)end > room)
        return wn_error_set(err, WN_FORMAT,
                            "%s: tensor %s: data_offsets [%lld, %lld] do not fit into %zu bytes",
                            shard->path, t->name, begin, end, room);
    if ((size_t)(end - begin) != t->bytes)
        return wn_error_set(err, WN_FORMAT,
                            "%s: tensor %s: shape and dtype make %zu bytes, data_offsets %lld",
                            shard->path, t->name, t->bytes, end - begin);
    t->data = shard->map.data + shard->data_start + begin;
    return WN_OK;
}

wn_status wn_safetensors_shard_tensors(const safetensors_shard *shard, wn_tensor *items,
                                       wn_error *err)
{
    const char *name = NULL;
    json_t *spec = NULL;
    size_t n = 0;
    json_object_foreach(shard->header, name, spec)
    {
        if (strcmp(name, METADATA_KEY) == 0)
            continue;
        if (!wn_tensor_name_valid(name, strlen(name)))
            return wn_error_set(err, WN_FORMAT, "%s: a tensor's name is empty or no clean text",
                                shard->path);
        wn_tensor *t = &items[n++];
        t->name = name;
        if (!json_is_object(spec))
            return bad_tensor(shard, t, "its description is no object", err);
        WN_TRY(read_dtype(shard, spec, t, err));
        WN_TRY(read_shape(shard, spec, t, err));
        WN_TRY(read_place(shard, spec, t, err));
    }
    return wn_tensor_table_check_layout(items, n, shard->map.data + shard->data_start,
                                        shard->map.size - shard->data_start, true, shard->path,
                                        err);
}
