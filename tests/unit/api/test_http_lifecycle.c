/* Loading, keys, cancelling, overload and shutdown of a running server; models are faked. */
#include <pthread.h>
#include <signal.h>

#include "base/hash.h"
#include "tests/unit/api/http_fixture.h"

#define ANSWERS "/v1/corpora/notes/answers"
#define QUESTION "{\"question\":\"Where do frogs live?\"}"
#define STREAM "{\"question\":\"Where do frogs live?\",\"stream\":true}"

static void send_answer_request(int fd, const char *body)
{
    char text[512];
    int n =
        snprintf(text, sizeof text,
                 "POST " ANSWERS " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" JSON_TYPE
                 "Content-Length: %zu\r\n\r\n%s",
                 strlen(body), body);
    raw_send(fd, text, (size_t)n);
}

static void wait_until_running(bool running)
{
    for (int i = 0; i < 20000 && atomic_load(&wn_fake.running) != running; i++)
        usleep(1000);
    assert_true(atomic_load(&wn_fake.running) == running);
}

/* Loading ---------------------------------------------------------------------------------------
 */

static void loading_server_is_live_but_not_ready(void **state)
{
    (void)state;
    http_fixture f;
    fixture_reset();
    atomic_store(&wn_fake.hold_load, true);
    fixture_open(&f, &(wn_http_options){0});
    fixture_expect(&f, "GET", "/livez", NULL, 200);
    json_t *o = fixture_json(&f, "GET", "/readyz", NULL, 503);
    assert_string_equal(json_str(o, "status"), "loading");
    json_decref(o);
    char *a = raw_request(f.port, "GET", "/v1/models", "", NULL);
    assert_int_equal(raw_status(a), 503);
    assert_non_null(strstr(a, "\r\nRetry-After: "));
    free(a);
    atomic_store(&wn_fake.hold_load, false);
    fixture_until_ready(&f);
    fixture_close(&f);
}

static void failed_load_is_the_result(void **state)
{
    (void)state;
    wn_service *service = NULL;
    wn_error failure = {0};
    fixture_reset();
    atomic_store(&wn_fake.load_fails, true);
    WN_ASSERT_OK(wn_fake_service_open(&service, err));
    assert_int_equal(wn_http_server_run(service, &(wn_http_options){0}, &failure), WN_FORMAT);
    assert_non_null(strstr(failure.text, "no such model"));
    wn_service_close(service);
}

/* Exposure --------------------------------------------------------------------------------------
 */

static void public_address_needs_keys(void **state)
{
    (void)state;
    wn_service *service = NULL;
    wn_http_server *server = NULL;
    WN_ASSERT_OK(wn_fake_service_open(&service, err));
    static const char *const addresses[] = {"0.0.0.0", "::", "10.1.2.3"};
    for (size_t i = 0; i < 3; i++) {
        wn_error err = {0};
        assert_int_equal(wn_http_server_start(&server, service,
                                              &(wn_http_options){.address = addresses[i]}, &err),
                         WN_DENIED);
        assert_non_null(strstr(err.text, addresses[i]));
    }
    wn_error err = {0};
    assert_int_equal(
        wn_http_server_start(&server, service, &(wn_http_options){.address = "localhost"}, &err),
        WN_DENIED);
    wn_service_close(service);
}

static int status_with(const http_fixture *f, const char *method, const char *target,
                       const char *headers, const char *body)
{
    char *a = raw_request(f->port, method, target, headers, body);
    int status = raw_status(a);
    free(a);
    return status;
}

