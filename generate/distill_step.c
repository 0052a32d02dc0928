/* Steps of head_distill.h: logits, the offset, gates, divergence, gradients, Adam. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/splitmix.h"
#include "generate/float_matmul.h"
#include "generate/head_distill_internal.h"
#include "generate/model_internal.h"

#define FAINT (-5.0) /* below, a key's probability is taken for 0 */
#define COLUMNS 64   /* of a layer's gradient by one unit */
#define WARM_UP 5    /* steps */
#define BIAS_RATE 20 /* times that of weights */

/* [n_lists][n_max]: of every token, without an offset. */
static wn_status find_logits(wn_head_distill *d, wn_error *err)
{
    const wn_model_config *g = &d->model->config;
    const wn_evict_rule rule = {.kind = WN_EVICT_HEADS, .weight = d->weight, .bias = d->bias};
    float *rows = wn_alloc(d->n, g->n_kv_heads * sizeof *rows);
    wn_status status =
        rows ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "distilling heads: out of memory");
    for (size_t l = 0; status == WN_OK && l < g->n_layers; l++) {
        const wn_text_layer y = {.layer = l, .n = d->n, .h = d->h[l]};
        status = wn_evict_logits(&rule, d->model, d->compute, &y, rows, err);
        for (size_t j = 0; j < g->n_kv_heads; j++)
            for (size_t t = 0; t < d->n; t++)
                d->logits[(l * g->n_kv_heads + j) * d->o.n_max + t] = rows[t * g->n_kv_heads + j];
    }
    free(rows);
    return status;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* What a gate's argument is without noise. */
static double argument(const wn_head_distill *d, size_t list, size_t t, double offset)
{
    return -((double)d->logits[list * d->o.n_max + t] + offset) / d->o.temperature;
}

typedef struct sums_run {
    const wn_head_distill *d;
    double offset, *sums; /* [n_lists] */
    bool hard;
} sums_run;

static void sum_list(void *ctx, size_t unit, size_t worker)
{
    const sums_run *r = ctx;
    double sum = 0;
    (void)worker;
    for (size_t t = 0; t < r->d->n_far; t++) {
        const double x = argument(r->d, unit, t, r->offset);
        sum += r->hard ? x >= 0 : sigmoid(x);
    }
    r->sums[unit] = sum;
}

/* The offset with which `keep` of the keys stay, in expectation or (hard) in number. */
static wn_status find_offset(const wn_head_distill *d, bool hard, double *offset, wn_error *err)
{
    double *sums = wn_alloc(d->n_lists, sizeof *sums);
    double low = -1e3, high = 1e3;
    if (!sums)
        return wn_error_set(err, WN_NO_MEMORY, "distilling heads: out of memory");
    const double wanted = d->o.keep * (double)(d->n_lists * d->n_far);
    for (int i = 0; i < 50; i++) {
        sums_run r = {d, (low + high) / 2, sums, hard};
        wn_thread_pool_run(wn_compute_pool(d->compute), d->n_lists, sum_list, &r);
        double sum = 0;
        for (size_t l = 0; l < d->n_lists; l++)
            sum += sums[l];
        if (sum > wanted) /* keeps too many */
            low = r.offset;
        else
            high = r.offset;
    }
    free(sums);
    *offset = high;
    return WN_OK;
}

static double logistic(wn_head_distill *d)
{
    const double u = wn_splitmix_share(wn_splitmix_next(&d->random)) + 0x1p-54; /* never 0 */
    return log(u / (1 - u));
}

/* Keys that are there, with log_keep for the soft ones; all of the window. */
static void choose_keys(wn_head_distill *d, double offset, bool hard)
{
    for (size_t i = 0; i < d->n_lists; i++) {
        uint32_t *at = d->at + i * d->o.n_max;
        float *log_keep = d->log_keep + i * d->o.n_max;
        size_t n = 0;
        for (size_t t = 0; t < d->n; t++) {
            const bool near = t >= d->n_far;
            double x = near ? 0 : argument(d, i, t, offset);
            if (!near && !hard)
                x += d->o.noise * logistic(d);
            if (!near && (hard ? x < 0 : x < FAINT))
                continue;
            at[n] = (uint32_t)t;
            log_keep[n++] = near || hard ? 0 : (float)-log1p(exp(-x));
        }
        d->keys[i] = (wn_soft_keys){.at = at,
                                    .log_keep = log_keep,
                                    .grad = hard ? NULL : d->key_grad + i * d->o.n_max,
                                    .n = n};
    }
}

