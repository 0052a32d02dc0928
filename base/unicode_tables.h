/* Tables behind unicode.h, written by unicode_tables.py into unicode_tables.c. Only unicode*.c
 * includes this. Sorted by code point (pairs by a, then b). */
#ifndef WN_BASE_UNICODE_TABLES_H
#define WN_BASE_UNICODE_TABLES_H

#include <stddef.h>
#include <stdint.h>

#define WN_UNICODE_BLOCK 128 /* code points per block of the two-stage property table */

/* Bits of wn_unicode_blocks[wn_unicode_index[cp / BLOCK] * BLOCK + cp % BLOCK]; the order is that
 * of properties() in unicode_tables.py. */
enum {
    WN_UNICODE_LETTER = 1 << 0,
    WN_UNICODE_NUMBER = 1 << 1,
    WN_UNICODE_SPACE = 1 << 2,
    WN_UNICODE_DIGIT = 1 << 3,
    WN_UNICODE_MARK = 1 << 4,
    WN_UNICODE_PUNCT = 1 << 5,
    WN_UNICODE_CONTROL = 1 << 6,
    WN_UNICODE_UNSTABLE = 1 << 7 /* NFC may change it or what stands before it */
};
extern const uint16_t wn_unicode_index[];
extern const uint8_t wn_unicode_blocks[];

typedef struct wn_unicode_range {
    uint32_t first, last, value;
} wn_unicode_range;
extern const wn_unicode_range wn_unicode_ccc[];
extern const size_t wn_unicode_ccc_count;

typedef struct wn_unicode_expansion {
    uint32_t cp, to[4]; /* full canonical decomposition, zero-filled; Hangul is computed */
} wn_unicode_expansion;
extern const wn_unicode_expansion wn_unicode_decomposed[];
extern const size_t wn_unicode_decomposed_count;

typedef struct wn_unicode_pair {
    uint32_t a, b, cp; /* a + b compose to cp */
} wn_unicode_pair;
extern const wn_unicode_pair wn_unicode_pairs[];
extern const size_t wn_unicode_pairs_count;

typedef struct wn_unicode_mapping {
    uint32_t cp, to;
} wn_unicode_mapping;
extern const wn_unicode_mapping wn_unicode_lowered[];
extern const size_t wn_unicode_lowered_count;

#endif
