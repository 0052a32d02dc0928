#include "base/unicode.h"

#include "base/unicode_tables.h"

#define MAX_CP 0x10FFFFu

/* Hangul syllables are computed (Unicode Standard, section 3.12). */
enum {
    S_BASE = 0xAC00,
    L_BASE = 0x1100,
    V_BASE = 0x1161,
    T_BASE = 0x11A7,
    L_COUNT = 19,
    V_COUNT = 21,
    T_COUNT = 28,
    S_COUNT = L_COUNT * V_COUNT * T_COUNT
};

static bool has(uint32_t cp, uint8_t flag)
{
    if (cp > MAX_CP)
        return false;
    size_t block = wn_unicode_index[cp / WN_UNICODE_BLOCK];
    return (wn_unicode_blocks[block * WN_UNICODE_BLOCK + cp % WN_UNICODE_BLOCK] & flag) != 0;
}

bool wn_unicode_is_letter(uint32_t cp)
{
    return has(cp, WN_UNICODE_LETTER);
}

bool wn_unicode_is_number(uint32_t cp)
{
    return has(cp, WN_UNICODE_NUMBER);
}

bool wn_unicode_is_numeric(uint32_t cp)
{
    return has(cp, WN_UNICODE_DIGIT);
}

bool wn_unicode_is_space(uint32_t cp)
{
    return has(cp, WN_UNICODE_SPACE);
}

bool wn_unicode_is_mark_nonspacing(uint32_t cp)
{
    return has(cp, WN_UNICODE_MARK);
}

bool wn_unicode_is_punctuation(uint32_t cp)
{
    return has(cp, WN_UNICODE_PUNCT);
}

bool wn_unicode_is_control(uint32_t cp)
{
    return has(cp, WN_UNICODE_CONTROL);
}

bool wn_unicode_is_cjk(uint32_t cp)
{
    /* The list of BERT's own tokenization.py; its gap at U+2B820 is theirs and models were trained
     * so. */
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) ||
           (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x20000 && cp <= 0x2A6DF) ||
           (cp >= 0x2A700 && cp <= 0x2B81F) || (cp >= 0x2B920 && cp <= 0x2CEAF) ||
           (cp >= 0x2F800 && cp <= 0x2FA1F);
}

int wn_unicode_lower(uint32_t cp, uint32_t out[3])
{
    out[0] = cp;
    if (cp < 0x80) {
        if (cp >= 'A' && cp <= 'Z')
            out[0] = cp + ('a' - 'A');
        return 1;
    }
    if (cp == 0x130) { /* the one code point whose lower case is two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    size_t low = 0, high = wn_unicode_lowered_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (wn_unicode_lowered[mid].cp < cp)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < wn_unicode_lowered_count && wn_unicode_lowered[low].cp == cp)
        out[0] = wn_unicode_lowered[low].to;
    return 1;
}

int wn_unicode_decompose(uint32_t cp, uint32_t out[4])
{
    out[0] = cp;
    if (cp < 0xC0)
        return 1;
    if (cp >= S_BASE && cp < S_BASE + S_COUNT) {
        uint32_t s = cp - S_BASE;
        out[0] = L_BASE + s / (V_COUNT * T_COUNT);
        out[1] = V_BASE + s % (V_COUNT * T_COUNT) / T_COUNT;
        out[2] = T_BASE + s % T_COUNT;
        return s % T_COUNT ? 3 : 2;
    }
    size_t low = 0, high = wn_unicode_decomposed_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (wn_unicode_decomposed[mid].cp < cp)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == wn_unicode_decomposed_count || wn_unicode_decomposed[low].cp != cp)
        return 1;
    int n = 0;
    while (n < 4 && wn_unicode_decomposed[low].to[n] != 0) {
        out[n] = wn_unicode_decomposed[low].to[n];
        n++;
    }
    return n;
}

uint32_t wn_unicode_compose(uint32_t a, uint32_t b)
{
    if (a >= L_BASE && a < L_BASE + L_COUNT && b >= V_BASE && b < V_BASE + V_COUNT)
        return S_BASE + ((a - L_BASE) * V_COUNT + (b - V_BASE)) * T_COUNT;
    if (a >= S_BASE && a < S_BASE + S_COUNT && (a - S_BASE) % T_COUNT == 0 && b > T_BASE &&
        b < T_BASE + T_COUNT)
        return a + (b - T_BASE);
    size_t low = 0, high = wn_unicode_pairs_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const wn_unicode_pair *p = &wn_unicode_pairs[mid];
        if (p->a < a || (p->a == a && p->b < b))
            low = mid + 1;
        else
            high = mid;
    }
    if (low == wn_unicode_pairs_count)
        return 0;
    const wn_unicode_pair *p = &wn_unicode_pairs[low];
    return p->a == a && p->b == b ? p->cp : 0;
}

uint8_t wn_unicode_combining_class(uint32_t cp)
{
    size_t low = 0, high = cp < wn_unicode_ccc[0].first ? 0 : wn_unicode_ccc_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (wn_unicode_ccc[mid].last < cp)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == wn_unicode_ccc_count || cp < wn_unicode_ccc[low].first)
        return 0;
    return (uint8_t)wn_unicode_ccc[low].value;
}
