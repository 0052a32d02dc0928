#include "ingest/chunk_pieces.h"

#include <string.h>

#include "base/sentence.h"
#include "base/unicode.h"
#include "base/utf8.h"

static size_t count(const wn_pieces *s, size_t start, size_t end)
{
    size_t n = s->count(s->count_ctx, s->doc->text + start, end - start);
    return n ? n : 1;
}

static size_t skip_blanks(const char *text, size_t at, size_t end)
{
    while (at < end) {
        uint32_t cp = 0;
        size_t n = wn_utf8_decode(text + at, end - at, &cp);
        if (!wn_unicode_is_space(cp))
            break;
        at += n;
    }
    return at;
}

/* A border near `want` in (start, end): behind the last blank before it; else at a character. */
static size_t word_border(const char *text, size_t start, size_t want, size_t end)
{
    if (want >= end)
        return end;
    size_t lowest = start + (want - start) / 2;
    for (size_t at = want; at > lowest; at--)
        if (text[at - 1] == ' ' || text[at - 1] == '\n' || text[at - 1] == '\t')
            return at;
    size_t at = start + wn_utf8_floor(text + start, want - start);
    if (at > start)
        return at;
    uint32_t cp = 0; /* not even one character: take it */
    return start + wn_utf8_decode(text + start, end - start, &cp);
}

/* The next part of a unit that is too long: as many words as fit. */
static void cut_part(wn_pieces *s, wn_piece *out)
{
    const char *text = s->doc->text;
    size_t start = s->at, end = s->rest_end;
    double room = s->bytes_per_token * (double)s->max_tokens;
    for (;;) {
        double want = (double)start + (room < 1 ? 1 : room);
        size_t border = want < (double)end ? word_border(text, start, (size_t)want, end) : end;
        size_t tokens = count(s, start, border);
        uint32_t cp = 0;
        if (tokens <= s->max_tokens ||
            border - start <= wn_utf8_decode(text + start, end - start, &cp)) {
            *out = (wn_piece){.start = start,
                              .end = border,
                              .tokens = tokens < s->max_tokens ? tokens : s->max_tokens,
                              .block = s->block};
            break;
        }
        /* Too much: the same again in proportion, and a little less, so that this ends. */
        double shrink = (double)s->max_tokens / (double)tokens * 0.95;
        room = (double)(border - start) * (shrink < 0.5 ? 0.5 : shrink);
    }
    s->at = skip_blanks(text, out->end, end);
    while (out->end > start + 1 && (text[out->end - 1] == ' ' || text[out->end - 1] == '\n'))
        out->end--;
    if (s->at >= end)
        s->rest_end = 0;
}

/* The end of the unit that begins at `at`: a sentence, a line, or all of a block that fits. */
static size_t unit_end(const wn_pieces *s, const wn_block *b, size_t *at, bool *sentence)
{
    const char *text = s->doc->text;
    *sentence = b->kind == WN_BLOCK_PARAGRAPH || b->kind == WN_BLOCK_LIST_ITEM;
    if (*sentence) {
        wn_sentence found = {0};
        size_t from = 0;
        if (!wn_sentence_next(text + *at, b->end - *at, &from, &found))
            return *at = b->end;
        size_t start = *at;
        *at = start + found.start;
        return start + found.end;
    }
    if (b->kind == WN_BLOCK_HEADING)
        return b->end;
    const char *line_end = memchr(text + *at, '\n', b->end - *at);
    return line_end ? (size_t)(line_end - text) : b->end;
}

/* Does a table or a code block fit into one passage? Asked once, at its beginning. */
static bool fits_whole(const wn_pieces *s, const wn_block *b, wn_piece *out)
{
    if (b->kind != WN_BLOCK_TABLE && b->kind != WN_BLOCK_CODE)
        return false;
    size_t tokens = count(s, b->start, b->end);
    *out = (wn_piece){.start = b->start, .end = b->end, .tokens = tokens, .block = s->block};
    return tokens <= s->max_tokens;
}

bool wn_pieces_next(wn_pieces *s, wn_piece *out)
{
    const wn_parsed_doc *d = s->doc;
    while (s->block < d->n_blocks) {
        const wn_block *b = &d->blocks[s->block];
        if (s->at < b->start)
            s->at = b->start;
        if (s->rest_end) {
            cut_part(s, out);
            return true;
        }
        if (s->at == b->start && fits_whole(s, b, out)) {
            s->at = b->end;
            return true;
        }
        size_t start = s->at;
        if (b->kind != WN_BLOCK_CODE)
            start = skip_blanks(d->text, start, b->end);
        while (start < b->end && d->text[start] == '\n') /* the indent of code is text */
            start++;
        if (start >= b->end) {
            s->at = b->end;
            s->block++;
            continue;
        }
        bool sentence = false;
        size_t end = unit_end(s, b, &start, &sentence);
        s->at = end;
        if (end <= start || skip_blanks(d->text, start, end) >= end)
            continue;
        size_t tokens = count(s, start, end);
        *out = (wn_piece){start, end, tokens, s->block, sentence};
        if (tokens <= s->max_tokens)
            return true;
        s->at = start;
        s->rest_end = end;
        s->bytes_per_token = (double)(end - start) / (double)tokens;
    }
    return false;
}
