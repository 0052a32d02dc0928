/* What parsers write into: text, blocks and the path of headings, with the limits in one place.
 *
 *     wn_doc_heading_begin(b, 2, page);
 *     wn_doc_add(b, "Borrowing", 9);
 *     wn_doc_end(b);                                    // later blocks carry "... > Borrowing"
 *     wn_doc_begin(b, WN_BLOCK_PARAGRAPH, page);
 *     wn_doc_add(b, text, len);
 *     wn_doc_end(b);                                    // an empty block vanishes
 *
 * wn_doc_end cleans a block: malformed UTF-8 becomes U+FFFD; control characters, soft hyphens,
 * BOMs, zero-width spaces and bidi controls go, no-break spaces become spaces, blanks at both ends
 * go (of code: empty lines only). Blocks are separated by an empty line, list items by a line end.
 * Errors are sticky: wn_doc_builder_status tells at the end. Threads: one at a time.
 */
#ifndef WN_INGEST_DOC_BUILDER_H
#define WN_INGEST_DOC_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/strbuf.h"
#include "index/corpus.h"

#define WN_DOC_MAX_TEXT ((size_t)192 << 20) /* bytes of one document's text */
#define WN_DOC_MAX_BLOCKS ((size_t)4 << 20)
#define WN_DOC_MAX_PAGES 1000000
#define WN_DOC_MAX_TITLE 512   /* bytes; longer ones are cut */
#define WN_DOC_MAX_HEADING 160 /* bytes of one heading inside a path; longer ones are cut */

typedef struct wn_doc_builder wn_doc_builder;

wn_status wn_doc_builder_open(wn_doc_builder **out, wn_error *err);
void wn_doc_builder_close(wn_doc_builder *b); /* NULL is fine */

/* The first title that is not empty wins; a heading stands in for a missing one. */
void wn_doc_set_title(wn_doc_builder *b, const char *text, size_t len);
void wn_doc_set_pages(wn_doc_builder *b, int n_pages);

void wn_doc_begin(wn_doc_builder *b, wn_block_kind kind, int page);
void wn_doc_heading_begin(wn_doc_builder *b, int level, int page); /* level 1..6 */
void wn_doc_add(wn_doc_builder *b, const char *bytes, size_t len);
/* Blanks in front of the next block's text, outside of it: nesting of list
 * items. */
void wn_doc_indent(wn_doc_builder *b, int columns);
/* The next block goes on with the sentence of the last one (a page ends
 * between): one line end. */
void wn_doc_continue(wn_doc_builder *b);
bool wn_doc_end(wn_doc_builder *b); /* true when the block was kept */
bool wn_doc_in_block(const wn_doc_builder *b);
/* A parser's own buffer: the document fails when it could not grow, so that no text is lost
 * silently. */
void wn_doc_note(wn_doc_builder *b, const wn_strbuf *buffer);

/* WN_OK; WN_LIMIT or WN_NO_MEMORY after a failure: parsers ask in long loops
 * to stop early. */
wn_status wn_doc_builder_status(const wn_doc_builder *b, wn_error *err);

/* The finished document as a frame (parse_frame.h), given to `write` in
 * pieces. */
typedef wn_status (*wn_doc_write_fn)(void *ctx, const void *data, size_t len, wn_error *err);
wn_status wn_doc_builder_write(const wn_doc_builder *b, wn_doc_write_fn write, void *ctx,
                               wn_error *err);

#endif
