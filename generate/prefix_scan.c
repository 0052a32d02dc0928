/* The files that are there when a cache is opened become its tree. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fs.h"
#include "generate/prefix_internal.h"

/* A file's node before its place in the tree is known. */
typedef struct found {
    prefix_node *node;
    uint8_t parent[WN_SHA256_BYTES]; /* tag */
} found;

typedef struct scan {
    found *all;
    size_t n, cap;
} scan;

static wn_status scope_for(wn_prefix_cache *c, const prefix_file *f, prefix_scope **out,
                           wn_error *err)
{
    *out = prefix_scope_find(c, f->h.scope);
    return *out ? WN_OK
                : prefix_scope_add(c, f->h.scope, f->corpus, (size_t)f->h.token_bytes, out, err);
}

static wn_status read_ends(const prefix_file *f, prefix_node *node, wn_error *err)
{
    char document[WN_PREFIX_MAX_NAME + 1];
    const uint8_t *at = f->ends;
    node->ends = wn_alloc((size_t)f->h.n_ends, sizeof *node->ends);
    if (!node->ends)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix' documents");
    for (uint64_t n = 0; node->n_ends < f->h.n_ends; node->n_ends++) {
        if (!prefix_file_next_end(f, &at, &n, document, sizeof document))
            return wn_error_set(err, WN_FORMAT, "a prefix without all its documents");
        prefix_end *end = &node->ends[node->n_ends];
        end->n = (size_t)n;
        end->document = document[0] ? wn_strdup(document) : NULL;
        if (document[0] && !end->document)
            return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix' documents");
    }
    return WN_OK;
}

static wn_status node_of(wn_prefix_cache *c, const prefix_file *f, prefix_node **out, wn_error *err)
{
    const size_t n_ids = (size_t)(f->h.n - f->h.n_first);
    prefix_scope *scope = NULL;
    WN_TRY(scope_for(c, f, &scope, err));
    prefix_node *node = wn_alloc(1, sizeof *node);
    *out = node;
    if (node)
        node->ids = wn_alloc(n_ids, sizeof *node->ids);
    if (!node || !node->ids)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix of %zu tokens", n_ids);
    node->scope = scope;
    node->n_first = (size_t)f->h.n_first;
    node->n = (size_t)f->h.n;
    node->tail_first = (size_t)f->h.tail_first;
    node->back_to = (size_t)f->h.back_to;
    memcpy(node->ids, f->ids, n_ids * sizeof *node->ids);
    memcpy(node->key, f->h.key, sizeof node->key);
    memcpy(node->tag, f->tag, sizeof node->tag);
    node->created = node->used = f->h.created;
    node->read_ms = f->h.read_ms;
    node->durable = true;
    node->file_bytes = prefix_file_bytes(&f->h);
    return read_ends(f, node, err);
}

static bool is_named(const wn_prefix_cache *c, const prefix_node *node, const char *path)
{
    char *own = prefix_disk_path(c, node);
    const bool same = own && strcmp(own, path) == 0;
    free(own);
    return same;
}

static wn_status add_found(wn_prefix_cache *c, scan *s, const char *path, wn_error *err)
{
    prefix_file f;
    if (s->n == s->cap) {
        found *more = wn_realloc(s->all, s->cap * 2 + 16, sizeof *more);
        if (!more)
            return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", c->dir);
        s->all = more;
        s->cap = s->cap * 2 + 16;
    }
    found *at = &s->all[s->n];
    *at = (found){0};
    WN_TRY(prefix_file_open(&f, path, &c->key, err));
    memcpy(at->parent, f.h.parent, sizeof at->parent);
    wn_status status = node_of(c, &f, &at->node, err);
    if (status == WN_OK && !is_named(c, at->node, path))
        status = wn_error_set(err, WN_CORRUPT, "%s: another file's bytes", path);
    prefix_file_close(&f);
    if (status == WN_OK)
        s->n++;
    else
        prefix_node_free(at->node);
    return status;
}

