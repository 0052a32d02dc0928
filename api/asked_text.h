/* A conversation about a text, for eviction heads to learn from (head_fit.h): questions that the
 * model asked itself about it and answered (text_questions.h), and then its repetition. Repeating
 * asks for everything, but in the text's own words and order (repeat_text.h); questions ask as
 * users do, and other keys answer them.
 *
 *     WN_TRY(wn_asked_text_ids(&a, model, compute, &(wn_asked_text_options){...}, err));
 *     ... a.ids[0 .. a.n_given) are the text and what stands before it, a.n all ...
 *     free(a.ids);
 *
 * A model that writes no questions leaves the repetition alone.
 */
#ifndef WN_API_ASKED_TEXT_H
#define WN_API_ASKED_TEXT_H

#include "generate/repeat_text.h"

typedef struct wn_asked_text_options {
    const char *text;
    size_t len;
    size_t n_tokens;    /* of the text at most */
    size_t n_questions; /* about each part at most; 0: none are asked */
} wn_asked_text_options;

typedef struct wn_asked_text {
    int32_t *ids;
    size_t n, n_given;
    size_t n_questions; /* asked in it */
} wn_asked_text;

/* Tokens of such a conversation at most; questions and answers get as many as the text. */
size_t wn_asked_text_max(size_t n_tokens, size_t n_questions);
/* The caller frees out->ids. */
wn_status wn_asked_text_ids(wn_asked_text *out, const wn_model *m, wn_compute *c,
                            const wn_asked_text_options *o, wn_error *err);

#endif
