/* Figures of eval kv (kv_eval.h) over several texts and contexts, as a table or as JSON; and the
 * choice of an offset that leaves a wanted number of keys.
 */
#ifndef WN_API_KV_TABLE_H
#define WN_API_KV_TABLE_H

#include <jansson.h>

#include "api/kv_agreement.h"
#include "api/kv_eval.h"

/* Means over texts. Zero it first. */
typedef struct wn_kv_sum {
    size_t n_texts, n_judged;
    double live, bytes, mean, p99, max, nll, nll_dense, right, right_dense;
} wn_kv_sum;
void wn_kv_sum_add(wn_kv_sum *s, const wn_kv_eval_row *r);

typedef struct wn_kv_line {
    wn_kv_sum text, copy;  /* reading on; repeating */
    size_t window, copied; /* tokens: 0 = the case's; of the text that is repeated */
    wn_kv_agreement agree; /* of texts that are written freely */
} wn_kv_line;

/* One way of evicting, and its figures. */
typedef struct wn_kv_case {
    const char *name;
    wn_evict_rule rule;
    size_t window;
    double mark;   /* on the dial; 0: none */
    size_t length; /* where that was chosen, among the lengths */
    wn_kv_line lines[WN_KV_MAX_LENGTHS];
} wn_kv_case;

/* Judges the case on the text that e has read, from judge_from on; adds to the lines of all lengths
 * that are longer than judge_from and no longer than the text. */
wn_status wn_kv_case_read(wn_kv_eval *e, wn_kv_case *c, size_t n, const wn_kv_lengths *lengths,
                          size_t judge_from, wn_error *err);
/* The offset with which, of `values` [n_lists][n_keys] rows in any order, the `keep` smallest stay
 * (largest = false: WN_EVICT_HEADS) or the largest (WN_EVICT_ORACLE). Reorders values. */
float wn_kv_offset(float *values, size_t n_values, size_t keep, bool largest);

/* A head line, then one line for every case and length that has figures. */
void wn_kv_table_print(const wn_kv_case *cases, size_t n_cases, const wn_kv_lengths *lengths);
/* The same as an array of objects; NULL when memory is out. */
json_t *wn_kv_table_json(const wn_kv_case *cases, size_t n_cases, const wn_kv_lengths *lengths);

#endif
