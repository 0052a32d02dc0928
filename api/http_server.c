#include "api/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api/http_server_internal.h"
#include "api/prefix_jobs.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"

#define LINGER_MS 2000
#define HALT_BEFORE_MS 8000    /* of drain_ms: what is still running is told to stop */
#define FLUSH_MS 3000          /* for the terminal events to reach their clients */
#define POOL_BYTES (64u << 10) /* the library's memory per connection; holds the header */

/* The library's callbacks ------------------------------------------------------------------------
 */

static void *on_request_line(void *ctx, const char *target, struct MHD_Connection *connection)
{
    wn_http_request *r = wn_alloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->server = ctx;
    r->target = wn_strdup(target ? target : "");
    r->target_at = target;
    r->call.context = &r->server->context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    r->call.connection = info ? info->socket_context : NULL;
    if (!r->target || !r->call.connection) {
        free(r->target);
        free(r);
        return NULL;
    }
    if (wn_http_connection_phase(r->call.connection) == WN_PHASE_IDLE)
        wn_http_connection_expect(r->call.connection, WN_PHASE_HEADER, 0);
    return r;
}

static enum MHD_Result start_request(wn_http_request *r, struct MHD_Connection *connection,
                                     const char *path, const char *method, const char *version)
{
    r->started = r->counted = true;
    atomic_fetch_add(&r->server->n_active, 1);
    wn_http_admit(r, connection, method, path, version);
    if (r->call.reply.status != 0 && !r->discard)
        return wn_http_send(r, connection);
    wn_http_connection_expect(r->call.connection, WN_PHASE_BODY,
                              r->started_ns + (int64_t)r->server->options.body_ms * 1000000);
    return MHD_YES;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **request)
{
    (void)ctx;
    wn_http_request *r = *request;
    if (!r)
        return MHD_NO;
    if (!r->started)
        return start_request(r, connection, path, method, version);
    if (*data_len > 0) {
        size_t len = *data_len;
        *data_len = 0;
        return wn_http_body_add(r, data, len) ? MHD_YES : MHD_NO;
    }
    wn_http_body_done(r);
    return wn_http_send(r, connection);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
    (void)ctx;
    (void)connection;
    wn_http_request *r = *request;
    if (!r)
        return;
    wn_http_server *s = r->server;
    wn_http_connection *c = r->call.connection;
    if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        wn_http_connection_mark_gone(c);
    else if (r->linger)
        wn_http_connection_linger(c, LINGER_MS);
    if (r->call.route)
        wn_log(WN_LOG_INFO, "api", "%s %s: %d, %.0f ms%s", r->call.route->method,
               r->call.route->path, r->call.reply.status,
               (double)(wn_clock_ns() - r->started_ns) / 1e6,
               why == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : ", cut");
    wn_http_connection_expect(c, WN_PHASE_IDLE, 0);
    atomic_fetch_sub(&s->body_bytes, r->reserved);
    if (r->counted)
        atomic_fetch_sub(&s->n_active, 1);
    wn_http_call_clear(&r->call);
    free(r->target);
    free(r);
    *request = NULL;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    wn_http_server *s = ctx;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = info ? wn_http_watch_add(s->watch, info->connect_fd) : NULL;
    } else if (*socket_context) {
        wn_http_watch_remove(s->watch, *socket_context);
        *socket_context = NULL;
    }
}

/* Start ------------------------------------------------------------------------------------------
 */

static void load_models(wn_engine_job *job)
{
    wn_http_server *s = (wn_http_server *)((char *)job - offsetof(wn_http_server, load_job));
    const wn_model *model = NULL;
    wn_status status = wn_service_load(s->context.service, &s->load_error);
    if (status == WN_OK)
        status = wn_service_generator(s->context.service, &model, &s->load_error);
    s->context.model_name = model ? wn_model_name(model) : "generator";
    atomic_store(&s->load_status, (int)status);
    if (status != WN_OK)
        return;
    atomic_store(&s->context.ready, true);
    if (s->options.on_ready)
        s->options.on_ready(s->options.ctx);
}

static void load_refused(wn_engine_job *job, wn_status why)
{
    (void)job;
    (void)why; /* the server stops before it was ready */
}

static void fill_defaults(wn_http_options *o)
{
#define DEFAULT(field, value) o->field = o->field ? o->field : (value)
    DEFAULT(address, "127.0.0.1");
    DEFAULT(max_connections, 1024);
    DEFAULT(max_per_address, 64);
    DEFAULT(queue_capacity, 128);
    DEFAULT(n_parallel, 1);
    DEFAULT(max_json_bytes, (size_t)1 << 20);
    DEFAULT(max_upload_bytes, (size_t)64 << 20);
    DEFAULT(max_body_bytes_all, (size_t)512 << 20);
    DEFAULT(header_ms, 10000);
    DEFAULT(body_ms, 10000);
    DEFAULT(idle_ms, 60000);
    DEFAULT(request_ms, 120000);
    DEFAULT(generation_ms, 600000);
    DEFAULT(ping_ms, 15000);
    DEFAULT(drain_ms, 25000);
#undef DEFAULT
}

