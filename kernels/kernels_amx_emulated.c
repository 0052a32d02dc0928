/* The table of kernels_amx.c with emulated tiles (amx_tile.h) on AVX2: slow, chosen by name only,
 * for tests. */
#include "kernels/simd_attention_amx.h"
#include "kernels/simd_gemm_amx.h"
#include "kernels/simd_table.h"

const wn_kernel_table wn_kernels_amx_emulated = {
    .name = "amx-emulated", WN_SIMD_PARTS, WN_AMX_PARTS};
