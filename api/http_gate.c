#include "api/http_gate.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/checked.h"
#include "base/clock.h"

#define LOOK_EVERY_NS 100000000 /* how often a waiter looks whether its client is still there */

struct wn_http_gate {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    size_t n_inside, max_inside, n_waiting, max_waiting;
};

wn_status wn_http_gate_open(wn_http_gate **out, size_t n_inside, size_t n_waiting, wn_error *err)
{
    wn_http_gate *g = wn_alloc(1, sizeof *g);
    if (!g)
        return wn_error_set(err, WN_NO_MEMORY, "gate: out of memory");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&g->freed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&g->lock, NULL);
    g->max_inside = n_inside;
    g->max_waiting = n_waiting;
    *out = g;
    return WN_OK;
}

void wn_http_gate_close(wn_http_gate *g)
{
    if (!g)
        return;
    pthread_cond_destroy(&g->freed);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static wn_status wait_inside(wn_http_gate *g, int64_t deadline_ns, bool (*gone)(void *), void *ctx)
{
    while (g->n_inside == g->max_inside) {
        int64_t now = wn_clock_ns(), until = now + LOOK_EVERY_NS;
        if (now >= deadline_ns)
            return WN_DEADLINE;
        if (gone && gone(ctx))
            return WN_CANCELLED;
        struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
        pthread_cond_timedwait(&g->freed, &g->lock, &t);
    }
    g->n_inside++;
    return WN_OK;
}

wn_status wn_http_gate_enter(wn_http_gate *g, int64_t deadline_ns, bool (*gone)(void *), void *ctx)
{
    wn_status status = WN_BUSY;
    pthread_mutex_lock(&g->lock);
    if (g->n_inside < g->max_inside || g->n_waiting < g->max_waiting) {
        g->n_waiting++;
        status = wait_inside(g, deadline_ns, gone, ctx);
        g->n_waiting--;
    }
    pthread_mutex_unlock(&g->lock);
    return status;
}

void wn_http_gate_leave(wn_http_gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->n_inside--;
    pthread_cond_signal(&g->freed);
    pthread_mutex_unlock(&g->lock);
}
