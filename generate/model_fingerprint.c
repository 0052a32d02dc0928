#include <inttypes.h>
#include <stdio.h>

#include "base/file_map.h"
#include "base/strbuf.h"
#include "generate/dms_heads.h"
#include "generate/model_internal.h"

#define N_SAMPLES 16 /* of a tensor */
#define SAMPLE_BYTES ((size_t)512)

static wn_status add_config(wn_sha256 *sha, const wn_model_config *c, wn_error *err)
{
    char text[512];
    const int len = snprintf(
        text, sizeof text,
        "winnow-model 1\n%s layers=%zu d=%zu heads=%zu kv_heads=%zu head_dim=%zu ff=%zu vocab=%zu "
        "ctx=%zu eps=%a theta=%a order=%d tied=%d bias=%d llama3=%d %a %a %a %zu\n",
        c->architecture, c->n_layers, c->d_model, c->n_heads, c->n_kv_heads, c->head_dim, c->d_ff,
        c->n_vocab, c->n_ctx, (double)c->norm_eps, (double)c->rope_theta, (int)c->rope_order,
        c->tied_embeddings, c->qkv_bias, c->rope_llama3, (double)c->rope_factor,
        (double)c->rope_low_freq_factor, (double)c->rope_high_freq_factor, c->rope_original_ctx);
    return wn_sha256_add(sha, text, (size_t)len, err);
}

/* What of a tensor's bytes is hashed. */
typedef wn_status (*add_bytes)(wn_sha256 *sha, const wn_tensor *t, wn_error *err);

static wn_status add_all(wn_sha256 *sha, const wn_tensor *t, wn_error *err)
{
    WN_TRY(wn_sha256_add(sha, t->data, t->bytes, err));
    if (wn_dtype_block_elements(t->dtype) > 1) /* packed elsewhere: no second copy in memory */
        wn_file_map_drop(t->data, t->bytes);
    return WN_OK;
}

/* Pieces from the first byte to the last, as far from one another. */
static wn_status add_samples(wn_sha256 *sha, const wn_tensor *t, wn_error *err)
{
    const uint8_t *bytes = t->data;
    if (t->bytes <= N_SAMPLES * SAMPLE_BYTES)
        return wn_sha256_add(sha, bytes, t->bytes, err);
    const size_t step = (t->bytes - SAMPLE_BYTES) / (N_SAMPLES - 1);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const size_t at = i + 1 < N_SAMPLES ? i * step : t->bytes - SAMPLE_BYTES;
        WN_TRY(wn_sha256_add(sha, bytes + at, SAMPLE_BYTES, err));
    }
    return WN_OK;
}

static wn_status add_tensor(wn_sha256 *sha, const wn_tensor *t, add_bytes add, wn_error *err)
{
    wn_strbuf head = {0};
    wn_strbuf_printf(&head, "%s %s", t->name, wn_dtype_name(t->dtype));
    for (int i = 0; i < t->n_dims; i++)
        wn_strbuf_printf(&head, " %zu", t->shape[i]);
    wn_strbuf_addc(&head, '\n');
    wn_status status = wn_strbuf_failed(&head)
                           ? wn_error_set(err, WN_NO_MEMORY, "tensor %s: out of memory", t->name)
                           : wn_sha256_add(sha, head.data, head.len, err);
    if (status == WN_OK && t->bytes)
        status = add(sha, t, err);
    wn_strbuf_free(&head);
    return status;
}

static wn_status hash(const wn_model *m, add_bytes add, char hex[WN_SHA256_HEX], wn_error *err)
{
    wn_sha256 *sha = NULL;
    uint8_t digest[WN_SHA256_BYTES] = {0};
    const size_t n = m->gguf ? wn_gguf_n_tensors(m->gguf) : wn_safetensors_n_tensors(m->tensors);
    WN_TRY(wn_sha256_open(&sha, err));
    wn_status status = add_config(sha, &m->config, err);
    for (size_t i = 0; status == WN_OK && i < n; i++) /* in order of names */
        status = add_tensor(
            sha, m->gguf ? wn_gguf_tensor_at(m->gguf, i) : wn_safetensors_tensor_at(m->tensors, i),
            add, err);
    wn_sha256_close(sha, digest);
    wn_hex(digest, sizeof digest, hex);
    return status;
}

wn_status wn_model_fingerprint(const wn_model *m, char hex[WN_SHA256_HEX], wn_error *err)
{
    return hash(m, add_all, hex, err);
}

wn_status wn_model_sample_fingerprint(const wn_model *m, char hex[WN_SHA256_HEX], wn_error *err)
{
    return hash(m, add_samples, hex, err);
}
