/* A session as bytes: header, ids, the KV store's content (kv_snapshot.c), SHA-256 of all that. */
#include <stdio.h>
#include <string.h>

#include "generate/session_internal.h"

#define VERSION 2

typedef struct snapshot_header { /* in the machine's byte order, which the magic tells */
    uint64_t magic, version, length, n_read, tail_first;
    uint8_t kind[WN_SHA256_BYTES];
} snapshot_header;

static const uint64_t MAGIC = 0x31564b776f6e6e69; /* "innowKV1" */

wn_status wn_session_kind(const wn_session *s, uint8_t digest[WN_SHA256_BYTES], wn_error *err)
{
    const wn_model_config *c = &s->model->config;
    char text[1024], heads[WN_SHA256_HEX] = "none";
    if (s->heads)
        wn_hex(s->heads->fingerprint, sizeof s->heads->fingerprint, heads);
    int len = snprintf(
        text, sizeof text,
        "%s layers=%zu d=%zu heads=%zu kv_heads=%zu head_dim=%zu ff=%zu vocab=%zu weights=%zu "
        "isa=%s numerics=%d exact=%d chunk=%zu format=%d dms=%s window=%zu bias=%a thin=%zu",
        c->architecture, c->n_layers, c->d_model, c->n_heads, c->n_kv_heads, c->head_dim, c->d_ff,
        c->n_vocab, wn_model_weight_bytes(s->model), wn_compute_isa(s->compute),
        WN_NUMERICS_VERSION, wn_compute_is_exact(s->compute), s->n_chunk,
        (int)wn_kv_store_format(s->kv), heads, s->point.window, (double)s->point.bias, s->thin);
    for (size_t i = 0; i < s->n_keep; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, " keep=%zu+%zu", s->keep[i].first,
                        s->keep[i].n);
    return wn_sha256_of(text, (size_t)len, digest, err);
}

wn_status wn_session_snapshot(const wn_session *s, wn_strbuf *out, wn_error *err)
{
    uint8_t digest[WN_SHA256_BYTES];
    const size_t start = out->len;
    snapshot_header h = {.magic = MAGIC,
                         .version = VERSION,
                         .length = s->length,
                         .n_read = s->n_read,
                         .tail_first = wn_kv_store_tail_first(s->kv)};
    WN_TRY(wn_session_kind(s, h.kind, err));
    wn_strbuf_add(out, &h, sizeof h);
    wn_strbuf_add(out, s->ids, s->length * sizeof *s->ids);
    WN_TRY(wn_kv_store_save(s->kv, out, err));
    WN_TRY(wn_sha256_of(out->data + start, out->len - start, digest, err));
    wn_strbuf_add(out, digest, sizeof digest);
    return wn_strbuf_failed(out) ? wn_error_set(err, WN_NO_MEMORY, "no memory for a snapshot")
                                 : WN_OK;
}

static wn_status check_header(const wn_session *s, const snapshot_header *h, wn_error *err)
{
    uint8_t kind[WN_SHA256_BYTES];
    WN_TRY(wn_session_kind(s, kind, err));
    if (h->magic != MAGIC)
        return wn_error_set(err, WN_FORMAT, "these bytes are no session's snapshot");
    if (h->version != VERSION)
        return wn_error_set(err, WN_UNSUPPORTED, "a snapshot of version %llu (%d is supported)",
                            (unsigned long long)h->version, VERSION);
    if (memcmp(h->kind, kind, sizeof kind) != 0)
        return wn_error_set(err, WN_CONFLICT,
                            "a snapshot of a session with another model, heads, KV format, chunk "
                            "or instruction set");
    if (h->length > s->n_ctx)
        return wn_error_set(err, WN_LIMIT, "a snapshot of %llu tokens does not fit: room for %zu",
                            (unsigned long long)h->length, s->n_ctx);
    if (h->n_read > h->length || h->tail_first > h->length)
        return wn_error_set(err, WN_FORMAT, "a snapshot that contradicts itself");
    return WN_OK;
}

static wn_status restore(wn_session *s, const uint8_t *bytes, size_t len, wn_error *err)
{
    snapshot_header h;
    uint8_t digest[WN_SHA256_BYTES];
    if (len < sizeof h + sizeof digest)
        return wn_error_set(err, WN_FORMAT, "%zu bytes are no session's snapshot", len);
    len -= sizeof digest;
    memcpy(&h, bytes, sizeof h);
    WN_TRY(check_header(s, &h, err));
    WN_TRY(wn_sha256_of(bytes, len, digest, err));
    if (memcmp(digest, bytes + len, sizeof digest) != 0)
        return wn_error_set(err, WN_CORRUPT, "a snapshot's checksum does not match its bytes");
    const size_t length = (size_t)h.length, ids = length * sizeof *s->ids;
    if (len - sizeof h < ids)
        return wn_error_set(err, WN_FORMAT, "a snapshot without all its ids");
    memcpy(s->ids, bytes + sizeof h, ids);
    for (size_t i = 0; i < length; i++)
        if (s->ids[i] < 0 || (size_t)s->ids[i] >= s->model->config.n_vocab)
            return wn_error_set(err, WN_FORMAT, "a snapshot's token %zu has id %d", i, s->ids[i]);
    WN_TRY(wn_kv_store_load(s->kv, length, (size_t)h.tail_first, bytes + sizeof h + ids,
                            len - sizeof h - ids, err));
    s->length = length;
    s->n_read = (size_t)h.n_read;
    return WN_OK;
}

wn_status wn_session_restore(wn_session *s, const void *bytes, size_t len, wn_error *err)
{
    wn_session_truncate(s, 0);
    return restore(s, bytes, len, err);
}
