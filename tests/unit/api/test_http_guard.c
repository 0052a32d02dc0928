/* The framing guard on header fields alone; the same over sockets is in test_http_framing.c. */
#include "tests/test_support.h"

#include "api/http_guard.h"

#define MAX_PAIRS 8

typedef struct guard_case {
    const char *what, *method, *target, *version;
    const char *fields[2 * MAX_PAIRS]; /* name, value, ... */
    int code;
} guard_case;

#define HOST "Host", "localhost"

static const guard_case cases[] = {
    {"plain", "GET", "/livez", "HTTP/1.1", {HOST}, 0},
    {"query", "GET", "/v1/corpora?limit=2&after=a%20b", "HTTP/1.1", {HOST}, 0},
    {"body", "POST", "/x", "HTTP/1.1", {HOST, "Content-Length", "5"}, 0},
    {"chunked", "POST", "/x", "HTTP/1.1", {HOST, "Transfer-Encoding", "Chunked"}, 0},
    {"old", "GET", "/", "HTTP/1.0", {HOST}, 0},
    {"continue", "POST", "/", "HTTP/1.1", {HOST, "Expect", "100-Continue"}, 0},
    {"tab in value", "GET", "/", "HTTP/1.1", {HOST, "X", "a\tb"}, 0},
    {"UTF-8 in value", "GET", "/", "HTTP/1.1", {HOST, "X", "\xc3\xa9"}, 0},

    {"no host", "GET", "/", "HTTP/1.1", {"X", "y"}, 400},
    {"empty host", "GET", "/", "HTTP/1.1", {"Host", ""}, 400},
    {"two hosts", "GET", "/", "HTTP/1.1", {HOST, "hOST", "localhost"}, 400},
    {"old without host", "GET", "/", "HTTP/1.0", {"X", "y"}, 400},
    {"two lengths",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "5", "content-length", "5"},
     400},
    {"length and encoding",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "5", "Transfer-Encoding", "chunked"},
     400},
    {"encoding and length",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Transfer-Encoding", "chunked", "Content-Length", "5"},
     400},
    {"two encodings",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"},
     400},
    {"gzip", "POST", "/", "HTTP/1.1", {HOST, "Transfer-Encoding", "gzip"}, 501},
    {"gzip, chunked", "POST", "/", "HTTP/1.1", {HOST, "Transfer-Encoding", "gzip, chunked"}, 501},
    {"chunked, identity",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Transfer-Encoding", "chunked, identity"},
     501},
    {"identity", "POST", "/", "HTTP/1.1", {HOST, "Transfer-Encoding", "identity"}, 501},
    {"xchunked", "POST", "/", "HTTP/1.1", {HOST, "Transfer-Encoding", "xchunked"}, 501},
    {"chunked with blank", "POST", "/", "HTTP/1.1", {HOST, "Transfer-Encoding", "chunked "}, 501},
    {"empty encoding", "POST", "/", "HTTP/1.1", {HOST, "Transfer-Encoding", ""}, 501},
    {"vertical tab in encoding",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Transfer-Encoding", "\vchunked"},
     400},
    {"blank in name", "POST", "/", "HTTP/1.1", {HOST, "Transfer-Encoding ", "chunked"}, 400},
    {"tab in name", "POST", "/", "HTTP/1.1", {HOST, "Content-Length\t", "5"}, 400},
    {"leading blank in name", "POST", "/", "HTTP/1.1", {HOST, " Content-Length", "5"}, 400},
    {"empty name", "GET", "/", "HTTP/1.1", {HOST, "", "5"}, 400},
    {"NUL-like name", "GET", "/", "HTTP/1.1", {HOST, "X\x01", "5"}, 400},
    {"8-bit name", "GET", "/", "HTTP/1.1", {HOST, "X\xc3\xa9", "5"}, 400},
    {"bare CR in value", "GET", "/", "HTTP/1.1", {HOST, "X", "a\rGET /livez"}, 400},
    {"LF in value", "GET", "/", "HTTP/1.1", {HOST, "X", "a\nb"}, 400},
    {"DEL in value", "GET", "/", "HTTP/1.1", {HOST, "X", "a\x7f"}, 400},
    {"HTTP/1.0 chunked", "POST", "/", "HTTP/1.0", {HOST, "Transfer-Encoding", "chunked"}, 400},
    {"length +5", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "+5"}, 400},
    {"length -1", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "-1"}, 400},
    {"length hex", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "0x5"}, 400},
    {"length list", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "5, 5"}, 400},
    {"length blank inside", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "5 6"}, 400},
    {"length trailing blank", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "5 "}, 400},
    {"length empty", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", ""}, 400},
    {"length huge", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "18446744073709551617"}, 400},
    {"two keys", "GET", "/", "HTTP/1.1", {HOST, "Authorization", "a", "Authorization", "a"}, 400},
    {"two origins", "GET", "/", "HTTP/1.1", {HOST, "Origin", "a", "Origin", "b"}, 400},
    {"two types", "POST", "/", "HTTP/1.1", {HOST, "Content-Type", "a", "Content-Type", "b"}, 400},
    {"other expectation", "POST", "/", "HTTP/1.1", {HOST, "Expect", "magic"}, 417},
    {"version 2", "GET", "/", "HTTP/2.0", {HOST}, 505},
    {"version 1.2", "GET", "/", "HTTP/1.2", {HOST}, 505},
    {"version 0.9", "GET", "/", "", {HOST}, 505},
    {"lower-case version", "GET", "/", "http/1.1", {HOST}, 505},
    {"method with control", "G\x01T", "/", "HTTP/1.1", {HOST}, 400},
    {"absolute target", "GET", "http://localhost/livez", "HTTP/1.1", {HOST}, 400},
    {"star target", "OPTIONS", "*", "HTTP/1.1", {HOST}, 400},
    {"authority target", "CONNECT", "localhost:80", "HTTP/1.1", {HOST}, 400},
    {"empty target", "GET", "", "HTTP/1.1", {HOST}, 400},
    {"NUL in target", "GET", "/livez%00x", "HTTP/1.1", {HOST}, 400},
    {"8-bit target", "GET", "/\xc3\xa9", "HTTP/1.1", {HOST}, 400},
    {"fragment in target", "GET", "/livez#x", "HTTP/1.1", {HOST}, 400},
};

