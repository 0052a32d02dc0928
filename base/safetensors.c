#include "base/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/safetensors_internal.h"
#include "base/tensor_table.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"
#define MAX_INDEX_BYTES (64u << 20)
#define MAX_SHARDS 1024

struct wn_safetensors {
    safetensors_shard *shards;
    size_t n_shards;
    wn_tensor_table tensors;
};

/* One more shard; takes ownership of path (NULL = memory was out). */
static wn_status add_shard(wn_safetensors *st, char *path, wn_error *err)
{
    safetensors_shard *more = path ? wn_realloc(st->shards, st->n_shards + 1, sizeof *more) : NULL;
    if (!more) {
        free(path);
        return wn_error_set(err, WN_NO_MEMORY, "safetensors: out of memory");
    }
    st->shards = more;
    st->shards[st->n_shards] = (safetensors_shard){.path = path};
    st->n_shards++;
    return WN_OK;
}

static bool has_shard(const wn_safetensors *st, const char *file)
{
    for (size_t i = 0; i < st->n_shards; i++)
        if (strcmp(wn_fs_basename(st->shards[i].path), file) == 0)
            return true;
    return false;
}

/* The shards that the index names, each once. Names are plain file names: an index cannot reach out
 * of its folder. */
static wn_status add_indexed_shards(wn_safetensors *st, const char *dir, const json_t *weight_map,
                                    const char *index_path, wn_error *err)
{
    const char *tensor = NULL;
    json_t *value = NULL;
    if (!json_is_object(weight_map) || json_object_size(weight_map) == 0)
        return wn_error_set(err, WN_FORMAT, "%s: weight_map is missing or empty", index_path);
    json_object_foreach((json_t *)(uintptr_t)weight_map, tensor, value)
    {
        const char *file = json_string_value(value);
        if (!file || !wn_tensor_name_valid(file, json_string_length(value)) || file[0] == '.' ||
            strpbrk(file, "/\\"))
            return wn_error_set(err, WN_FORMAT, "%s: weight_map: %s: no plain file name",
                                index_path, tensor);
        if (has_shard(st, file))
            continue;
        if (st->n_shards == MAX_SHARDS)
            return wn_error_set(err, WN_LIMIT, "%s: more than %d shards", index_path, MAX_SHARDS);
        WN_TRY(add_shard(st, wn_fs_join(dir, file), err));
    }
    return WN_OK;
}

/* Opens the listed shards and gathers their tensors in one table. */
static wn_status load_shards(wn_safetensors *st, const char *path, wn_error *err)
{
    size_t total = 0, n = 0;
    for (size_t i = 0; i < st->n_shards; i++) {
        WN_TRY(wn_safetensors_shard_open(&st->shards[i], err));
        total += st->shards[i].n_tensors;
    }
    WN_TRY(wn_tensor_table_init(&st->tensors, total, path, err));
    for (size_t i = 0; i < st->n_shards; i++) {
        WN_TRY(wn_safetensors_shard_tensors(&st->shards[i], st->tensors.items + n, err));
        n += st->shards[i].n_tensors;
    }
    return wn_tensor_table_index(&st->tensors, path, err);
}

/* Every tensor that the index promises is really there. */
static wn_status check_index(const wn_safetensors *st, const json_t *weight_map,
                             const char *index_path, wn_error *err)
{
    const char *tensor = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)weight_map, tensor, value)
    {
        if (!wn_safetensors_tensor(st, tensor))
            return wn_error_set(err, WN_FORMAT, "%s: tensor %s is not in %s", index_path, tensor,
                                json_string_value(value));
    }
    return WN_OK;
}

static wn_status open_indexed(wn_safetensors *st, const char *dir, const char *index_path,
                              wn_error *err)
{
    json_t *index = NULL;
    WN_TRY(wn_json_load_file(&index, index_path, MAX_INDEX_BYTES, err));
    const json_t *weight_map = json_object_get(index, "weight_map");
    wn_status status = add_indexed_shards(st, dir, weight_map, index_path, err);
    if (status == WN_OK)
        status = load_shards(st, dir, err);
    if (status == WN_OK)
        status = check_index(st, weight_map, index_path, err);
    json_decref(index);
    return status;
}

static wn_status open_dir(wn_safetensors *st, const char *dir, wn_error *err)
{
    wn_status status = WN_OK;
    char *single = wn_fs_join(dir, SINGLE_NAME), *index = wn_fs_join(dir, INDEX_NAME);
    if (!single || !index) {
        status = wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", dir);
    } else if (wn_fs_exists(single)) {
        status = add_shard(st, wn_strdup(single), err);
        if (status == WN_OK)
            status = load_shards(st, dir, err);
    } else if (wn_fs_exists(index)) {
        status = open_indexed(st, dir, index, err);
    } else {
        status = wn_error_set(err, WN_NOT_FOUND, "%s: neither %s nor %s is there", dir, SINGLE_NAME,
                              INDEX_NAME);
    }
    free(single);
    free(index);
    return status;
}

wn_status wn_safetensors_open(wn_safetensors **out, const char *path, wn_error *err)
{
    wn_status status = WN_OK;
    wn_safetensors *st = wn_alloc(1, sizeof *st);
    if (!st)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    if (wn_fs_is_dir(path)) {
        status = open_dir(st, path, err);
    } else {
        status = add_shard(st, wn_strdup(path), err);
        if (status == WN_OK)
            status = load_shards(st, path, err);
    }
    if (status != WN_OK) {
        wn_safetensors_close(st);
        return status;
    }
    *out = st;
    return WN_OK;
}

void wn_safetensors_close(wn_safetensors *st)
{
    if (!st)
        return;
    wn_tensor_table_free(&st->tensors);
    for (size_t i = 0; i < st->n_shards; i++)
        wn_safetensors_shard_close(&st->shards[i]);
    free(st->shards);
    free(st);
}

size_t wn_safetensors_n_tensors(const wn_safetensors *st)
{
    return st->tensors.n;
}

const wn_tensor *wn_safetensors_tensor_at(const wn_safetensors *st, size_t i)
{
    return i < st->tensors.n ? &st->tensors.items[i] : NULL;
}

const wn_tensor *wn_safetensors_tensor(const wn_safetensors *st, const char *name)
{
    return wn_tensor_table_find(&st->tensors, name);
}

const char *wn_safetensors_metadata(const wn_safetensors *st, const char *key)
{
    const json_t *metadata = json_object_get(st->shards[0].header, "__metadata__");
    return json_string_value(json_object_get(metadata, key));
}
