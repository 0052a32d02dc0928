/* Bytes of unknown encoding to UTF-8.
 *
 *     wn_charsets *cs = NULL;
 *     WN_TRY(wn_charsets_open(&cs, err));                  // before the sandbox closes
 *     WN_TRY(wn_text_decode(data, len, NULL, cs, &utf8, err));
 *
 * Order: byte order mark (UTF-8, UTF-16, UTF-32); valid UTF-8; the charset that the document
 * declares; what uchardet finds; Windows-1252. Valid UTF-8 goes before a declaration, because text
 * of another charset is valid UTF-8 by chance only when it is ASCII. Undecodable bytes become
 * U+FFFD. glibc's iconv loads a module from disk for most charsets, which a sandboxed parser cannot
 * do: wn_charsets holds all converters open. Threads: one at a time for each wn_charsets.
 */
#ifndef WN_INGEST_TEXT_DECODE_H
#define WN_INGEST_TEXT_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/strbuf.h"

typedef struct wn_charsets wn_charsets;

wn_status wn_charsets_open(wn_charsets **out, wn_error *err);
void wn_charsets_close(wn_charsets *cs); /* NULL is fine */

/* Appends to out. declared: the document's label ("iso-8859-1"), or NULL; unknown labels are
 * ignored. cs NULL: converters are opened as needed. WN_LIMIT past WN_DOC_MAX_TEXT bytes. */
wn_status wn_text_decode(const uint8_t *data, size_t len, const char *declared, wn_charsets *cs,
                         wn_strbuf *out, wn_error *err);

/* Does the beginning of decoded text look like binary data (NULs, many control characters)? */
bool wn_text_is_binary(const char *utf8, size_t len);

#endif
