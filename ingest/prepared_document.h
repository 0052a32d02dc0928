/* A file on its way into the corpus: read, checked, parsed and cut; not yet embedded.
 *
 *     wn_prepared p = {0};
 *     WN_TRY(wn_prepared_parse(&p, &settings, path, bytes, len, err));
 *     ... embed p.passages into p.vectors ...
 *     WN_TRY(wn_prepared_store(&p, corpus, dim, &id, err));
 *     wn_prepared_free(&p);
 */
#ifndef WN_INGEST_PREPARED_DOCUMENT_H
#define WN_INGEST_PREPARED_DOCUMENT_H

#include <stdbool.h>

#include "base/hash.h"
#include "base/strbuf.h"
#include "ingest/chunker.h"
#include "ingest/ingest.h"
#include "ingest/parse_worker.h"

typedef struct wn_prepared {
    char *path;
    char checksum[WN_SHA256_HEX];
    const wn_doc_format *format;
    uint64_t source_bytes;
    bool replaces; /* the corpus has another version of the path */
    int64_t moved; /* document with the same bytes whose file is gone: deleted when this one is
                      stored */
    wn_parsed_doc doc;
    char *title; /* document_title.h: doc.title and what the file name adds */
    wn_passages passages;
    float *vectors;   /* [passages.n][dim], or NULL */
    size_t n_vectors; /* filled so far */
} wn_prepared;

/* Parses and cuts. p->path, checksum, format and source_bytes are set by the caller. */
wn_status wn_prepared_parse(wn_prepared *p, const wn_ingest_options *o, wn_parse_pool *pool,
                            const void *data, size_t len, wn_error *err);
/* What the embedder is given for a passage: title and headings, a line end, its text. Appended. */
void wn_prepared_embed_text(const wn_prepared *p, size_t passage, wn_strbuf *out);
wn_status wn_prepared_store(const wn_prepared *p, const wn_ingest_options *o, int64_t *id,
                            wn_error *err);
void wn_prepared_free(wn_prepared *p); /* back to {0}; {0} is fine */

/* The format of a document, or WN_UNSUPPORTED with the list of those known. */
wn_status wn_prepared_format(const char *name, const void *data, size_t len,
                             const wn_doc_format **out, wn_error *err);

#endif