static wn_status bind_to(int fd, const struct sockaddr *address, socklen_t len, const char *name,
                         uint16_t port, wn_error *err)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address, len) != 0 || listen(fd, 1024) != 0)
        return wn_error_set_errno(err, errno, "cannot listen on %s port %u", name, port);
    return WN_OK;
}

static wn_status listen_on(wn_http_server *s, wn_error *err)
{
    const wn_http_options *o = &s->options;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(o->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(o->port)};
    bool is_v4 = inet_pton(AF_INET, o->address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, o->address, &v6.sin6_addr) != 1)
        return wn_error_set(err, WN_INVALID,
                            "address \"%s\": must be a numeric IPv4 or IPv6 address", o->address);
    s->listen_fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return wn_error_set_errno(err, errno, "cannot make a socket");
    if (is_v4)
        WN_TRY(bind_to(s->listen_fd, (struct sockaddr *)&v4, sizeof v4, o->address, o->port, err));
    else
        WN_TRY(bind_to(s->listen_fd, (struct sockaddr *)&v6, sizeof v6, o->address, o->port, err));
    socklen_t len = is_v4 ? sizeof v4 : sizeof v6;
    if (getsockname(s->listen_fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, &len) !=
        0)
        return wn_error_set_errno(err, errno, "cannot read the port");
    s->port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
    return WN_OK;
}

static wn_status check_exposure(wn_http_server *s, wn_error *err)
{
    bool keys = wn_http_auth_has_keys(s->context.auth);
    bool loopback = wn_http_address_is_loopback(s->options.address);
    s->local_only = loopback && !keys;
    if (loopback || keys)
        return WN_OK;
    return wn_error_set(err, WN_DENIED,
                        "address %s can be reached from other machines: configure API keys first "
                        "(or stay on 127.0.0.1)",
                        s->options.address);
}

/* Later versions cut headers another way, and refuse what this check is for. */
static bool library_cuts_in_place(void)
{
    unsigned major = 0, minor = 0, patch = 0;
    if (sscanf(MHD_get_version(), "%u.%u.%u", &major, &minor, &patch) != 3)
        return false;
    return major == 0 && minor == 9 && patch < 77;
}

static wn_status open_parts(wn_http_server *s, wn_error *err)
{
    const wn_http_options *o = &s->options;
    WN_TRY(wn_http_auth_open(&s->context.auth, o->keys_file, err));
    WN_TRY(check_exposure(s, err));
    WN_TRY(listen_on(s, err));
    WN_TRY(wn_http_watch_open(&s->watch, o->header_ms, o->idle_ms, err));
    WN_TRY(wn_http_gate_open(&s->context.search_gate, 4, o->queue_capacity, err));
    WN_TRY(wn_http_gate_open(&s->context.ingest_gate, 2, 16, err));
    WN_TRY(wn_prefix_jobs_open(&s->context.prefix_jobs, err));
    return wn_engine_open(&s->context.engine, o->queue_capacity, o->n_parallel, err);
}

/* Strictness 0: the guard is stricter, and 0.9.75 sends its own refusal of a missing Host twice. No
 * timeouts of the library: a wait for the engine would count as the client's silence. */
static wn_status start_daemon(wn_http_server *s, wn_error *err)
{
    s->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
            MHD_USE_ITC,
        s->port, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, s->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, s->options.max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        s->options.max_per_address, MHD_OPTION_CONNECTION_TIMEOUT, 0u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)2 << 20, MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_URI_LOG_CALLBACK,
        on_request_line, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
    if (!s->daemon)
        return wn_error_set(err, WN_INTERNAL, "the HTTP library did not start");
    s->listen_fd = -1;
    return WN_OK;
}

wn_status wn_http_server_start(wn_http_server **out, wn_service *service,
                               const wn_http_options *options, wn_error *err)
{
    wn_http_server *s = wn_alloc(1, sizeof *s);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "server: out of memory");
    s->options = *options;
    fill_defaults(&s->options);
    s->listen_fd = -1;
    s->check_layout = library_cuts_in_place();
    s->context.service = service;
    s->context.started_at = wn_clock_unix_s();
    s->context.request_ms = s->options.request_ms;
    s->context.generation_ms = s->options.generation_ms;
    s->load_job = (wn_engine_job){.run = load_models, .refuse = load_refused};
    wn_status status = open_parts(s, err);
    if (status == WN_OK)
        status = start_daemon(s, err);
    if (status == WN_OK && !wn_engine_submit(s->context.engine, &s->load_job))
        status = wn_error_set(err, WN_INTERNAL, "the engine did not start");
    if (status != WN_OK) {
        wn_http_server_stop(s);
        return status;
    }
    *out = s;
    return WN_OK;
}

