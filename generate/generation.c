#include "generate/generation.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "generate/stop_strings.h"

#define DEFAULT_MAX_TOKENS 512

/* One run's state between tokens. */
typedef struct generation {
    const wn_generation_request *r;
    wn_sampler *sampler;
    wn_token_decoder decoder;
    wn_strbuf text;
    wn_stop_scan scan;
    size_t sent; /* bytes of text that went to on_text */
    size_t cached;
    wn_error *err;
} generation;

static wn_status report_prefill(void *ctx, uint64_t done, uint64_t total)
{
    const generation *g = ctx;
    if (g->r->on_prefill)
        WN_TRY(g->r->on_prefill(g->r->ctx, g->cached + (size_t)done, g->cached + (size_t)total));
    if (done > 0 && done < total)
        wn_turn_pass(g->r->turn);
    return WN_OK;
}

/* Gives on_text what became safe to show, up to byte `end` of the text. */
static wn_status send_until(generation *g, size_t end)
{
    size_t from = g->sent;
    g->sent = end;
    if (end == from || !g->r->on_text)
        return WN_OK;
    wn_status status = g->r->on_text(g->r->ctx, g->text.data + from, end - from);
    if (status != WN_OK)
        (void)wn_error_set(g->err, status, "stopped by the receiver of the text");
    return status;
}

/* Looks for stop strings in the text so far and sends what is safe. */
static wn_status scan_and_send(generation *g, bool *stopped)
{
    if (wn_strbuf_failed(&g->text))
        return wn_error_set(g->err, WN_NO_MEMORY, "no memory for the answer's text");
    *stopped = wn_stop_scan_next(&g->scan, g->text.data, g->text.len);
    if (*stopped)
        wn_strbuf_truncate(&g->text, g->scan.safe);
    return send_until(g, g->scan.safe);
}

/* Half a character and half a stop string at the end are text after all. */
static wn_status finish_text(generation *g)
{
    bool stopped = false;
    wn_token_decoder_finish(&g->decoder, &g->text);
    WN_TRY(scan_and_send(g, &stopped));
    return send_until(g, g->text.len);
}

/* Keeps what the session has read of the prompt and reads the rest (at least one token, whose
 * logits are needed): the answer is the one of a fresh session. */
static wn_status prefill(generation *g)
{
    const wn_generation_request *r = g->r;
    const int32_t *held = wn_session_ids(r->session);
    size_t limit = wn_session_n_read(r->session), n = 0;
    if (limit > r->n_ids - 1)
        limit = r->n_ids - 1;
    while (n < limit && held[n] == r->ids[n])
        n++;
    n = wn_session_truncate(r->session, n);
    g->cached = n;
    WN_TRY(report_prefill(g, 0, r->n_ids - n)); /* tells what was held, before any work */
    return wn_session_append(r->session, r->ids + n, r->n_ids - n, report_prefill, g, g->err);
}

static wn_status decode(generation *g, size_t max_tokens, wn_generation_result *out)
{
    const wn_generation_request *r = g->r;
    double start = wn_clock_ms();
    bool stopped = false;
    out->finish_reason = "length";
    while (out->completion_tokens < max_tokens) {
        int32_t id = wn_sampler_next(g->sampler, wn_session_logits(r->session));
        if (out->completion_tokens == 0)
            out->first_token_ms = out->prefill_ms + (wn_clock_ms() - start);
        if (wn_tokenizer_is_end(r->tokenizer, id)) {
            out->finish_reason = "stop";
            break;
        }
        out->completion_tokens++;
        wn_token_decoder_push(&g->decoder, r->tokenizer, id, &g->text);
        WN_TRY(scan_and_send(g, &stopped));
        if (stopped) {
            out->finish_reason = "stop";
            break;
        }
        if (out->completion_tokens < max_tokens)
            WN_TRY(wn_turn_decode(r->turn, r->session, id, g->err));
    }
    out->decode_ms = wn_clock_ms() - start;
    return stopped ? WN_OK : finish_text(g);
}

static wn_status check_request(const wn_generation_request *r, size_t *max_tokens, wn_error *err)
{
    size_t capacity = wn_session_capacity(r->session);
    if (r->n_ids == 0)
        return wn_error_set(err, WN_INVALID, "the prompt is empty");
    if (r->n_ids > capacity)
        return wn_error_set(err, WN_LIMIT, "the prompt has %zu tokens, the session room for %zu",
                            r->n_ids, capacity);
    WN_TRY(wn_stop_strings_check(r->stop, r->n_stop, err));
    *max_tokens = r->max_tokens ? r->max_tokens : DEFAULT_MAX_TOKENS;
    size_t room = capacity - r->n_ids + 1; /* the last token need not be appended */
    if (*max_tokens > room)
        *max_tokens = room;
    return WN_OK;
}

static wn_status run(generation *g, size_t max_tokens, wn_generation_result *out)
{
    const wn_generation_request *r = g->r;
    size_t n_vocab = wn_tokenizer_n_vocab(r->tokenizer);
    WN_TRY(wn_sampler_open(&g->sampler, &r->sampler, n_vocab, g->err));
    for (size_t i = 0; i < r->n_ids; i++)
        wn_sampler_accept(g->sampler, r->ids[i]);
    double start = wn_clock_ms();
    out->prompt_tokens = r->n_ids;
    wn_turn_take(r->turn, NULL);
    wn_status status = prefill(g);
    wn_turn_give(r->turn);
    out->cached_tokens = g->cached;
    out->prefill_ms = wn_clock_ms() - start;
    if (status != WN_OK)
        return status;
    wn_turn_join(r->turn);
    status = decode(g, max_tokens, out);
    wn_turn_leave(r->turn);
    return status;
}

wn_status wn_generate(const wn_generation_request *request, wn_generation_result *out,
                      wn_error *err)
{
    size_t max_tokens = 0;
    wn_error local = {0}; /* a cancelled run is no error of the caller's */
    generation g = {
        .r = request, .scan = {.stop = request->stop, .n_stop = request->n_stop}, .err = &local};
    *out = (wn_generation_result){0};
    WN_TRY(check_request(request, &max_tokens, err));
    wn_status status = run(&g, max_tokens, out);
    wn_sampler_close(g.sampler);
    if (status == WN_CANCELLED) {
        wn_strbuf_truncate(&g.text, g.sent);
        out->finish_reason = "cancelled";
        status = WN_OK;
    }
    if (status == WN_OK) {
        out->len = g.text.len;
        wn_strbuf_adds(&g.text, "");
        out->text = wn_strbuf_detach(&g.text);
        if (!out->text)
            status = wn_error_set(&local, WN_NO_MEMORY, "no memory for the answer's text");
    }
    wn_strbuf_free(&g.text);
    if (status != WN_OK) {
        *out = (wn_generation_result){0};
        (void)wn_error_set(err, status, "%s", local.text);
    }
    return status;
}