static bool ends_in(const char *name, const char *end)
{
    const size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

/* What was being written when a process ended has no use. */
static wn_status scan_name(wn_prefix_cache *c, scan *s, const char *name, wn_error *err)
{
    const bool draft = strstr(name, PREFIX_FILE_SUFFIX ".tmp-") != NULL;
    if (!ends_in(name, PREFIX_FILE_SUFFIX) && !draft)
        return WN_OK;
    char *path = wn_fs_join(c->dir, name);
    wn_error why = {0};
    wn_status status = path ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", c->dir);
    if (path && draft && c->lock_fd >= 0)
        unlink(path);
    if (path && !draft) {
        const wn_status result = add_found(c, s, path, &why);
        if (result == WN_NO_MEMORY)
            status = wn_error_set(err, result, "%s", why.text);
        else if (c->lock_fd >= 0)
            (void)prefix_disk_refuse(c, path, result);
    }
    free(path);
    return status;
}

static int compare_found(const void *a, const void *b)
{
    const prefix_node *x = ((const found *)a)->node, *y = ((const found *)b)->node;
    return x->n < y->n ? -1 : x->n > y->n;
}

static prefix_node *parent_of(const found *f)
{
    prefix_node *root = &f->node->scope->root;
    if (f->node->n_first == 0)
        return root;
    for (prefix_node *n = root; n; n = prefix_after(n, root))
        if (n->n == f->node->n_first && memcmp(n->tag, f->parent, sizeof n->tag) == 0)
            return n;
    return NULL;
}

/* Shorter ones first: parents come before their children. */
static void build(wn_prefix_cache *c, scan *s)
{
    if (s->n)
        qsort(s->all, s->n, sizeof *s->all, compare_found);
    for (size_t i = 0; i < s->n; i++) {
        prefix_node *node = s->all[i].node, *parent = parent_of(&s->all[i]);
        if (parent) {
            prefix_node_link(parent, node);
            node->scope->disk_bytes += node->file_bytes;
            continue;
        }
        char *path = prefix_disk_path(c, node);
        if (path && c->lock_fd >= 0)
            prefix_disk_refuse(c, path, WN_CORRUPT);
        free(path);
        prefix_node_free(node);
    }
}

/* A budget may be smaller than last time. */
static void fit(wn_prefix_cache *c)
{
    for (prefix_scope *s = c->scopes; s && c->lock_fd >= 0; s = s->next)
        (void)prefix_disk_make_room(c, &s->root, 0);
}

static wn_status lock_folder(wn_prefix_cache *c, wn_error *err)
{
    char *path = wn_fs_join(c->dir, "lock");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    wn_status status = WN_OK;
    if (!path)
        status = wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", c->dir);
    else if (fd < 0)
        status = wn_error_set_errno(err, errno, "%s", path);
    else if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        c->lock_fd = fd;
    else
        close(fd);
    free(path);
    return status;
}

wn_status prefix_disk_open(wn_prefix_cache *c, wn_error *err)
{
    scan s = {0};
    WN_TRY(prefix_file_key_make(&c->key, c->o.secret, err));
    WN_TRY(wn_fs_make_dirs(c->dir, err));
    WN_TRY(lock_folder(c, err));
    DIR *dir = opendir(c->dir);
    if (!dir)
        return wn_error_set_errno(err, errno, "%s", c->dir);
    wn_status status = WN_OK;
    for (struct dirent *e; status == WN_OK && (e = readdir(dir));)
        status = scan_name(c, &s, e->d_name, err);
    closedir(dir);
    if (status == WN_OK)
        build(c, &s);
    for (size_t i = 0; status != WN_OK && i < s.n; i++)
        prefix_node_free(s.all[i].node);
    free(s.all);
    if (status == WN_OK)
        fit(c);
    return status;
}

void prefix_disk_close(wn_prefix_cache *c)
{
    if (c->lock_fd < 0)
        return;
    flock(c->lock_fd, LOCK_UN); /* at once, even if a forked child still has the descriptor */
    close(c->lock_fd);
    c->lock_fd = -1;
}
