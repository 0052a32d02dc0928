/* Fits linear eviction heads to a frozen model, forward only and in closed form: ridge regression
 * of ln(loss of the key) (key_loss.h) on the attention-normed hidden state, one regression for
 * every layer and KV head. Only sums are kept, (d_model + n_kv_heads + 1) * (d_model + 1) floats a
 * layer, however much text is read.
 *
 *     WN_TRY(wn_head_fit_open(&f, model, compute, &o, err));
 *     for (each text) WN_TRY(wn_head_fit_add(f, ids, n, n_keys, err));
 *     WN_TRY(wn_head_fit_solve(f, weight, bias, &r2, err));
 *
 * The logit of a head is minus the predicted ln(loss), less a part of the head's mean: with a bias
 * b added to it, a key is evicted where what is left of its predicted loss is below e^b, whatever
 * layer and head it is in. Losses of all layers are in one unit, so heads differ in how much they
 * keep, and one bias is the dial for all.
 *
 * Threads: as the compute context. After a failed add the sums are not to be used.
 */
#ifndef WN_GENERATE_HEAD_FIT_H
#define WN_GENERATE_HEAD_FIT_H

#include "base/hash.h"
#include "generate/model.h"

typedef struct wn_head_fit wn_head_fit;

typedef struct wn_head_fit_options {
    size_t n_max;  /* tokens of a text with its repetition */
    size_t window; /* the smallest window that the heads shall serve */
    double ridge;  /* of the mean variance of the inputs; 0 = 3 d_model / keys learnt from */
    double means;  /* how much of what heads' mean ln(loss) differ in stands; 0 = 0.6 */
} wn_head_fit_options;

wn_status wn_head_fit_open(wn_head_fit **out, const wn_model *m, wn_compute *c,
                           const wn_head_fit_options *options, wn_error *err);
void wn_head_fit_close(wn_head_fit *f);

/* ids: a text, a request to repeat it and the repetition; the first n_keys tokens are learnt
 * from. */
wn_status wn_head_fit_add(wn_head_fit *f, const int32_t *ids, size_t n, size_t n_keys,
                          wn_error *err);
size_t wn_head_fit_n_texts(const wn_head_fit *f);
uint64_t wn_head_fit_n_keys(const wn_head_fit *f);

/* weight f32 [n_layers][n_kv_heads][d_model], bias f32 [n_layers][n_kv_heads]: x weight + bias is a
 * logit; *r2 (may be NULL):
 * the share of the variance explained, mean over heads. WN_INVALID before the first text. */
wn_status wn_head_fit_solve(wn_head_fit *f, float *weight, float *bias, double *r2, wn_error *err);

/* The sums as a file, written under a temporary name first. key: what they depend on; a file with
 * another key or shape is WN_CONFLICT, and a damaged one WN_FORMAT. */
wn_status wn_head_fit_save(const wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES],
                           const char *path, wn_error *err);
wn_status wn_head_fit_load(wn_head_fit *f, const uint8_t key[WN_SHA256_BYTES], const char *path,
                           wn_error *err);

#endif
