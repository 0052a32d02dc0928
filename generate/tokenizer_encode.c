/* Text to ids: added tokens, normalisation, pieces, merging. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/unicode_nfc.h"
#include "generate/tokenizer_internal.h"

/* Words repeat: a direct-mapped cache of short pieces inside one call. Texts below CACHE_MIN_TEXT
 * do without. */
enum { CACHE_SLOTS = 4096, CACHE_BYTES = 16, CACHE_IDS = 4, CACHE_MIN_TEXT = 2048 };

typedef struct cached_piece {
    char bytes[CACHE_BYTES];
    int32_t ids[CACHE_IDS];
    uint8_t len, n; /* len 0 = free */
} cached_piece;

typedef struct encoder {
    const wn_tokenizer *t;
    unsigned flags;
    int32_t *ids;
    size_t n, cap;
    bool failed;
    wn_bpe_scratch scratch;
    cached_piece *cache; /* NULL: none */
} encoder;

/* Room for `more` ids at e->ids + e->n. */
static bool reserve(encoder *e, size_t more)
{
    if (e->failed || more <= e->cap - e->n)
        return !e->failed;
    size_t cap = 0;
    if (!wn_size_add(e->cap + e->cap / 2, more, &cap)) {
        e->failed = true;
        return false;
    }
    int32_t *ids = wn_realloc(e->ids, cap, sizeof *ids);
    if (!ids) {
        e->failed = true;
        return false;
    }
    e->ids = ids;
    e->cap = cap;
    return true;
}

/* Bytes to ids by merging alone. Bytes without a token are dropped before merging, as `tokenizers`
 * does, or become the unknown token. */
static void merge_piece(encoder *e, const char *s, size_t len)
{
    if (!reserve(e, len))
        return;
    int32_t *ids = e->ids + e->n;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int32_t id = e->t->vocab.byte_id[(uint8_t)s[i]];
        if (id < 0)
            id = e->t->unknown;
        if (id >= 0)
            ids[n++] = id;
    }
    bool ok = true;
    if (n > 1)
        n = wn_bpe_merge_ids(&e->t->bpe, &e->scratch, ids, n, &ok);
    e->n += n;
    e->failed = e->failed || !ok;
}

static cached_piece *cache_slot(encoder *e, const char *s, size_t len)
{
    if (!e->cache || len > CACHE_BYTES)
        return NULL;
    uint64_t h = len;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)s[i]) * 0x100000001B3u;
    return &e->cache[(h ^ h >> 24) % CACHE_SLOTS];
}

static void encode_piece(encoder *e, const char *s, size_t len)
{
    if (!reserve(e, CACHE_IDS))
        return;
    cached_piece *c = cache_slot(e, s, len);
    if (c && c->len == len && memcmp(c->bytes, s, len) == 0) {
        memcpy(e->ids + e->n, c->ids, sizeof c->ids);
        e->n += c->n;
        return;
    }
    size_t before = e->n;
    int32_t whole = e->t->ignore_merges ? wn_vocab_find(&e->t->vocab, s, len) : -1;
    if (whole >= 0)
        e->ids[e->n++] = whole;
    else
        merge_piece(e, s, len);
    if (!c || e->failed || e->n - before > CACHE_IDS)
        return;
    c->len = (uint8_t)len;
    c->n = (uint8_t)(e->n - before);
    memcpy(c->bytes, s, len);
    memcpy(c->ids, e->ids + before, c->n * sizeof *c->ids);
}

static void encode_pieces(encoder *e, const char *s, size_t len)
{
    wn_pretokenizer p = wn_pretokenizer_start(e->t->pre, s, len);
    for (size_t begin = 0; !e->failed && wn_pretokenizer_next(&p); begin = p.pos)
        encode_piece(e, s + begin, p.pos - begin);
}

/* Text between added tokens goes to `plain`. A special token that is not asked for is text,
 * together with what the match covers (a shorter token inside it is not looked for; so do
 * `tokenizers`). */
static void split_added(encoder *e, const wn_added *added, const char *s, size_t len,
                        void (*plain)(encoder *, const char *, size_t))
{
    size_t done = 0, pos = 0;
    wn_added_match m;
    while (!e->failed && wn_added_find(added, s, len, pos, &m)) {
        pos = m.end;
        if (!(e->flags & WN_ENCODE_SPECIALS) && wn_tokenizer_is_special(e->t, m.id))
            continue;
        if (m.begin > done)
            plain(e, s + done, m.begin - done);
        if (reserve(e, 1))
            e->ids[e->n++] = m.id;
        done = m.end;
    }
    if (!e->failed && len > done)
        plain(e, s + done, len - done);
}

static void encode_normalised(encoder *e, const char *s, size_t len)
{
    split_added(e, &e->t->normalised, s, len, encode_pieces);
}

static void encode_raw(encoder *e, const char *s, size_t len)
{
    if (!e->t->nfc || !wn_unicode_needs_nfc(s, len)) {
        encode_normalised(e, s, len);
        return;
    }
    wn_strbuf text = {0};
    wn_unicode_nfc(s, len, &text);
    if (wn_strbuf_failed(&text))
        e->failed = true;
    else
        encode_normalised(e, wn_strbuf_cstr(&text), text.len);
    wn_strbuf_free(&text);
}

wn_status wn_tokenizer_encode(const wn_tokenizer *t, const char *text, size_t len, unsigned flags,
                              int32_t **ids, size_t *n, wn_error *err)
{
    encoder e = {.t = t, .flags = flags};
    if (len > INT32_MAX / 4)
        return wn_error_set(err, WN_LIMIT, "text of %zu bytes is too long to tokenise", len);
    if (len >= CACHE_MIN_TEXT)
        e.cache = wn_alloc(CACHE_SLOTS, sizeof *e.cache);
    if (reserve(&e, len / 3 + 8))
        split_added(&e, &t->raw, text, len, encode_raw);
    wn_bpe_scratch_free(&e.scratch);
    free(e.cache);
    if (e.failed) {
        free(e.ids);
        return wn_error_set(err, WN_NO_MEMORY, "out of memory for the tokens of %zu bytes", len);
    }
    *ids = e.ids;
    *n = e.n;
    return WN_OK;
}