typedef struct divergence_run {
    float *taught, *got; /* [n][n_vocab] logits; got becomes what the loss owes it */
    double *sums;        /* [n] */
    size_t n, n_vocab;
} divergence_run;

static double log_sum(const float *x, size_t n)
{
    float top = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (size_t i = 0; i < n; i++)
        sum += (double)expf(x[i] - top);
    return (double)top + log(sum);
}

static void diverge_row(void *ctx, size_t unit, size_t worker)
{
    const divergence_run *r = ctx;
    const float *p = r->taught + unit * r->n_vocab;
    float *q = r->got + unit * r->n_vocab;
    const double p_sum = log_sum(p, r->n_vocab), q_sum = log_sum(q, r->n_vocab);
    double sum = 0;
    (void)worker;
    for (size_t i = 0; i < r->n_vocab; i++) {
        const double lp = (double)p[i] - p_sum, lq = (double)q[i] - q_sum, e = exp(lp);
        sum += e * (lp - lq);
        q[i] = (float)((exp(lq) - e) / (double)r->n);
    }
    r->sums[unit] = sum;
}

static void project(wn_head_distill *d, const float *rows, size_t n, float *out)
{
    const wn_model_config *g = &d->model->config;
    wn_rmsnorm(d->compute, rows, d->model->final_norm, n, g->d_model, g->norm_eps, d->normed);
    wn_matmul(d->compute, d->model->output, d->normed, n, NULL, out);
}

/* Sum over the n judged rows in d->own, whose taught states are in `taught`; owed (unless NULL),
 * [n][d_model] and zero: what the mean owes d->own. */
static wn_status diverge(wn_head_distill *d, const float *taught, size_t n, float *owed,
                         double *sum, wn_error *err)
{
    const wn_model_config *g = &d->model->config;
    divergence_run r = {.taught = wn_alloc_aligned(64, n * g->n_vocab, sizeof(float)),
                        .got = wn_alloc_aligned(64, n * g->n_vocab, sizeof(float)),
                        .sums = wn_alloc(n, sizeof(double)),
                        .n = n,
                        .n_vocab = g->n_vocab};
    wn_status status = r.taught && r.got && r.sums
                           ? WN_OK
                           : wn_error_set(err, WN_NO_MEMORY, "distilling heads: out of memory");
    if (status == WN_OK) {
        project(d, taught, n, r.taught);
        project(d, d->own, n, r.got);
        wn_thread_pool_run(wn_compute_pool(d->compute), n, diverge_row, &r);
        for (size_t i = 0; i < n; i++)
            *sum += r.sums[i];
    }
    if (status == WN_OK && owed) {
        memset(d->normed, 0, n * g->d_model * sizeof *d->normed);
        status = wn_matmul_back(d->compute, d->model->output, r.got, n, d->normed, err);
        wn_rmsnorm_back(d->compute, d->own, d->model->final_norm, d->normed, n, g->d_model,
                        g->norm_eps, owed);
    }
    free(r.taught);
    free(r.got);
    free(r.sums);
    return status;
}

/* The taught states of questions order[0 .. n); the caller frees them. */
static float *taught_rows(const wn_head_distill *d, const size_t *order, size_t n, size_t n_judged)
{
    const size_t d_model = d->model->config.d_model;
    float *rows = wn_alloc(n_judged, d_model * sizeof *rows), *to = rows;
    for (size_t i = 0; rows && i < n; i++) {
        const distill_question *q = &d->text->questions[order[i]];
        memcpy(to, q->taught, q->n_judged * d_model * sizeof *to);
        to += q->n_judged * d_model;
    }
    return rows;
}

/* owed [n_judged][d_model] to the rows of the pass that they came from. */
static void spread(wn_head_distill *d, const size_t *order, size_t n, const float *owed)
{
    const size_t d_model = d->model->config.d_model;
    size_t end = 0;
    memset(d->owed, 0, d->o.n_rows * d_model * sizeof *d->owed);
    for (size_t i = 0; i < n; i++) {
        const distill_question *q = &d->text->questions[order[i]];
        end += q->n;
        memcpy(d->owed + (end - q->n_judged) * d_model, owed, q->n_judged * d_model * sizeof *owed);
        owed += q->n_judged * d_model;
    }
}

