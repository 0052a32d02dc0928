#include "kernels/kv_page.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/dequant_block.h"

static const struct {
    const char *name;
    size_t bytes; /* of an element */
} formats[] = {
    [WN_KV_AUTO] = {"auto", 0},
    [WN_KV_F32] = {"f32", 4},
    [WN_KV_BF16] = {"bf16", 2},
    [WN_KV_INT8] = {"int8", 1},
};

const char *wn_kv_format_name(wn_kv_format f)
{
    return formats[f].name;
}

bool wn_kv_format_parse(const char *name, wn_kv_format *out)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (!strcmp(name, formats[i].name)) {
            *out = (wn_kv_format)i;
            return true;
        }
    return false;
}

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

wn_kv_layout wn_kv_layout_of(wn_kv_format format, size_t head_dim)
{
    assert(format != WN_KV_AUTO);
    const size_t scales = format == WN_KV_INT8 ? WN_KV_SLOTS * WN_KV_SCALE_BYTES : 0;
    wn_kv_layout l = {.format = format, .head_dim = head_dim};
    l.row_bytes = head_dim * formats[format].bytes;
    l.v_at = whole_lines(WN_KV_SLOTS * l.row_bytes);
    l.k_scales_at = 2 * l.v_at;
    l.v_scales_at = l.k_scales_at + scales;
    l.page_bytes = l.v_scales_at + scales;
    return l;
}

static uint16_t round_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static void write_bf16(const float *x, size_t n, uint8_t *row)
{
    for (size_t i = 0; i < n; i++) {
        const uint16_t h = round_bf16(x[i]);
        memcpy(row + 2 * i, &h, sizeof h);
    }
}

/* The smallest bf16 scale with which 127 reaches the largest value; rows are rounded with what is
 * stored. */
static void write_int8(const float *x, size_t n, uint8_t *row, uint8_t *scale_at)
{
    float top = 0;
    for (size_t i = 0; i < n; i++)
        top = fmaxf(top, fabsf(x[i]));
    float scale = top / 127.0f;
    uint32_t scale_bits;
    memcpy(&scale_bits, &scale, sizeof scale_bits);
    const uint16_t half = (uint16_t)((scale_bits + 0xffffu) >> 16);
    wn_dequant_bf16((const uint8_t *)&half, &scale, 1);
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    for (size_t i = 0; i < n; i++) {
        /* 1.5 * 2^23 leaves the nearest whole number in the low bits. */
        const float shifted = x[i] * inverse + 12582912.0f;
        uint32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        row[i] = (uint8_t)bits;
    }
    memcpy(scale_at, &half, sizeof half);
}

static void write_row(const wn_kv_layout *l, const float *x, uint8_t *rows, uint8_t *scales,
                      size_t slot)
{
    uint8_t *row = rows + slot * l->row_bytes;
    if (l->format == WN_KV_F32)
        memcpy(row, x, l->row_bytes);
    else if (l->format == WN_KV_BF16)
        write_bf16(x, l->head_dim, row);
    else
        write_int8(x, l->head_dim, row, scales + slot * WN_KV_SCALE_BYTES);
}

void wn_kv_write(const wn_kv_layout *l, uint8_t *page, size_t slot, const float *k, const float *v)
{
    write_row(l, k, page, page + l->k_scales_at, slot);
    write_row(l, v, page + l->v_at, page + l->v_scales_at, slot);
}

static void read_row(const wn_kv_layout *l, const uint8_t *rows, const uint8_t *scales, size_t slot,
                     float *x)
{
    const uint8_t *row = rows + slot * l->row_bytes;
    float scale = 0;
    if (l->format == WN_KV_F32)
        memcpy(x, row, l->row_bytes);
    else if (l->format == WN_KV_BF16)
        wn_dequant_bf16(row, x, l->head_dim);
    else {
        wn_dequant_bf16(scales + slot * WN_KV_SCALE_BYTES, &scale, 1);
        for (size_t i = 0; i < l->head_dim; i++)
            x[i] = scale * (float)(int8_t)row[i];
    }
}

void wn_kv_read(const wn_kv_layout *l, const uint8_t *page, size_t slot, float *k, float *v)
{
    read_row(l, page, page + l->k_scales_at, slot, k);
    read_row(l, page + l->v_at, page + l->v_scales_at, slot, v);
}

void wn_kv_copy(const wn_kv_layout *l, uint8_t *to, size_t to_slot, const uint8_t *from,
                size_t from_slot)
{
    memcpy(to + to_slot * l->row_bytes, from + from_slot * l->row_bytes, l->row_bytes);
    memcpy(to + l->v_at + to_slot * l->row_bytes, from + l->v_at + from_slot * l->row_bytes,
           l->row_bytes);
    if (l->format != WN_KV_INT8)
        return;
    const size_t scale = WN_KV_SCALE_BYTES;
    memcpy(to + l->k_scales_at + to_slot * scale, from + l->k_scales_at + from_slot * scale, scale);
    memcpy(to + l->v_scales_at + to_slot * scale, from + l->v_scales_at + from_slot * scale, scale);
}
