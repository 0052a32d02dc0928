/* What a parser process can do to us: nothing. The formats of this test misbehave on purpose. */
#include "tests/test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "ingest/parse_frame.h"
#include "ingest/parse_worker.h"

#define OUTPUT_FD 3 /* where a parser process writes its frame */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static wn_status say(wn_doc_builder *out, const char *text)
{
    wn_doc_begin(out, WN_BLOCK_PARAGRAPH, 0);
    wn_doc_add(out, text, strlen(text));
    wn_doc_end(out);
    return WN_OK;
}

static wn_status parse_crash(const wn_doc_source *s, wn_doc_builder *out, wn_error *err)
{
    (void)s, (void)out, (void)err;
    __builtin_trap();
}

static wn_status parse_loop(const wn_doc_source *s, wn_doc_builder *out, wn_error *err)
{
    (void)out, (void)err;
    volatile uint64_t n = s->len;
    while (n)
        n++;
    return WN_OK;
}

static wn_status parse_sleep(const wn_doc_source *s, wn_doc_builder *out, wn_error *err)
{
    (void)s, (void)out, (void)err;
    char byte = 0;
    int ends[2] = {-1, -1};
    (void)ends;
    for (;;) /* reading a pipe's write end fails at once: no CPU limit is reached for long */
        if (read(OUTPUT_FD, &byte, 1) == 1)
            return WN_OK;
}

static wn_status parse_hog(const wn_doc_source *s, wn_doc_builder *out, wn_error *err)
{
    (void)s;
    for (size_t i = 0; i < 4096; i++) {
        char *p = malloc(1 << 20);
        if (!p)
            return wn_error_set(err, WN_NO_MEMORY, "hog: no memory after %zu MiB", i);
        memset(p, (int)i, 1 << 20);
    }
    return say(out, "4 GiB are mine");
}

/* Says what it managed to do; in the sandbox every line must fail (or end the process). */
static wn_status parse_escape(const wn_doc_source *s, wn_doc_builder *out, wn_error *err)
{
    (void)err;
    switch (s->data[0]) {
    case 'o':
        return say(out, open("/etc/passwd", O_RDONLY) >= 0 ? "opened" : "refused");
    case 'w':
        return say(out, open("/tmp/winnow-escape", O_WRONLY | O_CREAT, 0600) >= 0 ? "opened"
                                                                                  : "refused");
    case 's':
        return say(out, socket(AF_INET, SOCK_STREAM, 0) >= 0 ? "opened" : "refused");
    case 'k':
        return say(out, kill(getppid(), SIGKILL) == 0 ? "killed" : "refused");
    case 'x':
        return say(out, execl("/bin/true", "true", (char *)NULL) == 0 ? "ran" : "refused");
    case 'm':
        return say(out, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                             0) != MAP_FAILED
                            ? "mapped"
                            : "refused");
    case 'f': {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        return say(out, pid > 0 ? "forked" : "refused");
    }
    default:
        return say(out, "unknown");
    }
}

