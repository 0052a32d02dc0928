/* The worker's side: a process that waits for requests and forks a keeper and a parser for each. It
 * has one thread, so that forking is safe. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "ingest/parse_frame.h"
#include "ingest/parse_protocol.h"
#include "ingest/parse_sandbox.h"
#include "ingest/parse_worker.h"
#include "ingest/pdf_library.h"
#include "ingest/text_decode.h"

enum { FD_FILE, FD_FRAME, FD_EXIT, N_FDS };

typedef struct zygote {
    const wn_doc_format *formats;
    size_t n_formats;
    const char *pdfium_path; /* "" = none */
    wn_pdf_library *pdf;     /* loaded at the first PDF */
    wn_error pdf_error;
    wn_charsets *charsets;
    wn_sandbox *sandbox;
} zygote;

typedef struct job {
    wn_worker_request request;
    int fds[N_FDS];
} job;

static wn_status write_output(void *ctx, const void *data, size_t len, wn_error *err)
{
    int fd = *(const int *)ctx;
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return wn_error_set_errno(err, errno, "no reader");
        p += n;
        len -= (size_t)n;
    }
    return WN_OK;
}

/* In the sandbox: the frame of the file, or of the error, goes out. */
static int parse_and_write(const zygote *z, const wn_doc_format *format,
                           const wn_doc_source *source, int out)
{
    wn_error failure = {0}, ignored = {0};
    wn_doc_builder *b = NULL;
    wn_status status = WN_OK;
    if (format->needs_pdfium && z->pdf_error.status != WN_OK) {
        failure = z->pdf_error;
        status = failure.status;
    }
    if (status == WN_OK)
        status = wn_doc_builder_open(&b, &failure);
    if (status == WN_OK)
        status = format->parse(source, b, &failure);
    if (status == WN_OK)
        status = wn_doc_builder_status(b, &failure);
    if (status == WN_OK)
        status = wn_doc_builder_write(b, write_output, &out, &ignored);
    else
        status = wn_frame_write_error(&failure, write_output, &out, &ignored);
    return status == WN_OK ? WN_PARSER_DONE : WN_PARSER_NO_OUTPUT;
}

/* The parser process. It keeps: 0 the file (mapped and closed), 1 the pipe, 2 for sanitizers. */
static int run_parser(const zygote *z, const job *j)
{
    struct stat st;
    const void *data = NULL;
    wn_error err = {0};
    int frame = WN_WORKER_FD; /* free in this process: the keeper has closed the socket */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fstat(j->fds[FD_FILE], &st) != 0 || st.st_size < 0)
        return WN_PARSER_NO_SANDBOX;
    size_t len = (size_t)st.st_size;
    if (len > 0) {
        data = mmap(NULL, len, PROT_READ, MAP_PRIVATE, j->fds[FD_FILE], 0);
        if (data == MAP_FAILED)
            return WN_PARSER_NO_SANDBOX;
    }
    if (dup2(j->fds[FD_FRAME], frame) < 0 || close_range((unsigned)frame + 1, ~0u, 0) != 0)
        return WN_PARSER_NO_SANDBOX;
    wn_sandbox_limits limits = {j->request.cpu_s, (size_t)j->request.memory_bytes};
    if (wn_sandbox_enter(z->sandbox, &limits, &err) != WN_OK)
        return WN_PARSER_NO_SANDBOX;
    wn_doc_source source = {.data = data ? data : (const uint8_t *)"",
                            .len = len,
                            .pdf = z->pdf,
                            .charsets = z->charsets};
    return parse_and_write(z, &z->formats[j->request.format], &source, frame);
}

/* Waits for the parser until the deadline, then kills it. */
static wn_worker_exit watch(pid_t parser, unsigned deadline_ms)
{
    wn_worker_exit end = {WN_WORKER_NO_FORK, 0};
    int status = 0, n = 0;
    struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, parser, 0), .events = POLLIN};
    if (p.fd >= 0)
        do
            n = poll(&p, 1, (int)deadline_ms);
        while (n < 0 && errno == EINTR);
    bool late = n <= 0; /* without a pidfd there is no clock: end at once rather than never */
    if (late)
        kill(parser, SIGKILL);
    while (waitpid(parser, &status, 0) < 0 && errno == EINTR)
        ;
    if (late)
        end.end = WN_WORKER_LATE;
    else if (WIFSIGNALED(status))
        end = (wn_worker_exit){WN_WORKER_SIGNALED, WTERMSIG(status)};
    else
        end = (wn_worker_exit){WN_WORKER_EXITED, WEXITSTATUS(status)};
    return end;
}

