/* What this processor can do and the operating system has switched on (CPUID and XGETBV). Our own
 * code because compilers differ in the names that their built-in checks know.
 * Threads: any; call it once before signal stacks are made, see amx_permitted. */
#ifndef WN_KERNELS_CPU_FEATURES_H
#define WN_KERNELS_CPU_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wn_cpu_features {
    bool avx2;          /* AVX2 + FMA + F16C, ymm state enabled */
    bool avx512;        /* the above + F, BW, DQ, VL, VNNI, zmm state enabled */
    bool avx512bf16;    /* the above + BF16 */
    bool amx;           /* the above + the three below: tiles may be used */
    bool amx_present;   /* the processor has AMX-TILE, AMX-BF16 and AMX-INT8 */
    bool amx_enabled;   /* the system saves tile registers */
    bool amx_permitted; /* it lets this process use them: Linux wants to be asked, and refuses when
                           a thread's signal stack is too small for them */
} wn_cpu_features;

/* The registers that the answer is read from. */
typedef struct wn_cpu_words {
    uint32_t leaf1_ecx, leaf7_ebx, leaf7_ecx, leaf7_edx, leaf7_1_eax;
    uint64_t xcr0; /* 0 without OSXSAVE */
} wn_cpu_words;

/* Of this machine. Asks for the permission to use tiles where they are there. */
wn_cpu_features wn_cpu_features_get(void);
/* Of a machine with these words; amx_permitted and amx as `permitted` says. */
wn_cpu_features wn_cpu_features_of(const wn_cpu_words *words, bool permitted);
/* One line for `winnow doctor`. */
void wn_cpu_features_describe(const wn_cpu_features *f, char *text, size_t cap);

#endif
