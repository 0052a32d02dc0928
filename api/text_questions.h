/* Questions about a text that a model writes itself, part by part, and its answers with all keys:
 * what eviction heads learn from (retrofit.h). The text stands in prompts as passages do, numbered,
 * before the question, so all prompts begin alike.
 *
 *     WN_TRY(wn_text_questions_make(&q, model, compute, &o, err));
 *     ... q.all[i].prompt.ids[0 .. q.n_prefix) is the same for all i < q.n ...
 *     wn_text_questions_free(&q);
 *
 * Both are the likeliest, but every question begins with another word than the one before it (who,
 * when, how many ...): left to itself a small model asks for the name of everything. About parts
 * that it writes nothing new about it is asked to repeat them, unless that is not wanted.
 */
#ifndef WN_API_TEXT_QUESTIONS_H
#define WN_API_TEXT_QUESTIONS_H

#include "api/kv_quiz.h"
#include "generate/answer.h"

typedef struct wn_text_questions_options {
    const char *text;
    size_t len;
    size_t n_tokens;    /* of the text at most */
    size_t n_questions; /* about each part at most */
    size_t n_room;      /* tokens of all questions and answers, about; 0: as many as there are */
    bool repeat;        /* parts without a question */
} wn_text_questions_options;

typedef struct wn_text_question {
    char *text, *answer;
    size_t part;
    wn_kv_prompt prompt; /* up to the answer */
} wn_text_question;

typedef struct wn_text_questions {
    wn_strbuf given;  /* the text */
    wn_source *parts; /* [n_parts], into it */
    size_t n_parts;
    wn_text_question *all;        /* [n] */
    size_t n, n_repeat, n_prefix; /* the last n_repeat of them are requests to repeat */
} wn_text_questions;

wn_status wn_text_questions_make(wn_text_questions *out, const wn_model *m, wn_compute *c,
                                 const wn_text_questions_options *o, wn_error *err);
void wn_text_questions_free(wn_text_questions *q);
const char *wn_text_questions_system(void); /* of the prompts */
/* q.n_prefix is not more for a text of n_tokens. */
size_t wn_text_questions_max_prefix(size_t n_tokens);

/* Length of the part of a text that questions are asked about at once: whole sentences of half of
 * `most` bytes or more, if they end there. A rest of less than half is not left. */
size_t wn_text_part(const char *text, size_t len, size_t most);
/* Bytes of the question that a text begins with: up to a question mark in its first line. 0: there
 * is none, or it is too short or too long for one. */
size_t wn_question_length(const char *text);

#endif
