#include "base/thread_pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"

/* Longer than the gap between two ops of a forward pass, so nobody sleeps there. */
#define SPIN_NS 50000
/* A helper is late when the caller waits for it longer than this and than two units take. Far above
 * the jitter of units, far below the milliseconds for which a scheduler takes a processor away. */
#define PATIENCE_NS 300000
/* Somebody else has the processor of a late helper then, and whoever waits for a helper that is
 * taken off in the middle of a unit loses a slice (milliseconds). So for a while it works in turns
 * that are shorter than a slice and sleeps between them, outside of loops, while the other one has
 * its slice; and it takes no processor of the caller's, who must not wait for either. */
#define TURN_NS 1500000
/* How long: twice as long each time that it is late again soon after. */
#define SHARE_MIN_NS 16000000
#define SHARE_MAX_NS 512000000

/* The gate: bits of one word, which helpers also sleep on.
 * A loop is a new epoch with the gate open. Whoever adds INSIDE to an open gate may take units; the
 * caller closes it when units are out and waits until nobody is inside. */
#define GATE_OPEN 1u
#define GATE_AWAITED 2u /* the caller sleeps until nobody is inside */
#define GATE_INSIDE 4u
#define GATE_INSIDE_ALL ((WN_THREAD_POOL_MAX - 1) * GATE_INSIDE)
#define GATE_EPOCH (WN_THREAD_POOL_MAX * GATE_INSIDE)
#define GATE_EPOCH_ALL (~(GATE_EPOCH - 1)) /* counts loops, modulo 2^18 */

/* Units of a loop are cut into a share for each worker: how many of them are taken. */
typedef struct share {
    _Alignas(64) atomic_size_t taken;
} share;

struct wn_thread_pool {
    pthread_t *threads;
    size_t n_threads; /* the caller included */
    size_t n_started; /* helper threads that exist */
    cpu_set_t allowed;
    atomic_uint stop;

    /* The loop: written while nobody is inside. */
    wn_unit_fn body;
    void *ctx;
    size_t n_units;
    /* Written before the gate closes: when that was, and how long a helper may take from there. */
    int64_t closed_at, patience;

    _Alignas(64) atomic_uint gate;
    atomic_uint n_asleep;
    atomic_int caller_cpu; /* -1: not known */
    share *shares;         /* [n_threads] */
    size_t share_units;
};

typedef struct helper {
    wn_thread_pool *pool;
    size_t worker;
    unsigned epoch;                     /* of the last loop that it took part in or missed */
    int64_t share, share_end, turn_end; /* for how long and until when it shares, and this turn */
    int avoids;                         /* this processor; -1: none */
} helper;

static void futex_wait(atomic_uint *word, unsigned value, const struct timespec *timeout)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

static void futex_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Waits a little for (*word & mask) to become (or, not equal, to stop being) value. */
static bool spin(atomic_uint *word, unsigned mask, unsigned value, bool equal)
{
    const int64_t end = wn_clock_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 16; i++) {
            const unsigned now = atomic_load_explicit(word, memory_order_acquire);
            if (((now & mask) == value) == equal)
                return true;
            __builtin_ia32_pause();
        }
    } while (wn_clock_ns() < end);
    return false;
}

/* The worker's own share, then what is left of the others', to the end of its turn. Returns how
 * many. */
static size_t run_units(wn_thread_pool *p, size_t worker, int64_t turn_end)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_threads; i++) {
        const size_t part = (worker + i) % p->n_threads, first = part * p->share_units;
        const size_t left = first < p->n_units ? p->n_units - first : 0;
        const size_t size = left < p->share_units ? left : p->share_units;
        atomic_size_t *taken = &p->shares[part].taken;
        while (atomic_load_explicit(taken, memory_order_relaxed) < size) {
            const size_t unit = atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
            if (unit >= size)
                break;
            p->body(p->ctx, first + unit, worker);
            n++;
            if (turn_end < INT64_MAX && wn_clock_ns() > turn_end)
                return n;
        }
    }
    return n;
}

