#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/checked.h"

/* A loop is published by raising `epoch`; workers wait for that by spinning a little and then on
 * the condition. Between two ops of a forward pass the spin is long enough, so nobody sleeps there.
 */
#define SPIN_ROUNDS 4000

struct wn_thread_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    pthread_t *threads;
    size_t n_threads; /* the caller included */
    size_t n_started; /* helper threads that exist */

    atomic_uint epoch;
    atomic_size_t next_unit;
    atomic_size_t busy; /* helpers that have not finished the current loop */
    wn_unit_fn body;
    void *ctx;
    size_t n_units;
    bool stop;
};

typedef struct worker_arg {
    wn_thread_pool *pool;
    size_t worker;
} worker_arg;

static inline void pause_cpu(void)
{
    __builtin_ia32_pause();
}

static void run_units(wn_thread_pool *p, size_t worker)
{
    for (;;) {
        size_t unit = atomic_fetch_add_explicit(&p->next_unit, 1, memory_order_relaxed);
        if (unit >= p->n_units)
            return;
        p->body(p->ctx, unit, worker);
    }
}

/* Waits until epoch differs from `seen`; returns the new one. */
static unsigned wait_epoch(wn_thread_pool *p, unsigned seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        unsigned now = atomic_load_explicit(&p->epoch, memory_order_acquire);
        if (now != seen)
            return now;
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    unsigned now = atomic_load_explicit(&p->epoch, memory_order_acquire);
    while (now == seen) {
        pthread_cond_wait(&p->wake, &p->lock);
        now = atomic_load_explicit(&p->epoch, memory_order_acquire);
    }
    pthread_mutex_unlock(&p->lock);
    return now;
}

static void *worker_main(void *argument)
{
    worker_arg arg = *(worker_arg *)argument;
    free(argument);
    wn_thread_pool *p = arg.pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_epoch(p, seen);
        if (p->stop)
            return NULL;
        run_units(p, arg.worker);
        if (atomic_fetch_sub_explicit(&p->busy, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

static size_t processors_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (size_t)CPU_COUNT(&set);
    return 1;
}

static bool start_worker(wn_thread_pool *p, size_t worker)
{
    worker_arg *arg = wn_alloc(1, sizeof *arg);
    if (!arg)
        return false;
    *arg = (worker_arg){.pool = p, .worker = worker};
    if (pthread_create(&p->threads[worker - 1], NULL, worker_main, arg) != 0) {
        free(arg);
        return false;
    }
    p->n_started++;
    return true;
}

wn_status wn_thread_pool_open(wn_thread_pool **out, size_t n_threads, wn_error *err)
{
    if (n_threads == 0)
        n_threads = processors_allowed();
    wn_thread_pool *p = wn_alloc(1, sizeof *p);
    if (!p)
        return wn_error_set(err, WN_NO_MEMORY, "thread pool: out of memory");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    p->n_threads = n_threads;
    p->threads = wn_alloc(n_threads, sizeof *p->threads);
    bool ok = p->threads != NULL;
    for (size_t i = 1; ok && i < n_threads; i++)
        ok = start_worker(p, i);
    if (!ok) {
        wn_thread_pool_close(p);
        return wn_error_set(err, WN_NO_MEMORY, "thread pool: cannot start %zu threads", n_threads);
    }
    *out = p;
    return WN_OK;
}

size_t wn_thread_pool_size(const wn_thread_pool *pool)
{
    return pool->n_threads;
}

static void publish(wn_thread_pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->epoch, 1, memory_order_release);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* The helpers must be out of the loop before its ctx may die. */
static void wait_helpers(wn_thread_pool *p)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(&p->busy, memory_order_acquire) == 0)
            return;
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load_explicit(&p->busy, memory_order_acquire) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void wn_thread_pool_run(wn_thread_pool *p, size_t n_units, wn_unit_fn body, void *ctx)
{
    if (n_units == 0)
        return;
    if (p->n_started == 0 || n_units == 1) {
        for (size_t i = 0; i < n_units; i++)
            body(ctx, i, 0);
        return;
    }
    p->body = body;
    p->ctx = ctx;
    p->n_units = n_units;
    atomic_store_explicit(&p->next_unit, 0, memory_order_relaxed);
    atomic_store_explicit(&p->busy, p->n_started, memory_order_relaxed);
    publish(p);
    run_units(p, 0);
    wait_helpers(p);
}

void wn_thread_pool_close(wn_thread_pool *p)
{
    if (!p)
        return;
    p->stop = true;
    publish(p);
    for (size_t i = 0; i < p->n_started; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}
