/* The HTTP server: accepts connections, guards their framing, checks who asks, and hands requests
 * to the routes (route_table.h).
 *
 *     wn_http_options o = {.port = 8080, .ctx = ui, .on_listening = print_url};
 *     WN_TRY(wn_http_server_run(service, &o, err));      // until SIGTERM, SIGINT or *o.stop
 *
 * Threads: one per connection (at most max_connections), which may wait; n_parallel that
 * answer; one that watches deadlines. So a long prefill or ingestion stalls
 * neither /livez nor another client's stream. Shutdown: /readyz says 503 and no new work is taken;
 * running streams finish, or get a terminal event when drain_ms is over; a second signal ends the
 * waiting.
 *
 * Binds 127.0.0.1 unless told otherwise; an address that is not a loopback one is WN_DENIED without
 * keys. Without keys the Host header must name this machine and a browser's Origin this server.
 */
#ifndef WN_API_HTTP_SERVER_H
#define WN_API_HTTP_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/service.h"

typedef struct wn_http_options {
    const char *address;   /* numeric, IPv4 or IPv6; NULL = 127.0.0.1 */
    uint16_t port;         /* 0 picks a free one */
    const char *keys_file; /* see http_auth.h; NULL = no keys */
    /* 0 = the default in brackets */
    unsigned max_connections;  /* [1024] */
    unsigned max_per_address;  /* [64] */
    size_t queue_capacity;     /* [128] waiting generations; more get 503 */
    size_t n_parallel;         /* [1] generations at once, at most WN_ENGINE_MAX_THREADS */
    size_t max_json_bytes;     /* [1 MiB] */
    size_t max_upload_bytes;   /* [64 MiB] */
    size_t max_body_bytes_all; /* [512 MiB] bodies held at once, of all requests */
    unsigned header_ms;        /* [10 s] for the whole request header */
    unsigned body_ms;          /* [10 s] before a body has to arrive with 16 KiB/s on average */
    unsigned idle_ms;          /* [60 s] between requests, and for a reader that does not read */
    unsigned request_ms;       /* [120 s] waiting in a queue */
    unsigned generation_ms;    /* [600 s] one answer's run */
    unsigned ping_ms;          /* [15 s] between comments in a silent stream */
    unsigned drain_ms;         /* [25 s] from the signal to the last byte */
    const atomic_bool *stop;   /* may be NULL; true has the effect of SIGTERM */
    void *ctx;
    void (*on_listening)(void *ctx, const char *url); /* may be NULL, as the next */
    void (*on_ready)(void *ctx);                      /* models are loaded */
} wn_http_options;

typedef struct wn_http_server wn_http_server;

/* Listens and begins to load the models (readyz says 503 until then). */
wn_status wn_http_server_start(wn_http_server **out, wn_service *service,
                               const wn_http_options *options, wn_error *err);
uint16_t wn_http_server_port(const wn_http_server *s);
/* WN_OK while loading or ready; the error of a load that failed. */
wn_status wn_http_server_health(wn_http_server *s, wn_error *err);
/* Takes no new work from now on; returns at once. */
void wn_http_server_drain(wn_http_server *s);
/* No request is being read, worked on or answered. */
bool wn_http_server_idle(wn_http_server *s);
/* Stops what still runs at its next step (streams get their terminal event), and frees. NULL is
 * fine. */
void wn_http_server_stop(wn_http_server *s);

/* Start, wait for SIGTERM or SIGINT (handled for the time of the call), stop. One call at a time in
 * a process. */
wn_status wn_http_server_run(wn_service *service, const wn_http_options *options, wn_error *err);

#endif
