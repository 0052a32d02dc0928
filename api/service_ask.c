/* From a question to an answer: search, passages that fit the session, the answer, places of
 * citations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "base/utf8.h"
#include "generate/generation.h"
#include "generate/prompt.h"

/* When retrieval has found nothing good enough, the documents do not say: the best passage is far
 * in meaning (cosine) and shares fewer than about two rare words with the question (a word that
 * only one of n passages has adds about ln n to BM25). Measured by tests/bench/no_answer: refuses
 * 0.5 % of 211 questions that the corpus answers and 83.5 % of 200 that it does not. */
#define WEAK_COSINE 0.35
#define WEAK_RARE_WORDS 2.0

static wn_status parsers_of(wn_service *s, wn_parse_pool **out, wn_error *err)
{
    pthread_mutex_lock(&s->lock);
    wn_parse_options po = {.pdfium_path = wn_fs_exists(s->pdfium) ? s->pdfium : NULL};
    wn_status status = s->parsers ? WN_OK : wn_parse_pool_open(&s->parsers, &po, err);
    *out = s->parsers;
    pthread_mutex_unlock(&s->lock);
    return status;
}

wn_status wn_service_ingest_options(wn_service *s, wn_corpus *c, wn_ingest_options *o,
                                    wn_error *err)
{
    const char *name = NULL;
    WN_TRY(wn_service_embedder_info(s, &name, &o->dim, err));
    WN_TRY(parsers_of(s, &o->parsers, err));
    o->corpus = c;
    o->embed = wn_service_embed;
    o->embed_ctx = s;
    o->count_tokens = wn_service_count_tokens;
    o->count_ctx = s;
    return WN_OK;
}

wn_status wn_service_search(wn_service *s, wn_corpus *c, const char *question, size_t len,
                            const wn_search_options *options, wn_search_result *out, wn_error *err)
{
    wn_embedder *e = NULL;
    float *query = NULL;
    size_t dim = 0;
    double start = wn_clock_ms();
    pthread_mutex_lock(&s->embed_lock);
    wn_status status = wn_service_embedder_locked(s, &e, err);
    if (status == WN_OK) {
        dim = wn_embedder_dim(e);
        query = wn_alloc(dim, sizeof *query);
        status = query ? wn_embedder_embed(e, WN_EMBED_QUERY, &question, &len, 1, query, err)
                       : wn_error_set(err, WN_NO_MEMORY, "search: out of memory");
    }
    pthread_mutex_unlock(&s->embed_lock);
    double embed_ms = wn_clock_ms() - start;
    if (status == WN_OK)
        status = wn_retrieve_embedded(c, query, dim, question, len, options, out, err);
    if (status == WN_OK)
        out->embed_ms = embed_ms;
    free(query);
    return status;
}

/* A follow-up ("and when was that?") is searched together with the question before it. */
static wn_status search_for(wn_service *s, wn_corpus *c, const wn_ask *ask, wn_search_result *out,
                            wn_error *err)
{
    wn_strbuf query = {0};
    if (ask->n_history > 0) {
        wn_strbuf_adds(&query, ask->history[ask->n_history - 1].question);
        wn_strbuf_addc(&query, ' ');
    }
    wn_strbuf_adds(&query, ask->question);
    wn_status status =
        wn_strbuf_failed(&query)
            ? wn_error_set(err, WN_NO_MEMORY, "ask: out of memory")
            : wn_service_search(s, c, wn_strbuf_cstr(&query), query.len, &ask->search, out, err);
    wn_strbuf_free(&query);
    return status;
}

static bool nothing_good_enough(const wn_search_result *r, size_t n_passages)
{
    double best_text = 0;
    for (size_t i = 0; i < r->n; i++)
        if (r->hits[i].text_rank > 0 && r->hits[i].text_score > best_text)
            best_text = r->hits[i].text_score;
    if (r->n == 0)
        return true;
    return !isnan(r->best_cosine) && r->best_cosine < WEAK_COSINE &&
           best_text < WEAK_RARE_WORDS * log((double)n_passages + 1);
}

