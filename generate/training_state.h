/* What an interrupted training has got so far, as a file: the magic, a key, the content, SHA-256 of
 * it all; written under a temporary name first.
 *
 * key: what the content depends on. A file with another key is WN_CONFLICT, one that is no such
 * file or is damaged WN_FORMAT.
 */
#ifndef WN_GENERATE_TRAINING_STATE_H
#define WN_GENERATE_TRAINING_STATE_H

#include "base/hash.h"
#include "base/status.h"
#include "base/strbuf.h"

#define WN_TRAINING_MAGIC_BYTES 8

typedef struct wn_training_state {
    const char *path;
    const char *magic; /* [WN_TRAINING_MAGIC_BYTES] */
    const uint8_t *key;
} wn_training_state;

wn_status wn_training_state_save(const wn_training_state *s, const wn_strbuf *content,
                                 wn_error *err);
/* Appends to content. */
wn_status wn_training_state_load(const wn_training_state *s, wn_strbuf *content, wn_error *err);
/* WN_FORMAT, for content that is not what it has to be. */
wn_status wn_training_state_damaged(const wn_training_state *s, wn_error *err);

/* What is left of the content. */
typedef struct wn_state_reader {
    const char *at;
    size_t left;
} wn_state_reader;
/* The next bytes into out; false, and nothing taken, where fewer are left. */
bool wn_state_take(wn_state_reader *r, void *out, size_t bytes);

#endif
