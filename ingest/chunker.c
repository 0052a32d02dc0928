#include "ingest/chunker.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "ingest/chunk_pieces.h"

#define DEFAULT_PASSAGE 200
#define DEFAULT_OVERLAP 30
#define MAX_PASSAGE 8192 /* tokens */

/* The passage that is being filled. */
typedef struct chunker {
    const wn_parsed_doc *doc;
    wn_passages *out;
    size_t max_tokens, overlap_tokens;
    size_t top_level;             /* depth of the headings at which passages end */
    wn_piece *pieces;             /* [max_tokens]: each has at least one token */
    size_t n, n_repeated, tokens; /* n_repeated: of them are overlap with the passage before */
} chunker;

static size_t count_by_length(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    (void)text;
    return (len + 3) / 4;
}

static bool is_heading(const chunker *c, const wn_piece *p)
{
    return c->doc->blocks[p->block].kind == WN_BLOCK_HEADING;
}

/* The number of headings above a block. */
static size_t depth_of(const wn_block *b)
{
    size_t depth = *b->headings != '\0';
    for (const char *s = b->headings; (s = strstr(s, " > ")); s += 3)
        depth++;
    return depth;
}

/* The highest level that has at least two headings: a single one is the document's title. */
static size_t find_top_level(const wn_parsed_doc *d)
{
    size_t counts[8] = {0};
    for (size_t i = 0; i < d->n_blocks; i++) {
        size_t depth = d->blocks[i].kind == WN_BLOCK_HEADING ? depth_of(&d->blocks[i]) : 8;
        if (depth < 8)
            counts[depth]++;
    }
    size_t level = 0;
    while (level < 7 && counts[level] < 2)
        level++;
    return level;
}

static wn_status add_passage(chunker *c, const wn_piece *first, const wn_piece *last, wn_error *err)
{
    wn_passages *p = c->out;
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 32;
        wn_passage *grown = wn_realloc(p->items, cap, sizeof *grown);
        if (!grown)
            return wn_error_set(err, WN_NO_MEMORY, "no memory for %zu passages", cap);
        p->items = grown;
        p->cap = cap;
    }
    /* The path of the first text, which names the heading that the passage may begin with. */
    const wn_piece *text = first;
    while (text < last && is_heading(c, text))
        text++;
    const wn_block *blocks = c->doc->blocks;
    p->items[p->n++] = (wn_passage){.start = first->start,
                                    .end = last->end,
                                    .page_start = blocks[first->block].page,
                                    .page_end = blocks[last->block].page,
                                    .headings = blocks[text->block].headings};
    return WN_OK;
}

/* Keeps the last `n_kept` pieces as the beginning of the next passage. */
static void keep_last(chunker *c, size_t n_kept)
{
    memmove(c->pieces, c->pieces + (c->n - n_kept), n_kept * sizeof *c->pieces);
    c->n = n_kept;
    c->tokens = 0;
    for (size_t i = 0; i < n_kept; i++)
        c->tokens += c->pieces[i].tokens;
}

/* Sentences at the end of the passage that the next one repeats. */
static size_t count_overlap(const chunker *c, size_t end)
{
    size_t n = 0, tokens = 0;
    while (n + 1 < end) {
        const wn_piece *p = &c->pieces[end - 1 - n];
        tokens += p->tokens;
        if (!p->sentence || tokens > c->overlap_tokens)
            break;
        n++;
    }
    return n;
}

/* Ends the passage. Headings at its end go to the next one; overlap: the next one repeats
 * sentences. */
static wn_status flush(chunker *c, bool overlap, wn_error *err)
{
    size_t end = c->n;
    while (end > 0 && is_heading(c, &c->pieces[end - 1]))
        end--;
    if (end <= c->n_repeated && c->n_repeated > 0) { /* nothing new but headings */
        keep_last(c, c->n - c->n_repeated);
        c->n_repeated = 0;
        return WN_OK;
    }
    if (end == 0) /* headings that fill a passage */
        end = c->n;
    WN_TRY(add_passage(c, &c->pieces[0], &c->pieces[end - 1], err));
    size_t n_kept = c->n - end;
    c->n_repeated = 0;
    if (overlap && n_kept == 0)
        c->n_repeated = n_kept = count_overlap(c, end);
    keep_last(c, n_kept);
    return WN_OK;
}

/* Does a heading end the passage before it? */
static bool heading_ends(const chunker *c, const wn_piece *p)
{
    if (!is_heading(c, p) || c->n == 0 || is_heading(c, &c->pieces[c->n - 1]))
        return false;
    if (c->tokens < c->max_tokens / 8)
        return false; /* a fragment: rather both together */
    return depth_of(&c->doc->blocks[p->block]) <= c->top_level || c->tokens * 4 >= c->max_tokens;
}

static wn_status add_piece(chunker *c, const wn_piece *p, wn_error *err)
{
    if (heading_ends(c, p))
        WN_TRY(flush(c, false, err));
    while (c->n > 0 && c->tokens + p->tokens > c->max_tokens) {
        if (c->n > c->n_repeated) {
            WN_TRY(flush(c, p->sentence, err));
        } else { /* overlap and this piece do not fit together: without overlap */
            keep_last(c, 0);
            c->n_repeated = 0;
        }
    }
    c->pieces[c->n++] = *p;
    c->tokens += p->tokens;
    return WN_OK;
}

static wn_status run(chunker *c, const wn_chunk_options *o, wn_error *err)
{
    wn_pieces source = {.doc = c->doc,
                        .count = o->count_tokens ? o->count_tokens : count_by_length,
                        .count_ctx = o->count_ctx,
                        .max_tokens = c->max_tokens};
    for (wn_piece p; wn_pieces_next(&source, &p);)
        WN_TRY(add_piece(c, &p, err));
    if (c->n > c->n_repeated) /* headings at the very end stay where they are */
        return add_passage(c, &c->pieces[0], &c->pieces[c->n - 1], err);
    return WN_OK;
}

wn_status wn_passages_cut(wn_passages *out, const wn_parsed_doc *doc, const wn_chunk_options *o,
                          wn_error *err)
{
    chunker c = {.doc = doc, .out = out};
    *out = (wn_passages){0};
    c.max_tokens = o->passage_tokens ? o->passage_tokens : DEFAULT_PASSAGE;
    if (c.max_tokens < 8 || c.max_tokens > MAX_PASSAGE)
        return wn_error_set(err, WN_INVALID, "passage_tokens is %zu; it must be 8 to %d",
                            c.max_tokens, MAX_PASSAGE);
    c.overlap_tokens = o->overlap_tokens == SIZE_MAX ? DEFAULT_OVERLAP : o->overlap_tokens;
    if (c.overlap_tokens > c.max_tokens / 2)
        c.overlap_tokens = c.max_tokens / 2;
    c.top_level = find_top_level(doc);
    c.pieces = wn_alloc(c.max_tokens + 1, sizeof *c.pieces);
    wn_status status =
        c.pieces ? run(&c, o, err) : wn_error_set(err, WN_NO_MEMORY, "no memory to cut passages");
    free(c.pieces);
    if (status != WN_OK)
        wn_passages_free(out);
    return status;
}

void wn_passages_free(wn_passages *p)
{
    free(p->items);
    *p = (wn_passages){0};
}
