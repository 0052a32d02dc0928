/* The tensors of one model file (or of all shards), found by name. Used by the readers of GGUF and
 * safetensors; what it checks holds for both.
 *
 *     wn_tensor_table t = {0};
 *     WN_TRY(wn_tensor_table_init(&t, n, path, err));   // room for n tensors
 *     t.items[i] = ...;                                 // fill all n
 *     WN_TRY(wn_tensor_table_index(&t, path, err));     // names unique, then look-ups work
 *
 * Names are borrowed. Immutable after wn_tensor_table_index.
 */
#ifndef WN_BASE_TENSOR_TABLE_H
#define WN_BASE_TENSOR_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"
#include "base/status.h"

typedef struct wn_tensor_table {
    wn_tensor *items; /* sorted by name after wn_tensor_table_index */
    size_t n;
} wn_tensor_table;

wn_status wn_tensor_table_init(wn_tensor_table *t, size_t n, const char *path, wn_error *err);
void wn_tensor_table_free(wn_tensor_table *t); /* back to {0} */

/* Sorts by name; WN_FORMAT when two tensors share one. `path` stands in the error's text. */
wn_status wn_tensor_table_index(wn_tensor_table *t, const char *path, wn_error *err);
/* The n tensors of one file: WN_FORMAT when the data of two overlap (sorts items by address); with
 * `dense` also when bytes of [data, data + size) belong to no tensor. Call before indexing. */
wn_status wn_tensor_table_check_layout(wn_tensor *items, size_t n, const void *data, size_t size,
                                       bool dense, const char *path, wn_error *err);
const wn_tensor *wn_tensor_table_find(const wn_tensor_table *t, const char *name); /* or NULL */

/* Names from a file end up in error texts and logs: UTF-8, not empty, no control characters. */
bool wn_tensor_name_valid(const char *name, size_t len);

#endif
