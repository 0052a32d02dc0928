/* POST /v1/corpora/{id}/search */
#include <string.h>

#include "api/http_fields.h"
#include "api/route_handlers.h"
#include "api/route_view.h"
#include "base/clock.h"

#define MAX_RESULTS 50
#define MAX_QUERIES 16

/* A string, or several that are searched as one. */
static bool read_query(wn_http_call *call, wn_strbuf *out)
{
    const json_t *query = wn_field(call->json, "query");
    size_t n = json_is_array(query) ? json_array_size(query) : 1;
    bool good = query && n > 0 && n <= MAX_QUERIES;
    for (size_t i = 0; good && i < n; i++) {
        const json_t *one = json_is_array(query) ? json_array_get(query, i) : query;
        good = json_is_string(one);
        wn_strbuf_adds(out, i ? " " : "");
        wn_strbuf_adds(out, good ? json_string_value(one) : "");
    }
    if (!good) {
        wn_http_fail(call, 400, query ? "invalid_type" : "missing_required_parameter", "query",
                     "'query' must be a string or an array of up to %d strings.", MAX_QUERIES);
    } else if (out->len > WN_MAX_QUESTION) {
        wn_http_fail(call, 400, "string_above_max_length", "query", "'query' may have %u bytes.",
                     WN_MAX_QUESTION);
        good = false;
    } else if (wn_strbuf_cstr(out)[strspn(wn_strbuf_cstr(out), " \t\r\n")] == '\0') {
        wn_http_fail(call, 400, "invalid_value", "query", "'query' is empty.");
        good = false;
    }
    return good;
}

static bool read_ranker(wn_http_call *call, const json_t *ranking, wn_search_options *o)
{
    static const char *const openai[] = {"auto", "default-2024-08-21", "default-2024-11-15",
                                         "none"};
    const char *ranker = NULL;
    if (!wn_field_string(call, ranking, "ranker", 64, &ranker))
        return false;
    for (size_t i = 0; ranker && i < sizeof openai / sizeof openai[0]; i++)
        if (strcmp(ranker, openai[i]) == 0)
            ranker = NULL;
    if (!ranker)
        return true;
    wn_error err = {0};
    if (wn_fusion_parse(ranker, &o->fusion.method, &err) != WN_OK) {
        wn_http_fail(call, 400, "invalid_value", "ranking_options.ranker",
                     "'ranker' must be auto, minmax or rrf.");
        return false;
    }
    o->use_corpus_fusion = false;
    return true;
}

static bool read_weights(wn_http_call *call, const json_t *ranking, wn_search_options *o)
{
    const json_t *hybrid = NULL;
    if (!wn_field_object(call, ranking, "hybrid_search", &hybrid))
        return false;
    if (!hybrid)
        return true;
    if (!wn_field_number(call, hybrid, "embedding_weight", 0, 1e6, &o->fusion.vector_weight) ||
        !wn_field_number(call, hybrid, "text_weight", 0, 1e6, &o->fusion.text_weight))
        return false;
    if (o->fusion.vector_weight + o->fusion.text_weight <= 0) {
        wn_http_fail(call, 400, "invalid_value", "ranking_options.hybrid_search",
                     "One of embedding_weight and text_weight must be above 0.");
        return false;
    }
    o->use_corpus_fusion = false;
    return true;
}

static bool read_options(wn_http_call *call, wn_search_options *o)
{
    int64_t n = 10;
    const json_t *ranking = NULL;
    if (!wn_field_int(call, call->json, "max_num_results", 1, MAX_RESULTS, &n) ||
        !wn_field_object(call, call->json, "ranking_options", &ranking))
        return false;
    o->top_k = (size_t)n;
    return !ranking ||
           (read_ranker(call, ranking, o) && read_weights(call, ranking, o) &&
            wn_field_number(call, ranking, "score_threshold", 0, 1, &o->score_threshold));
}

/* A hit in the shape of OpenAI's vector store search, with ours beside. */
static json_t *as_result(json_t *hit)
{
    json_t *text = json_incref(json_object_get(hit, "text"));
    json_object_del(hit, "text");
    json_object_set_new(hit, "content", json_pack("[{s:s,s:o}]", "type", "text", "text", text));
    return hit;
}

static void search(wn_http_call *call, wn_corpus *c, const wn_strbuf *query,
                   const wn_search_options *o)
{
    wn_search_result result = {0};
    wn_error err = {0};
    wn_status status = wn_service_search(call->context->service, c, wn_strbuf_cstr(query),
                                         query->len, o, &result, &err);
    if (status != WN_OK) {
        wn_http_fail_status(call, status, &err);
        return;
    }
    json_t *data = wn_view_hits(&result);
    for (size_t i = 0; i < json_array_size(data); i++)
        as_result(json_array_get(data, i));
    wn_http_reply_json(call, 200,
                       json_pack("{s:s,s:[s],s:o,s:b,s:n}", "object",
                                 "vector_store.search_results.page", "search_query",
                                 wn_strbuf_cstr(query), "data", data, "has_more", 0, "next_page"));
    wn_search_result_free(&result);
}

static void search_in_turn(wn_http_call *call, const wn_strbuf *query, const wn_search_options *o)
{
    wn_http_context *x = call->context;
    wn_corpus *c = NULL;
    int64_t deadline = wn_clock_ns() + (int64_t)x->request_ms * 1000000;
    if (!wn_route_open_corpus(call, call->params[0], WN_CORPUS_READ, &c))
        return;
    if (wn_http_gate_enter(x->search_gate, deadline, wn_http_connection_gone, call->connection) ==
        WN_OK) {
        search(call, c, query, o);
        wn_http_gate_leave(x->search_gate);
    } else {
        wn_http_fail(call, 503, "busy", NULL, "Too many searches at once; try again in a moment.");
    }
    wn_service_corpus_release(x->service, c);
}

void wn_route_search(wn_http_call *call)
{
    wn_strbuf query = {0};
    wn_metadata_filter *filter = NULL;
    wn_search_options o = WN_SEARCH_DEFAULTS;
    if (read_query(call, &query) && read_options(call, &o) && wn_route_filter(call, &filter)) {
        o.filter = filter;
        o.merge_neighbours = false;
        search_in_turn(call, &query, &o);
    }
    wn_metadata_filter_free(filter);
    wn_strbuf_free(&query);
}
