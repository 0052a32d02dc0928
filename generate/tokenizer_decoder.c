/* Streaming decode: ids to UTF-8 characters. */
#include <string.h>

#include "base/utf8.h"
#include "generate/tokenizer.h"

/* Bytes still missing from the character that s[0..len) begins; 0 if it is whole or malformed. */
static bool unfinished(const char *s, size_t len)
{
    static const char tail[3] = {'\x80', '\x80', '\x80'};
    char padded[4] = {0};
    uint8_t b = (uint8_t)s[0];
    size_t want = b < 0xC2 || b > 0xF4 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
    if (len >= want)
        return false;
    memcpy(padded, s, len);
    uint32_t cp = 0;
    /* A continuation's lowest value may be refused after E0 and F0, its highest after ED and F4. */
    memcpy(padded + len, tail, want - len);
    if (wn_utf8_decode(padded, want, &cp) == want)
        return true;
    padded[len] = '\xBF';
    return wn_utf8_decode(padded, want, &cp) == want;
}

static void push_byte(wn_token_decoder *d, char byte, wn_strbuf *out)
{
    d->pending[d->n_pending++] = byte;
    while (d->n_pending > 0 && !unfinished(d->pending, d->n_pending)) {
        uint32_t cp = 0;
        char bytes[4];
        size_t used = wn_utf8_decode(d->pending, d->n_pending, &cp);
        wn_strbuf_add(out, bytes, wn_utf8_encode(cp, bytes));
        d->n_pending -= used;
        memmove(d->pending, d->pending + used, d->n_pending);
    }
}

void wn_token_decoder_push(wn_token_decoder *d, const wn_tokenizer *t, int32_t id, wn_strbuf *out)
{
    size_t len = 0;
    const char *bytes = wn_tokenizer_bytes(t, id, &len);
    for (size_t i = 0; i < len; i++)
        push_byte(d, bytes[i], out);
}

void wn_token_decoder_finish(wn_token_decoder *d, wn_strbuf *out)
{
    if (d->n_pending > 0) /* one character's beginning at most: one U+FFFD */
        wn_strbuf_adds(out, "\xEF\xBF\xBD");
    d->n_pending = 0;
}
