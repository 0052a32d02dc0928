/* Reader of safetensors weights: one file, or a folder with model.safetensors or
 * model.safetensors.index.json and its shards.
 *
 *     wn_safetensors *st = NULL;
 *     WN_TRY(wn_safetensors_open(&st, "model_dir", err));
 *     const wn_tensor *w = wn_safetensors_tensor(st, "model.norm.weight");
 *
 * Mapped and validated on open (header length, JSON, dtype, shape x dtype = bytes, offsets inside
 * the file and not overlapping, shard names without path separators). Immutable after open.
 */
#ifndef WN_BASE_SAFETENSORS_H
#define WN_BASE_SAFETENSORS_H

#include <stddef.h>

#include "base/dtype.h"
#include "base/status.h"

typedef struct wn_safetensors wn_safetensors;

wn_status wn_safetensors_open(wn_safetensors **out, const char *path, wn_error *err);
void wn_safetensors_close(wn_safetensors *st);
size_t wn_safetensors_n_tensors(const wn_safetensors *st);
const wn_tensor *wn_safetensors_tensor_at(const wn_safetensors *st, size_t i);
const wn_tensor *wn_safetensors_tensor(const wn_safetensors *st, const char *name); /* or NULL */
/* A string of __metadata__ of the (first) file; NULL when absent. */
const char *wn_safetensors_metadata(const wn_safetensors *st, const char *key);

#endif
