#include "retrieve/retriever.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/json.h"
#include "retrieve/hit_list.h"

enum { MAX_TOP_K = 100, MIN_CANDIDATES = 100, MAX_CANDIDATES = 10000 };

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "search: out of memory");
}

/* Options -------------------------------------------------------------------------------------- */

static wn_status read_fusion(const json_t *json, wn_fusion *f, wn_error *err)
{
    const char *method = NULL;
    wn_fusion set = *f;
    if (!json_is_object(json))
        return wn_error_set(err, WN_INVALID, "the corpus's setting \"fusion\" is no JSON object");
    WN_TRY(wn_json_get_str(json, "method", &method, err));
    if (method)
        WN_TRY(wn_fusion_parse(method, &set.method, err));
    WN_TRY(wn_json_get_num(json, "text_weight", 0, 1e6, &set.text_weight, err));
    WN_TRY(wn_json_get_num(json, "vector_weight", 0, 1e6, &set.vector_weight, err));
    WN_TRY(wn_json_get_num(json, "rrf_k", 0, 1e6, &set.rrf_k, err));
    *f = set;
    return WN_OK;
}

static wn_status corpus_fusion(wn_corpus *corpus, wn_fusion *f, wn_error *err)
{
    char *text = NULL;
    json_t *json = NULL;
    WN_TRY(wn_corpus_setting(corpus, "fusion", &text, err));
    if (!text)
        return WN_OK;
    wn_status status = wn_json_parse(&json, text, strlen(text), "setting \"fusion\"", err);
    if (status == WN_OK)
        status = read_fusion(json, f, err);
    json_decref(json);
    free(text);
    return status;
}

static wn_status check_options(const wn_search_options *o, wn_error *err)
{
    if (o->top_k < 1 || o->top_k > MAX_TOP_K)
        return wn_error_set(err, WN_INVALID, "search: top_k %zu; 1 to %d are possible", o->top_k,
                            MAX_TOP_K);
    if (o->n_candidates > MAX_CANDIDATES)
        return wn_error_set(err, WN_INVALID, "search: %zu candidates; up to %d are possible",
                            o->n_candidates, MAX_CANDIDATES);
    if (!(o->score_threshold >= 0 && o->score_threshold <= 1))
        return wn_error_set(err, WN_INVALID, "search: score threshold %g; 0 to 1 are possible",
                            o->score_threshold);
    return WN_OK;
}

static size_t candidates(const wn_search_options *o)
{
    size_t n = o->n_candidates > 0 ? o->n_candidates : 4 * o->top_k;
    return o->n_candidates == 0 && n < MIN_CANDIDATES ? MIN_CANDIDATES : n;
}

/* Filter --------------------------------------------------------------------------------------- */

/* The documents that a metadata filter lets through, ids rising. */
typedef struct allowed_list {
    const wn_metadata_filter *filter;
    int64_t *ids;
    size_t n, cap;
} allowed_list;

static wn_status add_if_allowed(void *ctx, const wn_document *doc, wn_error *err)
{
    allowed_list *a = ctx;
    if (!wn_metadata_filter_match(a->filter, doc->attributes))
        return WN_OK;
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 256;
        int64_t *ids = wn_realloc(a->ids, cap, sizeof *ids);
        if (!ids)
            return no_memory(err);
        a->ids = ids;
        a->cap = cap;
    }
    a->ids[a->n++] = doc->id;
    return WN_OK;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool is_allowed(void *ctx, int64_t document_id)
{
    const allowed_list *a = ctx;
    return a->n > 0 && bsearch(&document_id, a->ids, a->n, sizeof *a->ids, by_id) != NULL;
}

/* Legs ----------------------------------------------------------------------------------------- */

typedef struct search_legs {
    size_t k;
    wn_index_hit *hits;       /* [k], scratch */
    wn_ranked *text, *vector; /* [k] each */
    size_t n_text, n_vector;
    allowed_list allowed;
} search_legs;

static void legs_free(search_legs *s)
{
    free(s->hits);
    free(s->text);
    free(s->vector);
    free(s->allowed.ids);
}

static void take_hits(const search_legs *s, size_t n, wn_ranked *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (wn_ranked){s->hits[i].passage_id, (double)s->hits[i].score};
}

