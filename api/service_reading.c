#include "api/service_reading.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/strbuf.h"

/* When retrieval has found nothing good enough, the documents do not say: the best passage is far
 * in meaning (cosine) and shares fewer than about two rare words with the question (a word that
 * only one of n passages has adds about ln n to BM25). Measured by tests/bench/no_answer: refuses
 * 0.5 % of 211 questions that the corpus answers and 83.5 % of 200 that it does not. */
#define WEAK_COSINE 0.35
#define WEAK_RARE_WORDS 2.0

#define PASSAGE_TOKENS 250 /* about, with title and headings */

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

static wn_status search(const wn_service_reading *g, wn_ask_result *out, wn_search_result *found,
                        bool *nothing, wn_error *err)
{
    wn_corpus_stats stats = {0};
    const double start = wn_clock_ms();
    WN_TRY(search_for(g->service, g->corpus, g->ask, found, err));
    out->retrieval_ms += wn_clock_ms() - start;
    WN_TRY(wn_corpus_stats_read(g->corpus, &stats, err));
    *nothing = nothing_good_enough(found, stats.n_passages);
    return WN_OK;
}

/* Which documents they stand in, whatever the order; not 0. */
static uint64_t documents_of(const wn_search_result *sources)
{
    uint64_t which = 1;
    for (size_t i = 0; i < sources->n; i++) {
        const int64_t id = sources->hits[i].document_id;
        if (i == 0 || id != sources->hits[i - 1].document_id) /* those of a document adjoin */
            which = which * 0x9e3779b97f4a7c15u + (uint64_t)id;
    }
    return which ? which : 1;
}

/* What is held of these sources, and how often they were asked; which: see count_question. */
static wn_status weigh(const wn_service_reading *g, const wn_search_result *sources,
                       const wn_ask_reading *reading, uint64_t which, wn_ask_choice *out,
                       wn_error *err)
{
    wn_corpus_stats stats = {0};
    WN_TRY(wn_corpus_stats_read(g->corpus, &stats, err));
    out->n_asked = wn_service_count_question(g->service, g->corpus, stats.generation, which);
    if (sources->n == 0)
        return WN_OK;
    return wn_prefix_use_peek(g->use, g->session, sources, &reading->prompt, &out->n_held, err);
}

static wn_status read_corpus(const wn_service_reading *g, wn_ask_result *out, size_t *n_tokens,
                             wn_error *err)
{
    const double start = wn_clock_ms();
    out->retrieval.best_cosine = NAN;
    wn_status status = wn_ask_read_corpus(g->limits, g->corpus, g->ask->search.filter,
                                          &out->retrieval, &out->reading, n_tokens, err);
    out->retrieval_ms += wn_clock_ms() - start;
    return status;
}

static void forget_sources(wn_ask_result *out)
{
    wn_search_result_free(&out->retrieval);
    wn_ask_reading_free(&out->reading);
}

/* The corpus, if it fits; facts have it then. */
static wn_status try_corpus(const wn_service_reading *g, wn_ask_result *out, wn_ask_facts *facts,
                            wn_error *err)
{
    wn_error own = {0};
    wn_status status = read_corpus(g, out, &facts->corpus.n_tokens, &own);
    if (status == WN_OK)
        return weigh(g, &out->retrieval, &out->reading, 0, &facts->corpus, err);
    forget_sources(out);
    return status == WN_LIMIT ? WN_OK : wn_error_set(err, status, "%s", own.text);
}

/* The documents found, if all of them fit; facts have them then. */
static wn_status try_documents(const wn_service_reading *g, const wn_search_result *found,
                               wn_ask_result *out, wn_ask_facts *facts, wn_error *err)
{
    wn_error own = {0};
    wn_status status =
        wn_ask_read_documents(g->limits, g->corpus, found, &out->retrieval, &out->reading, &own);
    if (status == WN_OK && out->reading.n_sources > 0 && out->reading.n_left_out == 0) {
        facts->documents.n_tokens = out->reading.prompt.n;
        return weigh(g, &out->retrieval, &out->reading, documents_of(&out->retrieval),
                     &facts->documents, err);
    }
    return status == WN_OK || status == WN_LIMIT ? WN_OK
                                                 : wn_error_set(err, status, "%s", own.text);
}

static wn_status read_passages(const wn_service_reading *g, wn_search_result *found,
                               wn_ask_result *out, wn_error *err)
{
    out->retrieval = *found;
    *found = (wn_search_result){0};
    return wn_ask_read_passages(g->limits, &out->retrieval, &out->reading, err);
}

static wn_status read_auto(const wn_service_reading *g, wn_search_result *found, wn_ask_result *out,
                           bool *nothing, wn_error *err)
{
    wn_ask_facts facts = {.room = wn_reading_room(g->limits),
                          .n_passage_tokens = g->ask->search.top_k * PASSAGE_TOKENS};
    char why[WN_ASK_WHY];
    WN_TRY(try_corpus(g, out, &facts, err));
    const bool fits = facts.corpus.n_tokens && out->reading.prompt.n;
    if (!fits) {
        WN_TRY(search(g, out, found, nothing, err));
        WN_TRY(try_documents(g, found, out, &facts, err));
    }
    if (wn_ask_mode_choose(&facts, why) == WN_ASK_PASSAGES) {
        forget_sources(out);
        if (fits)
            WN_TRY(search(g, out, found, nothing, err));
        WN_TRY(read_passages(g, found, out, err));
    }
    memcpy(out->reading.why, why, sizeof why);
    return WN_OK;
}

wn_status wn_service_read_sources(const wn_service_reading *g, wn_ask_result *out, bool *nothing,
                                  wn_error *err)
{
    wn_search_result found = {0};
    wn_status status = WN_OK;
    *nothing = false;
    switch (g->ask->mode) {
    case WN_ASK_CORPUS:
        return read_corpus(g, out, NULL, err);
    case WN_ASK_AUTO:
        status = read_auto(g, &found, out, nothing, err);
        break;
    case WN_ASK_DOCUMENTS:
        status = search(g, out, &found, nothing, err);
        if (status == WN_OK)
            status = wn_ask_read_documents(g->limits, g->corpus, &found, &out->retrieval,
                                           &out->reading, err);
        break;
    case WN_ASK_PASSAGES:
        status = search(g, out, &found, nothing, err);
        if (status == WN_OK)
            status = read_passages(g, &found, out, err);
    }
    wn_search_result_free(&found);
    return status;
}
