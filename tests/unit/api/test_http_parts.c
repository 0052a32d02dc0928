/* The server's small parts without a server: keys, hosts, routes, multipart bodies, gates. */
#include <pthread.h>
#include <unistd.h>

#include "api/http_auth.h"
#include "api/http_gate.h"
#include "api/http_multipart.h"
#include "api/route_table.h"
#include "api/web_assets.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/strbuf.h"
#include "tests/test_support.h"

#include <jansson.h>

/* Keys ------------------------------------------------------------------------------------------
 */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void hash_key(const char *key, char hex[WN_SHA256_HEX])
{
    uint8_t digest[WN_SHA256_BYTES];
    WN_ASSERT_OK(wn_sha256_of(key, strlen(key), digest, err));
    wn_hex(digest, sizeof digest, hex);
}

static void keys_have_scopes_and_corpora(void **state)
{
    (void)state;
    char path[] = "/tmp/winnow-keys-XXXXXX", text[512], reader[WN_SHA256_HEX], admin[WN_SHA256_HEX];
    close(mkstemp(path));
    hash_key("reader-key", reader);
    hash_key("admin-key", admin);
    snprintf(text, sizeof text, "# keys\n\n%s read notes other\n%s admin # all\n", reader, admin);
    write_file(path, text);
    wn_http_auth *a = NULL;
    WN_ASSERT_OK(wn_http_auth_open(&a, path, err));
    assert_true(wn_http_auth_has_keys(a));
    assert_null(wn_http_auth_check(a, NULL));
    assert_null(wn_http_auth_check(a, "Bearer "));
    assert_null(wn_http_auth_check(a, "Bearer nonsense"));
    assert_null(wn_http_auth_check(a, "reader-key"));
    assert_null(wn_http_auth_check(a, "Basic reader-key"));
    const wn_http_principal *r = wn_http_auth_check(a, "Bearer reader-key");
    const wn_http_principal *w = wn_http_auth_check(a, "bearer admin-key");
    assert_true(r && w && r != w);
    assert_true(wn_http_may(r, WN_SCOPE_READ) && !wn_http_may(r, WN_SCOPE_WRITE));
    assert_true(wn_http_may(w, WN_SCOPE_ADMIN) && wn_http_may(NULL, WN_SCOPE_NONE));
    assert_false(wn_http_may(NULL, WN_SCOPE_READ));
    assert_true(wn_http_may_see(r, "notes") && wn_http_may_see(r, "other"));
    assert_false(wn_http_may_see(r, "note") || wn_http_may_see(r, "the") || wn_http_may_see(r, ""));
    assert_true(wn_http_may_see(w, "anything"));
    assert_false(wn_http_may_see(w, "../x"));
    wn_http_auth_close(a);
    unlink(path);
}

static void bad_key_files_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "# nothing\n",
        "abc read *\n",
        "0123456789012345678901234567890123456789012345678901234567890123 all *\n",
        "0123456789012345678901234567890123456789012345678901234567890123\n",
        "0123456789012345678901234567890123456789012345678901234567890123 read ../x\n",
        "012345678901234567890123456789012345678901234567890123456789012z read\n"};
    char path[] = "/tmp/winnow-keys-XXXXXX";
    close(mkstemp(path));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        wn_http_auth *a = NULL;
        wn_error err = {0};
        write_file(path, texts[i]);
        assert_int_equal(wn_http_auth_open(&a, path, &err), WN_FORMAT);
        assert_non_null(strstr(err.text, path));
    }
    unlink(path);
}

