/* HTML: what a reader sees, as blocks. Parsed by gumbo (the HTML5 algorithm), walked without
 * recursion: enter() and leave() see every visible element in document order. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ingest/doc_parser.h"
#include "ingest/html_tree.h"
#include "ingest/text_decode.h"

#define MAX_LISTS 16 /* deeper ordered lists get bullets */

typedef struct html_walk {
    wn_doc_builder *out;
    const GumboNode *heading, *pre;     /* inside of which the walk is; NULL = none */
    int list_depth, numbers[MAX_LISTS]; /* of the next item of each open list */
    char marker[16];                    /* "- " or "3. ": of a list item whose text has not begun */
    bool in_item;                       /* text outside of paragraphs belongs to a list item */
    bool blank_owed;                    /* a blank stands between the last text and the next */
} html_walk;

static int heading_level(GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_H1:
        return 1;
    case GUMBO_TAG_H2:
        return 2;
    case GUMBO_TAG_H3:
        return 3;
    case GUMBO_TAG_H4:
        return 4;
    case GUMBO_TAG_H5:
        return 5;
    case GUMBO_TAG_H6:
        return 6;
    default:
        return 0;
    }
}

/* A paragraph ends here, unless a heading or preformatted text goes on. */
static void end_paragraph(html_walk *w)
{
    if (w->heading || w->pre)
        w->blank_owed = wn_doc_in_block(w->out);
    else {
        wn_doc_end(w->out);
        w->blank_owed = false;
    }
}

static void begin_text(html_walk *w)
{
    if (wn_doc_in_block(w->out))
        return;
    bool item = w->in_item && w->list_depth > 0;
    if (item)
        wn_doc_indent(w->out, 2 * (w->list_depth - 1));
    wn_doc_begin(w->out, item ? WN_BLOCK_LIST_ITEM : WN_BLOCK_PARAGRAPH, 0);
    wn_doc_add(w->out, w->marker, strlen(w->marker));
    w->marker[0] = '\0';
    w->blank_owed = false;
}

