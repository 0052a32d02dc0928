/* The table for AVX-512 (F, BW, DQ, VL, VNNI, BF16); compiled with these flags (kernels.cmake). */
#include "kernels/simd_attention.h"
#include "kernels/simd_gemm_bf16.h"
#include "kernels/simd_packed_gemm.h"
#include "kernels/simd_panel_gemm.h"
#include "kernels/simd_table.h"
#include "kernels/simd_word_gemm.h"

const wn_kernel_table wn_kernels_avx512bf16 = {
    .name = WN_TABLE_NAME,
    WN_SIMD_PARTS,
    WN_SIMD_ATTENTION,
    .fast_gemm = &simd_gemm_bf16,
    .word_gemm = &simd_word_gemm,
    .packed_gemm = &simd_packed_gemm,
    .byte_gemm = &simd_panel_gemm,
    .byte_bits = 8,
};
