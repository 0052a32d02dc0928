/* A running server on the fake service, for the test_http_*.c that need one. */
#ifndef WN_TEST_HTTP_FIXTURE_H
#define WN_TEST_HTTP_FIXTURE_H

#include <jansson.h>

#include "api/http_server.h"
#include "tests/unit/api/fake_service.h"
#include "tests/unit/api/raw_http.h"

typedef struct http_fixture {
    wn_service *service;
    wn_http_server *server;
    uint16_t port;
} http_fixture;

#define JSON_TYPE "Content-Type: application/json\r\n"

/* Waits (for at most 20 s) until *counter reaches n. */
static inline bool fixture_wait(atomic_int *counter, int n)
{
    for (int i = 0; i < 20000; i++) {
        if (atomic_load(counter) >= n)
            return true;
        usleep(1000);
    }
    return false;
}

static inline void fixture_reset(void)
{
    atomic_store(&wn_fake.step_ms, 0);
    atomic_store(&wn_fake.n_prefill, 2);
    atomic_store(&wn_fake.n_words, 0);
    atomic_store(&wn_fake.hold_load, false);
    atomic_store(&wn_fake.load_fails, false);
    atomic_store(&wn_fake.steps, 0);
    atomic_store(&wn_fake.cancelled, 0);
    atomic_store(&wn_fake.finished, 0);
}

static inline void fixture_open(http_fixture *f, const wn_http_options *o)
{
    WN_ASSERT_OK(wn_fake_service_open(&f->service, err));
    WN_ASSERT_OK(wn_http_server_start(&f->server, f->service, o, err));
    f->port = wn_http_server_port(f->server);
}

static inline void fixture_close(http_fixture *f)
{
    wn_http_server_stop(f->server);
    wn_service_close(f->service);
}

static inline void fixture_until_ready(const http_fixture *f)
{
    for (int i = 0; i < 2000; i++) {
        char *a = raw_request(f->port, "GET", "/readyz", "", NULL);
        int status = raw_status(a);
        free(a);
        if (status == 200)
            return;
        usleep(5000);
    }
    fail_msg("the server did not become ready");
}

static inline void fixture_ready(http_fixture *f, const wn_http_options *o)
{
    fixture_reset();
    fixture_open(f, o);
    fixture_until_ready(f);
}

/* A request with its JSON answer; fails the test when the status differs. */
static inline json_t *fixture_json(const http_fixture *f, const char *method, const char *target,
                                   const char *body, int status)
{
    char *a = raw_request(f->port, method, target, body ? JSON_TYPE : "", body);
    if (raw_status(a) != status)
        fail_msg("%s %s %s: wanted %d, got: %s", method, target, body ? body : "", status, a);
    const char *text = raw_body(a);
    json_t *o = json_loads(text, 0, NULL);
    if (!o)
        fail_msg("%s %s: not JSON: %s", method, target, a);
    free(a);
    return o;
}

static inline void fixture_expect(const http_fixture *f, const char *method, const char *target,
                                  const char *body, int status)
{
    json_decref(fixture_json(f, method, target, body, status));
}

/* The value at a path of keys and indices, "data.0.id". */
static inline const json_t *json_at(const json_t *o, const char *path)
{
    char key[64];
    while (o && *path) {
        size_t len = strcspn(path, ".");
        memcpy(key, path, len);
        key[len] = '\0';
        o = json_is_array(o) ? json_array_get(o, (size_t)atoi(key)) : json_object_get(o, key);
        path += len + (path[len] == '.');
    }
    return o;
}

static inline const char *json_str(const json_t *o, const char *path)
{
    const char *s = json_string_value(json_at(o, path));
    return s ? s : "(none)";
}

/* A 4xx or 5xx with all four keys, and this param ("" = null). */
static inline void fixture_error(const http_fixture *f, const char *method, const char *target,
                                 const char *body, int status, const char *param)
{
    json_t *o = fixture_json(f, method, target, body, status);
    const json_t *e = json_object_get(o, "error");
    assert_true(json_is_string(json_object_get(e, "message")));
    assert_true(json_is_string(json_object_get(e, "type")));
    assert_non_null(json_object_get(e, "param"));
    assert_non_null(json_object_get(e, "code"));
    const char *got = json_string_value(json_object_get(e, "param"));
    if (strcmp(got ? got : "", param) != 0)
        fail_msg("%s %s: param %s instead of %s (%s)", target, body ? body : "", got ? got : "null",
                 param, json_str(e, "message"));
    json_decref(o);
}

/* Waits (for at most 20 s) until the answer has this text in it. */
static inline void fixture_until(const http_fixture *f, const char *target, const char *text)
{
    for (int i = 0; i < 4000; i++) {
        char *a = raw_request(f->port, "GET", target, "", NULL);
        const bool there = strstr(a, text) != NULL;
        free(a);
        if (there)
            return;
        usleep(5000);
    }
    fail_msg("GET %s never said %s", target, text);
}

/* A corpus "notes" with one document, put there without the parsers (which sandbox themselves and
 * do not run under every sanitizer). */
static inline void fixture_corpus(wn_service *service)
{
    static const char text[] = "Frogs live near water.\n\nToads prefer gardens and dry places.\n";
    wn_corpus *c = NULL;
    wn_block block = {.kind = WN_BLOCK_PARAGRAPH, .end = sizeof text - 1, .headings = ""};
    wn_passage passage = {.end = sizeof text - 1, .headings = ""};
    wn_document_content content = {.doc = {.path = "frogs.txt",
                                           .filename = "frogs.txt",
                                           .title = "",
                                           .media_type = "text/plain",
                                           .checksum = "00",
                                           .attributes = "{}"},
                                   .text = text,
                                   .text_len = sizeof text - 1,
                                   .blocks = &block,
                                   .n_blocks = 1,
                                   .passages = &passage,
                                   .n_passages = 1};
    WN_ASSERT_OK(wn_service_corpus(service, "notes", WN_CORPUS_WRITE | WN_CORPUS_CREATE, &c, err));
    WN_ASSERT_OK(wn_corpus_put(c, &content, NULL, err));
    wn_service_corpus_release(service, c);
}

#endif
