/* Texts to unit vectors: tokenizer, length-sorted packs, encoder (embedder.h). */
#include "retrieve/embedder.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/hash.h"
#include "retrieve/bert_encoder.h"
#include "retrieve/wordpiece.h"

#define MAX_SIDE_FILE_BYTES ((size_t)64 << 20)

/* The hash of the weights takes longer than opening them (90 MB), and only a corpus that is created
 * or opened with vectors asks for it: the small files go in at open, the tensors on first demand.
 */
typedef struct lazy_fingerprint {
    wn_sha256 *hash; /* open until the first demand */
    char hex[WN_SHA256_HEX];
} lazy_fingerprint;

struct wn_embedder {
    wn_bert_config config;
    wn_wordpiece *tokenizer;
    wn_bert_encoder *encoder;
    char *dir; /* without a slash at its end */
    lazy_fingerprint *fingerprint;
    size_t *pack_lens; /* [capacity] of the encoder */
    int32_t *pack_ids;
    float *pack_out; /* [capacity][dim] */
};

/* One text of a batch: its ids with [CLS] and [SEP]. */
typedef struct tokenized {
    int32_t *ids;
    size_t n, index; /* place in the caller's arrays */
} tokenized;

static wn_status start_fingerprint(wn_embedder *e, wn_error *err)
{
    /* Whatever can change a vector; the weights follow on demand. */
    static const char *const files[] = {"config.json",
                                        "modules.json",
                                        "1_Pooling/config.json",
                                        "sentence_bert_config.json",
                                        "config_sentence_transformers.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "vocab.txt"};
    wn_status status = WN_OK;
    wn_strbuf text = {0};
    char *path = NULL;
    e->fingerprint = wn_alloc(1, sizeof *e->fingerprint);
    if (!e->fingerprint)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the embedder");
    WN_TRY(wn_sha256_open(&e->fingerprint->hash, err));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        free(path);
        path = wn_fs_join(e->dir, files[i]);
        if (!path) {
            status = wn_error_set(err, WN_NO_MEMORY, "no memory for the embedder");
            goto out;
        }
        wn_strbuf_clear(&text);
        wn_strbuf_printf(&text, "\n%s ", files[i]);
        if (wn_fs_exists(path))
            WN_TRY_OUT(wn_fs_read(&text, path, MAX_SIDE_FILE_BYTES, err));
        WN_TRY_OUT(wn_sha256_add(e->fingerprint->hash, wn_strbuf_cstr(&text), text.len, err));
    }
    /* The prefix may come from the folder's name (bert_config.c). */
    WN_TRY_OUT(wn_sha256_add(e->fingerprint->hash, e->config.query_prefix,
                             strlen(e->config.query_prefix) + 1, err));
out:
    free(path);
    wn_strbuf_free(&text);
    return status;
}

static wn_status check_tokenizer(const wn_embedder *e, wn_error *err)
{
    size_t n = wn_wordpiece_n_vocab(e->tokenizer);
    if (n > e->config.n_vocab)
        return wn_error_set(err, WN_FORMAT,
                            "tokenizer has %zu tokens, config.json's vocab_size is %zu", n,
                            e->config.n_vocab);
    return WN_OK;
}

static wn_status alloc_packs(wn_embedder *e, wn_error *err)
{
    size_t capacity = wn_bert_encoder_capacity(e->encoder);
    e->pack_lens = wn_alloc(capacity, sizeof *e->pack_lens);
    e->pack_ids = wn_alloc(capacity, sizeof *e->pack_ids);
    e->pack_out = wn_alloc(capacity, e->config.d_model * sizeof(float));
    if (!e->pack_lens || !e->pack_ids || !e->pack_out)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the embedder's batches");
    return WN_OK;
}

wn_status wn_embedder_open(wn_embedder **out, wn_compute *c, const char *dir, wn_error *err)
{
    wn_status status = WN_OK;
    wn_embedder *e = wn_alloc(1, sizeof *e);
    if (!e)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the embedder");
    if (!wn_fs_is_dir(dir)) {
        status = wn_error_set(err, WN_NOT_FOUND,
                              "%s: no such folder (an embedder is a folder with "
                              "config.json and model.safetensors)",
                              dir);
        goto out;
    }
    size_t dir_len = strlen(dir);
    while (dir_len > 1 && dir[dir_len - 1] == '/')
        dir_len--;
    e->dir = wn_strndup(dir, dir_len);
    if (!e->dir) {
        status = wn_error_set(err, WN_NO_MEMORY, "no memory for the embedder");
        goto out;
    }
    WN_TRY_OUT(wn_bert_config_load(&e->config, e->dir, err));
    WN_TRY_OUT(wn_wordpiece_open(&e->tokenizer, e->dir, err));
    WN_TRY_OUT(check_tokenizer(e, err));
    WN_TRY_OUT(wn_bert_encoder_open(&e->encoder, c, e->dir, &e->config, err));
    WN_TRY_OUT(alloc_packs(e, err));
    WN_TRY_OUT(start_fingerprint(e, err));
    *out = e;
    return WN_OK;
out:
    wn_embedder_close(e);
    return status;
}

