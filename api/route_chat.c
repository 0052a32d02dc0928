/* POST /v1/chat/completions. Model winnow/<corpus>: the last user message is answered from the
 * corpus, earlier ones are its history (system messages give way to our own instructions); mode and
 * filters are as for POST /v1/corpora/{id}/answers. Any other model name must be the generator's:
 * then the conversation goes to it as it is. */
#include <stdlib.h>
#include <string.h>

#include "api/ask_task.h"
#include "api/chat_messages.h"
#include "api/chat_wire.h"
#include "api/http_fields.h"
#include "api/route_handlers.h"
#include "api/route_view.h"
#include "base/checked.h"

#define CORPUS_PREFIX "winnow/"
#define CORPUS_TEMPERATURE 0.0 /* an answer from documents does not profit from chance */
#define PLAIN_TEMPERATURE 0.7

/* What both kinds of request share. */
typedef struct chat_request {
    const char *model, *corpus; /* corpus NULL: plain */
    bool stream, include_usage;
    wn_chat_turns turns;
} chat_request;

/* From a corpus ------------------------------------------------------------------------------- */

typedef struct corpus_chat {
    wn_chat_wire wire;
    wn_chat_turns turns; /* history and question are borrowed from here */
} corpus_chat;

static wn_status corpus_prefill(wn_ask_task *t, size_t done, size_t total)
{
    (void)done;
    (void)total;
    return wn_chat_wire_start(&((corpus_chat *)t->extra)->wire);
}

static wn_status corpus_text(wn_ask_task *t, const char *text, size_t len)
{
    return wn_chat_wire_text(&((corpus_chat *)t->extra)->wire, text, len);
}

static wn_status corpus_citation(wn_ask_task *t, json_t *citation)
{
    corpus_chat *c = t->extra;
    return wn_chat_wire_annotation(&c->wire, wn_chat_wire_annotation_of(citation));
}

static wn_status corpus_done(wn_ask_task *t, const wn_ask_result *r)
{
    corpus_chat *c = t->extra;
    json_t *annotations = json_array();
    for (size_t i = 0; i < json_array_size(t->citations); i++)
        json_array_append_new(annotations,
                              wn_chat_wire_annotation_of(json_array_get(t->citations, i)));
    wn_status status = wn_chat_wire_end(&c->wire, &r->answer, annotations);
    json_decref(annotations);
    return status;
}

static void corpus_clear(wn_http_task *task)
{
    corpus_chat *c = ((wn_ask_task *)task)->extra;
    if (c)
        wn_chat_turns_free(&c->turns);
    wn_ask_task_clear(task);
}

static const wn_ask_format corpus_format = {
    .kind = {.work = wn_ask_task_work, .stream_error = wn_chat_wire_error, .clear = corpus_clear},
    .prefill = corpus_prefill,
    .text = corpus_text,
    .citation = corpus_citation,
    .done = corpus_done};

/* The last message is the question; pairs of user and assistant before it are the history. */
static bool split_turns(wn_http_call *call, const wn_chat_turns *m, wn_ask_task *t)
{
    const char *asked = NULL;
    t->history = wn_alloc(m->n, sizeof *t->history);
    for (size_t i = 0; t->history && i < m->n; i++) {
        if (strcmp(m->items[i].role, "user") == 0) {
            asked = m->items[i].content;
        } else if (strcmp(m->items[i].role, "assistant") == 0 && asked) {
            t->history[t->ask.n_history++] = (wn_answer_turn){asked, m->items[i].content};
            asked = NULL;
        }
    }
    t->ask.question = asked;
    if (!t->history)
        wn_http_fail(call, 503, "no_memory", NULL, "Out of memory.");
    else if (!asked || asked[strspn(asked, " \t\r\n")] == '\0')
        wn_http_fail(call, 400, "invalid_value", "messages",
                     "The last message must be the user's question.");
    else if (strlen(asked) > WN_MAX_QUESTION)
        wn_http_fail(call, 400, "string_above_max_length", "messages",
                     "A question may have %u bytes.", WN_MAX_QUESTION);
    return call->reply.status == 0;
}

static void chat_with_corpus(wn_http_call *call, chat_request *q)
{
    wn_ask_task *t = wn_ask_task_open(call, q->corpus, q->stream, &corpus_format);
    if (!t)
        return;
    corpus_chat *c = wn_alloc(1, sizeof *c);
    t->extra = c;
    if (!c) {
        wn_http_fail(call, 503, "no_memory", NULL, "Out of memory.");
        wn_http_task_drop(&t->task);
        return;
    }
    c->wire =
        (wn_chat_wire){.task = &t->task, .model = q->model, .include_usage = q->include_usage};
    c->turns = q->turns;
    q->turns = (wn_chat_turns){0};
    if (wn_route_sampling_read(call, CORPUS_TEMPERATURE, &t->sampling) &&
        wn_ask_task_mode(call, t) && split_turns(call, &c->turns, t) &&
        wn_route_filter(call, &t->filter))
        wn_http_task_submit(&t->task, call);
    else
        wn_http_task_drop(&t->task);
}

/* Plain --------------------------------------------------------------------------------------- */

typedef struct plain_chat {
    wn_http_task task; /* first */
    wn_chat_wire wire;
    wn_chat_turns turns;
    wn_route_sampling sampling;
} plain_chat;

static wn_status plain_prefill(void *ctx, size_t done, size_t total)
{
    (void)done;
    (void)total;
    plain_chat *p = ctx;
    WN_TRY(wn_http_task_step(&p->task));
    return wn_chat_wire_start(&p->wire);
}

