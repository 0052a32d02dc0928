#include "api/chat_wire.h"

#include <stdio.h>
#include <string.h>

#include "api/json_view.h"
#include "api/route_view.h"
#include "base/clock.h"
#include "base/hash.h"

static wn_status send_delta(wn_chat_wire *w, json_t *delta, const char *finish_reason)
{
    json_t *chunk = json_pack("{s:s,s:s,s:I,s:s,s:n,s:[{s:i,s:o,s:n,s:s?}]}", "id", w->id, "object",
                              "chat.completion.chunk", "created", (json_int_t)w->created, "model",
                              w->model, "system_fingerprint", "choices", "index", 0, "delta", delta,
                              "logprobs", "finish_reason", finish_reason);
    if (w->include_usage)
        json_object_set_new(chunk, "usage", json_null());
    return wn_http_task_send(w->task, NULL, chunk);
}

wn_status wn_chat_wire_start(wn_chat_wire *w)
{
    uint8_t random[12];
    char hex[2 * sizeof random + 1];
    if (w->started)
        return WN_OK;
    w->started = true;
    WN_TRY(wn_random_bytes(random, sizeof random, NULL));
    wn_hex(random, sizeof random, hex);
    snprintf(w->id, sizeof w->id, "chatcmpl-%s", hex);
    w->created = wn_clock_unix_s();
    if (!w->task->stream)
        return WN_OK;
    return send_delta(w, json_pack("{s:s,s:s}", "role", "assistant", "content", ""), NULL);
}

wn_status wn_chat_wire_text(wn_chat_wire *w, const char *text, size_t len)
{
    WN_TRY(wn_chat_wire_start(w));
    return w->task->stream ? send_delta(w, json_pack("{s:s%}", "content", text, len), NULL) : WN_OK;
}

wn_status wn_chat_wire_annotation(wn_chat_wire *w, json_t *annotation)
{
    wn_status status = wn_chat_wire_start(w);
    if (status != WN_OK || !w->task->stream) {
        json_decref(annotation);
        return status;
    }
    return send_delta(w, json_pack("{s:[o]}", "annotations", annotation), NULL);
}

/* OpenAI knows stop and length here. */
static const char *finish_reason_of(const wn_answer *a)
{
    return a->finish_reason && strcmp(a->finish_reason, "length") == 0 ? "length" : "stop";
}

/* Beside what OpenAI has: where the time went and, from a corpus, what was not read anew. */
static json_t *add_measures(json_t *o, const wn_answer *a, bool from_corpus)
{
    json_object_set_new(o, "timings",
                        json_pack("{s:f,s:f,s:f}", "prefill_ms", a->prefill_ms, "first_token_ms",
                                  a->first_token_ms, "decode_ms", a->decode_ms));
    if (from_corpus)
        json_object_set_new(o, "prefix", wn_json_of_prefix(&a->prefix));
    return o;
}

static wn_status end_stream(wn_chat_wire *w, const wn_answer *a, bool from_corpus)
{
    WN_TRY(send_delta(w, json_object(), finish_reason_of(a)));
    if (w->include_usage) {
        json_t *last =
            json_pack("{s:s,s:s,s:I,s:s,s:n,s:[],s:o}", "id", w->id, "object",
                      "chat.completion.chunk", "created", (json_int_t)w->created, "model", w->model,
                      "system_fingerprint", "choices", "usage", wn_view_usage(a));
        WN_TRY(wn_http_task_send(w->task, NULL, add_measures(last, a, from_corpus)));
    }
    return wn_sse_send(w->task->stream, NULL, "[DONE]");
}

wn_status wn_chat_wire_end(wn_chat_wire *w, const wn_answer *a, json_t *annotations)
{
    WN_TRY(wn_chat_wire_start(w));
    if (w->task->stream)
        return end_stream(w, a, annotations != NULL);
    json_t *message = json_pack("{s:s,s:s%,s:n,s:o}", "role", "assistant", "content",
                                a->text ? a->text : "", a->len, "refusal", "annotations",
                                annotations ? json_incref(annotations) : json_array());
    w->task->result =
        json_pack("{s:s,s:s,s:I,s:s,s:n,s:[{s:i,s:o,s:n,s:s}],s:o}", "id", w->id, "object",
                  "chat.completion", "created", (json_int_t)w->created, "model", w->model,
                  "system_fingerprint", "choices", "index", 0, "message", message, "logprobs",
                  "finish_reason", finish_reason_of(a), "usage", wn_view_usage(a));
    add_measures(w->task->result, a, annotations != NULL);
    return w->task->result ? WN_OK : WN_NO_MEMORY;
}

void wn_chat_wire_error(wn_http_task *t, json_t *error)
{
    if (wn_http_task_send(t, NULL, error) == WN_OK)
        (void)wn_sse_send(t->stream, NULL, "[DONE]");
}

json_t *wn_chat_wire_annotation_of(const json_t *citation)
{
    json_t *o = json_copy((json_t *)(uintptr_t)citation); /* jansson's copy does not write */
    json_object_set_new(o, "type", json_string("file_citation"));
    json_object_set(o, "index", json_object_get(citation, "answer_end"));
    return o;
}
