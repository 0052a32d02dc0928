#include "api/document_hits.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "documents: out of memory");
}

/* The hits grow one by one: the array's size is the next power of two. */
static wn_hit *next_hit(wn_search_result *r)
{
    if ((r->n & (r->n - 1)) == 0) {
        wn_hit *grown = wn_realloc(r->hits, r->n ? 2 * r->n : 1, sizeof *grown);
        if (!grown)
            return NULL;
        r->hits = grown;
    }
    r->hits[r->n] = (wn_hit){0};
    return &r->hits[r->n];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Bytes [start, end) of the document, without blanks at either end; nothing where only they are. */
static wn_status add_span(const wn_document_record *d, const wn_passage *p, int ordinal,
                          size_t start, size_t end, wn_search_result *r, wn_error *err)
{
    while (start < end && is_blank(d->text[start]))
        start++;
    while (end > start && is_blank(d->text[end - 1]))
        end--;
    if (start == end)
        return WN_OK;
    wn_hit *h = next_hit(r);
    if (!h)
        return no_memory(err);
    r->n++; /* freed with the others from here on, whole or not */
    *h = (wn_hit){.passage_id = p->id,
                  .document_id = d->doc.id,
                  .ordinal_first = ordinal,
                  .ordinal_last = ordinal,
                  .start = start,
                  .end = end,
                  .page_start = p->page_start,
                  .page_end = p->page_end,
                  .text = wn_strndup(d->text + start, end - start),
                  .text_len = end - start,
                  .headings = wn_strdup(p->headings),
                  .path = wn_strdup(d->doc.path),
                  .filename = wn_strdup(d->doc.filename),
                  .title = wn_strdup(d->doc.title),
                  .attributes = wn_strdup(d->doc.attributes)};
    return h->text && h->headings && h->path && h->filename && h->title && h->attributes
               ? WN_OK
               : no_memory(err);
}

static wn_status check_passage(const wn_document_record *d, const wn_passage_record *p, size_t from,
                               wn_error *err)
{
    if (p->passage.start >= from && p->passage.end <= d->text_len &&
        memcmp(d->text + p->passage.start, p->text, p->text_len) == 0)
        return WN_OK;
    return wn_error_set(err, WN_CONFLICT, "%s was replaced while it was read", d->doc.filename);
}

/* Each passage reaches to where the next one starts; the first begins and the last ends with the
 * document. */
static wn_status add_passages(wn_corpus *corpus, const wn_document_record *d, wn_search_result *r,
                              wn_error *err)
{
    wn_passage_record here = {0}, next = {0};
    wn_passage whole = {.headings = ""};
    wn_status status = wn_corpus_passage_at(corpus, d->doc.id, 0, &here, NULL);
    if (status == WN_NOT_FOUND)
        return add_span(d, &whole, 0, 0, d->text_len, r, err);
    size_t start = 0;
    bool more = true;
    if (status != WN_OK)
        return wn_error_set(err, status, "%s: its passages cannot be read", d->doc.filename);
    WN_TRY_OUT(check_passage(d, &here, 0, err));
    for (int ordinal = 0; more; ordinal++) {
        status = wn_corpus_passage_at(corpus, d->doc.id, ordinal + 1, &next, NULL);
        more = status == WN_OK;
        if (status != WN_OK && status != WN_NOT_FOUND)
            WN_TRY_OUT(
                wn_error_set(err, status, "%s: its passages cannot be read", d->doc.filename));
        status = WN_OK;
        if (more)
            WN_TRY_OUT(check_passage(d, &next, start, err));
        const size_t end = more ? next.passage.start : d->text_len;
        WN_TRY_OUT(add_span(d, &here.passage, ordinal, start, end, r, err));
        start = end;
        wn_passage_record_free(&here);
        here = next;
        next = (wn_passage_record){0};
    }
out:
    wn_passage_record_free(&here);
    wn_passage_record_free(&next);
    return status;
}

wn_status wn_document_hits_add(wn_corpus *corpus, int64_t document_id, wn_search_result *r,
                               wn_error *err)
{
    wn_document_record d = {0};
    WN_TRY(wn_corpus_document(corpus, document_id, true, &d, err));
    wn_status status = add_passages(corpus, &d, r, err);
    wn_document_record_free(&d);
    return status;
}

typedef struct id_list {
    const wn_metadata_filter *filter;
    int64_t *ids;
    size_t n, cap;
} id_list;

static wn_status add_id(void *ctx, const wn_document *doc, wn_error *err)
{
    id_list *l = ctx;
    if (l->filter && !wn_metadata_filter_match(l->filter, doc->attributes))
        return WN_OK;
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 64;
        int64_t *ids = wn_realloc(l->ids, cap, sizeof *ids);
        if (!ids)
            return no_memory(err);
        l->ids = ids;
        l->cap = cap;
    }
    l->ids[l->n++] = doc->id;
    return WN_OK;
}

wn_status wn_document_hits_add_all(wn_corpus *corpus, const wn_metadata_filter *filter,
                                   size_t max_bytes, wn_search_result *r, wn_error *err)
{
    id_list list = {.filter = filter};
    size_t bytes = 0;
    wn_status status = wn_corpus_list(corpus, 0, INT32_MAX, false, add_id, &list, err);
    for (size_t i = 0; status == WN_OK && i < list.n; i++) {
        const size_t before = r->n;
        status = wn_document_hits_add(corpus, list.ids[i], r, err);
        for (size_t k = before; k < r->n; k++)
            bytes += r->hits[k].text_len;
        if (status == WN_OK && bytes > max_bytes)
            status = wn_error_set(err, WN_LIMIT, "the documents have more than %zu bytes", bytes);
    }
    free(list.ids);
    return status;
}

bool wn_document_hits_stand(wn_corpus *corpus, const wn_hit *hits, size_t n)
{
    wn_document_record d = {0};
    if (wn_corpus_document(corpus, hits->document_id, true, &d, NULL) != WN_OK)
        return false;
    bool stand = true;
    for (size_t i = 0; i < n && stand; i++)
        stand = hits[i].end <= d.text_len &&
                memcmp(d.text + hits[i].start, hits[i].text, hits[i].text_len) == 0;
    wn_document_record_free(&d);
    return stand;
}
