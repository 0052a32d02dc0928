/* The table for AVX2 + FMA + F16C; compiled with these flags (kernels.cmake). */
#include "kernels/simd_attention.h"
#include "kernels/simd_byte_gemm.h"
#include "kernels/simd_packed_gemm.h"
#include "kernels/simd_table.h"
#include "kernels/simd_word_gemm.h"

const wn_kernel_table wn_kernels_avx2 = {
    .name = WN_TABLE_NAME,
    WN_SIMD_PARTS,
    WN_SIMD_ATTENTION,
    .word_gemm = &simd_word_gemm,
    .byte_gemv = simd_byte_gemv,
    .quantize_bytes = simd_quantize_bytes,
    .packed_gemm = &simd_packed_gemm,
    .byte_gemm = &simd_byte_gemm,
    .byte_bits = WN_BYTE_BITS,
};
