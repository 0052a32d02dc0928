/* One question answered (answer.h): prompt, token loop, marks and citations. */
#include "generate/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/answer_prefix.h"
#include "generate/answer_stream.h"
#include "generate/generation.h"
#include "generate/prompt.h"
#include "generate/refusal.h"

/* An answer needs at least this much room behind its prompt. */
#define MIN_ROOM_TOKENS 16

typedef struct run_state {
    wn_answer_stream *stream;
    const wn_answer_events *events;
    wn_error *err; /* of callbacks: the token loop knows only their status */
} run_state;

static wn_status on_prefill(void *ctx, size_t done, size_t total)
{
    const run_state *s = ctx;
    return s->events->on_prefill(s->events->ctx, done, total);
}

static wn_status on_text(void *ctx, const char *text, size_t len)
{
    run_state *s = ctx;
    return wn_answer_stream_push(s->stream, text, len, s->err);
}

static wn_status say_nothing_found(const wn_answer_events *events, wn_answer *out, wn_error *err)
{
    out->text = wn_strdup(WN_NO_ANSWER_TEXT);
    if (!out->text)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the answer");
    out->len = strlen(out->text);
    out->finish_reason = "no_answer";
    if (!events || !events->on_text)
        return WN_OK;
    wn_status status = events->on_text(events->ctx, out->text, out->len);
    if (status == WN_CANCELLED) {
        out->finish_reason = "cancelled";
        return WN_OK;
    }
    return status == WN_OK ? WN_OK
                           : wn_error_set(err, status, "stopped by the receiver of the text");
}

/* *own: what is to be freed, *out what is used. */
static wn_status encode(const wn_answer_request *r, wn_prompt_tokens *own,
                        const wn_prompt_tokens **out, wn_error *err)
{
    wn_prompt prompt = {.sources = r->sources,
                        .n_sources = r->n_sources,
                        .question = r->question,
                        .history = r->history,
                        .n_history = r->n_history};
    size_t capacity = wn_session_capacity(r->session);
    *out = r->prompt ? r->prompt : own;
    if (!r->prompt)
        WN_TRY(wn_prompt_encode(&prompt, wn_model_tokenizer(r->model),
                                wn_model_chat_family(r->model), own, err));
    if ((*out)->n + MIN_ROOM_TOKENS <= capacity)
        return WN_OK;
    return wn_error_set(err, WN_LIMIT,
                        "the question with %zu passages and %zu earlier turns has %zu tokens; the "
                        "session holds %zu and an answer needs %d",
                        r->n_sources, r->n_history, (*out)->n, capacity, MIN_ROOM_TOKENS);
}

/* Runs the token loop into the stream; a receiver that cancels ends it with WN_OK. */
static wn_status generate(const wn_answer_request *r, run_state *state,
                          const wn_prompt_tokens *tokens, wn_answer *out, wn_error *err)
{
    wn_generation_result result = {0};
    wn_error loop_err = {0};
    wn_generation_request g = {.session = r->session,
                               .turn = r->turn,
                               .tokenizer = wn_model_tokenizer(r->model),
                               .ids = tokens->ids,
                               .n_ids = tokens->n,
                               .sampler = r->sampler,
                               .max_tokens = r->max_tokens,
                               .stop = r->stop,
                               .n_stop = r->n_stop,
                               .ctx = state,
                               .on_text = on_text};
    if (state->events && state->events->on_prefill)
        g.on_prefill = on_prefill;
    wn_status status = wn_generate(&g, &result, &loop_err);
    if (status != WN_OK) /* what the stream said comes first */
        return wn_error_set(err, status, "%s",
                            state->err->status ? state->err->text : loop_err.text);
    free(result.text); /* the stream has it, with marks */
    out->finish_reason = result.finish_reason;
    out->prompt_tokens = result.prompt_tokens;
    out->cached_tokens = out->prefix.cached_tokens; /* the rest of the prefix was just read */
    out->completion_tokens = result.completion_tokens;
    out->prefill_ms = out->prefix.load_ms + out->prefix.read_ms + result.prefill_ms;
    out->decode_ms = result.decode_ms;
    out->first_token_ms = out->prefix.load_ms + out->prefix.read_ms + result.first_token_ms;
    return WN_OK;
}

/* A receiver that cancels ends it with WN_OK, and *out says so. */
static wn_status read_prefix(const wn_answer_request *r, const wn_prompt_tokens *tokens,
                             const wn_answer_events *events, wn_answer *out, wn_error *err)
{
    wn_error own = {0};
    out->prompt_tokens = tokens->n;
    wn_status status = wn_answer_prefix_read(r, tokens, events, &out->prefix, &own);
    if (status == WN_CANCELLED)
        out->finish_reason = "cancelled";
    else if (status != WN_OK)
        return wn_error_set(err, status, "%s", own.text);
    return WN_OK;
}

static wn_status finish(run_state *state, wn_answer *out, wn_error *err)
{
    if (strcmp(out->finish_reason, "cancelled") != 0) {
        wn_error finish_err = {0};
        wn_status status = wn_answer_stream_finish(state->stream, &finish_err);
        if (status == WN_CANCELLED)
            out->finish_reason = "cancelled";
        else if (status != WN_OK)
            return wn_error_set(err, status, "%s", finish_err.text);
    }
    if (strcmp(out->finish_reason, "cancelled") != 0 && wn_answer_stream_refused(state->stream))
        out->finish_reason = "no_answer";
    return wn_answer_stream_take(state->stream, out, err);
}

static wn_status run(const wn_answer_request *r, const wn_answer_events *events, wn_answer *out,
                     wn_error *err)
{
    wn_status status = WN_OK;
    wn_attributor *attributor = NULL;
    wn_error stream_err = {0};
    run_state state = {.events = events, .err = &stream_err};
    wn_prompt_tokens own = {0};
    const wn_prompt_tokens *tokens = NULL;
    WN_TRY_OUT(encode(r, &own, &tokens, err));
    WN_TRY_OUT(wn_attributor_open(&attributor,
                                  &(wn_attribution){.sources = r->sources,
                                                    .n_sources = r->n_sources,
                                                    .question = r->question,
                                                    .embed = r->embed,
                                                    .embed_ctx = r->embed_ctx,
                                                    .dim = r->dim},
                                  err));
    WN_TRY_OUT(wn_answer_stream_open(&state.stream,
                                     &(wn_answer_stream_options){.attributor = attributor,
                                                                 .sources = r->sources,
                                                                 .n_sources = r->n_sources,
                                                                 .events = events},
                                     err));
    WN_TRY_OUT(read_prefix(r, tokens, events, out, err));
    if (!out->finish_reason)
        WN_TRY_OUT(generate(r, &state, tokens, out, err));
    WN_TRY_OUT(finish(&state, out, err));
out:
    wn_answer_stream_close(state.stream);
    wn_attributor_close(attributor);
    wn_prompt_tokens_free(&own);
    return status;
}

wn_status wn_answer_run(const wn_answer_request *request, const wn_answer_events *events,
                        wn_answer *out, wn_error *err)
{
    *out = (wn_answer){0};
    wn_status status = request->nothing_found || request->n_sources == 0
                           ? say_nothing_found(events, out, err)
                           : run(request, events, out, err);
    if (status != WN_OK)
        wn_answer_free(out);
    return status;
}

void wn_answer_free(wn_answer *a)
{
    for (size_t i = 0; i < a->n_citations; i++)
        free(a->citations[i].cited_text);
    free(a->citations);
    free(a->text);
    *a = (wn_answer){0};
}
