/* The sums of a fit on disk: "wnfit001", the key, four counts, squares, sums, SHA-256 of it all. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "generate/head_fit_internal.h"

#define MAGIC "wnfit001"
#define MAX_BYTES ((size_t)16 << 30)

typedef struct state_head {
    char magic[8];
    uint8_t key[WN_SHA256_BYTES];
    uint64_t n_sums, n_squares, n_texts, n_keys;
} state_head;

static size_t n_squares(const wn_head_fit *f)
{
    return f->n_layers * f->n_targets;
}

wn_status wn_head_fit_save(const wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES],
                           const char *path, wn_error *err)
{
    wn_strbuf b = {0};
    uint8_t digest[WN_SHA256_BYTES];
    state_head head = {.n_sums = wn_head_fit_n_sums(f),
                       .n_squares = n_squares(f),
                       .n_texts = f->n_texts,
                       .n_keys = f->n_keys};
    memcpy(head.magic, MAGIC, sizeof head.magic);
    memcpy(head.key, key, sizeof head.key);
    wn_strbuf_add(&b, &head, sizeof head);
    wn_strbuf_add(&b, f->squares, n_squares(f) * sizeof *f->squares);
    wn_strbuf_add(&b, f->sums, wn_head_fit_n_sums(f) * sizeof *f->sums);
    wn_status status = wn_strbuf_failed(&b)
                           ? wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path)
                           : wn_sha256_of(b.data, b.len, digest, err);
    if (status == WN_OK) {
        wn_strbuf_add(&b, digest, sizeof digest);
        status = wn_strbuf_failed(&b) ? wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path)
                                      : wn_fs_write_atomic(path, b.data, b.len, err);
    }
    wn_strbuf_free(&b);
    return status;
}

static wn_status check(const wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES], const char *path,
                       const wn_strbuf *b, wn_error *err)
{
    state_head head = {0};
    uint8_t digest[WN_SHA256_BYTES];
    if (b->len < sizeof head + sizeof digest || memcmp(b->data, MAGIC, sizeof head.magic) != 0)
        return wn_error_set(err, WN_FORMAT, "%s is no state of a fit", path);
    memcpy(&head, b->data, sizeof head);
    if (memcmp(head.key, key, sizeof head.key) != 0 || head.n_sums != wn_head_fit_n_sums(f) ||
        head.n_squares != n_squares(f))
        return wn_error_set(err, WN_CONFLICT,
                            "%s belongs to a fit of another model, text or setting: remove it to "
                            "begin anew",
                            path);
    WN_TRY(wn_sha256_of(b->data, b->len - sizeof digest, digest, err));
    if (b->len != sizeof head + head.n_squares * sizeof *f->squares +
                      head.n_sums * sizeof *f->sums + sizeof digest ||
        memcmp(digest, b->data + b->len - sizeof digest, sizeof digest) != 0)
        return wn_error_set(err, WN_FORMAT, "%s is damaged: remove it to begin anew", path);
    return WN_OK;
}

wn_status wn_head_fit_load(wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES], const char *path,
                           wn_error *err)
{
    wn_strbuf b = {0};
    state_head head = {0};
    wn_status status = wn_fs_read(&b, path, MAX_BYTES, err);
    if (status == WN_OK)
        status = check(f, key, path, &b, err);
    if (status == WN_OK) {
        memcpy(&head, b.data, sizeof head);
        const char *at = b.data + sizeof head;
        memcpy(f->squares, at, n_squares(f) * sizeof *f->squares);
        memcpy(f->sums, at + n_squares(f) * sizeof *f->squares,
               wn_head_fit_n_sums(f) * sizeof *f->sums);
        f->n_texts = head.n_texts;
        f->n_keys = head.n_keys;
    }
    wn_strbuf_free(&b);
    return status;
}
