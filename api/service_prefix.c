#include "api/service_prefix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"

#define FILES_DIR "prefixes"
#define PAGE_BYTES 64 /* of a pool that is not used */

/* Files are written when nobody waits ---------------------------------------------------------- */

static void save(wn_prefix_cache *cache)
{
    wn_error err = {0};
    if (wn_prefix_cache_save(cache, &err) != WN_OK)
        wn_log(WN_LOG_WARN, "api", "prefixes are not saved: %s", err.text);
}

static void *saver_thread(void *arg)
{
    service_prefixes *p = arg;
    pthread_mutex_lock(&p->save_lock);
    while (!p->ending) {
        if (!p->wanted) {
            pthread_cond_wait(&p->save_wanted, &p->save_lock);
            continue;
        }
        p->wanted = false;
        pthread_mutex_unlock(&p->save_lock);
        save(p->cache);
        pthread_mutex_lock(&p->save_lock);
    }
    pthread_mutex_unlock(&p->save_lock);
    return NULL;
}

void wn_service_prefixes_save_soon(wn_service *s)
{
    service_prefixes *p = &s->prefixes;
    if (!p->cache || p->disk_bytes == 0)
        return;
    pthread_mutex_lock(&p->save_lock);
    p->wanted = true;
    if (!p->saver_runs) /* without a thread: at close */
        p->saver_runs = pthread_create(&p->saver, NULL, saver_thread, p) == 0;
    pthread_cond_signal(&p->save_wanted);
    pthread_mutex_unlock(&p->save_lock);
}

static void end_saver(service_prefixes *p)
{
    pthread_mutex_lock(&p->save_lock);
    const bool runs = p->saver_runs;
    p->ending = true;
    pthread_cond_signal(&p->save_wanted);
    pthread_mutex_unlock(&p->save_lock);
    if (runs)
        pthread_join(p->saver, NULL);
}

/* The cache ------------------------------------------------------------------------------------ */

static wn_status open_cache(wn_service *s, wn_prefix_cache_options *o, wn_prefix_cache **out,
                            wn_error *err)
{
    const service_prefixes *p = &s->prefixes;
    o->max_corpus_memory_bytes = (size_t)(p->corpus_share * (double)o->max_memory_bytes);
    o->max_corpus_disk_bytes = (size_t)(p->corpus_share * (double)o->max_disk_bytes);
    WN_TRY(wn_service_prefix_secret(s, err));
    memcpy(o->secret, p->secret, sizeof o->secret);
    char *dir = wn_fs_join(s->data_dir, FILES_DIR);
    if (!dir)
        return wn_error_set(err, WN_NO_MEMORY, "prefixes: out of memory");
    o->dir = dir;
    wn_status status = wn_prefix_cache_open(out, o, err);
    free(dir);
    return status;
}

wn_status wn_service_prefixes_open(wn_service *s, wn_session_options *o, size_t n_sessions,
                                   wn_error *err)
{
    service_prefixes *p = &s->prefixes;
    wn_error own = {0};
    if (p->memory_bytes == 0 && p->disk_bytes == 0)
        return WN_OK;
    if (!p->pool) {
        const size_t session = wn_session_max_bytes(s->model, s->compute, o);
        WN_TRY(wn_session_pool_open(&p->pool, s->model, s->compute, o->kv_format,
                                    n_sessions * session + p->memory_bytes, err));
    }
    o->pool = p->pool;
    pthread_mutex_lock(&p->lock);
    wn_status status = p->cache ? WN_OK : wn_service_prefix_identify(s, &own);
    if (status == WN_OK && !p->cache)
        status = open_cache(s,
                            &(wn_prefix_cache_options){.pool = p->pool,
                                                       .max_memory_bytes = p->memory_bytes,
                                                       .max_disk_bytes = p->disk_bytes},
                            &p->cache, &own);
    pthread_mutex_unlock(&p->lock);
    if (status != WN_OK)
        wn_log(WN_LOG_WARN, "api", "no prefixes are kept: %s", own.text);
    return WN_OK;
}

void wn_service_prefixes_prepare(wn_service *s)
{
    if (!s->prefixes.cache)
        return;
    const wn_model_config *m = wn_model_config_of(s->model);
    wn_prefix_cache_prepare(s->prefixes.cache, m->n_layers * m->n_kv_heads,
                            wn_compute_pool(s->compute));
}

void wn_service_prefixes_close(wn_service *s)
{
    service_prefixes *p = &s->prefixes;
    end_saver(p);
    if (p->cache && p->disk_bytes)
        save(p->cache);
    wn_prefix_cache_close(p->cache);
    wn_kv_pool_close(p->pool);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->save_lock);
    pthread_cond_destroy(&p->save_wanted);
}

/* A cache of the files alone, which needs no model; *out NULL: there are none. */
static wn_status open_files(wn_service *s, wn_prefix_cache **out, wn_error *err)
{
    wn_kv_pool *pool = NULL;
    char *dir = wn_fs_join(s->data_dir, FILES_DIR);
    const bool any = dir && wn_fs_is_dir(dir);
    const size_t budget = s->prefixes.disk_bytes ? s->prefixes.disk_bytes : SIZE_MAX / 2;
    *out = NULL;
    free(dir);
    if (!any)
        return dir ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "prefixes: out of memory");
    WN_TRY(wn_kv_pool_open(&pool, PAGE_BYTES, PAGE_BYTES, err));
    wn_status status =
        open_cache(s, &(wn_prefix_cache_options){.pool = pool, .max_disk_bytes = budget}, out, err);
    wn_kv_pool_close(pool);
    return status;
}

