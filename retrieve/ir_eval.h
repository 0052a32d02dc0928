/* Search quality on a test collection in BEIR's layout: a temporary corpus of one passage a
 * document (title and text searchable), every judged query through each leg and their fusions,
 * trec_eval's metrics.
 *
 *     wn_ir_eval_options o = WN_IR_EVAL_DEFAULTS;
 *     WN_TRY(wn_ir_eval_beir("scifact", "/tmp/eval", embedder, &o, &report, err));
 *     for (size_t i = 0; i < report.n_rows; i++)
 *         printf("%s %.4f\n", report.rows[i].leg, report.rows[i].mean.ndcg);
 *
 * Threads: as the embedder.
 */
#ifndef WN_RETRIEVE_IR_EVAL_H
#define WN_RETRIEVE_IR_EVAL_H

#include "base/callbacks.h"
#include "retrieve/embedder.h"
#include "retrieve/ir_metrics.h"
#include "retrieve/rank_fusion.h"

typedef struct wn_ir_eval_options {
    size_t n_candidates;      /* of each leg, and length of a run; >= 100 (recall@100) */
    wn_fusion fusion;         /* weights and rrf_k of the two fused rows; its method is not used */
    const char *vector_cache; /* file that keeps vectors for the next time; NULL = none */
    const char *run_dir;      /* existing folder for <leg>.run in TREC's format; NULL = none */
    wn_progress_fn
        progress; /* counts texts embedded, then documents stored, then queries; or NULL */
    void *progress_ctx;
} wn_ir_eval_options;

#define WN_IR_EVAL_DEFAULTS                                                                        \
    (wn_ir_eval_options)                                                                           \
    {                                                                                              \
        .n_candidates = 100, .fusion = WN_FUSION_DEFAULTS                                          \
    }

typedef struct wn_ir_eval_row {
    const char *leg;     /* "text", "vector", "minmax", "rrf" */
    wn_ir_metrics mean;  /* ndcg@10, recall@100, mrr@10, map over the run; mean of all queries */
    double ms_per_query; /* the leg alone; embedding the question is not in it */
} wn_ir_eval_row;

enum { WN_IR_EVAL_LEGS = 4 };

typedef struct wn_ir_report {
    size_t n_documents, n_queries;
    wn_ir_eval_row rows[WN_IR_EVAL_LEGS];
    size_t n_rows; /* 1 without an embedder: text only */
} wn_ir_report;

/* corpus_dir is made, and removed afterwards; WN_CONFLICT when it exists. embedder may be NULL. */
wn_status wn_ir_eval_beir(const char *dir, const char *corpus_dir, wn_embedder *embedder,
                          const wn_ir_eval_options *options, wn_ir_report *report, wn_error *err);

#endif
