/* Recognises citation marks in a stream (citation_marker.h). */
#include "generate/citation_marker.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#define MAX_MARKER_BYTES 40

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Bytes of a word in front of the number ("Passage ", "^"), 0 = none; SIZE_MAX: text ends inside.
 */
static size_t scan_word(const char *text, size_t len)
{
    static const char *const words[] = {"passages", "passage", "sources", "source",
                                        "document", "doc",     "ref",     "citation"};
    if (len == 0)
        return SIZE_MAX;
    if (text[0] == '^')
        return 1;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if (strncasecmp(text, words[i], n < len ? n : len) != 0)
            continue;
        if (len <= n)
            return SIZE_MAX;
        while (n < len && (text[n] == ' ' || text[n] == '.' || text[n] == ':' || text[n] == '#'))
            n++;
        return n == len ? SIZE_MAX : n;
    }
    return 0;
}

/* A number at text[*at]; false: none, or beyond 999. */
static bool scan_number(const char *text, size_t len, size_t *at, size_t *number)
{
    size_t digits = 0;
    *number = 0;
    for (; *at < len && is_digit(text[*at]) && digits < 4; digits++)
        *number = *number * 10 + (size_t)(text[(*at)++] - '0');
    return digits > 0 && digits < 4 && *number > 0;
}

/* Adds number, or first..number of a range; what does not fit is left out. */
static void add_numbers(wn_marker *m, size_t number, bool range)
{
    size_t first = range && m->n ? m->numbers[m->n - 1] + 1 : number;
    for (size_t i = first; i <= number && m->n < WN_MARKER_MAX_NUMBERS; i++)
        m->numbers[m->n++] = i;
}

wn_marker_result wn_marker_scan(const char *text, size_t len, bool final, wn_marker *out)
{
    wn_marker_result part = final ? WN_MARKER_NONE : WN_MARKER_PART;
    bool range = false;
    *out = (wn_marker){0};
    if (len > MAX_MARKER_BYTES)
        len = MAX_MARKER_BYTES, part = WN_MARKER_NONE;
    if (len < 1 || text[0] != '[')
        return WN_MARKER_NONE;
    for (size_t at = 1;;) {
        while (at < len && text[at] == ' ')
            at++;
        size_t word = scan_word(text + at, len - at);
        if (word == SIZE_MAX)
            return part;
        at += word;
        size_t number = 0, start = at;
        if (!scan_number(text, len, &at, &number))
            return at == len && at - start < 4 && (at == start || number) ? part : WN_MARKER_NONE;
        if (at == len)
            return part;
        add_numbers(out, number, range);
        while (at < len && text[at] == ' ')
            at++;
        if (at == len)
            return part;
        range = text[at] == '-';
        if (text[at] == ']') {
            out->len = at + 1;
            return WN_MARKER_WHOLE;
        }
        if (text[at] != ',' && text[at] != ';' && text[at] != '-')
            return WN_MARKER_NONE;
        at++;
    }
}
