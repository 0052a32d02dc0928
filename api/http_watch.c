#include "api/http_watch.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/checked.h"
#include "base/clock.h"

#define TICK_NS 100000000

struct wn_http_connection {
    pthread_mutex_t lock;
    int fd; /* -1 once removed */
    wn_http_phase phase;
    int64_t deadline_ns;
    uint64_t bytes_seen; /* received by the socket when it became idle */
    int64_t header_ns, idle_ns;
    atomic_bool gone;
    atomic_int refs;
    wn_http_connection *prev, *next; /* under the watch's lock */
};

struct wn_http_watch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool closing;
    int64_t header_ns, idle_ns;
    wn_http_connection *first;
};

static uint64_t bytes_received(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
        return 0;
    return info.tcpi_bytes_received;
}

static bool hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static void look_at(wn_http_connection *c, int64_t now)
{
    pthread_mutex_lock(&c->lock);
    if (c->phase == WN_PHASE_IDLE && bytes_received(c->fd) != c->bytes_seen) {
        c->phase = WN_PHASE_HEADER;
        c->deadline_ns = now + c->header_ns;
    }
    if (c->phase == WN_PHASE_WORK && hung_up(c->fd))
        atomic_store(&c->gone, true);
    if (c->deadline_ns && now >= c->deadline_ns) {
        c->deadline_ns = 0;
        shutdown(c->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&c->lock);
}

static void *watch_thread(void *arg)
{
    wn_http_watch *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->closing) {
        int64_t now = wn_clock_ns(), until = now + TICK_NS;
        for (wn_http_connection *c = w->first; c; c = c->next)
            look_at(c, now);
        struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
        if (w->first)
            pthread_cond_timedwait(&w->changed, &w->lock, &t);
        else
            pthread_cond_wait(&w->changed, &w->lock);
        while (!w->closing && w->first && wn_clock_ns() < until)
            pthread_cond_timedwait(&w->changed, &w->lock, &t);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

wn_status wn_http_watch_open(wn_http_watch **out, unsigned header_ms, unsigned idle_ms,
                             wn_error *err)
{
    wn_http_watch *w = wn_alloc(1, sizeof *w);
    if (!w)
        return wn_error_set(err, WN_NO_MEMORY, "connection watch: out of memory");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&w->lock, NULL);
    w->header_ns = (int64_t)header_ms * 1000000;
    w->idle_ns = (int64_t)idle_ms * 1000000;
    int rc = pthread_create(&w->thread, NULL, watch_thread, w);
    if (rc != 0) {
        free(w);
        return wn_error_set_errno(err, rc, "connection watch: no thread");
    }
    *out = w;
    return WN_OK;
}

void wn_http_watch_close(wn_http_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

wn_http_connection *wn_http_watch_add(wn_http_watch *w, int fd)
{
    wn_http_connection *c = wn_alloc(1, sizeof *c);
    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    c->fd = fd;
    c->header_ns = w->header_ns;
    c->idle_ns = w->idle_ns;
    atomic_init(&c->refs, 1);
    c->deadline_ns = wn_clock_ns() + w->header_ns;
    pthread_mutex_lock(&w->lock);
    c->next = w->first;
    if (w->first)
        w->first->prev = c;
    w->first = c;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return c;
}

void wn_http_watch_remove(wn_http_watch *w, wn_http_connection *c)
{
    pthread_mutex_lock(&w->lock);
    if (c->prev)
        c->prev->next = c->next;
    else
        w->first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_lock(&c->lock);
    c->fd = -1;
    atomic_store(&c->gone, true);
    pthread_mutex_unlock(&c->lock);
    wn_http_connection_release(c);
}

void wn_http_watch_cancel_all(wn_http_watch *w)
{
    pthread_mutex_lock(&w->lock);
    for (wn_http_connection *c = w->first; c; c = c->next)
        atomic_store(&c->gone, true);
    pthread_mutex_unlock(&w->lock);
}

void wn_http_connection_expect(wn_http_connection *c, wn_http_phase phase, int64_t deadline_ns)
{
    pthread_mutex_lock(&c->lock);
    c->phase = phase;
    c->deadline_ns = deadline_ns;
    if (phase == WN_PHASE_HEADER)
        c->deadline_ns = wn_clock_ns() + c->header_ns;
    if (phase == WN_PHASE_IDLE) {
        c->deadline_ns = wn_clock_ns() + c->idle_ns;
        c->bytes_seen = c->fd < 0 ? 0 : bytes_received(c->fd);
    }
    pthread_mutex_unlock(&c->lock);
}

wn_http_phase wn_http_connection_phase(wn_http_connection *c)
{
    pthread_mutex_lock(&c->lock);
    wn_http_phase phase = c->phase;
    pthread_mutex_unlock(&c->lock);
    return phase;
}

bool wn_http_connection_gone(void *connection)
{
    wn_http_connection *c = connection;
    if (atomic_load(&c->gone))
        return true;
    pthread_mutex_lock(&c->lock);
    if (c->fd < 0 || hung_up(c->fd))
        atomic_store(&c->gone, true);
    pthread_mutex_unlock(&c->lock);
    return atomic_load(&c->gone);
}

void wn_http_connection_mark_gone(wn_http_connection *c)
{
    atomic_store(&c->gone, true);
}

const atomic_bool *wn_http_connection_gone_flag(const wn_http_connection *c)
{
    return &c->gone;
}

void wn_http_connection_retain(wn_http_connection *c)
{
    atomic_fetch_add(&c->refs, 1);
}

void wn_http_connection_release(wn_http_connection *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void wn_http_connection_linger(wn_http_connection *c, unsigned ms)
{
    char sink[16384];
    int64_t until = wn_clock_ns() + (int64_t)ms * 1000000;
    pthread_mutex_lock(&c->lock);
    int fd = c->fd;
    pthread_mutex_unlock(&c->lock);
    if (fd < 0 || shutdown(fd, SHUT_WR) != 0)
        return;
    for (int64_t left; (left = (until - wn_clock_ns()) / 1000000) > 0;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, (int)left) <= 0)
            return;
        ssize_t n = recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return;
    }
}