static int run_case(const guard_case *c, wn_http_framing *f)
{
    wn_http_field fields[MAX_PAIRS];
    size_t n = 0;
    for (; n < MAX_PAIRS && c->fields[2 * n]; n++)
        fields[n] = (wn_http_field){c->fields[2 * n], strlen(c->fields[2 * n]),
                                    c->fields[2 * n + 1], strlen(c->fields[2 * n + 1])};
    wn_http_head head = {.method = c->method,
                         .target = c->target,
                         .version = c->version,
                         .fields = fields,
                         .n_fields = n};
    const char *why = NULL;
    int code = wn_http_guard(&head, f, &why);
    assert_true((code != 0) == (why != NULL));
    return code;
}

static void guard_decides(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wn_http_framing f;
        int code = run_case(&cases[i], &f);
        if (code != cases[i].code)
            fail_msg("%s: %d instead of %d", cases[i].what, code, cases[i].code);
    }
}

static void guard_reports_framing(void **state)
{
    (void)state;
    wn_http_framing f;
    assert_int_equal(run_case(&cases[2], &f), 0);
    assert_true(f.has_length && f.has_body && !f.chunked && f.length == 5);
    assert_int_equal(run_case(&cases[3], &f), 0);
    assert_true(!f.has_length && f.has_body && f.chunked);
    assert_int_equal(run_case(&cases[5], &f), 0);
    assert_true(f.expects_continue && !f.has_body);
    assert_string_equal(f.host, "localhost");
}

static void too_many_fields(void **state)
{
    (void)state;
    const char *why = NULL;
    wn_http_framing f;
    wn_http_head head = {
        .method = "GET", .target = "/", .version = "HTTP/1.1", .too_many_fields = true};
    assert_int_equal(wn_http_guard(&head, &f, &why), 431);
}

/* The library's buffer, as it looks after "GET /a HTTP/1.1", "Host: h" and "X: b" were cut. */
static bool contiguous(char *buffer, size_t len, size_t target, size_t version, size_t host,
                       size_t host_value, size_t x, size_t x_value)
{
    wn_http_field fields[2] = {
        {buffer + host, strlen(buffer + host), buffer + host_value, strlen(buffer + host_value)},
        {buffer + x, strlen(buffer + x), buffer + x_value, strlen(buffer + x_value)}};
    wn_http_head head = {.method = buffer,
                         .target = "/a",
                         .target_at = buffer + target,
                         .version = buffer + version,
                         .fields = fields,
                         .n_fields = 2};
    return wn_http_head_is_contiguous(&head, len);
}

static void layout_tells_bare_line_feeds(void **state)
{
    (void)state;
    char good[] = "GET\0/a\0HTTP/1.1\0\0Host\0 h\0\0X\0b\0\0\0";
    assert_true(contiguous(good, sizeof good, 4, 7, 17, 23, 26, 28));
    assert_false(contiguous(good, sizeof good - 1, 4, 7, 17, 23, 26, 28)); /* ended in CRLF LF */
    assert_false(contiguous(good, sizeof good + 1, 4, 7, 17, 23, 26, 28));
    char bare[] = "GET\0/a\0HTTP/1.1\0Host\0 h\0\0X\0b\0\0\0"; /* LF after the request line */
    assert_false(contiguous(bare, sizeof bare, 4, 7, 16, 22, 25, 27));
    char folded[] = "GET\0/a\0HTTP/1.1\0\0Host\0 h\0\0 y\0\0X\0b\0\0\0"; /* a line in between */
    assert_false(contiguous(folded, sizeof folded, 4, 7, 17, 23, 30, 32));
    char blank[] = "GET\0 /a\0HTTP/1.1\0\0Host\0 h\0\0X\0b\0\0\0"; /* two blanks before /a */
    assert_false(contiguous(blank, sizeof blank, 5, 8, 18, 24, 27, 29));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guard_decides), cmocka_unit_test(guard_reports_framing),
        cmocka_unit_test(too_many_fields), cmocka_unit_test(layout_tells_bare_line_feeds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
