/* The stages of retrofit.h. */
#ifndef WN_API_RETROFIT_INTERNAL_H
#define WN_API_RETROFIT_INTERNAL_H

#include "api/retrofit.h"

#define WN_BYTES_PER_TOKEN 8 /* more than text has on average */

struct wn_retrofit {
    const wn_model *model;
    wn_compute *compute;
    wn_retrofit_options o;
    size_t n_lists, n_marks, n_cases, n_asked;
    float *weight, *bias;
    double r2, loss, seconds; /* loss: of the last steps */
    wn_kv_lengths lengths;
    wn_kv_case *cases; /* [n_marks], chosen */
};

wn_status wn_retrofit_fit(wn_retrofit *r, wn_error *err);
wn_status wn_retrofit_distill(wn_retrofit *r, wn_error *err);
wn_status wn_retrofit_measure(wn_retrofit *r, wn_error *err);

/* What the state of the fit, or of the steps behind it, depends on. */
wn_status wn_retrofit_fit_key(const wn_retrofit *r, uint8_t key[WN_SHA256_BYTES], wn_error *err);
/* Where the steps' state is; the caller frees it. */
char *wn_retrofit_steps_path(const wn_retrofit *r);
size_t wn_retrofit_window(const wn_retrofit *r, size_t mark); /* the smallest that serves it */
size_t wn_retrofit_step_tokens(const wn_retrofit *r);         /* of a prefix at most */
/* The stage's result, where it is to stop. */
wn_status wn_retrofit_progress(const wn_retrofit *r, const char *stage, size_t done, size_t total);

#endif
