/* Sentence embeddings with an encoder of the BERT family (MiniLM-L6-v2, bge-small-en-v1.5) from a
 * Hugging Face folder: config.json, model.safetensors, tokenizer.json or vocab.txt, and where
 * present 1_Pooling/config.json, sentence_bert_config.json, config_sentence_transformers.json.
 *
 *     WN_TRY(wn_embedder_open(&e, c, dir, err));
 *     WN_TRY(wn_embedder_embed(e, WN_EMBED_PASSAGE, texts, lens, n, out, err)); // [n][dim], L2 = 1
 *
 * Texts are cut at wn_embedder_max_tokens (256 for MiniLM: tokenizer.json's own 128 is not the
 * model's). Threads: one at a time (it owns scratch and uses its compute context).
 */
#ifndef WN_RETRIEVE_EMBEDDER_H
#define WN_RETRIEVE_EMBEDDER_H

#include "base/status.h"
#include "kernels/compute.h"

typedef struct wn_embedder wn_embedder;
typedef enum wn_embed_role {
    WN_EMBED_PASSAGE,
    WN_EMBED_QUERY
} wn_embed_role; /* QUERY: with prefix */

wn_status wn_embedder_open(wn_embedder **out, wn_compute *c, const char *dir, wn_error *err);
void wn_embedder_close(wn_embedder *e);
size_t wn_embedder_dim(const wn_embedder *e);
size_t wn_embedder_max_tokens(const wn_embedder *e); /* specials included */
const char *wn_embedder_name(const wn_embedder *e);  /* folder name */
/* SHA-256 over config, weights and tokenizer, hex: a corpus remembers which embedder made it. */
const char *wn_embedder_fingerprint(const wn_embedder *e);
/* WordPiece tokens of a text, specials not counted, not truncated. */
size_t wn_embedder_count_tokens(const wn_embedder *e, const char *text, size_t len);
/* out f32 [n][dim]. Batches are sorted by length inside; the result of a text does not depend on
 * its neighbours. */
wn_status wn_embedder_embed(wn_embedder *e, wn_embed_role role, const char *const *texts,
                            const size_t *lens, size_t n, float *out, wn_error *err);

#endif