/* Length of a blank at s: white space of HTML, or a no-break space, which readers see as one. */
static size_t blank_length(const char *s)
{
    if (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\r' || *s == '\f')
        return 1;
    return s[0] == '\xC2' && s[1] == '\xA0' ? 2 : 0;
}

static void add_text(html_walk *w, const char *s)
{
    if (w->pre) {
        wn_doc_add(w->out, s, strlen(s));
        return;
    }
    while (*s) {
        size_t blank = blank_length(s);
        if (blank) {
            w->blank_owed = w->blank_owed || wn_doc_in_block(w->out);
            s += blank;
            continue;
        }
        size_t n = 0;
        while (s[n] && !blank_length(s + n))
            n++;
        begin_text(w);
        if (w->blank_owed)
            wn_doc_add(w->out, " ", 1);
        w->blank_owed = false;
        wn_doc_add(w->out, s, n);
        s += n;
    }
}

/* A whole number in an attribute, else `otherwise`. */
static int read_number(const GumboNode *n, const char *attribute, int otherwise)
{
    const GumboAttribute *a = gumbo_get_attribute(&n->v.element.attributes, attribute);
    int number = 0;
    return a && sscanf(a->value, "%7d", &number) == 1 ? number : otherwise;
}

static void begin_list(html_walk *w, const GumboNode *n)
{
    w->list_depth++;
    if (w->list_depth < MAX_LISTS)
        w->numbers[w->list_depth] = read_number(n, "start", 1);
}

static void begin_item(html_walk *w, const GumboNode *n)
{
    end_paragraph(w);
    w->in_item = true;
    bool ordered = n->parent && wn_html_tag(n->parent) == GUMBO_TAG_OL;
    if (!ordered || w->list_depth >= MAX_LISTS) {
        snprintf(w->marker, sizeof w->marker, "- ");
        return;
    }
    int number = read_number(n, "value", w->numbers[w->list_depth]);
    w->numbers[w->list_depth] = number + 1;
    snprintf(w->marker, sizeof w->marker, "%d. ", number);
}

/* true when the walk goes on inside n. */
static bool enter(html_walk *w, const GumboNode *n)
{
    const char *text = wn_html_text(n);
    GumboTag tag = wn_html_tag(n);
    int level = heading_level(tag);
    if (text)
        add_text(w, text);
    if (text || tag == GUMBO_TAG_LAST || wn_html_hidden(n))
        return false;
    if (w->heading || w->pre) {
        if (wn_html_is_block(tag) || tag == GUMBO_TAG_BR)
            w->pre ? wn_doc_add(w->out, "\n", 1) : end_paragraph(w);
        return true;
    }
    if (level > 0) {
        wn_doc_heading_begin(w->out, level, 0);
        w->heading = n;
        w->blank_owed = false;
    } else if (tag == GUMBO_TAG_PRE) {
        wn_doc_begin(w->out, WN_BLOCK_CODE, 0);
        w->pre = n;
    } else if (tag == GUMBO_TAG_TABLE && wn_html_is_data_table(n)) {
        end_paragraph(w);
        wn_html_write_table(n, w->out);
        return false;
    } else if (tag == GUMBO_TAG_LI) {
        begin_item(w, n);
    } else if (tag == GUMBO_TAG_BR && wn_doc_in_block(w->out)) {
        wn_doc_add(w->out, "\n", 1);
        w->blank_owed = false;
    } else if (wn_html_is_block(tag)) {
        end_paragraph(w);
        if (tag == GUMBO_TAG_UL || tag == GUMBO_TAG_OL)
            begin_list(w, n);
    }
    return true;
}

static void leave(html_walk *w, const GumboNode *n)
{
    GumboTag tag = wn_html_tag(n);
    if (n == w->heading || n == w->pre) {
        w->heading = w->pre = NULL;
        end_paragraph(w);
        return;
    }
    if (!wn_html_is_block(tag))
        return;
    end_paragraph(w);
    if (w->heading || w->pre)
        return;
    if (tag == GUMBO_TAG_UL || tag == GUMBO_TAG_OL)
        w->list_depth -= w->list_depth > 0;
    if (tag == GUMBO_TAG_LI) {
        w->marker[0] = '\0';
        w->in_item = w->list_depth > 1;
    }
}

/* Behind n and all that is in it: the next sibling of n, or of the nearest parent that has one. */
static const GumboNode *step_over(html_walk *w, const GumboNode *root, const GumboNode *n)
{
    while (n != root) {
        const GumboVector *siblings = wn_html_children(n->parent);
        if (n->index_within_parent + 1 < siblings->length)
            return siblings->data[n->index_within_parent + 1];
        n = n->parent;
        leave(w, n);
    }
    return NULL;
}

static wn_status walk(const GumboNode *root, wn_doc_builder *out, wn_error *err)
{
    html_walk w = {.out = out};
    for (const GumboNode *n = root; n;) {
        bool inside = enter(&w, n);
        const GumboVector *children = inside ? wn_html_children(n) : NULL;
        if (children && children->length > 0) {
            n = children->data[0];
            continue;
        }
        if (inside)
            leave(&w, n);
        n = step_over(&w, root, n);
        WN_TRY(wn_doc_builder_status(out, err));
    }
    wn_doc_end(out);
    return wn_doc_builder_status(out, err);
}

/* The title element of the head (SVG images have title elements too). */
static void set_title(const GumboNode *root, wn_doc_builder *out)
{
    for (const GumboNode *n = root; n; n = wn_html_next(root, n, true)) {
        if (wn_html_tag(n) == GUMBO_TAG_BODY)
            return;
        if (wn_html_tag(n) != GUMBO_TAG_TITLE)
            continue;
        wn_strbuf title = {0};
        wn_html_collect(n, &title);
        wn_doc_note(out, &title);
        wn_doc_set_title(out, wn_strbuf_cstr(&title), title.len);
        wn_strbuf_free(&title);
        return;
    }
}

/* The charset that a meta element or an XML declaration at the beginning names; "" = none. */
static void declared_charset(const char *s, size_t len, char *out, size_t cap)
{
    static const char *const keys[] = {"charset", "encoding"};
    char head[4097];
    size_t n = len < sizeof head - 1 ? len : sizeof head - 1, m = 0;
    for (size_t i = 0; i < n; i++)
        head[i] = s[i] ? s[i] : ' ';
    head[n] = out[0] = '\0';
    for (size_t k = 0; k < 2; k++) {
        const char *tag = strcasestr(head, k == 0 ? "<meta" : "<?xml");
        for (; tag; tag = k == 0 ? strcasestr(tag + 1, "<meta") : NULL) {
            const char *end = strchr(tag, '>'), *at = strcasestr(tag, keys[k]);
            if (!end || !at || at > end)
                continue;
            at += strlen(keys[k]);
            at += strspn(at, " \t\r\n");
            if (*at != '=')
                continue;
            at += 1 + strspn(at + 1, " \t\r\n\"'");
            while (m + 1 < cap && at[m] && !strchr(" \t\r\n\"';/>", at[m])) {
                out[m] = at[m];
                m++;
            }
            out[m] = '\0';
            if (strncasecmp(out, "utf-16", 6) == 0) /* it could not have been read this far */
                snprintf(out, cap, "utf-8");
            return;
        }
    }
}

wn_status wn_html_write_fragment(const char *utf8, size_t len, wn_doc_builder *out, wn_error *err)
{
    wn_html_tree tree = {0};
    WN_TRY(wn_html_tree_parse(&tree, utf8, len, err));
    wn_status status = walk(tree.root, out, err);
    wn_html_tree_free(&tree);
    return status;
}

wn_status wn_parse_html(const wn_doc_source *source, wn_doc_builder *out, wn_error *err)
{
    char charset[32];
    wn_strbuf text = {0};
    wn_html_tree tree = {0};
    declared_charset((const char *)source->data, source->len, charset, sizeof charset);
    wn_status status = wn_text_decode(source->data, source->len, *charset ? charset : NULL,
                                      source->charsets, &text, err);
    if (status == WN_OK)
        status = wn_html_tree_parse(&tree, wn_strbuf_cstr(&text), text.len, err);
    if (status == WN_OK) {
        set_title(tree.root, out);
        status = walk(tree.root, out, err);
    }
    wn_html_tree_free(&tree);
    wn_strbuf_free(&text);
    return status;
}
