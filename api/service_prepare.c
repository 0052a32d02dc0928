/* A corpus' prefix is read before anybody asks. */
#include <stdlib.h>
#include <string.h>

#include "api/document_hits.h"
#include "api/service_prefix.h"
#include "generate/answer_prefix.h"

wn_status wn_prefix_use_of(wn_service *s, wn_corpus *corpus, const char *name, wn_prefix_use *out,
                           wn_error *err)
{
    wn_corpus_stats stats = {0};
    WN_TRY(wn_corpus_stats_read(corpus, &stats, err));
    *out =
        (wn_prefix_use){.cache = s->prefixes.cache, .corpus = name, .generation = stats.generation};
    if (out->cache && wn_service_corpus_changed(s, corpus, stats.generation))
        wn_service_prefix_drop_gone(s, corpus, name);
    return out->cache ? wn_service_prefix_key(s, corpus, name, out->key, err) : WN_OK;
}

wn_status wn_prefix_use_settle(wn_service *s, wn_corpus *corpus, const wn_prefix_use *use,
                               const wn_search_result *hits, wn_error *err)
{
    wn_corpus_stats stats = {0};
    if (!use->cache)
        return WN_OK;
    if (wn_service_corpus_is_gone(s, corpus))
        return wn_service_prefix_drop(s, use->corpus, 0, NULL, err);
    WN_TRY(wn_corpus_stats_read(corpus, &stats, err));
    if (stats.generation == use->generation)
        return WN_OK;
    for (size_t i = 0, next = 0; i < hits->n; i = next) {
        const int64_t id = hits->hits[i].document_id;
        for (next = i + 1; next < hits->n && hits->hits[next].document_id == id;)
            next++;
        if (!wn_document_hits_stand(corpus, &hits->hits[i], next - i))
            WN_TRY(wn_service_prefix_drop(s, use->corpus, id, NULL, err));
    }
    return WN_OK;
}

typedef wn_status (*cache_fn)(wn_prefix_cache *c, const wn_prefix_request *r, wn_prefix_hit *out,
                              wn_error *err);

/* To the first end behind max_new tokens that are not there yet. */
static wn_status shorten(wn_prefix_cache *c, wn_prefix_request *r, size_t max_new, wn_error *err)
{
    wn_prefix_hit hit = {0};
    size_t n = 1;
    WN_TRY(wn_prefix_cache_peek(c, r, &hit, err));
    while (n < r->n_ends && r->ends[n - 1].n < hit.n_cached + max_new)
        n++;
    r->n_ends = n < r->n_ends && !r->ends[n].document ? n + 1 : n; /* words go with the text */
    return WN_OK;
}

/* Peeks or reads; r has what is special to that. */
static wn_status with_request(cache_fn run, size_t max_new, const wn_prefix_use *use,
                              const wn_search_result *hits, const wn_prompt_tokens *prompt,
                              wn_prefix_request *r, wn_prefix_hit *out, wn_error *err)
{
    wn_source *sources = NULL;
    wn_prefix_end *ends = NULL;
    char *names = NULL;
    WN_TRY(wn_ask_sources(hits, &sources, err));
    wn_status status =
        wn_answer_prefix_ends(sources, hits->n, prompt, &ends, &r->n_ends, &names, err);
    r->corpus = use->corpus;
    r->key = use->key;
    r->key_len = strlen(use->key);
    r->ids = prompt->ids;
    r->ends = ends;
    if (status == WN_OK && max_new)
        status = shorten(use->cache, r, max_new, err);
    if (status == WN_OK)
        status = run(use->cache, r, out, err);
    free(names);
    free(ends);
    free(sources);
    return status;
}

wn_status wn_prefix_use_peek(const wn_prefix_use *use, wn_session *session,
                             const wn_search_result *hits, const wn_prompt_tokens *prompt,
                             size_t *n_held, wn_error *err)
{
    wn_prefix_hit hit = {0};
    wn_prefix_request r = {.session = session};
    *n_held = 0;
    if (!use->cache || hits->n == 0)
        return WN_OK;
    WN_TRY(with_request(wn_prefix_cache_peek, 0, use, hits, prompt, &r, &hit, err));
    *n_held = hit.n_cached;
    return WN_OK;
}

