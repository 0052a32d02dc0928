#include "ingest/parse_frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"

/* Where the parts of a frame begin; filled when they all fit exactly. */
typedef struct frame_parts {
    wn_frame_header header;
    const char *blocks, *headings, *title, *text;
} frame_parts;

static wn_status corrupt(wn_error *err, const char *what)
{
    return wn_error_set(err, WN_CORRUPT, "the parser process answered with a wrong %s", what);
}

static bool take(const char **at, size_t *left, uint64_t n, const char **part)
{
    if (n > *left)
        return false;
    *part = *at;
    *at += n;
    *left -= (size_t)n;
    return true;
}

static wn_status split(const char *frame, size_t len, frame_parts *p, wn_error *err)
{
    const char *at = frame, *part = NULL;
    size_t left = len, block_bytes = 0;
    if (!take(&at, &left, sizeof p->header, &part))
        return corrupt(err, "length");
    memcpy(&p->header, part, sizeof p->header);
    const wn_frame_header *h = &p->header;
    if (h->magic != WN_FRAME_MAGIC)
        return corrupt(err, "mark");
    if (!wn_size_mul(h->n_blocks, sizeof(wn_frame_block), &block_bytes) ||
        !take(&at, &left, block_bytes, &p->blocks) ||
        !take(&at, &left, h->headings_bytes, &p->headings) ||
        !take(&at, &left, h->title_bytes, &p->title) || h->text_bytes == UINT64_MAX ||
        !take(&at, &left, h->text_bytes + 1, &p->text) || left != 0)
        return corrupt(err, "length");
    return WN_OK;
}

/* Valid UTF-8 of `bytes` bytes whose only NUL is the last one. */
static bool string_valid(const char *s, uint64_t bytes)
{
    return bytes > 0 && memchr(s, '\0', (size_t)bytes) == s + bytes - 1 &&
           wn_utf8_valid(s, (size_t)bytes - 1);
}

static bool is_border(const char *text, size_t at)
{
    return ((unsigned char)text[at] & 0xC0) != 0x80;
}

/* The start of every heading path; false when they are not n strings. */
static bool index_headings(const frame_parts *p, const char **out)
{
    const char *at = p->headings, *end = at + p->header.headings_bytes;
    for (uint32_t i = 0; i < p->header.n_headings; i++) {
        const char *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
        if (!nul || !wn_utf8_valid(at, (size_t)(nul - at)))
            return false;
        out[i] = at;
        at = nul + 1;
    }
    return at == end;
}

static bool read_block(const frame_parts *p, uint32_t i, const char *const *headings,
                       size_t *last_end, wn_block *out)
{
    wn_frame_block b;
    memcpy(&b, p->blocks + (size_t)i * sizeof b, sizeof b);
    if (b.start < *last_end || b.end <= b.start || b.end > p->header.text_bytes ||
        b.kind > WN_BLOCK_CODE || b.page > p->header.n_pages || b.heading >= p->header.n_headings ||
        !is_border(p->text, (size_t)b.start) || !is_border(p->text, (size_t)b.end))
        return false;
    *last_end = (size_t)b.end;
    *out = (wn_block){.kind = (wn_block_kind)b.kind,
                      .page = (int)b.page,
                      .start = (size_t)b.start,
                      .end = (size_t)b.end,
                      .headings = headings[b.heading]};
    return true;
}

static wn_status read_blocks(const frame_parts *p, wn_parsed_doc *doc, wn_error *err)
{
    const wn_frame_header *h = &p->header;
    if (h->n_blocks > WN_DOC_MAX_BLOCKS || h->n_headings > h->headings_bytes ||
        h->n_pages > WN_DOC_MAX_PAGES)
        return corrupt(err, "count");
    wn_block *blocks = wn_alloc(h->n_blocks, sizeof *blocks);
    const char **headings = wn_alloc(h->n_headings, sizeof *headings);
    wn_status status = WN_OK;
    size_t last_end = 0;
    if (!blocks || !headings)
        status = wn_error_set(err, WN_NO_MEMORY, "no memory for %u blocks", h->n_blocks);
    else if (!index_headings(p, headings))
        status = corrupt(err, "heading");
    for (uint32_t i = 0; status == WN_OK && i < h->n_blocks; i++)
        if (!read_block(p, i, headings, &last_end, &blocks[i]))
            status = corrupt(err, "block");
    free(headings);
    if (status != WN_OK) {
        free(blocks);
        return status;
    }
    doc->blocks = doc->block_memory = blocks;
    doc->n_blocks = h->n_blocks;
    return WN_OK;
}

/* The statuses that a parser may give; it has no word about anything but its file. */
static wn_status parser_status(uint32_t status)
{
    if (status == WN_NO_MEMORY)
        return WN_LIMIT;
    return status == WN_UNSUPPORTED || status == WN_LIMIT ? (wn_status)status : WN_FORMAT;
}

/* The parser's own error, made safe to show: one line. */
static wn_status forward_failure(const frame_parts *p, wn_error *err)
{
    if (!string_valid(p->title, p->header.title_bytes) || p->header.title_bytes > sizeof err->text)
        return corrupt(err, "error text");
    for (const char *c = p->title; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            return corrupt(err, "error text");
    return wn_error_set(err, parser_status(p->header.status), "%s", p->title);
}

wn_status wn_frame_decode(char *frame, size_t len, wn_parsed_doc *out, wn_error *err)
{
    *out = (wn_parsed_doc){0};
    frame_parts p = {0};
    wn_status status = split(frame, len, &p, err);
    if (status == WN_OK && p.header.status != WN_OK)
        status = forward_failure(&p, err);
    else if (status == WN_OK && (!string_valid(p.text, p.header.text_bytes + 1) ||
                                 !string_valid(p.title, p.header.title_bytes) ||
                                 p.header.title_bytes > WN_DOC_MAX_TITLE + 1))
        status = corrupt(err, "text");
    wn_parsed_doc doc = {.title = p.title, .text = p.text, .memory = frame};
    if (status == WN_OK)
        status = read_blocks(&p, &doc, err);
    if (status != WN_OK) {
        free(frame);
        return status;
    }
    doc.text_len = (size_t)p.header.text_bytes;
    doc.n_pages = (int)p.header.n_pages;
    *out = doc;
    return WN_OK;
}

wn_status wn_frame_write_error(const wn_error *failure, wn_doc_write_fn write, void *ctx,
                               wn_error *err)
{
    wn_frame_header header = {.magic = WN_FRAME_MAGIC,
                              .status = (uint32_t)failure->status,
                              .title_bytes = strlen(failure->text) + 1};
    WN_TRY(write(ctx, &header, sizeof header, err));
    WN_TRY(write(ctx, failure->text, (size_t)header.title_bytes, err));
    return write(ctx, "", 1, err);
}

void wn_parsed_doc_free(wn_parsed_doc *doc)
{
    free(doc->memory);
    free(doc->block_memory);
    *doc = (wn_parsed_doc){0};
}
