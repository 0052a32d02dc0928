/* What products may lose by rounding, by instruction set and type: for the tests of products. */
#ifndef WN_TESTS_PRODUCT_ROUNDING_H
#define WN_TESTS_PRODUCT_ROUNDING_H

#include "tests/unit/kernels/kernel_cases.h"

/* What rounding may do to one product, beside the order of an f32 sum (1e-6 of the sum of
 * magnitudes, far below any wrong index): packed weights meet activations in steps of 1/32767 or
 * 1/2047 of the largest of 256 columns or, many rows (AVX2: of 4 or 5 bits; and few rows of 4 to 6
 * bits), 1/127 of the largest of 32, half a step each; AVX2 rounds the weights of Q8_0 as well,
 * many rows, to steps of 1/4096 of the largest of 256 columns; bf16 operands lose 2^-8 each (many
 * rows of the AMX sets, and of plain types with AVX-512 BF16), wide ones, of two bf16 numbers,
 * 2^-16. */
typedef struct rounding {
    double steps;    /* of a block of columns; 0: none */
    size_t block;    /* columns */
    double relative; /* of each product */
    double w_steps;  /* of a block of weights; 0: none */
} rounding;

static rounding words_rounding_of(wn_dtype type)
{
    return (rounding){wn_dtype_block_elements(type) == 256 ? 2047 : 32767, 256, 0, 0};
}

static rounding rounding_of(const wn_compute *c, const wn_matrix *w, wn_dtype type, bool decode,
                            bool exact)
{
    const char *isa = wn_compute_isa(c);
    const bool amx = !strncmp(isa, "amx", 3), packed = wn_matrix_is_packed(w);
    const bool bf16 = !exact && !decode && (amx || (!packed && !strcmp(isa, "avx512bf16")));
    const bool bytes = !strncmp(isa, "avx512", 6) ||
                       (!strcmp(isa, "avx2") && type != WN_DTYPE_Q8_0 && type != WN_DTYPE_Q6_K);
    if (packed && !bf16 && !decode && bytes)
        return (rounding){127, 32, 0, 0};
    if (packed && !decode && !strcmp(isa, "avx2") && type == WN_DTYPE_Q8_0)
        return (rounding){2047, 256, 0, 4000};
    if (packed && decode && type != WN_DTYPE_Q8_0 && !strcmp(isa, "avx2"))
        return (rounding){127, 32, 0, 0};
    if (packed && !bf16)
        return words_rounding_of(type);
    return (rounding){0, 256, bf16 ? 0x1.02p-7 : 0, 0};
}

static rounding wide_rounding_of(const wn_compute *c, const wn_matrix *w, wn_dtype type,
                                 bool decode, bool exact)
{
    const bool amx = !strncmp(wn_compute_isa(c), "amx", 3);
    const rounding r = rounding_of(c, w, type, decode, exact);
    if (wn_matrix_is_packed(w))
        return r.steps == 127 ? words_rounding_of(type) : r;
    return (rounding){.block = 256,
                      .relative = amx && type == WN_DTYPE_BF16 && !decode && !exact ? 0x1p-16 : 0};
}

static rounding prepared_rounding_of(const wn_compute *c, const wn_matrix *w, wn_dtype type,
                                     bool decode, bool exact)
{
    const bool words = !decode && !exact && !strncmp(wn_compute_isa(c), "avx", 3) &&
                       wn_dtype_block_elements(type) == 1 && wn_matrix_cols(w) % 32 == 0;
    return words ? (rounding){2047, 256, 0, 4096} : rounding_of(c, w, type, decode, exact);
}

#endif
