/* Dequantisation of single blocks, in plain C: ggml's formats as written by GGUF files.
 *
 * Everything here is `static inline` because several translation units compile it, each for its own
 * instruction set: the compiler's vectoriser does the rest. The order of the operations is ggml's,
 * without fused multiply-add, so the values equal the `gguf` package's bit for bit.
 * src may have any alignment.
 */
#ifndef WN_KERNELS_DEQUANT_BLOCK_H
#define WN_KERNELS_DEQUANT_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "base/dtype.h"

#define WN_QK 256 /* elements of a K-quant super-block, and the largest block there is */

static inline uint16_t wn_load_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t wn_load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline float wn_float_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float wn_bf16_to_f32(uint16_t h)
{
    return wn_float_from_bits((uint32_t)h << 16);
}

/* IEEE binary16; exact, subnormals, infinities and NaN included. */
static inline float wn_f16_to_f32(uint16_t h)
{
#ifdef __F16C__
    return _cvtsh_ss(h);
#else
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t magnitude = h & 0x7fffu;
    if (magnitude < 0x400) { /* zero or subnormal: m * 2^-24 */
        const float f = (float)magnitude * 0x1p-24f;
        return sign ? -f : f;
    }
    /* Rebias the exponent 15 -> 127; infinity and NaN keep an all-ones exponent, NaN made quiet. */
    uint32_t bits = (magnitude << 13) + ((127u - 15u) << 23);
    if (magnitude >= 0x7c00)
        bits |= 0x7f800000u;
    if (magnitude > 0x7c00)
        bits |= 0x00400000u;
    return wn_float_from_bits(sign | bits);
#endif
}

/* The 6-bit scales and mins of Q4_K and Q5_K, 8 + 8 numbers in 12 bytes after two f16, as bytes:
 * number i is byte i from below. */
static inline void wn_kquant_scale_bytes(const uint8_t *head, uint64_t *scales, uint64_t *mins)
{
    const uint32_t a = wn_load_u32(head + 4);  /* low 6 bits: scales 0-3; high 2: of scales 4-7 */
    const uint32_t b = wn_load_u32(head + 8);  /* the same for the mins */
    const uint32_t c = wn_load_u32(head + 12); /* low 4 bits of scales 4-7 | of mins 4-7 */
    const uint32_t s_high = (c & 0x0f0f0f0fu) | ((a >> 2) & 0x30303030u);
    const uint32_t m_high = ((c >> 4) & 0x0f0f0f0fu) | ((b >> 2) & 0x30303030u);
    *scales = (a & 0x3f3f3f3fu) | (uint64_t)s_high << 32;
    *mins = (b & 0x3f3f3f3fu) | (uint64_t)m_high << 32;
}

/* The same made f32 and multiplied with the block's d and dmin. head: d f16, dmin f16, 12 bytes. */
static inline void wn_kquant_scales(const uint8_t *head, float scale[8], float min[8])
{
    const float d = wn_f16_to_f32(wn_load_u16(head));
    const float dmin = wn_f16_to_f32(wn_load_u16(head + 2));
    uint64_t scales = 0, mins = 0;
    wn_kquant_scale_bytes(head, &scales, &mins);
    for (int i = 0; i < 8; i++) {
        scale[i] = d * (float)(scales >> (8 * i) & 0xff);
        min[i] = dmin * (float)(mins >> (8 * i) & 0xff);
    }
}

/* 32 elements: d f16, 32 x i8. */
static inline void wn_dequant_q8_0(const uint8_t *b, float *y)
{
    const float d = wn_f16_to_f32(wn_load_u16(b));
    for (int i = 0; i < 32; i++)
        y[i] = d * (float)(int8_t)b[2 + i];
}

/* 32 elements: d f16, 16 bytes; low nibbles are elements 0-15, high ones 16-31, offset 8. */
static inline void wn_dequant_q4_0(const uint8_t *b, float *y)
{
    const float d = wn_f16_to_f32(wn_load_u16(b));
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)((b[2 + i] & 15) - 8);
        y[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

/* As Q4_0 with a minimum instead of the offset: d f16, m f16, 16 bytes. */
static inline void wn_dequant_q4_1(const uint8_t *b, float *y)
{
    const float d = wn_f16_to_f32(wn_load_u16(b));
    const float m = wn_f16_to_f32(wn_load_u16(b + 2));
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)(b[4 + i] & 15) + m;
        y[i + 16] = d * (float)(b[4 + i] >> 4) + m;
    }
}

