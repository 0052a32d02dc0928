#include "api/http_task.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

#define STREAM_BYTES (4u << 20) /* what a reader may fall behind */

static void release(wn_http_task *t)
{
    if (atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    t->kind->clear(t);
    wn_sse_release(t->stream);
    wn_http_connection_release(t->connection);
    json_decref(t->request);
    json_decref(t->result);
    pthread_cond_destroy(&t->finished);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void finish(wn_http_task *t)
{
    if (t->stream)
        wn_sse_end(t->stream);
    pthread_mutex_lock(&t->lock);
    t->done = true;
    pthread_cond_signal(&t->finished);
    pthread_mutex_unlock(&t->lock);
    release(t);
}

static void fail(wn_http_task *t, wn_status status, const wn_error *err)
{
    const char *code;
    int http = wn_http_status_of(status, &code);
    if (status != WN_CANCELLED && http >= 500)
        wn_log(WN_LOG_ERROR, "api", "engine: %s", err->text);
    json_t *error = wn_http_error_json(http, code, NULL, wn_http_public_text(status, err));
    if (t->stream) {
        t->kind->stream_error(t, error);
        return;
    }
    json_decref(t->result);
    t->status = http;
    t->result = error;
}

static const char *stop_text(wn_status why)
{
    if (why == WN_UNAVAILABLE)
        return "the server is shutting down";
    return why == WN_DEADLINE ? "the request took too long" : "the client is gone";
}

static void refuse(wn_engine_job *job, wn_status why)
{
    wn_http_task *t = (wn_http_task *)job;
    wn_error err = {0};
    wn_error_set(&err, why, "%s", stop_text(why));
    fail(t, why, &err);
    finish(t);
}

static void run(wn_engine_job *job)
{
    wn_http_task *t = (wn_http_task *)job;
    wn_error err = {0};
    t->started_ns = wn_clock_ns();
    wn_status status = t->kind->work(t, &err);
    if (status == WN_CANCELLED) { /* because a callback said so: tell the reason */
        wn_status why = wn_engine_check(job);
        status = why == WN_OK ? WN_CANCELLED : why;
        err = (wn_error){0};
        wn_error_set(&err, status, "%s", stop_text(status));
    }
    if (status != WN_OK)
        fail(t, status, &err);
    finish(t);
}

bool wn_http_task_open(wn_http_task *t, wn_http_call *call, bool stream,
                       const wn_http_task_kind *kind)
{
    wn_error err = {0};
    if (!t || (stream && wn_sse_open(&t->stream, STREAM_BYTES, &err) != WN_OK)) {
        wn_http_fail(call, 503, "no_memory", NULL, "Out of memory.");
        free(t);
        return false;
    }
    t->job = (wn_engine_job){.run = run,
                             .refuse = refuse,
                             .gone = wn_http_connection_gone,
                             .gone_ctx = call->connection};
    t->kind = kind;
    atomic_init(&t->refs, 1);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->finished, NULL);
    t->context = call->context;
    t->connection = call->connection;
    wn_http_connection_retain(t->connection);
    t->status = 200;
    return true;
}

void wn_http_task_drop(wn_http_task *t)
{
    release(t);
}

static void wait_for_result(wn_http_task *t, wn_http_call *call)
{
    pthread_mutex_lock(&t->lock);
    while (!t->done)
        pthread_cond_wait(&t->finished, &t->lock);
    pthread_mutex_unlock(&t->lock);
    wn_http_reply_json(call, t->status, t->result);
    t->result = NULL;
    if (t->status == 503)
        call->reply.retry_after_s = 5;
}

void wn_http_task_submit(wn_http_task *t, wn_http_call *call)
{
    t->request = call->json;
    call->json = NULL;
    t->submitted_ns = wn_clock_ns();
    t->job.start_by_ns = t->submitted_ns + (int64_t)t->context->request_ms * 1000000;
    t->job.finish_by_ns = t->job.start_by_ns + (int64_t)t->context->generation_ms * 1000000;
    atomic_fetch_add(&t->refs, 1); /* the engine's */
    if (!wn_engine_submit(t->context->engine, &t->job)) {
        atomic_fetch_sub(&t->refs, 1);
        wn_http_fail(call, 503, "queue_full", NULL,
                     "Too many requests are waiting; try again in a moment.");
    } else if (t->stream) {
        wn_sse_retain(t->stream);
        wn_http_reply_stream(call, t->stream);
    } else {
        wait_for_result(t, call);
    }
    release(t);
}

wn_status wn_http_task_step(wn_http_task *t)
{
    return wn_engine_check(&t->job) == WN_OK ? WN_OK : WN_CANCELLED;
}

wn_status wn_http_task_send(wn_http_task *t, const char *event, json_t *data)
{
    char *text = data ? json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(data);
    wn_status status = text ? wn_sse_send(t->stream, event, text) : WN_NO_MEMORY;
    free(text);
    return status == WN_LIMIT ? WN_CANCELLED : status;
}

double wn_http_task_queue_ms(const wn_http_task *t)
{
    return (double)(t->started_ns - t->submitted_ns) / 1e6;
}
