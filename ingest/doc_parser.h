/* The formats that winnow reads, and what a parser makes of a file.
 *
 *     const wn_doc_format *f = wn_doc_format_find("notes/a.md", data, len);   // NULL = no parser
 *     wn_doc_source s = {.data = data, .len = len};
 *     WN_TRY(wn_doc_parse(f, &s, &doc, err));                                 // in this process
 *     wn_parsed_doc_free(&doc);
 *
 * Files of users go through parse_worker.h instead, which runs the same functions in a sandboxed
 * process; wn_doc_parse is for that process, for tests and for fuzzing.
 * To add a format: one file with a parse function, declared below, and one line in doc_format.c.
 * Threads: parsers have no state of their own, but pdfium and cmark-gfm have: one parse at a time.
 */
#ifndef WN_INGEST_DOC_PARSER_H
#define WN_INGEST_DOC_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "index/corpus.h"
#include "ingest/doc_builder.h"

struct wn_pdf_library;
struct wn_charsets;

/* A document as the index stores it. Owns everything that it points to. */
typedef struct wn_parsed_doc {
    const char *title;      /* "" = none */
    const char *text;       /* valid UTF-8 without NUL; NUL-terminated */
    size_t text_len;        /* bytes */
    const wn_block *blocks; /* in order, disjoint, not empty; every non-blank byte is in one */
    size_t n_blocks;
    int n_pages; /* 0 = the format has no pages */
    void *memory, *block_memory;
} wn_parsed_doc;
void wn_parsed_doc_free(wn_parsed_doc *doc); /* back to {0}; {0} is fine */

typedef struct wn_doc_source {
    const uint8_t *data; /* hostile; borrowed */
    size_t len;
    const struct wn_pdf_library *pdf; /* NULL: PDF is WN_UNSUPPORTED */
    struct wn_charsets *charsets;     /* NULL: opened as needed (not possible in the sandbox) */
} wn_doc_source;

typedef struct wn_doc_format {
    const char *name;                               /* for people: "Markdown" */
    const char *media_type;                         /* "text/markdown" */
    const char *extensions;                         /* lower case, separated by blanks */
    bool (*sniff)(const uint8_t *data, size_t len); /* sure by the bytes alone? may be NULL */
    wn_status (*parse)(const wn_doc_source *source, wn_doc_builder *out, wn_error *err);
    bool bytes_decide; /* sniff goes before the extension */
    bool needs_pdfium;
} wn_doc_format;

extern const wn_doc_format wn_doc_formats[];
extern const size_t wn_n_doc_formats;

/* The format of a file by its bytes (PDF, HTML), else by its extension (any case), else, for names
 * without one, plain text when the beginning is text. NULL: none. */
const wn_doc_format *wn_doc_format_find(const char *name, const uint8_t *data, size_t len);
const wn_doc_format *wn_doc_format_by_name(const char *name); /* "Markdown"; NULL when unknown */
/* ".txt .text .md ..." of all formats, for error texts. */
void wn_doc_format_list(char *out, size_t cap);

wn_status wn_doc_parse(const wn_doc_format *format, const wn_doc_source *source, wn_parsed_doc *out,
                       wn_error *err);

/* The parsers, one file each. */
wn_status wn_parse_plain_text(const wn_doc_source *source, wn_doc_builder *out, wn_error *err);
wn_status wn_parse_markdown(const wn_doc_source *source, wn_doc_builder *out, wn_error *err);
wn_status wn_parse_html(const wn_doc_source *source, wn_doc_builder *out, wn_error *err);
wn_status wn_parse_pdf(const wn_doc_source *source, wn_doc_builder *out, wn_error *err);

#endif
