/* What the engine's rounding does to whole texts: the likeliest token again and again, with the
 * usual products and with f32 products of the same weights, after prompts cut from a text.
 *
 *     wn_greedy_options o = {.text = text, .len = len, .n_prompts = 20, .n_prompt = 32,
 *                            .n_generate = 200};
 *     WN_TRY(wn_greedy_eval(service, &o, on_pair, ctx, err));
 *
 * Prompts are evenly spaced pieces of n_prompt tokens (BOS before them where the model has one);
 * end tokens do not end a text. Threads: as wn_service_ask.
 */
#ifndef WN_API_GREEDY_EVAL_H
#define WN_API_GREEDY_EVAL_H

#include "api/service.h"

typedef struct wn_greedy_options {
    const char *text;
    size_t len;
    size_t n_prompts, n_prompt, n_generate; /* each >= 1; tokens */
} wn_greedy_options;

/* Two continuations of one prompt; borrowed during the call. */
typedef struct wn_greedy_texts {
    const int32_t *prompt; /* [n_prompt], BOS included */
    size_t n_prompt;
    const int32_t *usual, *exact; /* [n] */
    size_t n;
    size_t first_difference; /* n when there is none */
    size_t n_equal;          /* positions with the same token */
} wn_greedy_texts;
typedef wn_status (*wn_greedy_visit_fn)(void *ctx, const wn_greedy_texts *texts, wn_error *err);

/* WN_INVALID when the text has fewer than n_prompts * n_prompt tokens. */
wn_status wn_greedy_eval(wn_service *s, const wn_greedy_options *o, wn_greedy_visit_fn visit,
                         void *ctx, wn_error *err);

/* The token with the highest of n_vocab logits, the first of equals. */
int32_t wn_likeliest(const float *logits, size_t n_vocab);
/* It again and again, behind what the session holds: out [n]; the last one is not appended. */
wn_status wn_write_likeliest(wn_session *s, size_t n_vocab, int32_t *out, size_t n, wn_error *err);

#endif
