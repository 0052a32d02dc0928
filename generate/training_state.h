/* What an interrupted training has got so far, as a file: the magic, a key, the parts one after the
 * other, SHA-256 of it all; written under a temporary name first.
 *
 * key: what the parts depend on. A file with another key is WN_CONFLICT, one that is
 * no such file, damaged or of other sizes WN_FORMAT; the parts are untouched then.
 */
#ifndef WN_GENERATE_TRAINING_STATE_H
#define WN_GENERATE_TRAINING_STATE_H

#include "base/hash.h"
#include "base/status.h"

#define WN_TRAINING_MAGIC_BYTES 8

typedef struct wn_state_part {
    void *data;
    size_t bytes;
} wn_state_part;

typedef struct wn_training_state {
    const char *path;
    const char *magic; /* [WN_TRAINING_MAGIC_BYTES] */
    const uint8_t *key;
    const wn_state_part *parts;
    size_t n_parts;
} wn_training_state;

wn_status wn_training_state_save(const wn_training_state *s, wn_error *err);
wn_status wn_training_state_load(const wn_training_state *s, wn_error *err);

#endif