void wn_embedder_close(wn_embedder *e)
{
    if (!e)
        return;
    if (e->fingerprint && e->fingerprint->hash)
        wn_sha256_close(e->fingerprint->hash, NULL);
    free(e->fingerprint);
    free(e->pack_lens);
    free(e->pack_ids);
    free(e->pack_out);
    wn_bert_encoder_close(e->encoder);
    wn_wordpiece_close(e->tokenizer);
    free(e->dir);
    free(e);
}

size_t wn_embedder_dim(const wn_embedder *e)
{
    return e->config.d_model;
}

size_t wn_embedder_max_tokens(const wn_embedder *e)
{
    return e->config.max_tokens;
}

const char *wn_embedder_name(const wn_embedder *e)
{
    return wn_fs_basename(e->dir);
}

const char *wn_embedder_fingerprint(const wn_embedder *e)
{
    lazy_fingerprint *f = e->fingerprint;
    if (f->hash) {
        uint8_t digest[WN_SHA256_BYTES] = {0};
        wn_status status = wn_bert_encoder_hash(e->encoder, f->hash, NULL);
        wn_sha256_close(f->hash, digest);
        f->hash = NULL;
        if (status == WN_OK)
            wn_hex(digest, sizeof digest, f->hex);
    }
    return f->hex;
}

size_t wn_embedder_count_tokens(const wn_embedder *e, const char *text, size_t len)
{
    int32_t *ids = NULL;
    size_t n = 0;
    if (wn_wordpiece_encode(e->tokenizer, text, len, SIZE_MAX, &ids, NULL, &n, NULL) != WN_OK)
        n = len; /* memory is out: no token is shorter than a byte */
    free(ids);
    return n;
}

/* [CLS] prefix text [SEP], cut to max_tokens. */
static wn_status tokenize(const wn_embedder *e, const char *prefix, const char *text, size_t len,
                          tokenized *out, wn_error *err)
{
    wn_status status = WN_OK;
    int32_t *ids = NULL;
    size_t n = 0;
    wn_strbuf joined = {0};
    if (prefix[0]) {
        wn_strbuf_adds(&joined, prefix);
        wn_strbuf_add(&joined, text, len);
        if (wn_strbuf_failed(&joined)) {
            status = wn_error_set(err, WN_NO_MEMORY, "no memory to embed a query");
            goto out;
        }
        text = wn_strbuf_cstr(&joined);
        len = joined.len;
    }
    WN_TRY_OUT(wn_wordpiece_encode(e->tokenizer, text, len, e->config.max_tokens - 2, &ids, NULL,
                                   &n, err));
    out->ids = wn_alloc(n + 2, sizeof *out->ids);
    if (!out->ids) {
        status = wn_error_set(err, WN_NO_MEMORY, "no memory to embed a text");
        goto out;
    }
    out->ids[0] = wn_wordpiece_cls(e->tokenizer);
    if (n > 0)
        memcpy(out->ids + 1, ids, n * sizeof *ids);
    out->ids[n + 1] = wn_wordpiece_sep(e->tokenizer);
    out->n = n + 2;
out:
    free(ids);
    wn_strbuf_free(&joined);
    return status;
}

static int longest_first(const void *a, const void *b)
{
    const tokenized *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Runs texts [0, n) of a list in packs of at most the encoder's capacity. */
static void run_packs(wn_embedder *e, const tokenized *texts, size_t n, float *out)
{
    size_t dim = e->config.d_model, capacity = wn_bert_encoder_capacity(e->encoder);
    for (size_t first = 0, next = 0; first < n; first = next) {
        size_t n_ids = 0;
        for (; next < n && n_ids + texts[next].n <= capacity; next++) {
            memcpy(e->pack_ids + n_ids, texts[next].ids, texts[next].n * sizeof(int32_t));
            e->pack_lens[next - first] = texts[next].n;
            n_ids += texts[next].n;
        }
        wn_bert_encoder_encode(e->encoder, e->pack_ids, e->pack_lens, next - first, e->pack_out);
        for (size_t i = first; i < next; i++)
            memcpy(out + texts[i].index * dim, e->pack_out + (i - first) * dim,
                   dim * sizeof(float));
    }
}

wn_status wn_embedder_embed(wn_embedder *e, wn_embed_role role, const char *const *texts,
                            const size_t *lens, size_t n, float *out, wn_error *err)
{
    wn_status status = WN_OK;
    const char *prefix = role == WN_EMBED_QUERY ? e->config.query_prefix : "";
    tokenized *list = wn_alloc(n, sizeof *list);
    if (!list)
        return wn_error_set(err, WN_NO_MEMORY, "no memory to embed %zu texts", n);
    for (size_t i = 0; i < n; i++) {
        list[i].index = i;
        WN_TRY_OUT(tokenize(e, prefix, texts[i], lens[i], &list[i], err));
    }
    qsort(list, n, sizeof *list, longest_first);
    run_packs(e, list, n, out);
out:
    for (size_t i = 0; i < n; i++)
        free(list[i].ids);
    free(list);
    return status;
}
