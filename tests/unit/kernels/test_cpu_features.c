/* What follows from CPUID and XCR0, for machines of several ages, and what the kernel may refuse.
 */
#include "tests/test_support.h"

#include <string.h>

#include "kernels/cpu_features.h"

/* Values written down from the manuals: the compiler's names are what is being tested. */
enum {
    LEAF1_AVX2_AGE = 1 << 28 | 1 << 12 | 1 << 29 | 1 << 27, /* AVX, FMA, F16C, OSXSAVE */
    LEAF7_AVX2 = 1 << 5,
    LEAF7_AVX512 = 1 << 16 | 1 << 30 | 1 << 17, /* F, BW, DQ */
    LEAF7_VNNI = 1 << 11,
    LEAF7_AMX = 1 << 22 | 1 << 24 | 1 << 25,
    LEAF7_1_BF16 = 1 << 5,
    XCR0_AVX = 0x7,
    XCR0_AVX512 = 0xe7,
    XCR0_AMX = 0x600e7
};
#define LEAF7_VL (1u << 31)

static const wn_cpu_words amx_machine = {.leaf1_ecx = LEAF1_AVX2_AGE,
                                         .leaf7_ebx = LEAF7_AVX2 | LEAF7_AVX512 | LEAF7_VL,
                                         .leaf7_ecx = LEAF7_VNNI,
                                         .leaf7_edx = LEAF7_AMX,
                                         .leaf7_1_eax = LEAF7_1_BF16,
                                         .xcr0 = XCR0_AMX};

static void expect(const wn_cpu_words *w, bool permitted, int n_sets, const char *text)
{
    const wn_cpu_features f = wn_cpu_features_of(w, permitted);
    char line[128];
    assert_int_equal(f.avx2 + f.avx512 + f.avx512bf16 + f.amx, n_sets);
    assert_true(f.avx2 >= f.avx512 && f.avx512 >= f.avx512bf16 && f.avx512bf16 >= f.amx);
    wn_cpu_features_describe(&f, line, sizeof line);
    assert_string_equal(line, text);
}

static void test_machines(void **state)
{
    (void)state;
    wn_cpu_words w = amx_machine;
    expect(&w, true, 4, "AVX2, AVX-512 with VNNI and BF16; AMX with the kernel's permission");
    expect(
        &w, false, 3,
        "AVX2, AVX-512 with VNNI and BF16; AMX, but the kernel refused the permission to use it");
    w.xcr0 = XCR0_AVX512;
    expect(&w, true, 3,
           "AVX2, AVX-512 with VNNI and BF16; AMX, but the system has not switched it on");
    w.leaf7_edx = 0;
    expect(&w, true, 3, "AVX2, AVX-512 with VNNI and BF16; no AMX");
    w.leaf7_1_eax = 0;
    expect(&w, true, 2, "AVX2, AVX-512 with VNNI; no AMX");
    w.xcr0 = XCR0_AVX;
    expect(&w, true, 1, "AVX2; no AMX");
    w.xcr0 = 0x3;
    expect(&w, true, 0, "no AVX2; no AMX");
    expect(&(wn_cpu_words){0}, true, 0, "no AVX2; no AMX");
}

/* Every bit that a set asks for takes that set away when it is missing. */
static void test_each_bit(void **state)
{
    (void)state;
    static const struct {
        size_t word;
        uint32_t bits;
        int n_left;
    } rows[] = {
        {offsetof(wn_cpu_words, leaf1_ecx), 1 << 28 | 1 << 12 | 1 << 29, 0},
        {offsetof(wn_cpu_words, leaf7_ebx), LEAF7_AVX2, 0},
        {offsetof(wn_cpu_words, leaf7_ebx), LEAF7_AVX512 | LEAF7_VL, 1},
        {offsetof(wn_cpu_words, leaf7_ecx), LEAF7_VNNI, 1},
        {offsetof(wn_cpu_words, leaf7_1_eax), LEAF7_1_BF16, 2},
        {offsetof(wn_cpu_words, leaf7_edx), LEAF7_AMX, 3},
        {offsetof(wn_cpu_words, xcr0), 0x6, 0},
        {offsetof(wn_cpu_words, xcr0), 0xe0, 1},
        {offsetof(wn_cpu_words, xcr0), 0x60000, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (uint32_t bit = 1; bit != 0; bit <<= 1) {
            if (!(rows[i].bits & bit))
                continue;
            wn_cpu_words w = amx_machine;
            uint32_t value = 0;
            memcpy(&value, (char *)&w + rows[i].word, sizeof value);
            value &= ~bit;
            memcpy((char *)&w + rows[i].word, &value, sizeof value);
            const wn_cpu_features f = wn_cpu_features_of(&w, true);
            assert_int_equal(f.avx2 + f.avx512 + f.avx512bf16 + f.amx, rows[i].n_left);
        }
    }
}

/* Against the compiler's own check, where it knows the names. */
static void test_this_machine(void **state)
{
    (void)state;
    const wn_cpu_features f = wn_cpu_features_get(), again = wn_cpu_features_get();
    __builtin_cpu_init();
    assert_int_equal(f.avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    assert_int_equal(f.avx512,
                     __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
    assert_memory_equal(&f, &again, sizeof f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machines),
        cmocka_unit_test(test_each_bit),
        cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
