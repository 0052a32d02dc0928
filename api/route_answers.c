/* POST /v1/corpora/{id}/answers: server-sent events retrieval, prefix, progress, token, citation,
 * done or error, in this order; or all of it in one object. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ask_task.h"
#include "api/http_fields.h"
#include "api/json_view.h"
#include "api/route_handlers.h"
#include "api/route_view.h"
#include "base/checked.h"

#define MAX_HISTORY 32
#define MAX_TOP_K 50

/* Events -------------------------------------------------------------------------------------- */

static wn_status send_retrieval(wn_ask_task *t, const wn_search_result *result,
                                const wn_ask_reading *reading)
{
    if (!t->task.stream)
        return WN_OK;
    json_t *best = isnan(result->best_cosine) ? json_null() : json_real(result->best_cosine);
    return wn_http_task_send(&t->task, "retrieval",
                             json_pack("{s:o,s:o,s:o}", "passages", wn_view_shown(result, reading),
                                       "best_cosine", best, "reading", wn_view_reading(reading)));
}

static wn_status send_prefix(wn_ask_task *t, const wn_answer_prefix *prefix)
{
    return t->task.stream ? wn_http_task_send(&t->task, "prefix", wn_json_of_prefix(prefix))
                          : WN_OK;
}

static wn_status send_prefill(wn_ask_task *t, size_t done, size_t total)
{
    return t->task.stream
               ? wn_http_task_send(&t->task, "progress",
                                   json_pack("{s:s,s:I,s:I}", "stage", "prefill", "done_tokens",
                                             (json_int_t)done, "total_tokens", (json_int_t)total))
               : WN_OK;
}

static wn_status send_text(wn_ask_task *t, const char *text, size_t len)
{
    return t->task.stream
               ? wn_http_task_send(&t->task, "token", json_pack("{s:s%}", "text", text, len))
               : WN_OK;
}

/* The same span of the same document, told before. */
static json_t *told_before(const json_t *citations, const json_t *c)
{
    static const char *const span[] = {"file_id", "start_char", "end_char"};
    for (size_t i = 0; i + 1 < json_array_size(citations); i++) {
        json_t *other = json_array_get(citations, i);
        bool same = true;
        for (size_t k = 0; k < 3; k++)
            same = same && json_equal(json_object_get(other, span[k]), json_object_get(c, span[k]));
        if (same)
            return other;
    }
    return NULL;
}

static wn_status send_citation(wn_ask_task *t, json_t *citation)
{
    char id[24];
    json_t *first = told_before(t->citations, citation);
    snprintf(id, sizeof id, "cit_%zu", json_array_size(t->citations));
    json_object_set_new(citation, "id",
                        first ? json_incref(json_object_get(first, "id")) : json_string(id));
    if (!t->task.stream)
        return WN_OK;
    if (!first)
        return wn_http_task_send(&t->task, "citation", json_incref(citation));
    return wn_http_task_send(&t->task, "citation",
                             json_pack("{s:O,s:O,s:O,s:O}", "id", json_object_get(citation, "id"),
                                       "number", json_object_get(citation, "number"),
                                       "answer_start", json_object_get(citation, "answer_start"),
                                       "answer_end", json_object_get(citation, "answer_end")));
}

static wn_status send_done(wn_ask_task *t, const wn_ask_result *r)
{
    const wn_answer *a = &r->answer;
    double queue_ms = wn_http_task_queue_ms(&t->task);
    json_t *done =
        json_pack("{s:s%,s:s,s:O,s:o,s:o,s:o,s:o,s:o}", "text", a->text ? a->text : "", a->len,
                  "finish_reason", a->finish_reason, "citations", t->citations, "usage",
                  wn_view_usage(a), "timings", wn_view_timings(a, queue_ms, r->retrieval_ms),
                  "compression", wn_json_of_kv(&r->kv), "reading", wn_view_reading(&r->reading),
                  "prefix", wn_json_of_prefix(&a->prefix));
    if (t->task.stream)
        return wn_http_task_send(&t->task, "done", done);
    json_object_set_new(done, "object", json_string("answer"));
    json_object_set_new(done, "model", json_string(t->task.context->model_name));
    json_object_set_new(done, "passages", wn_view_shown(&r->retrieval, &r->reading));
    t->task.result = done;
    return done ? WN_OK : WN_NO_MEMORY;
}

static void send_error(wn_http_task *t, json_t *error)
{
    (void)wn_http_task_send(t, "error", error);
}

static const wn_ask_format format = {
    .kind = {.work = wn_ask_task_work, .stream_error = send_error, .clear = wn_ask_task_clear},
    .retrieval = send_retrieval,
    .prefix = send_prefix,
    .prefill = send_prefill,
    .text = send_text,
    .citation = send_citation,
    .done = send_done};

/* The request --------------------------------------------------------------------------------- */

static bool read_history(wn_http_call *call, wn_ask_task *t)
{
    const json_t *turns = NULL;
    if (!wn_field_array(call, call->json, "history", MAX_HISTORY, &turns))
        return false;
    size_t n = json_array_size(turns);
    t->history = wn_alloc(n, sizeof *t->history);
    for (size_t i = 0; i < n && t->history; i++) {
        const json_t *turn = json_array_get(turns, i);
        if (!json_is_object(turn)) {
            wn_http_fail(call, 400, "invalid_type", "history",
                         "'history' must hold objects with 'question' and 'answer'.");
            return false;
        }
        wn_answer_turn *out = &t->history[i];
        if (!wn_field_required_string(call, turn, "question", WN_MAX_QUESTION, &out->question) ||
            !wn_field_required_string(call, turn, "answer", WN_MAX_QUESTION, &out->answer))
            return false;
    }
    t->ask.n_history = n;
    if (!t->history)
        wn_http_fail(call, 503, "no_memory", NULL, "Out of memory.");
    return t->history != NULL;
}

void wn_route_answers(wn_http_call *call)
{
    const char *question = NULL;
    bool stream = false, explain = false;
    int64_t top_k = 8;
    if (!wn_field_required_string(call, call->json, "question", WN_MAX_QUESTION, &question) ||
        !wn_field_bool(call, call->json, "stream", &stream) ||
        !wn_field_bool(call, call->json, "explain", &explain) ||
        !wn_field_int(call, call->json, "top_k", 1, MAX_TOP_K, &top_k))
        return;
    wn_ask_task *t = wn_ask_task_open(call, call->params[0], stream, &format);
    if (!t)
        return;
    t->ask.question = question;
    t->ask.explain = explain;
    t->ask.search.top_k = (size_t)top_k;
    if (wn_route_sampling_read(call, 0, &t->sampling) && read_history(call, t) &&
        wn_ask_task_mode(call, t) && wn_route_filter(call, &t->filter))
        wn_http_task_submit(&t->task, call);
    else
        wn_http_task_drop(&t->task);
}
