#include "kernels/cpu_features.h"

#include <cpuid.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bits of XCR0: the register files that the system saves on a context switch. */
#define XCR0_YMM 0x6u
#define XCR0_ZMM 0xe6u
#define XCR0_TILES 0x60000u /* configuration and data */
/* CPUID 7.0 EDX: AMX-BF16, AMX-TILE, AMX-INT8. */
#define AMX_BITS ((1u << 22) | (1u << 24) | (1u << 25))
/* Linux, arch/x86/xstate: tile data is a state component that a process has to ask for. */
#define REQUEST_PERMISSION 0x1023 /* ARCH_REQ_XCOMP_PERM */
#define TILE_DATA 18

static bool has_bits(uint64_t value, uint64_t bits)
{
    return (value & bits) == bits;
}

static uint64_t read_xcr0(void)
{
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static wn_cpu_words read_words(void)
{
    wn_cpu_words w = {0};
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        w.leaf1_ecx = c;
        w.xcr0 = c & bit_OSXSAVE ? read_xcr0() : 0;
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        w.leaf7_ebx = b;
        w.leaf7_ecx = c;
        w.leaf7_edx = d;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
            w.leaf7_1_eax = a;
    }
    return w;
}

wn_cpu_features wn_cpu_features_of(const wn_cpu_words *w, bool permitted)
{
    wn_cpu_features f = {0};
    f.avx2 = has_bits(w->leaf1_ecx, bit_AVX | bit_FMA | bit_F16C) &&
             has_bits(w->leaf7_ebx, bit_AVX2) && has_bits(w->xcr0, XCR0_YMM);
    f.avx512 = f.avx2 &&
               has_bits(w->leaf7_ebx, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) &&
               has_bits(w->leaf7_ecx, bit_AVX512VNNI) && has_bits(w->xcr0, XCR0_ZMM);
    f.avx512bf16 = f.avx512 && has_bits(w->leaf7_1_eax, bit_AVX512BF16);
    f.amx_present = has_bits(w->leaf7_edx, AMX_BITS);
    f.amx_enabled = f.amx_present && has_bits(w->xcr0, XCR0_TILES);
    f.amx_permitted = f.amx_enabled && permitted;
    f.amx = f.amx_permitted && f.avx512bf16;
    return f;
}

wn_cpu_features wn_cpu_features_get(void)
{
    const wn_cpu_words words = read_words();
    const wn_cpu_features f = wn_cpu_features_of(&words, false);
    /* An old kernel (ENOSYS, EINVAL) or a filter (EPERM) means: without. */
    const bool permitted =
        f.amx_enabled && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
    return wn_cpu_features_of(&words, permitted);
}

void wn_cpu_features_describe(const wn_cpu_features *f, char *text, size_t cap)
{
    const char *vectors = f->avx512bf16 ? "AVX2, AVX-512 with VNNI and BF16"
                          : f->avx512   ? "AVX2, AVX-512 with VNNI"
                          : f->avx2     ? "AVX2"
                                        : "no AVX2";
    const char *tiles = f->amx             ? "AMX with the kernel's permission"
                        : f->amx_permitted ? "AMX without AVX-512 BF16 (not used)"
                        : f->amx_enabled   ? "AMX, but the kernel refused the permission to use it"
                        : f->amx_present   ? "AMX, but the system has not switched it on"
                                           : "no AMX";
    snprintf(text, cap, "%s; %s", vectors, tiles);
}
