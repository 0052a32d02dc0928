/* The framing guard: decides, from the request line and the header fields as the HTTP library read
 * them, whether this message can be trusted to end where we and every proxy in front of us think
 * that it ends. Runs before anything else looks at a request.
 *
 *     wn_http_framing f;
 *     const char *why = NULL;
 *     int code = wn_http_guard(&head, &f, &why);   // 0 = fine; otherwise answer `code` and close
 *
 * libmicrohttpd 0.9.75 forgives much that smuggles a second request past a proxy (duplicate
 * Content-Length, Content-Length beside Transfer-Encoding, `Transfer-Encoding : chunked`, folded
 * fields, bare LF). Pure functions: any thread.
 */
#ifndef WN_API_HTTP_GUARD_H
#define WN_API_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WN_HTTP_MAX_FIELDS 100
#define WN_HTTP_MAX_HEAD_BYTES (16u << 10)

typedef struct wn_http_field {
    const char *name; /* NUL-terminated, as the value */
    size_t name_len;
    const char *value;
    size_t value_len;
} wn_http_field;

typedef struct wn_http_head {
    const char *method;    /* as received; case matters */
    const char *target;    /* a copy of the request target before unescaping */
    const char *target_at; /* where the target begins in the library's buffer */
    const char *version;   /* "HTTP/1.1" */
    const wn_http_field *fields;
    size_t n_fields;
    bool too_many_fields;
} wn_http_head;

typedef struct wn_http_framing {
    bool has_length, chunked;
    uint64_t length; /* bytes of the body when has_length */
    bool has_body;   /* chunked, or a length above 0 */
    bool expects_continue;
    const char *host;          /* never NULL after a good verdict */
    const char *authorization; /* NULL when absent, as the following */
    const char *origin;
    const char *content_type;
} wn_http_framing;

/* 0, or the status to answer with before closing the connection; *why is a static text then. */
int wn_http_guard(const wn_http_head *head, wn_http_framing *out, const char **why);

/* True when the strings of `head` lie in memory as one block of `head_bytes` bytes of
 * CRLF-terminated lines, in order, with nothing between them. libmicrohttpd up to 0.9.76 cuts lines
 * in place, so this finds what its parser hides: a bare LF (which ends our header but not the
 * proxy's), a folded field (which it glues to the *name*), a NUL, double blanks in the request
 * line. */
bool wn_http_head_is_contiguous(const wn_http_head *head, size_t head_bytes);

#endif
