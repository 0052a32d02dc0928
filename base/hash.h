/* SHA-256, HMAC-SHA-256 and AES-256-GMAC (from GnuTLS, which the HTTP library brings anyway). */
#ifndef WN_BASE_HASH_H
#define WN_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define WN_SHA256_BYTES 32
#define WN_SHA256_HEX 65 /* with the NUL */
#define WN_GMAC_KEY_BYTES 32
#define WN_GMAC_NONCE_BYTES 12
#define WN_GMAC_BYTES 16

typedef struct wn_sha256 wn_sha256;
typedef struct wn_gmac wn_gmac;

wn_status wn_sha256_open(wn_sha256 **out, wn_error *err);
wn_status wn_sha256_add(wn_sha256 *h, const void *data, size_t len, wn_error *err);
void wn_sha256_close(wn_sha256 *h, uint8_t digest[WN_SHA256_BYTES]); /* both may be NULL */

wn_status wn_sha256_of(const void *data, size_t len, uint8_t digest[WN_SHA256_BYTES],
                       wn_error *err);
wn_status wn_sha256_of_file(const char *path, uint8_t digest[WN_SHA256_BYTES], wn_error *err);
wn_status wn_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                         uint8_t mac[WN_SHA256_BYTES], wn_error *err);
/* NIST SP 800-38D without plaintext, several times as fast as SHA-256. A tag says nothing to
 * whoever has the key, and two texts' tags with the same key and nonce tell the key to whoever sees
 * them: unless each text has its own, tags stay inside (put them through HMAC, say). */
wn_status wn_gmac_open(wn_gmac **out, const uint8_t key[WN_GMAC_KEY_BYTES],
                       const uint8_t nonce[WN_GMAC_NONCE_BYTES], wn_error *err);
wn_status wn_gmac_add(wn_gmac *g, const void *data, size_t len, wn_error *err);
wn_status wn_gmac_tag(wn_gmac *g, uint8_t tag[WN_GMAC_BYTES], wn_error *err); /* once, at the end */
void wn_gmac_close(wn_gmac *g);                                               /* NULL is fine */
void wn_hex(const uint8_t *bytes, size_t len, char *out);                     /* out: 2 * len + 1 */
bool wn_equal_constant_time(const void *a, const void *b, size_t len);
wn_status wn_random_bytes(void *out, size_t len, wn_error *err);

#endif