/* The caller's progress, and between two chunks others have their turn. */
typedef struct preparing {
    wn_progress_fn progress; /* may be NULL */
    void *progress_ctx;
    wn_turn *turn;
} preparing;

static wn_status on_progress(void *ctx, uint64_t done, uint64_t total)
{
    const preparing *p = ctx;
    if (p->progress)
        WN_TRY(p->progress(p->progress_ctx, done, total));
    if (done < total)
        wn_turn_pass(p->turn);
    return WN_OK;
}

/* Reads in a session of its own for as long as that takes; *held is that session's. */
static wn_status read_prompt(wn_service *s, preparing *p, size_t max_new, const wn_prefix_use *use,
                             const wn_search_result *hits, const wn_prompt_tokens *prompt,
                             wn_prefix_hit *hit, wn_prefix_prepared *held, wn_error *err)
{
    service_slot *slot = wn_service_slot_take(s, prompt->ids, prompt->n);
    wn_prefix_request r = {.session = slot->session,
                           .keep = WN_PREFIX_ON_DISK,
                           .progress = on_progress,
                           .progress_ctx = p};
    p->turn = &slot->turn;
    wn_turn_take(p->turn, use->corpus);
    wn_status status = with_request(wn_prefix_cache_read, max_new, use, hits, prompt, &r, hit, err);
    held->dense_bytes = wn_session_dense_bytes(slot->session);
    held->held_bytes = wn_session_kv_bytes(slot->session);
    wn_turn_give(p->turn);
    wn_service_slot_give(s, slot);
    return status;
}

static wn_status prepare(wn_service *s, wn_corpus *corpus, preparing *p, const char *name,
                         size_t max_new, wn_prefix_prepared *out, wn_error *err)
{
    wn_search_result hits = {0};
    wn_ask_reading reading = {0};
    wn_prefix_use use;
    wn_prefix_hit hit = {0};
    const wn_reading_limits limits = {.model = s->model,
                                      .capacity = wn_session_capacity(s->slots.items[0].session),
                                      .question = ""};
    WN_TRY(wn_prefix_use_of(s, corpus, name, &use, err));
    if (!use.cache)
        return wn_error_set(err, WN_INVALID,
                            "no prefixes are kept here: prefix-memory and prefix-disk say how "
                            "many bytes they may take");
    wn_status status = wn_ask_read_corpus(&limits, corpus, NULL, &hits, &reading, NULL, err);
    if (status == WN_OK && hits.n == 0)
        status = wn_error_set(err, WN_NOT_FOUND, "corpus \"%s\" has no text yet", name);
    if (status == WN_OK)
        status = read_prompt(s, p, max_new, &use, &hits, &reading.prompt, &hit, out, err);
    if (status == WN_OK)
        status = wn_prefix_use_settle(s, corpus, &use, &hits, err);
    if (status == WN_OK) {
        *out = (wn_prefix_prepared){.dense_bytes = out->dense_bytes,
                                    .held_bytes = out->held_bytes,
                                    .n_documents = reading.n_documents,
                                    .n_all_tokens = reading.prompt.ends[hits.n - 1],
                                    .n_tokens = hit.n_cached + hit.n_new,
                                    .cached_tokens = hit.n_cached,
                                    .source = hit.source,
                                    .load_ms = hit.load_ms,
                                    .read_ms = hit.read_ms,
                                    .kept = hit.kept};
        wn_service_prefixes_save_soon(s);
    }
    wn_ask_reading_free(&reading);
    wn_search_result_free(&hits);
    return status;
}

wn_status wn_service_prefix_prepare(wn_service *s, const char *name, size_t max_new,
                                    wn_progress_fn progress, void *progress_ctx,
                                    wn_prefix_prepared *out, wn_error *err)
{
    wn_corpus *corpus = NULL;
    preparing p = {.progress = progress, .progress_ctx = progress_ctx};
    *out = (wn_prefix_prepared){0};
    wn_service_tend(s);
    WN_TRY(wn_service_corpus(s, name, WN_CORPUS_READ, &corpus, err));
    wn_status status = wn_service_slots_open(s, err);
    if (status == WN_OK)
        status = prepare(s, corpus, &p, name, max_new, out, err);
    wn_service_corpus_release(s, corpus);
    return status;
}
