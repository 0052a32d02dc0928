/* What the engine's rounding does to the next token's distribution: the Kullback-Leibler divergence
 * of the usual products from f32 products of the same weights, over a text. With eviction heads the
 * usual session evicts and the other does not, so that both are measured.
 *
 *     wn_kld_options o = {.text = text, .len = len, .n_window = 512};
 *     WN_TRY(wn_kld_eval(service, &o, &report, err));
 *
 * The text is cut into windows of n_window tokens, each read from an empty session (begun with BOS
 * where the model has one); the second half of each is judged, as llama.cpp's llama-perplexity does
 * it, so that figures compare. Threads: as wn_service_ask.
 */
#ifndef WN_API_KLD_EVAL_H
#define WN_API_KLD_EVAL_H

#include "api/service.h"

typedef struct wn_kld_options {
    const char *text;
    size_t len;
    size_t n_window;         /* tokens, >= 4 */
    size_t n_tokens;         /* of the text, rounded down to whole windows; 0 = all */
    wn_progress_fn progress; /* may be NULL: windows done, of how many */
    void *progress_ctx;
} wn_kld_options;

typedef struct wn_kld_report {
    size_t n_windows, n_judged; /* windows; tokens whose distributions were compared */
    double mean, p99, max;      /* of KL(f32 || usual), in nats */
    double same_top;            /* share of tokens where both prefer the same */
    double ppl, ppl_exact;      /* perplexity on the text */
} wn_kld_report;

/* WN_INVALID when the text has less than one window. */
wn_status wn_kld_eval(wn_service *s, const wn_kld_options *o, wn_kld_report *out, wn_error *err);

/* One position: logits f32 [n_vocab] of both, the token that follows in the text. */
typedef struct wn_kld_token {
    double kld;
    double nll, nll_exact; /* -ln p(next) */
    bool same_top;
} wn_kld_token;
wn_kld_token wn_kld_compare(const float *usual, const float *exact, size_t n_vocab, int32_t next);
/* Quantile q in [0, 1] of n >= 1 ascending values, interpolated between neighbours. */
double wn_kld_quantile(const double *sorted, size_t n, double q);

#endif
