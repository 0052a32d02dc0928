#include "index/reader_pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/checked.h"

enum { MAX_READERS = 8 };

struct wn_reader_pool {
    char *path;
    pthread_mutex_t mutex;
    pthread_cond_t returned;
    wn_corpus_db *idle[MAX_READERS];
    size_t n_idle, n_out;
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
    pthread_cond_init(&pool->returned, NULL);
    *out = pool;
    return WN_OK;
}

void wn_reader_pool_close(wn_reader_pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < pool->n_idle; i++)
        wn_db_close(pool->idle[i]);
    pthread_cond_destroy(&pool->returned);
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
    pool->n_out--;
    pool->idle[pool->n_idle++] = db;
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->mutex);
}

wn_status wn_reader_borrow(wn_reader_pool *pool, wn_corpus_db **out, wn_error *err)
{
    *out = NULL;
    pthread_mutex_lock(&pool->mutex);
    while (pool->n_idle == 0 && pool->n_out == MAX_READERS)
        pthread_cond_wait(&pool->returned, &pool->mutex);
    wn_corpus_db *db = pool->n_idle > 0 ? pool->idle[--pool->n_idle] : NULL;
    pool->n_out++;
    pthread_mutex_unlock(&pool->mutex);

    wn_status status = WN_OK;
    if (!db)
        status = wn_db_open(&db, pool->path, WN_DB_READ, err);
    if (status == WN_OK)
        status = wn_db_run_id(db, WN_SQL_BEGIN_READ, err);
    if (status == WN_OK) {
        *out = db;
        return WN_OK;
    }
    if (db) {
        wn_reader_return(pool, db);
        return status;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->n_out--;
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->mutex);
    return status;
}
