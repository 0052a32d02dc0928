#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const struct {
    const char *name, *text;
} status_table[] = {
#define WN_STATUS_ROW(name, text) {"WN_" #name, text},
    WN_STATUS_TABLE(WN_STATUS_ROW)
#undef WN_STATUS_ROW
};

#define N_STATUS (sizeof status_table / sizeof status_table[0])

/* A text that snprintf had to cut must not end in half a character. */
static void trim_partial_character(char *s)
{
    size_t len = strlen(s);
    size_t lead = len;
    while (lead > 0 && ((unsigned char)s[lead - 1] & 0xC0) == 0x80)
        lead--;
    if (lead == 0)
        return;
    unsigned char c = (unsigned char)s[lead - 1];
    size_t need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    if (len - (lead - 1) < need)
        s[lead - 1] = '\0';
}

/* Texts quote file names and fields from outside: bytes that are no UTF-8 would break a JSON
 * answer, control characters a terminal. */
static void make_printable(char *s)
{
    size_t len = strlen(s);
    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        size_t n = wn_utf8_decode(s + i, len - i, &cp);
        if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || !wn_utf8_valid(s + i, n))
            memset(s + i, '?', n);
        i += n;
    }
}

static void finish_text(wn_error *err)
{
    trim_partial_character(err->text);
    make_printable(err->text);
}

static void set_text(wn_error *err, const char *format, va_list args)
{
    if (vsnprintf(err->text, sizeof err->text, format, args) < 0)
        err->text[0] = '\0';
    finish_text(err);
}

wn_status wn_error_set(wn_error *err, wn_status status, const char *format, ...)
{
    if (err && err->status == WN_OK) {
        va_list args;
        va_start(args, format);
        set_text(err, format, args);
        va_end(args);
        err->status = status;
    }
    return status;
}

static wn_status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return WN_NO_SPACE;
    case ENOENT:
        return WN_NOT_FOUND;
    case EACCES:
    case EPERM:
        return WN_DENIED;
    case ENOMEM:
        return WN_NO_MEMORY;
    default:
        return WN_IO;
    }
}

wn_status wn_error_set_errno(wn_error *err, int errnum, const char *format, ...)
{
    wn_status status = status_of_errno(errnum);
    if (err && err->status == WN_OK) {
        va_list args;
        va_start(args, format);
        set_text(err, format, args);
        va_end(args);
        size_t len = strlen(err->text);
        char reason[96];
        const char *text = strerror_r(errnum, reason, sizeof reason);
        snprintf(err->text + len, sizeof err->text - len, ": %s", text);
        finish_text(err);
        err->status = status;
    }
    return status;
}

void wn_error_prefix(wn_error *err, const char *context)
{
    if (!err || err->status == WN_OK)
        return;
    wn_error old = *err;
    int n = snprintf(err->text, sizeof err->text, "%s: ", context);
    if (n < 0 || (size_t)n >= sizeof err->text) {
        *err = old;
        return;
    }
    size_t room = sizeof err->text - (size_t)n;
    size_t len = strnlen(old.text, room - 1);
    memcpy(err->text + n, old.text, len);
    err->text[(size_t)n + len] = '\0';
    finish_text(err);
}

const char *wn_status_name(wn_status status)
{
    return (size_t)status < N_STATUS ? status_table[status].name : "WN_?";
}

const char *wn_status_text(wn_status status)
{
    return (size_t)status < N_STATUS ? status_table[status].text : "unknown status";
}