static wn_status plain_text(void *ctx, const char *text, size_t len)
{
    plain_chat *p = ctx;
    WN_TRY(wn_http_task_step(&p->task));
    return wn_chat_wire_text(&p->wire, text, len);
}

static wn_status plain_work(wn_http_task *task, wn_error *err)
{
    plain_chat *p = (plain_chat *)task;
    wn_answer answer = {0};
    wn_generation g = {.messages = p->turns.items,
                       .n_messages = p->turns.n,
                       .sampler = p->sampling.sampler,
                       .max_tokens = p->sampling.max_tokens,
                       .stop = p->sampling.stop,
                       .n_stop = p->sampling.n_stop};
    wn_answer_events events = {.ctx = p, .on_prefill = plain_prefill, .on_text = plain_text};
    WN_TRY(wn_service_generate(task->context->service, &g, &events, &answer, err));
    bool cancelled = answer.finish_reason && strcmp(answer.finish_reason, "cancelled") == 0;
    wn_status status = cancelled ? WN_CANCELLED : wn_chat_wire_end(&p->wire, &answer, NULL);
    wn_answer_free(&answer);
    return status;
}

static void plain_clear(wn_http_task *task)
{
    wn_chat_turns_free(&((plain_chat *)task)->turns);
}

static const wn_http_task_kind plain_kind = {
    .work = plain_work, .stream_error = wn_chat_wire_error, .clear = plain_clear};

static void chat_plainly(wn_http_call *call, chat_request *q)
{
    plain_chat *p = wn_alloc(1, sizeof *p);
    if (!wn_http_task_open(p ? &p->task : NULL, call, q->stream, &plain_kind))
        return;
    p->wire =
        (wn_chat_wire){.task = &p->task, .model = q->model, .include_usage = q->include_usage};
    p->turns = q->turns;
    q->turns = (wn_chat_turns){0};
    if (wn_route_sampling_read(call, PLAIN_TEMPERATURE, &p->sampling))
        wn_http_task_submit(&p->task, call);
    else
        wn_http_task_drop(&p->task);
}

/* The request --------------------------------------------------------------------------------- */

static bool unsupported(wn_http_call *call, const char *param)
{
    wn_http_fail(call, 400, "unsupported_parameter", param, "'%s' is not supported here.", param);
    return false;
}

/* What OpenAI has and we lack is refused where ignoring it would change the meaning. */
static bool refuse_unsupported(wn_http_call *call)
{
    static const char *const lists[] = {"tools", "functions"};
    static const char *const penalties[] = {"frequency_penalty", "presence_penalty"};
    const json_t *o = call->json;
    int64_t n = 1;
    bool logprobs = false;
    const json_t *format = NULL;
    if (!wn_field_int(call, o, "n", 1, 128, &n) || !wn_field_bool(call, o, "logprobs", &logprobs) ||
        !wn_field_object(call, o, "response_format", &format))
        return false;
    if (n > 1)
        return unsupported(call, "n");
    if (logprobs)
        return unsupported(call, "logprobs");
    for (size_t i = 0; i < 2; i++) {
        double penalty = 0;
        if (json_array_size(wn_field(o, lists[i])) > 0)
            return unsupported(call, lists[i]);
        if (!wn_field_number(call, o, penalties[i], -2, 2, &penalty))
            return false;
        if (penalty < 0 || penalty > 0)
            return unsupported(call, penalties[i]);
    }
    if (json_object_size(wn_field(o, "logit_bias")) > 0)
        return unsupported(call, "logit_bias");
    const char *type = json_string_value(json_object_get(format, "type"));
    return !format || (type && strcmp(type, "text") == 0) || unsupported(call, "response_format");
}

static bool read_corpus(wn_http_call *call, chat_request *q)
{
    const json_t *stores = NULL;
    if (!wn_field_array(call, call->json, "vector_store_ids", 1, &stores))
        return false;
    if (json_array_size(stores) == 1) {
        q->corpus = json_string_value(json_array_get(stores, 0));
        if (q->corpus)
            return true;
        wn_http_fail(call, 400, "invalid_type", "vector_store_ids",
                     "'vector_store_ids' must hold one string.");
        return false;
    }
    if (strncmp(q->model, CORPUS_PREFIX, strlen(CORPUS_PREFIX)) == 0)
        q->corpus = q->model + strlen(CORPUS_PREFIX);
    return true;
}

static bool read_request(wn_http_call *call, chat_request *q)
{
    const json_t *stream_options = NULL;
    return wn_field_required_string(call, call->json, "model", 256, &q->model) &&
           wn_field_bool(call, call->json, "stream", &q->stream) &&
           wn_field_object(call, call->json, "stream_options", &stream_options) &&
           (!stream_options ||
            wn_field_bool(call, stream_options, "include_usage", &q->include_usage)) &&
           refuse_unsupported(call) && read_corpus(call, q) && wn_chat_turns_read(call, &q->turns);
}

void wn_route_chat(wn_http_call *call)
{
    chat_request q = {0};
    if (!read_request(call, &q)) {
        /* replied */
    } else if (q.corpus) {
        chat_with_corpus(call, &q);
        if (call->reply.status == 404)
            wn_http_fail(call, 404, "model_not_found", "model", "There is no model '%.80s'.",
                         q.model);
    } else if (strcmp(q.model, call->context->model_name) != 0) {
        wn_http_fail(call, 404, "model_not_found", "model", "There is no model '%.80s'.", q.model);
    } else {
        chat_plainly(call, &q);
    }
    wn_chat_turns_free(&q.turns);
}