/* 256 elements: scales (16 bytes), 128 bytes; each 32 bytes hold sub-blocks 2j (low) and 2j+1. */
static inline void wn_dequant_q4_k(const uint8_t *b, float *y)
{
    float scale[8], min[8];
    wn_kquant_scales(b, scale, min);
    for (int j = 0; j < 4; j++) {
        const uint8_t *q = b + 16 + 32 * j;
        for (int i = 0; i < 32; i++) {
            y[64 * j + i] = scale[2 * j] * (float)(q[i] & 15) - min[2 * j];
            y[64 * j + 32 + i] = scale[2 * j + 1] * (float)(q[i] >> 4) - min[2 * j + 1];
        }
    }
}

/* As Q4_K with a fifth bit: scales (16 bytes), 32 bytes of high bits (bit s of byte i belongs to
 * element i of sub-block s), 128 bytes. */
static inline void wn_dequant_q5_k(const uint8_t *b, float *y)
{
    float scale[8], min[8];
    wn_kquant_scales(b, scale, min);
    const uint8_t *high = b + 16;
    for (int j = 0; j < 4; j++) {
        const uint8_t *q = b + 48 + 32 * j;
        for (int i = 0; i < 32; i++) {
            const int bits = high[i] >> (2 * j);
            y[64 * j + i] = scale[2 * j] * (float)((q[i] & 15) | ((bits & 1) << 4)) - min[2 * j];
            y[64 * j + 32 + i] =
                scale[2 * j + 1] * (float)((q[i] >> 4) | ((bits & 2) << 3)) - min[2 * j + 1];
        }
    }
}

/* 256 elements: 128 bytes of low nibbles, 64 of high 2 bits, 16 x i8 scales, d f16; offset 32. */
static inline void wn_dequant_q6_k(const uint8_t *b, float *y)
{
    const float d = wn_f16_to_f32(wn_load_u16(b + 208));
    for (int half = 0; half < 2; half++) {
        const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half, *s = b + 192 + 8 * half;
        float *out = y + 128 * half;
        for (int i = 0; i < 32; i++) {
            const int h = high[i];
            const int q0 = (low[i] & 15) | ((h & 3) << 4);
            const int q1 = (low[i + 32] & 15) | ((h & 12) << 2);
            const int q2 = (low[i] >> 4) | (h & 48);
            const int q3 = (low[i + 32] >> 4) | ((h & 192) >> 2);
            const int group = i / 16;
            out[i] = d * (float)(int8_t)s[group] * (float)(q0 - 32);
            out[i + 32] = d * (float)(int8_t)s[group + 2] * (float)(q1 - 32);
            out[i + 64] = d * (float)(int8_t)s[group + 4] * (float)(q2 - 32);
            out[i + 96] = d * (float)(int8_t)s[group + 6] * (float)(q3 - 32);
        }
    }
}

static inline void wn_dequant_f16(const uint8_t *b, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = wn_f16_to_f32(wn_load_u16(b + 2 * i));
}

static inline void wn_dequant_bf16(const uint8_t *b, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = wn_bf16_to_f32(wn_load_u16(b + 2 * i));
}

/* n elements, n a multiple of the block. Types that are no weights leave dst as it is. */
static inline void wn_dequant_run(wn_dtype type, const uint8_t *b, float *y, size_t n)
{
#define WN_DEQUANT_BLOCKS(function, elements, bytes)                                               \
    for (size_t i = 0; i < n / (elements); i++)                                                    \
    function(b + i * (bytes), y + i * (elements))
    switch (type) {
    case WN_DTYPE_F32:
        memcpy(y, b, n * sizeof(float));
        break;
    case WN_DTYPE_F16:
        wn_dequant_f16(b, y, n);
        break;
    case WN_DTYPE_BF16:
        wn_dequant_bf16(b, y, n);
        break;
    case WN_DTYPE_Q8_0:
        WN_DEQUANT_BLOCKS(wn_dequant_q8_0, 32, 34);
        break;
    case WN_DTYPE_Q4_0:
        WN_DEQUANT_BLOCKS(wn_dequant_q4_0, 32, 18);
        break;
    case WN_DTYPE_Q4_1:
        WN_DEQUANT_BLOCKS(wn_dequant_q4_1, 32, 20);
        break;
    case WN_DTYPE_Q4_K:
        WN_DEQUANT_BLOCKS(wn_dequant_q4_k, WN_QK, 144);
        break;
    case WN_DTYPE_Q5_K:
        WN_DEQUANT_BLOCKS(wn_dequant_q5_k, WN_QK, 176);
        break;
    case WN_DTYPE_Q6_K:
        WN_DEQUANT_BLOCKS(wn_dequant_q6_k, WN_QK, 210);
        break;
    case WN_DTYPE_I32:
    case WN_DTYPE_I64:
    case WN_DTYPE_COUNT:
        break;
    }
#undef WN_DEQUANT_BLOCKS
}

#endif
