#include "generate/pretokenizer.h"

#include <stdint.h>
#include <string.h>

#include "base/unicode.h"
#include "base/utf8.h"

typedef enum char_class { LETTER, NUMBER, SPACE, OTHER, NONE } char_class;

/* Class and bytes of the character at s[0..len); NONE at the end. */
static char_class classify(const char *s, size_t len, size_t *n)
{
    *n = 1;
    if (len == 0)
        return NONE;
    uint8_t c = (uint8_t)s[0];
    if (c < 0x80) {
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
            return LETTER;
        if (c >= '0' && c <= '9')
            return NUMBER;
        return c == ' ' || (c >= '\t' && c <= '\r') ? SPACE : OTHER;
    }
    uint32_t cp = 0;
    size_t used = wn_utf8_decode(s, len, &cp);
    if (cp == WN_UTF8_REPLACEMENT) { /* U+FFFD itself is one character; so is each malformed byte */
        *n = used == 3 && memcmp(s, "\xEF\xBF\xBD", 3) == 0 ? 3 : 1;
        return OTHER;
    }
    *n = used;
    if (wn_unicode_is_letter(cp))
        return LETTER;
    if (wn_unicode_is_number(cp))
        return NUMBER;
    return wn_unicode_is_space(cp) ? SPACE : OTHER;
}

static size_t run_end(const char *s, size_t pos, size_t end, char_class wanted)
{
    size_t n = 0;
    while (classify(s + pos, end - pos, &n) == wanted)
        pos += n;
    return pos;
}

static bool is_newline(char c)
{
    return c == '\n' || c == '\r';
}

/* Bytes of the contraction at s, 0 if none. folded: any case, and U+017F, the long s, which case
 * folding makes an s. */
static size_t contraction(const char *s, size_t len, bool folded)
{
    if (len < 2 || s[0] != '\'')
        return 0;
    char a = s[1], b = len > 2 ? s[2] : '\0';
    if (folded) {
        if (a == '\xC5' && b == '\xBF')
            return 3;
        a = a >= 'A' && a <= 'Z' ? (char)(a | 0x20) : a;
        b = b >= 'A' && b <= 'Z' ? (char)(b | 0x20) : b;
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    return 0;
}

/* End of the piece of white space at pos: \s+(?!\S)|\s+ leaves the last space to what follows. */
static size_t space_end(const char *s, size_t pos, size_t end)
{
    size_t last = pos, at = pos, n = 0;
    while (classify(s + at, end - at, &n) == SPACE) {
        last = at;
        at += n;
    }
    return at == end || last == pos ? at : last;
}

/* End of \s*[\r\n]+ at pos: up to the last line break of the run of spaces; pos if there is none.
 */
static size_t newline_end(const char *s, size_t pos, size_t end)
{
    size_t found = pos, n = 0;
    while (classify(s + pos, end - pos, &n) == SPACE) {
        pos += n;
        if (is_newline(s[pos - 1]))
            found = pos;
    }
    return found;
}

static size_t next_gpt2(const char *s, size_t pos, size_t end)
{
    size_t n = contraction(s + pos, end - pos, false);
    if (n)
        return pos + n;
    size_t at = pos + (s[pos] == ' ');
    char_class c = classify(s + at, end - at, &n);
    if (c == LETTER || c == NUMBER || c == OTHER)
        return run_end(s, at, end, c);
    return space_end(s, pos, end);
}

static size_t number_end(const char *s, size_t pos, size_t end, int max)
{
    size_t n = 0;
    for (; max > 0 && classify(s + pos, end - pos, &n) == NUMBER; max--)
        pos += n;
    return pos;
}

static size_t next_llama3(const char *s, size_t pos, size_t end, int digits)
{
    size_t n = contraction(s + pos, end - pos, true), n2 = 0;
    if (n)
        return pos + n;
    char_class c = classify(s + pos, end - pos, &n);
    if (c == LETTER)
        return run_end(s, pos, end, LETTER);
    if (c == NUMBER)
        return number_end(s, pos, end, digits);
    char_class after = classify(s + pos + n, end - pos - n, &n2);
    if (after == LETTER && !is_newline(s[pos]))
        return run_end(s, pos + n, end, LETTER);
    if (c == OTHER || (s[pos] == ' ' && after == OTHER)) {
        size_t at = run_end(s, pos + (s[pos] == ' '), end, OTHER);
        while (at < end && is_newline(s[at]))
            at++;
        return at;
    }
    size_t newline = newline_end(s, pos, end);
    return newline > pos ? newline : space_end(s, pos, end);
}

/* One digit, or the text up to the next one. */
static size_t digit_limit(const char *s, size_t pos, size_t end)
{
    size_t at = pos;
    while (at < end) {
        uint32_t cp = (uint8_t)s[at];
        size_t n = 1;
        if (cp >= 0x80)
            n = wn_utf8_decode(s + at, end - at, &cp);
        if (cp < 0x80 ? cp >= '0' && cp <= '9' : wn_unicode_is_numeric(cp))
            return at == pos ? at + n : at;
        at += n;
    }
    return end;
}

wn_pretokenizer wn_pretokenizer_start(wn_pretokenizer_kind kind, const char *text, size_t len)
{
    return (wn_pretokenizer){.kind = kind, .text = text, .len = len};
}

bool wn_pretokenizer_next(wn_pretokenizer *p)
{
    if (p->pos >= p->len)
        return false;
    switch (p->kind) {
    case WN_PRE_LLAMA3:
        p->pos = next_llama3(p->text, p->pos, p->len, 3);
        break;
    case WN_PRE_QWEN2:
        p->pos = next_llama3(p->text, p->pos, p->len, 1);
        break;
    case WN_PRE_GPT2:
        p->pos = next_gpt2(p->text, p->pos, p->len);
        break;
    case WN_PRE_SMOLLM:
        if (p->pos >= p->limit)
            p->limit = digit_limit(p->text, p->pos, p->len);
        p->pos = next_gpt2(p->text, p->pos, p->limit);
        break;
    }
    return true;
}
