/* The table of `winnow eval kv`: every operating point of eviction heads, and where wanted the
 * baselines beside each (kv_baselines.h), over texts: reading on at all lengths (kv_eval.h),
 * repeating (kv_copying.h), writing freely (kv_agreement.h).
 *
 *     WN_TRY(wn_kv_run_open(&r, &o, err));
 *     WN_TRY(wn_kv_run_text(r, "a.txt", text, len, err));      // for every text
 *     cases = wn_kv_run_cases(r, &n_cases);
 *     wn_kv_run_close(r);
 *
 * Threads: as the compute context.
 */
#ifndef WN_API_KV_RUN_H
#define WN_API_KV_RUN_H

#include "api/kv_table.h"
#include "base/callbacks.h"

typedef struct wn_kv_run wn_kv_run;

typedef struct wn_kv_run_options {
    const wn_model *model;
    wn_compute *compute;
    wn_kv_format kv_format;
    const wn_dms_heads *heads;    /* borrowed from the caller */
    const wn_kv_lengths *lengths; /* within the model's context; borrowed */
    size_t n_texts;               /* that will come: for the progress */
    bool baselines, copy;
    size_t n_places, n_write; /* of each length; tokens at each. 0 places: nothing is written */
    wn_progress_fn progress;  /* may be NULL */
    void *progress_ctx;
} wn_kv_run_options;

wn_status wn_kv_run_open(wn_kv_run **out, const wn_kv_run_options *options, wn_error *err);
void wn_kv_run_close(wn_kv_run *r); /* NULL is fine */

/* WN_INVALID, with the text's name, where it is shorter than every length. */
wn_status wn_kv_run_text(wn_kv_run *r, const char *name, const char *text, size_t len,
                         wn_error *err);
/* What there is so far: the heads' case of every point, with its baselines behind it. */
const wn_kv_case *wn_kv_run_cases(const wn_kv_run *r, size_t *n_cases);

#endif
