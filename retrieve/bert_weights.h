/* The weights of a BERT encoder, read from safetensors and checked against its configuration.
 *
 *     WN_TRY(wn_bert_weights_load(&w, c, dir, &config, err)); // WN_FORMAT names the tensor
 *     wn_matmul(c, w.layers[0].up, x, m, w.layers[0].up_bias, y);
 *     wn_bert_weights_free(&w);
 *
 * Tensor names may carry the prefix "bert.". Types F32, F16, BF16. The file stays mapped: rows of
 * the word embeddings are read from it. Immutable after load: any thread. d = d_model, f = d_ff.
 */
#ifndef WN_RETRIEVE_BERT_WEIGHTS_H
#define WN_RETRIEVE_BERT_WEIGHTS_H

#include "base/safetensors.h"
#include "kernels/compute.h"
#include "retrieve/bert_config.h"

typedef struct wn_bert_layer {
    wn_matrix *qkv;       /* [3d, d]: query, key and value rows in one product */
    float *qkv_weight;    /* the bytes behind qkv */
    wn_matrix *attn_out;  /* [d, d] */
    wn_matrix *up, *down; /* [f, d], [d, f] */
    float *qkv_bias, *attn_out_bias, *up_bias, *down_bias;      /* [3d] [d] [f] [d] */
    float *attn_norm_w, *attn_norm_b, *ffn_norm_w, *ffn_norm_b; /* [d] */
} wn_bert_layer;

typedef struct wn_bert_weights {
    wn_safetensors *file;
    const char *prefix;     /* of tensor names: "bert." or "" */
    const wn_tensor *words; /* [n_vocab, d] */
    float *positions;       /* [n_positions][d], the row of token type 0 added */
    float *norm_w, *norm_b; /* [d], of the embeddings */
    wn_bert_layer *layers;
    size_t n_layers;
} wn_bert_weights;

/* out is {0} after a failure. */
wn_status wn_bert_weights_load(wn_bert_weights *out, wn_compute *c, const char *dir,
                               const wn_bert_config *config, wn_error *err);
void wn_bert_weights_free(wn_bert_weights *w);

#endif
