/* One document from memory. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "ingest/embed_queue.h"
#include "ingest/ingest.h"
#include "ingest/prepared_document.h"

/* Looks for a document with the same bytes, whatever its path. */
typedef struct duplicate_search {
    const char *checksum;
    int64_t id, last;
    size_t n;
} duplicate_search;

static wn_status compare(void *ctx, const wn_document *doc, wn_error *err)
{
    duplicate_search *s = ctx;
    (void)err;
    s->n++;
    s->last = doc->id;
    if (s->id == 0 && strcmp(doc->checksum, s->checksum) == 0)
        s->id = doc->id;
    return WN_OK;
}

static wn_status find_duplicate(wn_corpus *corpus, const char *checksum, int64_t *id, wn_error *err)
{
    const size_t page = 4096;
    duplicate_search s = {.checksum = checksum};
    do {
        s.n = 0;
        WN_TRY(wn_corpus_list(corpus, s.last, page, false, compare, &s, err));
    } while (s.n == page && s.id == 0);
    *id = s.id;
    return WN_OK;
}

/* What the corpus has already: *outcome is UNCHANGED or DUPLICATE with *id, else ADDED or REPLACED.
 */
static wn_status look_up(wn_corpus *corpus, const wn_prepared *p, wn_ingest_outcome *outcome,
                         int64_t *id, wn_error *err)
{
    wn_document_record record = {0};
    wn_error absent = {0};
    wn_status status = wn_corpus_document_by_path(corpus, p->path, &record, &absent);
    if (status == WN_NOT_FOUND) {
        WN_TRY(find_duplicate(corpus, p->checksum, id, err));
        *outcome = *id ? WN_INGEST_DUPLICATE : WN_INGEST_ADDED;
        return WN_OK;
    }
    if (status != WN_OK)
        return wn_error_set(err, status, "%s", absent.text);
    bool same = strcmp(record.doc.checksum, p->checksum) == 0;
    *outcome = same ? WN_INGEST_UNCHANGED : WN_INGEST_REPLACED;
    *id = record.doc.id;
    wn_document_record_free(&record);
    return WN_OK;
}

typedef struct upload_result {
    int64_t id;
} upload_result;

static wn_status on_stored(void *ctx, const wn_prepared *p, int64_t id, wn_status status,
                           const char *why, wn_error *err)
{
    (void)p;
    ((upload_result *)ctx)->id = id;
    return status == WN_OK ? WN_OK : wn_error_set(err, status, "%s", why);
}

static wn_status embed_and_store(const wn_ingest_options *o, wn_prepared *p, int64_t *id,
                                 wn_error *err)
{
    upload_result result = {0};
    wn_embed_queue *queue = wn_alloc(1, sizeof *queue);
    if (!queue)
        return wn_error_set(err, WN_NO_MEMORY, "ingest: no memory");
    queue->o = o;
    queue->on_stored = on_stored;
    queue->ctx = &result;
    wn_status status = wn_embed_queue_add(queue, p, err);
    if (status == WN_OK)
        status = wn_embed_queue_flush(queue, err);
    wn_embed_queue_free(queue);
    free(queue);
    *id = result.id;
    return status;
}

static wn_status check(const wn_ingest_options *o, const char *name, size_t len, wn_error *err)
{
    size_t max = o->max_file_bytes ? o->max_file_bytes : (size_t)64 << 20;
    if (!o->corpus || (o->embed && o->dim == 0))
        return wn_error_set(err, WN_INVALID, "ingest: no corpus, or an embedder of 0 dimensions");
    if (!*name || !wn_utf8_valid(name, strlen(name)))
        return wn_error_set(err, WN_INVALID, "the document's name is empty or not UTF-8");
    if (len == 0)
        return wn_error_set(err, WN_FORMAT, "%s: the file is empty", name);
    if (len > max)
        return wn_error_set(err, WN_LIMIT, "%s: larger than %zu bytes", name, max);
    return WN_OK;
}

static wn_status ingest(const wn_ingest_options *o, wn_parse_pool *pool, wn_prepared *p,
                        const void *data, size_t len, wn_ingest_outcome *outcome, int64_t *id,
                        wn_error *err)
{
    uint8_t digest[WN_SHA256_BYTES];
    wn_ingest_outcome found = WN_INGEST_ADDED;
    int64_t stored_id = 0;
    WN_TRY(wn_prepared_format(p->path, data, len, &p->format, err));
    WN_TRY(wn_sha256_of(data, len, digest, err));
    wn_hex(digest, sizeof digest, p->checksum);
    WN_TRY(look_up(o->corpus, p, &found, &stored_id, err));
    if (found == WN_INGEST_ADDED || found == WN_INGEST_REPLACED) {
        WN_TRY(wn_prepared_parse(p, o, pool, data, len, err));
        WN_TRY(embed_and_store(o, p, &stored_id, err));
    }
    *outcome = found;
    *id = stored_id;
    return WN_OK;
}

wn_status wn_ingest_bytes(const wn_ingest_options *o, const char *name, const void *data,
                          size_t len, wn_ingest_outcome *outcome, int64_t *id, wn_error *err)
{
    wn_parse_pool *own = NULL;
    wn_parse_options po = {.pdfium_path = o->pdfium_path};
    WN_TRY(check(o, name, len, err));
    wn_prepared p = {.source_bytes = len, .path = wn_strdup(name)};
    wn_error why = {0};
    wn_status status = p.path ? WN_OK : wn_error_set(&why, WN_NO_MEMORY, "no memory");
    if (status == WN_OK && !o->parsers)
        status = wn_parse_pool_open(&own, &po, &why);
    if (status == WN_OK)
        status = ingest(o, o->parsers ? o->parsers : own, &p, data, len, outcome, id, &why);
    wn_prepared_free(&p);
    wn_parse_pool_close(own);
    return status == WN_OK ? WN_OK : wn_error_set(err, status, "%s: %s", name, why.text);
}
