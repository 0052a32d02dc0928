/* The threads that answer: every request's prefill and generation is begun by the next of them that
 * is free, in order, from a bounded queue. So as many answers run as there are threads; they share
 * the generator's steps (generate/session_turns.h).
 *
 *     WN_TRY(wn_engine_open(&engine, 128, 4, err));
 *     if (!wn_engine_submit(engine, &job)) ... 503: full or shutting down ...
 *     wn_engine_close(engine);
 *
 * A job is run or refused, exactly once, on one of the threads; either call may free it. While it
 * runs it asks wn_engine_check at every step, which says when to stop: the client is gone, its time
 * is over, or the server shuts down.
 */
#ifndef WN_API_ENGINE_WORKER_H
#define WN_API_ENGINE_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define WN_ENGINE_MAX_THREADS 8

typedef struct wn_engine_worker wn_engine_worker;

typedef struct wn_engine_job {
    void (*run)(struct wn_engine_job *job);
    /* Not run: WN_CANCELLED (client gone), WN_DEADLINE (waited too long), WN_UNAVAILABLE
     * (shutdown). */
    void (*refuse)(struct wn_engine_job *job, wn_status why);
    bool (*gone)(void *ctx); /* may be NULL */
    void *gone_ctx;
    int64_t start_by_ns, finish_by_ns; /* monotonic; 0 = no limit */
    wn_engine_worker *engine;          /* set by submit */
} wn_engine_job;

/* capacity: jobs that may wait. n_threads: 1 .. WN_ENGINE_MAX_THREADS jobs run at once. */
wn_status wn_engine_open(wn_engine_worker **out, size_t capacity, size_t n_threads, wn_error *err);
/* False: the queue is full or the engine halts; the job is still the caller's. */
bool wn_engine_submit(wn_engine_worker *e, wn_engine_job *job);
size_t wn_engine_queued(wn_engine_worker *e);  /* waiting jobs */
size_t wn_engine_pending(wn_engine_worker *e); /* waiting and running */
size_t wn_engine_capacity(const wn_engine_worker *e);

/* WN_OK = go on; WN_CANCELLED, WN_DEADLINE or WN_UNAVAILABLE = stop now. */
wn_status wn_engine_check(const wn_engine_job *job);

/* Stops the running jobs at their next step and refuses the waiting ones. */
void wn_engine_halt(wn_engine_worker *e);
/* Halts, and returns when the threads have ended. Until close the other functions still work. */
void wn_engine_shut(wn_engine_worker *e);
void wn_engine_close(wn_engine_worker *e); /* shuts, frees; NULL is fine */

#endif