static void keys_guard_everything(void **state)
{
    (void)state;
    http_fixture f;
    char path[] = "/tmp/winnow-keys-XXXXXX", hex[WN_SHA256_HEX];
    static const char *const names[] = {"read-key", "write-key", "admin-key", "other-key"};
    static const char *const rest[] = {"read notes", "write *", "admin", "admin other"};
    FILE *file = fdopen(mkstemp(path), "w");
    for (size_t i = 0; i < 4; i++) {
        uint8_t digest[WN_SHA256_BYTES];
        WN_ASSERT_OK(wn_sha256_of(names[i], strlen(names[i]), digest, err));
        wn_hex(digest, sizeof digest, hex);
        fprintf(file, "%s %s\n", hex, rest[i]);
    }
    fclose(file);
    fixture_ready(&f, &(wn_http_options){.keys_file = path});
#define KEY(name) "Authorization: Bearer " name "\r\n" JSON_TYPE
    static const char make[] = "{\"name\":\"notes\"}", make_other[] = "{\"name\":\"other\"}";
    assert_int_equal(status_with(&f, "GET", "/v1/corpora", "", NULL), 401);
    assert_int_equal(status_with(&f, "GET", "/v1/nothing", "", NULL), 401);
    assert_int_equal(status_with(&f, "GET", "/v1/corpora", KEY("wrong"), NULL), 401);
    assert_int_equal(status_with(&f, "GET", "/", "", NULL), 200);
    assert_int_equal(status_with(&f, "GET", "/livez", "", NULL), 200);
    assert_int_equal(status_with(&f, "POST", "/v1/corpora", KEY("read-key"), make), 403);
    assert_int_equal(status_with(&f, "POST", "/v1/corpora", KEY("write-key"), make), 403);
    assert_int_equal(status_with(&f, "POST", "/v1/corpora", KEY("other-key"), make), 403);
    assert_int_equal(status_with(&f, "POST", "/v1/corpora", KEY("admin-key"), make), 201);
    assert_int_equal(status_with(&f, "POST", "/v1/corpora", KEY("other-key"), make_other), 201);
    assert_int_equal(status_with(&f, "GET", "/v1/corpora/notes", KEY("read-key"), NULL), 200);
    assert_int_equal(status_with(&f, "GET", "/v1/corpora/other", KEY("read-key"), NULL), 404);
    assert_int_equal(status_with(&f, "DELETE", "/v1/corpora/notes", KEY("write-key"), NULL), 403);
    assert_int_equal(status_with(&f, "DELETE", "/v1/corpora/notes", KEY("other-key"), NULL), 404);
    assert_int_equal(status_with(&f, "POST", ANSWERS, KEY("other-key"), QUESTION), 404);
    assert_int_equal(
        status_with(&f, "POST", "/v1/corpora/notes/search", KEY("other-key"), "{\"query\":\"a\"}"),
        404);
    char *a = raw_request(f.port, "GET", "/v1/corpora", KEY("read-key"), NULL);
    assert_null(strstr(a, "other"));
    free(a);
    a = raw_request(f.port, "GET", "/v1/models", KEY("other-key"), NULL);
    assert_non_null(strstr(a, "winnow/other"));
    assert_null(strstr(a, "winnow/notes"));
    free(a);
    /* A foreign corpus and an absent one get the same answer. */
    char *foreign = raw_request(f.port, "GET", "/v1/corpora/notes", KEY("other-key"), NULL);
    char *absent = raw_request(f.port, "GET", "/v1/corpora/nosuch", KEY("other-key"), NULL);
    assert_int_equal(strlen(raw_body(foreign)) + 1, strlen(raw_body(absent)));
    free(foreign);
    free(absent);
    /* A job is its corpus'. */
    char job[64] = "/v1/jobs/";
    a = raw_request(f.port, "POST", "/v1/corpora/notes/prefix", KEY("write-key"), NULL);
    const char *id = strstr(raw_body(a), "job_");
    assert_non_null(id);
    strncat(job, id, 28);
    free(a);
    assert_int_equal(status_with(&f, "GET", job, KEY("read-key"), NULL), 200);
    assert_int_equal(status_with(&f, "DELETE", job, KEY("read-key"), NULL), 403);
    assert_int_equal(status_with(&f, "GET", job, KEY("other-key"), NULL), 404);
    assert_int_equal(status_with(&f, "DELETE", job, KEY("other-key"), NULL), 404);
    assert_int_equal(status_with(&f, "DELETE", job, KEY("write-key"), NULL), 200);
    fixture_close(&f);
    unlink(path);
}

static void other_hosts_and_origins_are_refused(void **state)
{
    (void)state;
    http_fixture f;
    fixture_ready(&f, &(wn_http_options){0});
    static const char evil[] =
        "GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    char *a = raw_exchange(f.port, evil, sizeof evil - 1);
    assert_int_equal(raw_status(a), 403);
    free(a);
    assert_int_equal(status_with(&f, "POST", "/v1/corpora",
                                 "Origin: http://evil.example\r\n" JSON_TYPE, "{\"name\":\"a\"}"),
                     403);
    assert_int_equal(
        status_with(&f, "POST", "/v1/corpora", "Origin: null\r\n" JSON_TYPE, "{\"name\":\"a\"}"),
        403);
    assert_int_equal(status_with(&f, "POST", "/v1/corpora",
                                 "Origin: http://localhost\r\n" JSON_TYPE, "{\"name\":\"a\"}"),
                     201);
    fixture_close(&f);
}

