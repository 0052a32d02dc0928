/* What stored text may hold, the same for every format.
 *
 *     wn_text_clean(&out, "soft\u00ADhyphen", 12);        // "softhyphen"
 *     wn_text_line(&out, " A  long\n title ", 16, 512);   // "A long title"
 */
#ifndef WN_INGEST_TEXT_CLEAN_H
#define WN_INGEST_TEXT_CLEAN_H

#include <stddef.h>

#include "base/strbuf.h"

/* Appends text made clean: malformed UTF-8 becomes U+FFFD; control characters other than line end
 * and tab, soft hyphens, BOMs, zero-width spaces, bidi controls and noncharacters go; no-break
 * spaces become spaces, other line separators '\n'. Joiners (U+200C, U+200D) stay: scripts and
 * emoji need them. */
void wn_text_clean(wn_strbuf *out, const char *bytes, size_t len);

/* As above on one line: runs of blanks become one space, ends are trimmed, at most `max` bytes. */
void wn_text_line(wn_strbuf *out, const char *bytes, size_t len, size_t max);

#endif
