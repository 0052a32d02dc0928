/* A client for the HTTP tests that sends exactly the bytes it is given, over a socket of its own.
 */
#ifndef WN_TEST_RAW_HTTP_H
#define WN_TEST_RAW_HTTP_H

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "tests/test_support.h"

static inline int raw_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail_msg("cannot connect to port %u", port);
    return fd;
}

static inline void raw_send(int fd, const char *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server has closed: what it said before is still read */
        sent += (size_t)n;
    }
}

/* Appends what arrives until the server closes (true), `until` is in the text, or ms have passed.
 */
static inline bool raw_read(int fd, wn_strbuf *out, const char *until, int ms)
{
    char buf[16384];
    int64_t end = wn_clock_ns() + (int64_t)ms * 1000000;
    for (;;) {
        if (until && out->data && strstr(wn_strbuf_cstr(out), until))
            return false;
        int64_t left = (end - wn_clock_ns()) / 1000000;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        ssize_t n = recv(fd, buf, sizeof buf, 0);
        if (n <= 0)
            return true;
        wn_strbuf_add(out, buf, (size_t)n);
    }
}

/* One request on a connection of its own, the whole answer as text; the request must make the
 * server close ("Connection: close" is added by raw_request). */
static inline char *raw_exchange(uint16_t port, const char *bytes, size_t len)
{
    wn_strbuf out = {0};
    int fd = raw_connect(port);
    raw_send(fd, bytes, len);
    raw_read(fd, &out, NULL, 20000);
    close(fd);
    wn_strbuf_adds(&out, "");
    return wn_strbuf_detach(&out);
}

/* headers: lines with CRLF, or "". */
static inline char *raw_request(uint16_t port, const char *method, const char *target,
                                const char *headers, const char *body)
{
    wn_strbuf b = {0};
    wn_strbuf_printf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s", method,
                     target, headers);
    if (body)
        wn_strbuf_printf(&b, "Content-Length: %zu\r\n", strlen(body));
    wn_strbuf_printf(&b, "\r\n%s", body ? body : "");
    char *answer = raw_exchange(port, wn_strbuf_cstr(&b), b.len);
    wn_strbuf_free(&b);
    return answer;
}

static inline int raw_status(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

static inline const char *raw_body(const char *answer)
{
    const char *blank = strstr(answer, "\r\n\r\n");
    return blank ? blank + 4 : "";
}

static inline size_t raw_count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        n++;
    return n;
}

#endif
