/* One request as the routes see it, and the reply that they make. Routes know nothing of the HTTP
 * library: they read `call`, and leave through exactly one of wn_http_reply_*, wn_http_fail* or
 * wn_http_reply_stream.
 *
 *     static void get_thing(wn_http_call *call)
 *     {
 *         if (!thing)
 *             wn_http_fail(call, 404, "not_found", NULL, "No thing '%s'.", call->params[0]);
 *         else
 *             wn_http_reply_json(call, 200, thing_to_json(thing));
 *     }
 *
 * Ownership: the call owns everything in it and dies when the reply has been taken over by the
 * server. Threads: a call belongs to its connection's thread, which may block.
 */
#ifndef WN_API_HTTP_CALL_H
#define WN_API_HTTP_CALL_H

#include <jansson.h>

#include "api/engine_worker.h"
#include "api/http_auth.h"
#include "api/http_gate.h"
#include "api/http_watch.h"
#include "api/route_table.h"
#include "api/service.h"
#include "api/sse.h"
#include "base/strbuf.h"

#define WN_HTTP_MAX_QUERY 16

typedef struct wn_http_pair {
    char *name, *value;
} wn_http_pair;

typedef struct wn_http_reply {
    int status; /* 0 while there is no reply */
    const char *content_type;
    wn_strbuf body;
    const void *page; /* instead of body: bytes that live as long as the process */
    size_t page_len;
    const char *cache_control; /* NULL = no-store */
    const char *csp;           /* Content-Security-Policy; NULL = the one of data */
    wn_sse_stream *stream;     /* instead of body: server-sent events; one reference */
    int retry_after_s;         /* 0 = no Retry-After */
    char allow[64];            /* "" = no Allow */
    bool close;                /* the connection ends with this reply */
} wn_http_reply;

/* What the routes share, for the life of the server. */
typedef struct wn_http_context {
    wn_service *service;
    wn_engine_worker *engine;
    wn_http_auth *auth;
    wn_http_gate *search_gate, *ingest_gate;
    struct wn_prefix_jobs *prefix_jobs;
    const char *model_name; /* of the generator; set before `ready` */
    int64_t started_at;     /* unix seconds */
    atomic_bool ready, draining;
    unsigned request_ms, generation_ms, ping_ms;
} wn_http_context;

typedef struct wn_http_call {
    wn_http_context *context;
    const wn_route *route;
    char *params[WN_ROUTE_MAX_PARAMS]; /* what stood at {id}, {doc}: in the order of the path */
    wn_http_pair query[WN_HTTP_MAX_QUERY];
    size_t n_query;
    const wn_http_principal *principal; /* who asks */
    const char *content_type;           /* of the request; NULL when absent */
    wn_strbuf body;
    json_t *json; /* the parsed body of routes with WN_BODY_JSON */
    wn_http_connection *connection;
    wn_http_reply reply;
} wn_http_call;

/* Value of a query parameter, NULL when absent. */
const char *wn_http_query(const wn_http_call *call, const char *name);

/* Takes over `body` (NULL means that memory ran out: 503). */
void wn_http_reply_json(wn_http_call *call, int status, json_t *body);
void wn_http_reply_page(wn_http_call *call, const char *content_type, const void *data, size_t len);
/* Takes over one reference of the stream. */
void wn_http_reply_stream(wn_http_call *call, wn_sse_stream *stream);

/* The error object of OpenAI's API, all four keys: the type follows from the status. */
json_t *wn_http_error_json(int status, const char *code, const char *param, const char *message);
/* `param` names the request's field that is wrong, or NULL. 429 and 503 get a Retry-After. */
void wn_http_fail(wn_http_call *call, int status, const char *code, const char *param,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
/* From a status of the library. Texts of server faults stay in the log and do not leave. */
void wn_http_fail_status(wn_http_call *call, wn_status status, const wn_error *err);
/* HTTP status and error code of a library status. */
int wn_http_status_of(wn_status status, const char **code);
/* What clients may read of an error: its text, or a general one for the server's own faults. */
const char *wn_http_public_text(wn_status status, const wn_error *err);

void wn_http_call_clear(wn_http_call *call);

#endif
