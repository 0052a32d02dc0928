/* Element types of tensors, and the geometry of the block-quantised ones (ggml's formats). */
#ifndef WN_BASE_DTYPE_H
#define WN_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

/* name, elements per block, bytes per block */
#define WN_DTYPE_TABLE(X)                                                                          \
    X(F32, 1, 4)                                                                                   \
    X(F16, 1, 2)                                                                                   \
    X(BF16, 1, 2)                                                                                  \
    X(Q8_0, 32, 34)                                                                                \
    X(Q4_0, 32, 18)                                                                                \
    X(Q4_1, 32, 20)                                                                                \
    X(Q4_K, 256, 144)                                                                              \
    X(Q5_K, 256, 176)                                                                              \
    X(Q6_K, 256, 210)                                                                              \
    X(I32, 1, 4)                                                                                   \
    X(I64, 1, 8)

typedef enum wn_dtype {
#define WN_DTYPE_ENUM(name, elements, bytes) WN_DTYPE_##name,
    WN_DTYPE_TABLE(WN_DTYPE_ENUM)
#undef WN_DTYPE_ENUM
        WN_DTYPE_COUNT
} wn_dtype;

const char *wn_dtype_name(wn_dtype t);      /* "Q4_K" */
size_t wn_dtype_block_elements(wn_dtype t); /* 256 */
size_t wn_dtype_block_bytes(wn_dtype t);    /* 144 */
/* Bytes of n elements in *out; false if n is no multiple of the block or the size overflows. */
bool wn_dtype_bytes(wn_dtype t, size_t n, size_t *out);

/* One tensor inside a mapped file. Row-major, outermost dimension first: a weight of a linear layer
 * is [n_out, n_in] (GGUF writes the reverse order; its reader turns it round). */
#define WN_TENSOR_MAX_DIMS 4
typedef struct wn_tensor {
    const char *name; /* owned by the file object */
    wn_dtype dtype;
    int n_dims;
    size_t shape[WN_TENSOR_MAX_DIMS];
    const void *data; /* inside the map; alignment is whatever the file gives */
    size_t bytes;
} wn_tensor;

#endif
