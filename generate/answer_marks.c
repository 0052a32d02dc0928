/* Which marks a sentence shows, and the citations behind them (answer_stream_internal.h). */
#include "generate/answer_stream_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/answer_terms.h"
#include "generate/refusal.h"

/* A passage that the model named is kept although another one supports the sentence this much
 * better; beyond it the better one is shown. */
#define MARKER_MARGIN 0.25

wn_status wn_answer_stream_flush(wn_answer_stream *s, wn_error *err)
{
    if (wn_strbuf_failed(&s->out) || wn_strbuf_failed(&s->sentence) ||
        wn_strbuf_failed(&s->blanks) || wn_strbuf_failed(&s->raw))
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the answer");
    size_t from = s->sent;
    s->sent = s->deferred < s->out.len ? s->deferred : s->out.len;
    if (s->sent == from || !s->o.events || !s->o.events->on_text)
        return WN_OK;
    wn_status status = s->o.events->on_text(s->o.events->ctx, s->out.data + from, s->sent - from);
    if (status != WN_OK)
        (void)wn_error_set(err, status, "stopped by the receiver of the text");
    return status;
}

static wn_status add_citation(wn_answer_stream *s, const pending_citation *p, size_t answer_end,
                              wn_error *err)
{
    const wn_source *source = &s->o.sources[p->match.source];
    wn_citation c = {.number = p->match.source + 1,
                     .source = p->match.source,
                     .answer_start = s->sentence_start,
                     .answer_end = answer_end,
                     .start = source->start + p->match.start,
                     .end = source->start + p->match.end,
                     .support = p->match.support,
                     .from_marker = p->from_marker};
    if (p->match.start >= p->match.end || p->match.end > source->len)
        return wn_error_set(err, WN_INTERNAL, "a quoted span lies outside its passage");
    if (s->n_citations == s->citations_cap) {
        size_t cap = s->citations_cap ? 2 * s->citations_cap : 8;
        wn_citation *grown = wn_realloc(s->citations, cap, sizeof *grown);
        if (!grown)
            return wn_error_set(err, WN_NO_MEMORY, "no memory for the citations");
        s->citations = grown;
        s->citations_cap = cap;
    }
    c.cited_text = wn_strndup(source->text + p->match.start, c.end - c.start);
    if (!c.cited_text)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a quote");
    /* The promise to the reader, checked where the quote is handed out. A NUL byte in a document
     * would shorten the quote: such a citation is left out. */
    if (strlen(c.cited_text) != c.end - c.start ||
        memcmp(c.cited_text, source->text + (c.start - source->start), c.end - c.start) != 0) {
        free(c.cited_text);
        return WN_OK;
    }
    s->citations[s->n_citations++] = c;
    if (!s->o.events || !s->o.events->on_citation)
        return WN_OK;
    wn_status status = s->o.events->on_citation(s->o.events->ctx, &c);
    if (status != WN_OK)
        (void)wn_error_set(err, status, "stopped by the receiver of the citations");
    return status;
}

static bool is_pending(const wn_answer_stream *s, size_t source)
{
    for (size_t i = 0; i < s->n_pending; i++)
        if (s->pending[i].match.source == source)
            return true;
    return false;
}

static void add_pending(wn_answer_stream *s, const wn_span_match *m, bool from_marker)
{
    s->pending[s->n_pending++] = (pending_citation){*m, from_marker};
}

/* Which source to show for the sentence so far, when the model named `named` (or none). Nothing
 * good enough: out->source is WN_NO_SOURCE. */
static wn_status decide(wn_answer_stream *s, size_t named, wn_span_match *out, bool *from_marker,
                        wn_error *err)
{
    wn_span_match own = {.source = WN_NO_SOURCE};
    const char *text = wn_strbuf_cstr(&s->sentence);
    *from_marker = false;
    WN_TRY(wn_attributor_match(s->o.attributor, text, s->sentence.len, WN_NO_SOURCE, out, err));
    if (named < s->o.n_sources)
        WN_TRY(wn_attributor_match(s->o.attributor, text, s->sentence.len, named, &own, err));
    if (own.source != WN_NO_SOURCE && own.support >= WN_SUPPORT_MIN_MARKER &&
        own.support + MARKER_MARGIN >= out->support) {
        *out = own;
        *from_marker = true;
    } else if (out->support < WN_SUPPORT_MIN) {
        out->source = WN_NO_SOURCE;
    }
    return WN_OK;
}

