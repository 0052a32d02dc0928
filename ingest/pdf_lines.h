/* The lines of a PDF as pdfium finds them, with what is needed to make paragraphs of them.
 *
 *     wn_pdf_lines l = {0};
 *     WN_TRY(wn_pdf_lines_read(&l, pdf, document, err));
 *     wn_pdf_running_drop(&l);                    // page headers and footers
 *     wn_pdf_outline_mark(&l, pdf, document);     // lines that the bookmarks name become headings
 *     WN_TRY(wn_pdf_paragraphs_write(&l, out, err));
 *     wn_pdf_lines_free(&l);
 */
#ifndef WN_INGEST_PDF_LINES_H
#define WN_INGEST_PDF_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "ingest/doc_builder.h"
#include "ingest/pdf_library.h"

typedef enum wn_pdf_direction { WN_PDF_ACROSS, WN_PDF_UP, WN_PDF_DOWN } wn_pdf_direction;

/* Positions are points in the line's own frame: `along` the line, `up` across lines (smaller = a
 * later line), so that text turned by 90 degrees is handled like any other. */
typedef struct wn_pdf_line {
    size_t start, end;       /* bytes of wn_pdf_lines.text, without blanks at the ends */
    double along, along_end; /* of the first character's origin and the last one's far side */
    double up, up_end;       /* baseline at the first and at the last character: a word that was
                                hyphenated carries the line on to the next baseline */
    double size;             /* font size as the file states it; scale unknown: compare only */
    int page;                /* from 1 */
    int heading;             /* level 1..6; 0 = none */
    wn_pdf_direction direction;
    bool dropped; /* a page header or footer */
} wn_pdf_line;

typedef struct wn_pdf_lines {
    wn_strbuf text; /* UTF-8 */
    wn_pdf_line *lines;
    size_t n_lines, cap;
    int n_pages;
} wn_pdf_lines;

wn_status wn_pdf_lines_read(wn_pdf_lines *out, const wn_pdf_library *pdf, wn_pdf_handle document,
                            wn_error *err);
void wn_pdf_lines_free(wn_pdf_lines *l);
/* The lines [*first, *end) of the page that begins at *first; false at the end. */
bool wn_pdf_lines_page(const wn_pdf_lines *l, size_t *first, size_t *end);

/* Marks first and last lines of pages that repeat at one place, or count the pages there. */
void wn_pdf_running_drop(wn_pdf_lines *l);
/* Marks lines whose text is the title of a bookmark that points to their page. */
void wn_pdf_outline_mark(wn_pdf_lines *l, const wn_pdf_library *pdf, wn_pdf_handle document);
/* Joins lines to paragraphs, list items and headings. */
wn_status wn_pdf_paragraphs_write(const wn_pdf_lines *l, wn_doc_builder *out, wn_error *err);

#endif
