/* Markdown (GitHub's flavour, by cmark-gfm): the text as readers see it, without marks of emphasis,
 * links by their text. Each leaf of the tree is a block. */
#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ingest/doc_parser.h"
#include "ingest/front_matter.h"
#include "ingest/html_tree.h"
#include "ingest/text_decode.h"

typedef struct markdown_walk {
    wn_doc_builder *out;
    int list_depth;
    char marker[24]; /* "- " or "3. ": of a list item whose text has not begun */
    bool first_row, first_cell;
} markdown_walk;

static bool is_type(cmark_node *n, const char *name)
{
    return strcmp(cmark_node_get_type_string(n), name) == 0;
}

static bool is_inline(cmark_node *n)
{
    return ((unsigned)cmark_node_get_type(n) & CMARK_NODE_TYPE_MASK) == CMARK_NODE_TYPE_INLINE;
}

static void add_literal(markdown_walk *w, cmark_node *n)
{
    const char *s = cmark_node_get_literal(n);
    if (s)
        wn_doc_add(w->out, s, strlen(s));
}

/* The number of an ordered list's next item is kept in the list node. */
static void begin_item(markdown_walk *w, cmark_node *n)
{
    cmark_node *list = cmark_node_parent(n);
    intptr_t number = (intptr_t)cmark_node_get_user_data(list);
    cmark_node_set_user_data(list, (void *)(number + 1));
    if (cmark_node_get_list_type(list) == CMARK_ORDERED_LIST)
        snprintf(w->marker, sizeof w->marker, "%ld. ",
                 (long)number + cmark_node_get_list_start(list));
    else
        snprintf(w->marker, sizeof w->marker, "- ");
}

static void begin_paragraph(markdown_walk *w)
{
    if (w->list_depth > 0)
        wn_doc_indent(w->out, 2 * (w->list_depth - 1));
    wn_doc_begin(w->out, w->list_depth > 0 ? WN_BLOCK_LIST_ITEM : WN_BLOCK_PARAGRAPH, 0);
    wn_doc_add(w->out, w->marker, strlen(w->marker));
    w->marker[0] = '\0';
}

static void add_code_block(markdown_walk *w, cmark_node *n)
{
    wn_doc_begin(w->out, WN_BLOCK_CODE, 0);
    add_literal(w, n);
    wn_doc_end(w->out);
}

static wn_status add_html_block(markdown_walk *w, cmark_node *n, wn_error *err)
{
    const char *s = cmark_node_get_literal(n);
    return s ? wn_html_write_fragment(s, strlen(s), w->out, err) : WN_OK;
}

static void enter_table_part(markdown_walk *w, cmark_node *n)
{
    if (is_type(n, "table")) {
        wn_doc_begin(w->out, WN_BLOCK_TABLE, 0);
        w->first_row = true;
    } else if (is_type(n, "table_row") || is_type(n, "table_header")) {
        wn_doc_add(w->out, "\n", w->first_row ? 0 : 1);
        w->first_row = false;
        w->first_cell = true;
    } else if (is_type(n, "table_cell")) {
        wn_doc_add(w->out, " | ", w->first_cell ? 0 : 3);
        w->first_cell = false;
    }
}

static void add_inline(markdown_walk *w, cmark_node *n)
{
    const char *s = cmark_node_get_literal(n);
    switch (cmark_node_get_type(n)) {
    case CMARK_NODE_TEXT:
    case CMARK_NODE_CODE:
        add_literal(w, n);
        break;
    case CMARK_NODE_SOFTBREAK:
        wn_doc_add(w->out, " ", 1);
        break;
    case CMARK_NODE_LINEBREAK:
        wn_doc_add(w->out, "\n", 1);
        break;
    case CMARK_NODE_HTML_INLINE:
        if (s && strncasecmp(s, "<br", 3) == 0)
            wn_doc_add(w->out, "\n", 1);
        break;
    default:
        break;
    }
}

static wn_status enter(markdown_walk *w, cmark_node *n, wn_error *err)
{
    switch (cmark_node_get_type(n)) {
    case CMARK_NODE_HEADING:
        wn_doc_heading_begin(w->out, cmark_node_get_heading_level(n), 0);
        break;
    case CMARK_NODE_PARAGRAPH:
        begin_paragraph(w);
        break;
    case CMARK_NODE_LIST:
        w->list_depth++;
        break;
    case CMARK_NODE_ITEM:
        begin_item(w, n);
        break;
    case CMARK_NODE_CODE_BLOCK:
        add_code_block(w, n);
        break;
    case CMARK_NODE_HTML_BLOCK:
        return add_html_block(w, n, err);
    default:
        if (is_inline(n))
            add_inline(w, n);
        else
            enter_table_part(w, n);
    }
    return WN_OK;
}

static void leave(markdown_walk *w, cmark_node *n)
{
    cmark_node_type type = cmark_node_get_type(n);
    if (type == CMARK_NODE_LIST)
        w->list_depth--;
    else if (type == CMARK_NODE_ITEM)
        w->marker[0] = '\0';
    else if (type == CMARK_NODE_HEADING || type == CMARK_NODE_PARAGRAPH || is_type(n, "table"))
        wn_doc_end(w->out);
}

static wn_status walk(cmark_node *root, wn_doc_builder *out, wn_error *err)
{
    markdown_walk w = {.out = out};
    wn_status status = WN_OK;
    cmark_iter *iter = cmark_iter_new(root);
    for (cmark_event_type e = cmark_iter_next(iter); e != CMARK_EVENT_DONE && status == WN_OK;
         e = cmark_iter_next(iter)) {
        if (e == CMARK_EVENT_ENTER)
            status = enter(&w, cmark_iter_get_node(iter), err);
        else
            leave(&w, cmark_iter_get_node(iter));
        if (status == WN_OK)
            status = wn_doc_builder_status(out, err);
    }
    cmark_iter_free(iter);
    return status;
}

static wn_status parse(const char *text, size_t len, wn_doc_builder *out, wn_error *err)
{
    cmark_gfm_core_extensions_ensure_registered();
    cmark_parser *parser = cmark_parser_new(CMARK_OPT_VALIDATE_UTF8 | CMARK_OPT_FOOTNOTES);
    cmark_syntax_extension *tables = cmark_find_syntax_extension("table");
    cmark_syntax_extension *strikes = cmark_find_syntax_extension("strikethrough");
    if (tables)
        cmark_parser_attach_syntax_extension(parser, tables);
    if (strikes)
        cmark_parser_attach_syntax_extension(parser, strikes);
    cmark_parser_feed(parser, text, len);
    cmark_node *root = cmark_parser_finish(parser);
    wn_status status =
        root ? walk(root, out, err) : wn_error_set(err, WN_FORMAT, "no Markdown tree");
    cmark_node_free(root);
    cmark_parser_free(parser);
    return status;
}

wn_status wn_parse_markdown(const wn_doc_source *source, wn_doc_builder *out, wn_error *err)
{
    wn_strbuf text = {0};
    wn_status status =
        wn_text_decode(source->data, source->len, NULL, source->charsets, &text, err);
    if (status == WN_OK && wn_text_is_binary(wn_strbuf_cstr(&text), text.len))
        status = wn_error_set(err, WN_FORMAT, "binary data, not text");
    if (status == WN_OK) {
        size_t skip = wn_front_matter_read(wn_strbuf_cstr(&text), text.len, out);
        status = parse(wn_strbuf_cstr(&text) + skip, text.len - skip, out, err);
    }
    wn_strbuf_free(&text);
    return status;
}
