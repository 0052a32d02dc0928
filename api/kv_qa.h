/* Question answering over long prefixes of numbered passages (qa_set.h): passages are packed, in
 * their order, until a prefix is full; it is read once with all keys and once at each operating
 * point, and every question about its passages is asked behind it (kv_quiz.h). Prefixes follow one
 * another, without a passage in common, until enough questions were asked. Answers are asked for in
 * a few words and scored as qa_eval.h does.
 *
 *     const wn_kv_qa_options o = {.quiz = {.model = m, ...}, .dir = dir, .n_tokens = 8192, ...};
 *     WN_TRY(wn_kv_qa_run(&o, &sides, scores, answers, err));
 */
#ifndef WN_API_KV_QA_H
#define WN_API_KV_QA_H

#include <jansson.h>

#include "api/kv_quiz.h"

typedef struct wn_kv_qa_options {
    wn_kv_quiz quiz; /* model, compute, kv_format, heads, progress; the rest is set here */
    const char *dir;
    size_t n_tokens;    /* of passages, question and answer; within the model's context */
    size_t n_questions; /* evenly spaced over a prefix that has more; 0 = all of the set */
} wn_kv_qa_options;

typedef struct wn_kv_qa_score {
    size_t n, contains; /* asked; answers that hold a gold string */
    double f1;          /* sum */
} wn_kv_qa_score;

/* scores [sides->n], zeroed by the caller. Appends an object a question to answers: id, question,
 * gold, tokens, answers [{keys, window, answer, contains, f1}]. WN_INVALID where not even one
 * passage fits. */
wn_status wn_kv_qa_run(const wn_kv_qa_options *o, wn_kv_sides *sides, wn_kv_qa_score *scores,
                       json_t *answers, wn_error *err);

#endif
