#include "api/route_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_view.h"
#include "base/utf8.h"

const char *wn_view_document_id(int64_t id, char out[WN_DOCUMENT_ID_LEN])
{
    snprintf(out, WN_DOCUMENT_ID_LEN, "doc_%" PRId64, id);
    return out;
}

bool wn_view_parse_document_id(const char *text, int64_t *out)
{
    int64_t value = 0;
    if (strncmp(text, "doc_", 4) != 0 || strlen(text) > 4 + 18)
        return false;
    for (const char *p = text + 4; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        value = value * 10 + (*p - '0');
    }
    *out = value;
    return value > 0 && text[4] != '0';
}

json_t *wn_view_corpus(const char *name, const wn_corpus_stats *stats, const char *description)
{
    json_t *o = wn_json_of_stats(name, stats);
    json_object_set_new(o, "id", json_string(name));
    json_object_set_new(o, "object", json_string("corpus"));
    json_object_set_new(o, "description", description ? json_string(description) : json_null());
    return o;
}

json_t *wn_view_document(const wn_document *d)
{
    char id[WN_DOCUMENT_ID_LEN];
    json_t *attributes = json_loads(d->attributes, 0, NULL);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:i,s:I,s:I,s:s,s:o}", "id",
                     wn_view_document_id(d->id, id), "object", "document", "filename", d->filename,
                     "title", d->title, "media_type", d->media_type, "bytes",
                     (json_int_t)d->source_bytes, "pages", d->n_pages, "passages",
                     (json_int_t)d->n_passages, "created_at", (json_int_t)d->created_at, "checksum",
                     d->checksum, "attributes", attributes ? attributes : json_object());
}

/* The command line's view, without what only a local user may know, and with ids as strings. */
static void make_public(json_t *o)
{
    char id[WN_DOCUMENT_ID_LEN];
    int64_t number = json_integer_value(json_object_get(o, "document_id"));
    json_object_set_new(o, "file_id", json_string(wn_view_document_id(number, id)));
    json_object_del(o, "document_id");
    json_object_del(o, "path");
}

json_t *wn_view_hits(const wn_search_result *r)
{
    json_t *hits = wn_json_of_hits(r);
    size_t i;
    json_t *hit;
    json_array_foreach(hits, i, hit)
    {
        make_public(hit);
    }
    return hits;
}

json_t *wn_view_shown(const wn_search_result *r, const wn_ask_reading *reading)
{
    json_t *hits = wn_view_hits(r);
    size_t i;
    json_t *hit;
    json_array_foreach(hits, i, hit)
    {
        if (reading->mode != WN_ASK_PASSAGES)
            json_object_del(hit, "text");
    }
    return hits;
}

json_t *wn_view_reading(const wn_ask_reading *r)
{
    json_t *o = wn_json_of_reading(r);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(o, "left_out"), i, row)
    {
        make_public(row);
    }
    return o;
}

static json_int_t characters(const char *text, size_t len, size_t end)
{
    return (json_int_t)wn_utf8_count(text, end < len ? end : len);
}

json_t *wn_view_citation(const wn_citation *c, const wn_citation_place *place, const char *answer,
                         size_t answer_len)
{
    json_t *o = wn_json_of_citation(c, place);
    make_public(o);
    json_object_set_new(o, "answer_start",
                        json_integer(characters(answer, answer_len, c->answer_start)));
    json_object_set_new(o, "answer_end",
                        json_integer(characters(answer, answer_len, c->answer_end)));
    return o;
}

json_t *wn_view_usage(const wn_answer *a)
{
    return json_pack("{s:I,s:I,s:I,s:{s:I,s:I}}", "prompt_tokens", (json_int_t)a->prompt_tokens,
                     "completion_tokens", (json_int_t)a->completion_tokens, "total_tokens",
                     (json_int_t)(a->prompt_tokens + a->completion_tokens), "prompt_tokens_details",
                     "cached_tokens", (json_int_t)a->cached_tokens, "cache_write_tokens",
                     (json_int_t)a->prefix.kept_tokens);
}

json_t *wn_view_timings(const wn_answer *a, double queue_ms, double retrieval_ms)
{
    return json_pack("{s:f,s:f,s:f,s:f,s:f}", "queue_ms", queue_ms, "retrieval_ms", retrieval_ms,
                     "prefill_ms", a->prefill_ms, "first_token_ms", a->first_token_ms, "decode_ms",
                     a->decode_ms);
}

void wn_route_no_corpus(wn_http_call *call, const char *name)
{
    wn_http_fail(call, 404, "corpus_not_found", NULL, "There is no corpus '%.64s'.", name);
}

bool wn_route_open_corpus(wn_http_call *call, const char *name, unsigned mode, wn_corpus **out)
{
    wn_error err = {0};
    wn_status status = wn_http_may_see(call->principal, name) ? WN_OK : WN_NOT_FOUND;
    if (status == WN_OK)
        status = wn_service_corpus(call->context->service, name, mode, out, &err);
    if (status == WN_NOT_FOUND)
        wn_route_no_corpus(call, name);
    else if (status != WN_OK)
        wn_http_fail_status(call, status, &err);
    return status == WN_OK;
}

bool wn_route_filter(wn_http_call *call, wn_metadata_filter **out)
{
    wn_error err = {0};
    const json_t *filters = json_object_get(call->json, "filters");
    if (!filters || json_is_null(filters))
        return true;
    wn_status status = wn_metadata_filter_parse(out, filters, &err);
    if (status == WN_NO_MEMORY)
        wn_http_fail_status(call, status, &err);
    else if (status != WN_OK)
        wn_http_fail(call, 400, "invalid_value", "filters", "%s", err.text);
    return status == WN_OK;
}
