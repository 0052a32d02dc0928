#include <assert.h>

#include "base/checked.h"
#include "kernels/compute.h"
#include "kernels/compute_internal.h"
#include "kernels/dequant_block.h"

void wn_dequantize(wn_dtype type, const void *src, float *dst, size_t n)
{
    assert(wn_dtype_is_weight(type) && n % wn_dtype_block_elements(type) == 0);
    if (n > 0)
        wn_dequant_run(type, src, dst, n);
}

bool wn_dtype_is_weight(wn_dtype type)
{
    return (unsigned)type < (unsigned)WN_DTYPE_COUNT && type != WN_DTYPE_I32 &&
           type != WN_DTYPE_I64;
}

/* Elements of t in *n; the declared bytes must agree with shape and type. */
static wn_status count_elements(const wn_tensor *t, size_t *n, wn_error *err)
{
    const char *name = t->name ? t->name : "?";
    if (!wn_dtype_is_weight(t->dtype))
        return wn_error_set(err, WN_UNSUPPORTED, "tensor %s: type %s cannot be made f32", name,
                            wn_dtype_name(t->dtype));
    if (t->n_dims < 0 || t->n_dims > WN_TENSOR_MAX_DIMS)
        return wn_error_set(err, WN_FORMAT, "tensor %s: %d dimensions", name, t->n_dims);
    *n = 1;
    for (int i = 0; i < t->n_dims; i++)
        if (!wn_size_mul(*n, t->shape[i], n))
            return wn_error_set(err, WN_FORMAT, "tensor %s: shape overflows", name);
    size_t bytes = 0;
    if (!wn_dtype_bytes(t->dtype, *n, &bytes))
        return wn_error_set(err, WN_FORMAT, "tensor %s: %zu elements are no whole %s blocks", name,
                            *n, wn_dtype_name(t->dtype));
    if (bytes != t->bytes)
        return wn_error_set(err, WN_FORMAT, "tensor %s: %zu bytes, its shape needs %zu", name,
                            t->bytes, bytes);
    return WN_OK;
}

wn_status wn_tensor_to_f32(float **out, const wn_tensor *t, wn_error *err)
{
    size_t n = 0;
    WN_TRY(count_elements(t, &n, err));
    float *values = wn_alloc(n, sizeof *values);
    if (!values)
        return wn_error_set(err, WN_NO_MEMORY, "tensor %s: %zu f32 values do not fit in memory",
                            t->name ? t->name : "?", n);
    wn_dequantize(t->dtype, t->data, values, n);
    *out = values;
    return WN_OK;
}
