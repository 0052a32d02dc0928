#include "index/vector_file.h"

#include <string.h>

#include "base/fs.h"

static const char magic[8] = "WNVECT1";
/* 2^40 bytes: no vector file is larger, and sizes stay far from overflow. */
#define MAX_FILE_BYTES ((size_t)1 << 40)

typedef struct file_header {
    char magic[8];
    uint64_t generation; /* of the corpus when it was written; for people who look inside */
    uint64_t payload_bytes;
} file_header;

wn_status wn_vector_file_save(const char *path, const wn_vector_index *x, uint64_t generation,
                              const uint8_t key[WN_VECTOR_KEY_BYTES], uint8_t mac[WN_SHA256_BYTES],
                              wn_error *err)
{
    wn_strbuf b = {0};
    file_header head = {.generation = generation};
    memcpy(head.magic, magic, sizeof magic);
    wn_strbuf_add(&b, &head, sizeof head);
    wn_status status = wn_vector_index_write(x, &b, err);
    if (status == WN_OK) {
        head.payload_bytes = b.len - sizeof head;
        memcpy(b.data, &head, sizeof head);
        status = wn_hmac_sha256(key, WN_VECTOR_KEY_BYTES, b.data, b.len, mac, err);
    }
    if (status == WN_OK) {
        wn_strbuf_add(&b, mac, WN_SHA256_BYTES);
        status = wn_strbuf_failed(&b) ? wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path)
                                      : wn_fs_write_atomic(path, b.data, b.len, err);
    }
    wn_strbuf_free(&b);
    return status;
}

static wn_status verify(const char *path, const wn_strbuf *b, const uint8_t *key,
                        const uint8_t *expected, wn_error *err)
{
    file_header head = {0};
    if (b->len < sizeof head + WN_SHA256_BYTES)
        return wn_error_set(err, WN_CORRUPT, "%s: %zu bytes are too few", path, b->len);
    memcpy(&head, b->data, sizeof head);
    size_t signed_bytes = b->len - WN_SHA256_BYTES;
    if (memcmp(head.magic, magic, sizeof magic) != 0 ||
        head.payload_bytes != signed_bytes - sizeof head)
        return wn_error_set(err, WN_CORRUPT, "%s: header or length is wrong", path);
    uint8_t mac[WN_SHA256_BYTES];
    WN_TRY(wn_hmac_sha256(key, WN_VECTOR_KEY_BYTES, b->data, signed_bytes, mac, err));
    if (!wn_equal_constant_time(mac, b->data + signed_bytes, sizeof mac) ||
        !wn_equal_constant_time(mac, expected, sizeof mac))
        return wn_error_set(err, WN_CORRUPT, "%s: is not the file that this corpus wrote last",
                            path);
    return WN_OK;
}

wn_status wn_vector_file_load(wn_vector_index **out, const char *path,
                              const uint8_t key[WN_VECTOR_KEY_BYTES],
                              const uint8_t mac[WN_SHA256_BYTES], wn_error *err)
{
    *out = NULL;
    wn_strbuf b = {0};
    wn_status status = wn_fs_read(&b, path, MAX_FILE_BYTES, err);
    if (status == WN_OK)
        status = verify(path, &b, key, mac, err);
    if (status == WN_OK)
        status = wn_vector_index_read(out, b.data + sizeof(file_header),
                                      b.len - sizeof(file_header) - WN_SHA256_BYTES, err);
    wn_strbuf_free(&b);
    return status;
}
