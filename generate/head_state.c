/* The sums of a fit on disk: two counts, squares, sums. */
#include "generate/head_fit_internal.h"
#include "generate/training_state.h"

#define MAGIC "wnfit002"

static size_t square_bytes(const wn_head_fit *f)
{
    return f->n_layers * f->n_targets * sizeof *f->squares;
}

wn_status wn_head_fit_save(const wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES],
                           const char *path, wn_error *err)
{
    const wn_training_state s = {path, MAGIC, key};
    wn_strbuf b = {0};
    wn_strbuf_add(&b, &f->n_texts, sizeof f->n_texts);
    wn_strbuf_add(&b, &f->n_keys, sizeof f->n_keys);
    wn_strbuf_add(&b, f->squares, square_bytes(f));
    wn_strbuf_add(&b, f->sums, wn_head_fit_n_sums(f) * sizeof *f->sums);
    wn_status status = wn_training_state_save(&s, &b, err);
    wn_strbuf_free(&b);
    return status;
}

wn_status wn_head_fit_load(wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES], const char *path,
                           wn_error *err)
{
    const wn_training_state s = {path, MAGIC, key};
    const size_t sums = wn_head_fit_n_sums(f) * sizeof *f->sums;
    wn_strbuf b = {0};
    wn_status status = wn_training_state_load(&s, &b, err);
    if (status == WN_OK && b.len != sizeof f->n_texts + sizeof f->n_keys + square_bytes(f) + sums)
        status = wn_training_state_damaged(&s, err);
    if (status == WN_OK) {
        wn_state_reader r = {b.data, b.len};
        wn_state_take(&r, &f->n_texts, sizeof f->n_texts);
        wn_state_take(&r, &f->n_keys, sizeof f->n_keys);
        wn_state_take(&r, f->squares, square_bytes(f));
        wn_state_take(&r, f->sums, sums);
    }
    wn_strbuf_free(&b);
    return status;
}
