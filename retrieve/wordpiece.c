#include "retrieve/wordpiece.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/unicode.h"
#include "base/utf8.h"
#include "retrieve/wordpiece_internal.h"

/* A word has at most max_word_chars characters that count, so all scratch is small and fixed. */
typedef struct word {
    uint32_t cps[WN_WORDPIECE_MAX_WORD];
    size_t at[WN_WORDPIECE_MAX_WORD]; /* byte offset of the source character */
    size_t n;
    size_t barrier; /* marks before it keep their order: a starter stood here and was dropped */
    bool too_long;
} word;

typedef struct encoder {
    const wn_wordpiece *w;
    word word;
    int32_t *ids;
    size_t *offsets; /* NULL: not wanted */
    size_t n, cap, max;
    bool failed;
} encoder;

static bool emit(encoder *e, int32_t id, size_t at)
{
    if (e->n == e->max || e->failed)
        return false;
    if (e->n == e->cap) {
        size_t cap = e->cap * 2 < e->max ? e->cap * 2 : e->max;
        int32_t *ids = wn_realloc(e->ids, cap, sizeof *ids);
        if (ids)
            e->ids = ids;
        size_t *offsets = e->offsets ? wn_realloc(e->offsets, cap, sizeof *offsets) : NULL;
        if (offsets)
            e->offsets = offsets;
        if (!ids || (e->offsets && !offsets)) {
            e->failed = true;
            return false;
        }
        e->cap = cap;
    }
    e->ids[e->n] = id;
    if (e->offsets)
        e->offsets[e->n] = at;
    e->n++;
    return true;
}

/* Longest token that begins at character `from` of the word; its end is returned, `from` if there
 * is none. starts[i] is the byte where character i begins. Hashes of all prefixes grow in one pass.
 */
static size_t longest(const wn_wordpiece *w, const char *bytes, const size_t *starts, size_t from,
                      size_t n, int32_t *id)
{
    uint64_t hashes[WN_WORDPIECE_MAX_WORD];
    uint64_t h = wn_wordpiece_hash_start(from > 0);
    size_t done = starts[from], end = from;
    for (; end < n && starts[end + 1] - starts[from] <= w->max_token_bytes; end++) {
        for (; done < starts[end + 1]; done++)
            h = wn_wordpiece_hash_byte(h, bytes[done]);
        hashes[end] = h;
    }
    for (; end > from; end--) {
        *id = wn_wordpiece_find(w, bytes + starts[from], starts[end] - starts[from], from > 0,
                                hashes[end - 1]);
        if (*id >= 0)
            break;
    }
    return end;
}

/* Greedy pieces of the word; any rest without a token makes the whole word unknown. */
static void flush_word(encoder *e)
{
    word *d = &e->word;
    char bytes[WN_WORDPIECE_MAX_WORD * 4];
    size_t starts[WN_WORDPIECE_MAX_WORD + 1];
    int32_t ids[WN_WORDPIECE_MAX_WORD];
    size_t first[WN_WORDPIECE_MAX_WORD], n_ids = 0, len = 0;
    bool known = !d->too_long;
    if (d->n == 0)
        return;
    for (size_t i = 0; known && i < d->n; i++) {
        starts[i] = len;
        len += wn_utf8_encode(d->cps[i], bytes + len);
    }
    starts[d->n] = len;
    for (size_t i = 0; known && i < d->n; n_ids++) {
        first[n_ids] = i;
        i = longest(e->w, bytes, starts, i, d->n, &ids[n_ids]);
        known = i > first[n_ids];
    }
    if (!known)
        emit(e, e->w->unknown, d->at[0]);
    for (size_t i = 0; known && i < n_ids; i++)
        emit(e, ids[i], d->at[first[i]]);
    d->n = 0;
    d->barrier = 0;
    d->too_long = false;
}

