#include "ingest/doc_builder.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/unicode.h"
#include "base/utf8.h"
#include "ingest/parse_frame.h"
#include "ingest/text_clean.h"

#define N_LEVELS 6
#define MAX_HEADINGS ((size_t)32 << 20) /* bytes of all paths */

struct wn_doc_builder {
    wn_strbuf text, title;
    wn_strbuf first_heading; /* stands for a missing title */
    int title_level;         /* of first_heading; 0 = none */
    wn_strbuf headings;      /* interned paths, each with its NUL; the first is "" */
    uint32_t n_headings;
    wn_frame_block *blocks;
    size_t n_blocks, blocks_cap;
    char *levels[N_LEVELS]; /* the heading in force at each level, or NULL */
    uint32_t path;          /* of blocks that are no headings ... */
    bool path_is_stale;     /* ... until levels change */
    int n_pages;
    /* the block being written */
    bool open, continued;
    int level, page, indent; /* level: 0 unless it is a heading */
    wn_block_kind kind;
    size_t start;
    wn_status failure;
};

wn_status wn_doc_builder_open(wn_doc_builder **out, wn_error *err)
{
    wn_doc_builder *b = wn_alloc(1, sizeof *b);
    if (!b)
        return wn_error_set(err, WN_NO_MEMORY, "document: no memory");
    wn_strbuf_addc(&b->headings, '\0');
    b->n_headings = 1;
    *out = b;
    return WN_OK;
}

void wn_doc_builder_close(wn_doc_builder *b)
{
    if (!b)
        return;
    wn_strbuf_free(&b->text);
    wn_strbuf_free(&b->title);
    wn_strbuf_free(&b->first_heading);
    wn_strbuf_free(&b->headings);
    for (int i = 0; i < N_LEVELS; i++)
        free(b->levels[i]);
    free(b->blocks);
    free(b);
}

void wn_doc_set_title(wn_doc_builder *b, const char *text, size_t len)
{
    if (b->title.len == 0)
        wn_text_line(&b->title, text, len, WN_DOC_MAX_TITLE);
}

void wn_doc_set_pages(wn_doc_builder *b, int n_pages)
{
    b->n_pages = n_pages;
}

/* Interns the path of the headings above `level` (N_LEVELS + 1 = of all); 0 is the empty path. */
static uint32_t intern_path(wn_doc_builder *b, int level)
{
    size_t start = b->headings.len;
    for (int i = 0; i < level - 1; i++) {
        if (!b->levels[i])
            continue;
        wn_strbuf_adds(&b->headings, b->headings.len > start ? " > " : "");
        wn_strbuf_adds(&b->headings, b->levels[i]);
    }
    if (b->headings.len == start)
        return 0;
    wn_strbuf_addc(&b->headings, '\0');
    if (b->headings.len > MAX_HEADINGS)
        b->failure = WN_LIMIT;
    return b->n_headings++;
}

static uint32_t block_path(wn_doc_builder *b)
{
    if (b->kind == WN_BLOCK_HEADING)
        return intern_path(b, b->level);
    if (b->path_is_stale)
        b->path = intern_path(b, N_LEVELS + 1);
    b->path_is_stale = false;
    return b->path;
}

static void begin(wn_doc_builder *b, wn_block_kind kind, int level, int page)
{
    if (b->open)
        wn_doc_end(b);
    bool item = kind == WN_BLOCK_LIST_ITEM && b->n_blocks > 0 &&
                b->blocks[b->n_blocks - 1].kind == WN_BLOCK_LIST_ITEM;
    if (b->n_blocks > 0)
        wn_strbuf_adds(&b->text, item || b->continued ? "\n" : "\n\n");
    for (int i = 0; i < b->indent && b->n_blocks > 0; i++)
        wn_strbuf_addc(&b->text, ' ');
    b->open = true;
    b->continued = false;
    b->indent = 0;
    b->kind = kind;
    b->level = level;
    b->page = page;
    b->start = b->text.len;
}

void wn_doc_begin(wn_doc_builder *b, wn_block_kind kind, int page)
{
    begin(b, kind, 0, page);
}

void wn_doc_heading_begin(wn_doc_builder *b, int level, int page)
{
    begin(b, WN_BLOCK_HEADING, level < 1 ? 1 : level > N_LEVELS ? N_LEVELS : level, page);
}

void wn_doc_add(wn_doc_builder *b, const char *bytes, size_t len)
{
    if (b->failure != WN_OK)
        return;
    if (len > WN_DOC_MAX_TEXT || b->text.len > WN_DOC_MAX_TEXT - len)
        b->failure = WN_LIMIT;
    else
        wn_text_clean(&b->text, bytes, len);
}

void wn_doc_indent(wn_doc_builder *b, int columns)
{
    b->indent = columns < 0 ? 0 : columns > 16 ? 16 : columns;
}

void wn_doc_continue(wn_doc_builder *b)
{
    b->continued = true;
}

void wn_doc_note(wn_doc_builder *b, const wn_strbuf *buffer)
{
    if (wn_strbuf_failed(buffer) && b->failure == WN_OK)
        b->failure = WN_NO_MEMORY;
}

bool wn_doc_in_block(const wn_doc_builder *b)
{
    return b->open;
}

/* Where the block's text begins and ends without blanks; code keeps the indent of its first line.
 */
