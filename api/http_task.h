/* A request's work on a thread of the engine, with its reply: a JSON object that the connection
 * waits for, or a stream of events that it passes on while they come.
 *
 *     my_task *t = wn_alloc(1, sizeof *t);                  // begins with a wn_http_task
 *     if (!wn_http_task_open(&t->task, call, stream_wanted, &my_kind)) return;   // replied, t
 * freed
 *     ... fill t ...
 *     wn_http_task_submit(&t->task, call);                    // replies
 *
 * Ownership: reference-counted between the connection and the engine; the kind's clear frees what
 * the derived struct holds, the task itself is freed with it. Threads: open and submit on the
 * connection's, work and fail on the engine's.
 */
#ifndef WN_API_HTTP_TASK_H
#define WN_API_HTTP_TASK_H

#include <pthread.h>

#include "api/http_call.h"

typedef struct wn_http_task wn_http_task;

typedef struct wn_http_task_kind {
    /* Does the work. WN_OK: `result` is set, or the stream has had its last event. */
    wn_status (*work)(wn_http_task *t, wn_error *err);
    /* Sends the terminal error event of a stream; takes over `error`. */
    void (*stream_error)(wn_http_task *t, json_t *error);
    void (*clear)(wn_http_task *t);
} wn_http_task_kind;

struct wn_http_task {
    wn_engine_job job; /* first: the engine hands it back */
    const wn_http_task_kind *kind;
    atomic_int refs;
    wn_http_context *context;
    wn_http_connection *connection;
    wn_sse_stream *stream; /* NULL: no stream */
    json_t *request;       /* the call's, from submit on: its strings are borrowed */
    int64_t submitted_ns, started_ns;
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool done;
    int status; /* of the reply without a stream */
    json_t *result;
};

/* False after a failure: the call has its reply and the task is gone (freed). */
bool wn_http_task_open(wn_http_task *t, wn_http_call *call, bool stream,
                       const wn_http_task_kind *kind);
/* Gives the task up before submit: the call's reply is already set. */
void wn_http_task_drop(wn_http_task *t);
/* Takes over call->json. */
void wn_http_task_submit(wn_http_task *t, wn_http_call *call);

/* For callbacks at each step: WN_OK or WN_CANCELLED. */
wn_status wn_http_task_step(wn_http_task *t);
/* Sends one event of a stream and takes over `data`. WN_CANCELLED when nobody reads any more. */
wn_status wn_http_task_send(wn_http_task *t, const char *event, json_t *data);
double wn_http_task_queue_ms(const wn_http_task *t);

#endif
