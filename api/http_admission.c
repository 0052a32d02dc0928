/* The first look at a request: framing, host, key, route, size, in this order, each failing closed.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http_server_internal.h"
#include "base/checked.h"
#include "base/clock.h"

#define DISCARD_BYTES                                                                              \
    (1u << 20) /* a refused body up to this size is read, so that the reply arrives */

typedef struct field_list {
    wn_http_field fields[WN_HTTP_MAX_FIELDS];
    size_t n;
    bool too_many;
} field_list;

static enum MHD_Result collect(void *ctx, enum MHD_ValueKind kind, const char *name,
                               size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    field_list *list = ctx;
    if (list->n == WN_HTTP_MAX_FIELDS) {
        list->too_many = true;
        return MHD_NO;
    }
    list->fields[list->n++] = (wn_http_field){
        .name = name, .name_len = name_len, .value = value ? value : "", .value_len = value_len};
    return MHD_YES;
}

static size_t head_bytes_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

/* Refusals of framing say nothing about keys or routes, and end the connection. */
static bool framing_ok(wn_http_request *r, struct MHD_Connection *connection, const char *method,
                       const char *version)
{
    field_list list = {.n = 0};
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, collect, &list);
    wn_http_head head = {.method = method,
                         .target = r->target,
                         .target_at = r->target_at,
                         .version = version,
                         .fields = list.fields,
                         .n_fields = list.n,
                         .too_many_fields = list.too_many};
    const char *why = NULL;
    size_t head_bytes = head_bytes_of(connection);
    int code = wn_http_guard(&head, &r->framing, &why);
    if (code == 0 && r->server->check_layout && !wn_http_head_is_contiguous(&head, head_bytes)) {
        code = 400;
        why = "header lines must end in CRLF and may not be folded";
    }
    if (code == 0 && head_bytes > WN_HTTP_MAX_HEAD_BYTES) {
        code = 431;
        why = "the request header is larger than 16 KiB";
    }
    if (code == 0)
        return true;
    wn_http_fail(&r->call, code, "malformed_request", NULL, "Malformed request: %s.", why);
    r->call.reply.close = r->linger = true;
    return false;
}

static bool origin_ok(wn_http_request *r)
{
    const wn_http_framing *f = &r->framing;
    if (!r->server->local_only)
        return true;
    if (!wn_http_host_is_local(f->host)) {
        wn_http_fail(&r->call, 403, "host_not_allowed", NULL,
                     "The Host header must name this machine (localhost or a loopback address).");
        return false;
    }
    if (f->origin && !wn_http_origin_is_same(f->origin, f->host)) {
        wn_http_fail(&r->call, 403, "origin_not_allowed", NULL,
                     "Pages of other origins may not use this server.");
        return false;
    }
    return true;
}

static bool take_params(wn_http_call *call, const wn_route_match *m)
{
    for (size_t i = 0; i < WN_ROUTE_MAX_PARAMS && m->params[i]; i++) {
        call->params[i] = wn_strndup(m->params[i], m->param_lens[i]);
        if (!call->params[i]) {
            wn_http_fail(call, 503, "no_memory", NULL, "Out of memory.");
            return false;
        }
    }
    return true;
}

static bool route_ok(wn_http_request *r, const char *method, const char *path)
{
    wn_http_call *call = &r->call;
    wn_route_match m;
    wn_route_find(method, path, &m);
    bool open = m.route && m.route->scope == WN_SCOPE_NONE;
    call->principal = wn_http_auth_check(call->context->auth, r->framing.authorization);
    if (!open && !call->principal) {
        wn_http_fail(call, 401, "invalid_api_key", NULL,
                     "A valid API key is needed: Authorization: Bearer <key>.");
        return false;
    }
    if (!m.route && m.allow[0]) {
        wn_http_fail(call, 405, "method_not_allowed", NULL, "%s is not allowed here; %s is.",
                     method, m.allow);
        memcpy(call->reply.allow, m.allow, sizeof call->reply.allow);
        return false;
    }
    if (!m.route) {
        wn_http_fail(call, 404, "unknown_url", NULL, "There is nothing at this address.");
        return false;
    }
    call->route = m.route;
    if (!wn_http_may(call->principal, m.route->scope)) {
        wn_http_fail(call, 403, "insufficient_permissions", NULL,
                     "This key may not do that: %s needs a wider scope.", m.route->id);
        return false;
    }
    return take_params(call, &m);
}

