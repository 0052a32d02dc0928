/* What a BERT encoder's folder says about itself, checked: config.json, and where present
 * modules.json, 1_Pooling/config.json, sentence_bert_config.json,
 * config_sentence_transformers.json.
 *
 *     wn_bert_config config = {0};
 *     WN_TRY(wn_bert_config_load(&config, dir, err)); // WN_FORMAT / WN_UNSUPPORTED: file and field
 *     printf("%zu layers of %zu\n", config.n_layers, config.d_model);
 *
 * A plain value: no ownership, any thread.
 */
#ifndef WN_RETRIEVE_BERT_CONFIG_H
#define WN_RETRIEVE_BERT_CONFIG_H

#include <stddef.h>

#include "base/status.h"

typedef enum wn_bert_pooling { WN_BERT_POOL_MEAN, WN_BERT_POOL_CLS } wn_bert_pooling;

typedef struct wn_bert_config {
    size_t n_layers, d_model, n_heads, head_dim, d_ff;
    size_t n_vocab, n_positions, n_types;
    float norm_eps;
    wn_bert_pooling pooling; /* mean where no 1_Pooling/config.json says otherwise */
    size_t max_tokens;       /* of one text, [CLS] and [SEP] included; <= n_positions */
    char query_prefix[256];  /* put before a query; "" for most models */
} wn_bert_config;

wn_status wn_bert_config_load(wn_bert_config *out, const char *dir, wn_error *err);

#endif
