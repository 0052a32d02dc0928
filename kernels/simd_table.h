/* Pieces of the tables of the instruction sets with vectors: what several of them share. A table
 * includes the headers of the pieces that it takes. */
#ifndef WN_KERNELS_SIMD_TABLE_H
#define WN_KERNELS_SIMD_TABLE_H

#include "kernels/simd_gemm.h"
#include "kernels/simd_gemv.h"
#include "kernels/simd_packed_gemv.h"
#include "kernels/simd_quantize.h"
#include "kernels/simd_rows.h"

/* Products of few rows or in f32, and everything by rows. */
#define WN_SIMD_PARTS                                                                              \
    .gemv = simd_gemv, .gemm = &simd_gemm, .packed_gemv = simd_packed_gemv,                        \
    .quantize = simd_quantize, .rmsnorm = simd_rmsnorm, .layernorm = simd_layernorm,               \
    .rope = simd_rope, .silu_mul = simd_silu_mul, .gelu_erf = simd_gelu_erf

/* simd_attention.h */
#ifdef __AVX512BF16__
#define WN_SIMD_ATTENTION_FORMAT WN_KV_BF16
#else
#define WN_SIMD_ATTENTION_FORMAT WN_KV_F32
#endif
#define WN_SIMD_ATTENTION                                                                          \
    .attention = simd_attention, .attention_format = WN_SIMD_ATTENTION_FORMAT,                     \
    .attention_rows = ATTENTION_ROWS, .attention_row_step = WN_MR,                                 \
    .attention_scratch_bytes = sizeof(attention_scratch)

/* simd_gemm_amx.h, simd_attention_amx.h */
#define WN_AMX_PARTS                                                                               \
    .tiles = &amx_tiles_kernels, .attention = amx_attention_span, .attention_format = WN_KV_BF16,  \
    .attention_rows = AMX_ATTENTION_ROWS, .attention_row_step = AMX_SET,                           \
    .attention_scratch_bytes = AMX_ATTENTION_SCRATCH

#endif
