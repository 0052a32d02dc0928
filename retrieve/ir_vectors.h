/* Vectors of a test collection, computed once: a file keeps them, keyed by embedder and texts. */
#ifndef WN_RETRIEVE_IR_VECTORS_H
#define WN_RETRIEVE_IR_VECTORS_H

#include "base/callbacks.h"
#include "retrieve/embedder.h"
#include "retrieve/ir_dataset.h"

typedef struct wn_ir_vectors {
    size_t dim;
    float *documents; /* [n_documents][dim], of "title text" */
    float *queries;   /* [n_queries][dim] */
} wn_ir_vectors;

/* cache: a file to read if it fits, and to write otherwise; NULL = none. progress counts texts. */
wn_status wn_ir_vectors_make(wn_ir_vectors *out, const wn_ir_dataset *set, wn_embedder *e,
                             const char *cache, wn_progress_fn progress, void *progress_ctx,
                             wn_error *err);
void wn_ir_vectors_free(wn_ir_vectors *v);

#endif
