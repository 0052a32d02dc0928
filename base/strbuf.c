#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* Room for `more` bytes and the NUL. */
static bool reserve(wn_strbuf *b, size_t more)
{
    size_t need = 0;
    if (b->failed)
        return false;
    if (!wn_size_add(b->len, more, &need) || !wn_size_add(need, 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *data = wn_realloc(b->data, cap, 1);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void wn_strbuf_add(wn_strbuf *b, const void *bytes, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void wn_strbuf_adds(wn_strbuf *b, const char *s)
{
    wn_strbuf_add(b, s, strlen(s));
}

void wn_strbuf_addc(wn_strbuf *b, char c)
{
    wn_strbuf_add(b, &c, 1);
}

void wn_strbuf_printf(wn_strbuf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
    } else if (reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void wn_strbuf_truncate(wn_strbuf *b, size_t len)
{
    if (len < b->len) {
        b->len = len;
        b->data[len] = '\0';
    }
}

void wn_strbuf_clear(wn_strbuf *b)
{
    b->failed = false;
    wn_strbuf_truncate(b, 0);
}

void wn_strbuf_free(wn_strbuf *b)
{
    free(b->data);
    *b = (wn_strbuf){0};
}

char *wn_strbuf_detach(wn_strbuf *b)
{
    if (!reserve(b, 0)) {
        wn_strbuf_free(b);
        return NULL;
    }
    b->data[b->len] = '\0';
    char *data = b->data;
    *b = (wn_strbuf){0};
    return data;
}

const char *wn_strbuf_cstr(const wn_strbuf *b)
{
    return b->data ? b->data : "";
}
