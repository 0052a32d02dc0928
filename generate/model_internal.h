/* What the session and the loaders see of a model: model.c (open, look-ups), model_gguf.c and
 * model_hf.c (configuration), model_weights.c (tensors), rope_scaling.c (frequencies). */
#ifndef WN_GENERATE_MODEL_INTERNAL_H
#define WN_GENERATE_MODEL_INTERNAL_H

#include "base/gguf.h"
#include "base/safetensors.h"
#include "generate/model.h"

/* One transformer block. q_dim = n_heads * head_dim, kv_dim = n_kv_heads * head_dim. */
typedef struct wn_layer {
    float *attn_norm, *ffn_norm;     /* [d_model] */
    wn_matrix *q;                    /* [q_dim, d_model] */
    wn_matrix *k, *v;                /* [kv_dim, d_model] */
    wn_matrix *o;                    /* [d_model, q_dim] */
    wn_matrix *gate, *up;            /* [d_ff, d_model] */
    wn_matrix *down;                 /* [d_model, d_ff] */
    float *q_bias, *k_bias, *v_bias; /* [q_dim], [kv_dim], [kv_dim]; NULL: none */
} wn_layer;

struct wn_model {
    wn_model_config config;
    char *path, *name;
    wn_gguf *gguf; /* one of these two holds the weights */
    wn_safetensors *tensors;
    wn_tokenizer *tokenizer; /* NULL after wn_model_open_weights */
    wn_chat_family chat_family;
    wn_layer *layers;  /* [n_layers] */
    wn_matrix *embed;  /* [n_vocab, d_model] */
    wn_matrix *output; /* the same object as embed when tied */
    float *final_norm; /* [d_model] */
    float *inv_freq;   /* [head_dim / 2], scaling applied */
    size_t weight_bytes;
    size_t type_bytes[WN_DTYPE_COUNT]; /* of weight_bytes */
};

/* wn_model_open without the tokenizer: for sessions that are fed ids. */
wn_status wn_model_open_weights(wn_model **out, wn_compute *c, const char *path, wn_error *err);

/* Fill m->config and m->inv_freq from m->gguf, or from m->path/config.json. */
wn_status wn_model_gguf_config(wn_model *m, wn_error *err);
wn_status wn_model_hf_config(wn_model *m, wn_error *err);
/* Sizes are positive, sane (their products cannot overflow) and fit each other. */
wn_status wn_model_check_config(const wn_model_config *c, const char *path, wn_error *err);
/* Finds, checks and loads every tensor that the configuration calls for; a tensor that it does not
 * call for is refused, since leaving it out would change the results in silence. */
wn_status wn_model_load_weights(wn_model *m, wn_compute *c, wn_error *err);
void wn_model_free_weights(wn_model *m);

/* New array of head_dim / 2 frequencies: theta^(-2i / head_dim), with the scaling of type llama3
 * where the configuration has its numbers, then divided by factors[i] (NULL: 1). */
wn_status wn_rope_inv_freq(float **out, const wn_model_config *c, const float *factors,
                           wn_error *err);

#endif
