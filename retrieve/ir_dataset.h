/* A retrieval test collection in BEIR's layout: corpus.jsonl and queries.jsonl (_id, title, text),
 * and qrels.tsv or qrels/test.tsv (query-id, corpus-id, score; first line = names).
 *
 *     WN_TRY(wn_ir_dataset_load(&set, "scifact", err));
 *     wn_ir_dataset_free(&set);
 */
#ifndef WN_RETRIEVE_IR_DATASET_H
#define WN_RETRIEVE_IR_DATASET_H

#include <stdint.h>

#include "base/status.h"
#include "retrieve/ir_metrics.h"

typedef struct wn_ir_text {
    char *id, *title, *text; /* "" where absent */
} wn_ir_text;

typedef struct wn_ir_query {
    wn_ir_text text;
    wn_ir_judged *judged; /* names are copies */
    size_t n_judged;
} wn_ir_query;

typedef struct wn_ir_dataset {
    wn_ir_text *documents;
    size_t n_documents;
    wn_ir_query *queries; /* only those with a relevant judgement, in the file's order */
    size_t n_queries;
} wn_ir_dataset;

/* WN_FORMAT names file and line. */
wn_status wn_ir_dataset_load(wn_ir_dataset *out, const char *dir, wn_error *err);
void wn_ir_dataset_free(wn_ir_dataset *set);

#endif
