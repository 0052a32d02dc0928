/* Packing of blocks into panels, and reading a row back, in plain C: once per load, and for the
 * embedding of a token. The layouts are in packed_weights.h. */
#include "kernels/packed_weights.h"

#include <string.h>

#include "kernels/dequant_block.h"

/* Groups of one row of a type: u of 32 columns. */
static void read_low_nibbles(const uint8_t *q, uint8_t u[WN_GROUP])
{
    for (int i = 0; i < 16; i++) {
        u[i] = q[i] & 15;
        u[i + 16] = q[i] >> 4;
    }
}

static void read_k_group(const uint8_t *q, size_t group, uint8_t u[WN_GROUP])
{
    for (size_t i = 0; i < WN_GROUP; i++)
        u[i] = group % 2 ? q[32 * (group / 2) + i] >> 4 : q[32 * (group / 2) + i] & 15;
}

static void read_q6_group(const uint8_t *b, size_t group, uint8_t u[WN_GROUP])
{
    const size_t half = group / 4, part = group % 4;
    const uint8_t *low = b + 64 * half + 32 * (part % 2), *high = b + 128 + 32 * half;
    for (size_t i = 0; i < WN_GROUP; i++) {
        const int four = part < 2 ? low[i] & 15 : low[i] >> 4;
        u[i] = (uint8_t)(four | ((high[i] >> (2 * part)) & 3) << 4);
    }
}

/* u of columns 32 group .. + 31 of a row of blocks. */
static void read_group(wn_dtype type, const uint8_t *row, size_t group, uint8_t u[WN_GROUP])
{
    const size_t per_block = wn_dtype_block_elements(type) / WN_GROUP;
    const uint8_t *b = row + group / per_block * wn_dtype_block_bytes(type);
    group %= per_block;
    if (type == WN_DTYPE_Q8_0) {
        for (size_t i = 0; i < WN_GROUP; i++)
            u[i] = b[2 + i] ^ 0x80; /* i8 + 128 */
    } else if (type == WN_DTYPE_Q4_0) {
        read_low_nibbles(b + 2, u);
    } else if (type == WN_DTYPE_Q4_1) {
        read_low_nibbles(b + 4, u);
    } else if (type == WN_DTYPE_Q4_K) {
        read_k_group(b + 16, group, u);
    } else if (type == WN_DTYPE_Q5_K) {
        read_k_group(b + 48, group, u);
        for (size_t i = 0; i < WN_GROUP; i++)
            u[i] |= (uint8_t)((b[16 + i] >> group & 1) << 4);
    } else {
        read_q6_group(b, group, u);
    }
}

/* Where column k (0 .. 31) of a row lies in its group. */
typedef struct place {
    size_t quad, odd, word; /* word: index among the 32 words of a vector of 64 bytes */
} place;

static place place_of(size_t row, size_t k)
{
    return (place){k / 4, k % 2, 2 * row + k % 4 / 2};
}

static unsigned get_word(const uint8_t *vector, size_t word)
{
    return wn_load_u16(vector + 2 * word);
}

static unsigned nibble_shift(place p)
{
    return (unsigned)(8 * p.odd + 4 * (p.quad % 2));
}

/* A lane is the 4 bytes of a row in a vector: columns 0-3 of a quad in order. */
static void or_lane(uint8_t *vector, size_t row, uint32_t bits)
{
    bits |= wn_load_u32(vector + 4 * row);
    memcpy(vector + 4 * row, &bits, sizeof bits);
}

static void put_group(wn_dtype type, const uint8_t u[WN_GROUP], size_t row, uint8_t *group)
{
    for (unsigned quad = 0; quad < 8; quad++) {
        const uint32_t lane = wn_load_u32(u + 4 * quad);
        if (type == WN_DTYPE_Q8_0) {
            or_lane(group + 64 * quad, row, lane);
            continue;
        }
        or_lane(group + quad / 2 * 64, row, (lane & 0x0f0f0f0fu) << (4 * (quad % 2)));
        const uint32_t even = lane >> 4 & 0x00030003u, odd = lane >> 12 & 0x00030003u;
        if (type == WN_DTYPE_Q5_K)
            or_lane(group + 256, row, (even | odd << 1) << (2 * quad));
        if (type == WN_DTYPE_Q6_K) {
            or_lane(group + 256, row, even << (2 * quad));
            or_lane(group + 256 + 64, row, odd << (2 * quad));
        }
    }
}

