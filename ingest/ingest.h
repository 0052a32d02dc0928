/* Ingestion: files to documents of a corpus.
 *
 *     wn_ingest_options o = {.corpus = corpus, .embed = embed, .embed_ctx = e, .dim = 384, ...};
 *     WN_TRY(wn_ingest_paths(&o, paths, n_paths, &report, err));
 *
 * Each file: read -> checksum (unchanged = no-op) -> parsed in a sandboxed worker process -> blocks
 * -> passages -> embedded in batches -> one transaction. A file that fails is reported and the rest
 * goes on.
 */
#ifndef WN_INGEST_INGEST_H
#define WN_INGEST_INGEST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/callbacks.h"
#include "base/status.h"
#include "index/corpus.h"

typedef enum wn_ingest_outcome {
    WN_INGEST_ADDED,
    WN_INGEST_REPLACED, /* a newer version of its path, or the same file moved to another path */
    WN_INGEST_UNCHANGED,
    WN_INGEST_DUPLICATE, /* same bytes as another document of the corpus */
    WN_INGEST_SKIPPED,   /* unknown format in a folder walk */
    WN_INGEST_FAILED
} wn_ingest_outcome;

typedef struct wn_ingest_event {
    const char *path;
    wn_ingest_outcome outcome;
    int64_t document_id; /* 0 unless stored */
    const char *message; /* why, for FAILED and SKIPPED; of which file, for DUPLICATE; else "" */
    size_t files_done, files_total, passages_done;
    double seconds; /* since the start */
} wn_ingest_event;
typedef void (*wn_ingest_event_fn)(void *ctx, const wn_ingest_event *event);

struct wn_parse_pool; /* parse_worker.h */

typedef struct wn_ingest_options {
    wn_corpus *corpus;
    wn_embed_fn embed; /* NULL: keyword search only */
    void *embed_ctx;
    size_t dim;
    wn_count_tokens_fn count_tokens; /* NULL: about 4 bytes a token */
    void *count_ctx;
    size_t passage_tokens;   /* 0 = 200 */
    size_t overlap_tokens;   /* of neighbouring passages; SIZE_MAX = default 30 */
    const char *attributes;  /* JSON object put on every document; NULL = {} */
    const char *pdfium_path; /* libpdfium.so; NULL: PDF is WN_UNSUPPORTED with what to install */
    struct wn_parse_pool *parsers; /* borrowed; NULL: a worker is started for this call (main() must
                                      serve it, see parse_worker.h), with pdfium_path */
    size_t max_file_bytes;         /* 0 = 64 MiB */
    wn_ingest_event_fn on_event;   /* may be NULL; called on the calling thread */
    void *event_ctx;
    wn_progress_fn on_passages; /* may be NULL: after each batch, passages embedded of those cut so
                                   far, all files of the call together; may stop the work */
    void *passages_ctx;
    const atomic_bool *cancel; /* may be NULL; checked between files and batches */
} wn_ingest_options;

typedef struct wn_ingest_report {
    size_t added, replaced, unchanged, duplicate, skipped, failed;
    size_t passages;
    double seconds;
} wn_ingest_report;

/* paths: files and folders (walked). WN_OK even when files failed: see the report. */
wn_status wn_ingest_paths(const wn_ingest_options *o, const char *const *paths, size_t n_paths,
                          wn_ingest_report *report, wn_error *err);
/* One document from memory (uploads). `name` is its path and file name; its extension and bytes
 * choose the parser. *outcome, *id are set on WN_OK; a parse failure is the status. */
wn_status wn_ingest_bytes(const wn_ingest_options *o, const char *name, const void *data,
                          size_t len, wn_ingest_outcome *outcome, int64_t *id, wn_error *err);

#endif
