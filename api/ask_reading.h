/* What the model is shown for a question: as many of the best sources as fit, in canonical order
 * (document, then place in it), so that the prefixes of prompts recur; and what had to stay out.
 *
 *     wn_reading_limits l = {.model = m, .capacity = n, .question = q, .max_tokens = 400};
 *     WN_TRY(wn_ask_read_documents(&l, corpus, &found, &hits, &reading, err));
 *     ... hits are the sources now, whole documents of what a search found ...
 *     wn_ask_reading_free(&reading);
 *
 * Nothing is cut: a passage or a document is shown whole or is named in left_out. Any thread.
 */
#ifndef WN_API_ASK_READING_H
#define WN_API_ASK_READING_H

#include "api/ask_mode.h"
#include "generate/prompt.h"
#include "retrieve/retriever.h"

typedef struct wn_left_out {
    int64_t document_id;
    char *filename;
    size_t n_tokens; /* about, where it is far too long */
} wn_left_out;

typedef struct wn_ask_reading {
    wn_ask_mode mode;     /* never AUTO */
    char why[WN_ASK_WHY]; /* of AUTO's choice; "": the mode was asked for */
    size_t n_documents, n_sources;
    size_t n_tokens;       /* of the sources in the prompt */
    wn_left_out *left_out; /* found, but no room; best first */
    size_t n_left_out;
    wn_prompt_tokens prompt; /* with the sources; all zero where there are none */
} wn_ask_reading;

typedef struct wn_reading_limits {
    const wn_model *model;
    size_t capacity; /* of the session, in tokens */
    const char *question;
    const wn_answer_turn *history;
    size_t n_history;
    size_t max_tokens; /* of the answer; 0 = 512 */
} wn_reading_limits;

size_t wn_reading_room(const wn_reading_limits *l); /* tokens for the prompt */

/* hits: in, what search found, best first; out, the sources. WN_LIMIT where nothing of them fits:
 * the text says what would. The mode is the function's; why is left alone. After a failure the
 * caller frees hits and *out as after success. */
wn_status wn_ask_read_passages(const wn_reading_limits *l, wn_search_result *hits,
                               wn_ask_reading *out, wn_error *err);
/* The documents of what search found; hits: all zero, out: the sources. */
wn_status wn_ask_read_documents(const wn_reading_limits *l, wn_corpus *corpus,
                                const wn_search_result *found, wn_search_result *hits,
                                wn_ask_reading *out, wn_error *err);
/* All documents that match the filter (NULL: all). hits: all zero, out: the sources. WN_LIMIT where
 * not all fit; *n_tokens (NULL is fine) then says what the prompt has, 0: far too many. */
wn_status wn_ask_read_corpus(const wn_reading_limits *l, wn_corpus *corpus,
                             const wn_metadata_filter *filter, wn_search_result *hits,
                             wn_ask_reading *out, size_t *n_tokens, wn_error *err);
void wn_ask_reading_free(wn_ask_reading *r); /* an all-zero one is fine */

/* The hits as a prompt has them; borrowed from r. Caller frees the array. */
wn_status wn_ask_sources(const wn_search_result *r, wn_source **out, wn_error *err);

#endif
