/* /v1/corpora/{id}/documents */
#include <stdlib.h>
#include <string.h>

#include "api/http_fields.h"
#include "api/http_multipart.h"
#include "api/prefix_jobs.h"
#include "api/route_handlers.h"
#include "api/route_view.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/utf8.h"

#define MAX_PARTS 16

static void no_document(wn_http_call *call)
{
    wn_http_fail(call, 404, "document_not_found", NULL, "There is no document '%.40s' here.",
                 call->params[1]);
}

static void reply_status(wn_http_call *call, wn_status status, const wn_error *err)
{
    if (status == WN_NOT_FOUND)
        no_document(call);
    else
        wn_http_fail_status(call, status, err);
}

void wn_route_document_get(wn_http_call *call)
{
    int64_t id = 0;
    wn_corpus *c = NULL;
    wn_error err = {0};
    wn_document_record record = {0};
    if (!wn_route_open_corpus(call, call->params[0], WN_CORPUS_READ, &c))
        return;
    wn_status status = wn_view_parse_document_id(call->params[1], &id)
                           ? wn_corpus_document(c, id, false, &record, &err)
                           : WN_NOT_FOUND;
    if (status == WN_OK)
        wn_http_reply_json(call, 200, wn_view_document(&record.doc));
    else
        reply_status(call, status, &err);
    wn_document_record_free(&record);
    wn_service_corpus_release(call->context->service, c);
}

/* What the model read of the document is forgotten, in every tier. */
static wn_status drop_prefixes(wn_http_call *call, int64_t id, wn_error *err)
{
    WN_TRY(wn_service_prefix_drop(call->context->service, call->params[0], id, NULL, err));
    wn_prefix_jobs_tend(call->context);
    return WN_OK;
}

void wn_route_document_delete(wn_http_call *call)
{
    int64_t id = 0;
    wn_corpus *c = NULL;
    wn_error err = {0};
    if (!wn_route_open_corpus(call, call->params[0], WN_CORPUS_WRITE, &c))
        return;
    wn_status status = wn_view_parse_document_id(call->params[1], &id)
                           ? wn_corpus_delete_document(c, id, &err)
                           : WN_NOT_FOUND;
    if (status == WN_OK)
        status = drop_prefixes(call, id, &err);
    if (status == WN_OK)
        wn_http_reply_json(call, 200,
                           json_pack("{s:s,s:s,s:b}", "id", call->params[1], "object",
                                     "document.deleted", "deleted", 1));
    else
        reply_status(call, status, &err);
    wn_service_corpus_release(call->context->service, c);
}

/* Listing ------------------------------------------------------------------------------------- */

typedef struct listing {
    json_t *data;
    size_t limit;
    bool more;
} listing;

static wn_status add_document(void *ctx, const wn_document *doc, wn_error *err)
{
    listing *l = ctx;
    if (json_array_size(l->data) == l->limit)
        l->more = true;
    else if (json_array_append_new(l->data, wn_view_document(doc)) != 0)
        return wn_error_set(err, WN_NO_MEMORY, "documents: out of memory");
    return WN_OK;
}

void wn_route_document_list(wn_http_call *call)
{
    wn_http_paging p;
    int64_t after = 0;
    wn_corpus *c = NULL;
    wn_error err = {0};
    if (!wn_http_paging_read(call, true, &p))
        return;
    if (p.after && !wn_view_parse_document_id(p.after, &after)) {
        wn_http_fail(call, 400, "invalid_value", "after", "'after' must be the id of a document.");
        return;
    }
    if (!wn_route_open_corpus(call, call->params[0], WN_CORPUS_READ, &c))
        return;
    listing l = {.data = json_array(), .limit = p.limit};
    wn_status status = wn_corpus_list(c, after, p.limit + 1, p.descending, add_document, &l, &err);
    if (status == WN_OK)
        wn_http_reply_json(call, 200, wn_http_list_json(json_incref(l.data), l.more));
    else
        wn_http_fail_status(call, status, &err);
    json_decref(l.data);
    wn_service_corpus_release(call->context->service, c);
}

/* Upload -------------------------------------------------------------------------------------- */

typedef struct upload {
    char filename[256]; /* base name only */
    const char *data;
    size_t len;
    char *attributes; /* JSON text or NULL; owned */
    bool prepare;     /* the corpus' prefix, then */
} upload;

/* The last component of what the client called the file, if that can be a name. */
static bool take_filename(wn_http_call *call, const char *name, upload *u)
{
    const char *base = name;
    for (const char *p = name; *p; p++)
        if (*p == '/' || *p == '\\')
            base = p + 1;
    size_t len = strlen(base);
    bool good = len > 0 && len < sizeof u->filename && wn_utf8_valid(base, len) &&
                strcmp(base, ".") != 0 && strcmp(base, "..") != 0;
    for (size_t i = 0; good && i < len; i++)
        good = (unsigned char)base[i] >= 0x20 && base[i] != 0x7f;
    if (good)
        memcpy(u->filename, base, len + 1);
    else
        wn_http_fail(call, 400, "invalid_filename", "filename",
                     "The upload needs a file name of 1 to 255 bytes, without control characters.");
    return good;
}

