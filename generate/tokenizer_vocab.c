#include "generate/tokenizer_vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"

/* GPT-2's alphabet: printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100
 * on. */
static int alphabet_byte(uint32_t cp)
{
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255))
        return (int)cp;
    if (cp < 256 || cp > 323)
        return -1;
    uint32_t n = cp - 256;
    return n < 33 ? (int)n : n < 67 ? (int)(127 + n - 33) : 173;
}

bool wn_byte_alphabet_decode(const char *text, size_t len, wn_strbuf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        i += wn_utf8_decode(text + i, len - i, &cp);
        int byte = alphabet_byte(cp);
        if (byte < 0) {
            wn_strbuf_truncate(out, before);
            return false;
        }
        wn_strbuf_addc(out, (char)byte);
    }
    return true;
}

wn_status wn_vocab_init(wn_vocab *v, size_t n, wn_error *err)
{
    *v = (wn_vocab){.n = n};
    if (n == 0 || n > WN_VOCAB_MAX)
        return wn_error_set(err, WN_FORMAT, "vocabulary of %zu tokens (1 to %zu are possible)", n,
                            WN_VOCAB_MAX);
    v->flags = wn_alloc(n, sizeof *v->flags);
    v->start = wn_alloc(n, sizeof *v->start);
    v->len = wn_alloc(n, sizeof *v->len);
    wn_strbuf_add(&v->bytes, "", 0);
    if (!v->flags || !v->start || !v->len || wn_strbuf_failed(&v->bytes))
        return wn_error_set(err, WN_NO_MEMORY, "vocabulary of %zu tokens: out of memory", n);
    memset(v->byte_id, 0xFF, sizeof v->byte_id);
    return WN_OK;
}

void wn_vocab_free(wn_vocab *v)
{
    free(v->flags);
    free(v->start);
    free(v->len);
    free(v->slots);
    wn_strbuf_free(&v->bytes);
    *v = (wn_vocab){0};
}

static wn_status check_id(const wn_vocab *v, int64_t id, const char *name, wn_error *err)
{
    if (id < 0 || (uint64_t)id >= v->n)
        return wn_error_set(err, WN_FORMAT, "%s: token id %lld is out of range (0 to %zu)", name,
                            (long long)id, v->n - 1);
    if (v->flags[id] & WN_TOKEN_PRESENT)
        return wn_error_set(err, WN_FORMAT, "%s: token id %lld is given twice", name,
                            (long long)id);
    return WN_OK;
}

/* The token's bytes are those at the end of v->bytes, from start on. */
static wn_status enter(wn_vocab *v, int64_t id, size_t start, uint8_t flags, const char *name,
                       wn_error *err)
{
    if (v->bytes.len > UINT32_MAX)
        return wn_error_set(err, WN_LIMIT, "%s: vocabulary is larger than 4 GiB", name);
    if (wn_strbuf_failed(&v->bytes))
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory for the vocabulary", name);
    v->start[id] = (uint32_t)start;
    v->len[id] = (uint32_t)(v->bytes.len - start);
    v->flags[id] = (uint8_t)(flags | WN_TOKEN_PRESENT);
    return WN_OK;
}

wn_status wn_vocab_set_bytes(wn_vocab *v, int64_t id, const char *bytes, size_t len, uint8_t flags,
                             const char *name, wn_error *err)
{
    WN_TRY(check_id(v, id, name, err));
    size_t start = v->bytes.len;
    wn_strbuf_add(&v->bytes, bytes, len);
    return enter(v, id, start, flags, name, err);
}

wn_status wn_vocab_set_text(wn_vocab *v, int64_t id, const char *text, size_t len, const char *name,
                            wn_error *err)
{
    WN_TRY(check_id(v, id, name, err));
    size_t start = v->bytes.len;
    uint8_t flags = WN_TOKEN_NORMAL;
    if (!wn_byte_alphabet_decode(text, len, &v->bytes)) {
        wn_strbuf_add(&v->bytes, text, len);
        flags = 0;
    }
    return enter(v, id, start, flags, name, err);
}

/* FNV-1a with a final mix. The vocabulary is the operator's own file, so chosen collisions are no
 * concern here; lookups by hostile text only walk clusters that the file made. */
static size_t hash_bytes(const char *bytes, size_t len)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)bytes[i]) * 0x100000001B3u;
    return (size_t)(h ^ h >> 32);
}

/* The slot of `bytes`, or the free one where it would stand. */
static size_t find_slot(const wn_vocab *v, const char *bytes, size_t len)
{
    size_t i = hash_bytes(bytes, len) & (v->n_slots - 1);
    for (; v->slots[i] >= 0; i = (i + 1) & (v->n_slots - 1)) {
        size_t have = 0;
        const char *token = wn_vocab_bytes(v, v->slots[i], &have);
        if (have == len && memcmp(token, bytes, len) == 0)
            break;
    }
    return i;
}

wn_status wn_vocab_index(wn_vocab *v, const char *name, wn_error *err)
{
    size_t n_slots = 64;
    while (n_slots < 2 * v->n)
        n_slots *= 2;
    v->slots = wn_alloc(n_slots, sizeof *v->slots);
    if (!v->slots)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory for the vocabulary", name);
    memset(v->slots, 0xFF, n_slots * sizeof *v->slots);
    v->n_slots = n_slots;
    for (size_t id = 0; id < v->n; id++) {
        if (!(v->flags[id] & WN_TOKEN_NORMAL))
            continue;
        size_t len = 0;
        const char *bytes = wn_vocab_bytes(v, (int32_t)id, &len);
        if (len == 0)
            return wn_error_set(err, WN_FORMAT, "%s: token %zu is empty", name, id);
        size_t slot = find_slot(v, bytes, len);
        if (v->slots[slot] >= 0)
            return wn_error_set(err, WN_FORMAT, "%s: tokens %d and %zu are the same", name,
                                v->slots[slot], id);
        v->slots[slot] = (int32_t)id;
        if (len == 1)
            v->byte_id[(uint8_t)bytes[0]] = (int32_t)id;
    }
    return WN_OK;
}

int32_t wn_vocab_find(const wn_vocab *v, const char *bytes, size_t len)
{
    return v->slots[find_slot(v, bytes, len)];
}
