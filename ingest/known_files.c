#include "ingest/known_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

#define PAGE 4096 /* documents of one listing */
#define MAX_UNSORTED 256

static int by_checksum(const void *x, const void *y)
{
    return strcmp(((const wn_known_file *)x)->checksum, ((const wn_known_file *)y)->checksum);
}

static void sort(wn_known_files *k)
{
    if (k->n > 1)
        qsort(k->items, k->n, sizeof *k->items, by_checksum);
    k->n_sorted = k->n;
}

wn_status wn_known_files_add(wn_known_files *k, const char *checksum, int64_t id, const char *path,
                             wn_error *err)
{
    if (k->n == k->cap) {
        size_t cap = k->cap ? k->cap * 2 : 64;
        wn_known_file *grown = wn_realloc(k->items, cap, sizeof *grown);
        if (!grown)
            return wn_error_set(err, WN_NO_MEMORY, "no memory for %zu checksums", cap);
        k->items = grown;
        k->cap = cap;
    }
    wn_known_file file = {.id = id, .path = wn_strdup(path)};
    if (!file.path)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a path");
    snprintf(file.checksum, sizeof file.checksum, "%s", checksum);
    k->items[k->n++] = file;
    if (k->n_sorted && k->n - k->n_sorted > MAX_UNSORTED)
        sort(k);
    return WN_OK;
}

typedef struct listing {
    wn_known_files *files;
    int64_t last;
    size_t n;
} listing;

static wn_status visit(void *ctx, const wn_document *doc, wn_error *err)
{
    listing *l = ctx;
    l->last = doc->id;
    l->n++;
    return wn_known_files_add(l->files, doc->checksum, doc->id, doc->path, err);
}

wn_status wn_known_files_read(wn_known_files *out, wn_corpus *corpus, wn_error *err)
{
    listing l = {.files = out};
    do {
        l.n = 0;
        WN_TRY(wn_corpus_list(corpus, l.last, PAGE, false, visit, &l, err));
    } while (l.n == PAGE);
    sort(out);
    return WN_OK;
}

const wn_known_file *wn_known_files_find(const wn_known_files *k, const char *checksum)
{
    wn_known_file key = {0};
    snprintf(key.checksum, sizeof key.checksum, "%s", checksum);
    const wn_known_file *found =
        k->n_sorted ? bsearch(&key, k->items, k->n_sorted, sizeof key, by_checksum) : NULL;
    for (size_t i = k->n_sorted; !found && i < k->n; i++)
        if (by_checksum(&key, &k->items[i]) == 0)
            found = &k->items[i];
    return found;
}

wn_status wn_known_files_move(wn_known_files *k, int64_t old_id, int64_t id, const char *path,
                              wn_error *err)
{
    for (size_t i = 0; i < k->n; i++) {
        if (k->items[i].id != old_id)
            continue;
        char *copy = wn_strdup(path);
        if (!copy)
            return wn_error_set(err, WN_NO_MEMORY, "no memory for a path");
        free(k->items[i].path);
        k->items[i].path = copy;
        k->items[i].id = id;
        break;
    }
    return WN_OK;
}

void wn_known_files_free(wn_known_files *k)
{
    for (size_t i = 0; i < k->n; i++)
        free(k->items[i].path);
    free(k->items);
    *k = (wn_known_files){0};
}
