/* The tensor descriptions of a GGUF file and where their data lies. */
#include <string.h>

#include "base/checked.h"
#include "base/gguf_internal.h"

#define DEFAULT_ALIGNMENT 32

/* Numbers of ggml's types. Those that winnow computes with carry their wn_dtype; the others are
 * here so that the refusal can name them. */
static const struct {
    uint32_t number;
    int dtype; /* wn_dtype or -1 */
    const char *name;
} ggml_types[] = {
    {0, WN_DTYPE_F32, "F32"},
    {1, WN_DTYPE_F16, "F16"},
    {2, WN_DTYPE_Q4_0, "Q4_0"},
    {3, WN_DTYPE_Q4_1, "Q4_1"},
    {6, -1, "Q5_0"},
    {7, -1, "Q5_1"},
    {8, WN_DTYPE_Q8_0, "Q8_0"},
    {9, -1, "Q8_1"},
    {10, -1, "Q2_K"},
    {11, -1, "Q3_K"},
    {12, WN_DTYPE_Q4_K, "Q4_K"},
    {13, WN_DTYPE_Q5_K, "Q5_K"},
    {14, WN_DTYPE_Q6_K, "Q6_K"},
    {15, -1, "Q8_K"},
    {16, -1, "IQ2_XXS"},
    {17, -1, "IQ2_XS"},
    {18, -1, "IQ3_XXS"},
    {19, -1, "IQ1_S"},
    {20, -1, "IQ4_NL"},
    {21, -1, "IQ3_S"},
    {22, -1, "IQ2_S"},
    {23, -1, "IQ4_XS"},
    {24, -1, "I8"},
    {25, -1, "I16"},
    {26, WN_DTYPE_I32, "I32"},
    {27, WN_DTYPE_I64, "I64"},
    {28, -1, "F64"},
    {29, -1, "IQ1_M"},
    {30, WN_DTYPE_BF16, "BF16"},
    {34, -1, "TQ1_0"},
    {35, -1, "TQ2_0"},
    {39, -1, "MXFP4"},
};

static wn_status dtype_of(gguf_cursor *c, const char *tensor, uint32_t number, wn_dtype *out)
{
    const char *name = "unknown";
    for (size_t i = 0; i < sizeof ggml_types / sizeof ggml_types[0]; i++) {
        if (ggml_types[i].number != number)
            continue;
        name = ggml_types[i].name;
        if (ggml_types[i].dtype >= 0) {
            *out = (wn_dtype)ggml_types[i].dtype;
            return WN_OK;
        }
    }
    return wn_error_set(c->err, WN_UNSUPPORTED, "%s: tensor %s: type %s (%u) is not supported",
                        c->g->path, tensor, name, number);
}

/* The file lists the innermost dimension first; wn_tensor has it last. */
static wn_status take_shape(gguf_cursor *c, wn_tensor *t)
{
    uint32_t n_dims = 0;
    WN_TRY(wn_gguf_take_u32(c, t->name, &n_dims));
    if (n_dims < 1 || n_dims > WN_TENSOR_MAX_DIMS)
        return wn_error_set(c->err, WN_FORMAT,
                            "%s: tensor %s: %u dimensions (1 to %d are possible)", c->g->path,
                            t->name, n_dims, WN_TENSOR_MAX_DIMS);
    t->n_dims = (int)n_dims;
    for (uint32_t i = 0; i < n_dims; i++) {
        uint64_t d = 0;
        WN_TRY(wn_gguf_take_u64(c, t->name, &d));
        if (d == 0 || d > SIZE_MAX)
            return wn_error_set(c->err, WN_FORMAT, "%s: tensor %s: dimension %u is %llu",
                                c->g->path, t->name, i, (unsigned long long)d);
        t->shape[n_dims - 1 - i] = (size_t)d;
    }
    return WN_OK;
}