/* Clients that leave ----------------------------------------------------------------------------
 */

static void leaving_client_stops_the_work(void **state)
{
    (void)state;
    static const char *const bodies[] = {STREAM, QUESTION};
    http_fixture f;
    fixture_ready(&f, &(wn_http_options){0});
    fixture_corpus(f.service);
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&wn_fake.step_ms, 100);
        atomic_store(&wn_fake.n_words, 100000); /* would run for hours */
        atomic_store(&wn_fake.cancelled, 0);
        int fd = raw_connect(f.port);
        send_answer_request(fd, bodies[i]);
        wait_until_running(true);
        int before = atomic_load(&wn_fake.steps);
        assert_true(fixture_wait(&wn_fake.steps, before + 3)); /* it does not stop by itself */
        assert_int_equal(atomic_load(&wn_fake.cancelled), 0);
        close(fd);
        int at_close = atomic_load(&wn_fake.steps); /* the step that runs now is the last, or */
        assert_true(fixture_wait(&wn_fake.cancelled, 1)); /* the one that begins this moment */
        assert_true(atomic_load(&wn_fake.steps) <= at_close + 1);
    }
    fixture_close(&f);
}

static void leaving_client_frees_its_place_in_the_queue(void **state)
{
    (void)state;
    http_fixture f;
    fixture_ready(&f, &(wn_http_options){0});
    fixture_corpus(f.service);
    atomic_store(&wn_fake.step_ms, 10);
    atomic_store(&wn_fake.n_words, 100000);
    int first = raw_connect(f.port), second = raw_connect(f.port);
    send_answer_request(first, STREAM);
    wait_until_running(true);
    send_answer_request(second, STREAM);
    usleep(50000);
    close(second);
    usleep(50000);
    close(first);
    assert_true(fixture_wait(&wn_fake.cancelled, 1));
    wait_until_running(false);
    for (int i = 0; i < 20000 && !wn_http_server_idle(f.server); i++)
        usleep(1000);
    assert_true(wn_http_server_idle(f.server));
    assert_int_equal(atomic_load(&wn_fake.cancelled), 1); /* the second never began */
    assert_int_equal(atomic_load(&wn_fake.finished), 0);
    fixture_close(&f);
}

/* As many as may, begun in order; one that leaves makes room for the next, and all end at the end.
 */
static void answers_run_side_by_side(void **state)
{
    (void)state;
    http_fixture f;
    int fds[5];
    fixture_ready(&f, &(wn_http_options){.n_parallel = 3});
    fixture_corpus(f.service);
    atomic_store(&wn_fake.step_ms, 20);
    atomic_store(&wn_fake.n_words, 100000);
    for (size_t i = 0; i < 5; i++) {
        fds[i] = raw_connect(f.port);
        send_answer_request(fds[i], STREAM);
        wn_strbuf head = {0};
        raw_read(fds[i], &head, i < 3 ? "event: token" : "200 OK", 20000);
        wn_strbuf_free(&head);
    }
    fixture_until(&f, "/metrics", "winnow_engine_jobs 5\n");
    fixture_until(&f, "/metrics", "winnow_engine_queued 2\n");
    fixture_until(&f, "/metrics", "winnow_decode_tokens_total 25\n");
    close(fds[1]);
    wn_strbuf text = {0};
    raw_read(fds[3], &text, "event: token", 20000);
    wn_strbuf_free(&text);
    fixture_until(&f, "/metrics", "winnow_engine_queued 1\n");
    fixture_close(&f);
    for (size_t i = 0; i < 5; i++)
        if (i != 1) {
            raw_read(fds[i], &text, "event: error", 20000);
            assert_non_null(strstr(wn_strbuf_cstr(&text), "event: error"));
            wn_strbuf_free(&text);
            close(fds[i]);
        }
}

/* Overload --------------------------------------------------------------------------------------
 */

