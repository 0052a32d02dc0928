/* BERT's tokenizer: basic tokenisation (clean, CJK, lower case, strip accents, punctuation) and
 * WordPiece. Equals `tokenizers`' BertNormalizer + BertPreTokenizer + WordPiece on any UTF-8.
 * Immutable: any thread. */
#ifndef WN_RETRIEVE_WORDPIECE_H
#define WN_RETRIEVE_WORDPIECE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct wn_wordpiece wn_wordpiece;

/* dir holds tokenizer.json (model WordPiece) or vocab.txt (+ tokenizer_config.json: do_lower_case).
 */
wn_status wn_wordpiece_open(wn_wordpiece **out, const char *dir, wn_error *err);
void wn_wordpiece_close(wn_wordpiece *w);
size_t wn_wordpiece_n_vocab(const wn_wordpiece *w);
int32_t wn_wordpiece_cls(const wn_wordpiece *w);
int32_t wn_wordpiece_sep(const wn_wordpiece *w);
/* Ids without [CLS] and [SEP], at most max of them (text beyond is not even tokenised); *ids is a
 * new array. offsets (may be NULL) gets the byte offset of each token's start in text, new array.
 */
wn_status wn_wordpiece_encode(const wn_wordpiece *w, const char *text, size_t len, size_t max,
                              int32_t **ids, size_t **offsets, size_t *n, wn_error *err);

#endif
