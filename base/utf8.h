/* UTF-8 decoding, validation and counting. Unicode properties are in unicode.h. */
#ifndef WN_BASE_UTF8_H
#define WN_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WN_UTF8_REPLACEMENT 0xFFFDu

/* Decodes one code point at s[0..len), len > 0. Returns the bytes consumed (1..4). On malformed
 * input *cp = WN_UTF8_REPLACEMENT and the maximal ill-formed subpart is consumed (Unicode 3.9,
 * D93b), the convention of Python and Rust. */
size_t wn_utf8_decode(const char *s, size_t len, uint32_t *cp);

/* Writes cp (invalid ones as U+FFFD) to out, returns its length 1..4. */
size_t wn_utf8_encode(uint32_t cp, char out[4]);

bool wn_utf8_valid(const char *s, size_t len);
size_t wn_utf8_count(const char *s, size_t len);            /* code points */
size_t wn_utf8_offset(const char *s, size_t len, size_t n); /* byte offset of the n-th code point */
size_t wn_utf8_floor(const char *s, size_t pos);            /* largest character border <= pos */

#endif