/* Writes what it was given as its frame: a parser that has been taken over. */
static wn_status parse_lie(const wn_doc_source *s, wn_doc_builder *out, wn_error *err)
{
    (void)out, (void)err;
    size_t done = 0;
    while (done < s->len) {
        ssize_t n = write(OUTPUT_FD, s->data + done, s->len - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    _exit(0);
}

static wn_status parse_flood(const wn_doc_source *s, wn_doc_builder *out, wn_error *err)
{
    (void)s, (void)out, (void)err;
    static char zeros[1 << 16];
    while (write(OUTPUT_FD, zeros, sizeof zeros) > 0)
        ;
    _exit(0);
}

static wn_status parse_descriptors(const wn_doc_source *s, wn_doc_builder *out, wn_error *err)
{
    (void)s, (void)err;
    char line[256];
    size_t n = 0;
    for (int fd = 0; fd < 64; fd++)
        if (fd != OUTPUT_FD && (lseek(fd, 0, SEEK_CUR) == 0 || errno != EBADF))
            n += (size_t)snprintf(line + n, sizeof line - n, "%d ", fd);
    snprintf(line + n, sizeof line - n, "environment:%s",
             getenv("WINNOW_TEST_SECRET") ? "secret" : "clean");
    return say(out, line);
}

enum { CRASH, LOOP, SLEEP, HOG, ESCAPE, LIE, FLOOD, DESCRIPTORS, TEXT, N_FORMATS };
static const wn_doc_format formats[N_FORMATS] = {
    [CRASH] = {.name = "crash", .parse = parse_crash},
    [LOOP] = {.name = "loop", .parse = parse_loop},
    [SLEEP] = {.name = "sleep", .parse = parse_sleep},
    [HOG] = {.name = "hog", .parse = parse_hog},
    [ESCAPE] = {.name = "escape", .parse = parse_escape},
    [LIE] = {.name = "lie", .parse = parse_lie},
    [FLOOD] = {.name = "flood", .parse = parse_flood},
    [DESCRIPTORS] = {.name = "descriptors", .parse = parse_descriptors},
    [TEXT] = {.name = "text", .parse = wn_parse_plain_text},
};

static wn_parse_pool *open_pool(unsigned cpu_s, unsigned deadline_ms)
{
    wn_parse_pool *pool = NULL;
    wn_parse_options o = {.cpu_s = cpu_s,
                          .deadline_ms = deadline_ms,
                          .memory_bytes = (size_t)64 << 20,
                          .formats = formats,
                          .n_formats = N_FORMATS};
    WN_ASSERT_OK(wn_parse_pool_open(&pool, &o, err));
    return pool;
}

static wn_status run(wn_parse_pool *pool, int format, const void *data, size_t len,
                     wn_parsed_doc *doc, wn_error *err)
{
    *err = (wn_error){0};
    return wn_parse_pool_run(pool, &formats[format], data, len, doc, err);
}

static void assert_text_works(wn_parse_pool *pool)
{
    wn_parsed_doc doc;
    WN_ASSERT_OK(wn_parse_pool_run(pool, &formats[TEXT], "one\n\ntwo", 8, &doc, err));
    assert_string_equal(doc.text, "one\n\ntwo");
    assert_int_equal(doc.n_blocks, 2);
    wn_parsed_doc_free(&doc);
}

static void test_crash_is_contained(void **state)
{
    (void)state;
    wn_parse_pool *pool = open_pool(5, 20000);
    wn_parsed_doc doc;
    wn_error err;
    assert_int_equal(run(pool, CRASH, "x", 1, &doc, &err), WN_FORMAT);
    assert_non_null(strstr(err.text, SANITIZED ? "on it" : "crashed on it (signal 4)"));
    assert_null(doc.memory);
    assert_text_works(pool);
    wn_parse_pool_close(pool);
}

static void test_loop_meets_the_cpu_limit(void **state)
{
    (void)state;
    wn_parse_pool *pool = open_pool(1, 60000);
    wn_parsed_doc doc;
    wn_error err;
    assert_int_equal(run(pool, LOOP, "x", 1, &doc, &err), WN_LIMIT);
    assert_string_equal(err.text, "parsing took more than 1 s of CPU time");
    assert_text_works(pool);
    wn_parse_pool_close(pool);
}

static void test_loop_meets_the_deadline(void **state)
{
    (void)state;
    wn_parse_pool *pool = open_pool(60, 3000);
    wn_parsed_doc doc;
    wn_error err;
    assert_int_equal(run(pool, SLEEP, "x", 1, &doc, &err), WN_LIMIT);
    assert_string_equal(err.text, "parsing took more than 3 s");
    assert_text_works(pool);
    wn_parse_pool_close(pool);
}

static void test_memory_is_limited(void **state)
{
    (void)state;
    if (SANITIZED) {
        printf("SKIPPED: address space cannot be limited under a sanitizer\n");
        skip();
    }
    wn_parse_pool *pool = open_pool(20, 60000);
    wn_parsed_doc doc;
    wn_error err;
    assert_int_equal(run(pool, HOG, "x", 1, &doc, &err), WN_LIMIT);
    assert_non_null(strstr(err.text, "no memory after"));
    assert_text_works(pool);
    wn_parse_pool_close(pool);
}

static void test_nothing_can_be_reached(void **state)
{
    (void)state;
    wn_parse_pool *pool = open_pool(5, 20000);
    for (const char *what = "owskxmf"; *what; what++) {
        wn_parsed_doc doc;
        wn_error err;
        wn_status status = run(pool, ESCAPE, what, 1, &doc, &err);
        if (status == WN_OK) { /* looking for files and, with sanitizers, all calls fail */
            assert_true(SANITIZED || *what == 'o' || *what == 'w');
            assert_string_equal(doc.text, "refused");
        } else { /* the process was ended */
            assert_int_equal(status, WN_FORMAT);
            assert_non_null(strstr(err.text, "forbidden system call"));
        }
        wn_parsed_doc_free(&doc);
    }
    assert_text_works(pool);
    wn_parse_pool_close(pool);
}

static void test_descriptors_and_environment(void **state)
{
    (void)state;
    setenv("WINNOW_TEST_SECRET", "hunter2", 1);
    int leak = open("/dev/zero", O_RDONLY); /* on purpose without close-on-exec */
    wn_parse_pool *pool = open_pool(5, 20000);
    wn_parsed_doc doc;
    WN_ASSERT_OK(wn_parse_pool_run(pool, &formats[DESCRIPTORS], "x", 1, &doc, err));
    assert_string_equal(doc.text, "0 1 2 environment:clean");
    wn_parsed_doc_free(&doc);
    wn_parse_pool_close(pool);
    close(leak);
    unsetenv("WINNOW_TEST_SECRET");
}

/* A frame that is right, to be broken at one place after the other. */
typedef struct small_frame {
    wn_frame_header header;
    wn_frame_block blocks[2];
    char headings[8]; /* "" and "a > b" */
    char title[2];
    char text[6];
} small_frame;

static small_frame good_frame(void)
{
    small_frame f = {.header = {.magic = WN_FRAME_MAGIC,
                                .n_blocks = 2,
                                .n_headings = 3,
                                .headings_bytes = 8,
                                .title_bytes = 2,
                                .text_bytes = 5,
                                .n_pages = 1},
                     .blocks = {{.start = 0, .end = 2, .page = 1},
                                {.start = 3, .end = 5, .page = 1, .heading = 2}},
                     .headings = "\0a\0a > b",
                     .title = "t",
                     .text = "\xC3\xA4 bc"};
    memcpy(f.headings, "\0a\0a>b!\0", 8);
    return f;
}

#define SMALL_FRAME_BYTES (offsetof(small_frame, text) + 6)

static void test_lies_are_noticed(void **state)
{
    (void)state;
    wn_parse_pool *pool = open_pool(5, 20000);
    wn_parsed_doc doc;
    wn_error err;
    small_frame f = good_frame();
    assert_int_equal(run(pool, LIE, &f, SMALL_FRAME_BYTES, &doc, &err), WN_OK);
    assert_string_equal(doc.text, "\xC3\xA4 bc");
    assert_string_equal(doc.blocks[1].headings, "a>b!");
    wn_parsed_doc_free(&doc);
#define BREAK(change)                                                                              \
    do {                                                                                           \
        f = good_frame();                                                                          \
        change;                                                                                    \
        if (run(pool, LIE, &f, SMALL_FRAME_BYTES, &doc, &err) != WN_CORRUPT)                       \
            fail_msg("accepted: %s", #change);                                                     \
    } while (0)
    BREAK(f.header.magic++);
    BREAK(f.header.n_blocks = 3);
    BREAK(f.header.n_blocks = UINT32_MAX);
    BREAK(f.header.n_headings = 2);
    BREAK(f.header.n_headings = 4);
    BREAK(f.header.headings_bytes = UINT64_MAX);
    BREAK(f.header.title_bytes = 0);
    BREAK(f.header.text_bytes = UINT64_MAX);
    BREAK(f.header.text_bytes = 4);
    BREAK(f.header.n_pages = 0);
    BREAK(f.header.n_pages = UINT32_MAX);
    BREAK(f.blocks[0].end = 0);
    BREAK(f.blocks[0].end = 1); /* inside of a character */
    BREAK(f.blocks[0].end = 4); /* overlaps */
    BREAK(f.blocks[1].end = 6);
    BREAK(f.blocks[1].end = UINT64_MAX);
    BREAK(f.blocks[1].start = 0);
    BREAK(f.blocks[1].kind = 5);
    BREAK(f.blocks[1].page = 2);
    BREAK(f.blocks[1].heading = 3);
    BREAK(f.text[3] = '\0');
    BREAK(f.text[0] = '\xFF');
    BREAK(f.text[5] = 'x');
    BREAK(f.title[1] = 'x');
    BREAK(f.title[0] = '\xFF');
    BREAK(f.headings[1] = '\xFF');
    BREAK(f.headings[7] = 'x');
#undef BREAK
    f = good_frame();
    assert_int_equal(run(pool, LIE, &f, SMALL_FRAME_BYTES - 1, &doc, &err), WN_CORRUPT);
    assert_int_equal(run(pool, LIE, "", 0, &doc, &err), WN_CORRUPT);
    wn_parse_pool_close(pool);
}

/* A taken-over parser can only fail its own file: no status of it stops the others. */
static void test_errors_of_parsers_are_files_errors(void **state)
{
    (void)state;
    wn_parse_pool *pool = open_pool(5, 20000);
    for (uint32_t status = 1; status < 40; status++) {
        struct {
            wn_frame_header header;
            char text[4];
        } f = {.header = {.magic = WN_FRAME_MAGIC, .status = status, .title_bytes = 3}};
        memcpy(f.text, "no\0", 4);
        wn_parsed_doc doc;
        wn_error err;
        wn_status got = run(pool, LIE, &f, sizeof f.header + 4, &doc, &err);
        assert_true(got == WN_FORMAT || got == WN_LIMIT || got == WN_UNSUPPORTED);
        assert_string_equal(err.text, "no");
    }
    wn_parse_pool_close(pool);
}

static void test_flood_is_cut(void **state)
{
    (void)state;
    wn_parse_pool *pool = open_pool(10, 60000);
    wn_parsed_doc doc;
    wn_error err;
    assert_int_equal(run(pool, FLOOD, "x", 1, &doc, &err), WN_LIMIT);
    assert_text_works(pool);
    wn_parse_pool_close(pool);
}

/* The process that this one has started; 0 = none. */
static pid_t child_process(void)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%d", &pid) != 1)
        pid = 0;
    if (f)
        fclose(f);
    return (pid_t)pid;
}

static void test_killed_worker_is_replaced(void **state)
{
    (void)state;
    wn_parse_pool *pool = open_pool(5, 20000);
    assert_text_works(pool);
    for (int i = 0; i < 3; i++) {
        pid_t worker = child_process();
        assert_true(worker > 0);
        assert_int_equal(kill(worker, SIGKILL), 0);
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)worker, &info, WEXITED | WNOWAIT), 0);
        assert_text_works(pool);
        assert_true(child_process() != worker);
    }
    wn_parse_pool_close(pool);
    assert_int_equal(child_process(), 0);
}

