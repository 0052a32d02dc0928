/* From raw text to text, blanks, marks and sentences (answer_stream.h). */
#include "generate/answer_stream_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/sentence.h"
#include "generate/refusal.h"

#define LOOK_AHEAD_BYTES 24 /* of the next word: enough to see whether a sentence begins */

wn_status wn_answer_stream_open(wn_answer_stream **out, const wn_answer_stream_options *options,
                                wn_error *err)
{
    wn_answer_stream *s = wn_alloc(1, sizeof *s);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the answer");
    s->o = *options;
    s->hint = WN_NO_SOURCE;
    s->deferred = WN_NOWHERE;
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
            WN_TRY(wn_answer_stream_end_sentence(s, err));
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
        WN_TRY(wn_answer_stream_end_sentence(s, err));
    if (s->sentence.len == 0) {
        s->hint = m.numbers[0] - 1;
        s->mark_removed = true;
        return WN_OK;
    }
    return wn_answer_stream_take_marker(s, &m, err);
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
    return wn_answer_stream_flush(s, err);
}

wn_status wn_answer_stream_finish(wn_answer_stream *s, wn_error *err)
{
    WN_TRY(process(s, true, err));
    WN_TRY(wn_answer_stream_end_sentence(s, err));
    if (s->out.len == 0) { /* nothing, or marks alone: an answer is never empty */
        wn_strbuf_adds(&s->out, WN_NO_ANSWER_TEXT);
        s->n_sentences = s->n_refusals = 1;
    }
    return wn_answer_stream_flush(s, err);
}

bool wn_answer_stream_refused(const wn_answer_stream *s)
{
    return s->n_refusals > 0 && s->n_refusals == s->n_sentences;
}

wn_status wn_answer_stream_take(wn_answer_stream *s, wn_answer *out, wn_error *err)
{
    wn_strbuf_truncate(&s->out, s->sent); /* of a stream that was stopped: what was shown */
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