static void hosts_and_origins(void **state)
{
    (void)state;
    static const char *const good[] = {"localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:80",
                                       "127.9.9.9", "[::1]",          "[::1]:9000"};
    static const char *const bad[] = {"",
                                      "evil.example",
                                      "localhost.evil.example",
                                      "127.0.0.1.evil.example",
                                      "10.0.0.1",
                                      "[::2]",
                                      "[::1]x",
                                      "localhost:80:80",
                                      "localhost:x",
                                      "::1",
                                      "0.0.0.0",
                                      "user@localhost",
                                      ":80",
                                      "[",
                                      "[]"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(wn_http_host_is_local(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(wn_http_host_is_local(bad[i]));
    assert_true(wn_http_origin_is_same("http://localhost:8080", "localhost:8080"));
    assert_false(wn_http_origin_is_same("http://localhost:3000", "localhost:8080"));
    assert_false(wn_http_origin_is_same("null", "localhost:8080"));
    assert_false(wn_http_origin_is_same("http://evil.example", "localhost:8080"));
    assert_true(wn_http_address_is_loopback("127.0.0.1") && wn_http_address_is_loopback("::1"));
    assert_false(wn_http_address_is_loopback("0.0.0.0") || wn_http_address_is_loopback("::") ||
                 wn_http_address_is_loopback("localhost") ||
                 wn_http_address_is_loopback("10.1.1.1"));
}

/* Routes ----------------------------------------------------------------------------------------
 */

static bool matches(const char *method, const char *path, const char *id)
{
    wn_route_match m;
    wn_route_find(method, path, &m);
    return m.route && strcmp(m.route->id, id) == 0;
}

static void router_finds(void **state)
{
    (void)state;
    wn_route_match m;
    assert_true(matches("GET", "/", "webPage"));
    assert_true(matches("HEAD", "/livez", "livez"));
    assert_true(matches("GET", "/v1/corpora", "listCorpora"));
    assert_true(matches("POST", "/v1/corpora", "createCorpus"));
    assert_true(matches("DELETE", "/v1/corpora/a/documents/doc_1", "deleteDocument"));
    assert_false(matches("GET", "/v1/corpora/", "listCorpora"));
    assert_false(matches("GET", "//livez", "livez"));
    assert_false(matches("GET", "/livez/", "livez"));
    assert_false(matches("get", "/livez", "livez"));
    wn_route_find("GET", "/v1/corpora/notes/documents/doc_7", &m);
    assert_int_equal(m.param_lens[0], 5);
    assert_memory_equal(m.params[0], "notes", 5);
    assert_memory_equal(m.params[1], "doc_7", 5);
    wn_route_find("PUT", "/v1/corpora/notes", &m);
    assert_null(m.route);
    assert_string_equal(m.allow, "GET, HEAD, DELETE");
    wn_route_find("GET", "/nowhere", &m);
    assert_string_equal(m.allow, "");
}

static void every_route_is_described(void **state)
{
    (void)state;
    json_t *schemas = NULL;
    for (size_t i = 0; i < wn_n_web_assets; i++)
        if (strcmp(wn_web_assets[i].name, "schemas.json") == 0)
            schemas =
                json_loadb((const char *)wn_web_assets[i].data, wn_web_assets[i].len, 0, NULL);
    assert_non_null(schemas);
    for (size_t i = 0; i < wn_n_routes; i++) {
        const wn_route *r = &wn_routes[i];
        const char *names[] = {r->request, r->response, r->events};
        assert_true(r->handler && r->id && r->summary && r->status >= 200);
        assert_true((r->body != WN_BODY_NONE) == (r->request != NULL));
        assert_true(r->always || r->scope != WN_SCOPE_NONE); /* data needs a key */
        for (size_t k = 0; k < 3; k++)
            if (names[k] && !json_object_get(schemas, names[k]))
                fail_msg("%s: no schema %s", r->id, names[k]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(r->id, wn_routes[k].id);
    }
    json_decref(schemas);
}

/* Multipart -------------------------------------------------------------------------------------
 */

static const char type[] = "multipart/form-data; boundary=b";

static void multipart_parts(void **state)
{
    (void)state;
    static const char body[] = "preamble\r\n--b\r\n"
                               "Content-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--y\r\n"
                               "--b\r\nX: y\r\ncontent-disposition: form-data; "
                               "filename=\"q\\\"; name=z.txt\"; name=file\r\n\r\n\r\n--b--\r\n";
    wn_multipart_part p[4];
    size_t n = 0;
    WN_ASSERT_OK(wn_multipart_parse(type, body, sizeof body - 1, p, 4, &n, err));
    assert_int_equal(n, 2);
    assert_string_equal(p[0].name, "a");
    assert_string_equal(p[0].filename, "");
    assert_int_equal(p[0].len, 6);
    assert_memory_equal(p[0].data, "x\r\n--y", 6);
    assert_string_equal(p[1].name, "file");
    assert_string_equal(p[1].filename, "q\"; name=z.txt");
    assert_int_equal(p[1].len, 0);
    assert_int_equal(wn_multipart_parse(type, body, sizeof body - 1, p, 1, &n, NULL), WN_LIMIT);
    static const char quoted[] =
        "--a b\r\nContent-Disposition: form-data; name=n\r\n\r\nv\r\n--a b--";
    WN_ASSERT_OK(wn_multipart_parse("Multipart/Form-Data; charset=x; boundary=\"a b\"", quoted,
                                    sizeof quoted - 1, p, 4, &n, err));
    assert_int_equal(n, 1);
}

static void every_cut_of_a_multipart_body_is_refused(void **state)
{
    (void)state;
    static const char body[] =
        "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\n"
        "\r\nx\r\n--b--";
    for (size_t len = 0; len + 1 < sizeof body; len++) {
        wn_multipart_part p[2];
        size_t n = 0;
        wn_error err = {0};
        char *copy = malloc(len ? len : 1); /* its end is where the sanitizer looks */
        memcpy(copy, body, len);
        assert_int_equal(wn_multipart_parse(type, copy, len, p, 2, &n, &err), WN_FORMAT);
        free(copy);
    }
}

static void malformed_multipart(void **state)
{
    (void)state;
    static const char *const types[] = {"multipart/form-data",
                                        "multipart/form-data; boundary=", "text/plain; boundary=b",
                                        "multipart/form-data; boundary=\"b"};
    static const char *const bodies[] = {
        "--b\r\n\r\nx\r\n--b--", "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=\"a\xff\"\r\n\r\nx\r\n--b--",
        ("--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n"
         "\r\nx\r\n--b--"),
        "--bx\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--"};
    wn_multipart_part p[2];
    size_t n = 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        assert_int_equal(wn_multipart_parse(types[i], "--b--", 5, p, 2, &n, NULL), WN_FORMAT);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_int_equal(wn_multipart_parse(type, bodies[i], strlen(bodies[i]), p, 2, &n, NULL),
                         WN_FORMAT);
}

/* Gate ------------------------------------------------------------------------------------------
 */

static bool always_gone(void *ctx)
{
    (void)ctx;
    return true;
}

static void *leave_later(void *gate)
{
    usleep(20000);
    wn_http_gate_leave(gate);
    return NULL;
}

static void gate_bounds(void **state)
{
    (void)state;
    wn_http_gate *g = NULL;
    pthread_t other;
    int64_t far = wn_clock_ns() + 60000000000;
    WN_ASSERT_OK(wn_http_gate_open(&g, 1, 1, err));
    assert_int_equal(wn_http_gate_enter(g, far, NULL, NULL), WN_OK);
    assert_int_equal(wn_http_gate_enter(g, far, always_gone, NULL), WN_CANCELLED);
    assert_int_equal(wn_http_gate_enter(g, wn_clock_ns(), NULL, NULL), WN_DEADLINE);
    assert_int_equal(pthread_create(&other, NULL, leave_later, g), 0);
    assert_int_equal(wn_http_gate_enter(g, far, NULL, NULL), WN_OK); /* waits for the other */
    pthread_join(other, NULL);
    wn_http_gate_leave(g);
    wn_http_gate_close(g);
    WN_ASSERT_OK(wn_http_gate_open(&g, 1, 0, err));
    assert_int_equal(wn_http_gate_enter(g, far, NULL, NULL), WN_OK);
    assert_int_equal(wn_http_gate_enter(g, far, NULL, NULL), WN_BUSY); /* nobody may wait */
    wn_http_gate_leave(g);
    wn_http_gate_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys_have_scopes_and_corpora),
                                       cmocka_unit_test(bad_key_files_are_refused),
                                       cmocka_unit_test(hosts_and_origins),
                                       cmocka_unit_test(router_finds),
                                       cmocka_unit_test(every_route_is_described),
                                       cmocka_unit_test(multipart_parts),
                                       cmocka_unit_test(every_cut_of_a_multipart_body_is_refused),
                                       cmocka_unit_test(malformed_multipart),
                                       cmocka_unit_test(gate_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