/* What the loss owes every logit, in place of the logits: through the keys' gates, and through the
 * offset, which answers a change of one logit so that the sum of all probabilities stays. */
static void logits_back(wn_head_distill *d, double offset)
{
    double all = 0, slopes = 0;
    for (size_t i = 0; i < d->n_lists; i++) {
        const wn_soft_keys *k = &d->keys[i];
        for (size_t j = 0; j < k->n; j++)
            if (k->at[j] < d->n_far) { /* d log_keep / dx = 1 - keep */
                k->grad[j] *= -expm1f(k->log_keep[j]);
                all += (double)k->grad[j];
            }
        for (size_t t = 0; t < d->n_far; t++) {
            const double s = sigmoid(argument(d, i, t, offset));
            slopes += s * (1 - s);
        }
    }
    const double each = slopes > 0 ? all / slopes : 0;
    for (size_t i = 0; i < d->n_lists; i++) {
        const wn_soft_keys *k = &d->keys[i];
        float *z = d->logits + i * d->o.n_max;
        for (size_t t = 0; t < d->n_far; t++) {
            const double s = sigmoid(argument(d, i, t, offset));
            z[t] = (float)(s * (1 - s) * each / d->o.temperature);
        }
        for (size_t j = 0; j < k->n; j++)
            if (k->at[j] < d->n_far)
                z[k->at[j]] -= k->grad[j] / (float)d->o.temperature;
    }
}

static void sum_columns(void *ctx, size_t unit, size_t worker)
{
    wn_head_distill *d = ctx;
    const wn_model_config *g = &d->model->config;
    const size_t n_units = (g->d_model + COLUMNS - 1) / COLUMNS, l = unit / n_units;
    const size_t from = unit % n_units * COLUMNS;
    const size_t n = g->d_model - from < COLUMNS ? g->d_model - from : COLUMNS;
    (void)worker;
    for (size_t j = 0; j < g->n_kv_heads; j++) {
        const size_t list = l * g->n_kv_heads + j;
        const float *z = d->logits + list * d->o.n_max;
        double sums[COLUMNS] = {0};
        for (size_t t = 0; t < d->n_far; t++)
            for (size_t i = 0; i < n; i++)
                sums[i] += (double)(z[t] * d->h[l][t * g->d_model + from + i]);
        for (size_t i = 0; i < n; i++)
            d->grad[list * g->d_model + from + i] = (float)sums[i];
    }
}

static void heads_back(wn_head_distill *d)
{
    const wn_model_config *g = &d->model->config;
    const size_t n_units = (g->d_model + COLUMNS - 1) / COLUMNS;
    wn_thread_pool_run(wn_compute_pool(d->compute), g->n_layers * n_units, sum_columns, d);
    for (size_t i = 0; i < d->n_lists; i++) {
        double sum = 0;
        for (size_t t = 0; t < d->n_far; t++)
            sum += (double)d->logits[i * d->o.n_max + t];
        d->bias_grad[i] = (float)sum;
    }
}

/* One number by Adam; returns how far it goes down. */
static float adam(float grad, float *mean, float *square, double rate, size_t step)
{
    const double b1 = 0.9, b2 = 0.98;
    *mean = (float)(b1 * (double)*mean + (1 - b1) * (double)grad);
    *square = (float)(b2 * (double)*square + (1 - b2) * (double)grad * (double)grad);
    const double m = (double)*mean / (1 - pow(b1, (double)step));
    const double s = (double)*square / (1 - pow(b2, (double)step));
    return (float)(rate * m / (sqrt(s) + 1e-8));
}

static double rate_now(const wn_head_distill *d)
{
    const double at = (double)d->n_done / (double)(d->o.n_steps + 1), warm = (double)d->n_done;
    const double fall = 0.1 + 0.9 * 0.5 * (1 + cos(3.14159265358979 * fmin(at, 1)));
    return d->o.rate * fall * fmin(1, warm / WARM_UP);
}

