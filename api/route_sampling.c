#include "api/route_sampling.h"

#include "api/http_fields.h"
#include "base/hash.h"

#define DEFAULT_MAX_TOKENS 512
#define MAX_STOP_BYTES 256

static bool bad_stop(wn_http_call *call)
{
    wn_http_fail(call, 400, "invalid_type", "stop",
                 "'stop' must be a string or an array of up to %d strings, each of 1 to %d bytes.",
                 WN_MAX_STOP, MAX_STOP_BYTES);
    return false;
}

static bool read_stop(wn_http_call *call, wn_route_sampling *out)
{
    const json_t *stop = wn_field(call->json, "stop");
    if (!stop)
        return true;
    size_t n = json_is_array(stop) ? json_array_size(stop) : 1;
    if (n > WN_MAX_STOP)
        return bad_stop(call);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(stop) ? json_array_get(stop, i) : stop;
        size_t len = json_string_length(one);
        if (!json_is_string(one) || len == 0 || len > MAX_STOP_BYTES)
            return bad_stop(call);
        out->stop[out->n_stop++] = json_string_value(one);
    }
    return true;
}

static bool read_seed(wn_http_call *call, wn_route_sampling *out)
{
    int64_t seed = 0;
    if (!wn_field(call->json, "seed"))
        return wn_random_bytes(&out->sampler.seed, sizeof out->sampler.seed, NULL) == WN_OK;
    if (!wn_field_int(call, call->json, "seed", INT64_MIN, INT64_MAX, &seed))
        return false;
    out->sampler.seed = (uint64_t)seed;
    return true;
}

bool wn_route_sampling_read(wn_http_call *call, double default_temperature, wn_route_sampling *out)
{
    const json_t *o = call->json;
    double temperature = default_temperature, top_p = 1;
    int64_t max_tokens = DEFAULT_MAX_TOKENS;
    *out = (wn_route_sampling){.sampler = WN_SAMPLER_GREEDY};
    if (!wn_field_number(call, o, "temperature", 0, 2, &temperature) ||
        !wn_field_number(call, o, "top_p", 0, 1, &top_p) ||
        !wn_field_int(call, o, "max_tokens", 1, WN_MAX_ANSWER_TOKENS, &max_tokens) ||
        !wn_field_int(call, o, "max_completion_tokens", 1, WN_MAX_ANSWER_TOKENS, &max_tokens) ||
        !read_stop(call, out))
        return false;
    if (!read_seed(call, out)) {
        if (call->reply.status == 0)
            wn_http_fail(call, 500, "internal_error", NULL, "No randomness.");
        return false;
    }
    out->sampler.temperature = (float)temperature;
    out->sampler.top_p = top_p > 0 ? (float)top_p : 1e-6f; /* 0 leaves the best token only */
    out->max_tokens = (size_t)max_tokens;
    return true;
}
