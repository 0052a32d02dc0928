/* The table of kernels_amx.c with emulated tiles (amx_tile.h) on AVX2: slow, chosen by name only,
 * for tests. */
#include "kernels/simd_attention_amx.h"
#include "kernels/simd_gemm.h"
#include "kernels/simd_gemm_amx.h"
#include "kernels/simd_gemv.h"
#include "kernels/simd_packed_gemv.h"
#include "kernels/simd_quantize.h"
#include "kernels/simd_rows.h"

const wn_kernel_table wn_kernels_amx_emulated = {
    .name = "amx-emulated",
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
