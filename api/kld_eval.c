#include "api/kld_eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/exact_pair.h"
#include "base/checked.h"

/* The greatest logit's place (the lowest wins a tie), and ln of the sum of exp. */
static size_t log_sum_exp(const float *logits, size_t n, double *out)
{
    size_t top = 0;
    double sum = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[top])
            top = i;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - (double)logits[top]);
    *out = (double)logits[top] + log(sum);
    return top;
}

wn_kld_token wn_kld_compare(const float *usual, const float *exact, size_t n_vocab, int32_t next)
{
    double usual_norm = 0, exact_norm = 0, kld = 0;
    size_t usual_top = log_sum_exp(usual, n_vocab, &usual_norm);
    size_t exact_top = log_sum_exp(exact, n_vocab, &exact_norm);
    for (size_t i = 0; i < n_vocab; i++) {
        double log_p = (double)exact[i] - exact_norm;
        kld += exp(log_p) * (log_p - ((double)usual[i] - usual_norm));
    }
    return (wn_kld_token){.kld = kld,
                          .nll = usual_norm - (double)usual[next],
                          .nll_exact = exact_norm - (double)exact[next],
                          .same_top = usual_top == exact_top};
}

double wn_kld_quantile(const double *sorted, size_t n, double q)
{
    double place = q * (double)(n - 1);
    size_t i = (size_t)place;
    double part = place - (double)i;
    return i + 1 < n ? (1 - part) * sorted[i] + part * sorted[i + 1] : sorted[n - 1];
}

/* The state of one evaluation. */
typedef struct kld_run {
    wn_exact_pair pair;
    int32_t *ids;
    size_t n_ids, n_window, n_vocab;
    float *usual, *exact; /* [n_window - n_window / 2][n_vocab] */
    double *klds;         /* [windows][n_window - n_window / 2 - 1] */
    size_t n_judged;
    double kld_sum, nll_sum, nll_exact_sum;
    size_t n_same;
} kld_run;

/* Logits of the window's second half. */
static wn_status read_window(const kld_run *r, wn_session *s, const int32_t *ids, float *out,
                             wn_error *err)
{
    size_t half = r->n_window / 2;
    wn_session_truncate(s, 0);
    WN_TRY(wn_session_append(s, ids, half, NULL, NULL, err));
    return wn_session_append_all_logits(s, ids + half, r->n_window - half, out, err);
}

static wn_status judge_window(kld_run *r, size_t window, wn_error *err)
{
    int32_t *ids = r->ids + window * r->n_window;
    int32_t bos = wn_tokenizer_bos(wn_model_tokenizer(r->pair.usual.model));
    if (bos >= 0)
        ids[0] = bos;
    WN_TRY(read_window(r, r->pair.usual.session, ids, r->usual, err));
    WN_TRY(read_window(r, r->pair.exact.session, ids, r->exact, err));
    size_t half = r->n_window / 2;
    for (size_t i = 0; half + i + 1 < r->n_window; i++) {
        wn_kld_token t = wn_kld_compare(r->usual + i * r->n_vocab, r->exact + i * r->n_vocab,
                                        r->n_vocab, ids[half + i + 1]);
        r->klds[r->n_judged++] = t.kld;
        r->kld_sum += t.kld;
        r->nll_sum += t.nll;
        r->nll_exact_sum += t.nll_exact;
        r->n_same += t.same_top;
    }
    return WN_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise(kld_run *r, size_t n_windows, wn_kld_report *out)
{
    double n = (double)r->n_judged;
    qsort(r->klds, r->n_judged, sizeof *r->klds, ascending);
    *out = (wn_kld_report){.n_windows = n_windows,
                           .n_judged = r->n_judged,
                           .mean = r->kld_sum / n,
                           .p99 = wn_kld_quantile(r->klds, r->n_judged, 0.99),
                           .max = r->klds[r->n_judged - 1],
                           .same_top = (double)r->n_same / n,
                           .ppl = exp(r->nll_sum / n),
                           .ppl_exact = exp(r->nll_exact_sum / n)};
}

static wn_status prepare(kld_run *r, const wn_kld_options *o, size_t *n_windows, wn_error *err)
{
    const wn_model *m = r->pair.usual.model;
    WN_TRY(wn_tokenizer_encode(wn_model_tokenizer(m), o->text, o->len, WN_ENCODE_PLAIN, &r->ids,
                               &r->n_ids, err));
    size_t n = o->n_tokens && o->n_tokens < r->n_ids ? o->n_tokens : r->n_ids;
    size_t second = r->n_window - r->n_window / 2, floats = 0;
    *n_windows = n / r->n_window;
    if (*n_windows == 0)
        return wn_error_set(err, WN_INVALID, "kld: %zu tokens are less than a window of %zu", n,
                            r->n_window);
    r->n_vocab = wn_model_config_of(m)->n_vocab;
    bool fits = wn_size_mul(second, r->n_vocab, &floats);
    r->usual = fits ? wn_alloc(floats, sizeof *r->usual) : NULL;
    r->exact = fits ? wn_alloc(floats, sizeof *r->exact) : NULL;
    r->klds = wn_alloc(*n_windows * (second - 1), sizeof *r->klds);
    if (!r->usual || !r->exact || !r->klds)
        return wn_error_set(err, WN_NO_MEMORY, "kld: no memory for the logits of %zu tokens",
                            second);
    return WN_OK;
}

wn_status wn_kld_eval(wn_service *s, const wn_kld_options *o, wn_kld_report *out, wn_error *err)
{
    kld_run r = {.n_window = o->n_window};
    size_t n_windows = 0;
    if (o->n_window < 4)
        return wn_error_set(err, WN_INVALID, "kld: a window has at least 4 tokens");
    WN_TRY(wn_exact_pair_open(&r.pair, s, o->n_window, err));
    wn_status status = prepare(&r, o, &n_windows, err);
    for (size_t i = 0; status == WN_OK && i < n_windows; i++) {
        status = judge_window(&r, i, err);
        if (status == WN_OK && o->progress)
            status = o->progress(o->progress_ctx, i + 1, n_windows);
    }
    if (status == WN_OK)
        summarise(&r, n_windows, out);
    free(r.ids);
    free(r.usual);
    free(r.exact);
    free(r.klds);
    wn_exact_pair_close(&r.pair);
    return status;
}
