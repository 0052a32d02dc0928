/* The two loaders behind wn_dms_heads_open. */
#ifndef WN_GENERATE_DMS_INTERNAL_H
#define WN_GENERATE_DMS_INTERNAL_H

#include "generate/dms_heads.h"

#define WN_DMS_MAX_WINDOW (1 << 28)

/* Both fill an all-zero *h and leave freeing it after a failure to the caller. */
wn_status wn_dms_linear_load(wn_dms_heads *h, const wn_model *m, const char *path, wn_error *err);
/* path: a JSON file or NULL. *found: whether anything says that the model has heads. */
wn_status wn_dms_borrowed_load(wn_dms_heads *h, const wn_model *m, const char *path, bool *found,
                               wn_error *err);

#endif