/* Rows are whole blocks, and the product does not overflow. */
static wn_status set_bytes(gguf_cursor *c, wn_tensor *t)
{
    size_t bytes = 0;
    bool ok = wn_dtype_bytes(t->dtype, t->shape[t->n_dims - 1], &bytes);
    for (int i = 0; ok && i < t->n_dims - 1; i++)
        ok = wn_size_mul(bytes, t->shape[i], &bytes);
    if (!ok)
        return wn_error_set(c->err, WN_FORMAT, "%s: tensor %s: rows of %zu do not suit type %s",
                            c->g->path, t->name, t->shape[t->n_dims - 1], wn_dtype_name(t->dtype));
    t->bytes = bytes;
    return WN_OK;
}

static wn_status take_tensor(gguf_cursor *c, wn_tensor *t, uint64_t *offset)
{
    uint32_t type = 0;
    WN_TRY(wn_gguf_take_name(c, "a tensor's name", &t->name));
    WN_TRY(take_shape(c, t));
    WN_TRY(wn_gguf_take_u32(c, t->name, &type));
    WN_TRY(dtype_of(c, t->name, type, &t->dtype));
    WN_TRY(wn_gguf_take_u64(c, t->name, offset));
    return set_bytes(c, t);
}

/* First byte of the data section: the descriptions' end, rounded up to the alignment. */
static wn_status find_data(gguf_cursor *c, size_t *start, size_t *alignment)
{
    uint32_t a = DEFAULT_ALIGNMENT;
    if (wn_gguf_has(c->g, "general.alignment"))
        WN_TRY(wn_gguf_u32(c->g, "general.alignment", &a, c->err));
    if (a == 0 || (a & (a - 1)) != 0)
        return wn_error_set(c->err, WN_FORMAT, "%s: general.alignment is %u, no power of two",
                            c->g->path, a);
    size_t rest = c->pos % a;
    *start = c->pos + (rest ? a - rest : 0);
    *alignment = a;
    return WN_OK;
}

static wn_status place(gguf_cursor *c, wn_tensor *t, size_t start, size_t alignment,
                       uint64_t offset)
{
    size_t room = start < c->g->map.size ? c->g->map.size - start : 0;
    if (offset % alignment != 0)
        return wn_error_set(c->err, WN_FORMAT, "%s: tensor %s: offset %llu is not aligned to %zu",
                            c->g->path, t->name, (unsigned long long)offset, alignment);
    if (offset > room || t->bytes > room - offset)
        return wn_error_set(c->err, WN_FORMAT,
                            "%s: tensor %s: %zu bytes at offset %llu pass the end of the file",
                            c->g->path, t->name, t->bytes, (unsigned long long)offset);
    t->data = c->g->map.data + start + offset;
    return WN_OK;
}

wn_status wn_gguf_take_tensors(gguf_cursor *c, size_t n_tensors)
{
    wn_gguf *g = c->g;
    WN_TRY(wn_tensor_table_init(&g->tensors, n_tensors, g->path, c->err));
    uint64_t *offsets = wn_arena_alloc(g->arena, n_tensors, sizeof *offsets);
    if (!offsets)
        return wn_error_set(c->err, WN_NO_MEMORY, "%s: no memory for %zu tensors", g->path,
                            n_tensors);
    for (size_t i = 0; i < n_tensors; i++)
        WN_TRY(take_tensor(c, &g->tensors.items[i], &offsets[i]));
    size_t start = 0, alignment = 0;
    WN_TRY(find_data(c, &start, &alignment));
    for (size_t i = 0; i < n_tensors; i++)
        WN_TRY(place(c, &g->tensors.items[i], start, alignment, offsets[i]));
    WN_TRY(wn_tensor_table_check_layout(g->tensors.items, n_tensors, g->map.data, g->map.size,
                                        false, g->path, c->err));
    return wn_tensor_table_index(&g->tensors, g->path, c->err);
}

size_t wn_gguf_n_tensors(const wn_gguf *g)
{
    return g->tensors.n;
}

const wn_tensor *wn_gguf_tensor_at(const wn_gguf *g, size_t i)
{
    return i < g->tensors.n ? &g->tensors.items[i] : NULL;
}

const wn_tensor *wn_gguf_tensor(const wn_gguf *g, const char *name)
{
    return wn_tensor_table_find(&g->tensors, name);
}
