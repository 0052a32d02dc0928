/* Vocabulary and options of a WordPiece tokenizer: shared by wordpiece*.c only. */
#ifndef WN_RETRIEVE_WORDPIECE_INTERNAL_H
#define WN_RETRIEVE_WORDPIECE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "retrieve/wordpiece.h"

#define WN_WORDPIECE_MAX_WORD 200 /* characters; BERT's own limit, a field of the file, is 100 */

typedef struct wn_wordpiece_token {
    uint32_t start, len; /* in wn_wordpiece.bytes, without the "##" */
    bool inside;         /* written "##...": continues a word */
    bool present;
} wn_wordpiece_token;

struct wn_wordpiece {
    size_t n; /* ids are 0 .. n-1 */
    wn_wordpiece_token *tokens;
    char *bytes;
    size_t bytes_len;
    size_t max_token_bytes;
    int32_t *slots; /* hash table, -1 = free */
    size_t n_slots; /* power of two */
    int32_t unknown, cls, sep;
    size_t max_word_chars;
    bool clean_text, cjk, strip_accents, lowercase;
};

/* FNV-1a; a word's inner pieces hash apart from its first. */
static inline uint64_t wn_wordpiece_hash_start(bool inside)
{
    return inside ? 0x84222325CBF29CE4u : 0xCBF29CE484222325u;
}

static inline uint64_t wn_wordpiece_hash_byte(uint64_t h, char byte)
{
    return (h ^ (uint8_t)byte) * 0x100000001B3u;
}

/* The token with these bytes, or -1. `hash` is that of the bytes. */
int32_t wn_wordpiece_find(const wn_wordpiece *w, const char *bytes, size_t len, bool inside,
                          uint64_t hash);

#endif
