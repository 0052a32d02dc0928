/* The bytes in which a parser process hands over a document, little endian, packed in this order:
 *
 *     header   wn_frame_header
 *     blocks   n_blocks x wn_frame_block
 *     headings n_headings strings, each with its NUL; headings_bytes in all
 *     title    title_bytes with its NUL
 *     text     text_bytes, then one NUL
 *
 * A failed parse is a header with status != 0 and the error text as title.
 * The reader trusts nothing: a parser may have been taken over by the document.
 */
#ifndef WN_INGEST_PARSE_FRAME_H
#define WN_INGEST_PARSE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "ingest/doc_parser.h"

#define WN_FRAME_MAGIC 0x31444e57u             /* "WND1" */
#define WN_FRAME_MAX_BYTES ((size_t)256 << 20) /* longest frame that is read */

typedef struct wn_frame_header {
    uint32_t magic, status;
    uint32_t n_blocks, n_headings;
    uint64_t headings_bytes, title_bytes, text_bytes;
    uint32_t n_pages, reserved;
} wn_frame_header;

typedef struct wn_frame_block {
    uint64_t start, end; /* bytes of the text */
    uint32_t kind, page, heading, reserved;
} wn_frame_block;

/* Validates a frame and makes it a document. Takes `frame` (from malloc) over in every case. A
 * failed parse returns the parser's status and text; a frame that breaks a rule is WN_CORRUPT. */
wn_status wn_frame_decode(char *frame, size_t len, wn_parsed_doc *out, wn_error *err);
/* A frame that says that parsing failed. */
wn_status wn_frame_write_error(const wn_error *failure, wn_doc_write_fn write, void *ctx,
                               wn_error *err);

#endif
