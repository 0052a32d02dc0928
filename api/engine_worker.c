#include "api/engine_worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/work_queue.h"

struct wn_engine_worker {
    wn_work_queue *queue;
    pthread_t thread;
    size_t capacity;
    atomic_size_t pending;
    atomic_bool halting;
    bool joined;
};

wn_status wn_engine_check(const wn_engine_job *job)
{
    if (atomic_load(&job->engine->halting))
        return WN_UNAVAILABLE;
    if (job->gone && job->gone(job->gone_ctx))
        return WN_CANCELLED;
    if (job->finish_by_ns && wn_clock_ns() >= job->finish_by_ns)
        return WN_DEADLINE;
    return WN_OK;
}

static void take(wn_engine_job *job)
{
    wn_status why = wn_engine_check(job);
    if (why == WN_OK && job->start_by_ns && wn_clock_ns() >= job->start_by_ns)
        why = WN_DEADLINE;
    if (why == WN_OK)
        job->run(job);
    else
        job->refuse(job, why);
}

static void *engine_thread(void *arg)
{
    wn_engine_worker *e = arg;
    for (wn_engine_job *job; (job = wn_work_queue_pop(e->queue)) != NULL;) {
        take(job);
        atomic_fetch_sub(&e->pending, 1);
    }
    return NULL;
}

wn_status wn_engine_open(wn_engine_worker **out, size_t capacity, wn_error *err)
{
    wn_engine_worker *e = wn_alloc(1, sizeof *e);
    if (!e)
        return wn_error_set(err, WN_NO_MEMORY, "engine: out of memory");
    e->capacity = capacity;
    wn_status status = wn_work_queue_open(&e->queue, capacity, err);
    if (status == WN_OK) {
        int rc = pthread_create(&e->thread, NULL, engine_thread, e);
        if (rc != 0)
            status = wn_error_set_errno(err, rc, "engine: no thread");
    }
    if (status != WN_OK) {
        wn_work_queue_close(e->queue);
        free(e);
        return status;
    }
    *out = e;
    return WN_OK;
}

bool wn_engine_submit(wn_engine_worker *e, wn_engine_job *job)
{
    job->engine = e;
    if (atomic_load(&e->halting))
        return false;
    atomic_fetch_add(&e->pending, 1);
    if (wn_work_queue_try_push(e->queue, job))
        return true;
    atomic_fetch_sub(&e->pending, 1);
    return false;
}

size_t wn_engine_queued(wn_engine_worker *e)
{
    return wn_work_queue_length(e->queue);
}

size_t wn_engine_pending(wn_engine_worker *e)
{
    return atomic_load(&e->pending);
}

size_t wn_engine_capacity(const wn_engine_worker *e)
{
    return e->capacity;
}

void wn_engine_halt(wn_engine_worker *e)
{
    atomic_store(&e->halting, true);
}

void wn_engine_shut(wn_engine_worker *e)
{
    wn_engine_halt(e);
    wn_work_queue_shut(e->queue);
    if (!e->joined)
        pthread_join(e->thread, NULL);
    e->joined = true;
}

void wn_engine_close(wn_engine_worker *e)
{
    if (!e)
        return;
    wn_engine_shut(e);
    wn_work_queue_close(e->queue);
    free(e);
}
