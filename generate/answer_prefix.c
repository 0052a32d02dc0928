#include "generate/answer_prefix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "generate/kv_store.h"

#define NAME_LEN 24    /* of a document's id */
#define MAX_BLANKS 16u /* bytes that lie between passages that adjoin */

/* The next source goes on where this one ends: nobody's prompt ends here. */
static bool goes_on(const wn_source *s, const wn_source *next)
{
    return next->document_id == s->document_id && next->start >= s->start + s->len &&
           next->start - (s->start + s->len) <= MAX_BLANKS;
}

wn_status wn_answer_prefix_ends(const wn_source *sources, size_t n_sources,
                                const wn_prompt_tokens *tokens, wn_prefix_end **ends, size_t *n,
                                char **names, wn_error *err)
{
    *n = 0;
    *ends = wn_alloc(n_sources + 1, sizeof **ends);
    *names = wn_alloc(n_sources, NAME_LEN);
    if (!*ends || !*names) {
        free(*ends);
        free(*names);
        *ends = NULL;
        *names = NULL;
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix of %zu passages", n_sources);
    }
    for (size_t i = 0; i < n_sources; i++) {
        if (i + 1 < n_sources && goes_on(&sources[i], &sources[i + 1]))
            continue;
        char *name = *names + i * NAME_LEN;
        snprintf(name, NAME_LEN, "%" PRId64, sources[i].document_id);
        (*ends)[(*n)++] = (wn_prefix_end){.n = tokens->ends[i], .document = name};
    }
    if (*n && tokens->n_words && tokens->n_words <= WN_KV_BACK) {
        (*ends)[*n] = (wn_prefix_end){.n = (*ends)[*n - 1].n + tokens->n_words};
        ++*n;
    }
    return WN_OK;
}

typedef struct reading {
    const wn_answer_request *r;
    const wn_answer_events *events;
    size_t n_prompt;
    wn_prefix_source source; /* of what is cached, as far as foreseen */
    wn_answer_prefix *out;
    bool told;
} reading;

static wn_status tell(reading *g, size_t n_cached, wn_prefix_source source)
{
    const wn_session *s = g->r->session;
    if (g->told)
        return WN_OK;
    g->told = true;
    g->out->cached_tokens = n_cached;
    g->out->new_tokens = g->n_prompt - n_cached;
    g->out->source = n_cached ? source : WN_PREFIX_NONE;
    g->out->dense_bytes = n_cached ? wn_session_dense_bytes(s) : 0;
    g->out->held_bytes = n_cached ? wn_session_kv_bytes(s) : 0;
    return g->events && g->events->on_prefix ? g->events->on_prefix(g->events->ctx, g->out) : WN_OK;
}

/* The first call comes when the session holds what was cached, and nothing else yet. */
static wn_status on_progress(void *ctx, uint64_t done, uint64_t total)
{
    reading *g = ctx;
    const bool first = !g->told;
    WN_TRY(tell(g, (size_t)done, g->source));
    if (g->events && g->events->on_prefill)
        WN_TRY(g->events->on_prefill(g->events->ctx, (size_t)done, g->n_prompt));
    if (!first && done < total)
        wn_turn_pass(g->r->turn);
    return WN_OK;
}

/* Keeps what the session has read of the prompt. */
static size_t keep_common(wn_session *s, const wn_prompt_tokens *tokens)
{
    const int32_t *held = wn_session_ids(s);
    size_t limit = wn_session_n_read(s), n = 0;
    if (limit > tokens->n - 1) /* the last token's logits are needed */
        limit = tokens->n - 1;
    while (n < limit && held[n] == tokens->ids[n])
        n++;
    return wn_session_truncate(s, n);
}

static wn_status read_through_cache(reading *g, const wn_prompt_tokens *tokens, wn_error *err)
{
    const wn_answer_request *r = g->r;
    wn_prefix_end *ends = NULL;
    char *names = NULL;
    wn_prefix_hit hit = {0};
    size_t n_ends = 0;
    WN_TRY(wn_answer_prefix_ends(r->sources, r->n_sources, tokens, &ends, &n_ends, &names, err));
    const wn_prefix_request request = {.corpus = r->corpus,
                                       .key = r->prefix_key,
                                       .key_len = r->prefix_key_len,
                                       .session = r->session,
                                       .ids = tokens->ids,
                                       .ends = ends,
                                       .n_ends = n_ends,
                                       .keep = r->keep,
                                       .progress = on_progress,
                                       .progress_ctx = g};
    wn_status status = wn_prefix_cache_peek(r->prefixes, &request, &hit, err);
    g->source = hit.source;
    if (status == WN_OK)
        status = wn_prefix_cache_read(r->prefixes, &request, &hit, err);
    free(ends);
    free(names);
    WN_TRY(status);
    WN_TRY(tell(g, hit.n_cached, hit.source));
    g->out->cached_tokens = hit.n_cached;
    g->out->new_tokens = g->n_prompt - hit.n_cached;
    g->out->source = hit.source;
    g->out->kept_tokens = hit.kept ? hit.n_new : 0;
    g->out->load_ms = hit.load_ms;
    g->out->read_ms = hit.read_ms;
    return WN_OK;
}

static wn_status read_prefix(const wn_answer_request *r, const wn_prompt_tokens *tokens,
                             const wn_answer_events *events, wn_answer_prefix *out, wn_error *err)
{
    reading g = {.r = r, .events = events, .n_prompt = tokens->n, .out = out};
    const size_t n_held = keep_common(r->session, tokens);
    *out = (wn_answer_prefix){0};
    const bool enough = r->n_sources == 0 || n_held >= tokens->ends[r->n_sources - 1];
    if (r->prefixes && !enough)
        return read_through_cache(&g, tokens, err);
    return tell(&g, n_held, WN_PREFIX_SESSION);
}

wn_status wn_answer_prefix_read(const wn_answer_request *r, const wn_prompt_tokens *tokens,
                                const wn_answer_events *events, wn_answer_prefix *out,
                                wn_error *err)
{
    wn_turn_take(r->turn, r->prefixes ? r->corpus : NULL);
    wn_status status = read_prefix(r, tokens, events, out, err);
    wn_turn_give(r->turn);
    return status;
}
