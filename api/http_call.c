#include "api/http_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"

#define RETRY_AFTER_S 5

const char *wn_http_query(const wn_http_call *call, const char *name)
{
    for (size_t i = 0; i < call->n_query; i++)
        if (strcmp(call->query[i].name, name) == 0)
            return call->query[i].value;
    return NULL;
}

static int append_json(const char *buffer, size_t size, void *body)
{
    wn_strbuf_add(body, buffer, size);
    return wn_strbuf_failed(body) ? -1 : 0;
}

void wn_http_reply_json(wn_http_call *call, int status, json_t *body)
{
    static const char no_memory[] = "{\"error\":{\"message\":\"out of memory\",\"type\":"
                                    "\"server_error\",\"param\":null,\"code\":\"no_memory\"}}";
    wn_http_reply *r = &call->reply;
    wn_strbuf_clear(&r->body);
    r->status = status;
    r->content_type = "application/json";
    if (!body || json_dump_callback(body, append_json, &r->body,
                                    JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0) {
        r->status = 503;
        r->retry_after_s = RETRY_AFTER_S;
        r->page = no_memory;
        r->page_len = sizeof no_memory - 1;
    }
    json_decref(body);
}

void wn_http_reply_page(wn_http_call *call, const char *content_type, const void *data, size_t len)
{
    call->reply.status = 200;
    call->reply.content_type = content_type;
    call->reply.page = data;
    call->reply.page_len = len;
}

void wn_http_reply_stream(wn_http_call *call, wn_sse_stream *stream)
{
    call->reply.status = 200;
    call->reply.content_type = "text/event-stream; charset=utf-8";
    call->reply.stream = stream;
}

static const char *type_of(int status)
{
    if (status == 429)
        return "rate_limit_error";
    if (status == 401)
        return "authentication_error";
    if (status == 403)
        return "permission_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

json_t *wn_http_error_json(int status, const char *code, const char *param, const char *message)
{
    return json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "message", message, "type",
                     type_of(status), "param", param, "code", code);
}

void wn_http_fail(wn_http_call *call, int status, const char *code, const char *param,
                  const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* A value that the message quotes may have been cut inside a character. */
    size_t len = strlen(text);
    while (len > 0 && !wn_utf8_valid(text, len))
        len = wn_utf8_floor(text, len - 1);
    text[len] = '\0';
    wn_http_reply_json(call, status, wn_http_error_json(status, code, param, text));
    if (status == 429 || status == 503)
        call->reply.retry_after_s = RETRY_AFTER_S;
}

/* status of the library -> status of HTTP, code */
static const struct {
    wn_status from;
    int to;
    const char *code;
} translation[] = {{WN_INVALID, 400, "invalid_value"},
                   {WN_NOT_FOUND, 404, "not_found"},
                   {WN_CONFLICT, 409, "conflict"},
                   {WN_FORMAT, 400, "invalid_file"},
                   {WN_UNSUPPORTED, 415, "unsupported_file"},
                   {WN_NO_SPACE, 507, "no_space"},
                   {WN_NO_MEMORY, 503, "no_memory"},
                   {WN_LIMIT, 400, "limit_exceeded"},
                   {WN_BUSY, 503, "busy"},
                   {WN_CANCELLED, 503, "cancelled"},
                   {WN_DEADLINE, 504, "deadline_passed"},
                   {WN_DENIED, 403, "not_permitted"},
                   {WN_UNAVAILABLE, 503, "not_available"},
                   {WN_DEVICE, 503, "device_error"}};

int wn_http_status_of(wn_status status, const char **code)
{
    for (size_t i = 0; i < sizeof translation / sizeof translation[0]; i++) {
        if (translation[i].from == status) {
            *code = translation[i].code;
            return translation[i].to;
        }
    }
    *code = "internal_error";
    return 500;
}

const char *wn_http_public_text(wn_status status, const wn_error *err)
{
    const char *code;
    int http = wn_http_status_of(status, &code);
    bool ours = http >= 500 && status != WN_UNAVAILABLE && status != WN_BUSY;
    if (!ours && err && err->text[0])
        return err->text;
    return wn_status_text(status);
}

void wn_http_fail_status(wn_http_call *call, wn_status status, const wn_error *err)
{
    const char *code;
    int http = wn_http_status_of(status, &code);
    if (http >= 500 && status != WN_CANCELLED) /* a client that left is no fault */
        wn_log(WN_LOG_ERROR, "api", "%s %s: %s", call->route ? call->route->method : "?",
               call->route ? call->route->path : "?", err ? err->text : wn_status_name(status));
    wn_http_fail(call, http, code, NULL, "%s", wn_http_public_text(status, err));
}

void wn_http_call_clear(wn_http_call *call)
{
    for (size_t i = 0; i < WN_ROUTE_MAX_PARAMS; i++)
        free(call->params[i]);
    for (size_t i = 0; i < call->n_query; i++) {
        free(call->query[i].name);
        free(call->query[i].value);
    }
    wn_strbuf_free(&call->body);
    wn_strbuf_free(&call->reply.body);
    json_decref(call->json);
    wn_sse_release(call->reply.stream);
    memset(call, 0, sizeof *call);
}