/* ---- helpers ---- */

/* Until there is a loop newer than the helper's last one, or the pool stops. */
static void wait_for_loop(const helper *h)
{
    wn_thread_pool *p = h->pool;
    if (spin(&p->gate, GATE_EPOCH_ALL, h->epoch, false))
        return;
    /* Either the caller sees the count after it opened the gate, or we see the new epoch. */
    atomic_fetch_add(&p->n_asleep, 1);
    unsigned gate = 0;
    while (((gate = atomic_load(&p->gate)) & GATE_EPOCH_ALL) == h->epoch && !atomic_load(&p->stop))
        futex_wait(&p->gate, gate, NULL);
    atomic_fetch_sub(&p->n_asleep, 1);
}

/* False: the loop is over. */
static bool enter(helper *h)
{
    unsigned gate = atomic_load(&h->pool->gate);
    while ((gate & GATE_OPEN) &&
           !atomic_compare_exchange_weak(&h->pool->gate, &gate, gate + GATE_INSIDE))
        ;
    h->epoch = gate & GATE_EPOCH_ALL;
    return gate & GATE_OPEN;
}

/* Whether it was late: a helper that finds the gate closed had a unit longer than the others. */
static bool leave(const helper *h)
{
    wn_thread_pool *p = h->pool;
    const bool late =
        !(atomic_load(&p->gate) & GATE_OPEN) && wn_clock_ns() - p->closed_at > p->patience;
    const unsigned gate = atomic_fetch_sub(&p->gate, GATE_INSIDE) - GATE_INSIDE;
    if ((gate & GATE_AWAITED) && !(gate & GATE_INSIDE_ALL))
        futex_wake(&p->gate);
    return late;
}

