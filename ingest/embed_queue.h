/* Documents that wait for their vectors: passages of several files are embedded together, because
 * the embedder is fast only on full batches. Documents leave in the order in which they came.
 *
 *     wn_embed_queue q = {.o = options, .on_stored = f, .ctx = ctx};
 *     WN_TRY(wn_embed_queue_add(&q, &prepared, err));   // may embed and store what is waiting
 *     WN_TRY(wn_embed_queue_flush(&q, err));            // the rest
 *     wn_embed_queue_free(&q);
 */
#ifndef WN_INGEST_EMBED_QUEUE_H
#define WN_INGEST_EMBED_QUEUE_H

#include "ingest/prepared_document.h"

#define WN_EMBED_BATCH 64       /* passages of one call of the embedder */
#define WN_EMBED_QUEUE_DOCS 256 /* documents that wait at most */

typedef struct wn_embed_queue {
    const wn_ingest_options *o;
    /* Called for each document that has left: stored (status WN_OK) or refused by the corpus, with
     * the reason. Another status stops the queue and is returned. */
    wn_status (*on_stored)(void *ctx, const wn_prepared *p, int64_t id, wn_status status,
                           const char *why, wn_error *err);
    void *ctx;
    wn_prepared docs[WN_EMBED_QUEUE_DOCS];
    size_t n_docs, n_waiting;   /* passages without a vector */
    uint64_t n_embedded, n_cut; /* passages, since the beginning */
} wn_embed_queue;

/* Takes *p over (it is {0} afterwards), also on failure. */
wn_status wn_embed_queue_add(wn_embed_queue *q, wn_prepared *p, wn_error *err);
wn_status wn_embed_queue_flush(wn_embed_queue *q, wn_error *err);
/* A waiting document with these bytes; NULL = none. */
const wn_prepared *wn_embed_queue_find(const wn_embed_queue *q, const char *checksum);
void wn_embed_queue_free(wn_embed_queue *q); /* what still waits is dropped */

#endif