static bool take_attributes(wn_http_call *call, const wn_multipart_part *part, upload *u)
{
    json_t *o = json_loadb(part->data, part->len, JSON_REJECT_DUPLICATES, NULL);
    bool good = json_is_object(o) && json_object_size(o) <= 16;
    const char *key;
    json_t *value;
    json_object_foreach(o, key, value)
    {
        good = good && (json_is_string(value) || json_is_number(value) || json_is_boolean(value));
    }
    if (good) {
        free(u->attributes);
        u->attributes = json_dumps(o, JSON_COMPACT);
    } else {
        wn_http_fail(call, 400, "invalid_value", "attributes",
                     "'attributes' must be a JSON object of up to 16 strings, numbers and "
                     "booleans.");
    }
    json_decref(o);
    return good;
}

static bool take_multipart(wn_http_call *call, upload *u)
{
    wn_multipart_part parts[MAX_PARTS];
    size_t n = 0;
    wn_error err = {0};
    if (wn_multipart_parse(call->content_type, wn_strbuf_cstr(&call->body), call->body.len, parts,
                           MAX_PARTS, &n, &err) != WN_OK) {
        wn_http_fail(call, 400, "invalid_multipart", NULL, "%s", err.text);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(parts[i].name, "file") == 0 && !u->data) {
            u->data = parts[i].data;
            u->len = parts[i].len;
            if (!take_filename(call, parts[i].filename, u))
                return false;
        } else if (strcmp(parts[i].name, "attributes") == 0) {
            if (!take_attributes(call, &parts[i], u))
                return false;
        }
    }
    if (!u->data)
        wn_http_fail(call, 400, "missing_required_parameter", "file",
                     "The form has no field 'file'.");
    return u->data != NULL;
}

static bool take_upload(wn_http_call *call, upload *u)
{
    if (wn_multipart_is(call->content_type))
        return take_multipart(call, u);
    const char *name = wn_http_query(call, "filename");
    u->data = wn_strbuf_cstr(&call->body);
    u->len = call->body.len;
    return take_filename(call, name ? name : "", u);
}

static json_t *view_outcome(wn_corpus *c, wn_ingest_outcome outcome, int64_t id, wn_error *err)
{
    static const char *const names[] = {"added",     "replaced", "unchanged",
                                        "duplicate", "skipped",  "failed"};
    wn_document_record record = {0};
    if (wn_corpus_document(c, id, false, &record, err) != WN_OK)
        return NULL;
    json_t *o = wn_view_document(&record.doc);
    json_object_set_new(o, "outcome", json_string(names[outcome]));
    wn_document_record_free(&record);
    return o;
}

static void ingest(wn_http_call *call, wn_corpus *c, const upload *u)
{
    wn_error err = {0};
    wn_ingest_outcome outcome = WN_INGEST_FAILED;
    int64_t id = 0;
    wn_ingest_options o = {.attributes = u->attributes,
                           .overlap_tokens = SIZE_MAX,
                           .cancel = wn_http_connection_gone_flag(call->connection)};
    wn_status status = wn_service_ingest_options(call->context->service, c, &o, &err);
    if (status == WN_OK)
        status = wn_ingest_bytes(&o, u->filename, u->data, u->len, &outcome, &id, &err);
    if (status == WN_OK && outcome == WN_INGEST_REPLACED)
        status = drop_prefixes(call, id, &err);
    if (status == WN_OK && u->prepare) {
        wn_prefix_job_view job; /* GET prefix tells how it goes; a full queue is no fault here */
        (void)wn_prefix_jobs_start(call->context->prefix_jobs, call->context, call->params[0],
                                   &job);
    }
    json_t *view = status == WN_OK ? view_outcome(c, outcome, id, &err) : NULL;
    if (status == WN_OK)
        wn_http_reply_json(call, outcome == WN_INGEST_ADDED ? 201 : 200, view);
    else if (status == WN_FORMAT || status == WN_UNSUPPORTED || status == WN_LIMIT)
        wn_http_fail(call, status == WN_UNSUPPORTED ? 415 : 400,
                     status == WN_UNSUPPORTED ? "unsupported_file" : "invalid_file", "file", "%s",
                     err.text);
    else
        wn_http_fail_status(call, status, &err);
}

/* Ingestion is heavy: few at once, some waiting, more are told to come back. */
static void ingest_in_turn(wn_http_call *call, const upload *u)
{
    wn_http_context *x = call->context;
    wn_corpus *c = NULL;
    int64_t deadline = wn_clock_ns() + (int64_t)x->request_ms * 1000000;
    wn_status status =
        wn_http_gate_enter(x->ingest_gate, deadline, wn_http_connection_gone, call->connection);
    if (status != WN_OK) {
        wn_http_fail(call, 503, "busy", NULL, "Too many uploads at once; try again in a moment.");
        return;
    }
    if (wn_route_open_corpus(call, call->params[0], WN_CORPUS_WRITE, &c)) {
        ingest(call, c, u);
        wn_service_corpus_release(x->service, c);
    }
    wn_http_gate_leave(x->ingest_gate);
}

void wn_route_document_upload(wn_http_call *call)
{
    upload u = {0};
    const char *prepare = wn_http_query(call, "prepare");
    u.prepare = prepare && strcmp(prepare, "true") == 0;
    if (prepare && !u.prepare && strcmp(prepare, "false") != 0)
        wn_http_fail(call, 400, "invalid_value", "prepare", "'prepare' must be true or false.");
    else if (take_upload(call, &u))
        ingest_in_turn(call, &u);
    free(u.attributes);
}
