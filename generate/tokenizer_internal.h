/* The tokenizer's parts, shared by tokenizer.c and its loaders; nobody else includes this. */
#ifndef WN_GENERATE_TOKENIZER_INTERNAL_H
#define WN_GENERATE_TOKENIZER_INTERNAL_H

#include "base/hash.h"
#include "generate/pretokenizer.h"
#include "generate/tokenizer.h"
#include "generate/tokenizer_added.h"
#include "generate/tokenizer_bpe.h"
#include "generate/tokenizer_vocab.h"

struct wn_tokenizer {
    wn_vocab vocab;
    wn_bpe bpe;
    wn_added raw;        /* added tokens matched in the text as it is */
    wn_added normalised; /* ... after normalisation */
    wn_pretokenizer_kind pre;
    bool nfc;           /* text is brought to NFC first (Qwen2) */
    bool ignore_merges; /* a piece that is a token is that token, whatever the merges say (Llama 3)
                         */
    int32_t bos;        /* -1: none is to be added */
    int32_t unknown;    /* for bytes that the vocabulary lacks; -1: they are dropped */
    uint8_t fingerprint[WN_SHA256_BYTES];
};

/* A new, empty tokenizer; NULL when memory is out. */
wn_tokenizer *wn_tokenizer_new(void);

/* Merge `rank` of two byte strings; `name` and `rank` stand in the error when one is no token. */
wn_status wn_tokenizer_add_merge(wn_tokenizer *t, const char *left, size_t left_len,
                                 const char *right, size_t right_len, uint32_t rank,
                                 const char *name, wn_error *err);
/* The same from the file's alphabet. `scratch` is cleared and reused. */
wn_status wn_tokenizer_add_merge_text(wn_tokenizer *t, const char *left, size_t left_len,
                                      const char *right, size_t right_len, uint32_t rank,
                                      wn_strbuf *scratch, const char *name, wn_error *err);

/* Makes token id matched wherever text stands in the input, before or after normalisation. */
wn_status wn_tokenizer_add_pattern(wn_tokenizer *t, bool normalised, const char *text, size_t len,
                                   int32_t id, wn_error *err);

/* After the vocabulary and the merges are in: end tokens by name, checks, fingerprint. */
wn_status wn_tokenizer_finish(wn_tokenizer *t, const char *name, wn_error *err);

/* End of a loader: hands t over to *out, or closes it and sees to it that the error names the file.
 */
wn_status wn_tokenizer_hand_over(wn_tokenizer *t, wn_status status, const char *path,
                                 wn_tokenizer **out, wn_error *err);

#endif
