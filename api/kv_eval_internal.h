/* What kv_eval.c and kv_eval_row.c share: see kv_eval.h. */
#ifndef WN_API_KV_EVAL_INTERNAL_H
#define WN_API_KV_EVAL_INTERNAL_H

#include "api/kld_eval.h"
#include "api/kv_eval.h"
#include "generate/key_loss.h"

struct wn_kv_eval {
    wn_kv_eval_options o;
    const wn_model_config *g;
    wn_kv_layout layout;
    wn_text_pass *dense, *thin;
    size_t n_lists, n_words; /* KV heads of all layers; words of bits of one */
    int32_t *ids;            /* [n_max] */
    size_t n_read, n;        /* tokens read with all keys; those in use */
    size_t judge_from, window;
    uint64_t *evicted;                 /* [n_lists][n_words] */
    float *dense_logits, *thin_logits; /* [ROWS][n_vocab] */
    wn_kld_token *tokens;              /* [n_max]: of position i, about token i + 1 */
    bool *right, *right_dense;         /* [n_max] */
    double *sorted;                    /* [n_max] */
    /* of the pass being run: */
    const wn_evict_rule *rule;
    wn_key_loss *loss;
    float *out;
    wn_status status;
    wn_error *err;
};

#endif
