/* Malformed framings over real sockets, each followed by a pipelined request that must never be
 * dispatched, and deadlines of slow clients. */
#include "tests/unit/api/http_fixture.h"

/* The second request makes itself known by creating a corpus. */
#define SECOND                                                                                     \
    "POST /v1/corpora HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"           \
    "Content-Length: 15\r\n\r\n{\"name\":\"evil\"}"
#define POST "POST /v1/corpora HTTP/1.1\r\nHost: localhost\r\n"

static const char *const malformed[] = {
    POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" SECOND,
    POST "Content-Length: 2\r\nContent-Length: 200\r\n\r\n{}" SECOND,
    POST "content-length: 0\r\nContent-Length: 2\r\n\r\n" SECOND,
    POST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" SECOND,
    POST "Content-Length : 2\r\n\r\n{}" SECOND,
    POST " Content-Length: 2\r\n\r\n{}" SECOND,
    POST "Transfer-Encoding: gzip\r\n\r\n" SECOND,
    POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: identity\r\n\r\n" SECOND,
    POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" SECOND,
    POST "Content-Length: 2\r\n 00\r\n\r\n{}" SECOND,
    POST "Content-Length: 150\r\n\tx\r\n\r\n" SECOND,
    POST "X: y\r\n Content-Length: 150\r\n\r\n" SECOND,
    POST "Content-Length: +2\r\n\r\n{}" SECOND,
    POST "Content-Length: -2\r\n\r\n{}" SECOND,
    POST "Content-Length: 0x2\r\n\r\n{}" SECOND,
    POST "Content-Length: 2,2\r\n\r\n{}" SECOND,
    POST "Content-Length: 2 2\r\n\r\n{}" SECOND,
    POST "Content-Length: two\r\n\r\n{}" SECOND,
    POST "Content-Length: \r\n\r\n" SECOND,
    POST "Content-Length: 99999999999999999999\r\n\r\n" SECOND,
    POST "Content-Length: 18446744073709551618\r\n\r\n{}" SECOND,
    POST "Host: other\r\n\r\n" SECOND,
    POST "Authorization: a\r\nAuthorization: b\r\n\r\n" SECOND,
    POST "No colon here\r\n\r\n" SECOND,
    POST ": empty name\r\n\r\n" SECOND,
    POST "X: a\rb\r\n\r\n" SECOND,
    POST "X: a\n\n" SECOND,
    POST "X: a\r\n\n" SECOND,
    POST "X: a\nY: b\r\n\r\n" SECOND,
    POST "X: a\r\r" SECOND,
    POST "X: \x01\r\n\r\n" SECOND,
    POST "Expect: 200-ok\r\n\r\n" SECOND,
    POST "Content-Length: 15\r\nExpect: 100-continue, x\r\n\r\n" SECOND,
    "GET /livez HTTP/1.1\r\n\r\n" SECOND,
    "GET /livez HTTP/1.1\r\nHost:\r\n\r\n" SECOND,
    "GET /livez HTTP/1.0\r\n\r\n" SECOND,
    "GET /livez HTTP/1.1\nHost: localhost\n\n" SECOND,
    "GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" SECOND,
    "GET /livez  HTTP/1.1\r\nHost: localhost\r\n\r\n" SECOND,
    "GET /livez HTTP/1.1 \r\nHost: localhost\r\n\r\n" SECOND,
    "GET\t/livez HTTP/1.1\r\nHost: localhost\r\n\r\n" SECOND,
    "GET /livez HTTP/1.2\r\nHost: localhost\r\n\r\n" SECOND,
    "GET /livez HTTP/2.0\r\nHost: localhost\r\n\r\n" SECOND,
    "GET /livez http/1.1\r\nHost: localhost\r\n\r\n" SECOND,
    "GET /livez\r\nHost: localhost\r\n\r\n" SECOND,
    "GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n" SECOND,
    "GET /livez%00 HTTP/1.1\r\nHost: localhost\r\n\r\n" SECOND,
    "GET /livez#x HTTP/1.1\r\nHost: localhost\r\n\r\n" SECOND,
    "G(T /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" SECOND,
    "POST /v1/corpora HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: "
    "chunked\r\n\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\n\r\n2\r{}\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" SECOND,
    POST "Transfer-Encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n" SECOND,
    POST "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n" SECOND,
};

