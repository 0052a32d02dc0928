#include "base/unicode_nfc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/unicode.h"
#include "base/unicode_tables.h"
#include "base/utf8.h"

/* A malformed byte b travels as RAW_BYTE | b: a starter outside Unicode that composes with nothing.
 */
#define RAW_BYTE 0x110000u

typedef struct mark {
    uint32_t cp;
    uint8_t ccc;
} mark;

/* One starter and the marks that follow it, before they are ordered and composed. */
typedef struct cluster {
    bool has_starter;
    uint32_t starter;
    mark *marks, *sorted; /* two arrays of cap */
    size_t n, cap;
    wn_strbuf *out;
} cluster;

static size_t next_char(const char *s, size_t len, uint32_t *cp)
{
    size_t n = wn_utf8_decode(s, len, cp);
    if (*cp == WN_UTF8_REPLACEMENT && (n != 3 || memcmp(s, "\xEF\xBF\xBD", 3) != 0)) {
        *cp = RAW_BYTE | (uint8_t)s[0];
        return 1;
    }
    return n;
}

static void put(wn_strbuf *out, uint32_t cp)
{
    char bytes[4];
    if (cp >= RAW_BYTE)
        wn_strbuf_addc(out, (char)(cp & 0xFF));
    else
        wn_strbuf_add(out, bytes, wn_utf8_encode(cp, bytes));
}

static bool add_mark(cluster *c, uint32_t cp, uint8_t ccc)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 32;
        mark *marks = wn_realloc(c->marks, cap, sizeof(mark));
        if (marks)
            c->marks = marks;
        mark *sorted = wn_realloc(c->sorted, cap, sizeof(mark));
        if (sorted)
            c->sorted = sorted;
        if (!marks || !sorted)
            return false;
        c->cap = cap;
    }
    c->marks[c->n++] = (mark){cp, ccc};
    return true;
}

/* Stable order by combining class: insertion for the few of real text, counting for hostile runs.
 */
static void order_marks(cluster *c)
{
    if (c->n <= 16) {
        for (size_t i = 1; i < c->n; i++) {
            mark m = c->marks[i];
            size_t j = i;
            for (; j > 0 && c->marks[j - 1].ccc > m.ccc; j--)
                c->marks[j] = c->marks[j - 1];
            c->marks[j] = m;
        }
        return;
    }
    size_t start[257] = {0};
    for (size_t i = 0; i < c->n; i++)
        start[c->marks[i].ccc + 1]++;
    for (size_t k = 1; k < 257; k++)
        start[k] += start[k - 1];
    for (size_t i = 0; i < c->n; i++)
        c->sorted[start[c->marks[i].ccc]++] = c->marks[i];
    mark *t = c->marks;
    c->marks = c->sorted;
    c->sorted = t;
}

/* Orders and composes; marks that found no partner stay. */
static void compose_cluster(cluster *c)
{
    if (c->n == 0)
        return;
    order_marks(c);
    if (!c->has_starter)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < c->n; i++) {
        bool blocked = kept > 0 && c->marks[kept - 1].ccc == c->marks[i].ccc;
        uint32_t composed = blocked ? 0 : wn_unicode_compose(c->starter, c->marks[i].cp);
        if (composed)
            c->starter = composed;
        else
            c->marks[kept++] = c->marks[i];
    }
    c->n = kept;
}

static void flush_cluster(cluster *c)
{
    if (c->has_starter)
        put(c->out, c->starter);
    for (size_t i = 0; i < c->n; i++)
        put(c->out, c->marks[i].cp);
    c->n = 0;
    c->has_starter = false;
}

static bool add_char(cluster *c, uint32_t cp)
{
    uint8_t ccc = cp < RAW_BYTE ? wn_unicode_combining_class(cp) : 0;
    if (ccc != 0)
        return add_mark(c, cp, ccc);
    compose_cluster(c);
    if (c->has_starter && c->n == 0) {
        uint32_t composed = wn_unicode_compose(c->starter, cp);
        if (composed) {
            c->starter = composed;
            return true;
        }
    }
    flush_cluster(c);
    c->has_starter = true;
    c->starter = cp;
    return true;
}

bool wn_unicode_needs_nfc(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        if ((uint8_t)s[i] < 0xCC) { /* below U+0300 (and malformed bytes) all is stable */
            i++;
            continue;
        }
        uint32_t cp = 0;
        i += next_char(s + i, len - i, &cp);
        if (cp >= RAW_BYTE)
            continue;
        size_t block = wn_unicode_index[cp / WN_UNICODE_BLOCK];
        if (wn_unicode_blocks[block * WN_UNICODE_BLOCK + cp % WN_UNICODE_BLOCK] &
            WN_UNICODE_UNSTABLE)
            return true;
    }
    return false;
}

void wn_unicode_nfc(const char *s, size_t len, wn_strbuf *out)
{
    cluster c = {.out = out};
    bool ok = true;
    for (size_t i = 0; ok && i < len;) {
        uint32_t cp = 0, parts[4] = {0};
        i += next_char(s + i, len - i, &cp);
        int n = 1;
        parts[0] = cp;
        if (cp < RAW_BYTE)
            n = wn_unicode_decompose(cp, parts);
        for (int k = 0; ok && k < n; k++)
            ok = add_char(&c, parts[k]);
    }
    compose_cluster(&c);
    flush_cluster(&c);
    free(c.marks);
    free(c.sorted);
    if (!ok)
        out->failed = true;
}
