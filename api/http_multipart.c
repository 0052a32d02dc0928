#include "api/http_multipart.h"

#include <string.h>
#include <strings.h>

#include "base/utf8.h"

#define MAX_BOUNDARY 70 /* RFC 2046 */
#define MAX_PART_HEAD 4096

static wn_status malformed(wn_error *err, const char *what)
{
    return wn_error_set(err, WN_FORMAT, "multipart body: %s", what);
}

bool wn_multipart_is(const char *content_type)
{
    static const char type[] = "multipart/form-data";
    size_t len = sizeof type - 1;
    return content_type && strncasecmp(content_type, type, len) == 0 &&
           (content_type[len] == ';' || content_type[len] == ' ' || content_type[len] == '\0');
}

/* The byte after the `;` that ends the parameter at s[i..len), which may hold a quoted string. */
static size_t next_parameter(const char *s, size_t len, size_t i)
{
    bool quoted = false;
    for (; i < len && (quoted || s[i] != ';'); i++) {
        if (quoted && s[i] == '\\' && i + 1 < len)
            i++;
        else if (s[i] == '"')
            quoted = !quoted;
    }
    for (i += i < len; i < len && (s[i] == ' ' || s[i] == '\t');)
        i++;
    return i;
}

/* Copies the value of a `key=value` or `key="value"` parameter; false when absent or too long. */
static bool parameter(const char *s, size_t len, const char *key, char *out, size_t cap)
{
    size_t key_len = strlen(key), n = 0, i = next_parameter(s, len, 0);
    while (i < len &&
           !(len - i > key_len && strncasecmp(s + i, key, key_len) == 0 && s[i + key_len] == '='))
        i = next_parameter(s, len, i);
    if (i >= len)
        return false;
    i += key_len + 1;
    bool quoted = i < len && s[i] == '"';
    for (i += quoted; i < len; i++) {
        if (quoted ? s[i] == '"' : (s[i] == ';' || s[i] == ' '))
            break;
        if (quoted && s[i] == '\\' && i + 1 < len && (s[i + 1] == '"' || s[i + 1] == '\\'))
            i++;
        if (n + 1 >= cap)
            return false;
        out[n++] = s[i];
    }
    out[n] = '\0';
    return !quoted || i < len;
}

/* The value of a header line `name` inside a part's head; NULL when absent. */
static const char *part_header(const char *head, size_t len, const char *name, size_t *value_len)
{
    size_t name_len = strlen(name);
    for (const char *line = head, *end = head + len; line < end;) {
        const char *next = memmem(line, (size_t)(end - line), "\r\n", 2);
        size_t line_len = (size_t)((next ? next : end) - line);
        if (line_len > name_len && line[name_len] == ':' &&
            strncasecmp(line, name, name_len) == 0) {
            *value_len = line_len - name_len - 1;
            return line + name_len + 1;
        }
        line = next ? next + 2 : end;
    }
    return NULL;
}

static wn_status parse_part(const char *s, size_t len, wn_multipart_part *out, wn_error *err)
{
    const char *blank = memmem(s, len < MAX_PART_HEAD ? len : MAX_PART_HEAD, "\r\n\r\n", 4);
    if (!blank)
        return malformed(err, "a part has no end of its header");
    size_t value_len = 0;
    const char *value = part_header(s, (size_t)(blank - s), "Content-Disposition", &value_len);
    memset(out, 0, sizeof *out);
    if (!value || !parameter(value, value_len, "name", out->name, sizeof out->name))
        return malformed(err, "a part has no name");
    if (!parameter(value, value_len, "filename", out->filename, sizeof out->filename))
        out->filename[0] = '\0';
    if (!wn_utf8_valid(out->name, strlen(out->name)) ||
        !wn_utf8_valid(out->filename, strlen(out->filename)))
        return malformed(err, "a name is not UTF-8");
    if (part_header(s, (size_t)(blank - s), "Content-Transfer-Encoding", &value_len))
        return malformed(err, "Content-Transfer-Encoding is not understood");
    out->data = blank + 4;
    out->len = len - (size_t)(blank - s) - 4;
    return WN_OK;
}

wn_status wn_multipart_parse(const char *content_type, const char *body, size_t len,
                             wn_multipart_part *parts, size_t max_parts, size_t *n, wn_error *err)
{
    char fence[MAX_BOUNDARY + 5] = "\r\n--";
    *n = 0;
    if (!wn_multipart_is(content_type) ||
        !parameter(content_type, strlen(content_type), "boundary", fence + 4, MAX_BOUNDARY + 1) ||
        fence[4] == '\0')
        return malformed(err, "Content-Type has no usable boundary");
    size_t fence_len = strlen(fence);
    const char *end = body + len, *at = NULL; /* at: just after a fence */
    if (len >= fence_len - 2 && memcmp(body, fence + 2, fence_len - 2) == 0)
        at = body + fence_len - 2;
    else if ((at = memmem(body, len, fence, fence_len)) != NULL) /* after a preamble */
        at += fence_len;
    for (;;) {
        if (!at)
            return malformed(err, "a boundary is missing");
        if (end - at >= 2 && memcmp(at, "--", 2) == 0)
            return WN_OK;
        if (end - at < 2 || memcmp(at, "\r\n", 2) != 0)
            return malformed(err, "a boundary line has more than the boundary");
        const char *start = at + 2;
        const char *stop = memmem(start, (size_t)(end - start), fence, fence_len);
        if (!stop)
            return malformed(err, "the closing boundary is missing");
        if (*n == max_parts)
            return wn_error_set(err, WN_LIMIT, "multipart body: more than %zu parts", max_parts);
        WN_TRY(parse_part(start, (size_t)(stop - start), &parts[*n], err));
        (*n)++;
        at = stop + fence_len;
    }
}
