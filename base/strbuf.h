/* Growable byte string, always NUL-terminated. Errors are sticky: after a failed append every later
 * append is a no-op and wn_strbuf_failed() is true, so that builders check once at the end.
 *
 *     wn_strbuf b = {0};
 *     wn_strbuf_printf(&b, "%d passages", n);
 *     if (wn_strbuf_failed(&b)) ...
 *     wn_strbuf_free(&b);
 */
#ifndef WN_BASE_STRBUF_H
#define WN_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wn_strbuf {
    char *data; /* NULL until the first append; use wn_strbuf_cstr to read */
    size_t len, cap;
    bool failed;
} wn_strbuf;

void wn_strbuf_add(wn_strbuf *b, const void *bytes, size_t len);
void wn_strbuf_adds(wn_strbuf *b, const char *s);
void wn_strbuf_addc(wn_strbuf *b, char c);
void wn_strbuf_printf(wn_strbuf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void wn_strbuf_truncate(wn_strbuf *b, size_t len); /* len <= b->len */
void wn_strbuf_clear(wn_strbuf *b);                /* keeps the memory */
void wn_strbuf_free(wn_strbuf *b);                 /* back to {0} */
char *wn_strbuf_detach(wn_strbuf *b);              /* caller frees; NULL when failed; b is {0} */
const char *wn_strbuf_cstr(const wn_strbuf *b);    /* never NULL */
static inline bool wn_strbuf_failed(const wn_strbuf *b)
{
    return b->failed;
}

#endif