static void full_queue_says_so_at_once(void **state)
{
    (void)state;
    http_fixture f;
    int fds[3];
    fixture_ready(&f, &(wn_http_options){.queue_capacity = 2});
    fixture_corpus(f.service);
    atomic_store(&wn_fake.step_ms, 20);
    atomic_store(&wn_fake.n_words, 100000);
    for (size_t i = 0; i < 3; i++) { /* one runs, two wait */
        fds[i] = raw_connect(f.port);
        send_answer_request(fds[i], STREAM);
        wait_until_running(true);
        wn_strbuf head = {0};
        raw_read(fds[i], &head, "200 OK", 20000); /* its stream is open: it has its place */
        wn_strbuf_free(&head);
    }
    char *a = raw_request(f.port, "POST", ANSWERS, JSON_TYPE, STREAM);
    assert_int_equal(raw_status(a), 503);
    assert_non_null(strstr(a, "\r\nRetry-After: "));
    assert_non_null(strstr(a, "queue_full"));
    free(a);
    json_t *o = fixture_json(&f, "GET", "/readyz", NULL, 503);
    assert_string_equal(json_str(o, "status"), "queue_full");
    json_decref(o);
    /* The engine is busy, the rest goes on. */
    fixture_expect(&f, "GET", "/livez", NULL, 200);
    fixture_expect(&f, "POST", "/v1/corpora/notes/search", "{\"query\":\"frogs\"}", 200);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
    fixture_close(&f);
}

static void waiting_too_long_is_told(void **state)
{
    (void)state;
    http_fixture f;
    wn_strbuf out = {0};
    fixture_ready(&f, &(wn_http_options){.request_ms = 500, .generation_ms = 2000});
    fixture_corpus(f.service);
    atomic_store(&wn_fake.step_ms, 20);
    atomic_store(&wn_fake.n_words, 100000);
    int first = raw_connect(f.port), second = raw_connect(f.port);
    send_answer_request(first, STREAM);
    wait_until_running(true);
    send_answer_request(second, QUESTION);
    raw_read(first, &out, NULL, 20000); /* cut by generation_ms */
    assert_non_null(strstr(wn_strbuf_cstr(&out), "event: error\n"));
    assert_non_null(strstr(wn_strbuf_cstr(&out), "deadline_passed"));
    wn_strbuf_clear(&out);
    raw_read(second, &out, NULL, 20000); /* never began */
    assert_int_equal(raw_status(wn_strbuf_cstr(&out)), 504);
    assert_int_equal(atomic_load(&wn_fake.cancelled), 1);
    close(first);
    close(second);
    wn_strbuf_free(&out);
    fixture_close(&f);
}

static void silent_streams_get_pings(void **state)
{
    (void)state;
    http_fixture f;
    wn_strbuf out = {0};
    fixture_ready(&f, &(wn_http_options){.ping_ms = 20});
    fixture_corpus(f.service);
    atomic_store(&wn_fake.step_ms, 200);
    int fd = raw_connect(f.port);
    send_answer_request(fd, STREAM);
    raw_read(fd, &out, NULL, 20000);
    assert_true(raw_count(wn_strbuf_cstr(&out), ": ping\n\n") >= 2);
    assert_non_null(strstr(wn_strbuf_cstr(&out), "event: done\n"));
    close(fd);
    wn_strbuf_free(&out);
    fixture_close(&f);
}

/* Shutdown --------------------------------------------------------------------------------------
 */

typedef struct running_server {
    wn_service *service;
    wn_http_options options;
    atomic_int port; /* 0 until it listens */
    atomic_int ready;
    wn_status status;
    int64_t ended_ns;
} running_server;

static void note_port(void *ctx, const char *url)
{
    running_server *r = ctx;
    atomic_store(&r->port, atoi(strrchr(url, ':') + 1));
}

static void note_ready(void *ctx)
{
    atomic_store(&((running_server *)ctx)->ready, 1);
}

static void *run_server(void *arg)
{
    running_server *r = arg;
    r->status = wn_http_server_run(r->service, &r->options, NULL);
    r->ended_ns = wn_clock_ns();
    return NULL;
}

static pthread_t begin_run(running_server *r, http_fixture *f)
{
    pthread_t thread;
    fixture_reset();
    WN_ASSERT_OK(wn_fake_service_open(&r->service, err));
    r->options.ctx = r;
    r->options.on_listening = note_port;
    r->options.on_ready = note_ready;
    assert_int_equal(pthread_create(&thread, NULL, run_server, r), 0);
    assert_true(fixture_wait(&r->port, 1) && fixture_wait(&r->ready, 1));
    f->port = (uint16_t)atomic_load(&r->port);
    fixture_corpus(r->service);
    return thread;
}

