/* The softmax step of attention: scores of a row to weights, with a running top (simd_attention.h).
 */
#ifndef WN_KERNELS_SIMD_ATTENTION_SOFTMAX_H
#define WN_KERNELS_SIMD_ATTENTION_SOFTMAX_H

#include "kernels/simd_attention_load.h"
#ifdef WN_LANES

#define ATTENTION_HEADROOM 8.0f /* log2 */

/* Moves a row's top up to that of `high`. */
static void raise_top(vf high, float *top, float *sum, float *o, size_t dim)
{
    const float new_top = vf_top(high);
    const vf decay = vf_exp2(vf_set1(*top - new_top), 5);
    vf_store(sum, vf_mul(vf_load(sum), decay));
    for (size_t d = 0; d < dim; d += WN_LANES)
        vf_store(o + d, vf_mul(vf_load(o + d), decay));
    *top = new_top;
}

/* Two vectors of P where the second product reads them. */
WN_INLINE void store_p(float *p, size_t j, vf p0, vf p1, const bool pairs)
{
#ifdef __AVX512BF16__
    if (pairs) {
        vf_store(p + j / 2, (vf)_mm512_cvtne2ps_pbh(p1, p0));
        return;
    }
#endif
    (void)pairs;
    vf_store(p + j, p0);
    vf_store(p + j + WN_LANES, p1);
}

/* Row `row` of the call: s[n_keys] to P. `visible`: its keys, a word per page of the block. */
WN_INLINE void softmax_row(const attention_block *b, size_t row, const uint64_t *visible, float *s,
                           size_t n_keys, const bool pairs)
{
    attention_scratch *x = b->scratch;
    float *sum = x->sum + row * WN_LANES;
    vf high = vf_set1(x->top[row]);
    for (size_t j = 0; j < n_keys; j += WN_LANES) {
        vf v = vf_load(s + j);
        if (b->scaled)
            v = vf_mul(v, vf_load(x->k_scale + j));
        const uint64_t bits = visible[j / WN_KV_SLOTS];
        if (bits != ~(uint64_t)0)
            v = vf_choose((unsigned)(bits >> j % WN_KV_SLOTS), v, vf_set1(-INFINITY));
        if (b->scaled || bits != ~(uint64_t)0)
            vf_store(s + j, v);
        high = vf_max(high, v);
    }
    if (vf_any_above(high, vf_set1(x->top[row] + ATTENTION_HEADROOM)))
        raise_top(high, &x->top[row], sum, x->o + row * b->dim, b->dim);
    const vf top = vf_set1(x->top[row]);
    vf total = vf_load(sum);
    for (size_t j = 0; j < n_keys; j += WN_NR) {
        vf p0 = vf_exp2(vf_sub(vf_load(s + j), top), pairs ? 3 : 5);
        vf p1 = vf_exp2(vf_sub(vf_load(s + j + WN_LANES), top), pairs ? 3 : 5);
        total = vf_add(total, vf_add(p0, p1));
        if (b->scaled) {
            p0 = vf_mul(p0, vf_load(x->v_scale + j));
            p1 = vf_mul(p1, vf_load(x->v_scale + j + WN_LANES));
        }
        store_p(s, j, p0, p1, pairs);
    }
    vf_store(sum, total);
}

#endif
#endif
