#include "api/prefix_jobs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_call.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

#define TURN_TOKENS 1024 /* read at least before others get their turn */

typedef struct prefix_job {
    wn_engine_job job; /* first: the engine hands it back */
    struct prefix_job *next;
    wn_prefix_jobs *jobs;
    wn_http_context *context;
    wn_prefix_job_view view;
    bool in_engine; /* its queue or thread has it */
    bool forgotten;
} prefix_job;

struct wn_prefix_jobs {
    pthread_mutex_t lock; /* all of it */
    prefix_job *first;
};

const char *wn_prefix_job_state_name(wn_prefix_job_state s)
{
    static const char *const names[] = {"queued", "running", "done", "failed", "cancelled"};
    return names[s];
}

wn_status wn_prefix_jobs_open(wn_prefix_jobs **out, wn_error *err)
{
    *out = wn_alloc(1, sizeof **out);
    if (!*out)
        return wn_error_set(err, WN_NO_MEMORY, "jobs: out of memory");
    pthread_mutex_init(&(*out)->lock, NULL);
    return WN_OK;
}

void wn_prefix_jobs_close(wn_prefix_jobs *j)
{
    if (!j)
        return;
    for (prefix_job *job = j->first, *next; job; job = next) {
        next = job->next;
        free(job);
    }
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static prefix_job *find(const wn_prefix_jobs *j, const char *corpus)
{
    for (prefix_job *job = j->first; job; job = job->next)
        if (!job->forgotten && strcmp(job->view.corpus, corpus) == 0)
            return job;
    return NULL;
}

/* The engine is done with the job; under the lock. */
static void leave_engine(prefix_job *job)
{
    job->in_engine = false;
    if (!job->forgotten)
        return;
    for (prefix_job **link = &job->jobs->first; *link; link = &(*link)->next) {
        if (*link == job) {
            *link = job->next;
            break;
        }
    }
    free(job);
}

static void fail(prefix_job *job, wn_status status, const char *text)
{
    wn_prefix_jobs *j = job->jobs;
    pthread_mutex_lock(&j->lock);
    if (!job->forgotten && job->view.state != WN_PREFIX_JOB_CANCELLED) { /* those did not fail */
        wn_log(WN_LOG_WARN, "api", "prefix of %s: %s", job->view.corpus, text);
        job->view.state = WN_PREFIX_JOB_FAILED;
        job->view.error = (wn_error){0};
        wn_error_set(&job->view.error, status, "%s", text);
    }
    leave_engine(job);
    pthread_mutex_unlock(&j->lock);
}

static void refuse(wn_engine_job *engine_job, wn_status why)
{
    fail((prefix_job *)engine_job, why,
         why == WN_UNAVAILABLE ? "the server is shutting down" : "it did not get its turn");
}

static wn_status on_progress(void *ctx, uint64_t done, uint64_t total)
{
    prefix_job *job = ctx;
    pthread_mutex_lock(&job->jobs->lock);
    const bool unwanted = job->forgotten || job->view.state == WN_PREFIX_JOB_CANCELLED;
    job->view.done_tokens = (size_t)done;
    if (job->view.total_tokens < total)
        job->view.total_tokens = (size_t)total;
    pthread_mutex_unlock(&job->jobs->lock);
    if (unwanted || atomic_load(&job->context->draining))
        return WN_CANCELLED;
    return wn_engine_check(&job->job) == WN_OK ? WN_OK : WN_CANCELLED;
}

/* With the next turn; false: it is not wanted any more. */
static bool begin_turn(prefix_job *job)
{
    pthread_mutex_lock(&job->jobs->lock);
    const bool wanted = !job->forgotten && job->view.state != WN_PREFIX_JOB_CANCELLED;
    if (wanted)
        job->view.state = WN_PREFIX_JOB_RUNNING;
    pthread_mutex_unlock(&job->jobs->lock);
    return wanted;
}

/* Behind those that wait by now. */
static void queue_again(prefix_job *job)
{
    if (!wn_engine_submit(job->context->engine, &job->job))
        fail(job, WN_UNAVAILABLE, "the queue of answers is full");
}

static void run(wn_engine_job *engine_job)
{
    prefix_job *job = (prefix_job *)engine_job;
    wn_prefix_jobs *j = job->jobs;
    wn_prefix_prepared p = {0};
    wn_error err = {0};
    if (!begin_turn(job)) {
        fail(job, WN_CANCELLED, "it was cancelled");
        return;
    }
    wn_status status = wn_service_prefix_prepare(job->context->service, job->view.corpus,
                                                 TURN_TOKENS, on_progress, job, &p, &err);
    if (status == WN_OK && p.n_tokens < p.n_all_tokens && p.kept) {
        pthread_mutex_lock(&j->lock);
        job->view.total_tokens = p.n_all_tokens;
        pthread_mutex_unlock(&j->lock);
        queue_again(job);
        return;
    }
    if (status == WN_OK && !p.kept)
        status = wn_error_set(&err, WN_LIMIT, "the budgets for prefixes have no room for it");
    if (status != WN_OK) {
        fail(job, status, err.text);
        return;
    }
    pthread_mutex_lock(&j->lock);
    job->view.state = WN_PREFIX_JOB_DONE; /* also where it was cancelled a moment ago */
    job->view.prepared = p;
    job->view.done_tokens = job->view.total_tokens = p.n_tokens;
    leave_engine(job);
    pthread_mutex_unlock(&j->lock);
}

static bool name(wn_prefix_job_view *view, const char *corpus)
{
    uint8_t bytes[(WN_PREFIX_JOB_ID - sizeof "job_") / 2];
    *view = (wn_prefix_job_view){.created_unix_s = wn_clock_unix_s()};
    snprintf(view->corpus, sizeof view->corpus, "%s", corpus);
    memcpy(view->id, "job_", strlen("job_"));
    if (wn_random_bytes(bytes, sizeof bytes, NULL) != WN_OK)
        return false;
    wn_hex(bytes, sizeof bytes, view->id + strlen("job_"));
    return true;
}

/* Instead of the one before it. */
static prefix_job *add_job(wn_prefix_jobs *j, wn_http_context *context, const char *corpus)
{
    prefix_job *old = find(j, corpus), *job = wn_alloc(1, sizeof *job);
    if (!job || !name(&job->view, corpus)) {
        free(job);
        return NULL;
    }
    if (old) {
        old->forgotten = true;
        if (!old->in_engine)
            leave_engine(old);
    }
    job->next = j->first;
    j->first = job;
    job->jobs = j;
    job->context = context;
    job->job = (wn_engine_job){.run = run, .refuse = refuse};
    return job;
}

bool wn_prefix_jobs_start(wn_prefix_jobs *j, wn_http_context *context, const char *corpus,
                          wn_prefix_job_view *view)
{
    pthread_mutex_lock(&j->lock);
    prefix_job *job = find(j, corpus);
    bool started = job && job->in_engine && job->view.state != WN_PREFIX_JOB_CANCELLED;
    if (!started) {
        job = add_job(j, context, corpus);
        /* Its run waits for the lock. */
        started = job && (job->in_engine = wn_engine_submit(context->engine, &job->job));
        if (job && !started) {
            job->forgotten = true;
            leave_engine(job);
        }
    }
    if (started)
        *view = job->view;
    pthread_mutex_unlock(&j->lock);
    return started;
}

bool wn_prefix_jobs_find(wn_prefix_jobs *j, const char *corpus, wn_prefix_job_view *view)
{
    pthread_mutex_lock(&j->lock);
    const prefix_job *job = find(j, corpus);
    if (job)
        *view = job->view;
    pthread_mutex_unlock(&j->lock);
    return job != NULL;
}

static prefix_job *find_by_id(const wn_prefix_jobs *j, const char *id)
{
    for (prefix_job *job = j->first; job; job = job->next)
        if (!job->forgotten && strcmp(job->view.id, id) == 0)
            return job;
    return NULL;
}

bool wn_prefix_jobs_get(wn_prefix_jobs *j, const char *id, wn_prefix_job_view *view)
{
    pthread_mutex_lock(&j->lock);
    const prefix_job *job = find_by_id(j, id);
    if (job)
        *view = job->view;
    pthread_mutex_unlock(&j->lock);
    return job != NULL;
}

bool wn_prefix_jobs_cancel(wn_prefix_jobs *j, const char *id, wn_prefix_job_view *view)
{
    pthread_mutex_lock(&j->lock);
    prefix_job *job = find_by_id(j, id);
    if (job && job->in_engine)
        job->view.state = WN_PREFIX_JOB_CANCELLED;
    if (job)
        *view = job->view;
    pthread_mutex_unlock(&j->lock);
    return job != NULL;
}

void wn_prefix_jobs_forget(wn_prefix_jobs *j, const char *corpus)
{
    pthread_mutex_lock(&j->lock);
    prefix_job *job = find(j, corpus);
    if (job) {
        job->forgotten = true;
        if (!job->in_engine)
            leave_engine(job);
    }
    pthread_mutex_unlock(&j->lock);
}

/* Tend ---------------------------------------------------------------------------------------- */

typedef struct tend_job {
    wn_engine_job job; /* first */
    wn_service *service;
} tend_job;

static void run_tend(wn_engine_job *job)
{
    wn_service_tend(((tend_job *)job)->service);
    free(job);
}

static void refuse_tend(wn_engine_job *job, wn_status why)
{
    (void)why; /* the service is closed soon, and all its memory with it */
    free(job);
}

void wn_prefix_jobs_tend(wn_http_context *context)
{
    tend_job *t = wn_alloc(1, sizeof *t);
    if (!t)
        return; /* the next question does it */
    t->job = (wn_engine_job){.run = run_tend, .refuse = refuse_tend};
    t->service = context->service;
    if (!wn_engine_submit(context->engine, &t->job))
        free(t);
}