static unsigned get_u(wn_dtype type, const uint8_t *group, size_t row, size_t k)
{
    const place p = place_of(row, k);
    if (type == WN_DTYPE_Q8_0)
        return get_word(group + 64 * p.quad, p.word) >> (8 * p.odd) & 255;
    unsigned u = get_word(group + p.quad / 2 * 64, p.word) >> nibble_shift(p) & 15;
    if (type == WN_DTYPE_Q5_K)
        u |= (get_word(group + 256, p.word) >> (2 * p.quad + p.odd) & 1) << 4;
    if (type == WN_DTYPE_Q6_K)
        u |= (get_word(group + 256 + 64 * p.odd, p.word) >> (2 * p.quad) & 3) << 4;
    return u;
}

/* The scales of one block into its record. */
static void put_record(wn_dtype type, const uint8_t *b, size_t row, uint8_t *record)
{
    if (type == WN_DTYPE_Q6_K) {
        memcpy(record + 2 * row, b + 208, 2);
        for (size_t i = 0; i < 16; i++)
            record[32 + 16 * i + row] = b[192 + i];
        return;
    }
    memcpy(record + 2 * row, b, 2);
    if (type == WN_DTYPE_Q8_0 || type == WN_DTYPE_Q4_0)
        return;
    memcpy(record + 32 + 2 * row, b + 2, 2);
    if (type == WN_DTYPE_Q4_1)
        return;
    uint64_t scales = 0, mins = 0;
    wn_kquant_scale_bytes(b, &scales, &mins);
    for (size_t i = 0; i < 8; i++) {
        record[64 + 16 * i + row] = (uint8_t)(scales >> (8 * i));
        record[192 + 16 * i + row] = (uint8_t)(mins >> (8 * i));
    }
}

void wn_panel_pack(wn_dtype type, const uint8_t *rows, size_t row_bytes, size_t n_rows, size_t n_in,
                   uint8_t *panel)
{
    const wn_packed_format f = wn_packed_format_of(type);
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *row = rows + r * row_bytes;
        for (size_t g = 0; g < n_in / WN_GROUP; g++) {
            uint8_t u[WN_GROUP];
            read_group(type, row, g, u);
            put_group(type, u, r, panel + wn_panel_group(f, g * WN_GROUP));
        }
        for (size_t i = 0; i < n_in / f.scale_step; i++)
            put_record(type, row + i * wn_dtype_block_bytes(type), r,
                       panel + wn_panel_record(f, n_in, i * f.scale_step));
    }
}

/* Scale (times u - offset) and min (subtracted) of 16 columns, in the order of operations of
 * dequant_block.h, so that the values have the same bits. */
static void read_scale(wn_dtype type, const uint8_t *record, size_t row, size_t sixteenth,
                       float *scale, float *min)
{
    const float d = wn_f16_to_f32(wn_load_u16(record + 2 * row));
    *scale = d;
    *min = 0;
    if (type == WN_DTYPE_Q4_1) {
        *min = -wn_f16_to_f32(wn_load_u16(record + 32 + 2 * row));
    } else if (type == WN_DTYPE_Q4_K || type == WN_DTYPE_Q5_K) {
        const size_t at = 16 * (sixteenth / 2) + row;
        *scale = d * (float)record[64 + at];
        *min = wn_f16_to_f32(wn_load_u16(record + 32 + 2 * row)) * (float)record[192 + at];
    } else if (type == WN_DTYPE_Q6_K) {
        *scale = d * (float)(int8_t)record[32 + 16 * sixteenth + row];
    }
}

void wn_panel_row(wn_dtype type, const uint8_t *panel, size_t row, size_t n_in, float *out)
{
    const wn_packed_format f = wn_packed_format_of(type);
    for (size_t k = 0; k < n_in; k += 16) {
        float scale = 0, min = 0;
        read_scale(type, panel + wn_panel_record(f, n_in, k), row, k % f.scale_step / 16, &scale,
                   &min);
        const uint8_t *group = panel + wn_panel_group(f, k);
        for (size_t i = 0; i < 16; i++) {
            const float q = (float)((int)get_u(type, group, row, (k + i) % WN_GROUP) - f.offset);
            out[k + i] = f.has_min ? scale * q - min : scale * q;
        }
    }
}