uint16_t wn_http_server_port(const wn_http_server *s)
{
    return s->port;
}

wn_status wn_http_server_health(wn_http_server *s, wn_error *err)
{
    wn_status status = (wn_status)atomic_load(&s->load_status);
    if (status != WN_OK)
        return wn_error_set(err, status, "%s", s->load_error.text);
    return WN_OK;
}

/* Stop -------------------------------------------------------------------------------------------
 */

void wn_http_server_drain(wn_http_server *s)
{
    atomic_store(&s->context.draining, true);
}

bool wn_http_server_idle(wn_http_server *s)
{
    return atomic_load(&s->n_active) == 0 && wn_engine_pending(s->context.engine) == 0;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

void wn_http_server_stop(wn_http_server *s)
{
    if (!s)
        return;
    wn_http_server_drain(s);
    if (s->watch)
        wn_http_watch_cancel_all(s->watch);
    if (s->context.engine)
        wn_engine_halt(s->context.engine);
    int64_t until = wn_clock_ns() + (int64_t)FLUSH_MS * 1000000;
    while (s->daemon && wn_clock_ns() < until && !wn_http_server_idle(s))
        sleep_ms(10);
    if (s->context.engine)
        wn_engine_shut(s->context.engine);
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    wn_engine_close(s->context.engine);
    wn_prefix_jobs_close(s->context.prefix_jobs);
    wn_http_watch_close(s->watch);
    wn_http_gate_close(s->context.search_gate);
    wn_http_gate_close(s->context.ingest_gate);
    wn_http_auth_close(s->context.auth);
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    free(s);
}

/* Run --------------------------------------------------------------------------------------------
 */

/* Each connection takes a descriptor, and corpora take some more. */
static void raise_descriptor_limit(unsigned wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* A handler, not sigwait: OpenBLAS has threads since before main(), which block no signal and would
 * take the default action. The one thing that a handler can reach is static. */
static atomic_int n_signals;

static void on_signal(int signal)
{
    (void)signal;
    atomic_fetch_add(&n_signals, 1);
}

typedef struct signal_state {
    struct sigaction term, interrupt;
    sigset_t mask;
} signal_state;

static void take_signals(signal_state *old)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGTERM);
    sigaddset(&both, SIGINT);
    atomic_store(&n_signals, 0);
    sigaction(SIGTERM, &action, &old->term);
    sigaction(SIGINT, &action, &old->interrupt);
    pthread_sigmask(SIG_UNBLOCK, &both, &old->mask);
}

static void give_signals_back(const signal_state *old)
{
    pthread_sigmask(SIG_SETMASK, &old->mask, NULL);
    sigaction(SIGTERM, &old->term, NULL);
    sigaction(SIGINT, &old->interrupt, NULL);
}

static void serve_until_told(wn_http_server *s)
{
    const atomic_bool *stop = s->options.stop;
    wn_error ignored = {0};
    while (atomic_load(&n_signals) == 0 && !(stop && atomic_load(stop))) {
        if (wn_http_server_health(s, &ignored) != WN_OK)
            return;
        sleep_ms(20);
    }
    wn_log(WN_LOG_INFO, "api", "shutting down: %zu requests", atomic_load(&s->n_active));
    wn_http_server_drain(s);
    int told = atomic_load(&n_signals);
    int64_t wait_ms = (int64_t)s->options.drain_ms - HALT_BEFORE_MS;
    int64_t until = wn_clock_ns() + wait_ms * 1000000;
    while (wn_clock_ns() < until && !wn_http_server_idle(s) && atomic_load(&n_signals) == told)
        sleep_ms(10);
}

wn_status wn_http_server_run(wn_service *service, const wn_http_options *options, wn_error *err)
{
    signal_state old;
    wn_http_server *s = NULL;
    take_signals(&old);
    wn_status status = wn_http_server_start(&s, service, options, err);
    if (status == WN_OK) {
        char url[128];
        bool v6 = strchr(s->options.address, ':') != NULL;
        snprintf(url, sizeof url, v6 ? "http://[%s]:%u" : "http://%s:%u", s->options.address,
                 s->port);
        raise_descriptor_limit(s->options.max_connections + 256);
        if (s->options.on_listening)
            s->options.on_listening(s->options.ctx, url);
        serve_until_told(s);
        status = wn_http_server_health(s, err);
        wn_http_server_stop(s);
    }
    give_signals_back(&old);
    return status;
}
