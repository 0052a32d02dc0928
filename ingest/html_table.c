/* Tables of HTML, and the text of an element on one line. */
#include <string.h>

#include "ingest/html_tree.h"

/* Appends text with its blanks collapsed; a blank is owed, so that none stands at the end. */
static void add_collapsed(wn_strbuf *out, const char *s, size_t start, bool *owed)
{
    while (*s) {
        size_t blanks = strspn(s, " \t\r\n\f");
        *owed = (*owed || blanks > 0) && out->len > start;
        s += blanks;
        size_t n = strcspn(s, " \t\r\n\f");
        if (n == 0)
            break;
        if (*owed)
            wn_strbuf_addc(out, ' ');
        *owed = false;
        wn_strbuf_add(out, s, n);
        s += n;
    }
}

void wn_html_collect(const GumboNode *n, wn_strbuf *out)
{
    size_t start = out->len;
    bool owed = false;
    const GumboNode *last_parent = NULL;
    for (const GumboNode *at = n; at;) {
        bool hidden = wn_html_hidden(at);
        GumboTag tag = wn_html_tag(at);
        const char *text = wn_html_text(at);
        if (wn_html_is_block(tag) || tag == GUMBO_TAG_BR ||
            (last_parent && at->parent != last_parent &&
             wn_html_is_block(wn_html_tag(last_parent))))
            owed = out->len > start;
        if (text)
            add_collapsed(out, text, start, &owed);
        last_parent = at->parent;
        at = wn_html_next(n, at, !hidden);
    }
}

bool wn_html_is_data_table(const GumboNode *table)
{
    size_t cells = 0, rows = 0;
    for (const GumboNode *n = wn_html_next(table, table, true); n;
         n = wn_html_next(table, n, true)) {
        switch (wn_html_tag(n)) {
        case GUMBO_TAG_TABLE:
        case GUMBO_TAG_H1:
        case GUMBO_TAG_H2:
        case GUMBO_TAG_H3:
        case GUMBO_TAG_H4:
        case GUMBO_TAG_PRE:
        case GUMBO_TAG_BLOCKQUOTE:
            return false;
        case GUMBO_TAG_TR:
            rows++;
            break;
        case GUMBO_TAG_TD:
        case GUMBO_TAG_TH:
            cells++;
            break;
        default:
            break;
        }
    }
    return rows > 1 && cells > rows; /* one row or one column is no table to readers */
}

static void write_caption(const GumboNode *caption, wn_doc_builder *out)
{
    wn_strbuf text = {0};
    wn_html_collect(caption, &text);
    wn_doc_note(out, &text);
    wn_doc_begin(out, WN_BLOCK_PARAGRAPH, 0);
    wn_doc_add(out, wn_strbuf_cstr(&text), text.len);
    wn_doc_end(out);
    wn_strbuf_free(&text);
}

void wn_html_write_table(const GumboNode *table, wn_doc_builder *out)
{
    wn_strbuf cell = {0};
    bool first_cell = true, first_row = true;
    for (const GumboNode *n = wn_html_next(table, table, true); n;) {
        GumboTag tag = wn_html_tag(n);
        bool descend = !wn_html_hidden(n);
        if (tag == GUMBO_TAG_CAPTION && descend) {
            write_caption(n, out);
            descend = false;
        } else if (tag == GUMBO_TAG_TR && descend) {
            if (!wn_doc_in_block(out))
                wn_doc_begin(out, WN_BLOCK_TABLE, 0);
            wn_doc_add(out, "\n", first_row ? 0 : 1);
            first_cell = true;
            first_row = false;
        } else if ((tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH) && wn_doc_in_block(out)) {
            wn_strbuf_clear(&cell);
            if (descend)
                wn_html_collect(n, &cell);
            wn_doc_note(out, &cell);
            wn_doc_add(out, " | ", first_cell ? 0 : 3);
            wn_doc_add(out, wn_strbuf_cstr(&cell), cell.len);
            first_cell = descend = false;
        }
        n = wn_html_next(table, n, descend);
    }
    wn_doc_end(out);
    wn_strbuf_free(&cell);
}
