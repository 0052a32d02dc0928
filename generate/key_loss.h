/* What the output of attention would lose without a key: the target that eviction heads learn.
 *
 * A query q with attention weights a gives head h the output o = sum a_k v_k. Without key k that
 * becomes (o - a_k v_k) / (1 - a_k): it moves by (v_k - o) a_k / (1 - a_k), and the residual stream
 * x by W_h times that, W_h the head's columns of the output projection. To second order the
 * divergence of the next token's distribution is a quadratic form of such moves, so moves are
 * squared and summed over the queries that would miss the key, those more than `window` tokens
 * behind it:
 *
 *     loss(k) = sum over heads h of the group, queries q > k + window
 *               of (a_qk / (1 - a_qk) |W_h (v_k - o_qh)| / |x_q + attention(x_q)|)^2
 *
 * The 1 - a_qk is what counts where a head looks at one key alone (a name that is repeated, the
 * first token that a head rests on): o is nearly v_k there, and without that factor the key that
 * is needed most would seem to be the one that is needed least.
 *
 * The norm is taken behind attention, since that is what the next layer part normalises: embeddings
 * may be far shorter than what attention adds to them (Qwen2.5-Coder 1.5B: |x|^2 0.44 before the
 * first layer's attention, 57 behind it; divided by the former, its first layer would hold 30 % of
 * all loss and keep 94 % of its keys).
 *
 * The text is given with a request to repeat it and the repetition behind it, so that everything in
 * it is asked for once, whatever later questions will be (KVzip, arXiv 2505.23416).
 *
 * Measured on the 135M, without the 1 - a and with |x_q| alone (16 texts of 1,000 tokens to learn
 * from, two others of 2,048 judged, window 128), against the largest attention weight of any such
 * query as the target, at 4.1x fewer slots: mean divergence 0.0174 for 0.0261, perplexity +1.7 %
 * for +2.9 %; copying at 3.3x: divergence 0.021 for 0.047, all tokens right that the dense model
 * has right, for 99.0 %. The square of attention alone is half of that gain (0.0234). What made no
 * difference or was worse: other floors of the logarithm, powers instead of it, a gamma regression
 * of the mean loss, the repetition or the text alone.
 *
 *     wn_key_loss_open(&l, model, compute, 2048, 256, err);
 *     hooks.observe = see;   // calls wn_key_loss_layer(l, layer, n_keys, out)
 *
 * Threads: as the compute context. f32 throughout.
 */
#ifndef WN_GENERATE_KEY_LOSS_H
#define WN_GENERATE_KEY_LOSS_H

#include "generate/text_pass.h"

typedef struct wn_key_loss wn_key_loss;

/* n_max: tokens of a text at most. */
wn_status wn_key_loss_open(wn_key_loss **out, const wn_model *m, wn_compute *c, size_t n_max,
                           size_t window, wn_error *err);
void wn_key_loss_close(wn_key_loss *l);

/* out [n_keys][n_kv_heads]: the loss of each of the first n_keys <= layer->n keys. The layer is one
 * of a pass without evictions, from its observe. */
wn_status wn_key_loss_layer(wn_key_loss *l, const wn_text_layer *layer, size_t n_keys, float *out,
                            wn_error *err);

#endif
