/* Packed weights (packed_weights.h) in registers: 16-bit words and scales of LANES rows. */
#ifndef WN_KERNELS_SIMD_PACKED_H
#define WN_KERNELS_SIMD_PACKED_H

#include "kernels/simd.h"
#ifdef WN_LANES

#include "kernels/dequant_block.h"
#include "kernels/packed_weights.h"

#define WN_PANEL_HALVES (WN_PANEL_ROWS / WN_LANES) /* vectors that the rows of a panel fill */

/* The bit fields of `bits` at `shift` (0 .. 14), moved to bits 4 and up. */
#define FIELD_AT_4(bits, shift, mask)                                                              \
    vi_and((shift) >= 4 ? vi_shift_right16(bits, (shift) >= 4 ? (shift)-4 : 0)                     \
                        : vi_shift_left16(bits, (shift) < 4 ? 4 - (shift) : 0),                    \
           (mask)*0x10001)
#define ODD_BYTES ((int)0xff00ff00u)

/* u of quads 2 i and 2 i + 1 of a group: even, odd, even, odd. `group` points at the first byte of
 * the LANES rows; type and i are constants. */
WN_INLINE void unpack_quads(const wn_dtype type, const uint8_t *group, const int i, vi w[4])
{
    if (type == WN_DTYPE_Q8_0) {
        const vi a = vi_load(group + 128 * i), b = vi_load(group + 128 * i + 64);
        w[0] = vi_and(a, 0x00ff00ff);
        w[1] = vi_shift_right16(a, 8);
        w[2] = vi_and(b, 0x00ff00ff);
        w[3] = vi_shift_right16(b, 8);
        return;
    }
    const vi v = vi_load(group + 64 * i);
    w[0] = vi_and(v, 0x000f000f);
    w[1] = vi_and(vi_shift_right16(v, 8), 0x000f000f);
    w[2] = vi_and(vi_shift_right16(v, 4), 0x000f000f);
    w[3] = vi_shift_right16(v, 12);
    if (type == WN_DTYPE_Q5_K) {
        const vi high = vi_load(group + 256);
        w[0] = vi_or(w[0], FIELD_AT_4(high, 4 * i, 0x10));
        w[1] = vi_or(w[1], FIELD_AT_4(high, 4 * i + 1, 0x10));
        w[2] = vi_or(w[2], FIELD_AT_4(high, 4 * i + 2, 0x10));
        w[3] = vi_or(w[3], FIELD_AT_4(high, 4 * i + 3, 0x10));
    } else if (type == WN_DTYPE_Q6_K) {
        const vi even = vi_load(group + 256), odd = vi_load(group + 256 + 64);
        w[0] = vi_or(w[0], FIELD_AT_4(even, 4 * i, 0x30));
        w[1] = vi_or(w[1], FIELD_AT_4(odd, 4 * i, 0x30));
        w[2] = vi_or(w[2], FIELD_AT_4(even, 4 * i + 2, 0x30));
        w[3] = vi_or(w[3], FIELD_AT_4(odd, 4 * i + 2, 0x30));
    }
}

/* Bits 5 (and 6) of quads 4 half .. 4 half + 3 of a group: in each byte, as unpack_bytes has them,
 * at bits 2 * (quad % 4). With Q5_K others lie between them. */
WN_INLINE vi high_bits(const wn_dtype type, const uint8_t *group, const int half)
{
    const vi v = vi_load(group + 256);
    if (type == WN_DTYPE_Q5_K)
        return half ? vi_or(vi_shift_right16(v, 8), vi_and(vi_shift_right16(v, 1), ODD_BYTES))
                    : vi_or(vi_and(v, 0x00ff00ff), vi_and(vi_shift_left16(v, 7), ODD_BYTES));
    const vi odd = vi_load(group + 256 + 64);
    return half ? vi_or(vi_shift_right16(v, 8), vi_and(odd, ODD_BYTES))
                : vi_or(vi_and(v, 0x00ff00ff), vi_shift_left16(odd, 8));
}

/* u of quads 2 i and 2 i + 1 as bytes: a lane of b[0] has columns 0, 1, 2, 3 of the first. */
WN_INLINE void unpack_bytes(const wn_dtype type, const uint8_t *group, const int i, vi b[2])
{
    if (type == WN_DTYPE_Q8_0) {
        b[0] = vi_load(group + 128 * i);
        b[1] = vi_load(group + 128 * i + 64);
        return;
    }
    const vi v = vi_load(group + 64 * i);
    b[0] = vi_and(v, 0x0f0f0f0f);
    b[1] = vi_and(vi_shift_right16(v, 4), 0x0f0f0f0f);
    if (type == WN_DTYPE_Q5_K || type == WN_DTYPE_Q6_K) {
        const vi high = high_bits(type, group, i / 2);
        const int mask = type == WN_DTYPE_Q5_K ? 0x1010 : 0x3030, at = 4 * (i % 2);
        b[0] = vi_or(b[0], FIELD_AT_4(high, at, mask));
        b[1] = vi_or(b[1], FIELD_AT_4(high, at + 2, mask));
    }
}

/* Numbers of LANES rows; `record` points at the scales of a block, `lane` is 0 or LANES. */
WN_INLINE vf record_d(const uint8_t *record, size_t lane)
{
    return vf_load_f16(record + 2 * lane);
}
WN_INLINE vf record_min(const uint8_t *record, size_t lane) /* Q4_1: m, Q4_K, Q5_K: dmin */
{
    return vf_load_f16(record + 32 + 2 * lane);
}
WN_INLINE vi record_group_scale(const uint8_t *record, size_t lane, size_t group)
{
    return vi_load_u8(record + 64 + 16 * group + lane);
}
WN_INLINE vi record_group_min(const uint8_t *record, size_t lane, size_t group)
{
    return vi_load_u8(record + 192 + 16 * group + lane);
}
WN_INLINE vi record_sixteenth_scale(const uint8_t *record, size_t lane, size_t sixteenth)
{
    return vi_load_i8(record + 32 + 16 * sixteenth + lane);
}

/* X(type) for every packed type. */
#define WN_PACKED_TYPES(X) X(Q8_0) X(Q4_0) X(Q4_1) X(Q4_K) X(Q5_K) X(Q6_K)

#endif
#endif
