/* POST /v1/embeddings */
#include <stdlib.h>
#include <string.h>

#include "api/http_fields.h"
#include "api/route_handlers.h"
#include "base/checked.h"
#include "base/clock.h"

#define MAX_INPUTS 2048
#define BATCH 16 /* the embedder is free for others in between */

typedef struct embedding_request {
    const char **texts;
    size_t *lens;
    size_t n, dim;
    bool base64;
    float *vectors; /* [n][dim] */
    size_t tokens;
} embedding_request;

static bool read_inputs(wn_http_call *call, embedding_request *q)
{
    const json_t *input = wn_field(call->json, "input");
    q->n = json_is_array(input) ? json_array_size(input) : 1;
    if (!input || q->n == 0 || q->n > MAX_INPUTS) {
        wn_http_fail(call, 400, input ? "invalid_value" : "missing_required_parameter", "input",
                     "'input' must be a string or an array of 1 to %d strings.", MAX_INPUTS);
        return false;
    }
    q->texts = wn_alloc(q->n, sizeof *q->texts);
    q->lens = wn_alloc(q->n, sizeof *q->lens);
    for (size_t i = 0; q->texts && q->lens && i < q->n; i++) {
        const json_t *one = json_is_array(input) ? json_array_get(input, i) : input;
        q->texts[i] = json_string_value(one);
        q->lens[i] = json_string_length(one);
        if (!q->texts[i] || q->lens[i] == 0) {
            wn_http_fail(call, 400, "invalid_type", "input",
                         "'input' must be a string or an array of strings, none of them empty.");
            return false;
        }
    }
    if (!q->texts || !q->lens)
        wn_http_fail(call, 503, "no_memory", NULL, "Out of memory.");
    return q->texts && q->lens;
}

static bool read_format(wn_http_call *call, embedding_request *q, const char *embedder)
{
    const char *format = "float", *model = NULL;
    int64_t dimensions = (int64_t)q->dim;
    if (!wn_field_required_string(call, call->json, "model", 256, &model) ||
        !wn_field_string(call, call->json, "encoding_format", 16, &format) ||
        !wn_field_int(call, call->json, "dimensions", 1, INT64_MAX, &dimensions))
        return false;
    q->base64 = strcmp(format, "base64") == 0;
    if (strcmp(model, embedder) != 0)
        wn_http_fail(call, 404, "model_not_found", "model",
                     "There is no embedding model '%.80s'; %s is.", model, embedder);
    else if (!q->base64 && strcmp(format, "float") != 0)
        wn_http_fail(call, 400, "invalid_value", "encoding_format",
                     "'encoding_format' must be float or base64.");
    else if (dimensions != (int64_t)q->dim)
        wn_http_fail(call, 400, "unsupported_value", "dimensions",
                     "This model gives %zu dimensions.", q->dim);
    return call->reply.status == 0;
}

static json_t *as_base64(const float *vector, size_t dim)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *bytes = (const uint8_t *)vector; /* little endian, as the clients expect */
    wn_strbuf b = {0};
    for (size_t i = 0, n = dim * sizeof *vector; i < n; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= i + 2 < n ? bytes[i + 2] : 0;
        wn_strbuf_addc(&b, digits[group >> 18]);
        wn_strbuf_addc(&b, digits[group >> 12 & 63]);
        wn_strbuf_addc(&b, i + 1 < n ? digits[group >> 6 & 63] : '=');
        wn_strbuf_addc(&b, i + 2 < n ? digits[group & 63] : '=');
    }
    json_t *text = wn_strbuf_failed(&b) ? NULL : json_string(wn_strbuf_cstr(&b));
    wn_strbuf_free(&b);
    return text;
}

static json_t *as_floats(const float *vector, size_t dim)
{
    json_t *array = json_array();
    for (size_t i = 0; i < dim; i++)
        json_array_append_new(array, json_real((double)vector[i]));
    return array;
}

static wn_status embed_all(wn_http_call *call, embedding_request *q, wn_error *err)
{
    wn_service *s = call->context->service;
    wn_ingest_options counting = {0};
    size_t floats = 0;
    WN_TRY(wn_service_ingest_options(s, NULL, &counting, err));
    if (!wn_size_mul(q->n, q->dim, &floats))
        return wn_error_set(err, WN_LIMIT, "too many inputs");
    q->vectors = wn_alloc(floats, sizeof *q->vectors);
    if (!q->vectors)
        return wn_error_set(err, WN_NO_MEMORY, "embeddings: out of memory");
    for (size_t i = 0; i < q->n; i += BATCH) {
        size_t n = q->n - i < BATCH ? q->n - i : BATCH;
        if (wn_http_connection_gone(call->connection))
            return wn_error_set(err, WN_CANCELLED, "the client is gone");
        WN_TRY(wn_service_embed(s, q->texts + i, q->lens + i, n, q->vectors + i * q->dim, err));
    }
    for (size_t i = 0; i < q->n; i++)
        q->tokens += counting.count_tokens(counting.count_ctx, q->texts[i], q->lens[i]);
    return WN_OK;
}

static void reply(wn_http_call *call, const embedding_request *q, const char *embedder)
{
    json_t *data = json_array();
    for (size_t i = 0; i < q->n; i++) {
        const float *v = q->vectors + i * q->dim;
        json_t *vector = q->base64 ? as_base64(v, q->dim) : as_floats(v, q->dim);
        json_array_append_new(data, json_pack("{s:s,s:I,s:o}", "object", "embedding", "index",
                                              (json_int_t)i, "embedding", vector));
    }
    wn_http_reply_json(call, 200,
                       json_pack("{s:s,s:o,s:s,s:{s:I,s:I}}", "object", "list", "data", data,
                                 "model", embedder, "usage", "prompt_tokens", (json_int_t)q->tokens,
                                 "total_tokens", (json_int_t)q->tokens));
}

static void embed_in_turn(wn_http_call *call, embedding_request *q, const char *embedder)
{
    wn_http_context *x = call->context;
    wn_error err = {0};
    int64_t deadline = wn_clock_ns() + (int64_t)x->request_ms * 1000000;
    if (wn_http_gate_enter(x->search_gate, deadline, wn_http_connection_gone, call->connection) !=
        WN_OK) {
        wn_http_fail(call, 503, "busy", NULL, "Too many requests at once; try again in a moment.");
        return;
    }
    wn_status status = embed_all(call, q, &err);
    wn_http_gate_leave(x->search_gate);
    if (status == WN_OK)
        reply(call, q, embedder);
    else
        wn_http_fail_status(call, status, &err);
}

void wn_route_embeddings(wn_http_call *call)
{
    embedding_request q = {0};
    wn_error err = {0};
    const char *embedder = NULL;
    wn_status status = wn_service_embedder_info(call->context->service, &embedder, &q.dim, &err);
    if (status != WN_OK)
        wn_http_fail_status(call, status, &err);
    else if (read_format(call, &q, embedder) && read_inputs(call, &q))
        embed_in_turn(call, &q, embedder);
    free(q.texts);
    free(q.lens);
    free(q.vectors);
}
