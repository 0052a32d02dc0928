/* A conversation about a text, for eviction heads to learn from (head_fit.h): the model answers
 * questions that it wrote itself about every part of the text, and then repeats the text. Repeating
 * asks for everything, but in the text's own words and order (repeat_text.h); questions ask as
 * users do, and other keys answer them.
 *
 *     WN_TRY(wn_asked_text_ids(&a, model, compute, &(wn_asked_text_options){...}, err));
 *     ... a.ids[0 .. a.n_given) are the text and what stands before it, a.n all ...
 *     free(a.ids);
 *
 * Questions and answers are the likeliest ones, with all keys. A model that writes no questions,
 * one that was not taught to chat, leaves the repetition alone.
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

/* Length of the part of a text that questions are asked about at once: some sentences. */
size_t wn_asked_text_part(const char *text, size_t len);
/* The next line of *at that is a question, without the number or mark of a list before it; *at
 * moves behind it. NULL: none is left. */
const char *wn_question_line(const char **at, size_t *len);

#endif