static void avoid(helper *h, int cpu)
{
    cpu_set_t set = h->pool->allowed;
    if (cpu == h->avoids || CPU_COUNT(&set) < 2)
        return;
    if (cpu >= 0 && cpu < CPU_SETSIZE)
        CPU_CLR((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        h->avoids = cpu;
}

static void start_sharing(helper *h, int64_t now)
{
    if (now > h->share_end) {
        h->share *= 2;
        if (now - h->share_end > h->share || h->share < SHARE_MIN_NS)
            h->share = SHARE_MIN_NS;
        if (h->share > SHARE_MAX_NS)
            h->share = SHARE_MAX_NS;
    }
    h->share_end = now + h->share;
    h->turn_end = now; /* its slice may be old */
}

/* Outside of a loop. Whether it slept: the loop that it left may still be open. */
static bool rest(helper *h, bool late)
{
    if (late)
        start_sharing(h, wn_clock_ns());
    if (h->turn_end == INT64_MAX || wn_clock_ns() < h->turn_end)
        return false;
    futex_wait(&h->pool->stop, 0, &(struct timespec){.tv_nsec = TURN_NS});
    const int64_t now = wn_clock_ns();
    const bool shares = now < h->share_end;
    h->turn_end = shares ? now + TURN_NS : INT64_MAX;
    avoid(h, shares ? atomic_load_explicit(&h->pool->caller_cpu, memory_order_relaxed) : -1);
    return true;
}

static void *helper_main(void *argument)
{
    helper h = *(helper *)argument;
    free(argument);
    for (;;) {
        wait_for_loop(&h);
        if (atomic_load(&h.pool->stop))
            return NULL;
        do {
            if (!enter(&h))
                break;
            run_units(h.pool, h.worker, h.turn_end);
        } while (rest(&h, leave(&h)));
    }
}

/* ---- the caller ---- */

static cpu_set_t processors_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        CPU_ZERO(&set); /* more than it holds */
    return set;
}

static bool start_helper(wn_thread_pool *p, size_t worker)
{
    helper *h = wn_alloc(1, sizeof *h);
    if (!h)
        return false;
    *h = (helper){.pool = p, .worker = worker, .turn_end = INT64_MAX, .avoids = -1};
    if (pthread_create(&p->threads[worker - 1], NULL, helper_main, h) != 0) {
        free(h);
        return false;
    }
    p->n_started++;
    return true;
}

wn_status wn_thread_pool_open(wn_thread_pool **out, size_t n_threads, wn_error *err)
{
    const cpu_set_t allowed = processors_allowed();
    if (n_threads == 0)
        n_threads = CPU_COUNT(&allowed) > 0 ? (size_t)CPU_COUNT(&allowed) : 1;
    if (n_threads > WN_THREAD_POOL_MAX)
        return wn_error_set(err, WN_LIMIT, "thread pool: %zu threads, %d is the limit", n_threads,
                            WN_THREAD_POOL_MAX);
    wn_thread_pool *p = wn_alloc_aligned(64, 1, sizeof *p);
    if (!p)
        return wn_error_set(err, WN_NO_MEMORY, "thread pool: out of memory");
    *p = (wn_thread_pool){.n_threads = n_threads, .allowed = allowed};
    p->threads = wn_alloc(n_threads, sizeof *p->threads);
    p->shares = wn_alloc_aligned(64, n_threads, sizeof *p->shares);
    bool ok = p->threads && p->shares;
    for (size_t i = 1; ok && i < n_threads; i++)
        ok = start_helper(p, i);
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

static void open_gate(wn_thread_pool *p)
{
    atomic_fetch_add(&p->gate, GATE_EPOCH | GATE_OPEN);
    if (atomic_load(&p->n_asleep) != 0)
        futex_wake(&p->gate);
}

/* The helpers must be out of the loop before its ctx may die. */
static void close_gate(wn_thread_pool *p)
{
    unsigned gate = atomic_fetch_and(&p->gate, ~GATE_OPEN);
    if (!(gate & GATE_INSIDE_ALL) || spin(&p->gate, GATE_INSIDE_ALL, 0, true))
        return;
    atomic_fetch_or(&p->gate, GATE_AWAITED);
    while ((gate = atomic_load(&p->gate)) & GATE_INSIDE_ALL)
        futex_wait(&p->gate, gate, NULL);
    atomic_fetch_and(&p->gate, ~GATE_AWAITED);
}

void wn_thread_pool_run(wn_thread_pool *p, size_t n_units, wn_unit_fn body, void *ctx)
{
    if (p->n_started == 0 || n_units <= 1) {
        for (size_t i = 0; i < n_units; i++)
            body(ctx, i, 0);
        return;
    }
    p->body = body;
    p->ctx = ctx;
    p->n_units = n_units;
    p->share_units = (n_units + p->n_threads - 1) / p->n_threads;
    for (size_t i = 0; i < p->n_threads; i++)
        atomic_store_explicit(&p->shares[i].taken, 0, memory_order_relaxed);
    const int64_t start = wn_clock_ns();
    atomic_store_explicit(&p->caller_cpu, sched_getcpu(), memory_order_relaxed);
    open_gate(p);
    const size_t n = run_units(p, 0, INT64_MAX);
    p->closed_at = wn_clock_ns();
    const int64_t two_units = n > 0 ? 2 * (p->closed_at - start) / (int64_t)n : INT64_MAX;
    p->patience = two_units > PATIENCE_NS ? two_units : PATIENCE_NS;
    close_gate(p);
}

void wn_thread_pool_close(wn_thread_pool *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, 1);
    futex_wake(&p->stop);
    atomic_fetch_add(&p->gate, GATE_EPOCH);
    futex_wake(&p->gate);
    for (size_t i = 0; i < p->n_started; i++)
        pthread_join(p->threads[i], NULL);
    free(p->threads);
    free(p->shares);
    free(p);
}