typedef struct thread_work {
    wn_parse_pool *pool;
    int n_ok;
} thread_work;

static void *work(void *arg)
{
    thread_work *w = arg;
    for (int i = 0; i < 20; i++) {
        char text[64];
        wn_parsed_doc doc;
        wn_error err = {0};
        int len = snprintf(text, sizeof text, "thread %p file %d", arg, i);
        bool crash = i % 5 == 4;
        wn_status status = wn_parse_pool_run(w->pool, &formats[crash ? CRASH : TEXT], text,
                                             (size_t)len, &doc, &err);
        w->n_ok += crash ? status == WN_FORMAT : status == WN_OK && strcmp(doc.text, text) == 0;
        wn_parsed_doc_free(&doc);
    }
    return NULL;
}

static void test_threads_share_a_pool(void **state)
{
    (void)state;
    enum { N = 4 };
    pthread_t threads[N];
    thread_work works[N];
    wn_parse_pool *pool = open_pool(5, 60000);
    for (int i = 0; i < N; i++) {
        works[i] = (thread_work){.pool = pool};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &works[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(works[i].n_ok, 20);
    }
    wn_parse_pool_close(pool);
}

int main(int argc, char **argv)
{
    if (wn_parse_worker_requested(argc, argv))
        return wn_parse_worker_serve(argc, argv, formats, N_FORMATS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_is_contained),
        cmocka_unit_test(test_loop_meets_the_cpu_limit),
        cmocka_unit_test(test_loop_meets_the_deadline),
        cmocka_unit_test(test_memory_is_limited),
        cmocka_unit_test(test_nothing_can_be_reached),
        cmocka_unit_test(test_descriptors_and_environment),
        cmocka_unit_test(test_lies_are_noticed),
        cmocka_unit_test(test_errors_of_parsers_are_files_errors),
        cmocka_unit_test(test_flood_is_cut),
        cmocka_unit_test(test_killed_worker_is_replaced),
        cmocka_unit_test(test_threads_share_a_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
