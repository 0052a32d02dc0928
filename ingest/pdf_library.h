/* pdfium, loaded at run time: it is fetched by the user's setup, and only parser processes load it.
 *
 *     wn_pdf_library *pdf = NULL;
 *     WN_TRY(wn_pdf_library_open(&pdf, "/.../libpdfium.so", err));
 *     FPDF_DOCUMENT... = pdf->load_document(data, len, NULL);
 *
 * The wheel that carries the library has no headers; the functions used are declared here, as
 * pdfium's public headers (fpdfview.h, fpdf_text.h, fpdf_doc.h) have them. Coordinates are points
 * (1/72 inch) from the lower left corner of the page. pdfium is not thread-safe and is never
 * unloaded: one document per process.
 */
#ifndef WN_INGEST_PDF_LIBRARY_H
#define WN_INGEST_PDF_LIBRARY_H

#include <stddef.h>

#include "base/status.h"

typedef void *wn_pdf_handle; /* document, page, text page, bookmark, destination: all opaque */

enum { WN_PDF_ERROR_FILE = 2, WN_PDF_ERROR_FORMAT = 3, WN_PDF_ERROR_PASSWORD = 4 };

/* name here, name in the library, result, parameters */
#define WN_PDF_FUNCTIONS(X)                                                                        \
    X(init_library, FPDF_InitLibrary, void, (void))                                                \
    X(load_document, FPDF_LoadMemDocument64, wn_pdf_handle,                                        \
      (const void *data, size_t len, const char *password))                                        \
    X(last_error, FPDF_GetLastError, unsigned long, (void))                                        \
    X(close_document, FPDF_CloseDocument, void, (wn_pdf_handle document))                          \
    X(page_count, FPDF_GetPageCount, int, (wn_pdf_handle document))                                \
    X(load_page, FPDF_LoadPage, wn_pdf_handle, (wn_pdf_handle document, int index))                \
    X(close_page, FPDF_ClosePage, void, (wn_pdf_handle page))                                      \
    X(load_text, FPDFText_LoadPage, wn_pdf_handle, (wn_pdf_handle page))                           \
    X(close_text, FPDFText_ClosePage, void, (wn_pdf_handle text))                                  \
    X(count_chars, FPDFText_CountChars, int, (wn_pdf_handle text))                                 \
    X(unicode, FPDFText_GetUnicode, unsigned int, (wn_pdf_handle text, int index))                 \
    X(font_size, FPDFText_GetFontSize, double, (wn_pdf_handle text, int index))                    \
    X(char_box, FPDFText_GetCharBox, int,                                                          \
      (wn_pdf_handle text, int index, double *left, double *right, double *bottom, double *top))   \
    X(char_origin, FPDFText_GetCharOrigin, int,                                                    \
      (wn_pdf_handle text, int index, double *x, double *y))                                       \
    X(meta_text, FPDF_GetMetaText, unsigned long,                                                  \
      (wn_pdf_handle document, const char *tag, void *utf16, unsigned long bytes))                 \
    X(bookmark_child, FPDFBookmark_GetFirstChild, wn_pdf_handle,                                   \
      (wn_pdf_handle document, wn_pdf_handle parent))                                              \
    X(bookmark_sibling, FPDFBookmark_GetNextSibling, wn_pdf_handle,                                \
      (wn_pdf_handle document, wn_pdf_handle bookmark))                                            \
    X(bookmark_title, FPDFBookmark_GetTitle, unsigned long,                                        \
      (wn_pdf_handle bookmark, void *utf16, unsigned long bytes))                                  \
    X(bookmark_dest, FPDFBookmark_GetDest, wn_pdf_handle,                                          \
      (wn_pdf_handle document, wn_pdf_handle bookmark))                                            \
    X(dest_page, FPDFDest_GetDestPageIndex, int, (wn_pdf_handle document, wn_pdf_handle dest))

typedef struct wn_pdf_library {
    void *library;
#define WN_PDF_POINTER(name, symbol, result, parameters) result(*name) parameters;
    WN_PDF_FUNCTIONS(WN_PDF_POINTER)
#undef WN_PDF_POINTER
} wn_pdf_library;

/* WN_NOT_FOUND / WN_FORMAT name the path and what is wrong. Also initialises the library. */
wn_status wn_pdf_library_open(wn_pdf_library **out, const char *path, wn_error *err);
void wn_pdf_library_close(wn_pdf_library *pdf); /* the library itself stays loaded; NULL is fine */

#endif
