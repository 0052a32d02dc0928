/* State of an answer stream, shared by answer_stream.c (what is text, blank, mark, sentence) and
 * answer_marks.c (which mark is shown, which citations follow). Not for callers. */
#ifndef WN_GENERATE_ANSWER_STREAM_INTERNAL_H
#define WN_GENERATE_ANSWER_STREAM_INTERNAL_H

#include "base/strbuf.h"
#include "generate/answer_stream.h"
#include "generate/citation_marker.h"

#define WN_MAX_PENDING 8 /* citations of one sentence */
#define WN_NOWHERE SIZE_MAX

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
    size_t hint;           /* source named before the sentence said anything, or WN_NO_SOURCE */
    size_t deferred;       /* place in out of that mark ("According to passage [2], ..."): text from
                              here on waits until the sentence is whole. WN_NOWHERE: none */
    bool mark_removed;     /* just before here */
    pending_citation pending[WN_MAX_PENDING];
    size_t n_pending;
    wn_citation *citations;
    size_t n_citations, citations_cap;
    size_t n_sentences, n_refusals;
};

/* Gives on_text what is new in out. */
wn_status wn_answer_stream_flush(wn_answer_stream *s, wn_error *err);
/* The model wrote marks behind (a part of) the sentence. True ones stay, false ones are replaced by
 * the source that supports the text, or go. */
wn_status wn_answer_stream_take_marker(wn_answer_stream *s, const wn_marker *m, wn_error *err);
/* The sentence is whole: gives it a mark if it has none, and hands out its citations. */
wn_status wn_answer_stream_end_sentence(wn_answer_stream *s, wn_error *err);

#endif
