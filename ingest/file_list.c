#include "ingest/file_list.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"

static wn_status add(wn_file_list *l, const char *path, const wn_error *problem, wn_error *err)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        wn_listed_file *grown = wn_realloc(l->items, cap, sizeof *grown);
        if (!grown)
            return wn_error_set(err, WN_NO_MEMORY, "no memory for %zu paths", cap);
        l->items = grown;
        l->cap = cap;
    }
    wn_listed_file file = {.path = wn_strdup(path), .named = l->named};
    if (!file.path)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a path");
    if (problem)
        file.problem = *problem;
    l->items[l->n++] = file;
    return WN_OK;
}

static wn_status visit(void *ctx, const wn_fs_entry *entry, wn_error *err)
{
    return add(ctx, entry->path, NULL, err);
}

static wn_status read_path(wn_file_list *l, const char *path, wn_error *err)
{
    char absolute[PATH_MAX];
    wn_error problem = {0};
    l->named = true;
    if (!realpath(path, absolute)) {
        wn_error_set_errno(&problem, errno, "cannot be read");
        return add(l, path, &problem, err);
    }
    if (!wn_fs_is_dir(absolute))
        return add(l, absolute, NULL, err);
    l->named = false;
    size_t before = l->n;
    wn_status status = wn_fs_walk(absolute, visit, l, &problem);
    if (status == WN_NO_MEMORY)
        return wn_error_set(err, status, "%s", problem.text);
    if (status == WN_OK && l->n > before)
        return WN_OK;
    if (status == WN_OK)
        wn_error_set(&problem, WN_NOT_FOUND, "there are no files in this folder");
    l->named = true;
    return add(l, absolute, &problem, err);
}

static int by_path(const void *x, const void *y)
{
    const wn_listed_file *a = *(const wn_listed_file *const *)x;
    const wn_listed_file *b = *(const wn_listed_file *const *)y;
    int order = strcmp(a->path, b->path);
    return order ? order : (a > b) - (a < b);
}

/* Keeps the first of several mentions of a file; it counts as named when one of them is. */
static wn_status remove_repeated(wn_file_list *l, wn_error *err)
{
    wn_listed_file **sorted = wn_alloc(l->n, sizeof *sorted);
    if (!sorted)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for %zu paths", l->n);
    for (size_t i = 0; i < l->n; i++)
        sorted[i] = &l->items[i];
    qsort(sorted, l->n, sizeof *sorted, by_path);
    wn_listed_file *first = l->n ? sorted[0] : NULL;
    for (size_t i = 1; i < l->n; i++) {
        if (strcmp(sorted[i]->path, first->path) != 0) {
            first = sorted[i];
            continue;
        }
        first->named = first->named || sorted[i]->named;
        free(sorted[i]->path);
        sorted[i]->path = NULL;
    }
    free(sorted);
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].path)
            l->items[n++] = l->items[i];
    l->n = n;
    return WN_OK;
}

wn_status wn_file_list_read(wn_file_list *out, const char *const *paths, size_t n_paths,
                            wn_error *err)
{
    for (size_t i = 0; i < n_paths; i++)
        WN_TRY(read_path(out, paths[i], err));
    return remove_repeated(out, err);
}

void wn_file_list_free(wn_file_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i].path);
    free(l->items);
    *l = (wn_file_list){0};
}
