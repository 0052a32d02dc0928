#include "api/engine_worker.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/work_queue.h"

typedef struct engine_thread {
    wn_engine_worker *engine;
    pthread_t thread;
    pthread_cond_t woken;
    bool idle;
} engine_thread;

struct wn_engine_worker {
    wn_work_queue *queue;
    engine_thread threads[WN_ENGINE_MAX_THREADS];
    size_t n_threads;     /* that run */
    pthread_mutex_t lock; /* idle, n_unclaimed, shut */
    size_t n_unclaimed;   /* jobs in the queue that no woken thread comes for */
    bool shut;
    size_t capacity;
    atomic_size_t pending;
    atomic_bool halting;
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

/* The first idle thread comes for the job: where jobs come one by one it is always the same, whose
 * place beside the compute threads the scheduler has found, and whose memory is warm. */
static void wake_one(wn_engine_worker *e)
{
    pthread_mutex_lock(&e->lock);
    size_t i = 0;
    while (i < e->n_threads && !e->threads[i].idle)
        i++;
    if (i < e->n_threads) {
        e->threads[i].idle = false;
        pthread_cond_signal(&e->threads[i].woken);
    } else {
        e->n_unclaimed++;
    }
    pthread_mutex_unlock(&e->lock);
}

/* Until there is a job for this thread, or no more at all. */
static void wait_for_job(engine_thread *t)
{
    wn_engine_worker *e = t->engine;
    pthread_mutex_lock(&e->lock);
    t->idle = e->n_unclaimed == 0;
    if (!t->idle)
        e->n_unclaimed--;
    while (t->idle && !e->shut)
        pthread_cond_wait(&t->woken, &e->lock);
    pthread_mutex_unlock(&e->lock);
}

static void *run_thread(void *arg)
{
    engine_thread *t = arg;
    wn_engine_worker *e = t->engine;
    for (;;) {
        wait_for_job(t);
        wn_engine_job *job = wn_work_queue_pop(e->queue);
        if (!job)
            return NULL;
        take(job);
        atomic_fetch_sub(&e->pending, 1);
    }
}

static wn_status start_thread(wn_engine_worker *e, wn_error *err)
{
    pthread_mutex_lock(&e->lock);
    engine_thread *t = &e->threads[e->n_threads];
    t->engine = e;
    pthread_cond_init(&t->woken, NULL);
    const int rc = pthread_create(&t->thread, NULL, run_thread, t);
    if (rc == 0)
        e->n_threads++;
    else
        pthread_cond_destroy(&t->woken);
    pthread_mutex_unlock(&e->lock);
    return rc == 0 ? WN_OK : wn_error_set_errno(err, rc, "engine: no thread");
}

wn_status wn_engine_open(wn_engine_worker **out, size_t capacity, size_t n_threads, wn_error *err)
{
    assert(n_threads >= 1 && n_threads <= WN_ENGINE_MAX_THREADS);
    wn_engine_worker *e = wn_alloc(1, sizeof *e);
    if (!e)
        return wn_error_set(err, WN_NO_MEMORY, "engine: out of memory");
    e->capacity = capacity;
    pthread_mutex_init(&e->lock, NULL);
    wn_status status = wn_work_queue_open(&e->queue, capacity, err);
    for (size_t i = 0; status == WN_OK && i < n_threads; i++)
        status = start_thread(e, err);
    if (status != WN_OK) {
        wn_engine_close(e);
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
    if (wn_work_queue_try_push(e->queue, job)) {
        wake_one(e);
        return true;
    }
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
    if (e->queue)
        wn_work_queue_shut(e->queue);
    pthread_mutex_lock(&e->lock);
    e->shut = true;
    for (size_t i = 0; i < e->n_threads; i++)
        pthread_cond_signal(&e->threads[i].woken);
    pthread_mutex_unlock(&e->lock);
    while (e->n_threads > 0) {
        engine_thread *t = &e->threads[--e->n_threads];
        pthread_join(t->thread, NULL);
        pthread_cond_destroy(&t->woken);
    }
}

void wn_engine_close(wn_engine_worker *e)
{
    if (!e)
        return;
    wn_engine_shut(e);
    wn_work_queue_close(e->queue);
    pthread_mutex_destroy(&e->lock);
    free(e);
}
