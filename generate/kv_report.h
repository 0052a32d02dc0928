/* What a session's keys and values cost, and which tokens its heads still have.
 *
 *     WN_TRY(wn_kv_report_make(session, tokenizer, &report, err));   // tokenizer NULL: no texts
 *     puts(report.summary);                                         // "4.5x (8.4x in bytes)"
 *     wn_kv_report_free(&report);
 *
 * Threads: as the session.
 */
#ifndef WN_GENERATE_KV_REPORT_H
#define WN_GENERATE_KV_REPORT_H

#include "generate/session.h"

typedef struct wn_kv_report {
    size_t n_tokens; /* 0: there is nothing to report */
    size_t n_layers, n_kv_heads;
    size_t dense_bytes; /* bf16, without eviction and without slack */
    size_t held_bytes;  /* pages and lists of them */
    double slots_ratio; /* keys without eviction / keys held */
    double bytes_ratio; /* dense_bytes / held_bytes */
    bool evicts;
    char summary[64]; /* never without its reason where nothing is evicted */
    float *kept;      /* [n_layers][n_kv_heads] share of the tokens that the head still has */
    /* With a tokenizer: token i is bytes [ends[i - 1], ends[i]) of text, and share[i] of all heads
     * still have it. */
    char *text; /* UTF-8 */
    size_t *ends;
    float *share;
} wn_kv_report;

wn_status wn_kv_report_make(const wn_session *s, const wn_tokenizer *tokenizer, wn_kv_report *out,
                            wn_error *err);
void wn_kv_report_free(wn_kv_report *r); /* an all-zero one is fine */

#endif
