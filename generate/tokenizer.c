#include "generate/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/unicode_nfc.h"
#include "generate/tokenizer_internal.h"

wn_tokenizer *wn_tokenizer_new(void)
{
    wn_tokenizer *t = wn_alloc(1, sizeof *t);
    if (t) {
        t->bos = -1;
        t->unknown = -1;
    }
    return t;
}

void wn_tokenizer_close(wn_tokenizer *t)
{
    if (!t)
        return;
    wn_vocab_free(&t->vocab);
    wn_bpe_free(&t->bpe);
    wn_added_free(&t->raw);
    wn_added_free(&t->normalised);
    free(t);
}

wn_status wn_tokenizer_from_dir(wn_tokenizer **out, const char *dir, wn_error *err)
{
    wn_status status = WN_NOT_FOUND;
    char *json = wn_fs_join(dir, "tokenizer.json"), *ranks = wn_fs_join(dir, "tokenizer.model");
    if (!json || !ranks)
        status = wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", dir);
    else if (wn_fs_exists(json))
        status = wn_tokenizer_from_json(out, json, err);
    else if (wn_fs_exists(ranks))
        status = wn_tokenizer_from_tiktoken(out, ranks, err);
    else
        status = wn_error_set(err, WN_NOT_FOUND,
                              "%s: holds neither tokenizer.json nor tokenizer.model", dir);
    free(json);
    free(ranks);
    return status;
}

wn_status wn_tokenizer_add_merge(wn_tokenizer *t, const char *left, size_t left_len,
                                 const char *right, size_t right_len, uint32_t rank,
                                 const char *name, wn_error *err)
{
    const wn_vocab *v = &t->vocab;
    char joined[1024];
    if (left_len == 0 || right_len == 0 || left_len > sizeof joined / 2 ||
        right_len > sizeof joined / 2)
        return wn_error_set(err, WN_FORMAT, "%s: merge %u joins %zu and %zu bytes", name, rank,
                            left_len, right_len);
    memcpy(joined, left, left_len);
    memcpy(joined + left_len, right, right_len);
    int32_t a = wn_vocab_find(v, left, left_len), b = wn_vocab_find(v, right, right_len);
    int32_t ab = wn_vocab_find(v, joined, left_len + right_len);
    if (a < 0 || b < 0 || ab < 0)
        return wn_error_set(err, WN_FORMAT,
                            "%s: merge %u names a token that is not in the vocabulary (%s)", name,
                            rank,
                            a < 0   ? "left part"
                            : b < 0 ? "right part"
                                    : "result");
    wn_bpe_add(&t->bpe, a, b, rank, ab);
    return WN_OK;
}

wn_status wn_tokenizer_add_merge_text(wn_tokenizer *t, const char *left, size_t left_len,
                                      const char *right, size_t right_len, uint32_t rank,
                                      wn_strbuf *scratch, const char *name, wn_error *err)
{
    wn_strbuf_clear(scratch);
    if (!wn_byte_alphabet_decode(left, left_len, scratch))
        return wn_error_set(err, WN_FORMAT,
                            "%s: merge %u has a character outside the byte alphabet", name, rank);
    size_t middle = scratch->len;
    if (!wn_byte_alphabet_decode(right, right_len, scratch))
        return wn_error_set(err, WN_FORMAT,
                            "%s: merge %u has a character outside the byte alphabet", name, rank);
    if (wn_strbuf_failed(scratch))
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", name);
    const char *bytes = wn_strbuf_cstr(scratch);
    return wn_tokenizer_add_merge(t, bytes, middle, bytes + middle, scratch->len - middle, rank,
                                  name, err);
}

wn_status wn_tokenizer_add_pattern(wn_tokenizer *t, bool normalised, const char *text, size_t len,
                                   int32_t id, wn_error *err)
{
    if (!normalised)
        return wn_added_add(&t->raw, text, len, id, err);
    if (!t->nfc || !wn_unicode_needs_nfc(text, len))
        return wn_added_add(&t->normalised, text, len, id, err);
    wn_strbuf nfc = {0};
    wn_unicode_nfc(text, len, &nfc);
    wn_status status = wn_strbuf_failed(&nfc)
                           ? wn_error_set(err, WN_NO_MEMORY, "added tokens: out of memory")
                           : wn_added_add(&t->normalised, wn_strbuf_cstr(&nfc), nfc.len, id, err);
    wn_strbuf_free(&nfc);
    return status;
}

/* Names that end a turn or a text in the families that winnow knows. */
static const char *const end_names[] = {"<|endoftext|>", "<|im_end|>", "<|end_of_text|>",
                                        "<|eot_id|>", "<|eom_id|>"};

static int by_rank(const void *a, const void *b)
{
    uint32_t x = ((const wn_bpe_merge *)a)->rank, y = ((const wn_bpe_merge *)b)->rank;
    return x < y ? -1 : x > y;
}

