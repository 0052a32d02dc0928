/* exp and the Gaussian error function on vectors. */
#ifndef WN_KERNELS_SIMD_MATH_H
#define WN_KERNELS_SIMD_MATH_H

#include "kernels/simd.h"
#ifdef WN_LANES

/* e^x = 2^n e^r, n = round(x / ln 2), |r| <= ln 2 / 2; ln 2 in two parts (Cody and Waite), e^r by a
 * minimax polynomial of degree 6 (3e-9). Relative error < 2e-7; below -87.7 the result is exactly
 * 0, above 88 it stays near 2^127 instead of infinity. NaN stays NaN. */
WN_INLINE vf vf_exp(vf x)
{
    x = vf_max(vf_set1(-88.02f), vf_min(vf_set1(88.02f), x));
    const vf n = vf_round(vf_mul(x, vf_set1(1.44269504f)));
    vf r = vf_fnma(n, vf_set1(0.693359375f), x);
    r = vf_fnma(n, vf_set1(-2.12194440e-4f), r);
    vf p = vf_fma(vf_set1(1.38145979e-3f), r, vf_set1(8.36871713e-3f));
    p = vf_fma(p, r, vf_set1(4.16683881e-2f));
    p = vf_fma(p, r, vf_set1(1.66665206e-1f));
    p = vf_fma(p, r, vf_set1(4.99999934e-1f));
    p = vf_fma(vf_mul(p, r), r, r);
    return vf_mul(vf_add(p, vf_set1(1.0f)), vf_pow2(n));
}

/* 2^x for x <= 127, by a minimax polynomial of degree 5 (relative error 8e-8) or 3 (8e-5: less than
 * the rounding to bf16) on x - round(x). Below -126.5 exactly 0, -infinity included. Adding 1.5 *
 * 2^23 leaves the rounded x in the low bits of the sum, and 127 more its exponent. */
WN_INLINE vf vf_exp2(vf x, const int degree)
{
    const vf magic = vf_set1(12582912.0f + 127.0f);
    x = vf_max(x, vf_set1(-127.0f));
    const vf t = vf_add(x, magic);
    const vf r = vf_sub(x, vf_sub(t, magic));
    vf p;
    if (degree == 3) {
        p = vf_fma(vf_set1(0.0551716691f), r, vf_set1(0.242611122f));
        p = vf_fma(p, r, vf_set1(0.693260985f));
        p = vf_fma(p, r, vf_set1(0.999928074f));
    } else {
        p = vf_fma(vf_set1(0.0013276472f), r, vf_set1(0.00967554133f));
        p = vf_fma(p, r, vf_set1(0.0555071327f));
        p = vf_fma(p, r, vf_set1(0.240221197f));
        p = vf_fma(p, r, vf_set1(0.693146967f));
        p = vf_fma(p, r, vf_set1(1.00000007f));
    }
    return vf_mul(p, vf_exponent(t));
}

/* erfc(a) for a >= 0: e^(-a^2) t P(t), t = 1 / (1 + 0.4 a), the form of Abramowitz and
 * Stegun 7.1.26 with a polynomial of degree 8 fitted to the absolute error (5e-10 before rounding).
 */
WN_INLINE vf vf_erfc_positive(vf a)
{
    static const float coefficient[8] = {0.22515485f,  0.23512940f, 0.14215581f,  0.40990841f,
                                         -0.38485935f, 0.70080256f, -0.40524814f, 0.07695647f};
    const vf t = vf_div(vf_set1(1.0f), vf_fma(vf_set1(0.4f), a, vf_set1(1.0f)));
    vf p = vf_set1(coefficient[7]);
    WN_UNROLL
    for (int i = 6; i >= 0; i--)
        p = vf_fma(p, t, vf_set1(coefficient[i]));
    return vf_mul(vf_mul(p, t), vf_exp(vf_fnma(a, a, vf_zero())));
}

/* x / 2 (1 + erf(x / sqrt 2)), from erfc so that the negative tail does not cancel. */
WN_INLINE vf vf_gelu(vf x)
{
    const vf tail =
        vf_mul(vf_mul(vf_set1(0.5f), x), vf_erfc_positive(vf_mul(vf_abs(x), vf_set1(0.70710678f))));
    return vf_select_negative(x, tail, vf_sub(x, tail));
}

/* The same with an error of 1.4e-4 at most, for results in bf16: 1/2 erf(x / sqrt 2) as x P(x^2), P
 * of degree 7, a minimax fit on [-4, 4] that is 1/2 at its end. */
WN_INLINE vf vf_gelu_12(vf x)
{
    static const float coefficient[8] = {0.398890018f,    -0.0662303120f, 0.00968469029f,
                                         -0.00105040509f, 8.05518138e-5f, -4.06002846e-6f,
                                         1.18858622e-7f,  -1.51596302e-9f};
    const vf c = vf_max(vf_set1(-4.0f), vf_min(vf_set1(4.0f), x)), q = vf_mul(c, c);
    vf p = vf_set1(coefficient[7]);
    WN_UNROLL
    for (int i = 6; i >= 0; i--)
        p = vf_fma(p, q, vf_set1(coefficient[i]));
    return vf_mul(x, vf_fma(c, p, vf_set1(0.5f)));
}

/* x / (1 + e^-x) */
WN_INLINE vf vf_silu(vf x)
{
    return vf_div(x, vf_add(vf_set1(1.0f), vf_exp(vf_sub(vf_zero(), x))));
}

/* The same with a relative error of 2^-13, for results in bf16: without a division, which would
 * cost more than all the rest. */
WN_INLINE vf vf_silu_14(vf x)
{
    const vf e = vf_exp2(vf_mul(vf_max(x, vf_set1(-80.0f)), vf_set1(-1.44269504f)), 3);
    return vf_mul(x, vf_reciprocal_14(vf_add(vf_set1(1.0f), e)));
}

#endif
#endif
