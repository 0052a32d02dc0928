/* What the kernel tests share: seeded numbers, random weights of any type, and a loop over the
 * instruction sets of this machine. */
#ifndef WN_TESTS_KERNEL_CASES_H
#define WN_TESTS_KERNEL_CASES_H

#include <math.h>

#include "base/checked.h"
#include "kernels/compute.h"
#include "tests/test_support.h"

static const char *const all_isas[] = {"ref",        "avx2", "avx512",
                                       "avx512bf16", "amx",  "amx-emulated"};
static const wn_dtype all_types[] = {WN_DTYPE_F32,  WN_DTYPE_F16,  WN_DTYPE_BF16,
                                     WN_DTYPE_Q8_0, WN_DTYPE_Q4_0, WN_DTYPE_Q4_1,
                                     WN_DTYPE_Q4_K, WN_DTYPE_Q5_K, WN_DTYPE_Q6_K};
#define N_ISAS (sizeof all_isas / sizeof *all_isas)
#define N_TYPES (sizeof all_types / sizeof *all_types)

static uint64_t case_state = 88172645463325252u;

static inline uint32_t case_bits(void)
{
    case_state ^= case_state << 13; /* xorshift64 */
    case_state ^= case_state >> 7;
    case_state ^= case_state << 17;
    return (uint32_t)(case_state >> 32);
}

static inline float case_float(void) /* -1 .. 1 */
{
    return (float)((double)case_bits() / 2147483648.0 - 1.0);
}

static inline float *case_floats(size_t n)
{
    float *x = wn_alloc(n, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = case_float();
    return x;
}

/* NULL, and a line on the terminal, where the machine lacks the set. */
static inline wn_compute *case_compute_of(const char *isa, size_t n_threads, bool exact)
{
    wn_compute *c = NULL;
    wn_error err = {0};
    const wn_compute_options options = {.n_threads = n_threads, .isa = isa, .exact = exact};
    const wn_status status = wn_compute_open(&c, &options, &err);
    if (status == WN_UNSUPPORTED) {
        printf("%s: not on this machine\n", isa);
        return NULL;
    }
    if (status != WN_OK)
        fail_msg("%s: %s", isa, err.text);
    return c;
}

static inline wn_compute *case_compute(const char *isa, size_t n_threads)
{
    return case_compute_of(isa, n_threads, false);
}

static inline void case_put_f16(uint8_t *p, uint16_t bits)
{
    memcpy(p, &bits, sizeof bits);
}

/* Random bytes; f16 numbers (weights and block scales) are kept between 2^-10 and 2^-3. */
static inline uint8_t *case_weights(wn_dtype type, size_t n, size_t *bytes)
{
    static const uint8_t scale_at[WN_DTYPE_COUNT][2] = {[WN_DTYPE_Q4_1] = {0, 2},
                                                        [WN_DTYPE_Q4_K] = {0, 2},
                                                        [WN_DTYPE_Q5_K] = {0, 2},
                                                        [WN_DTYPE_Q6_K] = {208, 208}};
    assert_true(wn_dtype_bytes(type, n, bytes));
    uint8_t *data = wn_alloc(*bytes + 1, 1); /* + 1: callers shift it to break alignment */
    assert_non_null(data);
    const size_t size = wn_dtype_block_bytes(type);
    for (size_t b = 0; b < *bytes; b += size) {
        for (size_t i = 0; i < size; i++)
            data[b + i] = (uint8_t)case_bits();
        const float value = case_float();
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (type == WN_DTYPE_F32)
            memcpy(data + b, &value, sizeof value);
        else if (type == WN_DTYPE_BF16)
            case_put_f16(data + b, (uint16_t)(bits >> 16));
        else
            for (int i = 0; i < 2; i++)
                case_put_f16(
                    data + b + scale_at[type][i],
                    (uint16_t)((case_bits() & 0x8000u) | (0x1400u + case_bits() % 0x1c00u)));
    }
    return data;
}

static inline void case_close(float expected, float actual, double tolerance, const char *what,
                              size_t i)
{
    const double difference = fabs((double)expected - (double)actual);
    if (!(difference <= tolerance))
        fail_msg("%s: element %zu is %.9g, expected %.9g (difference %.3g > %.3g)", what, i,
                 (double)actual, (double)expected, difference, tolerance);
}

#endif
