/* Eviction heads (Dynamic Memory Sparsification, arXiv 2506.05345): for every layer, KV head and
 * token one logit; a token whose logit is > 0 is evicted from that head once it is more than
 * `window` tokens old (kv_store.h has the rule). Two kinds:
 *
 *   linear    weight[layer][head] . x + bias[layer][head], x the attention-normed hidden state that
 *             feeds q; in a side-car file beside an unchanged model
 *   borrowed  alpha_scale * q[first query head of the group][head_dim - 1] - alpha_offset; the
 *             model was trained to say it in that channel of q, which attention then sees as 0
 *
 *     WN_TRY(wn_dms_heads_open(&heads, model, "dms_heads.safetensors", err));
 *     WN_TRY(wn_dms_point_pick(heads, 4.5, &point, err));
 *     WN_TRY(wn_session_open(&s, model, c,
 *                            &(wn_session_options){.heads = heads, .point = point}, err));
 *
 * Side-car (safetensors): tensors layers.{l}.weight [n_kv_heads, d_model] and layers.{l}.bias
 * [n_kv_heads], f32 or bf16, for every layer, and no others; __metadata__, all strings:
 *
 *   format            winnow-dms
 *   version           1
 *   base_fingerprint  64 hex digits: wn_model_fingerprint of the model they were trained for
 *   window_size       the window that they were trained for, >= 1
 *   min_window        optional: the smallest window that they serve; default window_size
 *   decision_shift    0, or 1: the logit of token t decides about token t - 1; optional, default 0
 *   operating_points  JSON list of {"window": 256, "bias": -0.5, "ratio": 4.5, ...}, at least one;
 *                     the first is the default. bias is added to every logit; ratio is the mark on
 *                     the dial: dense slots / live slots as measured, rounded down, in a context of
 *                     "tokens" tokens; longer ones lose more. Other fields ("tokens", "kept",
 *                     "measured": [{"tokens", "ratio", "kld_mean", ...}]) are for people.
 *   tokenizer_fingerprint  optional: 64 hex digits, wn_tokenizer_fingerprint of the model's
 *   Other keys (trained_on, metrics) are for people as well.
 *
 * Immutable after open: any thread; close after the sessions that use them, before the model.
 */
#ifndef WN_GENERATE_DMS_HEADS_H
#define WN_GENERATE_DMS_HEADS_H

#include "base/hash.h"
#include "generate/model.h"

typedef enum wn_dms_kind { WN_DMS_LINEAR, WN_DMS_BORROWED } wn_dms_kind;

typedef struct wn_dms_point {
    size_t window; /* tokens, >= 1 */
    float bias;    /* added to every logit */
    double ratio;  /* dense slots / live slots, as measured; 0: the checkpoint does not say */
} wn_dms_point;

typedef struct wn_dms_heads {
    wn_dms_kind kind;
    size_t decision_shift; /* 0 or 1 */
    wn_dms_point *points;  /* [n_points >= 1] */
    size_t n_points;
    uint8_t fingerprint[WN_SHA256_BYTES]; /* of all that decides, but for the point */
    /* linear */
    size_t d_model, n_kv_heads;
    float *weight; /* [n_layers][n_kv_heads][d_model] */
    float *bias;   /* [n_layers][n_kv_heads] */
    /* borrowed */
    float alpha_scale, alpha_offset;
    bool zero_after_rope; /* the channel becomes 0 after RoPE instead of before */
} wn_dms_heads;

/* path: a side-car; or a JSON file whose keys go before those that a borrowed checkpoint carries;
 * or NULL. Without a side-car the heads are what the checkpoint says, by key from the first of
 * path, dms_metadata.json beside the weights, ../training_log.json (.config) and config.json:
 *
 *   window_size, dms_window_size                                    256 where all are silent
 *   alpha_scale, dms_alpha_scale                                    100
 *   alpha_offset, dms_alpha_offset, dms_initial_alpha_offset        5
 *   decision_shift                                                  0
 *   zero_after_rope                                                 false
 *   target_cr, dms_cr                                               the point's ratio
 *
 * A checkpoint carries heads where one of these files says alpha_*, dms_* or is named
 * dms_metadata.json. Where none does and path is NULL, *out is NULL and the status WN_OK: the model
 * has no heads and runs dense.
 * WN_CONFLICT: the side-car was trained for another model or tokenizer; hashing the model to know
 * takes seconds per GB. WN_FORMAT, WN_UNSUPPORTED: the file is no side-car, or of another version
 * or shape. */
wn_status wn_dms_heads_open(wn_dms_heads **out, const wn_model *m, const char *path, wn_error *err);
void wn_dms_heads_close(wn_dms_heads *h);

/* The point with the highest ratio that is not above `ratio`, so that never more is evicted than
 * was asked for; WN_INVALID, naming the marks, where there is none. */
wn_status wn_dms_point_pick(const wn_dms_heads *h, double ratio, const wn_dms_point **out,
                            wn_error *err);

/* SHA-256, in hex, over a model's configuration and the names, types, shapes and bytes of its
 * tensors. Reads the whole file. */
wn_status wn_model_fingerprint(const wn_model *m, char hex[WN_SHA256_HEX], wn_error *err);
/* The same of 16 pieces of 512 bytes of every tensor, the whole of a small one: milliseconds. Tells
 * models, their fine-tunes and quantisations apart, whatever their files are called; not a file in
 * which somebody has changed single weights between the pieces. */
wn_status wn_model_sample_fingerprint(const wn_model *m, char hex[WN_SHA256_HEX], wn_error *err);

#endif
