/* The two loaders behind wn_dms_heads_open; where borrowed heads are. */
#ifndef WN_GENERATE_DMS_INTERNAL_H
#define WN_GENERATE_DMS_INTERNAL_H

#include "generate/dms_heads.h"

#define WN_DMS_MAX_WINDOW (1 << 28)

/* The channel of a row of q [n_heads][head_dim] that the borrowed head of a KV head decides in. */
static inline size_t wn_dms_channel(const wn_model_config *c, size_t kv_head)
{
    return (kv_head * (c->n_heads / c->n_kv_heads) + 1) * c->head_dim - 1;
}

/* Both fill an all-zero *h and leave freeing it after a failure to the caller. */
wn_status wn_dms_linear_load(wn_dms_heads *h, const wn_model *m, const char *path, wn_error *err);
/* path: a JSON file or NULL. *found: whether anything says that the model has heads. */
wn_status wn_dms_borrowed_load(wn_dms_heads *h, const wn_model *m, const char *path, bool *found,
                               wn_error *err);

#endif