/* Loading and draining servers answer only the routes that are always there. */
static bool open_for_work(wn_http_call *call)
{
    if (call->route->always)
        return true;
    if (atomic_load(&call->context->draining)) {
        wn_http_fail(call, 503, "shutting_down", NULL, "The server is shutting down.");
        return false;
    }
    if (!atomic_load(&call->context->ready)) {
        wn_http_fail(call, 503, "loading", NULL, "The models are still loading.");
        return false;
    }
    return true;
}

static bool has_type(const char *content_type, const char *type)
{
    size_t len = strlen(type);
    return strncasecmp(content_type, type, len) == 0 && strchr("; \t", content_type[len]) != NULL;
}

/* `curl -d` says that it sends a form: taken for JSON too, since the Origin check stops real forms.
 */
static bool is_json(const char *content_type)
{
    return !content_type || has_type(content_type, "application/json") ||
           has_type(content_type, "application/x-www-form-urlencoded");
}

static bool body_ok(wn_http_request *r)
{
    const wn_http_options *o = &r->server->options;
    const wn_http_framing *f = &r->framing;
    wn_http_call *call = &r->call;
    wn_body_kind kind = call->route->body;
    r->body_limit = kind == WN_BODY_JSON ? o->max_json_bytes
                    : kind == WN_BODY_UPLOAD
                        ? o->max_upload_bytes + (64u << 10) /* multipart's own */
                        : 0;
    if (kind == WN_BODY_JSON && !is_json(f->content_type)) {
        wn_http_fail(call, 415, "unsupported_media_type", NULL,
                     "The body must be JSON: Content-Type: application/json.");
        return false;
    }
    if (f->length > r->body_limit) {
        wn_http_fail(call, 413, "body_too_large", NULL, "The body may have %zu bytes here.",
                     r->body_limit);
        return false;
    }
    size_t held = atomic_fetch_add(&r->server->body_bytes, (size_t)f->length) + (size_t)f->length;
    r->reserved = (size_t)f->length;
    if (held > o->max_body_bytes_all) {
        wn_http_fail(call, 503, "busy", NULL, "Too many large bodies at once.");
        return false;
    }
    return true;
}

static enum MHD_Result collect_query(void *ctx, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    (void)kind;
    wn_http_call *call = ctx;
    if (call->n_query == WN_HTTP_MAX_QUERY)
        return MHD_NO;
    wn_http_pair *p = &call->query[call->n_query++];
    p->name = wn_strdup(name);
    p->value = wn_strdup(value ? value : "");
    return p->name && p->value ? MHD_YES : MHD_NO;
}

void wn_http_admit(wn_http_request *r, struct MHD_Connection *connection, const char *method,
                   const char *path, const char *version)
{
    wn_http_call *call = &r->call;
    r->started_ns = wn_clock_ns();
    if (!framing_ok(r, connection, method, version))
        return;
    /* Chunks end where the library's forgiving parser says; nothing is read after them. */
    call->reply.close = r->framing.chunked || atomic_load(&call->context->draining);
    call->content_type = r->framing.content_type;
    if (origin_ok(r) && route_ok(r, method, path) && open_for_work(call) && body_ok(r)) {
        MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, collect_query, call);
        return;
    }
    const wn_http_framing *f = &r->framing;
    r->discard = f->has_body && !f->expects_continue && f->length <= DISCARD_BYTES;
    r->body_limit = DISCARD_BYTES;
    if (f->has_body && !r->discard)
        call->reply.close = r->linger = true;
}
