/* multipart/form-data (RFC 7578) of a body that is wholly in memory: the parts in order, nothing
 * copied.
 *
 *     wn_multipart_part parts[8];
 *     size_t n = 0;
 *     WN_TRY(wn_multipart_parse(content_type, body, len, parts, 8, &n, err));
 *
 * The bytes are hostile. Pure functions: any thread.
 */
#ifndef WN_API_HTTP_MULTIPART_H
#define WN_API_HTTP_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct wn_multipart_part {
    char name[64];      /* of the form field */
    char filename[256]; /* "" = none; as sent, UTF-8 */
    const char *data;   /* inside the body */
    size_t len;
} wn_multipart_part;

bool wn_multipart_is(const char *content_type); /* NULL is no */

/* WN_FORMAT names what is wrong; WN_LIMIT when there are more than max_parts. */
wn_status wn_multipart_parse(const char *content_type, const char *body, size_t len,
                             wn_multipart_part *parts, size_t max_parts, size_t *n, wn_error *err);

#endif
