/* Corpora whose prefixes are being prepared in the background, on the engine's threads, in turns
 * with the questions that come meanwhile.
 *
 *     WN_TRY(wn_prefix_jobs_open(&jobs, err));
 *     if (!wn_prefix_jobs_start(jobs, context, "notes", &view)) ... 503 ...
 *     if (wn_prefix_jobs_find(jobs, "notes", &view)) ... view.id, view.state ...
 *     if (wn_prefix_jobs_cancel(jobs, id, &view)) ... view.state is CANCELLED, unless it was over
 * ... wn_prefix_jobs_close(jobs);                 // after the engine was shut
 *
 * The last job of each corpus is remembered. What one that was cancelled has read by then is kept.
 * Any thread.
 */
#ifndef WN_API_PREFIX_JOBS_H
#define WN_API_PREFIX_JOBS_H

#include "api/engine_worker.h"
#include "api/service.h"

typedef struct wn_prefix_jobs wn_prefix_jobs;
struct wn_http_context;

typedef enum wn_prefix_job_state {
    WN_PREFIX_JOB_QUEUED,
    WN_PREFIX_JOB_RUNNING,
    WN_PREFIX_JOB_DONE,
    WN_PREFIX_JOB_FAILED,
    WN_PREFIX_JOB_CANCELLED
} wn_prefix_job_state;
const char *wn_prefix_job_state_name(wn_prefix_job_state s); /* "queued" */

#define WN_PREFIX_JOB_ID 29 /* "job_", 24 hex digits that nobody guesses, NUL */

typedef struct wn_prefix_job_view {
    char id[WN_PREFIX_JOB_ID], corpus[65];
    int64_t created_unix_s;
    wn_prefix_job_state state;
    size_t done_tokens, total_tokens; /* total 0: not known yet */
    wn_prefix_prepared prepared;      /* DONE */
    wn_error error;                   /* FAILED */
} wn_prefix_job_view;

wn_status wn_prefix_jobs_open(wn_prefix_jobs **out, wn_error *err);
void wn_prefix_jobs_close(wn_prefix_jobs *j); /* NULL is fine */
/* One that waits or runs already is joined, unless it was cancelled. False: the engine's queue is
 * full, or memory out. */
bool wn_prefix_jobs_start(wn_prefix_jobs *j, struct wn_http_context *context, const char *corpus,
                          wn_prefix_job_view *view);
bool wn_prefix_jobs_find(wn_prefix_jobs *j, const char *corpus, wn_prefix_job_view *view);
/* By the job's id. */
bool wn_prefix_jobs_get(wn_prefix_jobs *j, const char *id, wn_prefix_job_view *view);
/* It ends before its next turn, or within one step of the model. False: there is no such job. */
bool wn_prefix_jobs_cancel(wn_prefix_jobs *j, const char *id, wn_prefix_job_view *view);
/* The corpus is gone, or what was prepared: its job ends with the next turn and is forgotten. */
void wn_prefix_jobs_forget(wn_prefix_jobs *j, const char *corpus);
/* Lets the engine give back the memory of dropped prefixes as soon as it has time. */
void wn_prefix_jobs_tend(struct wn_http_context *context);

#endif
