#include "ingest/embed_queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* The passages of one call of the embedder, and where their vectors go. */
typedef struct batch {
    size_t n;
    wn_strbuf texts; /* one after the other */
    size_t starts[WN_EMBED_BATCH + 1];
    wn_prepared *docs[WN_EMBED_BATCH];
    float *vectors; /* [WN_EMBED_BATCH][dim] */
} batch;

static bool is_cancelled(const wn_embed_queue *q)
{
    return q->o->cancel && atomic_load(q->o->cancel);
}

static wn_status run_batch(wn_embed_queue *q, batch *b, wn_error *err)
{
    const char *texts[WN_EMBED_BATCH];
    size_t lens[WN_EMBED_BATCH], dim = q->o->dim;
    if (b->n == 0)
        return WN_OK;
    if (is_cancelled(q))
        return wn_error_set(err, WN_CANCELLED, "cancelled");
    if (wn_strbuf_failed(&b->texts))
        return wn_error_set(err, WN_NO_MEMORY, "no memory for passages to embed");
    for (size_t i = 0; i < b->n; i++) {
        texts[i] = b->texts.data + b->starts[i];
        lens[i] = b->starts[i + 1] - b->starts[i];
    }
    WN_TRY(q->o->embed(q->o->embed_ctx, texts, lens, b->n, b->vectors, err));
    for (size_t i = 0; i < b->n; i++) {
        wn_prepared *p = b->docs[i];
        memcpy(p->vectors + p->n_vectors * dim, b->vectors + i * dim, dim * sizeof(float));
        p->n_vectors++;
    }
    q->n_embedded += b->n;
    q->n_waiting -= b->n;
    b->n = 0;
    wn_strbuf_clear(&b->texts);
    if (!q->o->on_passages)
        return WN_OK;
    wn_status status = q->o->on_passages(q->o->passages_ctx, q->n_embedded, q->n_cut);
    return status == WN_OK ? WN_OK : wn_error_set(err, status, "stopped by the caller");
}

/* Embeds what waits, in batches across documents; a batch that is not full only when it is the
 * last. */
static wn_status embed(wn_embed_queue *q, bool last, wn_error *err)
{
    batch b = {.vectors = wn_alloc(WN_EMBED_BATCH * q->o->dim, sizeof *b.vectors)};
    wn_status status = WN_OK;
    if (!b.vectors)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for vectors");
    for (size_t d = 0; d < q->n_docs && status == WN_OK; d++) {
        wn_prepared *p = &q->docs[d];
        for (size_t i = p->n_vectors; i < p->passages.n && status == WN_OK; i++) {
            wn_prepared_embed_text(p, i, &b.texts);
            b.docs[b.n++] = p;
            b.starts[b.n] = b.texts.len;
            if (b.n == WN_EMBED_BATCH)
                status = run_batch(q, &b, err);
        }
    }
    if (status == WN_OK && last)
        status = run_batch(q, &b, err);
    wn_strbuf_free(&b.texts);
    free(b.vectors);
    return status;
}

/* A document that the corpus refuses fails alone; trouble with the corpus itself ends the work. */
static bool is_documents_fault(wn_status status)
{
    return status == WN_INVALID || status == WN_LIMIT || status == WN_FORMAT;
}

/* Stores the documents at the front that have all of their vectors. */
static wn_status store_complete(wn_embed_queue *q, wn_error *err)
{
    wn_status status = WN_OK;
    size_t n_done = 0;
    for (; n_done < q->n_docs && status == WN_OK; n_done++) {
        wn_error why = {0};
        int64_t id = 0;
        wn_prepared *p = &q->docs[n_done];
        if (q->o->embed && p->n_vectors < p->passages.n)
            break;
        wn_status stored = wn_prepared_store(p, q->o, &id, &why);
        if (stored != WN_OK && !is_documents_fault(stored))
            status = wn_error_set(err, stored, "%s", why.text);
        else
            status = q->on_stored(q->ctx, p, id, stored, why.text, err);
        wn_prepared_free(p);
    }
    memmove(q->docs, q->docs + n_done, (q->n_docs - n_done) * sizeof *q->docs);
    q->n_docs -= n_done;
    return status;
}

wn_status wn_embed_queue_flush(wn_embed_queue *q, wn_error *err)
{
    if (q->o->embed)
        WN_TRY(embed(q, true, err));
    return store_complete(q, err);
}

wn_status wn_embed_queue_add(wn_embed_queue *q, wn_prepared *p, wn_error *err)
{
    if (q->o->embed) {
        size_t floats = 0;
        if (wn_size_mul(p->passages.n, q->o->dim, &floats))
            p->vectors = wn_alloc(floats, sizeof *p->vectors);
        if (!p->vectors) {
            wn_error_set(err, WN_NO_MEMORY, "%s: no memory for %zu vectors", p->path,
                         p->passages.n);
            wn_prepared_free(p);
            return WN_NO_MEMORY;
        }
        q->n_waiting += p->passages.n;
    }
    q->n_cut += p->passages.n;
    q->docs[q->n_docs++] = *p;
    *p = (wn_prepared){0};
    if (q->n_docs == WN_EMBED_QUEUE_DOCS || !q->o->embed)
        return wn_embed_queue_flush(q, err);
    if (q->n_waiting >= WN_EMBED_BATCH)
        WN_TRY(embed(q, false, err));
    return store_complete(q, err);
}

const wn_prepared *wn_embed_queue_find(const wn_embed_queue *q, const char *checksum)
{
    for (size_t i = 0; i < q->n_docs; i++)
        if (strcmp(q->docs[i].checksum, checksum) == 0)
            return &q->docs[i];
    return NULL;
}

void wn_embed_queue_free(wn_embed_queue *q)
{
    for (size_t i = 0; i < q->n_docs; i++)
        wn_prepared_free(&q->docs[i]);
    q->n_docs = 0;
}
