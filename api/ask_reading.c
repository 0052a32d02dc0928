#include "api/ask_reading.h"

#include <stdlib.h>
#include <string.h>

#include "api/document_hits.h"
#include "base/checked.h"

#define DEFAULT_ANSWER 512     /* tokens */
#define MAX_BYTES_PER_TOKEN 16 /* of a text that could fit at all: it is not worth counting */
#define ABOUT_BYTES_PER_TOKEN 4

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "ask: out of memory");
}

static size_t answer_tokens(const wn_reading_limits *l)
{
    return l->max_tokens ? l->max_tokens : DEFAULT_ANSWER;
}

size_t wn_reading_room(const wn_reading_limits *l)
{
    return l->capacity > answer_tokens(l) ? l->capacity - answer_tokens(l) : 0;
}

wn_status wn_ask_sources(const wn_search_result *r, wn_source **out, wn_error *err)
{
    wn_source *sources = wn_alloc(r->n, sizeof *sources);
    if (!sources)
        return no_memory(err);
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

static wn_status encode(const wn_reading_limits *l, const wn_search_result *r,
                        wn_prompt_tokens *out, wn_error *err)
{
    wn_source *sources = NULL;
    WN_TRY(wn_ask_sources(r, &sources, err));
    const wn_prompt prompt = {.sources = sources,
                              .n_sources = r->n,
                              .question = l->question,
                              .history = l->history,
                              .n_history = l->n_history};
    wn_status status = wn_prompt_encode(&prompt, wn_model_tokenizer(l->model),
                                        wn_model_chat_family(l->model), out, err);
    free(sources);
    return status;
}

static wn_status leave_out(wn_ask_reading *out, const wn_hit *h, size_t n_tokens, wn_error *err)
{
    wn_left_out *grown = wn_realloc(out->left_out, out->n_left_out + 1, sizeof *grown);
    if (!grown)
        return no_memory(err);
    out->left_out = grown;
    grown[out->n_left_out] = (wn_left_out){
        .document_id = h->document_id, .filename = wn_strdup(h->filename), .n_tokens = n_tokens};
    return grown[out->n_left_out++].filename ? WN_OK : no_memory(err);
}

static int in_order(const void *a, const void *b)
{
    const wn_hit *x = a, *y = b;
    if (x->document_id != y->document_id)
        return x->document_id < y->document_id ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* Hits [0, n) stay, in canonical order; the others go. */
static void settle(wn_search_result *r, size_t n, wn_ask_reading *out)
{
    wn_search_result rest = {.n = r->n - n};
    rest.hits = rest.n > 0 ? wn_alloc(rest.n, sizeof *r->hits) : NULL;
    if (rest.hits) { /* without memory they stay, unseen, and cost theirs only */
        memcpy(rest.hits, r->hits + n, rest.n * sizeof *rest.hits);
        wn_search_result_free(&rest);
        r->n = n;
    }
    if (r->n > 1)
        qsort(r->hits, r->n, sizeof *r->hits, in_order);
    out->n_sources = r->n;
    out->n_documents = 0;
    for (size_t i = 0; i < r->n; i++)
        out->n_documents += i == 0 || r->hits[i].document_id != r->hits[i - 1].document_id;
}

static void swap_to(wn_hit *hits, size_t from, size_t to)
{
    const wn_hit h = hits[from];
    memmove(hits + to + 1, hits + to, (from - to) * sizeof *hits);
    hits[to] = h;
}

/* Tokens of the prompt without any source. */
static size_t tokens_around(const wn_prompt_tokens *t, size_t n_sources)
{
    return t->n_fixed + (n_sources ? t->n - t->ends[n_sources - 1] : t->n - t->n_fixed);
}

/* Takes units (a hit, or a document's hits in a row) while they fit, best first. Their numbers in
 * the prompt are lower in the end, never longer: what is counted here is not passed. */
static wn_status pack(const wn_reading_limits *l, bool whole_documents, wn_search_result *r,
                      wn_ask_reading *out, size_t *smallest, wn_error *err)
{
    wn_prompt_tokens t = {0};
    WN_TRY(encode(l, r, &t, err));
    wn_status status = WN_OK;
    const size_t room = wn_reading_room(l);
    size_t used = tokens_around(&t, r->n), n = 0;
    *smallest = SIZE_MAX;
    for (size_t i = 0, next = 0; status == WN_OK && i < r->n; i = next) {
        for (next = i + 1;
             whole_documents && next < r->n && r->hits[next].document_id == r->hits[i].document_id;)
            next++;
        const size_t tokens = t.ends[next - 1] - (i ? t.ends[i - 1] : t.n_fixed);
        if (tokens < *smallest)
            *smallest = tokens;
        if (used + tokens > room) {
            status = leave_out(out, &r->hits[i], tokens, err);
            continue;
        }
        used += tokens;
        out->n_tokens += tokens;
        for (size_t k = i; k < next; k++)
            swap_to(r->hits, k, n++);
    }
    wn_prompt_tokens_free(&t);
    WN_TRY(status);
    settle(r, n, out);
    return r->n ? encode(l, r, &out->prompt, err) : WN_OK;
}

wn_status wn_ask_read_passages(const wn_reading_limits *l, wn_search_result *hits,
                               wn_ask_reading *out, wn_error *err)
{
    const size_t n = hits->n;
    size_t smallest = 0;
    out->mode = WN_ASK_PASSAGES;
    WN_TRY(pack(l, false, hits, out, &smallest, err));
    if (n == 0 || out->n_sources > 0)
        return WN_OK;
    return wn_error_set(err, WN_LIMIT,
                        "no passage (the shortest has %zu tokens) fits beside the question, the "
                        "history and an answer of %zu into a context of %zu tokens",
                        smallest, answer_tokens(l), l->capacity);
}

/* The documents of the hits, best first, whole; those that are far too long are left out. */
static wn_status expand(const wn_reading_limits *l, wn_corpus *corpus, const wn_search_result *hits,
                        wn_search_result *whole, wn_ask_reading *out, wn_error *err)
{
    for (size_t i = 0; i < hits->n; i++) {
        const wn_hit *h = &hits->hits[i];
        bool seen = false;
        for (size_t k = 0; k < i && !seen; k++)
            seen = hits->hits[k].document_id == h->document_id;
        if (seen)
            continue;
        wn_document_record d = {0};
        WN_TRY(wn_corpus_document(corpus, h->document_id, true, &d, err));
        const size_t bytes = d.text_len;
        wn_document_record_free(&d);
        if (bytes > l->capacity * MAX_BYTES_PER_TOKEN)
            WN_TRY(leave_out(out, h, bytes / ABOUT_BYTES_PER_TOKEN, err));
        else
            WN_TRY(wn_document_hits_add(corpus, h->document_id, whole, err));
    }
    return WN_OK;
}

/* What search said of a passage stays with it. */
static void copy_scores(const wn_search_result *from, wn_search_result *to)
{
    for (size_t i = 0; i < from->n; i++) {
        const wn_hit *f = &from->hits[i];
        for (size_t k = 0; k < to->n; k++) {
            wn_hit *h = &to->hits[k];
            if (h->document_id != f->document_id || h->ordinal_first < f->ordinal_first ||
                h->ordinal_first > f->ordinal_last)
                continue;
            h->score = f->score;
            h->text_score = f->text_score;
            h->vector_score = f->vector_score;
            h->text_rank = f->text_rank;
            h->vector_rank = f->vector_rank;
        }
    }
}

wn_status wn_ask_read_documents(const wn_reading_limits *l, wn_corpus *corpus,
                                const wn_search_result *found, wn_search_result *hits,
                                wn_ask_reading *out, wn_error *err)
{
    size_t smallest = SIZE_MAX;
    out->mode = WN_ASK_DOCUMENTS;
    *hits = *found; /* how long it took */
    hits->hits = NULL;
    hits->n = 0;
    WN_TRY(expand(l, corpus, found, hits, out, err));
    copy_scores(found, hits);
    WN_TRY(pack(l, true, hits, out, &smallest, err));
    if (found->n == 0 || out->n_sources > 0)
        return WN_OK;
    for (size_t i = 0; i < out->n_left_out; i++)
        if (out->left_out[i].n_tokens < smallest)
            smallest = out->left_out[i].n_tokens;
    return wn_error_set(err, WN_LIMIT,
                        "none of %zu documents (the shortest has %zu tokens) fits beside the "
                        "question and an answer of %zu into a context of %zu tokens; mode passages "
                        "reads the best passages",
                        out->n_left_out, smallest, answer_tokens(l), l->capacity);
}

static wn_status too_large(const wn_reading_limits *l, const char *about, size_t n, wn_error *err)
{
    return wn_error_set(err, WN_LIMIT,
                        "the corpus has %s%zu tokens with the question; beside an answer of %zu a "
                        "context of %zu holds %zu; mode documents reads the best documents whole, "
                        "passages the best passages",
                        about, n, answer_tokens(l), l->capacity, wn_reading_room(l));
}

wn_status wn_ask_read_corpus(const wn_reading_limits *l, wn_corpus *corpus,
                             const wn_metadata_filter *filter, wn_search_result *hits,
                             wn_ask_reading *out, size_t *n_tokens, wn_error *err)
{
    wn_corpus_stats stats = {0};
    wn_prompt_tokens t = {0};
    const size_t max_bytes = l->capacity * MAX_BYTES_PER_TOKEN;
    out->mode = WN_ASK_CORPUS;
    if (n_tokens)
        *n_tokens = 0;
    WN_TRY(wn_corpus_stats_read(corpus, &stats, err));
    if (!filter && stats.text_bytes > max_bytes)
        return too_large(l, "about ", (size_t)stats.text_bytes / ABOUT_BYTES_PER_TOKEN, err);
    wn_error own = {0};
    wn_status status = wn_document_hits_add_all(corpus, filter, max_bytes, hits, &own);
    if (status == WN_LIMIT)
        return too_large(l, "more than ", max_bytes / ABOUT_BYTES_PER_TOKEN, err);
    if (status != WN_OK)
        return wn_error_set(err, status, "%s", own.text);
    WN_TRY(encode(l, hits, &t, err));
    const size_t n = t.n;
    if (n_tokens)
        *n_tokens = n;
    if (n > wn_reading_room(l)) {
        wn_prompt_tokens_free(&t);
        return too_large(l, "", n, err);
    }
    out->n_tokens = n - tokens_around(&t, hits->n);
    out->prompt = t; /* documents come by id, their passages in order: as the prompt has them */
    settle(hits, hits->n, out);
    return WN_OK;
}

void wn_ask_reading_free(wn_ask_reading *r)
{
    for (size_t i = 0; i < r->n_left_out; i++)
        free(r->left_out[i].filename);
    free(r->left_out);
    wn_prompt_tokens_free(&r->prompt);
    *r = (wn_ask_reading){0};
}