typedef wn_status (*cache_fn)(wn_prefix_cache *cache, void *ctx, wn_error *err);

/* Runs fn on the cache and, where that has no files or is not open, on what files there are. */
static wn_status with_caches(wn_service *s, cache_fn fn, void *ctx, wn_error *err)
{
    service_prefixes *p = &s->prefixes;
    wn_prefix_cache *files = NULL;
    pthread_mutex_lock(&p->lock);
    wn_status status = p->cache ? fn(p->cache, ctx, err) : WN_OK;
    if (status == WN_OK && (!p->cache || p->disk_bytes == 0))
        status = open_files(s, &files, err);
    if (files)
        status = fn(files, ctx, err);
    wn_prefix_cache_close(files);
    pthread_mutex_unlock(&p->lock);
    return status;
}

typedef struct visit_call {
    const char *corpus;
    wn_prefix_visit_fn visit;
    void *ctx;
} visit_call;

static wn_status visit_cache(wn_prefix_cache *cache, void *ctx, wn_error *err)
{
    const visit_call *v = ctx;
    return wn_prefix_cache_visit(cache, v->corpus, v->visit, v->ctx, err);
}

wn_status wn_service_prefix_visit(wn_service *s, const char *corpus, wn_prefix_visit_fn visit,
                                  void *ctx, wn_error *err)
{
    visit_call v = {.corpus = corpus, .visit = visit, .ctx = ctx};
    return with_caches(s, visit_cache, &v, err);
}

typedef struct drop_call {
    const char *corpus, *document;
    size_t n_dropped;
} drop_call;

static wn_status drop_cache(wn_prefix_cache *cache, void *ctx, wn_error *err)
{
    drop_call *d = ctx;
    size_t n = 0;
    wn_status status = wn_prefix_cache_drop(cache, d->corpus, d->document, &n, err);
    d->n_dropped += n;
    return status;
}

wn_status wn_service_prefix_drop(wn_service *s, const char *corpus, int64_t document_id,
                                 size_t *n_dropped, wn_error *err)
{
    char document[24];
    snprintf(document, sizeof document, "%" PRId64, document_id);
    drop_call d = {.corpus = corpus, .document = document_id ? document : NULL};
    wn_status status = with_caches(s, drop_cache, &d, err);
    atomic_store(&s->prefixes.dropped, true);
    if (n_dropped)
        *n_dropped = d.n_dropped;
    return status;
}

static bool is_gone(void *ctx, const char *document, int64_t read_unix_s)
{
    wn_document_record d = {0};
    wn_status status = wn_corpus_document(ctx, strtoll(document, NULL, 10), false, &d, NULL);
    const bool gone = status == WN_NOT_FOUND || (status == WN_OK && d.doc.created_at > read_unix_s);
    wn_document_record_free(&d);
    return gone;
}

void wn_service_prefix_drop_gone(wn_service *s, wn_corpus *corpus, const char *name)
{
    if (wn_prefix_cache_drop_gone(s->prefixes.cache, name, is_gone, corpus) == 0)
        return;
    wn_log(WN_LOG_INFO, "api", "corpus %s: prefixes of documents that are gone were dropped", name);
    atomic_store(&s->prefixes.dropped, true);
    wn_service_tend(s);
}

wn_status wn_service_prefix_save(wn_service *s, uint64_t *n_written, wn_error *err)
{
    wn_prefix_cache *cache = s->prefixes.cache;
    wn_prefix_stats stats = {0};
    wn_status status = WN_OK;
    if (cache && s->prefixes.disk_bytes) {
        status = wn_prefix_cache_save(cache, err);
        wn_prefix_cache_stats(cache, &stats);
    }
    *n_written = stats.files_written;
    return status;
}

void wn_service_prefix_stats(wn_service *s, wn_prefix_stats *out)
{
    *out = (wn_prefix_stats){0};
    pthread_mutex_lock(&s->prefixes.lock);
    if (s->prefixes.cache)
        wn_prefix_cache_stats(s->prefixes.cache, out);
    out->hits[WN_PREFIX_SESSION] += atomic_load(&s->prefixes.session_hits);
    pthread_mutex_unlock(&s->prefixes.lock);
}

void wn_service_tend(wn_service *s)
{
    wn_service_notice_deletions(s);
    if (!atomic_exchange(&s->prefixes.dropped, false))
        return;
    if (!s->slots.turns)
        return;
    wn_turn turn = {.turns = s->slots.turns};
    wn_turn_take(&turn, NULL);
    wn_service_slots_empty(&s->slots);
    if (s->prefixes.cache)
        wn_prefix_cache_tend(s->prefixes.cache);
    wn_turn_give(&turn);
}

void wn_service_turn_stats(wn_service *s, wn_turn_stats *out)
{
    *out = (wn_turn_stats){0};
    pthread_mutex_lock(&s->slots.lock);
    if (s->slots.n > 0)
        wn_session_turns_stats(s->slots.turns, out);
    pthread_mutex_unlock(&s->slots.lock);
}
