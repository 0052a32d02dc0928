/* Vocabulary of a byte-level tokenizer: the bytes of every id, and the id of every byte string.
 *
 *     WN_TRY(wn_vocab_init(&v, n_ids, err));
 *     WN_TRY(wn_vocab_set_text(&v, 0, "\xC4\xA0the", 5, "vocab.json", err));
 *     WN_TRY(wn_vocab_index(&v, "vocab.json", err));
 *     int32_t id = wn_vocab_find(&v, " the", 4);
 *
 * Files write normal tokens in GPT-2's byte alphabet (one printable character per byte); here they
 * are plain bytes. Added and special tokens are written as they are. wn_vocab_free on a {0} is
 * fine. Immutable after wn_vocab_index except for marks: any thread.
 */
#ifndef WN_GENERATE_TOKENIZER_VOCAB_H
#define WN_GENERATE_TOKENIZER_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/strbuf.h"

#define WN_VOCAB_MAX ((size_t)1 << 20) /* ids; the largest real vocabularies have 2^18 */

/* What an id is. A normal token whose text is outside the byte alphabet is never made from text. */
enum {
    WN_TOKEN_PRESENT = 1 << 0,
    WN_TOKEN_NORMAL = 1 << 1,  /* found by its bytes: BPE may produce it */
    WN_TOKEN_ADDED = 1 << 2,   /* matched in text before BPE */
    WN_TOKEN_SPECIAL = 1 << 3, /* added, and only on demand */
    WN_TOKEN_END = 1 << 4      /* ends a turn or a text */
};

typedef struct wn_vocab {
    size_t n; /* ids are 0 .. n-1; some may be absent */
    uint8_t *flags;
    uint32_t *start, *len; /* [n] in bytes.data */
    wn_strbuf bytes;
    int32_t byte_id[256]; /* the token of a single byte, or -1 */
    int32_t *slots;       /* hash table of normal tokens, -1 = free */
    size_t n_slots;       /* power of two, 0 before wn_vocab_index */
} wn_vocab;

wn_status wn_vocab_init(wn_vocab *v, size_t n, wn_error *err);
void wn_vocab_free(wn_vocab *v);

/* Enters token `id`, once; `name` names the file. _bytes: as they are, with WN_TOKEN_* flags.
 * _text: a normal token in the byte alphabet; text outside the alphabet is kept as it is and never
 * found. */
wn_status wn_vocab_set_bytes(wn_vocab *v, int64_t id, const char *bytes, size_t len, uint8_t flags,
                             const char *name, wn_error *err);
wn_status wn_vocab_set_text(wn_vocab *v, int64_t id, const char *text, size_t len, const char *name,
                            wn_error *err);
/* Makes normal tokens findable. Two with the same bytes are WN_FORMAT. */
wn_status wn_vocab_index(wn_vocab *v, const char *name, wn_error *err);

int32_t wn_vocab_find(const wn_vocab *v, const char *bytes, size_t len); /* normal token, or -1 */
static inline const char *wn_vocab_bytes(const wn_vocab *v, int32_t id, size_t *len)
{
    *len = v->len[id];
    return wn_strbuf_cstr(&v->bytes) + v->start[id];
}

/* Byte alphabet -> bytes, appended to out; false (out unchanged) if a character is outside it. */
bool wn_byte_alphabet_decode(const char *text, size_t len, wn_strbuf *out);

#endif
