/* /livez, /readyz, /v1/models */
#include <stdlib.h>
#include <string.h>

#include "api/http_call.h"
#include "api/route_handlers.h"

void wn_route_livez(wn_http_call *call)
{
    static const char live[] = "{\"status\":\"live\"}";
    wn_http_reply_page(call, "application/json", live, sizeof live - 1);
}

void wn_route_readyz(wn_http_call *call)
{
    wn_http_context *c = call->context;
    size_t queued = wn_engine_queued(c->engine), capacity = wn_engine_capacity(c->engine);
    const char *why = NULL;
    if (atomic_load(&c->draining))
        why = "draining";
    else if (!atomic_load(&c->ready))
        why = "loading";
    else if (queued >= capacity)
        why = "queue_full";
    wn_http_reply_json(call, why ? 503 : 200,
                       json_pack("{s:s,s:I,s:I}", "status", why ? why : "ready", "queued",
                                 (json_int_t)queued, "queue_capacity", (json_int_t)capacity));
    if (why)
        call->reply.retry_after_s = 1;
}

static void add_model(json_t *data, const char *prefix, const char *name, int64_t created)
{
    json_array_append_new(data,
                          json_pack("{s:s+,s:s,s:I,s:s}", "id", prefix, name, "object", "model",
                                    "created", (json_int_t)created, "owned_by", "winnow"));
}

typedef struct corpus_models {
    json_t *data;
    wn_http_call *call;
} corpus_models;

static wn_status add_corpus(void *ctx, const char *name, wn_error *err)
{
    (void)err;
    corpus_models *m = ctx;
    if (wn_http_may_see(m->call->principal, name))
        add_model(m->data, "winnow/", name, m->call->context->started_at);
    return WN_OK;
}

void wn_route_models(wn_http_call *call)
{
    wn_http_context *c = call->context;
    wn_error err = {0};
    const char *embedder = NULL;
    size_t dim = 0;
    corpus_models m = {.data = json_array(), .call = call};
    add_model(m.data, "", c->model_name, c->started_at);
    wn_status status = wn_service_embedder_info(c->service, &embedder, &dim, &err);
    if (status == WN_OK) {
        add_model(m.data, "", embedder, c->started_at);
        status = wn_corpus_set_list(wn_service_corpora_dir(c->service), add_corpus, &m, &err);
    }
    if (status == WN_OK)
        wn_http_reply_json(call, 200, json_pack("{s:s,s:O}", "object", "list", "data", m.data));
    else
        wn_http_fail_status(call, status, &err);
    json_decref(m.data);
}
