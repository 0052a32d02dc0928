/* Marks and sentences of a streamed answer (answer_stream.h). */
#include "generate/answer_stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/sentence.h"
#include "generate/citation_marker.h"
#include "generate/refusal.h"

#define MAX_PENDING 8       /* citations of one sentence */
#define LOOK_AHEAD_BYTES 24 /* of the next word: enough to see whether a sentence begins */
/* A passage that the model named is kept although another one supports the sentence this much
 * better; beyond it the better one is shown. */
#define MARKER_MARGIN 0.25

typedef struct pending_citation {
    wn_span_match match;
    bool from_marker;
} pending_citation;

struct wn_answer_stream {
    wn_answer_stream_options o;
    wn_strbuf raw; /* came, not yet decided: [at, len) */
    size_t at;
    wn_strbuf blanks;      /* decided to be blanks, not yet shown */
    wn_strbuf sentence;    /* the current sentence without marks */
    wn_strbuf out;         /* the answer so far */
    size_t sent;           /* of out, that on_text has */
    size_t sentence_start; /* in out */
    size_t hint;           /* source named in front of the sentence, or WN_NO_SOURCE */
    bool mark_removed;     /* just before here */
    pending_citation pending[MAX_PENDING];
    size_t n_pending;
    wn_citation *citations;
    size_t n_citations, citations_cap;
    size_t n_sentences, n_refusals;
};

wn_status wn_answer_stream_open(wn_answer_stream **out, const wn_answer_stream_options *options,
                                wn_error *err)
{
    wn_answer_stream *s = wn_alloc(1, sizeof *s);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the answer");
    s->o = *options;
    s->hint = WN_NO_SOURCE;
    *out = s;
    return WN_OK;
}

void wn_answer_stream_close(wn_answer_stream *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_citations; i++)
        free(s->citations[i].cited_text);
    free(s->citations);
    wn_strbuf_free(&s->raw);
    wn_strbuf_free(&s->blanks);
    wn_strbuf_free(&s->sentence);
    wn_strbuf_free(&s->out);
    free(s);
}

/* ---- output ---- */

