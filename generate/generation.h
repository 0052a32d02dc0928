/* The token loop: prompt ids in, text out, with stop strings, streaming and cancellation.
 *
 *     wn_generation_request r = {.session = s, .ids = ids, .n_ids = n, .sampler =
 * WN_SAMPLER_GREEDY}; WN_TRY(wn_generate(&r, &result, err));
 *
 * What the session has already read of the prompt (longest common prefix of ids) is kept and not
 * computed again, which changes no bit of the answer. Tokens that it decoded are read again. A stop
 * string never appears in the text, not even in part. Threads: one at a time per session. */
#ifndef WN_GENERATE_GENERATION_H
#define WN_GENERATE_GENERATION_H

#include "generate/sampler.h"
#include "generate/session_turns.h"

typedef struct wn_generation_request {
    wn_session *session;
    wn_turn *turn; /* taken and given here; NULL: nobody else uses the compute context */
    const wn_tokenizer *tokenizer;
    const int32_t *ids; /* the prompt */
    size_t n_ids;
    wn_sampler_options sampler;
    size_t max_tokens; /* 0 = 512; also bounded by the session's capacity */
    const char *const *stop;
    size_t n_stop;
    void *ctx; /* of the callbacks; each may be NULL; not WN_OK stops the work */
    /* First with what the session held already, then after each chunk; of the prompt's tokens. */
    wn_status (*on_prefill)(void *ctx, size_t done, size_t total);
    wn_status (*on_text)(void *ctx, const char *text, size_t len); /* complete UTF-8 */
} wn_generation_request;

typedef struct wn_generation_result {
    char *text; /* UTF-8, caller frees */
    size_t len;
    const char *finish_reason; /* "stop", "length" or "cancelled" */
    size_t prompt_tokens, cached_tokens, completion_tokens;
    double prefill_ms, decode_ms, first_token_ms;
} wn_generation_result;

/* A callback that returns WN_CANCELLED ends the run with WN_OK and finish_reason "cancelled". */
wn_status wn_generate(const wn_generation_request *request, wn_generation_result *out,
                      wn_error *err);

#endif
