/* The checksums of a corpus: is a file there already under another path?
 *
 *     wn_known_files k = {0};
 *     WN_TRY(wn_known_files_read(&k, corpus, err));
 *     const wn_known_file *same = wn_known_files_find(&k, checksum);   // NULL = new bytes
 *     wn_known_files_free(&k);
 */
#ifndef WN_INGEST_KNOWN_FILES_H
#define WN_INGEST_KNOWN_FILES_H

#include "base/hash.h"
#include "index/corpus.h"

typedef struct wn_known_file {
    char checksum[WN_SHA256_HEX];
    int64_t id; /* of the document */
    char *path;
} wn_known_file;

typedef struct wn_known_files {
    wn_known_file *items;
    size_t n, cap, n_sorted; /* those added later are looked at one by one */
} wn_known_files;

wn_status wn_known_files_read(wn_known_files *out, wn_corpus *corpus, wn_error *err);
wn_status wn_known_files_add(wn_known_files *k, const char *checksum, int64_t id, const char *path,
                             wn_error *err);
const wn_known_file *wn_known_files_find(const wn_known_files *k, const char *checksum);
/* The file of document `old_id` is now `path`, stored (or about to be) as document `id`. */
wn_status wn_known_files_move(wn_known_files *k, int64_t old_id, int64_t id, const char *path,
                              wn_error *err);
void wn_known_files_free(wn_known_files *k);

#endif
