/* An uploaded body (after the first line) under a Content-Type (the first line): what is parsed
 * lies inside the body. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_multipart.h"
#include "base/checked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MAX_PARTS = 4 };
    wn_multipart_part parts[MAX_PARTS];
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    size_t n = 0;
    if (!newline)
        return 0;
    char *type = wn_strndup((const char *)data, (size_t)(newline - data));
    const char *body = (const char *)newline + 1;
    size_t len = size - (size_t)(newline - data) - 1;
    if (type && wn_multipart_is(type) &&
        wn_multipart_parse(type, body, len, parts, MAX_PARTS, &n, NULL) == WN_OK) {
        if (n > MAX_PARTS)
            abort();
        for (size_t i = 0; i < n; i++) {
            if (parts[i].data < body || parts[i].len > len ||
                (size_t)(parts[i].data - body) > len - parts[i].len ||
                !memchr(parts[i].name, '\0', sizeof parts[i].name) ||
                !memchr(parts[i].filename, '\0', sizeof parts[i].filename))
                abort();
        }
    }
    free(type);
    return 0;
}
