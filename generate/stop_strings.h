/* Finds stop strings in text that arrives token by token, and says how much of it may be shown.
 *
 *     wn_stop_scan scan = {.stop = stop, .n_stop = n};
 *     append to text ...; done = wn_stop_scan_next(&scan, text, len);
 *     // text[shown before, scan.safe) may go out now; done: text ends at scan.safe
 *
 * What could still become a stop string is held back, so that a stop string never goes out, not
 * even in part. With stop strings and text of whole UTF-8 characters `safe` is always at a
 * character's border.
 */
#ifndef WN_GENERATE_STOP_STRINGS_H
#define WN_GENERATE_STOP_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct wn_stop_scan {
    const char *const *stop; /* borrowed */
    size_t n_stop;
    size_t safe; /* bytes of the text that may be shown */
} wn_stop_scan;

/* WN_INVALID: an empty stop string, or one that is not valid UTF-8. */
wn_status wn_stop_strings_check(const char *const *stop, size_t n_stop, wn_error *err);

/* text[0, len) is all of the text so far (it only grows). True when a stop string is in it: the
 * text then ends at scan->safe, where the earliest one begins. */
bool wn_stop_scan_next(wn_stop_scan *scan, const char *text, size_t len);

#endif