static wn_status flush(wn_answer_stream *s, wn_error *err)
{
    if (wn_strbuf_failed(&s->out) || wn_strbuf_failed(&s->sentence) ||
        wn_strbuf_failed(&s->blanks) || wn_strbuf_failed(&s->raw))
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the answer");
    size_t from = s->sent;
    s->sent = s->out.len;
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

/* ---- decisions ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static size_t count_in(const wn_strbuf *b, const char *what)
{
    size_t n = 0, len = strlen(what);
    for (const char *p = wn_strbuf_cstr(b); (p = strstr(p, what)) != NULL; p += len)
        n++;
    return n;
}

/* Inside `code` or a ``` fence; an empty line ends the former. */
static bool in_code(const wn_answer_stream *s)
{
    if (count_in(&s->sentence, "```") % 2 == 1)
        return true;
    return count_in(&s->sentence, "`") % 2 == 1 && !count_in(&s->blanks, "\n\n");
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

static void show_mark(wn_answer_stream *s, size_t source)
{
    char last = s->out.len ? s->out.data[s->out.len - 1] : '\n';
    if (last != ' ' && last != '\n' && last != ']')
        wn_strbuf_addc(&s->out, ' ');
    wn_strbuf_printf(&s->out, "[%zu]", source + 1);
}

/* The model wrote marks behind (a part of) the sentence. True ones stay, false ones are replaced
 * by the source that supports the text, or go. */
static wn_status take_marker(wn_answer_stream *s, const wn_marker *m, wn_error *err)
{
    s->mark_removed = true;
    if (wn_sentence_is_refusal(wn_strbuf_cstr(&s->sentence), s->sentence.len))
        return WN_OK;
    for (size_t i = 0; i < m->n && s->n_pending < MAX_PENDING; i++) {
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

/* The sentence is whole: gives it a mark if it has none, and hands out its citations. */
static wn_status end_sentence(wn_answer_stream *s, wn_error *err)
{
    if (s->sentence.len == 0)
        return WN_OK;
    size_t end = s->out.len;
    bool refusal = wn_sentence_is_refusal(wn_strbuf_cstr(&s->sentence), s->sentence.len);
    s->n_sentences++;
    s->n_refusals += refusal;
    if (s->n_pending == 0 && !refusal && can_carry_mark(&s->sentence)) {
        wn_span_match match = {0};
        bool from_marker = false;
        WN_TRY(decide(s, s->hint, &match, &from_marker, err));
        if (match.source != WN_NO_SOURCE) {
            add_pending(s, &match, from_marker);
            show_mark(s, match.source);
        }
    }
    WN_TRY(flush(s, err));
    for (size_t i = 0; i < s->n_pending; i++)
        WN_TRY(add_citation(s, &s->pending[i], end, err));
    s->n_pending = 0;
    s->hint = WN_NO_SOURCE;
    wn_strbuf_truncate(&s->sentence, 0);
    return WN_OK;
}

/* ---- the machine ---- */

static bool is_closing_punctuation(char c)
{
    return c != '\0' && strchr(".,;:!?)", c) != NULL;
}

/* Puts n bytes of raw behind the pending blanks. */
static void show_text(wn_answer_stream *s, size_t n)
{
    const char *text = s->raw.data + s->at;
    bool glue = s->mark_removed && s->sentence.len > 0 && is_closing_punctuation(text[0]);
    if (s->out.len > 0 && !glue) /* an answer does not begin with blanks */
        wn_strbuf_add(&s->out, s->blanks.data, s->blanks.len);
    if (s->sentence.len == 0)
        s->sentence_start = s->out.len;
    else if (!glue)
        wn_strbuf_add(&s->sentence, s->blanks.data, s->blanks.len);
    wn_strbuf_truncate(&s->blanks, 0);
    wn_strbuf_add(&s->out, text, n);
    wn_strbuf_add(&s->sentence, text, n);
    s->at += n;
    s->mark_removed = false;
}

/* Could the sentence so far be over, so that the next word decides? */
static bool may_end(const wn_answer_stream *s)
{
    if (s->sentence.len == 0 || s->blanks.len == 0)
        return false;
    unsigned char last = (unsigned char)s->sentence.data[s->sentence.len - 1];
    bool plain = (last | 32) >= 'a' && (last | 32) <= 'z';
    plain = plain || (last >= '0' && last <= '9') || last == ',';
    return !plain || memchr(s->blanks.data, '\n', s->blanks.len) != NULL;
}

/* Asks the splitter about sentence + blanks + the n bytes of raw (and one blank behind them):
 * *first is how many of the sentence's and raw's bytes belong to the first sentence. */
static wn_status split(wn_answer_stream *s, size_t n, size_t *first, wn_error *err)
{
    wn_strbuf probe = {0};
    wn_sentence found = {0};
    size_t next = s->at + n, at = 0;
    wn_strbuf_add(&probe, s->sentence.data, s->sentence.len);
    wn_strbuf_add(&probe, s->blanks.data, s->blanks.len);
    wn_strbuf_add(&probe, s->raw.data + s->at, n + (next < s->raw.len ? 1 : 0));
    if (wn_strbuf_failed(&probe)) {
        wn_strbuf_free(&probe);
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the answer");
    }
    bool any = wn_sentence_next(probe.data, probe.len, &at, &found);
    wn_strbuf_free(&probe);
    *first = any ? found.end : 0;
    return WN_OK;
}

/* One run of text without blanks that starts at raw[at] and is n bytes long so far. false in *more:
 * it must wait for what follows. */
static wn_status take_text(wn_answer_stream *s, size_t n, bool whole, bool *more, wn_error *err)
{
    size_t before = s->sentence.len, first = 0;
    *more = true;
    if (!in_code(s)) {
        if (may_end(s) && !whole && n < LOOK_AHEAD_BYTES) {
            *more = false;
            return WN_OK;
        }
        WN_TRY(split(s, n, &first, err));
        if (before > 0 && first <= before)
            WN_TRY(end_sentence(s, err));
        else if (first > before + s->blanks.len &&
                 first < before + s->blanks.len + n) /* 。 inside the run */
            n = first - before - s->blanks.len;
    }
    show_text(s, n);
    return WN_OK;
}

/* A mark at raw[at]: true in *taken when it was one; false in *more when it must wait. */
static wn_status take_bracket(wn_answer_stream *s, bool final, bool *taken, bool *more,
                              wn_error *err)
{
    wn_marker m;
    *taken = false;
    if (in_code(s))
        return WN_OK;
    wn_marker_result r = wn_marker_scan(s->raw.data + s->at, s->raw.len - s->at, final, &m);
    *more = r != WN_MARKER_PART;
    if (r != WN_MARKER_WHOLE)
        return WN_OK;
    *taken = true;
    s->at += m.len;
    bool new_line = s->blanks.len > 0 && memchr(s->blanks.data, '\n', s->blanks.len) != NULL;
    if (new_line) /* "[2] Next sentence": the mark belongs to what follows */
        WN_TRY(end_sentence(s, err));
    if (s->sentence.len == 0) {
        s->hint = m.numbers[0] - 1;
        s->mark_removed = true;
        return WN_OK;
    }
    return take_marker(s, &m, err);
}

static wn_status process(wn_answer_stream *s, bool final, wn_error *err)
{
    bool more = true;
    while (more && s->at < s->raw.len && !wn_strbuf_failed(&s->raw)) {
        const char *raw = s->raw.data;
        if (is_blank(raw[s->at])) {
            bool twice = s->mark_removed && s->blanks.len > 0 && raw[s->at] == ' ';
            if (s->out.len > 0 && !twice) /* where a mark went, one blank stays */
                wn_strbuf_addc(&s->blanks, raw[s->at]);
            s->at++;
            continue;
        }
        bool taken = false;
        if (raw[s->at] == '[')
            WN_TRY(take_bracket(s, final, &taken, &more, err));
        if (taken || !more)
            continue;
        size_t end = s->at + 1;
        while (end < s->raw.len && !is_blank(raw[end]) && raw[end] != '[')
            end++;
        WN_TRY(take_text(s, end - s->at, end < s->raw.len || final, &more, err));
    }
    if (s->at == s->raw.len) {
        wn_strbuf_truncate(&s->raw, 0);
        s->at = 0;
    }
    return WN_OK;
}

wn_status wn_answer_stream_push(wn_answer_stream *s, const char *text, size_t len, wn_error *err)
{
    wn_strbuf_add(&s->raw, text, len);
    WN_TRY(process(s, false, err));
    return flush(s, err);
}

wn_status wn_answer_stream_finish(wn_answer_stream *s, wn_error *err)
{
    WN_TRY(process(s, true, err));
    WN_TRY(end_sentence(s, err));
    if (s->out.len == 0) { /* nothing, or marks alone: an answer is never empty */
        wn_strbuf_adds(&s->out, WN_NO_ANSWER_TEXT);
        s->n_sentences = s->n_refusals = 1;
    }
    return flush(s, err);
}

bool wn_answer_stream_refused(const wn_answer_stream *s)
{
    return s->n_refusals > 0 && s->n_refusals == s->n_sentences;
}

wn_status wn_answer_stream_take(wn_answer_stream *s, wn_answer *out, wn_error *err)
{
    size_t len = s->out.len;
    wn_strbuf_adds(&s->out, ""); /* a text even if it is empty */
    char *text = wn_strbuf_detach(&s->out);
    if (!text)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the answer");
    out->text = text;
    out->len = len;
    out->citations = s->citations;
    out->n_citations = s->n_citations;
    s->citations = NULL;
    s->n_citations = s->citations_cap = s->sent = 0;
    return WN_OK;
}
