/* Question sets on disk: passages.jsonl {_id, title, text} and qa.jsonl {_id, question, answers[],
 * passage_id}, one JSON object a line. */
#ifndef WN_API_QA_SET_H
#define WN_API_QA_SET_H

#include <jansson.h>

#include "base/status.h"

/* *out: a new array of the lines of dir/file. */
wn_status wn_qa_lines(json_t **out, const char *dir, const char *file, wn_error *err);
/* A string that must be there; borrowed from the row. */
wn_status wn_qa_field(const json_t *row, const char *field, const char **out, wn_error *err);

#endif
