/* The BERT encoder's forward pass: token ids of packed sequences in, one pooled unit vector per
 * sequence out. f32, post-norm, erf GELU; attention per sequence, no padding anywhere.
 *
 *     WN_TRY(wn_bert_encoder_open(&e, c, dir, &config, err));
 *     wn_bert_encoder_encode(e, ids, lens, n_sequences, out); // out [n_sequences][d_model]
 *
 * Tensor names may carry the prefix "bert.". Weights F32, F16 or BF16. Every shape is checked at
 * open against the configuration; errors name the tensor. The weights' file stays mapped (embedding
 * rows are read from it). Threads: one at a time (scratch, compute context).
 */
#ifndef WN_RETRIEVE_BERT_ENCODER_H
#define WN_RETRIEVE_BERT_ENCODER_H

#include <stdint.h>

#include "base/hash.h"
#include "kernels/compute.h"
#include "retrieve/bert_config.h"

typedef struct wn_bert_encoder wn_bert_encoder;

wn_status wn_bert_encoder_open(wn_bert_encoder **out, wn_compute *c, const char *dir,
                               const wn_bert_config *config, wn_error *err);
void wn_bert_encoder_close(wn_bert_encoder *e); /* NULL is fine */
/* Tokens of one call to encode, in all (>= config.max_tokens). */
size_t wn_bert_encoder_capacity(const wn_bert_encoder *e);
/* ids: the sequences one after another, specials included, each id < config.n_vocab; lens [n], each
 * 1..config.max_tokens, their sum <= capacity (asserted). out f32 [n][d_model], L2 norm 1. A
 * sequence's result is the same bits whatever else is in the call. */
void wn_bert_encoder_encode(wn_bert_encoder *e, const int32_t *ids, const size_t *lens, size_t n,
                            float *out);
/* Adds names, types, shapes and bytes of all tensors of the file. */
wn_status wn_bert_encoder_hash(const wn_bert_encoder *e, wn_sha256 *h, wn_error *err);

#endif
