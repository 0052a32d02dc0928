#include "index/corpus_set.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/strbuf.h"
#include "index/corpus_internal.h"

enum { MAX_NAME = 64 };
/* A corpus being deleted is renamed to this and a random number: no valid name, so nobody sees it.
 */
#define DELETING_PREFIX ".deleting-"

bool wn_corpus_name_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > MAX_NAME || name[0] == '-' || name[0] == '_')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static wn_status corpus_dir(const char *root, const char *name, char **out, wn_error *err)
{
    *out = NULL;
    if (!wn_corpus_name_valid(name))
        return wn_error_set(
            err, WN_INVALID,
            "corpus name \"%.80s\": 1 to %d of a-z 0-9 _ -, the first a letter or digit", name,
            MAX_NAME);
    *out = wn_fs_join(root, name);
    return *out ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "corpus %s: out of memory", name);
}

/* Listing ----------------------------------------------------------------------------------------
 */

static bool holds_corpus(const char *root, const char *name)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s/" WN_CORPUS_DB_NAME, root, name);
    return n > 0 && (size_t)n < sizeof path && wn_fs_exists(path);
}

typedef struct name_list {
    char **items;
    size_t n, cap;
} name_list;

static void list_free(name_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i]);
    free(l->items);
}

static wn_status list_add(name_list *l, const char *name, wn_error *err)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        char **items = wn_realloc(l->items, cap, sizeof *items);
        if (!items)
            return wn_error_set(err, WN_NO_MEMORY, "corpora: out of memory");
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n] = wn_strdup(name);
    if (!l->items[l->n])
        return wn_error_set(err, WN_NO_MEMORY, "corpora: out of memory");
    l->n++;
    return WN_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static wn_status read_names(const char *root, name_list *l, wn_error *err)
{
    DIR *d = opendir(root);
    if (!d) /* no folder yet: no corpora */
        return errno == ENOENT ? WN_OK : wn_error_set_errno(err, errno, "%s", root);
    wn_status status = WN_OK;
    for (const struct dirent *e; status == WN_OK && (e = readdir(d));)
        if (wn_corpus_name_valid(e->d_name) && holds_corpus(root, e->d_name))
            status = list_add(l, e->d_name, err);
    closedir(d);
    if (l->n > 1)
        qsort(l->items, l->n, sizeof *l->items, by_name);
    return status;
}

wn_status wn_corpus_set_list(const char *root, wn_corpus_visit_fn visit, void *ctx, wn_error *err)
{
    name_list l = {0};
    wn_status status = read_names(root, &l, err);
    for (size_t i = 0; i < l.n && status == WN_OK; i++)
        status = visit(ctx, l.items[i], err);
    list_free(&l);
    return status;
}

/* Open and delete --------------------------------------------------------------------------------
 */

static wn_status not_found(const char *root, const char *name, wn_error *err)
{
    name_list l = {0};
    wn_strbuf b = {0};
    if (read_names(root, &l, NULL) == WN_OK)
        for (size_t i = 0; i < l.n; i++)
            wn_strbuf_printf(&b, "%s%s", i ? ", " : "", l.items[i]);
    wn_status status = wn_error_set(err, WN_NOT_FOUND, "there is no corpus \"%s\"; corpora: %s",
                                    name, b.len > 0 ? wn_strbuf_cstr(&b) : "none yet");
    wn_strbuf_free(&b);
    list_free(&l);
    return status;
}

wn_status wn_corpus_set_open(wn_corpus **out, const char *root, const char *name, unsigned mode,
                             wn_error *err)
{
    *out = NULL;
    char *dir = NULL;
    WN_TRY(corpus_dir(root, name, &dir, err));
    wn_status status = WN_OK;
    if (!(mode & WN_CORPUS_CREATE) && !holds_corpus(root, name))
        status = not_found(root, name, err);
    else
        status = wn_corpus_open(out, dir, mode, err);
    free(dir);
    return status;
}

/* What a crash in the middle of a deletion left. */
static void remove_leftovers(const char *root)
{
    DIR *d = opendir(root);
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, DELETING_PREFIX, strlen(DELETING_PREFIX)) != 0)
            continue;
        char *path = wn_fs_join(root, e->d_name);
        if (path)
            wn_fs_remove_tree(path, NULL);
        free(path);
    }
    closedir(d);
}

/* The rename makes it vanish at once and as a whole; the lock makes sure that nobody writes into
 * it. */
static wn_status delete_locked(const char *root, const char *dir, wn_error *err)
{
    uint8_t number[8];
    char hex[2 * sizeof number + 1], name[64];
    WN_TRY(wn_random_bytes(number, sizeof number, err));
    wn_hex(number, sizeof number, hex);
    snprintf(name, sizeof name, DELETING_PREFIX "%s", hex);
    char *gone = wn_fs_join(root, name);
    if (!gone)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", dir);
    wn_status status = WN_OK;
    if (rename(dir, gone) != 0)
        status = wn_error_set_errno(err, errno, "%s: delete", dir);
    else
        status = wn_fs_remove_tree(gone, err);
    free(gone);
    return status;
}

wn_status wn_corpus_set_delete(const char *root, const char *name, wn_error *err)
{
    char *dir = NULL;
    int lock = -1;
    WN_TRY(corpus_dir(root, name, &dir, err));
    wn_status status = holds_corpus(root, name) ? WN_OK : not_found(root, name, err);
    if (status == WN_OK)
        status = wn_corpus_lock_writer(dir, &lock, err);
    if (status == WN_OK)
        status = delete_locked(root, dir, err);
    wn_corpus_unlock_writer(lock);
    if (status == WN_OK)
        remove_leftovers(root);
    free(dir);
    return status;
}
