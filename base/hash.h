/* SHA-256 and HMAC-SHA-256 (from GnuTLS, which the HTTP library brings anyway). */
#ifndef WN_BASE_HASH_H
#define WN_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define WN_SHA256_BYTES 32
#define WN_SHA256_HEX 65 /* with the NUL */

typedef struct wn_sha256 wn_sha256;

wn_status wn_sha256_open(wn_sha256 **out, wn_error *err);
wn_status wn_sha256_add(wn_sha256 *h, const void *data, size_t len, wn_error *err);
void wn_sha256_close(wn_sha256 *h, uint8_t digest[WN_SHA256_BYTES]); /* both may be NULL */

wn_status wn_sha256_of(const void *data, size_t len, uint8_t digest[WN_SHA256_BYTES],
                       wn_error *err);
wn_status wn_sha256_of_file(const char *path, uint8_t digest[WN_SHA256_BYTES], wn_error *err);
wn_status wn_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                         uint8_t mac[WN_SHA256_BYTES], wn_error *err);
void wn_hex(const uint8_t *bytes, size_t len, char *out); /* out: 2 * len + 1 */
bool wn_equal_constant_time(const void *a, const void *b, size_t len);
wn_status wn_random_bytes(void *out, size_t len, wn_error *err);

#endif
