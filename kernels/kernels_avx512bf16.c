/* The table for AVX-512 (F, BW, DQ, VL, VNNI, BF16); compiled with these flags (kernels.cmake). */
#include "kernels/simd_attention.h"
#include "kernels/simd_byte_gemm.h"
#include "kernels/simd_gemm.h"
#include "kernels/simd_gemm_bf16.h"
#include "kernels/simd_gemv.h"
#include "kernels/simd_packed_gemm.h"
#include "kernels/simd_packed_gemv.h"
#include "kernels/simd_rows.h"

const wn_kernel_table wn_kernels_avx512bf16 = {
    .name = WN_TABLE_NAME,
    .gemv = simd_gemv,
    .gemm = &simd_gemm,
    .fast_gemm = &simd_gemm_bf16,
    .packed_gemv = simd_packed_gemv,
    .packed_gemm = &simd_packed_gemm,
    .byte_gemm = &simd_byte_gemm,
    .quantize = simd_quantize,
    .attention = simd_attention,
    .attention_rows = ATTENTION_ROWS,
    .attention_row_step = WN_MR,
    .attention_scratch_bytes = sizeof(attention_scratch),
    .rmsnorm = simd_rmsnorm,
    .layernorm = simd_layernorm,
    .rope = simd_rope,
    .silu_mul = simd_silu_mul,
    .gelu_erf = simd_gelu_erf,
    .add = simd_add,
};
