/* The program's side: starts the worker, sends files, reads and judges results. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "ingest/parse_frame.h"
#include "ingest/parse_protocol.h"
#include "ingest/parse_worker.h"

#define START_MS 30000 /* for the worker's hello; a debugger or a slow disk may be in the way */
#define MARGIN_MS 5000 /* the keeper is given this long after a file's deadline */

extern char **environ;

struct wn_parse_pool {
    wn_parse_options o;
    char *pdfium_path;
    pthread_mutex_t lock; /* of all below */
    pid_t worker;         /* 0 = none */
    int socket;
};

/* One file's descriptors: ours and the worker's. */
typedef struct exchange {
    int file;
    int frame[2], exit[2]; /* read end, write end */
} exchange;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

wn_status wn_parse_pool_open(wn_parse_pool **out, const wn_parse_options *o, wn_error *err)
{
    wn_parse_pool *p = wn_alloc(1, sizeof *p);
    if (!p)
        return wn_error_set(err, WN_NO_MEMORY, "parse pool: no memory");
    p->o = *o;
    p->socket = -1;
    p->o.cpu_s = o->cpu_s ? o->cpu_s : 10;
    p->o.deadline_ms = o->deadline_ms ? o->deadline_ms : 30000;
    p->o.memory_bytes = o->memory_bytes ? o->memory_bytes : (size_t)512 << 20;
    p->o.n_formats = o->formats ? o->n_formats : wn_n_doc_formats;
    p->o.formats = o->formats ? o->formats : wn_doc_formats;
    p->pdfium_path = wn_strdup(o->pdfium_path ? o->pdfium_path : "");
    if (!p->pdfium_path) {
        free(p);
        return wn_error_set(err, WN_NO_MEMORY, "parse pool: no memory");
    }
    pthread_mutex_init(&p->lock, NULL);
    *out = p;
    return WN_OK;
}

/* The worker ends by itself when its socket closes. */
static void stop_worker(wn_parse_pool *p)
{
    close_fd(&p->socket);
    if (p->worker > 0)
        while (waitpid(p->worker, NULL, 0) < 0 && errno == EINTR)
            ;
    p->worker = 0;
}

void wn_parse_pool_close(wn_parse_pool *p)
{
    if (!p)
        return;
    stop_worker(p);
    pthread_mutex_destroy(&p->lock);
    free(p->pdfium_path);
    free(p);
}

/* The variables that the loader and the sanitizers of a program started again need, and no others:
 * secrets of our environment have no place in a parser. BLAS libraries are told to start no
 * threads. */
static void make_environment(char *out[], size_t cap)
{
    static const char *const kept[] = {
        "LD_LIBRARY_PATH=", "GCONV_PATH=",   "LOCPATH=",      "ASAN_OPTIONS=",
        "UBSAN_OPTIONS=",   "TSAN_OPTIONS=", "LSAN_OPTIONS=", "TMPDIR="};
    static char blas[] = "OPENBLAS_NUM_THREADS=1", omp[] = "OMP_NUM_THREADS=1";
    size_t n = 0;
    out[n++] = blas;
    out[n++] = omp;
    for (char **e = environ; e && *e; e++)
        for (size_t i = 0; i < sizeof kept / sizeof *kept && n + 1 < cap; i++)
            if (strncmp(*e, kept[i], strlen(kept[i])) == 0)
                out[n++] = *e;
    out[n] = NULL;
}

