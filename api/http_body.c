/* A request's body: collected within its limits, parsed, and handed to the route. */
#include <string.h>

#include "api/http_server_internal.h"
#include "base/clock.h"
#include "base/json.h"

#define MIN_RATE 16384 /* bytes a second that a body has to keep up with, after body_ms */

static void refuse_rest(wn_http_request *r, int status, const char *code, const char *text)
{
    wn_strbuf_free(&r->call.body);
    wn_http_fail(&r->call, status, code, NULL, "%s", text);
    r->discard = true;
    r->call.reply.close = r->linger = true;
}

bool wn_http_body_add(wn_http_request *r, const char *data, size_t len)
{
    wn_http_server *s = r->server;
    r->received += len;
    int64_t allowed_ms = s->options.body_ms + (int64_t)(r->received * 1000 / MIN_RATE);
    wn_http_connection_expect(r->call.connection, WN_PHASE_BODY,
                              r->started_ns + allowed_ms * 1000000);
    if (r->discard)
        return r->received <= (uint64_t)r->body_limit + (1u << 20);
    if (r->received > r->body_limit) {
        refuse_rest(r, 413, "body_too_large", "The body is larger than is allowed here.");
        return true;
    }
    if (r->received > r->reserved) { /* chunked: the size was not known before */
        size_t held = atomic_fetch_add(&s->body_bytes, len) + len;
        r->reserved += len;
        if (held > s->options.max_body_bytes_all) {
            refuse_rest(r, 503, "busy", "Too many large bodies at once.");
            return true;
        }
    }
    wn_strbuf_add(&r->call.body, data, len);
    if (wn_strbuf_failed(&r->call.body))
        refuse_rest(r, 503, "no_memory", "Out of memory.");
    return true;
}

static bool parse_json(wn_http_call *call)
{
    wn_error err = {0};
    if (wn_json_parse(&call->json, wn_strbuf_cstr(&call->body), call->body.len, "body", &err) !=
        WN_OK) {
        wn_http_fail(call, 400, "invalid_json", NULL, "%s", err.text);
        return false;
    }
    wn_strbuf_free(&call->body);
    if (!json_is_object(call->json)) {
        wn_http_fail(call, 400, "invalid_json", NULL, "The body must be a JSON object.");
        return false;
    }
    return true;
}

void wn_http_body_done(wn_http_request *r)
{
    wn_http_call *call = &r->call;
    if (call->reply.status != 0)
        return;
    wn_http_connection_expect(call->connection, WN_PHASE_WORK, 0);
    if (call->route->body == WN_BODY_JSON && !parse_json(call))
        return;
    call->route->handler(call);
    if (call->reply.status == 0)
        wn_http_fail(call, 500, "internal_error", NULL, "The route gave no reply.");
}