/* The keeper process: forks the parser and reports how it ended. */
static void run_keeper(const zygote *z, const job *j)
{
    wn_error ignored = {0};
    wn_worker_exit end = {WN_WORKER_NO_FORK, 0};
    close(WN_WORKER_FD);
    signal(SIGCHLD, SIG_DFL);
    pid_t parser = fork();
    if (parser == 0)
        _exit(run_parser(z, j));
    end.value = parser < 0 ? errno : 0;
    close(j->fds[FD_FILE]);
    close(j->fds[FD_FRAME]);
    if (parser > 0)
        end = watch(parser, j->request.deadline_ms);
    int out = j->fds[FD_EXIT];
    write_output(&out, &end, sizeof end, &ignored);
}

/* The next request; false at the end of the socket or on a message that is none. */
static bool receive(job *j)
{
    union {
        char bytes[CMSG_SPACE(N_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {&j->request, sizeof j->request};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t n = 0;
    do
        n = recvmsg(WN_WORKER_FD, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    struct cmsghdr *c = n == (ssize_t)sizeof j->request ? CMSG_FIRSTHDR(&message) : NULL;
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof j->fds) ||
        j->request.magic != WN_WORKER_MAGIC)
        return false;
    memcpy(j->fds, CMSG_DATA(c), sizeof j->fds);
    return true;
}

static void serve_one(zygote *z, job *j)
{
    if (j->request.format < z->n_formats) {
        if (z->formats[j->request.format].needs_pdfium && *z->pdfium_path && !z->pdf &&
            z->pdf_error.status == WN_OK)
            wn_pdf_library_open(&z->pdf, z->pdfium_path, &z->pdf_error);
        pid_t keeper = fork();
        if (keeper == 0) {
            run_keeper(z, j);
            _exit(0);
        }
    }
    for (int i = 0; i < N_FDS; i++)
        close(j->fds[i]);
}

/* Standard streams lead nowhere; when memory is short, a parser dies before its program. */
static void settle(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i],
               SIG_IGN); /* Ctrl-C and stop are the program's; the socket's end is ours */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        if (!wn_sandbox_is_relaxed())
            dup2(null, 2); /* a document must not write to anybody's terminal */
    }
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0) {
        ssize_t n = write(score, "1000", 4); /* best effort: a container may forbid it */
        (void)n;
        close(score);
    }
    prctl(PR_SET_NAME, "winnow-parse");
    if (chdir("/") != 0)
        return;
}

bool wn_parse_worker_requested(int argc, char **argv)
{
    return argc == 3 && strcmp(argv[1], WN_WORKER_ARGUMENT) == 0;
}

/* Does the sandbox hold here? Tried once, in a child; why not goes into `problem`. */
static void try_sandbox(const zygote *z, char *problem, size_t cap)
{
    int ends[2], status = 0;
    wn_error err = {0};
    const wn_sandbox_limits limits = {1, (size_t)64 << 20};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    signal(SIGCHLD, SIG_DFL);
    pid_t child = fork();
    if (child == 0) {
        bool ok = wn_sandbox_enter(z->sandbox, &limits, &err) == WN_OK;
        if (!ok)
            write_output(&ends[1], err.text, strlen(err.text), NULL);
        _exit(ok ? 0 : 1);
    }
    close(ends[1]);
    bool ok = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    ssize_t n = ok ? 0 : read(ends[0], problem, cap - 1);
    if (!ok && n <= 0)
        snprintf(problem, cap, "the sandbox test ended with status %d", status);
    close(ends[0]);
    signal(SIGCHLD, SIG_IGN);
}

int wn_parse_worker_serve(int argc, char **argv, const wn_doc_format *formats, size_t n_formats)
{
    zygote z = {.formats = formats, .n_formats = n_formats};
    wn_worker_hello hello = {WN_WORKER_MAGIC, (uint32_t)n_formats, ""};
    wn_error err = {0};
    z.pdfium_path = argc > 2 ? argv[2] : "";
    settle();
    if (wn_sandbox_prepare(&z.sandbox, &err) != WN_OK ||
        wn_charsets_open(&z.charsets, &err) != WN_OK)
        snprintf(hello.problem, sizeof hello.problem, "%.100s", err.text);
    else
        try_sandbox(&z, hello.problem, sizeof hello.problem);
    bool alive = send(WN_WORKER_FD, &hello, sizeof hello, MSG_NOSIGNAL) == (ssize_t)sizeof hello &&
                 !*hello.problem;
    for (job j; alive && receive(&j);)
        serve_one(&z, &j);
    wn_charsets_close(z.charsets);
    wn_sandbox_free(z.sandbox);
    wn_pdf_library_close(z.pdf);
    return 0;
}

int wn_parse_worker_main(int argc, char **argv)
{
    return wn_parse_worker_serve(argc, argv, wn_doc_formats, wn_n_doc_formats);
}
