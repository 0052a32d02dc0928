#include "base/utf8.h"

/* Length of the well-formed sequence at s, or 0 with *bad = length of the maximal ill-formed
 * subpart. Second-byte ranges from the Unicode Standard, table 3-7. */
static size_t sequence_len(const uint8_t *s, size_t len, size_t *bad)
{
    uint8_t b0 = s[0];
    *bad = 1;
    if (b0 < 0x80)
        return 1;
    if (b0 < 0xC2 || b0 > 0xF4)
        return 0;
    size_t want = b0 < 0xE0 ? 2 : b0 < 0xF0 ? 3 : 4;
    uint8_t low = 0x80, high = 0xBF;
    if (b0 == 0xE0)
        low = 0xA0;
    else if (b0 == 0xED)
        high = 0x9F;
    else if (b0 == 0xF0)
        low = 0x90;
    else if (b0 == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < want; i++) {
        if (i >= len || s[i] < low || s[i] > high) {
            *bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xBF;
    }
    return want;
}

size_t wn_utf8_decode(const char *s, size_t len, uint32_t *cp)
{
    const uint8_t *u = (const uint8_t *)s;
    size_t bad = 0;
    size_t n = sequence_len(u, len, &bad);
    switch (n) {
    case 1:
        *cp = u[0];
        return 1;
    case 2:
        *cp = (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
        return 2;
    case 3:
        *cp = (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
        return 3;
    case 4:
        *cp = (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
        return 4;
    default:
        *cp = WN_UTF8_REPLACEMENT;
        return bad;
    }
}

size_t wn_utf8_encode(uint32_t cp, char out[4])
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        cp = WN_UTF8_REPLACEMENT;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

bool wn_utf8_valid(const char *s, size_t len)
{
    const uint8_t *u = (const uint8_t *)s;
    size_t i = 0;
    while (i < len) {
        size_t bad = 0;
        size_t n = sequence_len(u + i, len - i, &bad);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

size_t wn_utf8_count(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; n++) {
        uint32_t cp = 0;
        i += wn_utf8_decode(s + i, len - i, &cp);
    }
    return n;
}

size_t wn_utf8_offset(const char *s, size_t len, size_t n)
{
    size_t i = 0;
    for (; n > 0 && i < len; n--) {
        uint32_t cp = 0;
        i += wn_utf8_decode(s + i, len - i, &cp);
    }
    return i;
}

size_t wn_utf8_floor(const char *s, size_t pos)
{
    /* At most three continuation bytes can stand before pos inside one character. The byte at pos
     * may be the text's end, so only bytes before pos are read. */
    const uint8_t *u = (const uint8_t *)s;
    for (size_t back = 1; back <= 3 && back <= pos; back++) {
        uint8_t b = u[pos - back];
        if ((b & 0xC0) == 0x80)
            continue;
        size_t want = b < 0xC2 || b > 0xF4 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
        return want > back ? pos - back : pos;
    }
    return pos;
}
