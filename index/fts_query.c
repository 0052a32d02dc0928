#include "index/fts_query.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/strbuf.h"
#include "base/unicode.h"
#include "base/utf8.h"

static bool in_word(uint32_t cp)
{
    return cp != WN_UTF8_REPLACEMENT && (wn_unicode_is_letter(cp) || wn_unicode_is_number(cp) ||
                                         wn_unicode_is_mark_nonspacing(cp));
}

static void add_lower(wn_strbuf *b, uint32_t cp)
{
    uint32_t lower[3];
    char bytes[4];
    int n = wn_unicode_lower(cp, lower);
    for (int i = 0; i < n; i++)
        wn_strbuf_add(b, bytes, wn_utf8_encode(lower[i], bytes));
}

/* The word in b, `"word` so far, joins the list unless it is there already. */
static wn_status add_word(wn_fts_words *out, wn_strbuf *b, wn_error *err)
{
    wn_strbuf_addc(b, '"');
    if (wn_strbuf_failed(b))
        return wn_error_set(err, WN_NO_MEMORY, "question: out of memory");
    if (b->len > WN_FTS_MAX_WORD_BYTES + 2 || out->n == WN_FTS_MAX_WORDS)
        return WN_OK;
    for (size_t i = 0; i < out->n; i++)
        if (strcmp(out->items[i].quoted, b->data) == 0)
            return WN_OK;
    char *quoted = wn_strndup(b->data, b->len);
    if (!quoted)
        return wn_error_set(err, WN_NO_MEMORY, "question: out of memory");
    out->items[out->n++] = (wn_fts_word){quoted, true};
    return WN_OK;
}

wn_status wn_fts_words_split(wn_fts_words *out, const char *text, size_t len, wn_error *err)
{
    *out = (wn_fts_words){0};
    wn_strbuf b = {0};
    wn_status status = WN_OK;
    bool inside = false;
    for (size_t i = 0; i <= len && status == WN_OK && out->n < WN_FTS_MAX_WORDS;) {
        uint32_t cp = ' '; /* the end of the text ends a word */
        i += i < len ? wn_utf8_decode(text + i, len - i, &cp) : 1;
        if (in_word(cp)) {
            if (!inside) {
                wn_strbuf_clear(&b);
                wn_strbuf_addc(&b, '"');
            }
            inside = true;
            if (b.len <= WN_FTS_MAX_WORD_BYTES + 2) /* past it the run is dropped anyway */
                add_lower(&b, cp);
        } else if (inside) {
            inside = false;
            status = add_word(out, &b, err);
        }
    }
    wn_strbuf_free(&b);
    return status;
}

void wn_fts_words_free(wn_fts_words *words)
{
    for (size_t i = 0; i < words->n; i++)
        free(words->items[i].quoted);
    *words = (wn_fts_words){0};
}

wn_status wn_fts_words_query(const wn_fts_words *words, char **query, wn_error *err)
{
    *query = NULL;
    wn_strbuf b = {0};
    for (size_t i = 0; i < words->n; i++) {
        if (!words->items[i].keep)
            continue;
        if (b.len > 0)
            wn_strbuf_adds(&b, " OR ");
        wn_strbuf_adds(&b, words->items[i].quoted);
    }
    if (b.len == 0 && !wn_strbuf_failed(&b))
        return WN_OK;
    *query = wn_strbuf_detach(&b);
    return *query ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "question: out of memory");
}
