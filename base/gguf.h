/* Reader of GGUF model files (versions 2 and 3, little endian).
 *
 *     wn_gguf *g = NULL;
 *     WN_TRY(wn_gguf_open(&g, "model.gguf", err));
 *     uint32_t n_layers = 0;
 *     WN_TRY(wn_gguf_u32(g, "llama.block_count", &n_layers, err));
 *     const wn_tensor *w = wn_gguf_tensor(g, "blk.0.attn_q.weight");
 *
 * The file is mapped; everything is validated on open (counts and sizes against the bytes left,
 * before anything is allocated; names unique; tensors inside the data section, aligned, not
 * overlapping; types known). Errors name file, key or tensor. Immutable after open: any thread.
 * Source of the format: ggml's docs/gguf.md.
 */
#ifndef WN_BASE_GGUF_H
#define WN_BASE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"

typedef struct wn_gguf wn_gguf;

typedef struct wn_gguf_string {
    const char *data; /* inside the map, not NUL-terminated */
    size_t len;       /* bytes */
} wn_gguf_string;

wn_status wn_gguf_open(wn_gguf **out, const char *path, wn_error *err);
void wn_gguf_close(wn_gguf *g);
const char *wn_gguf_path(const wn_gguf *g);

bool wn_gguf_has(const wn_gguf *g, const char *key);
/* Scalars: any integer type that holds the value is accepted. WN_NOT_FOUND when absent, WN_FORMAT
 * when the type or range is wrong; *out untouched then. */
wn_status wn_gguf_u32(const wn_gguf *g, const char *key, uint32_t *out, wn_error *err);
wn_status wn_gguf_f32(const wn_gguf *g, const char *key, float *out, wn_error *err);
wn_status wn_gguf_bool(const wn_gguf *g, const char *key, bool *out, wn_error *err);
wn_status wn_gguf_str(const wn_gguf *g, const char *key, wn_gguf_string *out, wn_error *err);
/* Arrays: length, then elements. Strings are found in O(1) (offsets are indexed on open). */
wn_status wn_gguf_array_len(const wn_gguf *g, const char *key, size_t *out, wn_error *err);
wn_status wn_gguf_array_str(const wn_gguf *g, const char *key, size_t i, wn_gguf_string *out,
                            wn_error *err);
wn_status wn_gguf_array_i32(const wn_gguf *g, const char *key, size_t i, int32_t *out,
                            wn_error *err);
wn_status wn_gguf_array_f32(const wn_gguf *g, const char *key, size_t i, float *out, wn_error *err);

size_t wn_gguf_n_tensors(const wn_gguf *g);
const wn_tensor *wn_gguf_tensor_at(const wn_gguf *g, size_t i);
const wn_tensor *wn_gguf_tensor(const wn_gguf *g, const char *name); /* NULL when absent */

#endif
