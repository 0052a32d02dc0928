/* Running heads: lines at the edge of pages that say the same at the same place, or count the
 * pages. They would stand between the halves of sentences and repeat in every passage.
 * Conservative: at least three pages must agree, and only the first or the last line of a page can
 * go. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "ingest/pdf_lines.h"

#define MIN_PAGES 3
#define SAME_PLACE 3.0 /* points */
#define NO_NUMBER INT32_MIN

/* An edge line of one page. */
typedef struct edge {
    wn_pdf_line *line;
    char key[64];   /* its text with digits as '#' */
    int32_t offset; /* the number at its end or beginning, less the page's; NO_NUMBER */
} edge;

/* The number that a text begins or ends with, up to 6 digits; NO_NUMBER when it has none. */
static int32_t edge_number(const char *s, size_t len, bool at_end)
{
    size_t n = 0;
    while (n < len && n < 7) {
        char c = at_end ? s[len - 1 - n] : s[n];
        if (c < '0' || c > '9')
            break;
        n++;
    }
    if (n == 0 || n > 6)
        return NO_NUMBER;
    int32_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (s[at_end ? len - n + i : i] - '0');
    return value;
}

static void describe(const wn_pdf_lines *l, wn_pdf_line *line, bool number_at_end, edge *out)
{
    const char *s = l->text.data + line->start;
    size_t len = line->end - line->start, n = 0;
    for (size_t i = 0; i < len && n + 1 < sizeof out->key; i++) {
        char c = s[i] >= '0' && s[i] <= '9' ? '#' : s[i];
        if (c != '#' || n == 0 || out->key[n - 1] != '#') /* 9 and 10 are alike */
            out->key[n++] = c;
    }
    out->key[n] = '\0';
    out->line = line;
    int32_t number = edge_number(s, len, number_at_end);
    out->offset = number == NO_NUMBER ? NO_NUMBER : number - line->page;
}

static bool same_place(const edge *a, const edge *b)
{
    return a->line->direction == b->line->direction &&
           fabs(a->line->up - b->line->up) <= SAME_PLACE;
}

static bool repeats(const edge *a, const edge *b)
{
    return strcmp(a->key, b->key) == 0 && same_place(a, b);
}

static bool counts(const edge *a, const edge *b)
{
    return a->offset != NO_NUMBER && a->offset == b->offset && same_place(a, b);
}

static int by_place(const edge *a, const edge *b)
{
    return (a->line->up > b->line->up) - (a->line->up < b->line->up);
}

static int by_key(const void *x, const void *y)
{
    int order = strcmp(((const edge *)x)->key, ((const edge *)y)->key);
    return order ? order : by_place(x, y);
}

static int by_offset(const void *x, const void *y)
{
    const edge *a = x, *b = y;
    int order = (a->offset > b->offset) - (a->offset < b->offset);
    return order ? order : by_place(a, b);
}

/* Drops the members of every group of `needed` alike neighbours; the array is sorted to that end.
 */
static void drop_groups(edge *edges, size_t n, size_t needed,
                        bool (*alike)(const edge *, const edge *))
{
    for (size_t i = 0, end = 0; i < n; i = end) {
        for (end = i + 1; end < n && alike(&edges[i], &edges[end]);)
            end++;
        for (size_t k = i; end - i >= needed && k < end; k++)
            edges[k].line->dropped = true;
    }
}

/* The first (or last) line of a page that is not dropped; NULL when the page would be left empty.
 */
static wn_pdf_line *edge_line(wn_pdf_lines *l, size_t first, size_t end, bool last)
{
    size_t left = 0;
    wn_pdf_line *found = NULL;
    for (size_t i = first; i < end; i++) {
        wn_pdf_line *line = &l->lines[i];
        if (line->dropped)
            continue;
        left++;
        if (last || !found)
            found = line;
    }
    return left > 1 ? found : NULL;
}

static void drop_edge(wn_pdf_lines *l, edge *edges, bool last, bool number_at_end)
{
    size_t n = 0;
    for (size_t first = 0, end = 0; wn_pdf_lines_page(l, &first, &end); first = end) {
        wn_pdf_line *line = edge_line(l, first, end, last);
        if (line)
            describe(l, line, number_at_end, &edges[n++]);
    }
    size_t share = (size_t)l->n_pages * 2 / 5;
    size_t needed = share > MIN_PAGES ? share : MIN_PAGES;
    qsort(edges, n, sizeof *edges, by_key);
    drop_groups(edges, n, needed, repeats);
    qsort(edges, n, sizeof *edges, by_offset);
    drop_groups(edges, n, needed, counts);
}

void wn_pdf_running_drop(wn_pdf_lines *l)
{
    if (l->n_pages < MIN_PAGES)
        return;
    edge *edges = wn_alloc((size_t)l->n_pages, sizeof *edges);
    if (!edges)
        return;                            /* only less tidy */
    for (int pass = 0; pass < 2; pass++) { /* heads of two lines */
        for (int which = 0; which < 4; which++)
            drop_edge(l, edges, which & 1, which & 2);
    }
    free(edges);
}
