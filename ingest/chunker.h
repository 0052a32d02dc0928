/* Cuts a parsed document into passages: what is embedded, found, shown to the model and cited.
 *
 *     wn_chunk_options o = {.count_tokens = count, .count_ctx = ctx};
 *     wn_passages p = {0};
 *     WN_TRY(wn_passages_cut(&p, &doc, &o, err));
 *     wn_passages_free(&p);
 *
 * A passage is a byte range of the text, at most `passage_tokens` long. Ranges are in order;
 * neighbours overlap by whole sentences, up to `overlap_tokens`. Borders fall between sentences,
 * between lines of tables and code (which stay whole where they fit), and inside a sentence only
 * when it is longer than a passage: then between words. A heading goes with what follows it. A
 * passage ends where a heading begins: one of the document's highest level unless the passage would
 * be a fragment, any other once a quarter is full. Every byte of every block, blanks between
 * sentences aside, is in a passage.
 */
#ifndef WN_INGEST_CHUNKER_H
#define WN_INGEST_CHUNKER_H

#include <stddef.h>

#include "base/callbacks.h"
#include "ingest/doc_parser.h"

typedef struct wn_chunk_options {
    wn_count_tokens_fn count_tokens; /* NULL: about 4 bytes a token */
    void *count_ctx;
    size_t passage_tokens; /* 0 = 200 */
    size_t overlap_tokens; /* at most half a passage is used; SIZE_MAX = 30 */
} wn_chunk_options;

typedef struct wn_passages {
    wn_passage *items; /* headings point into the document's */
    size_t n, cap;
} wn_passages;

wn_status wn_passages_cut(wn_passages *out, const wn_parsed_doc *doc, const wn_chunk_options *o,
                          wn_error *err);
void wn_passages_free(wn_passages *p); /* back to {0} */

#endif
