/* Other ways to choose which keys stay, with as many bytes as eviction heads leave, judged beside
 * them (kv_eval.h): the last tokens alone, keys at random, the keys with the smallest norm, and, as
 * a bound, those whose loss is largest when the rest of the text is known.
 *
 *     WN_TRY(wn_kv_baselines_open(&b, model, n_max, err));
 *     ... the heads were judged, row is theirs after n_live tokens ...
 *     WN_TRY(wn_kv_baselines_judge(b, eval, cases, &what, err));   // cases[1 .. WN_KV_BASELINES]
 *
 * Random and key norm fill the very number of pages that the heads take, without the slack that
 * theirs have; window only takes as many, rounded up to whole ones; the oracle, whose heads differ
 * in length as well, has as many slots. Threads: as the compute context.
 */
#ifndef WN_API_KV_BASELINES_H
#define WN_API_KV_BASELINES_H

#include "api/kv_table.h"

#define WN_KV_BASELINES 4 /* the kinds behind WN_EVICT_HEADS, in their order */

typedef struct wn_kv_baselines wn_kv_baselines;

/* n_max: tokens of a text at most. */
wn_status wn_kv_baselines_open(wn_kv_baselines **out, const wn_model *m, size_t n_max,
                               wn_error *err);
void wn_kv_baselines_close(wn_kv_baselines *b); /* NULL is fine */

typedef struct wn_kv_match {
    const wn_kv_eval_row *row; /* of the heads, which leaves these bytes of n_live tokens */
    size_t n, n_live;          /* the text that e uses; beyond cases[0].window */
    size_t judge_from;
    size_t line; /* of the cases, that the figures are added to */
    bool copy;   /* its copy, not its text */
} wn_kv_match;

/* cases[0]: the heads; the rules and windows of the others are set here. */
wn_status wn_kv_baselines_judge(wn_kv_baselines *b, wn_kv_eval *e, wn_kv_case *cases,
                                const wn_kv_match *match, wn_error *err);

/* Window of window only, which takes as many pages of n tokens as a window of heads and their
 * pages beyond it. */
size_t wn_kv_baseline_window(size_t n, size_t window, double log_pages);

#endif
