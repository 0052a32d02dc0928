/* What this processor can do and the operating system has switched on (CPUID and XGETBV). Our own
 * code because compilers differ in the names that their built-in checks know. */
#ifndef WN_KERNELS_CPU_FEATURES_H
#define WN_KERNELS_CPU_FEATURES_H

#include <stdbool.h>

typedef struct wn_cpu_features {
    bool avx2;       /* AVX2 + FMA + F16C, ymm state enabled */
    bool avx512;     /* the above + F, BW, DQ, VL, VNNI, zmm state enabled */
    bool avx512bf16; /* the above + BF16 */
} wn_cpu_features;

wn_cpu_features wn_cpu_features_get(void);

#endif
