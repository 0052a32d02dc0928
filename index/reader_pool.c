#include "index/reader_pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/checked.h"

enum { MAX_IDLE = 8 }; /* kept open; as many as threads usually search at once */

struct wn_reader_pool {
    char *path;
    pthread_mutex_t mutex;
    wn_corpus_db *idle[MAX_IDLE];
    size_t n_idle;
};

wn_status wn_reader_pool_open(wn_reader_pool **out, const char *path, wn_error *err)
{
    *out = NULL;
    wn_reader_pool *pool = wn_alloc(1, sizeof *pool);
    char *copy = wn_strdup(path);
    if (!pool || !copy) {
        free(pool);
        free(copy);
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    }
    pool->path = copy;
    pthread_mutex_init(&pool->mutex, NULL);
    *out = pool;
    return WN_OK;
}

void wn_reader_pool_close(wn_reader_pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < pool->n_idle; i++)
        wn_db_close(pool->idle[i]);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->path);
    free(pool);
}

void wn_reader_return(wn_reader_pool *pool, wn_corpus_db *db)
{
    if (!db)
        return;
    wn_db_reset(db);
    pthread_mutex_lock(&pool->mutex);
    if (pool->n_idle < MAX_IDLE) {
        pool->idle[pool->n_idle++] = db;
        db = NULL;
    }
    pthread_mutex_unlock(&pool->mutex);
    wn_db_close(db);
}

wn_status wn_reader_borrow(wn_reader_pool *pool, wn_corpus_db **out, wn_error *err)
{
    *out = NULL;
    pthread_mutex_lock(&pool->mutex);
    wn_corpus_db *db = pool->n_idle > 0 ? pool->idle[--pool->n_idle] : NULL;
    pthread_mutex_unlock(&pool->mutex);
    if (!db)
        WN_TRY(wn_db_open(&db, pool->path, WN_DB_READ, err));
    wn_status status = wn_db_run_id(db, WN_SQL_BEGIN_READ, err);
    if (status != WN_OK) {
        wn_reader_return(pool, db);
        return status;
    }
    *out = db;
    return WN_OK;
}
