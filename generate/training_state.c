#include "generate/training_state.h"

#include <string.h>

#include "base/fs.h"

#define MAX_BYTES ((size_t)16 << 30)

static wn_status no_memory(const wn_training_state *s, wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", s->path);
}

wn_status wn_training_state_save(const wn_training_state *s, const wn_strbuf *content,
                                 wn_error *err)
{
    wn_strbuf b = {0};
    uint8_t digest[WN_SHA256_BYTES];
    wn_strbuf_add(&b, s->magic, WN_TRAINING_MAGIC_BYTES);
    wn_strbuf_add(&b, s->key, WN_SHA256_BYTES);
    wn_strbuf_add(&b, content->data, content->len);
    wn_status status = wn_strbuf_failed(&b) || wn_strbuf_failed(content)
                           ? no_memory(s, err)
                           : wn_sha256_of(b.data, b.len, digest, err);
    if (status == WN_OK) {
        wn_strbuf_add(&b, digest, sizeof digest);
        status = wn_strbuf_failed(&b) ? no_memory(s, err)
                                      : wn_fs_write_atomic(s->path, b.data, b.len, err);
    }
    wn_strbuf_free(&b);
    return status;
}

wn_status wn_training_state_damaged(const wn_training_state *s, wn_error *err)
{
    return wn_error_set(err, WN_FORMAT, "%s is damaged: remove it to begin anew", s->path);
}

static wn_status check(const wn_training_state *s, const wn_strbuf *b, wn_error *err)
{
    uint8_t digest[WN_SHA256_BYTES];
    if (b->len < WN_TRAINING_MAGIC_BYTES + WN_SHA256_BYTES + sizeof digest ||
        memcmp(b->data, s->magic, WN_TRAINING_MAGIC_BYTES) != 0)
        return wn_error_set(err, WN_FORMAT, "%s is no state of this training", s->path);
    if (memcmp(b->data + WN_TRAINING_MAGIC_BYTES, s->key, WN_SHA256_BYTES) != 0)
        return wn_error_set(err, WN_CONFLICT,
                            "%s belongs to a training of another model, text or setting: remove "
                            "it to begin anew",
                            s->path);
    WN_TRY(wn_sha256_of(b->data, b->len - sizeof digest, digest, err));
    return memcmp(digest, b->data + b->len - sizeof digest, sizeof digest) == 0
               ? WN_OK
               : wn_training_state_damaged(s, err);
}

wn_status wn_training_state_load(const wn_training_state *s, wn_strbuf *content, wn_error *err)
{
    const size_t head = WN_TRAINING_MAGIC_BYTES + WN_SHA256_BYTES;
    wn_strbuf b = {0};
    wn_status status = wn_fs_read(&b, s->path, MAX_BYTES, err);
    if (status == WN_OK)
        status = check(s, &b, err);
    if (status == WN_OK) {
        wn_strbuf_add(content, b.data + head, b.len - head - WN_SHA256_BYTES);
        status = wn_strbuf_failed(content) ? no_memory(s, err) : WN_OK;
    }
    wn_strbuf_free(&b);
    return status;
}

bool wn_state_take(wn_state_reader *r, void *out, size_t bytes)
{
    if (bytes > r->left)
        return false;
    memcpy(out, r->at, bytes);
    r->at += bytes;
    r->left -= bytes;
    return true;
}
