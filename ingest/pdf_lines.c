#include "ingest/pdf_lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"

/* One page's characters; surrogate pairs (some pdfium versions give UTF-16 units) become one. */
typedef struct page_text {
    const wn_pdf_library *pdf;
    wn_pdf_handle text;
    int n_chars, page;
} page_text;

static uint32_t read_char(const page_text *p, int i, int *units)
{
    uint32_t u = p->pdf->unicode(p->text, i);
    *units = 1;
    if (u >= 0xD800 && u < 0xDC00 && i + 1 < p->n_chars) {
        uint32_t low = p->pdf->unicode(p->text, i + 1);
        if (low >= 0xDC00 && low < 0xE000) {
            *units = 2;
            return 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return u;
}

/* Fills the geometry of a line from its first and last visible characters. */
static void measure(const page_text *p, wn_pdf_line *line, int first, int last)
{
    double x0 = 0, y0 = 0, x1 = 0, y1 = 0, left = 0, right = 0, bottom = 0, top = 0;
    p->pdf->char_origin(p->text, first, &x0, &y0);
    p->pdf->char_origin(p->text, last, &x1, &y1);
    p->pdf->char_box(p->text, last, &left, &right, &bottom, &top);
    line->size = p->pdf->font_size(p->text, first);
    double dx = fabs(x1 - x0), dy = y1 - y0;
    if (fabs(dy) > 4 * dx + 1) {
        bool upwards = dy > 0;
        line->direction = upwards ? WN_PDF_UP : WN_PDF_DOWN;
        line->along = upwards ? y0 : -y0;
        line->along_end = upwards ? top : -bottom;
        line->up = upwards ? -x0 : x0;
        line->up_end = upwards ? -x1 : x1;
    } else {
        line->direction = WN_PDF_ACROSS;
        line->along = x0;
        line->along_end = right;
        line->up = y0;
        line->up_end = y1;
    }
}

static wn_status add_line(wn_pdf_lines *out, const page_text *p, size_t start, int first, int last,
                          wn_error *err)
{
    while (out->text.len > start && out->text.data[out->text.len - 1] == ' ')
        wn_strbuf_truncate(&out->text, out->text.len - 1);
    if (out->text.failed)
        return wn_error_set(err, WN_NO_MEMORY, "page %d: no memory for its text", p->page);
    if (out->text.len > WN_DOC_MAX_TEXT)
        return wn_error_set(err, WN_LIMIT, "page %d: more than %zu MiB of text", p->page,
                            WN_DOC_MAX_TEXT >> 20);
    if (out->n_lines == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : 256;
        wn_pdf_line *grown = wn_realloc(out->lines, cap, sizeof *grown);
        if (!grown)
            return wn_error_set(err, WN_NO_MEMORY, "page %d: no memory for its lines", p->page);
        out->lines = grown;
        out->cap = cap;
    }
    wn_pdf_line line = {.start = start, .end = out->text.len, .page = p->page};
    measure(p, &line, first, last);
    out->lines[out->n_lines++] = line;
    return WN_OK;
}

static wn_status read_page(wn_pdf_lines *out, const page_text *p, wn_error *err)
{
    size_t start = out->text.len;
    int first = -1, last = -1;
    for (int i = 0, units = 1; i < p->n_chars; i += units) {
        uint32_t u = read_char(p, i, &units);
        bool line_end = u == '\n' || u == '\r';
        bool blank = u == ' ' || u == '\t' || u == 0xA0;
        if (line_end && first >= 0) {
            WN_TRY(add_line(out, p, start, first, last, err));
            first = -1;
        }
        if (first < 0)
            start = out->text.len;
        /* 0xFFFE and 2: a hyphen at a line's end whose word pdfium has joined already */
        if (line_end || u == 0 || u == 0xFFFE || u == 2 || (blank && first < 0))
            continue;
        char utf8[4];
        wn_strbuf_add(&out->text, utf8, wn_utf8_encode(blank ? ' ' : u, utf8));
        if (!blank) {
            first = first < 0 ? i : first;
            last = i;
        }
    }
    return first >= 0 ? add_line(out, p, start, first, last, err) : WN_OK;
}

wn_status wn_pdf_lines_read(wn_pdf_lines *out, const wn_pdf_library *pdf, wn_pdf_handle document,
                            wn_error *err)
{
    int n_pages = pdf->page_count(document), n_read = 0;
    wn_status status = WN_OK;
    if (n_pages > WN_DOC_MAX_PAGES)
        return wn_error_set(err, WN_LIMIT, "the PDF has %d pages; at most %d are read", n_pages,
                            WN_DOC_MAX_PAGES);
    for (int i = 0; i < n_pages && status == WN_OK; i++) {
        wn_pdf_handle page = pdf->load_page(document, i);
        wn_pdf_handle text = page ? pdf->load_text(page) : NULL;
        if (text) {
            page_text p = {pdf, text, pdf->count_chars(text), i + 1};
            status = read_page(out, &p, err);
            pdf->close_text(text);
            n_read++;
        }
        if (page)
            pdf->close_page(page);
    }
    out->n_pages = n_pages;
    if (status == WN_OK && n_read == 0)
        status = wn_error_set(err, WN_FORMAT, "the PDF has no page that can be read");
    return status;
}

void wn_pdf_lines_free(wn_pdf_lines *l)
{
    wn_strbuf_free(&l->text);
    free(l->lines);
    *l = (wn_pdf_lines){0};
}

bool wn_pdf_lines_page(const wn_pdf_lines *l, size_t *first, size_t *end)
{
    if (*first >= l->n_lines)
        return false;
    *end = *first;
    while (*end < l->n_lines && l->lines[*end].page == l->lines[*first].page)
        (*end)++;
    return true;
}
