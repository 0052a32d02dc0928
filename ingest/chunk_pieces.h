/* The pieces that passages are made of, one after the other: a heading, a sentence, a table or a
 * line of one, a part of a sentence that is too long. See chunker.h.
 *
 *     wn_pieces s = {.doc = doc, .count = count, .count_ctx = ctx, .max_tokens = 200};
 *     for (wn_piece p; wn_pieces_next(&s, &p);) ...
 */
#ifndef WN_INGEST_CHUNK_PIECES_H
#define WN_INGEST_CHUNK_PIECES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/callbacks.h"
#include "ingest/doc_parser.h"

typedef struct wn_piece {
    size_t start, end;
    size_t tokens; /* at least 1, at most max_tokens */
    size_t block;  /* index into the document's blocks */
    bool sentence; /* a whole one: may be repeated as overlap */
} wn_piece;

typedef struct wn_pieces {
    const wn_parsed_doc *doc;
    wn_count_tokens_fn count;
    void *count_ctx;
    size_t max_tokens;
    /* the state of the walk */
    size_t block, at;       /* next byte to look at, inside of the block */
    size_t rest_end;        /* the end of a unit of which a part is still to come; 0 = none */
    double bytes_per_token; /* of that unit */
} wn_pieces;

bool wn_pieces_next(wn_pieces *s, wn_piece *out);

#endif
