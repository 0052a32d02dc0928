#include "api/sse.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/strbuf.h"

static const char ping[] = ": ping\n\n";

struct wn_sse_stream {
    pthread_mutex_t lock;
    pthread_cond_t more;
    wn_strbuf buffer;
    size_t read_pos, cap;
    bool ended, abandoned;
    atomic_int refs;
};

wn_status wn_sse_open(wn_sse_stream **out, size_t cap_bytes, wn_error *err)
{
    wn_sse_stream *s = wn_alloc(1, sizeof *s);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "event stream: out of memory");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->more, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&s->lock, NULL);
    s->cap = cap_bytes;
    atomic_init(&s->refs, 1);
    *out = s;
    return WN_OK;
}

void wn_sse_retain(wn_sse_stream *s)
{
    atomic_fetch_add(&s->refs, 1);
}

void wn_sse_release(wn_sse_stream *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    pthread_cond_destroy(&s->more);
    pthread_mutex_destroy(&s->lock);
    wn_strbuf_free(&s->buffer);
    free(s);
}

static void append_event(wn_strbuf *b, const char *event, const char *data)
{
    if (event)
        wn_strbuf_printf(b, "event: %s\n", event);
    for (const char *line = data; line;) {
        size_t len = strcspn(line, "\r\n");
        wn_strbuf_adds(b, "data: ");
        wn_strbuf_add(b, line, len);
        wn_strbuf_addc(b, '\n');
        line += len;
        if (*line == '\r' && line[1] == '\n')
            line++;
        line = *line ? line + 1 : NULL;
    }
    wn_strbuf_addc(b, '\n');
}

/* Forgets what was read, so that the buffer holds only what is on its way. */
static void compact(wn_sse_stream *s)
{
    size_t left = s->buffer.len - s->read_pos;
    if (s->read_pos == 0)
        return;
    memmove(s->buffer.data, s->buffer.data + s->read_pos, left);
    wn_strbuf_truncate(&s->buffer, left);
    s->read_pos = 0;
}

wn_status wn_sse_send(wn_sse_stream *s, const char *event, const char *data)
{
    wn_status status = WN_OK;
    pthread_mutex_lock(&s->lock);
    if (s->abandoned || s->ended) {
        status = WN_CANCELLED;
    } else {
        compact(s);
        append_event(&s->buffer, event, data);
        if (wn_strbuf_failed(&s->buffer) || s->buffer.len > s->cap) {
            s->abandoned = s->ended = true;
            status = WN_LIMIT;
        }
        pthread_cond_signal(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

void wn_sse_end(wn_sse_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
}

bool wn_sse_ended(wn_sse_stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool ended = s->ended;
    pthread_mutex_unlock(&s->lock);
    return ended;
}

size_t wn_sse_read(wn_sse_stream *s, char *buf, size_t max, unsigned ping_ms)
{
    size_t n = 0;
    int64_t until = wn_clock_ns() + (int64_t)ping_ms * 1000000;
    struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    pthread_mutex_lock(&s->lock);
    int rc = 0;
    while (s->read_pos == s->buffer.len && !s->ended && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->more, &s->lock, &t);
    if (s->read_pos < s->buffer.len && !s->abandoned) {
        n = s->buffer.len - s->read_pos;
        if (n > max)
            n = max;
        memcpy(buf, s->buffer.data + s->read_pos, n);
        s->read_pos += n;
    } else if (!s->ended && max >= sizeof ping - 1) {
        n = sizeof ping - 1;
        memcpy(buf, ping, n);
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

void wn_sse_abandon(wn_sse_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->abandoned = s->ended = true;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
}
