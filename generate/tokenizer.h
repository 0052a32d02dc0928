/* Byte-level BPE tokenizers of the Llama 3, SmolLM2 (GPT-2 with single digits) and Qwen2 families.
 *
 *     WN_TRY(wn_tokenizer_from_gguf(&t, gguf, err));
 *     WN_TRY(wn_tokenizer_encode(t, text, len, 0, &ids, &n, err));     // caller frees ids
 *     wn_token_decoder d = {0}; wn_token_decoder_push(&d, t, id, &buf); // UTF-8 safe streaming
 *
 * Any byte string is accepted and round-trips: a malformed byte is one character that is no letter,
 * number or space. Two exceptions, both as the `tokenizers` library has them: Qwen2 brings text to
 * NFC first (its published tokenizer does, and so do we for GGUF files that do not say it), and
 * bytes that a vocabulary lacks are dropped (SmolLM2: rare control characters and bytes outside
 * UTF-8). Immutable after open: any thread.
 */
#ifndef WN_GENERATE_TOKENIZER_H
#define WN_GENERATE_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gguf.h"
#include "base/status.h"
#include "base/strbuf.h"

typedef struct wn_tokenizer wn_tokenizer;

wn_status wn_tokenizer_from_gguf(wn_tokenizer **out, const wn_gguf *g, wn_error *err);
/* Hugging Face folder: tokenizer.json; or tokenizer.model in tiktoken form (Llama 3). */
wn_status wn_tokenizer_from_dir(wn_tokenizer **out, const char *dir, wn_error *err);
wn_status wn_tokenizer_from_json(wn_tokenizer **out, const char *path, wn_error *err);
wn_status wn_tokenizer_from_tiktoken(wn_tokenizer **out, const char *path, wn_error *err);
void wn_tokenizer_close(wn_tokenizer *t);

enum {
    WN_ENCODE_PLAIN = 0, /* text of users and documents: special tokens' names are just text */
    WN_ENCODE_SPECIALS = 1 << 0 /* our own templates: "<|im_end|>" becomes its token */
};
/* *ids is a new array (caller frees), *n its length. No BOS is added. */
wn_status wn_tokenizer_encode(const wn_tokenizer *t, const char *text, size_t len, unsigned flags,
                              int32_t **ids, size_t *n, wn_error *err);

size_t wn_tokenizer_n_vocab(const wn_tokenizer *t);
int32_t wn_tokenizer_bos(const wn_tokenizer *t); /* -1: none is to be added */
bool wn_tokenizer_is_end(const wn_tokenizer *t,
                         int32_t id); /* any end-of-turn / end-of-text token */
bool wn_tokenizer_is_special(const wn_tokenizer *t, int32_t id);
int32_t wn_tokenizer_find(const wn_tokenizer *t, const char *token); /* special by name, or -1 */
/* The bytes of a token (specials: their name). Borrowed. */
const char *wn_tokenizer_bytes(const wn_tokenizer *t, int32_t id, size_t *len);
/* SHA-256 over vocabulary, merges, pre-tokenizer and specials. */
void wn_tokenizer_fingerprint(const wn_tokenizer *t, uint8_t digest[32]);

/* Streaming decode: complete UTF-8 characters only; an unfinished one waits for the next token. */
typedef struct wn_token_decoder {
    char pending[8];
    size_t n_pending;
} wn_token_decoder;
void wn_token_decoder_push(wn_token_decoder *d, const wn_tokenizer *t, int32_t id, wn_strbuf *out);
void wn_token_decoder_finish(wn_token_decoder *d, wn_strbuf *out); /* leftovers as U+FFFD */

#endif