/* posix_spawn, not fork: our process may have threads and gigabytes. */
static int spawn(wn_parse_pool *p, int worker_end)
{
    char *environment[16];
    char name[] = "winnow", argument[] = WN_WORKER_ARGUMENT;
    char *argv[] = {name, argument, p->pdfium_path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    make_environment(environment, sizeof environment / sizeof *environment);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int rc = posix_spawn_file_actions_adddup2(&actions, worker_end, WN_WORKER_FD);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, WN_WORKER_FD + 1);
    if (rc == 0)
        rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(&attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(&attributes, &all);
    if (rc == 0)
        rc = posix_spawn(&p->worker, "/proc/self/exe", &actions, &attributes, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return rc;
}

/* Is this program itself a worker whose main did not serve? It must not start another one. */
static bool is_stray_worker(void)
{
    char line[512] = {0};
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
    if (fd >= 0)
        close(fd);
    return n > 0 && strlen(line) + 1 < sizeof line &&
           strcmp(line + strlen(line) + 1, WN_WORKER_ARGUMENT) == 0;
}

static bool wait_readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = 0;
    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static wn_status start_worker(wn_parse_pool *p, wn_error *err)
{
    int ends[2];
    wn_worker_hello hello = {0};
    if (is_stray_worker())
        return wn_error_set(err, WN_UNAVAILABLE, "a parse worker cannot start parse workers");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return wn_error_set_errno(err, errno, "parse worker: no socket");
    if (ends[1] == WN_WORKER_FD) { /* dup2 onto itself would keep close-on-exec */
        int moved = fcntl(ends[1], F_DUPFD_CLOEXEC, WN_WORKER_FD + 1);
        close(ends[1]);
        ends[1] = moved;
    }
    int rc = spawn(p, ends[1]);
    close(ends[1]);
    p->socket = ends[0];
    if (rc != 0) {
        p->worker = 0;
        close_fd(&p->socket);
        return wn_error_set_errno(err, rc, "parse worker: this program cannot be started again");
    }
    bool greeted = wait_readable(p->socket, START_MS) &&
                   recv(p->socket, &hello, sizeof hello, 0) == (ssize_t)sizeof hello &&
                   hello.magic == WN_WORKER_MAGIC && hello.n_formats == p->o.n_formats;
    if (greeted && !hello.problem[0])
        return WN_OK;
    kill(p->worker, SIGKILL);
    stop_worker(p);
    if (greeted)
        return wn_error_set(err, WN_UNAVAILABLE, "files cannot be parsed safely here: %.*s",
                            (int)sizeof hello.problem, hello.problem);
    return wn_error_set(err, WN_UNAVAILABLE,
                        "the parse worker did not start (does main() call wn_parse_worker_main?)");
}

static bool send_request(int socket, const wn_worker_request *request, const exchange *x)
{
    const int fds[3] = {x->file, x->frame[1], x->exit[1]};
    union {
        char bytes[CMSG_SPACE(sizeof fds)];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {(void *)(uintptr_t)request, sizeof *request};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    ssize_t n = 0;
    do
        n = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *request;
}

/* Hands the file to the worker; a worker that has died is started anew, once. */
static wn_status submit(wn_parse_pool *p, uint32_t format, const exchange *x, wn_error *err)
{
    wn_worker_request request = {.magic = WN_WORKER_MAGIC,
                                 .format = format,
                                 .cpu_s = p->o.cpu_s,
                                 .deadline_ms = p->o.deadline_ms,
                                 .memory_bytes = p->o.memory_bytes};
    wn_status status = WN_OK;
    bool sent = false;
    pthread_mutex_lock(&p->lock);
    for (int attempt = 0; attempt < 2 && !sent && status == WN_OK; attempt++) {
        if (p->worker == 0)
            status = start_worker(p, err);
        if (status == WN_OK)
            sent = send_request(p->socket, &request, x);
        if (status == WN_OK && !sent)
            stop_worker(p);
    }
    pthread_mutex_unlock(&p->lock);
    if (status == WN_OK && !sent)
        status = wn_error_set(err, WN_UNAVAILABLE, "the parse worker ended twice at once");
    return status;
}

static void close_exchange(exchange *x)
{
    int *const fds[] = {&x->file, &x->frame[0], &x->frame[1], &x->exit[0], &x->exit[1]};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close_fd(fds[i]);
}

/* The file as a memfd that nobody can change any more, and the pipes. */
static wn_status open_exchange(exchange *x, const void *data, size_t len, wn_error *err)
{
    *x = (exchange){-1, {-1, -1}, {-1, -1}};
    x->file = memfd_create("document", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (x->file < 0 || pipe2(x->frame, O_CLOEXEC) != 0 || pipe2(x->exit, O_CLOEXEC) != 0)
        return wn_error_set_errno(err, errno, "parse worker: no descriptors");
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(x->file, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return wn_error_set_errno(err, errno, "parse worker: no memory for the file");
        at += n;
        len -= (size_t)n;
    }
    if (fcntl(x->file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
        return wn_error_set_errno(err, errno, "parse worker: the file cannot be sealed");
    return WN_OK;
}

/* Reads to the end of a pipe, at most `max` bytes, until a deadline. */
static wn_status read_all(int fd, size_t max, double deadline, wn_strbuf *out, wn_error *err)
{
    char chunk[65536];
    for (;;) {
        double left = deadline - wn_clock_ms();
        if (left <= 0 || !wait_readable(fd, (int)left))
            return wn_error_set(err, WN_LIMIT, "the parser process does not answer");
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wn_error_set_errno(err, errno, "parse worker: pipe");
        if (n == 0)
            return WN_OK;
        if ((size_t)n > max - out->len)
            return wn_error_set(err, WN_LIMIT, "the document has more than %zu MiB of text",
                                max >> 20);
        wn_strbuf_add(out, chunk, (size_t)n);
        if (wn_strbuf_failed(out))
            return wn_error_set(err, WN_NO_MEMORY, "no memory for the document's text");
    }
}

static wn_status judge_signal(const wn_parse_pool *p, int signal, wn_error *err)
{
    if (signal == SIGXCPU)
        return wn_error_set(err, WN_LIMIT, "parsing took more than %u s of CPU time", p->o.cpu_s);
    if (signal == SIGSYS)
        return wn_error_set(err, WN_FORMAT,
                            "the parser was stopped: a failed check or a forbidden system call");
    if (signal == SIGABRT || signal == SIGKILL)
        return wn_error_set(err, WN_LIMIT, "the parser gave up: out of memory or a failed check");
    return wn_error_set(err, WN_FORMAT, "the parser crashed on it (signal %d)", signal);
}

/* How the parser ended, as a status. */
static wn_status judge(const wn_parse_pool *p, const wn_strbuf *report, wn_error *err)
{
    wn_worker_exit end = {0};
    if (report->len != sizeof end)
        return wn_error_set(err, WN_IO, "the parse worker was killed while it worked on this");
    memcpy(&end, report->data, sizeof end);
    switch (end.end) {
    case WN_WORKER_SIGNALED:
        return judge_signal(p, end.value, err);
    case WN_WORKER_LATE:
        return wn_error_set(err, WN_LIMIT, "parsing took more than %u s", p->o.deadline_ms / 1000);
    case WN_WORKER_NO_FORK:
        return wn_error_set_errno(err, end.value, "parse worker: no process");
    default:
        break;
    }
    if (end.value == WN_PARSER_DONE)
        return WN_OK;
    return wn_error_set(err, WN_FORMAT, "the parser failed on it (exit %d)", end.value);
}

wn_status wn_parse_pool_run(wn_parse_pool *p, const wn_doc_format *format, const void *data,
                            size_t len, wn_parsed_doc *out, wn_error *err)
{
    exchange x;
    wn_strbuf frame = {0}, report = {0};
    char *bytes = NULL;
    size_t n = 0;
    *out = (wn_parsed_doc){0};
    wn_status status = open_exchange(&x, data, len, err);
    if (status == WN_OK)
        status = submit(p, (uint32_t)(format - p->o.formats), &x, err);
    if (status != WN_OK)
        goto out;
    close_fd(&x.file);
    close_fd(&x.frame[1]);
    close_fd(&x.exit[1]);
    double deadline = wn_clock_ms() + p->o.deadline_ms + MARGIN_MS;
    WN_TRY_OUT(read_all(x.frame[0], WN_FRAME_MAX_BYTES, deadline, &frame, err));
    WN_TRY_OUT(read_all(x.exit[0], sizeof(wn_worker_exit), deadline, &report, err));
    WN_TRY_OUT(judge(p, &report, err));
    n = frame.len;
    bytes = wn_strbuf_detach(&frame);
    status = bytes ? wn_frame_decode(bytes, n, out, err)
                   : wn_error_set(err, WN_CORRUPT, "the parser process gave no answer");
out:
    close_exchange(&x);
    wn_strbuf_free(&frame);
    wn_strbuf_free(&report);
    return status;
}
