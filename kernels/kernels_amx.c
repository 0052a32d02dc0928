/* The table for AMX (TILE, BF16) and AVX-512 (F, BW, DQ, VL, VNNI, BF16); compiled with these flags
 * (kernels.cmake). */
#include "kernels/simd_attention_amx.h"
#include "kernels/simd_gemm_amx.h"
#include "kernels/simd_table.h"

#ifndef AMX_HARDWARE
#error "compiled without the flags of AMX"
#endif

const wn_kernel_table wn_kernels_amx = {.name = "amx", WN_SIMD_PARTS, WN_AMX_PARTS};
