/* HTML to a tree with a memory cap, and walking it without recursion (nesting is the document's
 * choice).
 *
 *     wn_html_tree t = {0};
 *     WN_TRY(wn_html_tree_parse(&t, utf8, len, err));
 *     for (const GumboNode *n = t.root; n; n = wn_html_next(t.root, n, !wn_html_hidden(n))) ...
 *     wn_html_tree_free(&t);
 */
#ifndef WN_INGEST_HTML_TREE_H
#define WN_INGEST_HTML_TREE_H

#include <gumbo.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/strbuf.h"
#include "ingest/doc_builder.h"

typedef struct wn_html_tree {
    const GumboNode *root; /* the html element; it points into the text, which must live on */
    wn_arena *memory;
} wn_html_tree;

wn_status wn_html_tree_parse(wn_html_tree *out, const char *utf8, size_t len, wn_error *err);
void wn_html_tree_free(wn_html_tree *t);

/* The tag of an element; GUMBO_TAG_LAST for every other node. */
GumboTag wn_html_tag(const GumboNode *n);
const GumboVector *wn_html_children(const GumboNode *n); /* NULL for leaves */
/* The next node of the tree below `root` in document order (without n's children unless descend);
 * NULL at the end. */
const GumboNode *wn_html_next(const GumboNode *root, const GumboNode *n, bool descend);
/* Is the element no text for readers: scripts, navigation, hidden, form controls? */
bool wn_html_hidden(const GumboNode *n);
/* Does the element begin and end a paragraph? */
bool wn_html_is_block(GumboTag tag);
/* Appends the visible text below n on one line, blanks collapsed; borders of blocks count as
 * blanks. */
void wn_html_collect(const GumboNode *n, wn_strbuf *out);
/* The text of a text node, else NULL. */
const char *wn_html_text(const GumboNode *n);

/* Is a table for data (rows of short cells), not for layout? */
bool wn_html_is_data_table(const GumboNode *table);
/* Writes its caption as a paragraph and its rows as one TABLE block, cells joined by " | ". */
void wn_html_write_table(const GumboNode *table, wn_doc_builder *out);

/* Blocks of a piece of HTML inside another format (Markdown). */
wn_status wn_html_write_fragment(const char *utf8, size_t len, wn_doc_builder *out, wn_error *err);

#endif