static bool evil_exists(const http_fixture *f)
{
    char *a = raw_request(f->port, "GET", "/v1/corpora/evil", "", NULL);
    bool exists = raw_status(a) == 200;
    free(a);
    return exists;
}

static void no_second_dispatch(void **state)
{
    (void)state;
    http_fixture f;
    fixture_ready(&f, &(wn_http_options){0});
    size_t n = sizeof malformed / sizeof malformed[0];
    assert_true(n >= 60);
    for (size_t i = 0; i < n; i++) {
        char *a = raw_exchange(f.port, malformed[i], strlen(malformed[i]));
        /* Ours carry nosniff. (The library writes the header of its own refusals twice.) */
        if (raw_count(a, "nosniff") > 1 ||
            raw_count(a, "HTTP/1.1 4") + raw_count(a, "HTTP/1.1 5") < raw_count(a, "HTTP/1.1 ") ||
            evil_exists(&f))
            fail_msg("framing %zu was let through: %s\n%s", i, malformed[i], a);
        free(a);
    }
    fixture_close(&f);
}

/* The same as good requests, to show that the probe works and keep-alive is on. */
static void good_pipelining_dispatches(void **state)
{
    (void)state;
    http_fixture f;
    wn_strbuf out = {0};
    fixture_ready(&f, &(wn_http_options){0});
    static const char two[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" SECOND;
    int fd = raw_connect(f.port);
    raw_send(fd, two, sizeof two - 1);
    raw_read(fd, &out, "\"id\":\"evil\"", 20000);
    close(fd);
    assert_int_equal(raw_count(wn_strbuf_cstr(&out), "HTTP/1.1 20"), 2);
    assert_true(evil_exists(&f));
    wn_strbuf_free(&out);
    fixture_close(&f);
}

static void headers_have_limits(void **state)
{
    (void)state;
    http_fixture f;
    wn_strbuf b = {0};
    fixture_ready(&f, &(wn_http_options){0});
    wn_strbuf_adds(&b, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ");
    for (int i = 0; i < 17000; i++)
        wn_strbuf_addc(&b, 'x');
    wn_strbuf_adds(&b, "\r\n\r\n");
    char *a = raw_exchange(f.port, wn_strbuf_cstr(&b), b.len);
    assert_int_equal(raw_status(a), 431);
    free(a);
    wn_strbuf_clear(&b);
    wn_strbuf_adds(&b, "GET /livez HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 120; i++)
        wn_strbuf_printf(&b, "X-%d: y\r\n", i);
    wn_strbuf_adds(&b, "\r\n");
    a = raw_exchange(f.port, wn_strbuf_cstr(&b), b.len);
    assert_int_equal(raw_status(a), 431);
    free(a);
    wn_strbuf_clear(&b);
    for (int i = 0; i < 200000; i++)
        wn_strbuf_addc(&b, 'G');
    a = raw_exchange(f.port, wn_strbuf_cstr(&b), b.len);
    assert_true(a[0] == '\0' || raw_status(a) >= 400);
    free(a);
    wn_strbuf_free(&b);
    fixture_close(&f);
}

static void bodies_have_limits(void **state)
{
    (void)state;
    http_fixture f;
    fixture_ready(&f, &(wn_http_options){.max_json_bytes = 1000, .max_upload_bytes = 5000});
    char big[2001];
    memset(big, ' ', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    fixture_error(&f, "POST", "/v1/corpora", big, 413, "");
    static const char early[] = POST "Content-Length: 100000000\r\n\r\n";
    char *a = raw_exchange(f.port, early, sizeof early - 1);
    assert_int_equal(raw_status(a), 413);
    free(a);
    static const char chunked[] =
        POST "Transfer-Encoding: chunked\r\n\r\n400\r\n%s\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
    char kib[1025], text[2000];
    memset(kib, ' ', 1024);
    kib[1024] = '\0';
    snprintf(text, sizeof text, chunked, kib);
    a = raw_exchange(f.port, text, strlen(text));
    assert_int_equal(raw_status(a), 413);
    assert_non_null(strstr(a, "Connection: close"));
    free(a);
    fixture_close(&f);
}

/* Reads until the server closes; false when it still had not after 20 s. */
static bool is_cut(int fd)
{
    wn_strbuf out = {0};
    bool cut = raw_read(fd, &out, NULL, 20000);
    wn_strbuf_free(&out);
    close(fd);
    return cut;
}

static void slow_clients_are_cut(void **state)
{
    (void)state;
    http_fixture f;
    wn_strbuf out = {0};
    fixture_ready(&f, &(wn_http_options){.header_ms = 1000, .body_ms = 1000, .idle_ms = 1500});
    int silent = raw_connect(f.port), header = raw_connect(f.port), body = raw_connect(f.port);
    int idle = raw_connect(f.port), second = raw_connect(f.port);
    static const char half[] = "GET /livez HTTP/1.1\r\nHo", ok[] = "GET /livez HTTP/1.1\r\n"
                                                                   "Host: localhost\r\n\r\n";
    static const char start[] = POST "Content-Length: 15\r\n\r\n{\"na";
    raw_send(header, half, sizeof half - 1);
    raw_send(body, start, sizeof start - 1);
    raw_send(idle, ok, sizeof ok - 1);
    raw_send(second, ok, sizeof ok - 1);
    raw_read(idle, &out, "live\"}", 20000);
    wn_strbuf_clear(&out);
    raw_read(second, &out, "live\"}", 20000);
    raw_send(second, half, sizeof half - 1); /* the next header's time begins with its first byte */
    assert_true(is_cut(silent));
    assert_true(is_cut(header));
    assert_true(is_cut(body));
    assert_true(is_cut(second));
    assert_true(is_cut(idle));
    fixture_expect(&f, "GET", "/livez", NULL, 200);
    assert_false(evil_exists(&f));
    wn_strbuf_free(&out);
    fixture_close(&f);
}

/* A client that sends a byte now and then is cut too: the deadline is absolute. */
static void trickling_header_is_cut(void **state)
{
    (void)state;
    http_fixture f;
    fixture_ready(&f, &(wn_http_options){.header_ms = 1000});
    int fd = raw_connect(f.port);
    bool cut = false;
    wn_strbuf out = {0};
    static const char head[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ";
    raw_send(fd, head, sizeof head - 1);
    for (int i = 0; i < 400 && !cut; i++) {
        raw_send(fd, "x", 1);
        cut = raw_read(fd, &out, NULL, 50);
    }
    assert_true(cut);
    assert_int_equal(out.len, 0);
    close(fd);
    wn_strbuf_free(&out);
    fixture_close(&f);
}

/* A connection that stays open after its answer; -1: it was refused. */
static int connect_and_stay(uint16_t port)
{
    static const char ok[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    wn_strbuf out = {0};
    const int fd = raw_connect(port);
    raw_send(fd, ok, sizeof ok - 1);
    raw_read(fd, &out, "live\"}", 20000);
    const bool served = strstr(wn_strbuf_cstr(&out), "200 OK") != NULL;
    wn_strbuf_free(&out);
    if (!served)
        close(fd);
    return served ? fd : -1;
}

static void connections_per_address_are_limited(void **state)
{
    (void)state;
    http_fixture f;
    int fds[4];
    fixture_ready(&f, &(wn_http_options){.max_per_address = 4});
    for (size_t i = 0; i < 4; i++) {
        fds[i] = connect_and_stay(f.port);
        for (int k = 0; k < 4000 && fds[i] < 0; k++) { /* those of fixture_ready count until they */
            usleep(5000);                              /* are cleaned up */
            fds[i] = connect_and_stay(f.port);
        }
        assert_true(fds[i] >= 0);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(connect_and_stay(f.port), -1);
    for (size_t i = 0; i < 4; i++)
        close(fds[i]);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_second_dispatch),
                                       cmocka_unit_test(good_pipelining_dispatches),
                                       cmocka_unit_test(headers_have_limits),
                                       cmocka_unit_test(bodies_have_limits),
                                       cmocka_unit_test(slow_clients_are_cut),
                                       cmocka_unit_test(trickling_header_is_cut),
                                       cmocka_unit_test(connections_per_address_are_limited)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
