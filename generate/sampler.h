/* Choosing the next token from logits.
 *
 *     wn_sampler_options o = WN_SAMPLER_GREEDY;
 *     WN_TRY(wn_sampler_open(&s, &o, n_vocab, err));
 *     int32_t id = wn_sampler_next(s, logits);
 *
 * Order: repetition penalty over the last `penalty_last_n` ids, temperature, top-k, top-p, min-p,
 * draw. temperature 0 = greedy (lowest id wins a tie). Same seed, logits and ids: same draw on any
 * machine.
 */
#ifndef WN_GENERATE_SAMPLER_H
#define WN_GENERATE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct wn_sampler_options {
    float temperature;        /* >= 0 */
    int32_t top_k;            /* 0 = off */
    float top_p;              /* (0, 1]; 1 = off */
    float min_p;              /* [0, 1]; 0 = off */
    float repetition_penalty; /* > 0; 1 = off */
    size_t penalty_last_n;    /* 0 = 64 */
    uint64_t seed;
} wn_sampler_options;

#define WN_SAMPLER_GREEDY                                                                          \
    (wn_sampler_options)                                                                           \
    {                                                                                              \
        .top_p = 1.0f, .repetition_penalty = 1.0f                                                  \
    }

typedef struct wn_sampler wn_sampler;

wn_status wn_sampler_open(wn_sampler **out, const wn_sampler_options *o, size_t n_vocab,
                          wn_error *err); /* WN_INVALID names the field */
void wn_sampler_close(wn_sampler *s);
/* logits f32 [n_vocab], not changed. The chosen id is remembered for the penalty. */
int32_t wn_sampler_next(wn_sampler *s, const float *logits);
void wn_sampler_accept(wn_sampler *s, int32_t id); /* remember an id that was not drawn here */

#endif
