#include "generate/stop_strings.h"

#include <string.h>

#include "base/utf8.h"

wn_status wn_stop_strings_check(const char *const *stop, size_t n_stop, wn_error *err)
{
    for (size_t i = 0; i < n_stop; i++)
        if (!stop[i] || !stop[i][0] || !wn_utf8_valid(stop[i], strlen(stop[i])))
            return wn_error_set(err, WN_INVALID, "stop string %zu must be UTF-8 and not empty", i);
    return WN_OK;
}

/* First place at or after `from` where text continues like s: to s's end (*whole) or to its own. */
static size_t first_match(const char *text, size_t from, size_t len, const char *s, bool *whole)
{
    size_t s_len = strlen(s);
    for (size_t at = from; at < len; at++) {
        size_t n = len - at < s_len ? len - at : s_len;
        if (memcmp(text + at, s, n) == 0) {
            *whole = n == s_len;
            return at;
        }
    }
    *whole = false;
    return len;
}

bool wn_stop_scan_next(wn_stop_scan *scan, const char *text, size_t len)
{
    size_t found = len, held = len;
    for (size_t i = 0; i < scan->n_stop; i++) {
        bool whole = false;
        size_t at = first_match(text, scan->safe, len, scan->stop[i], &whole);
        if (whole && at < found)
            found = at;
        else if (!whole && at < held)
            held = at;
    }
    scan->safe = found < len ? found : held;
    return found < len;
}
