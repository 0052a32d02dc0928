/* The table for AMX (TILE, BF16) and AVX-512 (F, BW, DQ, VL, VNNI, BF16); compiled with these flags
 * (kernels.cmake). */
#include "kernels/simd_attention_amx.h"
#include "kernels/simd_gemm.h"
#include "kernels/simd_gemm_amx.h"
#include "kernels/simd_gemv.h"
#include "kernels/simd_packed_gemv.h"
#include "kernels/simd_quantize.h"
#include "kernels/simd_rows.h"

#ifndef AMX_HARDWARE
#error "compiled without the flags of AMX"
#endif

const wn_kernel_table wn_kernels_amx = {
    .name = "amx",
    .gemv = simd_gemv,
    .gemm = &simd_gemm,
    .fast_gemm = &amx_gemm,
    .packed_gemv = simd_packed_gemv,
    .packed_gemm = &amx_gemm,
    .quantize = simd_quantize,
    .attention = amx_attention_span,
    .attention_rows = AMX_ATTENTION_ROWS,
    .attention_row_step = AMX_SET,
    .attention_scratch_bytes = AMX_ATTENTION_SCRATCH,
    .rmsnorm = simd_rmsnorm,
    .layernorm = simd_layernorm,
    .rope = simd_rope,
    .silu_mul = simd_silu_mul,
    .gelu_erf = simd_gelu_erf,
    .add = simd_add,
};