/* Keeps marks in canonical order while the word grows: as NFD of the whole text would have them. */
static void add_to_word(encoder *e, uint32_t cp, size_t at)
{
    word *d = &e->word;
    if (d->n == e->w->max_word_chars) {
        d->too_long = true;
        return;
    }
    size_t i = d->n++;
    uint8_t ccc = e->w->strip_accents ? wn_unicode_combining_class(cp) : 0;
    for (; ccc > 0 && i > d->barrier && wn_unicode_combining_class(d->cps[i - 1]) > ccc; i--) {
        d->cps[i] = d->cps[i - 1];
        d->at[i] = d->at[i - 1];
    }
    d->cps[i] = cp;
    d->at[i] = at;
}

/* A single character that is a word of its own: punctuation, CJK. */
static void add_alone(encoder *e, uint32_t cp, size_t at)
{
    flush_word(e);
    add_to_word(e, cp, at);
    flush_word(e);
}

static bool is_punctuation(uint32_t cp)
{
    if (cp < 0x80)
        return (cp >= 33 && cp <= 47) || (cp >= 58 && cp <= 64) || (cp >= 91 && cp <= 96) ||
               (cp >= 123 && cp <= 126);
    return wn_unicode_is_punctuation(cp);
}

/* One character after normalisation. */
static void add_normal(encoder *e, uint32_t cp, size_t at)
{
    if (wn_unicode_is_space(cp))
        flush_word(e);
    else if (is_punctuation(cp))
        add_alone(e, cp, at);
    else
        add_to_word(e, cp, at);
}

static void add_lower(encoder *e, uint32_t cp, size_t at)
{
    uint32_t low[3] = {cp};
    int n = e->w->lowercase ? wn_unicode_lower(cp, low) : 1;
    for (int i = 0; i < n; i++)
        add_normal(e, low[i], at);
}

/* One source character through BERT's normaliser: clean, CJK, accents, case, in this order. */
static void add_source(encoder *e, uint32_t cp, size_t at)
{
    bool blank = cp == '\t' || cp == '\n' || cp == '\r';
    if (e->w->clean_text && !blank &&
        (cp == 0 || cp == WN_UTF8_REPLACEMENT || wn_unicode_is_control(cp)))
        return;
    bool cjk = e->w->cjk && wn_unicode_is_cjk(cp);
    uint32_t parts[4] = {cp};
    int n = e->w->strip_accents && cp >= 0x80 ? wn_unicode_decompose(cp, parts) : 1;
    if (cjk)
        flush_word(e);
    for (int i = 0; i < n; i++) {
        if (!e->w->strip_accents || !wn_unicode_is_mark_nonspacing(parts[i]))
            add_lower(e, parts[i], at);
        else if (wn_unicode_combining_class(parts[i]) == 0)
            e->word.barrier = e->word.n;
    }
    if (cjk)
        flush_word(e);
}

wn_status wn_wordpiece_encode(const wn_wordpiece *w, const char *text, size_t len, size_t max,
                              int32_t **ids, size_t **offsets, size_t *n, wn_error *err)
{
    encoder e = {.w = w, .max = max, .cap = max < 64 ? max : 64};
    e.ids = wn_alloc(e.cap, sizeof *e.ids);
    e.offsets = offsets ? wn_alloc(e.cap, sizeof *e.offsets) : NULL;
    e.failed = !e.ids || (offsets && !e.offsets);
    for (size_t i = 0; !e.failed && i < len && e.n < max;) {
        uint32_t cp = 0;
        size_t used = wn_utf8_decode(text + i, len - i, &cp);
        add_source(&e, cp, i);
        i += used;
    }
    flush_word(&e);
    if (e.failed) {
        free(e.ids);
        free(e.offsets);
        return wn_error_set(err, WN_NO_MEMORY, "out of memory for the tokens of %zu bytes", len);
    }
    *ids = e.ids;
    if (offsets)
        *offsets = e.offsets;
    *n = e.n;
    return WN_OK;
}
