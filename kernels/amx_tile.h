/* AMX tiles: eight registers of 16 rows of 64 bytes, all of the full shape, between amx_begin and
 * amx_end of one thread. Tile numbers are constants.
 *
 *     amx_begin();
 *     amx_zero(0);
 *     amx_load(4, a, 64);        // rows 64 bytes apart: [16 rows][16 pairs][2] bf16
 *     amx_load_once(6, b, 64);   // [16 pairs][16 columns][2] bf16; does not stay in L1
 *     amx_dot_bf16(0, 4, 6);     // tile 0 [16 rows][16 columns] f32 += a b
 *     amx_store(0, c, 64);
 *     amx_end();                 // never keep tiles over a call that may block
 *
 * Without the AMX flags the same names are an emulation in plain C, so that tests and sanitizers
 * run the same kernels on any machine. It follows the published definition of the instructions bit
 * by bit: even and odd columns are summed apart, from 0, by fused multiply-adds to nearest even,
 * then added to each other and to the tile; denormals count as 0 in and out. Not modelled: shapes
 * other than 16 x 64, bits of NaNs, whether a result is denormal before or after it is rounded.
 * Tiles used outside begin .. end (an invalid instruction on hardware) fail an assertion.
 */
#ifndef WN_KERNELS_AMX_TILE_H
#define WN_KERNELS_AMX_TILE_H

#include <stddef.h>
#include <stdint.h>

enum { AMX_ROWS = 16, AMX_ROW_BYTES = 64 };

#if defined(__AMX_TILE__) || defined(__AMXTILE__) /* gcc and later clang; clang 14 */
#define AMX_HARDWARE

#include <immintrin.h>

/* The operand of LDTILECFG. Constant memory: compilers believe that the instruction reads its first
 * bytes only, and would leave out the stores to a local one. */
typedef struct amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_config;

_Alignas(64) static const amx_config amx_full_tiles = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

/* Nor do they know that tiles read and write memory: ordinary accesses stay on their side. */
#define AMX_ORDERED(operation)                                                                     \
    do {                                                                                           \
        __asm__ volatile("" ::: "memory");                                                         \
        operation;                                                                                 \
        __asm__ volatile("" ::: "memory");                                                         \
    } while (0)

#define amx_begin() AMX_ORDERED(_tile_loadconfig(&amx_full_tiles))
#define amx_end() AMX_ORDERED(_tile_release())
#define amx_zero(tile) _tile_zero(tile)
#define amx_load(tile, from, stride) AMX_ORDERED(_tile_loadd(tile, from, stride))
#define amx_load_once(tile, from, stride) AMX_ORDERED(_tile_stream_loadd(tile, from, stride))
#define amx_store(tile, to, stride) AMX_ORDERED(_tile_stored(tile, to, stride))
#define amx_dot_bf16(sum, a, b) _tile_dpbf16ps(sum, a, b)

#else

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct amx_emulated_tiles {
    _Bool begun;
    uint8_t tile[8][AMX_ROWS][AMX_ROW_BYTES];
} amx_emulated_tiles;

static _Thread_local amx_emulated_tiles amx_tiles;

static inline void amx_begin(void)
{
    memset(&amx_tiles, 0, sizeof amx_tiles);
    amx_tiles.begun = 1;
}

static inline void amx_end(void)
{
    assert(amx_tiles.begun);
    memset(&amx_tiles, 0xff, sizeof amx_tiles); /* NaN to whoever reads on */
    amx_tiles.begun = 0;
}

static inline void amx_zero(int tile)
{
    assert(amx_tiles.begun);
    memset(amx_tiles.tile[tile], 0, sizeof amx_tiles.tile[tile]);
}

static inline void amx_load(int tile, const void *from, size_t stride)
{
    assert(amx_tiles.begun);
    for (size_t r = 0; r < AMX_ROWS; r++)
        memcpy(amx_tiles.tile[tile][r], (const uint8_t *)from + r * stride, AMX_ROW_BYTES);
}

#define amx_load_once amx_load

static inline void amx_store(int tile, void *to, size_t stride)
{
    assert(amx_tiles.begun);
    for (size_t r = 0; r < AMX_ROWS; r++)
        memcpy((uint8_t *)to + r * stride, amx_tiles.tile[tile][r], AMX_ROW_BYTES);
}

/* The number that has these bits; 0 with its sign for a denormal. */
static inline float amx_from_bits(uint32_t bits)
{
    float x;
    bits = bits & 0x7f800000u ? bits : bits & 0x80000000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float amx_flush(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return amx_from_bits(bits);
}

static inline void amx_dot_row(const uint16_t *a, const uint8_t (*b)[AMX_ROW_BYTES], float *sum)
{
    float parts[32] = {0}; /* even and odd columns of each of 16 */
    for (size_t k = 0; k < AMX_ROWS; k++) {
        uint16_t pairs[32];
        memcpy(pairs, b[k], sizeof pairs);
        const float even = amx_from_bits((uint32_t)a[2 * k] << 16);
        const float odd = amx_from_bits((uint32_t)a[2 * k + 1] << 16);
        for (size_t i = 0; i < 32; i++)
            parts[i] = amx_flush(
                fmaf(i % 2 ? odd : even, amx_from_bits((uint32_t)pairs[i] << 16), parts[i]));
    }
    for (size_t i = 0; i < 16; i++)
        sum[i] = amx_flush(amx_flush(sum[i]) + amx_flush(parts[2 * i] + parts[2 * i + 1]));
}

static inline void amx_dot_bf16(int sum, int a, int b)
{
    assert(amx_tiles.begun);
    for (size_t r = 0; r < AMX_ROWS; r++) {
        uint16_t row[32];
        float total[16];
        memcpy(row, amx_tiles.tile[a][r], sizeof row);
        memcpy(total, amx_tiles.tile[sum][r], sizeof total);
        amx_dot_row(row, amx_tiles.tile[b], total);
        memcpy(amx_tiles.tile[sum][r], total, sizeof total);
    }
}

#endif
#endif