static int by_document(const void *a, const void *b)
{
    const wn_hit *x = a, *y = b;
    if (x->document_id != y->document_id)
        return x->document_id < y->document_id ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

static void free_hit_tail(wn_search_result *r, size_t keep)
{
    wn_search_result tail = {.n = r->n - keep};
    tail.hits = wn_alloc(tail.n, sizeof *tail.hits);
    if (!tail.hits)
        return; /* they stay, unused; freed with the result */
    memcpy(tail.hits, r->hits + keep, tail.n * sizeof *tail.hits);
    r->n = keep;
    wn_search_result_free(&tail);
}

static wn_status make_sources(const wn_search_result *r, wn_source **out, wn_error *err)
{
    wn_source *sources = wn_alloc(r->n, sizeof *sources);
    if (!sources)
        return wn_error_set(err, WN_NO_MEMORY, "ask: out of memory");
    for (size_t i = 0; i < r->n; i++) {
        const wn_hit *h = &r->hits[i];
        sources[i] = (wn_source){.document_id = h->document_id,
                                 .text = h->text,
                                 .len = h->text_len,
                                 .start = h->start,
                                 .title = *h->title ? h->title : h->filename,
                                 .headings = h->headings,
                                 .page_start = h->page_start,
                                 .page_end = h->page_end};
    }
    *out = sources;
    return WN_OK;
}

/* How many of the best hits fit beside the answer in a session of `capacity` tokens. */
static wn_status count_fitting(const wn_search_result *r, const wn_model *model, size_t capacity,
                               const wn_ask *ask, size_t *keep, wn_error *err)
{
    wn_source *sources = NULL;
    WN_TRY(make_sources(r, &sources, err));
    size_t answer = ask->max_tokens ? ask->max_tokens : 512, needed = 0;
    wn_status status = WN_OK;
    for (*keep = 0; status == WN_OK && *keep < r->n; ++*keep) {
        wn_prompt prompt = {.sources = sources,
                            .n_sources = *keep + 1,
                            .question = ask->question,
                            .history = ask->history,
                            .n_history = ask->n_history};
        status = wn_prompt_count_tokens(&prompt, wn_model_tokenizer(model),
                                        wn_model_chat_family(model), &needed, err);
        if (status == WN_OK && needed + answer > capacity)
            break;
    }
    free(sources);
    if (status == WN_OK && *keep == 0 && r->n > 0)
        status = wn_error_set(err, WN_LIMIT,
                              "the question, the best passage and the history (%zu tokens) and an "
                              "answer of %zu do not fit into a context of %zu tokens",
                              needed, answer, capacity);
    return status;
}

/* Keeps what fits, in document order. */
static wn_status fit_hits(wn_search_result *r, const wn_model *model, size_t capacity,
                          const wn_ask *ask, wn_error *err)
{
    size_t keep = 0;
    WN_TRY(count_fitting(r, model, capacity, ask, &keep, err));
    if (keep < r->n)
        free_hit_tail(r, keep);
    qsort(r->hits, r->n, sizeof *r->hits, by_document);
    return WN_OK;
}

static wn_status answer(wn_service *s, wn_corpus *corpus, const wn_ask *ask,
                        const wn_ask_events *events, wn_ask_result *out, wn_error *err)
{
    wn_session *session = NULL;
    const wn_model *model = NULL;
    wn_source *sources = NULL;
    const char *name = NULL;
    size_t dim = 0;
    WN_TRY(wn_service_session(s, &session, err));
    WN_TRY(wn_service_generator(s, &model, err));
    WN_TRY(wn_service_embedder_info(s, &name, &dim, err));
    wn_corpus_stats stats = {0};
    WN_TRY(wn_corpus_stats_read(corpus, &stats, err));
    bool nothing = nothing_good_enough(&out->retrieval, stats.n_passages);
    WN_TRY(fit_hits(&out->retrieval, model, wn_session_capacity(session), ask, err));
    if (events && events->on_retrieval)
        WN_TRY(events->on_retrieval(events->ctx, &out->retrieval));
    WN_TRY(make_sources(&out->retrieval, &sources, err));
    wn_answer_request request = {.session = session,
                                 .model = model,
                                 .question = ask->question,
                                 .sources = sources,
                                 .n_sources = out->retrieval.n,
                                 .history = ask->history,
                                 .n_history = ask->n_history,
                                 .sampler = ask->sampler,
                                 .max_tokens = ask->max_tokens,
                                 .stop = ask->stop,
                                 .n_stop = ask->n_stop,
                                 .embed = wn_service_embed,
                                 .embed_ctx = s,
                                 .dim = dim,
                                 .nothing_found = nothing};
    wn_status status = wn_answer_run(&request, events ? &events->answer : NULL, &out->answer, err);
    if (status == WN_OK && out->answer.prompt_tokens > 0)
        status = wn_kv_report_make(session, ask->explain ? wn_model_tokenizer(model) : NULL,
                                   &out->kv, err);
    free(sources);
    return status;
}

wn_status wn_service_ask(wn_service *s, const wn_ask *ask, const wn_ask_events *events,
                         wn_ask_result *out, wn_error *err)
{
    *out = (wn_ask_result){0};
    wn_corpus *corpus = NULL;
    WN_TRY(wn_service_corpus(s, ask->corpus, WN_CORPUS_READ, &corpus, err));
    double start = wn_clock_ms();
    wn_status status = search_for(s, corpus, ask, &out->retrieval, err);
    out->retrieval_ms = wn_clock_ms() - start;
    if (status == WN_OK)
        status = answer(s, corpus, ask, events, out, err);
    wn_service_corpus_release(s, corpus);
    if (status != WN_OK)
        wn_ask_result_free(out);
    return status;
}

void wn_ask_result_free(wn_ask_result *r)
{
    wn_search_result_free(&r->retrieval);
    wn_answer_free(&r->answer);
    wn_kv_report_free(&r->kv);
    *r = (wn_ask_result){0};
}

wn_status wn_service_generate(wn_service *s, const wn_generation *g, const wn_answer_events *events,
                              wn_answer *out, wn_error *err)
{
    *out = (wn_answer){0};
    wn_session *session = NULL;
    const wn_model *model = NULL;
    WN_TRY(wn_service_session(s, &session, err));
    WN_TRY(wn_service_generator(s, &model, err));
    int32_t *ids = NULL;
    size_t n = 0;
    WN_TRY(wn_chat_encode(wn_model_tokenizer(model), wn_model_chat_family(model), g->messages,
                          g->n_messages, true, &ids, &n, err));
    wn_generation_request request = {.session = session,
                                     .tokenizer = wn_model_tokenizer(model),
                                     .ids = ids,
                                     .n_ids = n,
                                     .sampler = g->sampler,
                                     .max_tokens = g->max_tokens,
                                     .stop = g->stop,
                                     .n_stop = g->n_stop};
    if (events) {
        request.ctx = events->ctx;
        request.on_prefill = events->on_prefill;
        request.on_text = events->on_text;
    }
    wn_generation_result result = {0};
    wn_status status = wn_generate(&request, &result, err);
    free(ids);
    WN_TRY(status);
    *out = (wn_answer){.text = result.text,
                       .len = result.len,
                       .finish_reason = result.finish_reason,
                       .prompt_tokens = result.prompt_tokens,
                       .cached_tokens = result.cached_tokens,
                       .completion_tokens = result.completion_tokens,
                       .prefill_ms = result.prefill_ms,
                       .decode_ms = result.decode_ms,
                       .first_token_ms = result.first_token_ms};
    return WN_OK;
}

/* Places of citations ----------------------------------------------------------------------------
 */

typedef struct first_block {
    bool found;
    int page_start, page_end;
    char *headings;
} first_block;

static wn_status take_block(void *ctx, const wn_block *block, wn_error *err)
{
    first_block *f = ctx;
    if (!f->found) {
        f->found = true;
        f->page_start = block->page;
        f->headings = wn_strdup(block->headings);
        if (!f->headings)
            return wn_error_set(err, WN_NO_MEMORY, "citation: out of memory");
    }
    f->page_end = block->page;
    return WN_OK;
}

wn_status wn_service_citation_place(wn_service *s, wn_corpus *c, const wn_ask_result *r,
                                    const wn_citation *citation, wn_citation_place *out,
                                    wn_error *err)
{
    (void)s;
    const wn_hit *hit = &r->retrieval.hits[citation->source];
    *out = (wn_citation_place){.document_id = hit->document_id};
    wn_document_record record = {0};
    WN_TRY(wn_corpus_document(c, hit->document_id, true, &record, err));
    first_block block = {0};
    wn_status status = WN_OK;
    size_t cited_len = strlen(citation->cited_text);
    /* The document may have been replaced since the search: a quote that no longer stands there is
     * not shown. */
    if (citation->end > record.text_len || citation->end - citation->start != cited_len ||
        memcmp(record.text + citation->start, citation->cited_text, cited_len) != 0)
        WN_TRY_OUT(wn_error_set(err, WN_CONFLICT, "%s changed while the answer was written",
                                record.doc.filename));
    WN_TRY_OUT(wn_corpus_blocks(c, hit->document_id, citation->start, citation->end, take_block,
                                &block, err));
    out->start_char = wn_utf8_count(record.text, citation->start);
    out->end_char = out->start_char + wn_utf8_count(citation->cited_text, cited_len);
    out->page_start = block.page_start;
    out->page_end = block.page_end;
    out->headings = block.headings ? block.headings : wn_strdup("");
    block.headings = NULL;
    out->filename = wn_strdup(record.doc.filename);
    out->path = wn_strdup(record.doc.path);
    out->title = wn_strdup(record.doc.title);
    if (!out->headings || !out->filename || !out->path || !out->title)
        status = wn_error_set(err, WN_NO_MEMORY, "citation: out of memory");
out:
    free(block.headings);
    wn_document_record_free(&record);
    if (status != WN_OK)
        wn_citation_place_free(out);
    return status;
}

void wn_citation_place_free(wn_citation_place *p)
{
    free(p->filename);
    free(p->path);
    free(p->title);
    free(p->headings);
    *p = (wn_citation_place){0};
}
