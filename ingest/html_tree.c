#include "ingest/html_tree.h"

#include <setjmp.h>
#include <string.h>
#include <strings.h>

#define TREE_BYTES ((size_t)320 << 20)

/* gumbo does not check its allocations: when the arena is full, leave the parse as a whole. Nothing
 * is lost by that, because all of its memory is in the arena. */
typedef struct tree_memory {
    wn_arena *arena;
    jmp_buf full;
} tree_memory;

static void *tree_alloc(void *ctx, size_t size)
{
    tree_memory *m = ctx;
    void *p = wn_arena_alloc(m->arena, size ? size : 1, 1);
    if (!p)
        longjmp(m->full, 1);
    return p;
}

static void tree_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

static const GumboNode *parse_guarded(tree_memory *m, const char *utf8, size_t len)
{
    GumboOptions options = kGumboDefaultOptions;
    options.allocator = tree_alloc;
    options.deallocator = tree_free;
    options.userdata = m;
    options.max_errors = 0;
    if (setjmp(m->full))
        return NULL;
    return gumbo_parse_with_options(&options, utf8, len)->root;
}

wn_status wn_html_tree_parse(wn_html_tree *out, const char *utf8, size_t len, wn_error *err)
{
    tree_memory memory = {0};
    *out = (wn_html_tree){0};
    WN_TRY(wn_arena_create(&memory.arena, TREE_BYTES, err));
    out->root = parse_guarded(&memory, utf8, len);
    out->memory = memory.arena;
    if (out->root)
        return WN_OK;
    wn_html_tree_free(out);
    return wn_error_set(err, WN_LIMIT, "the HTML needs more than %zu MiB as a tree",
                        TREE_BYTES >> 20);
}

void wn_html_tree_free(wn_html_tree *t)
{
    wn_arena_free(t->memory);
    *t = (wn_html_tree){0};
}

GumboTag wn_html_tag(const GumboNode *n)
{
    bool element = n->type == GUMBO_NODE_ELEMENT || n->type == GUMBO_NODE_TEMPLATE;
    return element ? n->v.element.tag : GUMBO_TAG_LAST;
}

const GumboVector *wn_html_children(const GumboNode *n)
{
    if (n->type == GUMBO_NODE_ELEMENT || n->type == GUMBO_NODE_TEMPLATE)
        return &n->v.element.children;
    return n->type == GUMBO_NODE_DOCUMENT ? &n->v.document.children : NULL;
}

const GumboNode *wn_html_next(const GumboNode *root, const GumboNode *n, bool descend)
{
    const GumboVector *children = descend ? wn_html_children(n) : NULL;
    if (children && children->length > 0)
        return children->data[0];
    for (; n != root && n->parent; n = n->parent) {
        const GumboVector *siblings = wn_html_children(n->parent);
        if (n->index_within_parent + 1 < siblings->length)
            return siblings->data[n->index_within_parent + 1];
    }
    return NULL;
}

static bool hides(const GumboVector *attributes)
{
    const GumboAttribute *a = gumbo_get_attribute(attributes, "hidden");
    if (a && strcasecmp(a->value, "until-found") != 0)
        return true;
    a = gumbo_get_attribute(attributes, "aria-hidden");
    if (a && strcasecmp(a->value, "true") == 0)
        return true;
    a = gumbo_get_attribute(attributes, "role");
    if (a && strcasecmp(a->value, "navigation") == 0)
        return true;
    a = gumbo_get_attribute(attributes, "style");
    if (!a)
        return false;
    const char *display = strcasestr(a->value, "display");
    const char *visibility = strcasestr(a->value, "visibility");
    return (display && strncasecmp(display + 7 + strspn(display + 7, " :"), "none", 4) == 0) ||
           (visibility &&
            strncasecmp(visibility + 10 + strspn(visibility + 10, " :"), "hidden", 6) == 0);
}

bool wn_html_hidden(const GumboNode *n)
{
    switch (wn_html_tag(n)) {
    case GUMBO_TAG_SCRIPT:
    case GUMBO_TAG_STYLE:
    case GUMBO_TAG_NOSCRIPT:
    case GUMBO_TAG_TEMPLATE:
    case GUMBO_TAG_NAV:
    case GUMBO_TAG_HEAD:
    case GUMBO_TAG_IFRAME:
    case GUMBO_TAG_OBJECT:
    case GUMBO_TAG_SVG:
    case GUMBO_TAG_CANVAS:
    case GUMBO_TAG_AUDIO:
    case GUMBO_TAG_VIDEO:
    case GUMBO_TAG_SELECT:
    case GUMBO_TAG_TEXTAREA:
    case GUMBO_TAG_BUTTON:
    case GUMBO_TAG_DATALIST:
    case GUMBO_TAG_RP: /* parentheses around ruby text */
        return true;
    case GUMBO_TAG_LAST:
        return false;
    default:
        return hides(&n->v.element.attributes);
    }
}

bool wn_html_is_block(GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_ADDRESS:
    case GUMBO_TAG_ARTICLE:
    case GUMBO_TAG_ASIDE:
    case GUMBO_TAG_BLOCKQUOTE:
    case GUMBO_TAG_BODY:
    case GUMBO_TAG_CAPTION:
    case GUMBO_TAG_CENTER:
    case GUMBO_TAG_DD:
    case GUMBO_TAG_DETAILS:
    case GUMBO_TAG_DIV:
    case GUMBO_TAG_DL:
    case GUMBO_TAG_DT:
    case GUMBO_TAG_FIELDSET:
    case GUMBO_TAG_FIGCAPTION:
    case GUMBO_TAG_FIGURE:
    case GUMBO_TAG_FOOTER:
    case GUMBO_TAG_FORM:
    case GUMBO_TAG_HEADER:
    case GUMBO_TAG_HR:
    case GUMBO_TAG_LEGEND:
    case GUMBO_TAG_LI:
    case GUMBO_TAG_MAIN:
    case GUMBO_TAG_OL:
    case GUMBO_TAG_P:
    case GUMBO_TAG_PRE:
    case GUMBO_TAG_SECTION:
    case GUMBO_TAG_SUMMARY:
    case GUMBO_TAG_TABLE:
    case GUMBO_TAG_TBODY:
    case GUMBO_TAG_TD:
    case GUMBO_TAG_TFOOT:
    case GUMBO_TAG_TH:
    case GUMBO_TAG_THEAD:
    case GUMBO_TAG_TR:
    case GUMBO_TAG_UL:
        return true;
    default:
        return false;
    }
}

const char *wn_html_text(const GumboNode *n)
{
    bool text = n->type == GUMBO_NODE_TEXT || n->type == GUMBO_NODE_CDATA ||
                n->type == GUMBO_NODE_WHITESPACE;
    return text ? n->v.text.text : NULL;
}
