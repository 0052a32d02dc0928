/* Citation marks as models write them: [1], [2, 3], [1-3], [Passage 2], [^4].
 *
 *     wn_marker m;
 *     switch (wn_marker_scan(text, len, false, &m)) ... // text[0] is '['
 *
 * Pure functions; any thread.
 */
#ifndef WN_GENERATE_CITATION_MARKER_H
#define WN_GENERATE_CITATION_MARKER_H

#include <stdbool.h>
#include <stddef.h>

#define WN_MARKER_MAX_NUMBERS 8

typedef struct wn_marker {
    size_t len;                            /* bytes, brackets included */
    size_t numbers[WN_MARKER_MAX_NUMBERS]; /* each 1..999 */
    size_t n;
} wn_marker;

typedef enum wn_marker_result {
    WN_MARKER_NONE, /* ordinary text */
    WN_MARKER_PART, /* may become a mark when more text comes (never when final) */
    WN_MARKER_WHOLE
} wn_marker_result;

wn_marker_result wn_marker_scan(const char *text, size_t len, bool final, wn_marker *out);

#endif
