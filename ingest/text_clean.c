#include "ingest/text_clean.h"

#include <string.h>

#include "base/unicode.h"
#include "base/utf8.h"

/* What cleaning makes of a code point: itself, another one, or 0 = nothing. */
static uint32_t clean_code_point(uint32_t cp)
{
    if (cp == '\n' || cp == '\t')
        return cp;
    if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0))
        return cp == 0x0B || cp == 0x0C || cp == 0x85 ? '\n' : 0;
    if (cp == 0xA0 || cp == 0x202F || cp == 0x2007)
        return ' ';
    if (cp == 0x2028 || cp == 0x2029)
        return '\n';
    bool invisible = cp == 0xAD || cp == 0xFEFF ||
                     (cp >= 0x200B && cp <= 0x200F && cp != 0x200C && cp != 0x200D) ||
                     (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x2069) ||
                     (cp & 0xFFFE) == 0xFFFE || (cp >= 0xFDD0 && cp <= 0xFDEF);
    return invisible ? 0 : cp;
}

void wn_text_clean(wn_strbuf *out, const char *bytes, size_t len)
{
    size_t run = 0; /* start of bytes that can be copied as they are */
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 && c < 0x7F) {
            i++;
            continue;
        }
        uint32_t cp = 0;
        char utf8[4];
        size_t n = wn_utf8_decode(bytes + i, len - i, &cp);
        uint32_t clean = clean_code_point(cp);
        size_t m = clean ? wn_utf8_encode(clean, utf8) : 0;
        if (m != n || memcmp(utf8, bytes + i, n) != 0) {
            wn_strbuf_add(out, bytes + run, i - run);
            wn_strbuf_add(out, utf8, m);
            run = i + n;
        }
        i += n;
    }
    wn_strbuf_add(out, bytes + run, len - run);
}

void wn_text_line(wn_strbuf *out, const char *bytes, size_t len, size_t max)
{
    wn_strbuf clean = {0};
    wn_text_clean(&clean, bytes, len);
    size_t start = out->len;
    bool blank = false;
    for (size_t i = 0; i < clean.len && !out->failed;) {
        uint32_t cp = 0;
        size_t n = wn_utf8_decode(clean.data + i, clean.len - i, &cp);
        if (wn_unicode_is_space(cp)) {
            blank = out->len > start;
        } else {
            if (out->len - start + n + blank > max)
                break;
            if (blank)
                wn_strbuf_addc(out, ' ');
            blank = false;
            wn_strbuf_add(out, clean.data + i, n);
        }
        i += n;
    }
    out->failed = out->failed || clean.failed;
    wn_strbuf_free(&clean);
}
