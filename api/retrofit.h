/* Training of eviction heads for a model, from text to a side-car (dms_heads.h): the fit
 * (head_fit.h), steps of gradient descent on questions that the model asks itself about the text
 * (text_questions.h, head_distill.h) where they are wanted, and the choice and measurement of
 * operating points on text that neither saw.
 *
 *     wn_retrofit_options o = {.text = &text, .state_path = "heads.state"};   // zero: defaults
 *     WN_TRY(wn_retrofit_open(&r, model, compute, &o, err));
 *     WN_TRY(wn_retrofit_run(r, err));
 *     WN_TRY(wn_retrofit_write(r, "heads.safetensors", err));
 *
 * Interrupted, it goes on behind the last saved text, with the heads that it would have had.
 * Threads: as the compute context.
 */
#ifndef WN_API_RETROFIT_H
#define WN_API_RETROFIT_H

#include "api/kv_table.h"
#include "api/training_text.h"

typedef struct wn_retrofit wn_retrofit;

#define WN_RETROFIT_MAX_POINTS 16

/* stage: "Fitting", "Asking", "Distilling" or "Measuring". A result other than WN_OK stops it. */
typedef wn_status (*wn_retrofit_progress_fn)(void *ctx, const char *stage, uint64_t done,
                                             uint64_t total);

typedef struct wn_retrofit_options {
    const wn_training_text *text;
    size_t n_texts;                       /* to learn from; 0 = 12 */
    size_t n_tokens;                      /* of each, without its repetition; 0 = 2000 */
    size_t n_questions;                   /* asked about every part of it (asked_text.h); 0: none */
    size_t n_steps;                       /* of gradient descent; 0: none */
    size_t n_step_texts;                  /* behind which; 0 = one for 8 steps. Of the context,
                                             window and ratio of the first mark */
    size_t window;                        /* smallest that the heads shall serve; 0 = 128 */
    size_t n_measure;                     /* texts to measure on; 0 = 2 */
    size_t measure_tokens;                /* of each; 0 = 4096 */
    double marks[WN_RETROFIT_MAX_POINTS]; /* dense / live slots; the first is the default; 0 ends;
                                             none = 4.6, 3.1, 6.1, 8.1 */
    size_t mark_tokens[WN_RETROFIT_MAX_POINTS];  /* of that context; 0 = measure_tokens, the most */
    size_t mark_windows[WN_RETROFIT_MAX_POINTS]; /* with that window; 0 = the best of some */
    wn_kv_format kv_format;                      /* measured with */
    double head_means;      /* how much of the difference of heads' means stands; 0 = 0.6 */
    const char *state_path; /* NULL: not resumable; a second file, its name longer, is for steps */
    wn_retrofit_progress_fn progress; /* may be NULL */
    void *progress_ctx;
} wn_retrofit_options;

wn_status wn_retrofit_open(wn_retrofit **out, const wn_model *m, wn_compute *c,
                           const wn_retrofit_options *options, wn_error *err);
void wn_retrofit_close(wn_retrofit *r);
/* WN_INVALID where the text is too short. The state file is removed by wn_retrofit_write. */
wn_status wn_retrofit_run(wn_retrofit *r, wn_error *err);
wn_status wn_retrofit_write(wn_retrofit *r, const char *path, wn_error *err);

/* After a run: */
size_t wn_retrofit_points(const wn_retrofit *r, const wn_kv_case **cases,
                          const wn_kv_lengths **lengths);
typedef struct wn_retrofit_report {
    double r2;      /* of the fit */
    double loss;    /* divergence of answers in the last steps */
    size_t n_asked; /* questions, without those before a stop */
} wn_retrofit_report;
wn_retrofit_report wn_retrofit_report_of(const wn_retrofit *r);

#endif
