#include "retrieve/ir_vectors.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file_map.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/strbuf.h"

enum { BATCH = 128 }; /* texts given to the embedder at a time, and between two reports */

typedef struct cache_header {
    char magic[8];
    uint8_t key[WN_SHA256_BYTES];
    uint64_t n, dim;
} cache_header;

static const char magic[8] = "WNIRVEC";

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "test collection: out of memory");
}

void wn_ir_vectors_free(wn_ir_vectors *v)
{
    free(v->documents); /* queries follow in the same block */
    *v = (wn_ir_vectors){0};
}

/* Cache ---------------------------------------------------------------------------------------- */

static wn_status hash_text(wn_sha256 *h, const wn_ir_text *t, wn_error *err)
{
    WN_TRY(wn_sha256_add(h, t->title, strlen(t->title) + 1, err));
    return wn_sha256_add(h, t->text, strlen(t->text) + 1, err);
}

static wn_status hash_all(wn_sha256 *h, const wn_ir_dataset *set, const wn_embedder *e,
                          wn_error *err)
{
    const char *fingerprint = wn_embedder_fingerprint(e);
    WN_TRY(wn_sha256_add(h, fingerprint, strlen(fingerprint) + 1, err));
    for (size_t i = 0; i < set->n_documents; i++)
        WN_TRY(hash_text(h, &set->documents[i], err));
    for (size_t i = 0; i < set->n_queries; i++)
        WN_TRY(hash_text(h, &set->queries[i].text, err));
    return WN_OK;
}

static wn_status make_header(cache_header *head, const wn_ir_dataset *set, const wn_embedder *e,
                             wn_error *err)
{
    wn_sha256 *h = NULL;
    *head = (cache_header){.n = set->n_documents + set->n_queries, .dim = wn_embedder_dim(e)};
    memcpy(head->magic, magic, sizeof magic);
    WN_TRY(wn_sha256_open(&h, err));
    wn_status status = hash_all(h, set, e, err);
    wn_sha256_close(h, head->key);
    return status;
}

static bool read_cache(const char *path, const cache_header *head, float *out, size_t bytes)
{
    wn_file_map map = {0};
    if (wn_file_map_open(&map, path, NULL) != WN_OK)
        return false;
    bool fits = map.size == sizeof *head + bytes && memcmp(map.data, head, sizeof *head) == 0;
    if (fits)
        memcpy(out, map.data + sizeof *head, bytes);
    wn_file_map_close(&map);
    return fits;
}

static void write_cache(const char *path, const cache_header *head, const float *values,
                        size_t bytes)
{
    wn_strbuf b = {0};
    wn_error why = {0};
    wn_strbuf_add(&b, head, sizeof *head);
    wn_strbuf_add(&b, values, bytes);
    if (wn_strbuf_failed(&b) || wn_fs_write_atomic(path, b.data, b.len, &why) != WN_OK)
        wn_log(WN_LOG_WARN, "retrieve", "vectors not kept: %s", why.text);
    wn_strbuf_free(&b);
}

/* Embedding --------------------------------------------------------------------------------------
 */

/* "title text", as sentence-transformers' users of BEIR join them. */
static char *joined(const wn_ir_text *t)
{
    wn_strbuf b = {0};
    wn_strbuf_adds(&b, t->title);
    if (*t->title && *t->text)
        wn_strbuf_addc(&b, ' ');
    wn_strbuf_adds(&b, t->text);
    return wn_strbuf_detach(&b);
}

static const wn_ir_text *text_at(const wn_ir_dataset *set, size_t i)
{
    return i < set->n_documents ? &set->documents[i] : &set->queries[i - set->n_documents].text;
}

/* Texts [from, from + n) of documents followed by queries; one role only. */
static wn_status embed_batch(const wn_ir_dataset *set, wn_embedder *e, size_t from, size_t n,
                             float *out, wn_error *err)
{
    char *texts[BATCH] = {0};
    size_t lens[BATCH];
    wn_status status = WN_OK;
    for (size_t i = 0; i < n && status == WN_OK; i++) {
        texts[i] = joined(text_at(set, from + i));
        lens[i] = texts[i] ? strlen(texts[i]) : 0;
        if (!texts[i])
            status = no_memory(err);
    }
    wn_embed_role role = from < set->n_documents ? WN_EMBED_PASSAGE : WN_EMBED_QUERY;
    if (status == WN_OK)
        status = wn_embedder_embed(e, role, (const char *const *)texts, lens, n, out, err);
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    return status;
}

static wn_status embed_all(const wn_ir_dataset *set, wn_embedder *e, float *out,
                           wn_progress_fn progress, void *progress_ctx, wn_error *err)
{
    size_t total = set->n_documents + set->n_queries, dim = wn_embedder_dim(e);
    for (size_t at = 0; at < total;) {
        size_t end = at < set->n_documents ? set->n_documents : total;
        size_t n = end - at < BATCH ? end - at : BATCH;
        WN_TRY(embed_batch(set, e, at, n, out + at * dim, err));
        at += n;
        if (progress && progress(progress_ctx, at, total) != WN_OK)
            return wn_error_set(err, WN_CANCELLED, "embedding was stopped");
    }
    return WN_OK;
}

wn_status wn_ir_vectors_make(wn_ir_vectors *out, const wn_ir_dataset *set, wn_embedder *e,
                             const char *cache, wn_progress_fn progress, void *progress_ctx,
                             wn_error *err)
{
    *out = (wn_ir_vectors){.dim = wn_embedder_dim(e)};
    cache_header head = {0};
    size_t n_values = 0, bytes = 0;
    WN_TRY(make_header(&head, set, e, err));
    if (!wn_size_mul((size_t)head.n, out->dim, &n_values) ||
        !wn_size_mul(n_values, sizeof(float), &bytes))
        return no_memory(err);
    out->documents = wn_alloc(n_values, sizeof(float));
    if (!out->documents)
        return no_memory(err);
    out->queries = out->documents + set->n_documents * out->dim;
    if (cache && read_cache(cache, &head, out->documents, bytes))
        return WN_OK;
    wn_status status = embed_all(set, e, out->documents, progress, progress_ctx, err);
    if (status != WN_OK)
        wn_ir_vectors_free(out);
    else if (cache)
        write_cache(cache, &head, out->documents, bytes);
    return status;
}
