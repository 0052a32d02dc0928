#include "api/ask_task.h"

#include <stdlib.h>
#include <string.h>

#include "api/http_fields.h"
#include "api/route_view.h"
#include "base/checked.h"
#include "base/log.h"

wn_ask_task *wn_ask_task_open(wn_http_call *call, const char *corpus, bool stream,
                              const wn_ask_format *format)
{
    wn_corpus *c = NULL;
    if (!wn_route_open_corpus(call, corpus, WN_CORPUS_READ, &c))
        return NULL;
    wn_ask_task *t = wn_alloc(1, sizeof *t);
    if (!wn_http_task_open(t ? &t->task : NULL, call, stream, &format->kind)) {
        wn_service_corpus_release(call->context->service, c);
        return NULL;
    }
    t->format = format;
    t->corpus = c;
    t->citations = json_array();
    memcpy(t->corpus_name, corpus, strlen(corpus) + 1); /* its name is valid, so it fits */
    t->ask.corpus = t->corpus_name;
    t->ask.search = (wn_search_options)WN_SEARCH_DEFAULTS;
    return t;
}

bool wn_ask_task_mode(wn_http_call *call, wn_ask_task *t)
{
    const char *mode = wn_ask_mode_name(WN_ASK_PASSAGES);
    if (!wn_field_string(call, call->json, "mode", 64, &mode))
        return false;
    if (wn_ask_mode_parse(mode, &t->ask.mode))
        return true;
    wn_http_fail(call, 400, "unsupported_value", "mode",
                 "'mode' must be passages, documents, corpus or auto.");
    return false;
}

void wn_ask_task_clear(wn_http_task *task)
{
    wn_ask_task *t = (wn_ask_task *)task;
    wn_service_corpus_release(task->context->service, t->corpus);
    wn_metadata_filter_free(t->filter);
    wn_strbuf_free(&t->text);
    json_decref(t->citations);
    free(t->history);
    free(t->extra);
}

static wn_status on_retrieval(void *ctx, const wn_search_result *result,
                              const wn_ask_reading *reading)
{
    wn_ask_task *t = ctx;
    t->retrieval = result;
    WN_TRY(wn_http_task_step(&t->task));
    return t->format->retrieval ? t->format->retrieval(t, result, reading) : WN_OK;
}

static wn_status on_prefix(void *ctx, const wn_answer_prefix *prefix)
{
    wn_ask_task *t = ctx;
    WN_TRY(wn_http_task_step(&t->task));
    return t->format->prefix ? t->format->prefix(t, prefix) : WN_OK;
}

static wn_status on_prefill(void *ctx, size_t done, size_t total)
{
    wn_ask_task *t = ctx;
    WN_TRY(wn_http_task_step(&t->task));
    return t->format->prefill ? t->format->prefill(t, done, total) : WN_OK;
}

static wn_status on_text(void *ctx, const char *text, size_t len)
{
    wn_ask_task *t = ctx;
    WN_TRY(wn_http_task_step(&t->task));
    wn_strbuf_add(&t->text, text, len);
    return t->format->text ? t->format->text(t, text, len) : WN_OK;
}

static wn_status on_citation(void *ctx, const wn_citation *citation)
{
    wn_ask_task *t = ctx;
    wn_error err = {0};
    wn_citation_place place = {0};
    /* Hits lie in document order by now; the place checks the quote against the stored text. */
    wn_ask_result so_far = {.retrieval = *t->retrieval};
    wn_status status = wn_service_citation_place(t->task.context->service, t->corpus, &so_far,
                                                 citation, &place, &err);
    if (status != WN_OK) { /* a citation that cannot be shown is left out, the answer goes on */
        wn_log(WN_LOG_WARN, "api", "citation left out: %s", err.text);
        return WN_OK;
    }
    json_t *view = wn_view_citation(citation, &place, wn_strbuf_cstr(&t->text), t->text.len);
    wn_citation_place_free(&place);
    if (json_array_append(t->citations, view) != 0)
        status = WN_NO_MEMORY;
    else if (t->format->citation)
        status = t->format->citation(t, view);
    json_decref(view);
    return status;
}

wn_status wn_ask_task_work(wn_http_task *task, wn_error *err)
{
    wn_ask_task *t = (wn_ask_task *)task;
    wn_ask_result result = {0};
    wn_ask_events events = {.ctx = t,
                            .on_retrieval = on_retrieval,
                            .answer = {.ctx = t,
                                       .on_prefix = on_prefix,
                                       .on_prefill = on_prefill,
                                       .on_text = on_text,
                                       .on_citation = on_citation}};
    t->ask.search.filter = t->filter;
    t->ask.sampler = t->sampling.sampler;
    t->ask.max_tokens = t->sampling.max_tokens;
    t->ask.stop = t->sampling.stop;
    t->ask.n_stop = t->sampling.n_stop;
    t->ask.history = t->history;
    WN_TRY(wn_service_ask(task->context->service, &t->ask, &events, &result, err));
    const char *reason = result.answer.finish_reason;
    wn_status status =
        reason && strcmp(reason, "cancelled") == 0 ? WN_CANCELLED : t->format->done(t, &result);
    t->retrieval = NULL;
    wn_ask_result_free(&result);
    return status;
}
