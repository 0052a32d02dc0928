/* The files that a list of paths means: folders are walked, files taken as they are.
 *
 *     wn_file_list l = {0};
 *     WN_TRY(wn_file_list_read(&l, paths, n, err));
 *     wn_file_list_free(&l);
 */
#ifndef WN_INGEST_FILE_LIST_H
#define WN_INGEST_FILE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct wn_listed_file {
    char *path;       /* absolute; as given when it does not exist */
    bool named;       /* by the user, not found in a folder: an unknown format is an error */
    wn_error problem; /* set when the path cannot be used */
} wn_listed_file;

typedef struct wn_file_list {
    wn_listed_file *items; /* in the order of the paths, each file once */
    size_t n, cap;
    bool named; /* of the path that is being read */
} wn_file_list;

wn_status wn_file_list_read(wn_file_list *out, const char *const *paths, size_t n_paths,
                            wn_error *err);
void wn_file_list_free(wn_file_list *l);

#endif
