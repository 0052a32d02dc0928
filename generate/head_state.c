/* The sums of a fit on disk. */
#include "generate/head_fit_internal.h"
#include "generate/training_state.h"

#define MAGIC "wnfit002"

typedef wn_status (*state_fn)(const wn_training_state *s, wn_error *err);

static wn_status transfer(wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES], const char *path,
                          state_fn fn, wn_error *err)
{
    const wn_state_part parts[] = {
        {&f->n_texts, sizeof f->n_texts},
        {&f->n_keys, sizeof f->n_keys},
        {f->squares, f->n_layers * f->n_targets * sizeof *f->squares},
        {f->sums, wn_head_fit_n_sums(f) * sizeof *f->sums},
    };
    const wn_training_state s = {path, MAGIC, key, parts, sizeof parts / sizeof *parts};
    return fn(&s, err);
}

wn_status wn_head_fit_save(const wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES],
                           const char *path, wn_error *err)
{
    return transfer((wn_head_fit *)(uintptr_t)f, key, path, wn_training_state_save, err);
}

wn_status wn_head_fit_load(wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES], const char *path,
                           wn_error *err)
{
    return transfer(f, key, path, wn_training_state_load, err);
}
