/* The service's insides, for service*.c only. */
#ifndef WN_API_SERVICE_INTERNAL_H
#define WN_API_SERVICE_INTERNAL_H

#include <pthread.h>

#include "api/service.h"
#include "ingest/parse_worker.h"

/* One open corpus. Readers share an entry that stays open (its vector index is warm); the writer's
 * entry is closed with its last release, which frees the lock for other processes. */
typedef struct open_corpus {
    struct open_corpus *next;
    char name[65];
    wn_corpus *corpus;
    bool writable, doomed; /* doomed: deleted; closed on the last release */
    size_t refs;
} open_corpus;

struct wn_service {
    char *data_dir, *corpora_dir, *generator, *embedder_name, *isa;
    char *heads_path; /* NULL: what the model carries */
    double kv_ratio;
    char *pdfium; /* path of libpdfium.so, whether it is there or not */
    size_t n_threads, n_ctx;
    bool exact;
    wn_kv_format kv_format;

    pthread_mutex_t lock; /* the corpora list, lazy loading, parsers */
    open_corpus *corpora;

    wn_compute *compute; /* of the generator: used by the engine worker alone */
    wn_model *model;
    wn_dms_heads *heads; /* NULL: none, or not loaded yet */
    wn_dms_point point;
    bool heads_loaded;
    wn_session *session;

    pthread_mutex_t embed_lock; /* the embedder and its compute context */
    wn_compute *embed_compute;
    wn_embedder *embedder;

    wn_parse_pool *parsers; /* one worker process for all ingestion; made when first needed */
};

/* The session of the generator, made when first needed; engine worker only. */
wn_status wn_service_session(wn_service *s, wn_session **out, wn_error *err);
/* Loads the embedder. Call with embed_lock held. */
wn_status wn_service_embedder_locked(wn_service *s, wn_embedder **out, wn_error *err);

#endif
