/* Question answering measured: every question of a set through the whole way (search, answer,
 * citations), and again with the gold passage given (the oracle: what search costs).
 *
 * The folder holds passages.jsonl {_id, title, text} and qa.jsonl {_id, question, answers[],
 * passage_id}. All passages become one corpus, each a document of its own, ingested as users'
 * documents are. Source of the normalisation: SQuAD's evaluation script (lower case, no
 * punctuation, no articles). */
#ifndef WN_API_QA_EVAL_H
#define WN_API_QA_EVAL_H

#include <jansson.h>

#include "api/service.h"

typedef struct wn_qa_options {
    const char *dir;         /* the question set */
    size_t n_questions;      /* a fixed sample: evenly spaced; 0 = all */
    bool oracle;             /* also with the gold passage given */
    wn_ask ask;              /* corpus is set by the run: its name for the passages */
    wn_progress_fn progress; /* may be NULL: questions done, of how many */
    void *progress_ctx;
} wn_qa_options;

typedef struct wn_qa_score {
    size_t n;
    size_t contains;    /* answer holds a gold string */
    size_t cited;       /* some citation is of the gold passage */
    size_t first_cited; /* the first citation is */
    size_t no_citation; /* no citation at all */
    size_t retrieved;   /* the gold passage was among those shown */
    size_t no_answer;   /* "the documents do not say" */
    double f1;          /* sum of the best token F1 against the gold strings */
    double prefill_ms, decode_ms;
    size_t prompt_tokens, completion_tokens;
} wn_qa_score;

typedef struct wn_qa_report {
    wn_qa_score run, oracle;
    json_t *rows; /* one object a question; owned */
} wn_qa_report;

wn_status wn_qa_eval(wn_service *s, const wn_qa_options *o, wn_qa_report *out, wn_error *err);
void wn_qa_report_free(wn_qa_report *r);

/* SQuAD normalisation and scores of one answer; exposed for tests. answers: JSON array of strings.
 */
bool wn_qa_contains(const char *answer, const json_t *answers);
double wn_qa_f1(const char *answer, const json_t *answers);

#endif
