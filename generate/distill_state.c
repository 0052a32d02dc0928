/* What distilling has got behind a prefix, on disk. */
#include "generate/head_distill_internal.h"
#include "generate/model_internal.h"
#include "generate/training_state.h"

#define MAGIC "wndis001"

typedef wn_status (*state_fn)(const wn_training_state *s, wn_error *err);

static wn_status transfer(wn_head_distill *d, const uint8_t key[WN_SHA256_BYTES], const char *path,
                          state_fn fn, wn_error *err)
{
    const wn_model_config *g = &d->model->config;
    const size_t all = d->n_lists * g->d_model * sizeof(float);
    const size_t biases = d->n_lists * sizeof(float);
    const wn_state_part parts[] = {
        {&d->n_done, sizeof d->n_done},
        {&d->random, sizeof d->random},
        {d->weight, all},
        {d->bias, biases},
        {d->mean, all + biases},
        {d->square, all + biases},
        {d->rms, g->n_layers * g->d_model * sizeof(float)},
    };
    const wn_training_state s = {path, MAGIC, key, parts, sizeof parts / sizeof *parts};
    return fn(&s, err);
}

wn_status wn_head_distill_save(const wn_head_distill *d, const uint8_t key[WN_SHA256_BYTES],
                               const char *path, wn_error *err)
{
    return transfer((wn_head_distill *)(uintptr_t)d, key, path, wn_training_state_save, err);
}

wn_status wn_head_distill_load(wn_head_distill *d, const uint8_t key[WN_SHA256_BYTES],
                               const char *path, wn_error *err)
{
    return transfer(d, key, path, wn_training_state_load, err);
}

size_t wn_head_distill_n_steps(const wn_head_distill *d)
{
    return d->n_done;
}
