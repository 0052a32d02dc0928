#include "retrieve/hit_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static void hit_free(wn_hit *h)
{
    free(h->text);
    free(h->headings);
    free(h->path);
    free(h->filename);
    free(h->title);
    free(h->attributes);
    *h = (wn_hit){0};
}

void wn_hits_free(wn_hit *hits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hit_free(&hits[i]);
    free(hits);
}

static wn_status fill(wn_hit *h, const wn_fused *f, const wn_passage_record *r, wn_error *err)
{
    *h = (wn_hit){.passage_id = f->id,
                  .document_id = r->document_id,
                  .ordinal_first = r->ordinal,
                  .ordinal_last = r->ordinal,
                  .score = f->score,
                  .text_score = f->text_score,
                  .vector_score = f->vector_score,
                  .text_rank = f->text_rank,
                  .vector_rank = f->vector_rank,
                  .start = r->passage.start,
                  .end = r->passage.end,
                  .page_start = r->passage.page_start,
                  .page_end = r->passage.page_end,
                  .text = wn_strndup(r->text, r->text_len),
                  .text_len = r->text_len,
                  .headings = wn_strdup(r->passage.headings),
                  .path = wn_strdup(r->path),
                  .filename = wn_strdup(r->filename),
                  .title = wn_strdup(r->title),
                  .attributes = wn_strdup(r->attributes)};
    if (h->text && h->headings && h->path && h->filename && h->title && h->attributes)
        return WN_OK;
    hit_free(h);
    return wn_error_set(err, WN_NO_MEMORY, "search: out of memory");
}

wn_status wn_hits_fetch(wn_corpus *corpus, const wn_fused *fused, size_t n_fused, size_t max,
                        wn_hit **hits, size_t *n, wn_error *err)
{
    *n = 0;
    *hits = wn_alloc(max < n_fused ? max : n_fused, sizeof **hits);
    if (!*hits)
        return wn_error_set(err, WN_NO_MEMORY, "search: out of memory");
    wn_status status = WN_OK;
    for (size_t i = 0; i < n_fused && *n < max && status == WN_OK; i++) {
        wn_passage_record r = {0};
        wn_error passage_error = {0};
        status = wn_corpus_passage(corpus, fused[i].id, &r, &passage_error);
        if (status == WN_NOT_FOUND) { /* deleted since the search */
            status = WN_OK;
            continue;
        }
        if (status == WN_OK)
            status = fill(&(*hits)[*n], &fused[i], &r, err);
        else
            wn_error_set(err, status, "%s", passage_error.text);
        wn_passage_record_free(&r);
        if (status == WN_OK)
            (*n)++;
    }
    if (status != WN_OK) {
        wn_hits_free(*hits, *n);
        *hits = NULL;
        *n = 0;
    }
    return status;
}

/* Merging -------------------------------------------------------------------------------------- */

static int by_place(const void *pa, const void *pb)
{
    const wn_hit *a = pa, *b = pb;
    if (a->document_id != b->document_id)
        return a->document_id < b->document_id ? -1 : 1;
    return (a->ordinal_first > b->ordinal_first) - (a->ordinal_first < b->ordinal_first);
}

static int by_score(const void *pa, const void *pb)
{
    const wn_hit *a = pa, *b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->passage_id > b->passage_id) - (a->passage_id < b->passage_id);
}

static bool follows(const wn_hit *a, const wn_hit *b)
{
    return a->document_id == b->document_id && b->ordinal_first <= a->ordinal_last + 1;
}

/* `a` takes b in; b's strings are freed. The text is read again later, once for the whole range. */
static void absorb(wn_hit *a, wn_hit *b)
{
    if (b->score > a->score || (b->score == a->score && b->passage_id < a->passage_id)) {
        a->passage_id = b->passage_id;
        a->score = b->score;
        a->text_score = b->text_score;
        a->vector_score = b->vector_score;
        a->text_rank = b->text_rank;
        a->vector_rank = b->vector_rank;
    }
    a->ordinal_last = b->ordinal_last;
    if (b->end > a->end)
        a->end = b->end;
    if (b->page_end > a->page_end)
        a->page_end = b->page_end;
    hit_free(b);
}

static wn_status reread_text(wn_corpus *corpus, wn_hit *h, wn_error *err)
{
    if (h->ordinal_first == h->ordinal_last)
        return WN_OK;
    char *text = NULL;
    WN_TRY(wn_corpus_text(corpus, h->document_id, h->start, h->end, &text, err));
    free(h->text);
    h->text = text;
    h->text_len = h->end - h->start;
    return WN_OK;
}

wn_status wn_hits_merge(wn_corpus *corpus, wn_hit *hits, size_t *n, wn_error *err)
{
    if (*n < 2)
        return WN_OK;
    qsort(hits, *n, sizeof *hits, by_place);
    size_t n_out = 1;
    for (size_t i = 1; i < *n; i++) {
        if (follows(&hits[n_out - 1], &hits[i]))
            absorb(&hits[n_out - 1], &hits[i]);
        else if (n_out++ != i) {
            hits[n_out - 1] = hits[i];
            hits[i] = (wn_hit){0};
        }
    }
    *n = n_out;
    for (size_t i = 0; i < n_out; i++)
        WN_TRY(reread_text(corpus, &hits[i], err));
    qsort(hits, n_out, sizeof *hits, by_score);
    return WN_OK;
}
