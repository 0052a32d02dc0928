/* Lines of a PDF to paragraphs. The file only has positions; what a line break means is read from
 * the distance of the lines, their indents, how full they are and the font size. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/unicode.h"
#include "base/utf8.h"
#include "ingest/pdf_lines.h"

#define N_BUCKETS 80 /* of pitch / font size, 0.05 wide */

typedef enum joint { JOINT_NONE, JOINT_BLANK, JOINT_LINE, JOINT_BLOCK } joint;

typedef struct paragraph_writer {
    const wn_pdf_lines *l;
    wn_doc_builder *out;
    double pitch; /* usual distance of lines, in font sizes */
    double width; /* of the column of the page that the last line stands on */
} paragraph_writer;

static const char *text_of(const wn_pdf_lines *l, const wn_pdf_line *line, size_t *len)
{
    *len = line->end - line->start;
    return l->text.data + line->start;
}

/* The usual distance of lines in font sizes: the most frequent one of the document. */
static double usual_pitch(const wn_pdf_lines *l)
{
    unsigned counts[N_BUCKETS] = {0};
    int best = 0;
    for (size_t i = 1; i < l->n_lines; i++) {
        const wn_pdf_line *a = &l->lines[i - 1], *b = &l->lines[i];
        double pitch = a->size > 0 ? (a->up_end - b->up) / a->size : 0;
        if (a->page != b->page || a->direction != b->direction || !(pitch > 0.5) ||
            !(pitch < N_BUCKETS * 0.05))
            continue;
        int bucket = (int)(pitch / 0.05);
        if (bucket < N_BUCKETS)
            counts[bucket]++;
    }
    for (int i = 0; i < N_BUCKETS; i++)
        if (counts[i] > counts[best])
            best = i;
    return counts[best] >= 3 ? (best + 1) * 0.05 : 0; /* 0: not enough lines to tell */
}

static uint32_t last_char(const char *s, size_t len)
{
    uint32_t cp = 0;
    size_t at = wn_utf8_floor(s, len - 1);
    wn_utf8_decode(s + at, len - at, &cp);
    return cp;
}

static bool ends_sentence(const char *s, size_t len)
{
    uint32_t cp = last_char(s, len);
    while (len > 1 && (cp == '"' || cp == ')' || cp == 0x201D || cp == 0x2019 || cp == 0xBB)) {
        len = wn_utf8_floor(s, len - 1);
        cp = last_char(s, len);
    }
    return cp == '.' || cp == '!' || cp == '?' || cp == ':' || cp == 0x2026 || cp == 0x3002 ||
           cp == 0xFF01 || cp == 0xFF1F || cp == 0x61F || cp == 0x6D4;
}

static bool is_lower(uint32_t cp)
{
    uint32_t lower[3];
    return (cp < 0x590) && wn_unicode_is_letter(cp) && wn_unicode_lower(cp, lower) == 1 &&
           lower[0] == cp;
}

static bool starts_lower(const char *s, size_t len)
{
    uint32_t cp = 0;
    wn_utf8_decode(s, len, &cp);
    return is_lower(cp);
}

/* Does a line begin a list item: a bullet, "3. " or "(b) "? */
static bool starts_item(const char *s, size_t len)
{
    uint32_t cp = 0;
    size_t n = wn_utf8_decode(s, len, &cp);
    bool bullet = cp == 0x2022 || cp == 0x25CF || cp == 0x25E6 || cp == 0x25AA || cp == 0x25A0 ||
                  cp == 0x2023 || cp == 0x2043 || cp == 0xB7;
    if (bullet || ((cp == '-' || cp == 0x2013 || cp == '*') && n < len && s[n] == ' '))
        return true;
    size_t i = s[0] == '(', start = i;
    while (i < len && i < start + 3 && s[i] >= '0' && s[i] <= '9')
        i++;
    if (i == start && i < len && s[i] >= 'a' && s[i] <= 'z')
        i++;
    return i > start && len > i + 1 && (s[i] == ')' || (s[i] == '.' && i - start <= 2)) &&
           s[i + 1] == ' ';
}

/* A line much shorter than the column: the text did not flow on to the next line by itself. */
static bool is_short(const paragraph_writer *w, const wn_pdf_line *a)
{
    return a->along_end - a->along < 0.8 * w->width;
}

/* A line of a table of contents: dots lead to a page number. */
static bool has_leaders(const char *s, size_t len)
{
    return memmem(s, len, ". . . .", 7) || memmem(s, len, ".....", 5);
}

/* The joint of two words at a line's end where the first ends with a hyphen. */
static joint hyphen_joint(const char *a, size_t a_len, const char *b, size_t b_len, joint otherwise)
{
    uint32_t before = 0;
    if (a_len < 2 || a[a_len - 1] != '-')
        return otherwise;
    size_t at = wn_utf8_floor(a, a_len - 2);
    wn_utf8_decode(a + at, a_len - at, &before);
    return wn_unicode_is_letter(before) && starts_lower(b, b_len) ? JOINT_NONE : otherwise;
}

