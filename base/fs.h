/* Files and folders: whole-file read, atomic write, recursive walk, paths. */
#ifndef WN_BASE_FS_H
#define WN_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/strbuf.h"

/* Reads the whole file into *out (appended); WN_LIMIT past max_bytes. */
wn_status wn_fs_read(wn_strbuf *out, const char *path, size_t max_bytes, wn_error *err);

/* Temporary name in the same folder, write, fsync, rename, fsync of the folder. */
wn_status wn_fs_write_atomic(const char *path, const void *data, size_t len, wn_error *err);

/* The same for one who writes himself: a file under a temporary name (path.tmp-XXXXXX, appended to
 * *temporary), which finish renames to path once it is on disk, or removes if status is not WN_OK
 * (which it then returns) or anything fails. */
wn_status wn_fs_draft_open(const char *path, wn_strbuf *temporary, int *fd, wn_error *err);
wn_status wn_fs_draft_finish(int fd, const char *temporary, const char *path, wn_status status,
                             wn_error *err);

wn_status wn_fs_make_dirs(const char *path, wn_error *err); /* mkdir -p, mode 0700 */
wn_status wn_fs_remove_tree(const char *path,
                            wn_error *err); /* absent = WN_OK; no symlinks followed */
bool wn_fs_exists(const char *path);
bool wn_fs_is_dir(const char *path);

/* "dir/name", or "name" when dir is ""; caller frees; NULL when memory is out. */
char *wn_fs_join(const char *dir, const char *name);
const char *wn_fs_basename(const char *path);  /* points into path */
const char *wn_fs_extension(const char *path); /* "pdf" without dot, "" if none; points into path */

typedef struct wn_fs_entry {
    const char *path; /* valid during the call */
    uint64_t size;
    int64_t mtime_ns;
} wn_fs_entry;
typedef wn_status (*wn_fs_visit_fn)(void *ctx, const wn_fs_entry *entry, wn_error *err);

/* Visits every regular file below path (or path itself) in byte order of names. Hidden names
 * (leading dot) and symbolic links below path are skipped. */
wn_status wn_fs_walk(const char *path, wn_fs_visit_fn visit, void *ctx, wn_error *err);

#endif
