/* Frequencies of rotary position embeddings. The llama3 scaling: frequencies whose wavelength is
 * longer than original_ctx / low_freq_factor are divided by `factor`, those shorter than
 * original_ctx / high_freq_factor stay, those between are blended linearly (Llama 3.1 model code
 * and report). */
#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "generate/model_internal.h"

static double scale_llama3(const wn_model_config *c, double inv_freq)
{
    double original = (double)c->rope_original_ctx;
    double low = (double)c->rope_low_freq_factor, high = (double)c->rope_high_freq_factor;
    double turns = original * inv_freq / (2 * M_PI); /* original_ctx / wavelength */
    double scaled = inv_freq / (double)c->rope_factor;
    if (turns < low)
        return scaled;
    if (turns > high)
        return inv_freq;
    double smooth = (turns - low) / (high - low);
    return (1 - smooth) * scaled + smooth * inv_freq;
}

wn_status wn_rope_inv_freq(float **out, const wn_model_config *c, const float *factors,
                           wn_error *err)
{
    size_t n = c->head_dim / 2;
    float *inv_freq = wn_alloc(n, sizeof *inv_freq);
    if (!inv_freq)
        return wn_error_set(err, WN_NO_MEMORY, "rope: no memory for %zu frequencies", n);
    for (size_t i = 0; i < n; i++) {
        double f = pow((double)c->rope_theta, -2.0 * (double)i / (double)c->head_dim);
        if (c->rope_llama3 && c->rope_factor > 0)
            f = scale_llama3(c, f);
        inv_freq[i] = (float)(factors ? f / (double)factors[i] : f);
    }
    *out = inv_freq;
    return WN_OK;
}
