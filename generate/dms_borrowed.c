/* What a DMS checkpoint says about the heads in its query projection (dms_heads.h has the keys). */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "generate/dms_internal.h"

#define MAX_METADATA_BYTES (16u << 20) /* a training log lists its steps */
enum { N_SOURCES = 4 };

/* One object of keys, and the file that it comes from. */
typedef struct source {
    const char *path; /* NULL: not asked for */
    json_t *file;     /* owned; NULL: absent */
    const json_t *keys;
} source;

typedef struct metadata {
    source sources[N_SOURCES]; /* the first that has a key wins */
    bool found;
    wn_error *err;
} metadata;

/* The name that a file uses for a value; NULL: none of them. Later names are rarer. */
static const char *name_in(const json_t *keys, const char *const names[3])
{
    for (size_t i = 0; i < 3 && names[i]; i++) {
        const json_t *v = json_object_get(keys, names[i]);
        if (v && !json_is_null(v))
            return names[i];
    }
    return NULL;
}

static wn_status in_file(const metadata *m, const source *s, wn_status status, wn_error *local)
{
    return status == WN_OK ? WN_OK
                           : wn_error_set(m->err, WN_FORMAT, "%s: %s", s->path, local->text);
}

static const source *find(const metadata *m, const char *const names[3], const char **name)
{
    for (const source *s = m->sources; s < m->sources + N_SOURCES; s++)
        if ((*name = name_in(s->keys, names)))
            return s;
    return NULL;
}

static wn_status read_number(const metadata *m, const char *const names[3], double min, double max,
                             double *out)
{
    wn_error local = {0};
    const char *name = NULL;
    const source *s = find(m, names, &name);
    return s ? in_file(m, s, wn_json_get_num(s->keys, name, min, max, out, &local), &local) : WN_OK;
}

static wn_status read_whole(const metadata *m, const char *const names[3], int64_t min, int64_t max,
                            size_t *out)
{
    wn_error local = {0};
    const char *name = NULL;
    int64_t value = (int64_t)*out;
    const source *s = find(m, names, &name);
    if (!s)
        return WN_OK;
    WN_TRY(in_file(m, s, wn_json_get_int(s->keys, name, min, max, &value, &local), &local));
    *out = (size_t)value;
    return WN_OK;
}

static wn_status read_flag(const metadata *m, const char *const names[3], bool *out)
{
    wn_error local = {0};
    const char *name = NULL;
    const source *s = find(m, names, &name);
    return s ? in_file(m, s, wn_json_get_bool(s->keys, name, out, &local), &local) : WN_OK;
}

static wn_status read_all(const metadata *m, wn_dms_heads *h)
{
    double scale = 100, offset = 5, ratio = 0;
    wn_dms_point *p = h->points;
    p->window = 256;
    WN_TRY(read_whole(m, (const char *const[3]){"window_size", "dms_window_size"}, 1,
                      WN_DMS_MAX_WINDOW, &p->window));
    WN_TRY(read_number(m, (const char *const[3]){"alpha_scale", "dms_alpha_scale"}, -1e6, 1e6,
                       &scale));
    WN_TRY(read_number(
        m, (const char *const[3]){"alpha_offset", "dms_alpha_offset", "dms_initial_alpha_offset"},
        -1e6, 1e6, &offset));
    WN_TRY(read_number(m, (const char *const[3]){"target_cr", "dms_cr"}, 1, 1e6, &ratio));
    WN_TRY(read_whole(m, (const char *const[3]){"decision_shift"}, 0, 1, &h->decision_shift));
    WN_TRY(read_flag(m, (const char *const[3]){"zero_after_rope"}, &h->zero_after_rope));
    p->ratio = ratio;
    h->alpha_scale = (float)scale;
    h->alpha_offset = (float)offset;
    return WN_OK;
}

/* Keys that only a DMS checkpoint has; window_size alone is of other families, too. */
static bool speaks_of_heads(const json_t *keys)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)keys, key, value)
    {
        if (strncmp(key, "dms_", 4) == 0 || strcmp(key, "alpha_scale") == 0 ||
            strcmp(key, "alpha_offset") == 0)
            return true;
    }
    return false;
}

/* member: the object is inside this field of the file. */
static wn_status load(metadata *m, source *s, const char *member, bool required)
{
    if (!s->path || (!required && !wn_fs_exists(s->path)))
        return WN_OK;
    WN_TRY(wn_json_load_file(&s->file, s->path, MAX_METADATA_BYTES, m->err));
    s->keys = member ? json_object_get(s->file, member) : s->file;
    if (!json_is_object(s->keys) && !member)
        return wn_error_set(m->err, WN_FORMAT, "%s: not an object", s->path);
    m->found = m->found || required || strcmp(wn_fs_basename(s->path), "dms_metadata.json") == 0 ||
               speaks_of_heads(s->keys);
    return WN_OK;
}

/* The folder of the weights: path itself, or the folder of the file. */
static char *weights_folder(const char *path)
{
    const size_t len = (size_t)(wn_fs_basename(path) - path);
    if (wn_fs_is_dir(path))
        return wn_strdup(path);
    return len ? wn_strndup(path, len) : wn_strdup(".");
}

wn_status wn_dms_borrowed_load(wn_dms_heads *h, const wn_model *m, const char *path, bool *found,
                               wn_error *err)
{
    static const char *const files[N_SOURCES] = {NULL, "dms_metadata.json", "../training_log.json",
                                                 "config.json"};
    static const char *const members[N_SOURCES] = {NULL, NULL, "config", NULL};
    char *folder = weights_folder(wn_model_path(m)), *paths[N_SOURCES] = {0};
    metadata data = {.sources = {{.path = path}}, .err = err};
    bool ok = folder && (h->points = wn_alloc(1, sizeof *h->points));
    for (size_t i = 1; ok && i < N_SOURCES; i++) {
        data.sources[i].path = paths[i] = wn_fs_join(folder, files[i]);
        ok = paths[i] != NULL;
    }
    wn_status status = ok ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "eviction heads: no memory");
    for (size_t i = 0; status == WN_OK && i < N_SOURCES; i++)
        status = load(&data, &data.sources[i], members[i], path && i == 0);
    h->kind = WN_DMS_BORROWED;
    h->n_points = 1;
    *found = data.found;
    if (status == WN_OK && data.found)
        status = read_all(&data, h);
    for (size_t i = 0; i < N_SOURCES; i++) {
        json_decref(data.sources[i].file);
        free(paths[i]);
    }
    free(folder);
    return status;
}