static wn_status search_legs_run(wn_corpus *corpus, const float *query, size_t dim,
                                 const char *question, size_t len, search_legs *s,
                                 wn_search_result *out, wn_error *err)
{
    wn_document_filter_fn filter = s->allowed.filter ? is_allowed : NULL;
    double t0 = wn_clock_ms();
    WN_TRY(wn_corpus_search_text(corpus, question, len, s->k, filter, &s->allowed, s->hits,
                                 &s->n_text, err));
    take_hits(s, s->n_text, s->text);
    double t1 = wn_clock_ms();
    out->text_ms = t1 - t0;
    if (!query)
        return WN_OK;
    WN_TRY(wn_corpus_search_vector(corpus, query, dim, s->k, filter, &s->allowed, s->hits,
                                   &s->n_vector, err));
    take_hits(s, s->n_vector, s->vector);
    out->vector_ms = wn_clock_ms() - t1;
    if (s->n_vector > 0)
        out->best_cosine = s->vector[0].score;
    return WN_OK;
}

static wn_status fuse_and_fetch(wn_corpus *corpus, const search_legs *s, const wn_fusion *fusion,
                                const wn_search_options *o, wn_search_result *out, wn_error *err)
{
    wn_fused *fused = NULL;
    size_t n = 0, n_good = 0;
    WN_TRY(wn_rank_fuse(fusion, s->text, s->n_text, s->vector, s->n_vector, &fused, &n, err));
    while (n_good < n && fused[n_good].score >= o->score_threshold)
        n_good++;
    wn_status status = wn_hits_fetch(corpus, fused, n_good, o->top_k, &out->hits, &out->n, err);
    free(fused);
    if (status == WN_OK && o->merge_neighbours)
        status = wn_hits_merge(corpus, out->hits, &out->n, err);
    return status;
}

static wn_status retrieve(wn_corpus *corpus, const float *query, size_t dim, const char *question,
                          size_t len, const wn_search_options *o, search_legs *s,
                          wn_search_result *out, wn_error *err)
{
    wn_fusion fusion = o->fusion;
    WN_TRY(check_options(o, err));
    if (o->use_corpus_fusion)
        WN_TRY(corpus_fusion(corpus, &fusion, err));
    s->k = candidates(o);
    s->hits = wn_alloc(s->k, sizeof *s->hits);
    s->text = wn_alloc(s->k, sizeof *s->text);
    s->vector = wn_alloc(s->k, sizeof *s->vector);
    if (!s->hits || !s->text || !s->vector)
        return no_memory(err);
    s->allowed.filter = o->filter;
    if (o->filter)
        WN_TRY(wn_corpus_list(corpus, 0, SIZE_MAX, false, add_if_allowed, &s->allowed, err));
    WN_TRY(search_legs_run(corpus, query, dim, question, len, s, out, err));
    return fuse_and_fetch(corpus, s, &fusion, o, out, err);
}

wn_status wn_retrieve_embedded(wn_corpus *corpus, const float *query, size_t dim,
                               const char *question, size_t len, const wn_search_options *options,
                               wn_search_result *out, wn_error *err)
{
    *out = (wn_search_result){.best_cosine = NAN};
    search_legs legs = {0};
    wn_status status = retrieve(corpus, query, dim, question, len, options, &legs, out, err);
    legs_free(&legs);
    if (status != WN_OK)
        wn_search_result_free(out);
    return status;
}

/* The question's vector, or NULL where the corpus has none to compare it with. */
static wn_status embed_question(wn_corpus *corpus, wn_embedder *embedder, const char *question,
                                size_t len, float **query, wn_error *err)
{
    *query = NULL;
    wn_corpus_stats stats = {0};
    if (!embedder)
        return WN_OK;
    WN_TRY(wn_corpus_stats_read(corpus, &stats, err));
    if (stats.n_vectors == 0)
        return WN_OK;
    *query = wn_alloc(wn_embedder_dim(embedder), sizeof **query);
    if (!*query)
        return no_memory(err);
    return wn_embedder_embed(embedder, WN_EMBED_QUERY, &question, &len, 1, *query, err);
}

wn_status wn_retrieve(wn_corpus *corpus, wn_embedder *embedder, const char *question, size_t len,
                      const wn_search_options *options, wn_search_result *out, wn_error *err)
{
    *out = (wn_search_result){.best_cosine = NAN};
    float *query = NULL;
    double t0 = wn_clock_ms();
    wn_status status = embed_question(corpus, embedder, question, len, &query, err);
    double embed_ms = wn_clock_ms() - t0;
    if (status == WN_OK)
        status = wn_retrieve_embedded(corpus, query, query ? wn_embedder_dim(embedder) : 0,
                                      question, len, options, out, err);
    if (status == WN_OK)
        out->embed_ms = embed_ms;
    free(query);
    return status;
}

void wn_search_result_free(wn_search_result *r)
{
    wn_hits_free(r->hits, r->n);
    *r = (wn_search_result){.best_cosine = NAN};
}
