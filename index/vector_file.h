/* The derived vector file: an index's bytes behind a header, closed by an HMAC-SHA-256.
 *
 * FAISS trusts what it reads, so nothing reaches its parser before the MAC (key kept in the corpus'
 * SQLite file) verifies; the SQLite file also remembers which MAC is current, so that an old file,
 * put back beside a newer or restored corpus, is refused. The file is read whole before it is
 * verified: what FAISS sees is what was checked. Any doubt = WN_CORRUPT, and the caller rebuilds
 * from SQLite. */
#ifndef WN_INDEX_VECTOR_FILE_H
#define WN_INDEX_VECTOR_FILE_H

#include "base/hash.h"
#include "index/vector_index.h"

enum { WN_VECTOR_KEY_BYTES = WN_SHA256_BYTES };

/* Written atomically; mac gets what the corpus must remember. */
wn_status wn_vector_file_save(const char *path, const wn_vector_index *x, uint64_t generation,
                              const uint8_t key[WN_VECTOR_KEY_BYTES], uint8_t mac[WN_SHA256_BYTES],
                              wn_error *err);
wn_status wn_vector_file_load(wn_vector_index **out, const char *path,
                              const uint8_t key[WN_VECTOR_KEY_BYTES],
                              const uint8_t mac[WN_SHA256_BYTES], wn_error *err);

#endif
