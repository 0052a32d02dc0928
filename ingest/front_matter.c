#include "ingest/front_matter.h"

#include <stdbool.h>
#include <string.h>

#define MAX_FRONT_MATTER ((size_t)64 << 10) /* bytes; a longer one is text between two rules */

typedef struct line {
    const char *text;
    size_t len;
} line;

static line read_line(const char *text, size_t len, size_t *at)
{
    const char *start = text + *at;
    const char *end = memchr(start, '\n', len - *at);
    size_t n = end ? (size_t)(end - start) : len - *at;
    *at += n + (end != NULL);
    while (n > 0 && (start[n - 1] == '\r' || start[n - 1] == ' ' || start[n - 1] == '\t'))
        n--;
    return (line){start, n};
}

static bool equals(line l, const char *s)
{
    return l.len == strlen(s) && memcmp(l.text, s, l.len) == 0;
}

/* The value of "title: value" or "title = value", without its quotes; len 0 when it is another
 * line. */
static line title_value(line l, char separator)
{
    line none = {l.text, 0};
    if (l.len < 6 || memcmp(l.text, "title", 5) != 0)
        return none;
    size_t i = 5;
    while (i < l.len && l.text[i] == ' ')
        i++;
    if (i == l.len || l.text[i] != separator)
        return none;
    for (i++; i < l.len && (l.text[i] == ' ' || l.text[i] == '\t');)
        i++;
    line value = {l.text + i, l.len - i};
    if (value.len >= 2 && (value.text[0] == '"' || value.text[0] == '\'') &&
        value.text[value.len - 1] == value.text[0])
        value = (line){value.text + 1, value.len - 2};
    return value;
}

size_t wn_front_matter_read(const char *text, size_t len, wn_doc_builder *out)
{
    size_t at = 0, keys = 0, lines = 0;
    size_t limit = len < MAX_FRONT_MATTER ? len : MAX_FRONT_MATTER;
    if (limit == 0)
        return 0;
    line l = read_line(text, limit, &at), title = {text, 0};
    bool yaml = equals(l, "---"), toml = equals(l, "+++");
    char separator = yaml ? ':' : '=';
    while ((yaml || toml) && at < limit) {
        l = read_line(text, limit, &at);
        if (equals(l, yaml ? "---" : "+++") || (yaml && equals(l, "..."))) {
            if (keys == 0 && lines > 0)
                return 0;
            wn_doc_set_title(out, title.text, title.len);
            return at;
        }
        if (lines == 0 && l.len == 0)
            return 0; /* a rule and an empty line */
        lines++;
        keys += l.len > 1 && memchr(l.text + 1, separator, l.len - 1) != NULL;
        line value = title_value(l, separator);
        if (value.len > 0 && title.len == 0)
            title = value;
    }
    return 0;
}