static void trim(const wn_doc_builder *b, size_t *start, size_t *end)
{
    const char *s = b->text.data;
    uint32_t cp = 0;
    size_t first = *start;
    while (*start < *end) {
        size_t n = wn_utf8_decode(s + *start, *end - *start, &cp);
        if (!wn_unicode_is_space(cp))
            break;
        *start += n;
        if (cp == '\n')
            first = *start;
    }
    if (b->kind == WN_BLOCK_CODE)
        *start = first;
    while (*end > *start) {
        size_t last = wn_utf8_floor(s, *end - 1);
        wn_utf8_decode(s + last, *end - last, &cp);
        if (!wn_unicode_is_space(cp))
            break;
        *end = last;
    }
}

/* The heading that stands for the title where the document states none: the first of level 1, else
 * a first block that is a heading. Not in paged formats, where that is "Contents" or "Abstract". */
static void take_as_title(wn_doc_builder *b, size_t start, size_t end)
{
    bool better = b->level == 1 ? b->title_level != 1 : b->n_blocks == 1;
    if (b->page > 0 || !better)
        return;
    b->title_level = b->level;
    wn_strbuf_clear(&b->first_heading);
    wn_text_line(&b->first_heading, b->text.data + start, end - start, WN_DOC_MAX_TITLE);
}

static void set_heading(wn_doc_builder *b, size_t start, size_t end)
{
    wn_strbuf line = {0};
    take_as_title(b, start, end);
    wn_text_line(&line, b->text.data + start, end - start, WN_DOC_MAX_HEADING);
    for (int i = b->level - 1; i < N_LEVELS; i++) {
        free(b->levels[i]);
        b->levels[i] = NULL;
    }
    b->levels[b->level - 1] = wn_strbuf_detach(&line);
    if (!b->levels[b->level - 1])
        b->failure = WN_NO_MEMORY;
    b->path_is_stale = true;
}

static bool keep_block(wn_doc_builder *b, size_t start, size_t end)
{
    if (b->n_blocks >= WN_DOC_MAX_BLOCKS) {
        b->failure = WN_LIMIT;
        return false;
    }
    if (b->n_blocks == b->blocks_cap) {
        size_t cap = b->blocks_cap ? b->blocks_cap * 2 : 64;
        wn_frame_block *grown = wn_realloc(b->blocks, cap, sizeof *grown);
        if (!grown) {
            b->failure = WN_NO_MEMORY;
            return false;
        }
        b->blocks = grown;
        b->blocks_cap = cap;
    }
    uint32_t path = block_path(b);
    b->blocks[b->n_blocks++] = (wn_frame_block){.start = start,
                                                .end = end,
                                                .kind = (uint32_t)b->kind,
                                                .page = (uint32_t)(b->page < 0 ? 0 : b->page),
                                                .heading = path};
    return true;
}

bool wn_doc_end(wn_doc_builder *b)
{
    if (!b->open)
        return false;
    b->open = false;
    size_t start = b->start, end = b->text.len;
    if (b->failure != WN_OK || b->text.failed)
        return false;
    trim(b, &start, &end);
    if (start >= end) { /* nothing: the separator goes too */
        size_t kept = b->n_blocks ? (size_t)b->blocks[b->n_blocks - 1].end : 0;
        wn_strbuf_truncate(&b->text, kept);
        return false;
    }
    if (start > b->start) {
        memmove(b->text.data + b->start, b->text.data + start, end - start);
        end -= start - b->start;
        start = b->start;
    }
    wn_strbuf_truncate(&b->text, end);
    if (!keep_block(b, start, end))
        return false;
    if (b->kind == WN_BLOCK_HEADING)
        set_heading(b, start, end);
    return true;
}

wn_status wn_doc_builder_status(const wn_doc_builder *b, wn_error *err)
{
    if (b->failure == WN_LIMIT)
        return wn_error_set(err, WN_LIMIT,
                            "the document has more than %zu MiB of text or %zu blocks",
                            WN_DOC_MAX_TEXT >> 20, WN_DOC_MAX_BLOCKS);
    if (b->failure != WN_OK || b->text.failed || b->title.failed || b->first_heading.failed ||
        b->headings.failed)
        return wn_error_set(err, WN_NO_MEMORY,
                            "the document needs more memory than its worker may use");
    return WN_OK;
}

wn_status wn_doc_builder_write(const wn_doc_builder *b, wn_doc_write_fn write, void *ctx,
                               wn_error *err)
{
    WN_TRY(wn_doc_builder_status(b, err));
    const wn_strbuf *title = b->title.len ? &b->title : &b->first_heading;
    wn_frame_header header = {.magic = WN_FRAME_MAGIC,
                              .n_blocks = (uint32_t)b->n_blocks,
                              .n_headings = b->n_headings,
                              .headings_bytes = b->headings.len,
                              .title_bytes = title->len + 1,
                              .text_bytes = b->text.len,
                              .n_pages = (uint32_t)(b->n_pages < 0 ? 0 : b->n_pages)};
    WN_TRY(write(ctx, &header, sizeof header, err));
    if (b->n_blocks)
        WN_TRY(write(ctx, b->blocks, b->n_blocks * sizeof *b->blocks, err));
    WN_TRY(write(ctx, b->headings.data, b->headings.len, err));
    WN_TRY(write(ctx, wn_strbuf_cstr(title), title->len + 1, err));
    return write(ctx, wn_strbuf_cstr(&b->text), b->text.len + 1, err);
}
