/* The request's fields that steer generation, as OpenAI names them: temperature, top_p, seed,
 * max_tokens, max_completion_tokens, stop. */
#ifndef WN_API_ROUTE_SAMPLING_H
#define WN_API_ROUTE_SAMPLING_H

#include "api/http_call.h"

#define WN_MAX_STOP 4
#define WN_MAX_ANSWER_TOKENS 4096

typedef struct wn_route_sampling {
    wn_sampler_options sampler;
    size_t max_tokens;
    const char *stop[WN_MAX_STOP]; /* borrowed from the request */
    size_t n_stop;
} wn_route_sampling;

/* False after a 400. Without a seed in the request a random one is drawn. */
bool wn_route_sampling_read(wn_http_call *call, double default_temperature, wn_route_sampling *out);

#endif
