/* From a question to an answer: search, what the model is shown (service_reading.c), the answer. */
#include <stdlib.h>
#include <string.h>

#include "api/service_reading.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/fs.h"
#include "generate/generation.h"

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

/* The answer, in a session of its own for as long as that takes. */
static wn_status run_answer(wn_service *s, wn_answer_request *request, const wn_ask *ask,
                            const wn_answer_events *events, wn_ask_result *out, wn_error *err)
{
    const wn_prompt_tokens *prompt = &out->reading.prompt;
    service_slot *slot = wn_service_slot_take(s, prompt->ids, prompt->n);
    request->session = slot->session;
    request->turn = &slot->turn;
    request->embed = wn_service_slot_embed;
    request->embed_ctx = slot;
    wn_status status = wn_answer_run(request, events, &out->answer, err);
    if (status == WN_OK && out->answer.prompt_tokens > 0) {
        wn_turn_take(&slot->turn, NULL);
        status = wn_kv_report_make(
            slot->session, ask->explain ? wn_model_tokenizer(request->model) : NULL, &out->kv, err);
        wn_turn_give(&slot->turn);
    }
    wn_service_slot_give(s, slot);
    if (out->answer.prefix.source == WN_PREFIX_SESSION && out->answer.prefix.load_ms == 0 &&
        out->answer.prefix.read_ms == 0)
        atomic_fetch_add(&s->prefixes.session_hits, 1);
    return status;
}

static wn_status answer(wn_service *s, wn_corpus *corpus, const wn_ask *ask,
                        const wn_ask_events *events, wn_ask_result *out, wn_error *err)
{
    const wn_model *model = NULL;
    wn_source *sources = NULL;
    const char *name = NULL;
    size_t dim = 0;
    bool nothing = false;
    WN_TRY(wn_service_slots_open(s, err));
    WN_TRY(wn_service_generator(s, &model, err));
    WN_TRY(wn_service_embedder_info(s, &name, &dim, err));
    const wn_reading_limits limits = {.model = model,
                                      .capacity = wn_session_capacity(s->slots.items[0].session),
                                      .question = ask->question,
                                      .history = ask->history,
                                      .n_history = ask->n_history,
                                      .max_tokens = ask->max_tokens};
    wn_prefix_use use;
    WN_TRY(wn_prefix_use_of(s, corpus, ask->corpus, &use, err));
    WN_TRY(wn_service_read_sources(&(wn_service_reading){.service = s,
                                                         .corpus = corpus,
                                                         .session = s->slots.items[0].session,
                                                         .ask = ask,
                                                         .limits = &limits,
                                                         .use = &use},
                                   out, &nothing, err));
    if (events && events->on_retrieval)
        WN_TRY(events->on_retrieval(events->ctx, &out->retrieval, &out->reading));
    WN_TRY(wn_ask_sources(&out->retrieval, &sources, err));
    const bool whole = out->reading.mode != WN_ASK_PASSAGES; /* passages seldom recur for long */
    wn_answer_request request = {.prefixes = use.cache,
                                 .corpus = use.corpus,
                                 .prefix_key = use.key,
                                 .prefix_key_len = strlen(use.key),
                                 .keep = whole ? WN_PREFIX_ON_DISK : WN_PREFIX_IN_MEMORY,
                                 .prompt = out->reading.prompt.n ? &out->reading.prompt : NULL,
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
                                 .dim = dim,
                                 .nothing_found = nothing};
    wn_status status = run_answer(s, &request, ask, events ? &events->answer : NULL, out, err);
    wn_error settle_err = {0};
    wn_status settled = wn_prefix_use_settle(s, corpus, &use, &out->retrieval, &settle_err);
    if (status == WN_OK && settled != WN_OK)
        status = wn_error_set(err, settled, "%s", settle_err.text);
    if (whole)
        wn_service_prefixes_save_soon(s);
    free(sources);
    return status;
}

wn_status wn_service_ask(wn_service *s, const wn_ask *ask, const wn_ask_events *events,
                         wn_ask_result *out, wn_error *err)
{
    *out = (wn_ask_result){0};
    wn_corpus *corpus = NULL;
    wn_service_tend(s);
    WN_TRY(wn_service_corpus(s, ask->corpus, WN_CORPUS_READ, &corpus, err));
    wn_status status = answer(s, corpus, ask, events, out, err);
    wn_service_corpus_release(s, corpus);
    if (status != WN_OK)
        wn_ask_result_free(out);
    return status;
}

void wn_ask_result_free(wn_ask_result *r)
{
    wn_search_result_free(&r->retrieval);
    wn_ask_reading_free(&r->reading);
    wn_answer_free(&r->answer);
    wn_kv_report_free(&r->kv);
    *r = (wn_ask_result){0};
}

wn_status wn_service_generate(wn_service *s, const wn_generation *g, const wn_answer_events *events,
                              wn_answer *out, wn_error *err)
{
    *out = (wn_answer){0};
    const wn_model *model = NULL;
    wn_service_tend(s);
    WN_TRY(wn_service_slots_open(s, err));
    WN_TRY(wn_service_generator(s, &model, err));
    int32_t *ids = NULL;
    size_t n = 0;
    WN_TRY(wn_chat_encode(wn_model_tokenizer(model), wn_model_chat_family(model), g->messages,
                          g->n_messages, true, &ids, &n, err));
    service_slot *slot = wn_service_slot_take(s, ids, n);
    wn_generation_request request = {.session = slot->session,
                                     .turn = &slot->turn,
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
    wn_service_slot_give(s, slot);
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
