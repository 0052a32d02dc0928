#include "base/work_queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/checked.h"

struct wn_work_queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty;
    void **items; /* ring of `capacity` */
    size_t capacity, head, count;
    bool shut;
};

wn_status wn_work_queue_open(wn_work_queue **out, size_t capacity, wn_error *err)
{
    if (capacity == 0)
        return wn_error_set(err, WN_INVALID, "work queue: capacity must be at least 1");
    wn_work_queue *q = wn_alloc(1, sizeof *q);
    void **items = wn_alloc(capacity, sizeof *items);
    if (!q || !items) {
        free(q);
        free(items);
        return wn_error_set(err, WN_NO_MEMORY, "work queue: out of memory");
    }
    q->items = items;
    q->capacity = capacity;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    *out = q;
    return WN_OK;
}

bool wn_work_queue_try_push(wn_work_queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    bool pushed = !q->shut && q->count < q->capacity;
    if (pushed) {
        q->items[(q->head + q->count) % q->capacity] = item;
        q->count++;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    return pushed;
}

void *wn_work_queue_pop(wn_work_queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->shut)
        pthread_cond_wait(&q->not_empty, &q->lock);
    void *item = NULL;
    if (q->count > 0) {
        item = q->items[q->head];
        q->head = (q->head + 1) % q->capacity;
        q->count--;
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

size_t wn_work_queue_length(wn_work_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->count;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void wn_work_queue_shut(wn_work_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->shut = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_mutex_unlock(&q->lock);
}

void wn_work_queue_close(wn_work_queue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->not_empty);
    pthread_mutex_destroy(&q->lock);
    free(q->items);
    free(q);
}
