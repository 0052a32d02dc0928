/* Headings from a PDF's bookmarks: a line is a heading when a bookmark points to its page and has
 * its text. Bookmarks that match no line are not used, since their place is not known. */
#include <ctype.h>
#include <string.h>

#include "base/unicode.h"
#include "base/utf8.h"
#include "ingest/pdf_lines.h"

#define MAX_DEPTH 12
#define MAX_BOOKMARKS 20000
#define MAX_KEY 256

/* Letters and digits of a text in lower case: what two spellings of a heading have in common. */
static void make_key(const char *s, size_t len, char out[MAX_KEY])
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 12 < MAX_KEY;) {
        uint32_t cp = 0, lower[3];
        i += wn_utf8_decode(s + i, len - i, &cp);
        if (!wn_unicode_is_letter(cp) && !wn_unicode_is_number(cp))
            continue;
        int m = wn_unicode_lower(cp, lower);
        for (int k = 0; k < m; k++)
            n += wn_utf8_encode(lower[k], out + n);
    }
    out[n] = '\0';
}

/* "13stetigkeit" and "stetigkeit" are the same heading: the number may be on one side only. */
static bool keys_match(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    while (isdigit((unsigned char)*a))
        a++;
    while (isdigit((unsigned char)*b))
        b++;
    return *a && strcmp(a, b) == 0;
}

/* Titles are UTF-16LE with a NUL at the end. */
static void title_key(const wn_pdf_library *pdf, wn_pdf_handle bookmark, char out[MAX_KEY])
{
    uint8_t utf16[1024];
    char utf8[2048];
    size_t n = 0;
    unsigned long bytes = pdf->bookmark_title(bookmark, utf16, sizeof utf16);
    for (size_t i = 0; bytes <= sizeof utf16 && i + 3 < bytes; i += 2) {
        uint32_t cp = (uint32_t)(utf16[i] | utf16[i + 1] << 8);
        n += wn_utf8_encode(cp, utf8 + n); /* halves of pairs become U+FFFD: no letters */
    }
    make_key(utf8, n, out);
}

static void mark_page(wn_pdf_lines *l, size_t first, size_t end, const char *title, int level)
{
    char key[MAX_KEY], two[2 * MAX_KEY];
    for (size_t i = first; i < end; i++) {
        wn_pdf_line *line = &l->lines[i];
        if (line->dropped || line->heading)
            continue;
        make_key(l->text.data + line->start, line->end - line->start, key);
        if (!*key)
            continue;
        if (keys_match(key, title)) {
            line->heading = level;
            return;
        }
        wn_pdf_line *next = i + 1 < end ? line + 1 : NULL;
        if (!next || next->dropped || strncmp(key, title, strlen(key)) != 0)
            continue;
        strcpy(two, key); /* a heading over two lines */
        make_key(l->text.data + next->start, next->end - next->start, two + strlen(key));
        if (keys_match(two, title)) {
            line->heading = next->heading = level;
            return;
        }
    }
}

/* The first line of a page, or of the next page that has lines. */
static size_t find_page(const wn_pdf_lines *l, int page)
{
    size_t low = 0, high = l->n_lines;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->lines[middle].page < page)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void mark(wn_pdf_lines *l, const wn_pdf_library *pdf, wn_pdf_handle document,
                 wn_pdf_handle bookmark, int level)
{
    char title[MAX_KEY];
    wn_pdf_handle dest = pdf->bookmark_dest(document, bookmark);
    int page = dest ? pdf->dest_page(document, dest) + 1 : 0;
    title_key(pdf, bookmark, title);
    if (page < 1 || !*title)
        return;
    size_t first = find_page(l, page), end = 0;
    if (first < l->n_lines && l->lines[first].page == page && wn_pdf_lines_page(l, &first, &end))
        mark_page(l, first, end, title, level > 6 ? 6 : level);
}

void wn_pdf_outline_mark(wn_pdf_lines *l, const wn_pdf_library *pdf, wn_pdf_handle document)
{
    wn_pdf_handle stack[MAX_DEPTH];
    int depth = 0;
    wn_pdf_handle at = pdf->bookmark_child(document, NULL);
    /* The count ends outlines that a damaged file has tied into a ring. */
    for (int n = 0; at && n < MAX_BOOKMARKS; n++) {
        mark(l, pdf, document, at, depth + 1);
        wn_pdf_handle child = depth < MAX_DEPTH - 1 ? pdf->bookmark_child(document, at) : NULL;
        if (child) {
            stack[depth++] = at;
            at = child;
            continue;
        }
        at = pdf->bookmark_sibling(document, at);
        while (!at && depth > 0)
            at = pdf->bookmark_sibling(document, stack[--depth]);
    }
}
