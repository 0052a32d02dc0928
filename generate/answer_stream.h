/* From the model's raw text to the text that is shown: marks checked, missing ones added.
 *
 *     WN_TRY(wn_answer_stream_open(&s, &options, err));
 *     WN_TRY(wn_answer_stream_push(s, text, len, err));   // as it comes
 *     WN_TRY(wn_answer_stream_finish(s, err));
 *     wn_answer_stream_take(s, &answer);                  // text and citations change owner
 *     wn_answer_stream_close(s);
 *
 * Text is held back only as long as a decision needs: from '[' until the mark is whole, and behind
 * a possible end of a sentence until the next word shows whether it is one. What on_text was given,
 * joined, is the text of the answer, byte for byte. Code in backticks is left as it is.
 * Threads: one at a time.
 */
#ifndef WN_GENERATE_ANSWER_STREAM_H
#define WN_GENERATE_ANSWER_STREAM_H

#include "generate/answer.h"
#include "generate/citation.h"

typedef struct wn_answer_stream wn_answer_stream;

typedef struct wn_answer_stream_options {
    wn_attributor *attributor; /* borrowed */
    const wn_source *sources;
    size_t n_sources;
    const wn_answer_events *events; /* on_text, on_citation; NULL = none */
} wn_answer_stream_options;

wn_status wn_answer_stream_open(wn_answer_stream **out, const wn_answer_stream_options *options,
                                wn_error *err);
void wn_answer_stream_close(wn_answer_stream *s); /* NULL is fine */
/* text: complete UTF-8 characters. A callback's failure is returned as it is. */
wn_status wn_answer_stream_push(wn_answer_stream *s, const char *text, size_t len, wn_error *err);
wn_status wn_answer_stream_finish(wn_answer_stream *s, wn_error *err);
/* Moves text, len, citations and n_citations to *out, which must not hold any. */
wn_status wn_answer_stream_take(wn_answer_stream *s, wn_answer *out, wn_error *err);
/* Every sentence so far says that the documents do not say. */
bool wn_answer_stream_refused(const wn_answer_stream *s);

#endif
