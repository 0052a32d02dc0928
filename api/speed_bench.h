/* Speed of the engine as `winnow bench` reports it: rates of repeated runs on fixed tokens.
 *
 *     wn_speed_bench b = {.service = s, .n_repeats = 5};
 *     double rates[5];
 *     WN_TRY(wn_speed_prefill(&b, 512, rates, err));           // tokens per second, one a run
 *     double median = wn_speed_median(rates, 5);
 *
 * Loading a model, opening a session and one short run that is not counted stay outside the clock.
 * Threads: as wn_service_ask.
 */
#ifndef WN_API_SPEED_BENCH_H
#define WN_API_SPEED_BENCH_H

#include "api/service.h"
#include "generate/session.h"

typedef struct wn_speed_bench {
    wn_service *service;
    const char *text;  /* what is read, NUL-terminated; NULL: a fixed stream of ids (or of words) */
    size_t thin;       /* as in wn_session_options */
    size_t n_sessions; /* decode: that take a token each in one step, 1 .. WN_SESSIONS_MAX */
    size_t n_repeats;  /* 1 .. WN_SPEED_MAX_REPEATS: length of `rates` */
} wn_speed_bench;

#define WN_SPEED_MAX_REPEATS 100

/* rates[i]: tokens per second of appending n_tokens to an empty session. */
wn_status wn_speed_prefill(const wn_speed_bench *b, size_t n_tokens, double *rates, wn_error *err);
/* rates[i]: tokens per second, of all sessions together, of appending n_generate tokens to each of
 * them one by one, behind `depth` tokens. No token is chosen: the next one of the stream is
 * appended. */
wn_status wn_speed_decode(const wn_speed_bench *b, size_t depth, size_t n_generate, double *rates,
                          wn_error *err);
/* rates[i]: passages per second of embedding n_passages passages, each of as many whole words as
 * fit n_tokens (specials included). */
wn_status wn_speed_embed(const wn_speed_bench *b, size_t n_tokens, size_t n_passages, double *rates,
                         wn_error *err);

/* Sorts the rates; n >= 1. Afterwards rates[0] is the least and rates[n - 1] the greatest. */
double wn_speed_median(double *rates, size_t n);

#endif
