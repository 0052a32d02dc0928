/* Ranking metrics as trec_eval defines them (nDCG with gain = judgement, discount log2(rank + 1)).
 *
 *     wn_ir_rank(run, n);                                        // trec_eval's order
 *     wn_ir_measure(judged, n_judged, run, n, &depths, &m);      // one query
 *
 * Compared with pytrec_eval on tests/golden/ir. Pure functions: any thread.
 */
#ifndef WN_RETRIEVE_IR_METRICS_H
#define WN_RETRIEVE_IR_METRICS_H

#include <stddef.h>

#include "base/status.h"

typedef struct wn_ir_judged {
    const char *document;
    int gain; /* relevant when >= 1 */
} wn_ir_judged;

typedef struct wn_ir_scored {
    const char *document;
    double score;
} wn_ir_scored;

/* Cutoffs; 0 = the whole run. */
typedef struct wn_ir_depths {
    size_t ndcg, recall, mrr, map;
} wn_ir_depths;

typedef struct wn_ir_metrics {
    double ndcg, recall, mrr, map; /* 0..1; for one query mrr = 1 / rank, map = average precision */
} wn_ir_metrics;

/* Sorts a run: score falling (compared as float, as trec_eval keeps it), ties by document name
 * falling in byte order. */
void wn_ir_rank(wn_ir_scored *run, size_t n);
/* judged need no order, names are distinct; run is ranked. Without a relevant judgement all are 0.
 */
wn_status wn_ir_measure(const wn_ir_judged *judged, size_t n_judged, const wn_ir_scored *run,
                        size_t n_run, const wn_ir_depths *depths, wn_ir_metrics *out,
                        wn_error *err);

#endif
