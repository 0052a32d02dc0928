#include "api/http_guard.h"

#include <string.h>
#include <strings.h>

/* tchar of RFC 9110: what a method and a field name may be made of. */
static bool is_token(const char *s, size_t len)
{
    static const char extra[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == 0 || !strchr(extra, c)))
            return false;
    }
    return len > 0;
}

/* Field values may hold visible bytes, blanks and tabs; bare CR, LF and NUL are attacks. */
static bool is_value(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_target(const char *s)
{
    if (!s || s[0] != '/')
        return false;
    for (size_t i = 0; s[i]; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return false;
        if (c == '%' && s[i + 1] == '0' && s[i + 2] == '0')
            return false; /* would cut our copy of the path */
    }
    return true;
}

static bool parse_length(const char *s, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    if (len == 0 || len > 19)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(s[i] - '0');
    }
    *out = value;
    return true;
}

typedef struct field_counts {
    unsigned host, length, encoding, authorization, origin, content_type, expect;
    const wn_http_field *length_field, *encoding_field, *expect_field;
} field_counts;

static bool named(const wn_http_field *f, const char *name)
{
    return strcasecmp(f->name, name) == 0;
}

static void count_field(const wn_http_field *f, field_counts *n, wn_http_framing *out)
{
    if (named(f, "Host")) {
        n->host++;
        out->host = f->value;
    } else if (named(f, "Content-Length")) {
        n->length++;
        n->length_field = f;
    } else if (named(f, "Transfer-Encoding")) {
        n->encoding++;
        n->encoding_field = f;
    } else if (named(f, "Authorization")) {
        n->authorization++;
        out->authorization = f->value;
    } else if (named(f, "Origin")) {
        n->origin++;
        out->origin = f->value;
    } else if (named(f, "Content-Type")) {
        n->content_type++;
        out->content_type = f->value;
    } else if (named(f, "Expect")) {
        n->expect++;
        n->expect_field = f;
    }
}

static int refuse(const char **why, int code, const char *text)
{
    *why = text;
    return code;
}

static int check_line(const wn_http_head *head, const char **why)
{
    if (!head->method || !is_token(head->method, strlen(head->method)))
        return refuse(why, 400, "malformed method");
    if (!head->version ||
        (strcmp(head->version, "HTTP/1.1") != 0 && strcmp(head->version, "HTTP/1.0") != 0))
        return refuse(why, 505, "only versions 1.0 and 1.1 of HTTP are spoken here");
    if (!is_target(head->target))
        return refuse(why, 400, "malformed request target");
    if (head->too_many_fields)
        return refuse(why, 431, "too many header fields");
    return 0;
}

static int check_body(const wn_http_head *head, const field_counts *n, wn_http_framing *out,
                      const char **why)
{
    if (n->length > 1)
        return refuse(why, 400, "more than one Content-Length");
    if (n->encoding > 1)
        return refuse(why, 400, "more than one Transfer-Encoding");
    if (n->length && n->encoding)
        return refuse(why, 400, "Content-Length beside Transfer-Encoding");
    if (n->encoding) {
        if (strcasecmp(n->encoding_field->value, "chunked") != 0)
            return refuse(why, 501, "only Transfer-Encoding: chunked is understood");
        if (strcmp(head->version, "HTTP/1.1") != 0)
            return refuse(why, 400, "Transfer-Encoding in an HTTP/1.0 request");
        out->chunked = true;
    }
    if (n->length) {
        if (!parse_length(n->length_field->value, n->length_field->value_len, &out->length))
            return refuse(why, 400, "malformed Content-Length");
        out->has_length = true;
    }
    out->has_body = out->chunked || out->length > 0;
    return 0;
}

int wn_http_guard(const wn_http_head *head, wn_http_framing *out, const char **why)
{
    memset(out, 0, sizeof *out);
    field_counts n = {0};
    int code = check_line(head, why);
    if (code)
        return code;
    for (size_t i = 0; i < head->n_fields; i++) {
        const wn_http_field *f = &head->fields[i];
        if (!is_token(f->name, f->name_len))
            return refuse(why, 400, "malformed header field name");
        if (strlen(f->name) != f->name_len || !is_value(f->value, f->value_len))
            return refuse(why, 400, "control character in a header field");
        count_field(f, &n, out);
    }
    if (n.host != 1 || out->host[0] == '\0')
        return refuse(why, 400, "exactly one Host header field is needed");
    if (n.authorization > 1 || n.origin > 1 || n.content_type > 1)
        return refuse(why, 400, "a header field that may come once came twice");
    if (n.expect) {
        if (n.expect > 1 || strcasecmp(n.expect_field->value, "100-continue") != 0)
            return refuse(why, 417, "unknown expectation");
        out->expects_continue = true;
    }
    return check_body(head, &n, out, why);
}

/* True when `next` is what follows the string s of len bytes after `gap` NULs. */
static bool follows(const char *s, size_t len, size_t gap, const char *next)
{
    if (next != s + len + gap)
        return false;
    for (size_t i = 0; i < gap; i++)
        if (s[len + i] != '\0')
            return false;
    return true;
}

bool wn_http_head_is_contiguous(const wn_http_head *head, size_t head_bytes)
{
    const char *start = head->method, *end = start + head_bytes;
    if (!follows(start, strlen(start), 1, head->target_at))
        return false;
    /* The library has unescaped the target in place since: only its length is still known. */
    if (!follows(head->target_at, strlen(head->target), 1, head->version))
        return false;
    const char *last = head->version;
    size_t last_len = strlen(last);
    for (size_t i = 0; i < head->n_fields; i++) {
        const wn_http_field *f = &head->fields[i];
        if (!follows(last, last_len, 2, f->name))
            return false;
        const char *p = f->name + f->name_len + 1; /* after the colon, now a NUL */
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (f->value != p)
            return false;
        last = f->value;
        last_len = f->value_len;
    }
    return follows(last, last_len, 4, end);
}
