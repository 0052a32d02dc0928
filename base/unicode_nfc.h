/* Unicode normalisation form C of UTF-8 text.
 *
 *     if (wn_unicode_needs_nfc(s, len))
 *         wn_unicode_nfc(s, len, &out);          // appended to a wn_strbuf; check wn_strbuf_failed
 *
 * Malformed bytes are kept as they are and compose with nothing. Time is linear in len, however
 * long a run of combining marks is. No state: any thread.
 */
#ifndef WN_BASE_UNICODE_NFC_H
#define WN_BASE_UNICODE_NFC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

/* false: the text is in NFC for certain. true: it may not be. */
bool wn_unicode_needs_nfc(const char *s, size_t len);
void wn_unicode_nfc(const char *s, size_t len, wn_strbuf *out);

#endif
