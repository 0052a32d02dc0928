/* One file of the prefix cache: what a node adds to its parent.
 *
 *     header, corpus' name, ids i32, ends {u64 n, u32 len, name}, evict bits    "meta"
 *     HMAC of the meta                                                          the file's tag
 *     keys and values: the logs' layers, then the tails' (kv_span.h)
 *     HMAC of the tag and the digests of the logs' layers
 *     HMAC of the tag and the digests of the tails' layers
 *
 * In the machine's byte order, which the magic tells. Nothing is used before its HMAC is right; the
 * key is a secret of the installation. The tag of the parent's file is in the meta. A layer's
 * digest is its AES-GMAC with another key of the same secret, several times as fast as a hash; it
 * is in no file, only under the HMAC (hash, then PRF: a universal hash will do there).
 *
 * Threads: none of its own; reading needs the pool's thread, writing does not.
 */
#ifndef WN_GENERATE_PREFIX_FILE_H
#define WN_GENERATE_PREFIX_FILE_H

#include "generate/kv_span.h"

#define PREFIX_FILE_VERSION 4
#define PREFIX_FILE_SUFFIX ".prefix"

typedef struct prefix_file_header {
    uint64_t magic, version;
    uint8_t owner[16];                          /* whose key it is */
    uint64_t meta_bytes, log_bytes, tail_bytes; /* the first without its HMAC */
    uint8_t scope[WN_SHA256_BYTES], key[WN_SHA256_BYTES], parent[WN_SHA256_BYTES];
    uint64_t n_first, from_tail, n, tail_first, back_to;
    uint64_t corpus_len, n_ends, ends_bytes, bits_bytes;
    uint64_t token_bytes; /* as bf16, without eviction */
    int64_t created;
    double read_ms;
} prefix_file_header;

typedef struct prefix_file_key {
    const uint8_t *secret; /* [WN_SHA256_BYTES] */
    uint8_t owner[16];
    uint8_t digest[WN_GMAC_KEY_BYTES]; /* the secret's; not in the file */
} prefix_file_key;

typedef struct prefix_file { /* open for reading; its meta verified */
    int fd;
    prefix_file_header h;
    uint8_t *meta;
    const uint8_t *ids, *ends, *bits; /* in meta */
    char *corpus;
    uint8_t tag[WN_SHA256_BYTES];
} prefix_file;

wn_status prefix_file_key_make(prefix_file_key *out, const uint8_t secret[WN_SHA256_BYTES],
                               wn_error *err);
/* WN_CONFLICT: of another installation; WN_UNSUPPORTED: of another version; WN_CORRUPT or
 * WN_FORMAT: damaged. */
wn_status prefix_file_open(prefix_file *out, const char *path, const prefix_file_key *key,
                           wn_error *err);
void prefix_file_close(prefix_file *f);
size_t prefix_file_bytes(const prefix_file_header *h); /* of the whole file */
/* The next end in *at, which moves on; false: none is left, or it is malformed. */
bool prefix_file_next_end(const prefix_file *f, const uint8_t **at, uint64_t *n, char *document,
                          size_t cap);
/* kv, which holds the parent's tokens, gets the file's; if that fails, its content is no sequence
 * any more. */
wn_status prefix_file_load(const prefix_file *f, const prefix_file_key *key, wn_kv_store *kv,
                           bool with_tail, wn_thread_pool *pool, wn_error *err);

/* Magic, version and owner. */
void prefix_file_header_start(prefix_file_header *h, const prefix_file_key *key);
/* meta: header and the rest of it, header.meta_bytes in all; tag gets the file's. */
wn_status prefix_file_write(const char *path, const prefix_file_key *key, const uint8_t *meta,
                            wn_kv_span *span, uint8_t tag[WN_SHA256_BYTES], wn_error *err);

#endif
