#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"

static wn_status read_fd(wn_strbuf *out, int fd, const char *path, size_t max_bytes, wn_error *err)
{
    char chunk[65536];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wn_error_set_errno(err, errno, "%s", path);
        if (n == 0)
            return WN_OK;
        if ((size_t)n > max_bytes - out->len || out->len > max_bytes)
            return wn_error_set(err, WN_LIMIT, "%s: larger than %zu bytes", path, max_bytes);
        wn_strbuf_add(out, chunk, (size_t)n);
        if (wn_strbuf_failed(out))
            return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    }
}

wn_status wn_fs_read(wn_strbuf *out, const char *path, size_t max_bytes, wn_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return wn_error_set_errno(err, errno, "%s", path);
    wn_status status = WN_OK;
    struct stat st;
    if (fstat(fd, &st) != 0)
        status = wn_error_set_errno(err, errno, "%s", path);
    else if (S_ISDIR(st.st_mode))
        status = wn_error_set(err, WN_INVALID, "%s: is a folder", path);
    else
        status = read_fd(out, fd, path, max_bytes, err);
    close(fd);
    return status;
}

static wn_status write_all(int fd, const char *path, const void *data, size_t len, wn_error *err)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wn_error_set_errno(err, errno, "%s: cannot write", path);
        p += n;
        len -= (size_t)n;
    }
    return WN_OK;
}