static void end_run(running_server *r, pthread_t thread)
{
    pthread_join(thread, NULL);
    assert_int_equal(r->status, WN_OK);
    wn_service_close(r->service);
}

static void sigterm_lets_streams_finish(void **state)
{
    (void)state;
    http_fixture f = {0};
    running_server r = {0};
    wn_strbuf out = {0};
    pthread_t thread = begin_run(&r, &f);
    atomic_store(&wn_fake.step_ms, 20);
    atomic_store(&wn_fake.n_words, 100000);
    int fd = raw_connect(f.port), waiting = raw_connect(f.port);
    send_answer_request(fd, STREAM);
    wait_until_running(true);
    send_answer_request(waiting, QUESTION);
    fixture_until(&f, "/metrics", "\nwinnow_engine_jobs 2\n");
    kill(getpid(), SIGTERM);
    fixture_until(&f, "/readyz", "\"draining\"");
    fixture_expect(&f, "GET", "/readyz", NULL, 503);
    fixture_error(&f, "POST", ANSWERS, QUESTION, 503, "");
    fixture_expect(&f, "GET", "/livez", NULL, 200);
    atomic_store(&wn_fake.n_words, 0); /* both may come to their end */
    raw_read(fd, &out, NULL, 20000);
    assert_non_null(strstr(wn_strbuf_cstr(&out), "event: done\n"));
    wn_strbuf_clear(&out);
    raw_read(waiting, &out, NULL, 20000);
    assert_int_equal(raw_status(wn_strbuf_cstr(&out)), 200);
    assert_int_equal(atomic_load(&wn_fake.finished), 2);
    close(fd);
    close(waiting);
    wn_strbuf_free(&out);
    end_run(&r, thread);
}

static void late_streams_get_a_terminal_event(void **state)
{
    (void)state;
    http_fixture f = {0};
    atomic_bool stop;
    atomic_init(&stop, false);
    running_server r = {
        .options = {.drain_ms = 8500, .stop = &stop}}; /* told to stop after 0.5 s */
    wn_strbuf out = {0};
    pthread_t thread = begin_run(&r, &f);
    atomic_store(&wn_fake.step_ms, 20);
    atomic_store(&wn_fake.n_words, 100000);
    int stream = raw_connect(f.port), waiting = raw_connect(f.port);
    send_answer_request(stream, STREAM);
    wait_until_running(true);
    send_answer_request(waiting, STREAM);
    raw_read(waiting, &out, "200 OK", 20000); /* its stream is open: it has its place */
    wn_strbuf_clear(&out);
    int64_t told_ns = wn_clock_ns();
    atomic_store(&stop, true);
    raw_read(stream, &out, NULL, 20000);
    const char *text = wn_strbuf_cstr(&out);
    assert_int_equal(raw_count(text, "event: error\n"), 1);
    assert_non_null(strstr(text, "shutting down"));
    assert_non_null(strstr(text, "\r\n0\r\n\r\n")); /* the chunked body has its proper end */
    wn_strbuf_clear(&out);
    raw_read(waiting, &out, NULL, 20000);
    assert_int_equal(raw_count(wn_strbuf_cstr(&out), "event: error\n"), 1);
    close(stream);
    close(waiting);
    wn_strbuf_free(&out);
    end_run(&r, thread);
    assert_true(r.ended_ns - told_ns < 8500000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_server_is_live_but_not_ready),
        cmocka_unit_test(failed_load_is_the_result),
        cmocka_unit_test(public_address_needs_keys),
        cmocka_unit_test(keys_guard_everything),
        cmocka_unit_test(other_hosts_and_origins_are_refused),
        cmocka_unit_test(leaving_client_stops_the_work),
        cmocka_unit_test(leaving_client_frees_its_place_in_the_queue),
        cmocka_unit_test(answers_run_side_by_side),
        cmocka_unit_test(full_queue_says_so_at_once),
        cmocka_unit_test(waiting_too_long_is_told),
        cmocka_unit_test(silent_streams_get_pings),
        cmocka_unit_test(sigterm_lets_streams_finish),
        cmocka_unit_test(late_streams_get_a_terminal_event)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