static joint join_lines(const paragraph_writer *w, const wn_pdf_line *a, const wn_pdf_line *b)
{
    size_t a_len = 0, b_len = 0;
    const char *at = text_of(w->l, a, &a_len), *bt = text_of(w->l, b, &b_len);
    double size = a->size > b->size ? a->size : b->size;
    double down = a->up_end - b->up;
    if (a->heading != b->heading || a->direction != b->direction)
        return JOINT_BLOCK;
    if (a->heading)
        return JOINT_BLANK;
    /* One line that pdfium has split: a raised or lowered part, or a part after a wide gap. */
    if (fabs(down) < 0.6 * size && b->along >= a->along_end - 0.3 * size)
        return b->along - a->along_end < 0.15 * size ? JOINT_NONE : JOINT_BLANK;
    bool full_stop = ends_sentence(at, a_len);
    if (down <= 0) /* upwards: the next column */
        return full_stop || !starts_lower(bt, b_len)
                   ? JOINT_BLOCK
                   : hyphen_joint(at, a_len, bt, b_len, JOINT_BLANK);
    bool resized = fabs(a->size - b->size) > 0.12 * size;
    bool far = w->pitch > 0 && down > 1.3 * w->pitch * size;
    if (resized || far || starts_item(bt, b_len))
        return JOINT_BLOCK;
    bool indented = b->along > a->along + 0.8 * size;
    bool ended = is_short(w, a) || has_leaders(at, a_len);
    if (full_stop && (indented || ended) && !starts_lower(bt, b_len))
        return JOINT_BLOCK;
    return hyphen_joint(at, a_len, bt, b_len, ended ? JOINT_LINE : JOINT_BLANK);
}

static void begin_line_block(const paragraph_writer *w, const wn_pdf_line *line)
{
    size_t len = 0;
    const char *s = text_of(w->l, line, &len);
    if (line->heading)
        wn_doc_heading_begin(w->out, line->heading, line->page);
    else
        wn_doc_begin(w->out, starts_item(s, len) ? WN_BLOCK_LIST_ITEM : WN_BLOCK_PARAGRAPH,
                     line->page);
}

/* A paragraph that the end of a page cuts in two stays one sentence. */
static bool continues_over_page(const paragraph_writer *w, const wn_pdf_line *a,
                                const wn_pdf_line *b)
{
    size_t a_len = 0, b_len = 0;
    const char *at = text_of(w->l, a, &a_len), *bt = text_of(w->l, b, &b_len);
    return !a->heading && !b->heading && b->page == a->page + 1 && !ends_sentence(at, a_len) &&
           (starts_lower(bt, b_len) || !is_short(w, a)) && !starts_item(bt, b_len) &&
           fabs(a->size - b->size) <= 0.12 * a->size;
}

static void write_line(const paragraph_writer *w, const wn_pdf_line *before,
                       const wn_pdf_line *line)
{
    static const char *const joints[] = {"", " ", "\n"};
    size_t len = 0;
    const char *s = text_of(w->l, line, &len);
    joint j = !before || before->page != line->page ? JOINT_BLOCK : join_lines(w, before, line);
    if (j == JOINT_BLOCK) {
        wn_doc_end(w->out);
        if (before && before->page != line->page && continues_over_page(w, before, line))
            wn_doc_continue(w->out);
        begin_line_block(w, line);
    } else {
        wn_doc_add(w->out, joints[j], strlen(joints[j]));
    }
    wn_doc_add(w->out, s, len);
}

static int by_width(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* The width of a page's column: the upper quartile of its lines, so that neither short lines nor a
 * title across two columns decide. */
static double column_width(const wn_pdf_lines *l, size_t first, size_t end)
{
    double widths[256];
    size_t n = 0;
    for (size_t i = first; i < end && n < sizeof widths / sizeof *widths; i++)
        if (!l->lines[i].dropped)
            widths[n++] = l->lines[i].along_end - l->lines[i].along;
    qsort(widths, n, sizeof *widths, by_width);
    return n ? widths[n * 3 / 4] : 0;
}

wn_status wn_pdf_paragraphs_write(const wn_pdf_lines *l, wn_doc_builder *out, wn_error *err)
{
    paragraph_writer w = {.l = l, .out = out, .pitch = usual_pitch(l)};
    const wn_pdf_line *before = NULL;
    wn_doc_set_pages(out, l->n_pages);
    for (size_t first = 0, end = 0; wn_pdf_lines_page(l, &first, &end); first = end) {
        double width = column_width(l, first, end);
        for (size_t i = first; i < end; i++) {
            if (l->lines[i].dropped)
                continue;
            write_line(&w, before, &l->lines[i]);
            before = &l->lines[i];
            w.width = width;
        }
        WN_TRY(wn_doc_builder_status(out, err));
    }
    wn_doc_end(out);
    return wn_doc_builder_status(out, err);
}
