#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "base/checked.h"

struct wn_sha256 {
    gnutls_hash_hd_t handle;
};

#define GMAC_BLOCK 16

struct wn_gmac {
    gnutls_cipher_hd_t handle;
    uint8_t part[GMAC_BLOCK]; /* of a block that is not whole yet */
    size_t n_part;
};

static wn_status hash_error(wn_error *err, int rc, const char *what)
{
    return wn_error_set(err, rc == GNUTLS_E_MEMORY_ERROR ? WN_NO_MEMORY : WN_INTERNAL, "%s: %s",
                        what, gnutls_strerror(rc));
}

wn_status wn_sha256_open(wn_sha256 **out, wn_error *err)
{
    wn_sha256 *h = wn_alloc(1, sizeof *h);
    if (!h)
        return wn_error_set(err, WN_NO_MEMORY, "SHA-256: out of memory");
    int rc = gnutls_hash_init(&h->handle, GNUTLS_DIG_SHA256);
    if (rc < 0) {
        free(h);
        return hash_error(err, rc, "SHA-256");
    }
    *out = h;
    return WN_OK;
}

wn_status wn_sha256_add(wn_sha256 *h, const void *data, size_t len, wn_error *err)
{
    if (len == 0)
        return WN_OK;
    int rc = gnutls_hash(h->handle, data, len);
    return rc < 0 ? hash_error(err, rc, "SHA-256") : WN_OK;
}

void wn_sha256_close(wn_sha256 *h, uint8_t digest[WN_SHA256_BYTES])
{
    if (!h)
        return;
    gnutls_hash_deinit(h->handle, digest);
    free(h);
}

wn_status wn_sha256_of(const void *data, size_t len, uint8_t digest[WN_SHA256_BYTES], wn_error *err)
{
    int rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, len ? data : "", len, digest);
    return rc < 0 ? hash_error(err, rc, "SHA-256") : WN_OK;
}

static wn_status add_file(wn_sha256 *h, int fd, const char *path, wn_error *err)
{
    uint8_t chunk[65536];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wn_error_set_errno(err, errno, "%s", path);
        if (n == 0)
            return WN_OK;
        WN_TRY(wn_sha256_add(h, chunk, (size_t)n, err));
    }
}

wn_status wn_sha256_of_file(const char *path, uint8_t digest[WN_SHA256_BYTES], wn_error *err)
{
    /* Read, not mapped: a document may shrink meanwhile, which would be a SIGBUS. */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return wn_error_set_errno(err, errno, "%s", path);
    wn_sha256 *h = NULL;
    wn_status status = wn_sha256_open(&h, err);
    if (status == WN_OK)
        status = add_file(h, fd, path, err);
    wn_sha256_close(h, status == WN_OK ? digest : NULL);
    close(fd);
    return status;
}

wn_status wn_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                         uint8_t mac[WN_SHA256_BYTES], wn_error *err)
{
    int rc = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, key_len, len ? data : "", len, mac);
    return rc < 0 ? hash_error(err, rc, "HMAC-SHA-256") : WN_OK;
}

wn_status wn_gmac_open(wn_gmac **out, const uint8_t key[WN_GMAC_KEY_BYTES],
                       const uint8_t nonce[WN_GMAC_NONCE_BYTES], wn_error *err)
{
    uint8_t own_key[WN_GMAC_KEY_BYTES], own_nonce[WN_GMAC_NONCE_BYTES];
    wn_gmac *g = wn_alloc(1, sizeof *g);
    if (!g)
        return wn_error_set(err, WN_NO_MEMORY, "GMAC: out of memory");
    memcpy(own_key, key, sizeof own_key);
    memcpy(own_nonce, nonce, sizeof own_nonce);
    int rc = gnutls_cipher_init(&g->handle, GNUTLS_CIPHER_AES_256_GCM,
                                &(gnutls_datum_t){own_key, sizeof own_key},
                                &(gnutls_datum_t){own_nonce, sizeof own_nonce});
    explicit_bzero(own_key, sizeof own_key);
    if (rc < 0) {
        free(g);
        return hash_error(err, rc, "GMAC");
    }
    *out = g;
    return WN_OK;
}

/* All but the last call of GnuTLS have to be of whole blocks. */
wn_status wn_gmac_add(wn_gmac *g, const void *data, size_t len, wn_error *err)
{
    const uint8_t *p = data;
    int rc = 0;
    if (g->n_part > 0) {
        const size_t room = GMAC_BLOCK - g->n_part, n = len < room ? len : room;
        memcpy(g->part + g->n_part, p, n);
        g->n_part += n;
        p += n;
        len -= n;
        if (g->n_part < GMAC_BLOCK)
            return WN_OK;
        rc = gnutls_cipher_add_auth(g->handle, g->part, GMAC_BLOCK);
    }
    const size_t whole = len / GMAC_BLOCK * GMAC_BLOCK;
    if (rc >= 0 && whole > 0)
        rc = gnutls_cipher_add_auth(g->handle, p, whole);
    g->n_part = len - whole;
    if (g->n_part > 0)
        memcpy(g->part, p + whole, g->n_part);
    return rc < 0 ? hash_error(err, rc, "GMAC") : WN_OK;
}

wn_status wn_gmac_tag(wn_gmac *g, uint8_t tag[WN_GMAC_BYTES], wn_error *err)
{
    int rc = g->n_part > 0 ? gnutls_cipher_add_auth(g->handle, g->part, g->n_part) : 0;
    if (rc >= 0)
        rc = gnutls_cipher_tag(g->handle, tag, WN_GMAC_BYTES);
    return rc < 0 ? hash_error(err, rc, "GMAC") : WN_OK;
}

void wn_gmac_close(wn_gmac *g)
{
    if (!g)
        return;
    gnutls_cipher_deinit(g->handle);
    free(g);
}

void wn_hex(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

bool wn_equal_constant_time(const void *a, const void *b, size_t len)
{
    const unsigned char *p = a, *q = b;
    unsigned char difference = 0;
    for (size_t i = 0; i < len; i++)
        difference = (unsigned char)(difference | (p[i] ^ q[i]));
    return difference == 0;
}

wn_status wn_random_bytes(void *out, size_t len, wn_error *err)
{
    int rc = gnutls_rnd(GNUTLS_RND_KEY, out, len);
    return rc < 0 ? hash_error(err, rc, "random bytes") : WN_OK;
}