/* "According to passage", "The answer is:": nothing yet that a source could support. */
static wn_status says_something(const wn_answer_stream *s, bool *out, wn_error *err)
{
    wn_term_list terms = {0};
    bool ok = wn_terms_extract(wn_strbuf_cstr(&s->sentence), s->sentence.len, &terms);
    *out = terms.n > 0;
    wn_terms_free(&terms);
    return ok ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "no memory for the answer");
}

static void show_mark(wn_answer_stream *s, size_t source)
{
    char last = s->out.len ? s->out.data[s->out.len - 1] : '\n';
    if (last != ' ' && last != '\n' && last != ']')
        wn_strbuf_addc(&s->out, ' ');
    wn_strbuf_printf(&s->out, "[%zu]", source + 1);
}

wn_status wn_answer_stream_take_marker(wn_answer_stream *s, const wn_marker *m, wn_error *err)
{
    bool said = false;
    s->mark_removed = true;
    WN_TRY(says_something(s, &said, err));
    if (!said) {
        if (s->deferred == WN_NOWHERE) {
            s->deferred = s->out.len;
            s->hint = m->numbers[0] - 1;
        }
        return WN_OK;
    }
    if (wn_sentence_is_refusal(wn_strbuf_cstr(&s->sentence), s->sentence.len))
        return WN_OK;
    for (size_t i = 0; i < m->n && s->n_pending < WN_MAX_PENDING; i++) {
        wn_span_match match = {0};
        bool from_marker = false;
        WN_TRY(decide(s, m->numbers[i] - 1, &match, &from_marker, err));
        if (match.source == WN_NO_SOURCE || is_pending(s, match.source))
            continue;
        /* One replacement is enough: the other numbers of [1, 2] must be true themselves. */
        if (!from_marker && s->n_pending > 0)
            continue;
        add_pending(s, &match, from_marker);
        show_mark(s, match.source);
        wn_strbuf_truncate(&s->blanks, 0);
        s->mark_removed = false;
    }
    return WN_OK;
}

static bool is_heading(const wn_strbuf *b)
{
    size_t level = 0;
    while (level < b->len && b->data[level] == '#')
        level++;
    return level > 0 && level < b->len && b->data[level] == ' ';
}

/* Headings, code blocks and rules claim nothing, and a mark would break them. */
static bool can_carry_mark(const wn_strbuf *b)
{
    size_t n = b->len;
    return !is_heading(b) && !(n >= 3 && memcmp(b->data + n - 3, "```", 3) == 0) &&
           !(n >= 1 && b->data[n - 1] == '|');
}

/* Puts the mark that waited to its place in the text. */
static wn_status insert_mark(wn_answer_stream *s, size_t source, wn_error *err)
{
    size_t at = s->deferred;
    char *tail = wn_strndup(s->out.data + at, s->out.len - at);
    if (!tail)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the answer");
    wn_strbuf_truncate(&s->out, at);
    show_mark(s, source);
    wn_strbuf_adds(&s->out, tail);
    free(tail);
    return WN_OK;
}

/* A sentence without a mark, or with one that waited, gets the mark that it deserves. */
static wn_status mark_sentence(wn_answer_stream *s, wn_error *err)
{
    wn_span_match match = {0};
    bool from_marker = false;
    WN_TRY(decide(s, s->hint, &match, &from_marker, err));
    if (match.source == WN_NO_SOURCE || is_pending(s, match.source))
        return WN_OK;
    add_pending(s, &match, from_marker);
    if (s->deferred != WN_NOWHERE)
        return insert_mark(s, match.source, err);
    show_mark(s, match.source);
    return WN_OK;
}

wn_status wn_answer_stream_end_sentence(wn_answer_stream *s, wn_error *err)
{
    if (s->sentence.len == 0)
        return WN_OK;
    size_t end = s->out.len;
    bool refusal = wn_sentence_is_refusal(wn_strbuf_cstr(&s->sentence), s->sentence.len);
    s->n_sentences++;
    s->n_refusals += refusal;
    if (s->n_pending == 0 && !refusal && can_carry_mark(&s->sentence))
        WN_TRY(mark_sentence(s, err));
    if (s->deferred != WN_NOWHERE)
        end = s->out.len; /* the mark is inside */
    s->deferred = WN_NOWHERE;
    WN_TRY(wn_answer_stream_flush(s, err));
    for (size_t i = 0; i < s->n_pending; i++)
        WN_TRY(add_citation(s, &s->pending[i], end, err));
    s->n_pending = 0;
    s->hint = WN_NO_SOURCE;
    wn_strbuf_truncate(&s->sentence, 0);
    return WN_OK;
}