/* A rename lasts only when the folder itself is on disk. */
static wn_status sync_folder_of(const char *path, wn_error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (len >= sizeof folder)
        return wn_error_set(err, WN_INVALID, "%s: path too long", path);
    if (!slash) {
        strcpy(folder, ".");
    } else {
        memcpy(folder, path, len ? len : 1);
        folder[len ? len : 1] = '\0';
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return wn_error_set_errno(err, errno, "%s", folder);
    wn_status status = WN_OK;
    if (fsync(fd) != 0)
        status = wn_error_set_errno(err, errno, "%s: cannot sync", folder);
    close(fd);
    return status;
}

wn_status wn_fs_draft_open(const char *path, wn_strbuf *temporary, int *fd, wn_error *err)
{
    wn_strbuf_printf(temporary, "%s.tmp-XXXXXX", path);
    if (wn_strbuf_failed(temporary))
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    *fd = mkostemp(temporary->data, O_CLOEXEC);
    if (*fd < 0)
        return wn_error_set_errno(err, errno, "%s: cannot create", temporary->data);
    return WN_OK;
}

wn_status wn_fs_draft_finish(int fd, const char *temporary, const char *path, wn_status status,
                             wn_error *err)
{
    if (status == WN_OK && fsync(fd) != 0)
        status = wn_error_set_errno(err, errno, "%s: cannot sync", temporary);
    close(fd);
    if (status == WN_OK && rename(temporary, path) != 0)
        status = wn_error_set_errno(err, errno, "%s: cannot rename", path);
    if (status != WN_OK)
        unlink(temporary);
    else
        status = sync_folder_of(path, err);
    return status;
}

wn_status wn_fs_write_atomic(const char *path, const void *data, size_t len, wn_error *err)
{
    wn_strbuf temporary = {0};
    int fd = -1;
    wn_status status = wn_fs_draft_open(path, &temporary, &fd, err);
    if (status == WN_OK)
        status = wn_fs_draft_finish(fd, temporary.data, path,
                                    write_all(fd, temporary.data, data, len, err), err);
    wn_strbuf_free(&temporary);
    return status;
}

wn_status wn_fs_make_dirs(const char *path, wn_error *err)
{
    char copy[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof copy)
        return wn_error_set(err, WN_INVALID, "\"%s\": not a usable path", path);
    memcpy(copy, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (copy[i] != '/' && copy[i] != '\0')
            continue;
        char saved = copy[i];
        copy[i] = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            return wn_error_set_errno(err, errno, "%s: cannot create folder", copy);
        copy[i] = saved;
    }
    if (!wn_fs_is_dir(path))
        return wn_error_set(err, WN_INVALID, "%s: not a folder", path);
    return WN_OK;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

wn_status wn_fs_remove_tree(const char *path, wn_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0 && errno == ENOENT)
        return WN_OK;
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return wn_error_set_errno(err, errno, "%s: cannot remove", path);
    return WN_OK;
}

bool wn_fs_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool wn_fs_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *wn_fs_join(const char *dir, const char *name)
{
    wn_strbuf b = {0};
    wn_strbuf_adds(&b, dir);
    if (b.len > 0 && b.data[b.len - 1] != '/') /* "" is the current folder, not the root */
        wn_strbuf_addc(&b, '/');
    wn_strbuf_adds(&b, name);
    return wn_strbuf_detach(&b);
}

const char *wn_fs_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *wn_fs_extension(const char *path)
{
    const char *name = wn_fs_basename(path);
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? dot + 1 : "";
}

static bool add_name(char ***names, size_t *n, size_t *cap, const char *name)
{
    if (*n == *cap) {
        size_t wanted = *cap ? *cap * 2 : 32;
        char **grown = wn_realloc(*names, wanted, sizeof **names);
        if (!grown)
            return false;
        *names = grown;
        *cap = wanted;
    }
    char *copy = wn_strdup(name);
    if (!copy)
        return false;
    (*names)[(*n)++] = copy;
    return true;
}

/* The names of a folder that are not hidden, sorted by bytes; free with free_names. */
static wn_status list_names(const char *path, char ***names, size_t *n, wn_error *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return wn_error_set_errno(err, errno, "%s", path);
    wn_status status = WN_OK;
    size_t cap = 0;
    while (status == WN_OK) {
        errno = 0; /* the only way to tell the end of a folder from an error */
        struct dirent *e = readdir(dir);
        if (!e && errno != 0)
            status = wn_error_set_errno(err, errno, "%s: cannot list", path);
        if (!e)
            break;
        if (e->d_name[0] != '.' && !add_name(names, n, &cap, e->d_name))
            status = wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    }
    closedir(dir);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

typedef struct walk {
    wn_fs_visit_fn visit;
    void *ctx;
} walk;

static wn_status walk_path(const walk *w, const char *path, int depth, wn_error *err);

static wn_status walk_folder(const walk *w, const char *path, int depth, wn_error *err)
{
    if (depth > 64)
        return wn_error_set(err, WN_LIMIT, "%s: folders nested more than 64 deep", path);
    char **names = NULL;
    size_t n = 0;
    wn_status status = list_names(path, &names, &n, err);
    if (status == WN_OK && n > 1)
        qsort(names, n, sizeof *names, compare_names);
    for (size_t i = 0; status == WN_OK && i < n; i++) {
        char *child = wn_fs_join(path, names[i]);
        status = child ? walk_path(w, child, depth + 1, err)
                       : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
        free(child);
    }
    free_names(names, n);
    return status;
}

static wn_status walk_path(const walk *w, const char *path, int depth, wn_error *err)
{
    struct stat st;
    /* Links below the named path could leave the tree: not followed. The named path itself may be
     * one. */
    int rc = depth == 0 ? stat(path, &st) : lstat(path, &st);
    if (rc != 0 && errno == ENOENT && depth > 0) /* removed since its folder was listed */
        return WN_OK;
    if (rc != 0)
        return wn_error_set_errno(err, errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return walk_folder(w, path, depth, err);
    if (!S_ISREG(st.st_mode))
        return WN_OK;
    wn_fs_entry entry = {.path = path,
                         .size = (uint64_t)st.st_size,
                         .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
    return w->visit(w->ctx, &entry, err);
}

wn_status wn_fs_walk(const char *path, wn_fs_visit_fn visit, void *ctx, wn_error *err)
{
    walk w = {.visit = visit, .ctx = ctx};
    return walk_path(&w, path, 0, err);
}