static void descend(wn_head_distill *d)
{
    const wn_model_config *g = &d->model->config;
    const double rate = rate_now(d);
    const size_t all = d->n_lists * g->d_model;
    for (size_t i = 0; i < all; i++) {
        const float rms = d->rms[i / (g->n_kv_heads * g->d_model) * g->d_model + i % g->d_model];
        d->weight[i] -= adam(d->grad[i] / rms, &d->mean[i], &d->square[i], rate, d->n_done) / rms;
    }
    for (size_t i = 0; i < d->n_lists; i++)
        d->bias[i] -= adam(d->bias_grad[i], &d->mean[all + i], &d->square[all + i],
                           BIAS_RATE * rate, d->n_done);
}

static void shuffle(wn_head_distill *d)
{
    for (size_t i = d->text->n_questions; i > 1; i--) {
        const size_t j = wn_splitmix_next(&d->random) % i, other = d->text->order[i - 1];
        d->text->order[i - 1] = d->text->order[j];
        d->text->order[j] = other;
    }
    d->text->next = 0;
}

/* Forward, and back to the keys' gradients. */
static wn_status learn(wn_head_distill *d, const size_t *order, size_t n, size_t n_rows,
                       double *loss, wn_error *err)
{
    const size_t d_model = d->model->config.d_model;
    WN_TRY(wn_distill_run(d, n_rows, err));
    const size_t n_judged = wn_distill_judged(d, order, n);
    float *taught = taught_rows(d, order, n, n_judged);
    float *owed = wn_alloc(n_judged, d_model * sizeof *owed);
    double sum = 0;
    wn_status status = taught && owed
                           ? diverge(d, taught, n_judged, owed, &sum, err)
                           : wn_error_set(err, WN_NO_MEMORY, "distilling heads: out of memory");
    if (status == WN_OK) {
        spread(d, order, n, owed);
        status = wn_soft_pass_back(d->pass, d->owed, d->keys, err);
    }
    *loss = sum / (double)n_judged;
    free(taught);
    free(owed);
    return status;
}

wn_status wn_distill_refresh(wn_head_distill *d, wn_error *err)
{
    if (!d->text)
        return WN_OK;
    WN_TRY(find_logits(d, err));
    return find_offset(d, true, &d->offset, err);
}

wn_status wn_head_distill_gradient(wn_head_distill *d, const size_t *order, size_t n, size_t n_rows,
                                   double *loss, wn_error *err)
{
    double offset = 0;
    WN_TRY(find_logits(d, err));
    WN_TRY(find_offset(d, false, &offset, err));
    choose_keys(d, offset, false);
    WN_TRY(learn(d, order, n, n_rows, loss, err));
    logits_back(d, offset);
    heads_back(d);
    return WN_OK;
}

wn_status wn_head_distill_step(wn_head_distill *d, double *loss, wn_error *err)
{
    assert(d->text);
    if (d->text->next == 0 || d->text->next == d->text->n_questions)
        shuffle(d);
    size_t n_rows = 0;
    const size_t *order = d->text->order + d->text->next;
    const size_t n = wn_distill_fill(d, order, d->text->n_questions - d->text->next, &n_rows);
    WN_TRY(wn_head_distill_gradient(d, order, n, n_rows, loss, err));
    d->text->next += n;
    d->n_done++;
    d->n_turn++;
    d->loss_sum += *loss;
    descend(d);
    return WN_OK;
}

wn_status wn_head_distill_judge(wn_head_distill *d, double *divergence, wn_error *err)
{
    double sum = 0;
    size_t n_all = 0;
    WN_TRY(wn_distill_refresh(d, err));
    choose_keys(d, d->offset, true);
    for (size_t first = 0; first < d->text->n_questions;) {
        size_t n_rows = 0;
        const size_t n =
            wn_distill_fill(d, d->text->order + first, d->text->n_questions - first, &n_rows);
        WN_TRY(wn_distill_run(d, n_rows, err));
        const size_t n_judged = wn_distill_judged(d, d->text->order + first, n);
        float *taught = taught_rows(d, d->text->order + first, n, n_judged);
        wn_status status = taught ? diverge(d, taught, n_judged, NULL, &sum, err)
                                  : wn_error_set(err, WN_NO_MEMORY, "out of memory");
        free(taught);
        WN_TRY(status);
        n_all += n_judged;
        first += n;
    }
    *divergence = sum / (double)n_all;
    return WN_OK;
}

size_t wn_head_distill_n_steps(const wn_head_distill *d)
{
    return d->n_done;
}

double wn_head_distill_loss(const wn_head_distill *d)
{
    return d->n_turn ? d->loss_sum / (double)d->n_turn : 0;
}
