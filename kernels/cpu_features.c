#include "kernels/cpu_features.h"

#include <cpuid.h>
#include <stdint.h>

/* Bits of XCR0: the register files that the system saves on a context switch. */
enum { XCR0_YMM = 0x6, XCR0_ZMM = 0xe6 };

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

wn_cpu_features wn_cpu_features_get(void)
{
    wn_cpu_features f = {0};
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return f;
    const bool fma_f16c = has_bits(c, bit_AVX | bit_FMA | bit_F16C);
    const uint64_t xcr0 = read_xcr0();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return f;
    f.avx2 = fma_f16c && (b & bit_AVX2) && has_bits(xcr0, XCR0_YMM);
    f.avx512 = f.avx2 && has_bits(b, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) &&
               (c & bit_AVX512VNNI) && has_bits(xcr0, XCR0_ZMM);
    f.avx512bf16 = f.avx512 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit_AVX512BF16);
    return f;
}
