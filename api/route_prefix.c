/* /v1/corpora/{id}/prefix: what a model has read of a corpus and keeps; /v1/jobs/{id}: what is done
 * in the background. */
#include <inttypes.h>
#include <stdlib.h>

#include "api/http_call.h"
#include "api/prefix_jobs.h"
#include "api/prefix_view.h"
#include "api/route_handlers.h"
#include "api/route_view.h"

static json_t *job_of(const wn_prefix_job_view *v)
{
    json_t *error = v->state == WN_PREFIX_JOB_FAILED
                        ? json_string(wn_http_public_text(v->error.status, &v->error))
                        : json_null();
    return json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:I,s:I,s:o}", "id", v->id, "object", "job", "kind",
                     "prefix", "corpus", v->corpus, "created_at", (json_int_t)v->created_unix_s,
                     "status", wn_prefix_job_state_name(v->state), "done_tokens",
                     (json_int_t)v->done_tokens, "total_tokens", (json_int_t)v->total_tokens,
                     "error", error);
}

/* Of the job at {id}; to who may not see its corpus there is none. */
static void reply_job(wn_http_call *call, bool cancel)
{
    wn_prefix_jobs *jobs = call->context->prefix_jobs;
    wn_prefix_job_view view = {0};
    const char *id = call->params[0];
    if (!wn_prefix_jobs_get(jobs, id, &view) || !wn_http_may_see(call->principal, view.corpus) ||
        (cancel && !wn_prefix_jobs_cancel(jobs, id, &view)))
        wn_http_fail(call, 404, "not_found", NULL, "There is no job '%.64s'.", id);
    else
        wn_http_reply_json(call, 200, job_of(&view));
}

void wn_route_job_get(wn_http_call *call)
{
    reply_job(call, false);
}

void wn_route_job_cancel(wn_http_call *call)
{
    reply_job(call, true);
}

/* False after a reply: no such corpus for this key. */
static bool corpus_exists(wn_http_call *call)
{
    wn_corpus *c = NULL;
    if (!wn_route_open_corpus(call, call->params[0], WN_CORPUS_READ, &c))
        return false;
    wn_service_corpus_release(call->context->service, c);
    return true;
}

void wn_route_prefix_prepare(wn_http_call *call)
{
    wn_prefix_job_view view = {0};
    if (!corpus_exists(call))
        return;
    if (wn_prefix_jobs_start(call->context->prefix_jobs, call->context, call->params[0], &view))
        wn_http_reply_json(call, 202,
                           json_pack("{s:s,s:s,s:o}", "object", "prefix.job", "corpus",
                                     call->params[0], "job", job_of(&view)));
    else
        wn_http_fail(call, 503, "queue_full", NULL,
                     "Too many requests are waiting; try again in a moment.");
}

static wn_status add_node(void *ctx, const wn_prefix_info *i, wn_error *err)
{
    (void)err;
    json_array_append_new(ctx, wn_json_of_prefix_node(i));
    return WN_OK;
}

static json_t *view_prefix(wn_http_call *call, wn_error *err)
{
    wn_service *s = call->context->service;
    const char *name = call->params[0];
    wn_prefix_summary *rows = NULL, none = {0};
    size_t n = 0;
    wn_prefix_job_view job = {0};
    json_t *nodes = json_array(), *o = NULL;
    /* The job first: one that is done has its nodes among those that are looked at then. */
    const bool has_job = wn_prefix_jobs_find(call->context->prefix_jobs, name, &job);
    if (wn_prefix_summaries(s, name, &rows, &n, err) == WN_OK &&
        wn_service_prefix_visit(s, name, add_node, nodes, err) == WN_OK) {
        o = wn_json_of_prefix_summary(n ? rows : &none);
        json_object_set_new(o, "object", json_string("prefix"));
        json_object_set_new(o, "corpus", json_string(name));
        json_object_set(o, "nodes", nodes);
        json_object_set_new(o, "job", has_job ? job_of(&job) : json_null());
    }
    json_decref(nodes);
    free(rows);
    return o;
}

void wn_route_prefix_get(wn_http_call *call)
{
    wn_error err = {0};
    if (!corpus_exists(call))
        return;
    json_t *o = view_prefix(call, &err);
    if (err.status != WN_OK)
        wn_http_fail_status(call, err.status, &err);
    else
        wn_http_reply_json(call, 200, o);
}

void wn_route_prefix_delete(wn_http_call *call)
{
    wn_error err = {0};
    size_t n = 0;
    if (!corpus_exists(call))
        return;
    wn_prefix_jobs_forget(call->context->prefix_jobs, call->params[0]);
    wn_status status = wn_service_prefix_drop(call->context->service, call->params[0], 0, &n, &err);
    wn_prefix_jobs_tend(call->context);
    if (status == WN_OK)
        wn_http_reply_json(call, 200,
                           json_pack("{s:s,s:s,s:b,s:I}", "id", call->params[0], "object",
                                     "prefix.deleted", "deleted", 1, "nodes", (json_int_t)n));
    else
        wn_http_fail_status(call, status, &err);
}
