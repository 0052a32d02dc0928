/* The service's insides, for service*.c only. */
#ifndef WN_API_SERVICE_INTERNAL_H
#define WN_API_SERVICE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/service.h"
#include "api/service_slots.h"
#include "base/hash.h"
#include "ingest/parse_worker.h"

/* Questions that could have been answered from the same sources. */
typedef struct service_asked {
    uint64_t which; /* documents; 0: the corpus */
    size_t n;
} service_asked;

#define SERVICE_ASKED 16 /* remembered for each corpus */

/* One open corpus. Readers share an entry that stays open (its vector index is warm); the writer's
 * entry is closed with its last release, which frees the lock for other processes. */
typedef struct open_corpus {
    struct open_corpus *next;
    char name[65];
    wn_corpus *corpus;
    bool writable, doomed; /* doomed: deleted; closed on the last release */
    size_t refs;
    service_asked asked[SERVICE_ASKED]; /* in this generation, in mode auto; the newest first */
    uint64_t generation;
    uint64_t tended; /* generation for which prefixes of what is gone were dropped */
} open_corpus;

typedef struct service_prefixes {
    size_t memory_bytes, disk_bytes; /* budgets */
    double corpus_share;
    pthread_mutex_t lock;   /* cache; held while one for the files only is open */
    wn_prefix_cache *cache; /* NULL: not opened yet */
    wn_kv_pool *pool;
    char model_key[2 * WN_SHA256_HEX]; /* of the generator and its tokenizer */
    uint8_t secret[WN_SHA256_BYTES];   /* of the installation */
    atomic_uint_fast64_t session_hits; /* the session held all sources: the cache was not asked */
    atomic_bool dropped;               /* the session may hold what was dropped */

    pthread_t saver;
    pthread_mutex_t save_lock;
    pthread_cond_t save_wanted;
    bool saver_runs, wanted, ending; /* under save_lock */
} service_prefixes;

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

    wn_compute *compute; /* of the generator: used with a turn */
    wn_model *model;
    wn_dms_heads *heads; /* NULL: none, or not loaded yet */
    wn_dms_point point;
    bool heads_loaded;
    service_slots slots;
    service_prefixes prefixes;

    pthread_mutex_t embed_lock; /* the embedder and its compute context */
    wn_compute *embed_compute;
    wn_embedder *embedder;

    wn_parse_pool *parsers; /* one worker process for all ingestion; made when first needed */
};

/* Questions in mode auto to these sources (0: all) of the corpus as it is, before this one, which
 * is counted. */
size_t wn_service_count_question(wn_service *s, const wn_corpus *c, uint64_t generation,
                                 uint64_t which);
/* It has another generation than when this was asked last; true the first time. */
bool wn_service_corpus_changed(wn_service *s, const wn_corpus *c, uint64_t generation);
/* Corpora that other processes have deleted are closed; what was read of them is dropped. Any
 * thread. */
void wn_service_notice_deletions(wn_service *s);
/* It was deleted while this handle was out. */
bool wn_service_corpus_is_gone(wn_service *s, const wn_corpus *c);
/* Loads the embedder. Call with embed_lock held. */
wn_status wn_service_embedder_locked(wn_service *s, wn_embedder **out, wn_error *err);

#endif
