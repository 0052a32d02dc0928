/* Block-quantised weights as the integer kernels read them: panels of 16 rows.
 *
 * Every type becomes w = scale * (u - offset) - min with an unsigned u of 4, 5, 6 or 8 bits. A
 * panel holds 16 rows (the last one is filled up with rows of zeros) as blocks of 256 columns (the
 * last may be shorter): the u of its groups of 32 columns, then their scales, so that a product
 * reads one stream. Values and bytes are those of the file, but for the 6-bit scales of Q4_K and
 * Q5_K, which become bytes (+ 2.8 %), and 32 bytes of padding in the scales of Q6_K (+ 1 %).
 *
 * One group, as 16-bit words. A quad is 4 columns; word h of row r (h = 0, 1) belongs to its
 * columns h * 2 ("even") or h * 2 + 1 ("odd"), so that a 32-bit lane is a row and holds two columns
 * that one multiply-add of words sums up. Activations come in the same order: 0, 2, 1, 3 in a quad.
 *     8 bits  [8 quads][16 rows][2 words]  low byte: even, high byte: odd
 *     low 4   [4 pairs of quads][16][2]    nibbles from the lowest: first quad even, second quad
 *                                          even, first odd, second odd
 *     bit 5   [16][2]                      bit 2 * quad + odd
 *     bits 5+6  [2: even, odd][16][2]      bits 2 * quad, 2 * quad + 1
 * Scales of a panel, f16 and bytes:
 *     Q8_0 Q4_0  [groups][16] d                    Q4_1  [groups][2][16] d, m
 *     Q4_K Q5_K  [blocks of 256] { d[16], dmin[16], u8 scale[8][16], u8 min[8][16] }
 *     Q6_K       [blocks of 256] { d[16], i8 scale[16][16] }
 */
#ifndef WN_KERNELS_PACKED_WEIGHTS_H
#define WN_KERNELS_PACKED_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

#define WN_PANEL_ROWS 16
#define WN_GROUP 32 /* columns */

typedef struct wn_packed_format {
    size_t group_bytes;  /* of u, 16 rows of 32 columns */
    size_t scale_step;   /* columns that one record of scales is for: 32 or 256 */
    size_t record_bytes; /* 16 rows */
    int offset;
    bool has_min;
} wn_packed_format;

/* All zeros for a type that is not packed. */
static inline wn_packed_format wn_packed_format_of(wn_dtype type)
{
    switch (type) {
    case WN_DTYPE_Q8_0:
        return (wn_packed_format){512, 32, 32, 128, false};
    case WN_DTYPE_Q4_0:
        return (wn_packed_format){256, 32, 32, 8, false};
    case WN_DTYPE_Q4_1:
        return (wn_packed_format){256, 32, 64, 0, true};
    case WN_DTYPE_Q4_K:
        return (wn_packed_format){256, 256, 320, 0, true};
    case WN_DTYPE_Q5_K:
        return (wn_packed_format){256 + 64, 256, 320, 0, true};
    case WN_DTYPE_Q6_K:
        return (wn_packed_format){256 + 128, 256, 320, 32, false};
    case WN_DTYPE_F32:
    case WN_DTYPE_F16:
    case WN_DTYPE_BF16:
    case WN_DTYPE_I32:
    case WN_DTYPE_I64:
    case WN_DTYPE_COUNT:
        break;
    }
    return (wn_packed_format){0};
}

/* Of u. */
static inline size_t wn_packed_bits(wn_packed_format f)
{
    return f.group_bytes * 8 / (WN_PANEL_ROWS * WN_GROUP);
}

#define WN_BLOCK 256 /* columns */

/* Bytes of a block of n_k <= 256 columns. Whole blocks are multiples of 64. */
static inline size_t wn_block_bytes(wn_packed_format f, size_t n_k)
{
    return n_k / WN_GROUP * f.group_bytes + n_k / f.scale_step * f.record_bytes;
}

/* Bytes of one panel of n_in columns, a multiple of 64. */
static inline size_t wn_panel_bytes(wn_packed_format f, size_t n_in)
{
    return (n_in / WN_BLOCK * wn_block_bytes(f, WN_BLOCK) + wn_block_bytes(f, n_in % WN_BLOCK) +
            63) /
           64 * 64;
}

/* Where the group of column k, and its record of scales, lie in a panel. */
static inline size_t wn_panel_group(wn_packed_format f, size_t k)
{
    return k / WN_BLOCK * wn_block_bytes(f, WN_BLOCK) + k % WN_BLOCK / WN_GROUP * f.group_bytes;
}

static inline size_t wn_panel_record(wn_packed_format f, size_t n_in, size_t k)
{
    const size_t k0 = k / WN_BLOCK * WN_BLOCK, left = n_in - k0;
    return wn_panel_group(f, k0) + (left < WN_BLOCK ? left : WN_BLOCK) / WN_GROUP * f.group_bytes +
           (k - k0) / f.scale_step * f.record_bytes;
}

/* n_rows (<= 16) rows of file blocks, row_bytes apart -> one zeroed panel. */
void wn_panel_pack(wn_dtype type, const uint8_t *rows, size_t row_bytes, size_t n_rows, size_t n_in,
                   uint8_t *panel);
/* Row 0 .. 15 of a panel as f32 [n_in]: the same bits as wn_dequantize of the file's blocks. */
void wn_panel_row(wn_dtype type, const uint8_t *panel, size_t row, size_t n_in, float *out);

#endif
