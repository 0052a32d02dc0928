/* PDF: text by pdfium, then lines -> without running heads -> headings -> paragraphs. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "ingest/doc_parser.h"
#include "ingest/pdf_lines.h"

static wn_status open_failed(const wn_pdf_library *pdf, wn_error *err)
{
    unsigned long code = pdf->last_error();
    if (code == WN_PDF_ERROR_PASSWORD)
        return wn_error_set(err, WN_UNSUPPORTED,
                            "the PDF is encrypted and needs a password; save it without one");
    if (code == WN_PDF_ERROR_FORMAT || code == WN_PDF_ERROR_FILE)
        return wn_error_set(err, WN_FORMAT, "not a PDF, or too damaged to read");
    return wn_error_set(err, WN_FORMAT, "the PDF cannot be opened (pdfium error %lu)", code);
}

/* Titles that programs write when nobody gave one: file names and placeholders. */
static bool is_no_title(const char *title, size_t len)
{
    static const char *const placeholders[] = {"untitled", "title", "document", "unknown"};
    static const char *const endings[] = {".doc", ".docx", ".dvi", ".tex", ".indd", ".pdf",
                                          ".ps",  ".odt",  ".ppt", ".qxd", ".rtf"};
    for (size_t i = 0; i < sizeof placeholders / sizeof *placeholders; i++)
        if (strcasecmp(title, placeholders[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        if (len >= n && strcasecmp(title + len - n, endings[i]) == 0)
            return true;
    }
    return strncasecmp(title, "Microsoft Word", 14) == 0 || strchr(title, '/') || len < 3;
}

static void set_title(const wn_pdf_library *pdf, wn_pdf_handle document, wn_doc_builder *out)
{
    uint8_t utf16[1024];
    char title[2048];
    size_t n = 0;
    unsigned long bytes = pdf->meta_text(document, "Title", utf16, sizeof utf16);
    if (bytes > sizeof utf16)
        return;
    for (size_t i = 0; i + 3 < bytes; i += 2) {
        uint32_t cp = (uint32_t)(utf16[i] | utf16[i + 1] << 8);
        if (cp >= 0xD800 && cp < 0xDC00 && i + 5 < bytes) {
            uint32_t low = (uint32_t)(utf16[i + 2] | utf16[i + 3] << 8);
            cp = 0x10000 + ((cp - 0xD800) << 10) + ((low - 0xDC00) & 0x3FF);
            i += 2;
        }
        n += wn_utf8_encode(cp, title + n);
    }
    title[n] = '\0';
    if (!is_no_title(title, n))
        wn_doc_set_title(out, title, n);
}

static wn_status read_document(const wn_pdf_library *pdf, wn_pdf_handle document,
                               wn_doc_builder *out, wn_error *err)
{
    wn_pdf_lines lines = {0};
    wn_status status = wn_pdf_lines_read(&lines, pdf, document, err);
    if (status == WN_OK && lines.n_lines == 0)
        status = wn_error_set(err, WN_UNSUPPORTED,
                              "no text layer (scanned?): %d page%s without text; run OCR first",
                              lines.n_pages, lines.n_pages == 1 ? "" : "s");
    if (status == WN_OK) {
        set_title(pdf, document, out);
        wn_pdf_running_drop(&lines);
        wn_pdf_outline_mark(&lines, pdf, document);
        status = wn_pdf_paragraphs_write(&lines, out, err);
    }
    wn_pdf_lines_free(&lines);
    return status;
}

wn_status wn_parse_pdf(const wn_doc_source *source, wn_doc_builder *out, wn_error *err)
{
    const wn_pdf_library *pdf = source->pdf;
    if (!pdf)
        return wn_error_set(
            err, WN_UNSUPPORTED,
            "PDF needs libpdfium.so, which is not there: `winnow models get pdfium`");
    wn_pdf_handle document = pdf->load_document(source->data, source->len, NULL);
    if (!document)
        return open_failed(pdf, err);
    wn_status status = read_document(pdf, document, out, err);
    pdf->close_document(document);
    return status;
}