/* The merges in order of rank, without the ranks themselves: only their order has a meaning. */
static wn_status hash_merges(const wn_bpe *b, wn_sha256 *h, wn_error *err)
{
    wn_bpe_merge *sorted = wn_alloc(b->n, sizeof *sorted);
    if (!sorted)
        return wn_error_set(err, WN_NO_MEMORY, "out of memory for %zu merges", b->n);
    size_t n = 0;
    for (size_t i = 0; i < b->n_slots; i++) {
        if (b->slots[i].id >= 0)
            sorted[n++] = b->slots[i];
    }
    qsort(sorted, n, sizeof *sorted, by_rank);
    for (size_t i = 0; i < n; i++)
        sorted[i].rank = 0;
    wn_status status = wn_sha256_add(h, sorted, n * sizeof *sorted, err);
    free(sorted);
    return status;
}

static wn_status hash_tokenizer(wn_tokenizer *t, wn_error *err)
{
    const wn_vocab *v = &t->vocab;
    wn_sha256 *h = NULL;
    wn_status status = wn_sha256_open(&h, err);
    if (status != WN_OK)
        return status;
    int32_t head[] = {1,      (int32_t)v->n, (int32_t)t->pre, t->nfc, t->ignore_merges,
                      t->bos, t->unknown};
    WN_TRY_OUT(wn_sha256_add(h, head, sizeof head, err));
    WN_TRY_OUT(wn_sha256_add(h, v->flags, v->n, err));
    WN_TRY_OUT(wn_sha256_add(h, v->len, v->n * sizeof *v->len, err));
    for (size_t id = 0; id < v->n; id++) {
        size_t len = 0;
        const char *bytes = wn_vocab_bytes(v, (int32_t)id, &len);
        WN_TRY_OUT(wn_sha256_add(h, bytes, len, err));
    }
    WN_TRY_OUT(hash_merges(&t->bpe, h, err));
out:
    wn_sha256_close(h, t->fingerprint);
    return status;
}

wn_status wn_tokenizer_finish(wn_tokenizer *t, const char *name, wn_error *err)
{
    wn_vocab *v = &t->vocab;
    for (size_t id = 0; id < v->n; id++) {
        size_t len = 0;
        const char *bytes = wn_vocab_bytes(v, (int32_t)id, &len);
        for (size_t k = 0;
             v->flags[id] & WN_TOKEN_SPECIAL && k < sizeof end_names / sizeof *end_names; k++) {
            if (strlen(end_names[k]) == len && memcmp(end_names[k], bytes, len) == 0)
                v->flags[id] |= WN_TOKEN_END;
        }
    }
    if (t->bos >= 0 && ((size_t)t->bos >= v->n || !(v->flags[t->bos] & WN_TOKEN_PRESENT)))
        return wn_error_set(err, WN_FORMAT, "%s: begin-of-text token %d is not in the vocabulary",
                            name, t->bos);
    return hash_tokenizer(t, err);
}

wn_status wn_tokenizer_hand_over(wn_tokenizer *t, wn_status status, const char *path,
                                 wn_tokenizer **out, wn_error *err)
{
    if (status == WN_OK) {
        *out = t;
        return WN_OK;
    }
    if (err && strncmp(err->text, path, strlen(path)) != 0)
        wn_error_prefix(err, path);
    wn_tokenizer_close(t);
    return status;
}

static bool valid_id(const wn_tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->vocab.n;
}

size_t wn_tokenizer_n_vocab(const wn_tokenizer *t)
{
    return t->vocab.n;
}

int32_t wn_tokenizer_bos(const wn_tokenizer *t)
{
    return t->bos;
}

bool wn_tokenizer_is_end(const wn_tokenizer *t, int32_t id)
{
    return valid_id(t, id) && (t->vocab.flags[id] & WN_TOKEN_END);
}

bool wn_tokenizer_is_special(const wn_tokenizer *t, int32_t id)
{
    return valid_id(t, id) && (t->vocab.flags[id] & WN_TOKEN_SPECIAL);
}

int32_t wn_tokenizer_find(const wn_tokenizer *t, const char *token)
{
    wn_added_match m;
    size_t len = strlen(token);
    const wn_added *tries[] = {&t->raw, &t->normalised};
    for (int i = 0; i < 2; i++) {
        if (wn_added_find(tries[i], token, len, 0, &m) && m.begin == 0 && m.end == len &&
            wn_tokenizer_is_special(t, m.id))
            return m.id;
    }
    return -1;
}

const char *wn_tokenizer_bytes(const wn_tokenizer *t, int32_t id, size_t *len)
{
    *len = 0;
    return valid_id(t, id) ? wn_vocab_bytes(&t->vocab, id, len) : "";
}

void wn_tokenizer_fingerprint(const wn_tokenizer *t, uint8_t digest[32])
{
    memcpy(digest, t->fingerprint, WN_SHA256_BYTES);
}
