/* Function types that `api` hands from one room to another, so that siblings never include each
 * other: ingest embeds and counts tokens through these and never sees retrieve. */
#ifndef WN_BASE_CALLBACKS_H
#define WN_BASE_CALLBACKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Embeds n texts (UTF-8, lens[i] bytes) into out, f32 [n][dim] row-major, L2-normalised. */
typedef wn_status (*wn_embed_fn)(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                                 float *out, wn_error *err);

/* Tokens that the embedder's tokenizer makes of a text (specials not counted). */
typedef size_t (*wn_count_tokens_fn)(void *ctx, const char *text, size_t len);

/* Progress of a long operation: `done` of `total` units (total 0 = unknown). A result other than
 * WN_OK (normally WN_CANCELLED) stops the operation, which then returns that status. */
typedef wn_status (*wn_progress_fn)(void *ctx, uint64_t done, uint64_t total);

#endif
