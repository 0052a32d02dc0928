/* One question answered from passages: prompt, streamed text, verified citations.
 *
 *     WN_TRY(wn_answer_run(&request, &events, &answer, err));
 *     puts(answer.text); for each answer.citations[i] ...
 *     wn_answer_free(&answer);
 *
 * Citations do not depend on the model's manners: `[n]` markers are honoured where the passage
 * supports the sentence; a sentence without a true marker is attributed to the passage span that
 * supports it (citation.h). cited_text is compared with the source text before it is handed out.
 * Threads: one at a time per session.
 */
#ifndef WN_GENERATE_ANSWER_H
#define WN_GENERATE_ANSWER_H

#include <stdatomic.h>

#include "base/callbacks.h"
#include "generate/prefix_cache.h"
#include "generate/sampler.h"
#include "generate/session_turns.h"

/* A passage that the prompt shows, in the order of documents (the caller sorts: by document, then
 * start). All borrowed. */
typedef struct wn_source {
    int64_t document_id;
    const char *text; /* bytes [start, start + len) of the document */
    size_t len, start;
    const char *title;    /* document's title or file name */
    const char *headings; /* "" = none */
    int page_start, page_end;
} wn_source;

typedef struct wn_answer_turn { /* earlier turns of a conversation */
    const char *question, *answer;
} wn_answer_turn;

typedef struct wn_citation {
    size_t number;                   /* [n] as the reader sees it: index of the source, from 1 */
    size_t source;                   /* index into the request's sources */
    size_t answer_start, answer_end; /* bytes of the answer's text that it supports (a sentence) */
    size_t start, end;               /* bytes of the document's text: the span quoted */
    char *cited_text;                /* equals the document's bytes [start, end) */
    double support;                  /* 0..1 */
    bool from_marker;                /* the model wrote [n] itself */
} wn_citation;

typedef struct wn_answer_prefix {     /* what of a prompt was not read anew, and where it was */
    size_t cached_tokens, new_tokens; /* of the prompt */
    wn_prefix_source source;
    size_t dense_bytes, held_bytes; /* of the cached ones: as bf16 without eviction; really */
    size_t kept_tokens;             /* of the new ones, that the cache has now */
    double load_ms, read_ms;        /* of the sources; the rest of the prompt comes behind */
} wn_answer_prefix;

typedef struct wn_answer_events {
    void *ctx;
    /* Each may be NULL; a result other than WN_OK stops the work (client gone = WN_CANCELLED). */
    wn_status (*on_prefix)(void *ctx, const wn_answer_prefix *prefix); /* once, before reading */
    wn_status (*on_prefill)(void *ctx, size_t done, size_t total);
    wn_status (*on_text)(void *ctx, const char *text, size_t len); /* complete UTF-8 */
    wn_status (*on_citation)(void *ctx, const wn_citation *citation);
} wn_answer_events;

typedef struct wn_answer_request {
    wn_session *session;       /* what it holds of the new prompt already is not computed again */
    wn_turn *turn;             /* NULL: nobody else uses the compute context; as in generation.h */
    wn_prefix_cache *prefixes; /* NULL: none; with corpus, key and keep as in prefix_cache.h */
    const char *corpus;
    const void *prefix_key;
    size_t prefix_key_len;
    wn_prefix_keep keep;
    const wn_model *model;
    const char *question;
    const wn_source *sources; /* 0 of them: the answer is that the documents do not say */
    size_t n_sources;
    const struct wn_prompt_tokens *prompt; /* of all this; NULL: not encoded yet */
    const wn_answer_turn *history;
    size_t n_history;
    wn_sampler_options sampler;
    size_t max_tokens;       /* 0 = 512 */
    const char *const *stop; /* stop strings */
    size_t n_stop;
    wn_embed_fn embed; /* for attribution; NULL: lexical only */
    void *embed_ctx;
    size_t dim;
    bool nothing_found; /* retrieval found nothing good enough: answer so without running the model
                         */
} wn_answer_request;

typedef struct wn_answer {
    char *text; /* UTF-8, with [n] markers */
    size_t len;
    wn_citation *citations; /* in order of answer_start */
    size_t n_citations;
    const char *finish_reason; /* "stop", "length", "cancelled", "no_answer" */
    size_t prompt_tokens, cached_tokens, completion_tokens;
    double prefill_ms, decode_ms, first_token_ms; /* loading a prefix is part of the first */
    wn_answer_prefix prefix;
} wn_answer;

wn_status wn_answer_run(const wn_answer_request *request, const wn_answer_events *events,
                        wn_answer *out, wn_error *err);
void wn_answer_free(wn_answer *a);

#endif
