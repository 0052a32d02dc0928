/* Vectors of the instruction set that this translation unit is compiled for.
 *
 * simd_avx2.h and simd_avx512.h define the same small set: WN_LANES, WN_MR and static inline
 * functions vf_* (f32) and vi_* (i32). The simd_*.h files with operations are written on these once
 * and compiled per instruction set. Without the flags of such a set WN_LANES is not defined and
 * they are empty. (n) variants touch n < WN_LANES elements; lanes beyond read as 0.
 */
#ifndef WN_KERNELS_SIMD_H
#define WN_KERNELS_SIMD_H

#define WN_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define WN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define WN_UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__AVX512F__)
#include "kernels/simd_avx512.h"
#elif defined(__AVX2__)
#include "kernels/simd_avx2.h"
#endif

#define WN_NR (2 * WN_LANES) /* columns of a register tile: two vectors */

#endif
