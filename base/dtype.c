#include "base/dtype.h"

#include "base/checked.h"

typedef struct dtype_geometry {
    const char *name;
    size_t elements, bytes;
} dtype_geometry;

static const dtype_geometry geometry[WN_DTYPE_COUNT] = {
#define WN_DTYPE_ROW(name, elements, bytes) [WN_DTYPE_##name] = {#name, elements, bytes},
    WN_DTYPE_TABLE(WN_DTYPE_ROW)
#undef WN_DTYPE_ROW
};

static bool is_known(wn_dtype t)
{
    return (unsigned)t < (unsigned)WN_DTYPE_COUNT;
}

const char *wn_dtype_name(wn_dtype t)
{
    return is_known(t) ? geometry[t].name : "unknown";
}

size_t wn_dtype_block_elements(wn_dtype t)
{
    return is_known(t) ? geometry[t].elements : 0;
}

size_t wn_dtype_block_bytes(wn_dtype t)
{
    return is_known(t) ? geometry[t].bytes : 0;
}

bool wn_dtype_bytes(wn_dtype t, size_t n, size_t *out)
{
    if (!is_known(t) || n % geometry[t].elements != 0)
        return false;
    return wn_size_mul(n / geometry[t].elements, geometry[t].bytes, out);
}
