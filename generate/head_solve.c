/* The regressions: centred normal equations with a ridge, by Cholesky in double. */
#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "generate/head_fit_internal.h"

/* The losses are those of single keys: where a head spreads its attention over a whole text each is
 * small, and all of them together are what the head reads; so not all of what heads' means differ
 * in stands. On the 1.5B, 100 questions behind a prefix of 8,108 tokens, 4.2 times fewer slots, the
 * divergence of the tokens of the dense model's answers is 0.130 with all of it, 0.109 with 0.75,
 * 0.102 with 0.6, 0.093 with 0.5, 0.146 with 0.4 and 0.44 with 0.25. */
static double means_of(const wn_head_fit *f)
{
    return f->o.means > 0 ? f->o.means : 0.6;
}

typedef struct solve_run {
    const wn_head_fit *f;
    double *squares; /* [n_threads][d][d] */
    double *sides;   /* [n_threads][d] */
    float *weight, *bias;
    double *r2; /* [n_layers] */
} solve_run;

/* What is left unexplained stays about as large with every key more; what would be learnt from it
 * by chance shrinks with d / n. On a text of passages that the 1.5B's fit had not seen (16,252 keys
 * learnt from) 0.01 explains 0.59 of the variance, 0.1 0.62, 0.3 0.64 and 1 0.63. */
static double ridge_of(const wn_head_fit *f)
{
    return f->o.ridge > 0 ? f->o.ridge : 3 * (double)f->d / (double)f->n_keys;
}

/* Lower triangle of the inputs' covariance times n, with the ridge. */
static void covariance(const wn_head_fit *f, const float *sums, double *a)
{
    const size_t d = f->d;
    const double n = (double)f->n_keys;
    double trace = 0;
    for (size_t i = 0; i < d; i++) {
        const double mean = (double)sums[i * f->n_cols + d] / n;
        for (size_t j = 0; j <= i; j++)
            a[i * d + j] = (double)sums[i * f->n_cols + j] - mean * (double)sums[j * f->n_cols + d];
        trace += a[i * d + i];
    }
    const double ridge = ridge_of(f) * trace / (double)d;
    for (size_t i = 0; i < d; i++)
        a[i * d + i] += ridge > 0 ? ridge : 1;
}

static void factor(double *a, size_t d)
{
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            const double *x = a + i * d, *y = a + j * d;
            double s = x[j];
            for (size_t k = 0; k < j; k++)
                s -= x[k] * y[k];
            a[i * d + j] = i == j ? sqrt(s > 1e-30 ? s : 1e-30) : s / y[j];
        }
}

static void substitute(const double *a, size_t d, double *b)
{
    for (size_t i = 0; i < d; i++) {
        for (size_t k = 0; k < i; k++)
            b[i] -= a[i * d + k] * b[k];
        b[i] /= a[i * d + i];
    }
    for (size_t i = d; i-- > 0;) {
        b[i] /= a[i * d + i];
        for (size_t k = 0; k < i; k++)
            b[k] -= a[i * d + k] * b[i];
    }
}

/* One regression; returns the share of the target's variance that it explains. With w the solution
 * of (C + r) w = c, the squared error is n var(y) - 2 w c + w C w = n var(y) - w c - r w w. */
static double solve_head(const wn_head_fit *f, size_t layer, size_t head, const double *a,
                         double *w, float *weight, float *bias, double ridge)
{
    const size_t d = f->d;
    const float *sums = f->sums + layer * f->n_rows * f->n_cols;
    const float *target = sums + (d + 1 + head) * f->n_cols;
    const double n = (double)f->n_keys, mean = (double)target[d] / n;
    double along = 0, length = 0, offset = mean;
    for (size_t i = 0; i < d; i++)
        w[i] = (double)target[i] - mean * (double)sums[i * f->n_cols + d];
    substitute(a, d, w);
    for (size_t i = 0; i < d; i++) {
        const double input = (double)sums[i * f->n_cols + d];
        along += w[i] * ((double)target[i] - mean * input);
        length += w[i] * w[i];
        offset -= w[i] * input / n;
        weight[i] = -(float)w[i];
    }
    *bias = -(float)(offset - (1 - means_of(f)) * mean);
    const double total = f->squares[layer * f->n_targets + head] - n * mean * mean;
    return total > 0 ? (along + ridge * length) / total : 0;
}

static void solve_layer(void *ctx, size_t layer, size_t worker)
{
    const solve_run *r = ctx;
    const wn_head_fit *f = r->f;
    const size_t d = f->d;
    double *a = r->squares + worker * d * d, *w = r->sides + worker * d, trace = 0;
    const float *sums = f->sums + layer * f->n_rows * f->n_cols;
    for (size_t i = 0; i < d; i++) {
        const double sum = (double)sums[i * f->n_cols + d];
        trace += (double)sums[i * f->n_cols + i] - sum * sum / (double)f->n_keys;
    }
    covariance(f, sums, a);
    factor(a, d);
    r->r2[layer] = 0;
    for (size_t h = 0; h < f->n_targets; h++) {
        const size_t row = layer * f->n_targets + h;
        r->r2[layer] += solve_head(f, layer, h, a, w, r->weight + row * d, r->bias + row,
                                   ridge_of(f) * trace / (double)d) /
                        (double)f->n_targets;
    }
}

wn_status wn_head_fit_solve(wn_head_fit *f, float *weight, float *bias, double *r2, wn_error *err)
{
    wn_thread_pool *pool = wn_compute_pool(f->compute);
    const size_t n_threads = wn_thread_pool_size(pool);
    if (f->n_keys == 0)
        return wn_error_set(err, WN_INVALID, "head fit: no text was read");
    solve_run r = {.f = f,
                   .squares = wn_alloc(n_threads * f->d, f->d * sizeof *r.squares),
                   .sides = wn_alloc(n_threads, f->d * sizeof *r.sides),
                   .weight = weight,
                   .bias = bias,
                   .r2 = wn_alloc(f->n_layers, sizeof *r.r2)};
    wn_status status = WN_OK;
    if (!r.squares || !r.sides || !r.r2)
        status = wn_error_set(err, WN_NO_MEMORY, "no memory to solve for %zu inputs", f->d);
    if (status == WN_OK)
        wn_thread_pool_run(pool, f->n_layers, solve_layer, &r);
    double sum = 0;
    for (size_t i = 0; status == WN_OK && i < f->n_layers; i++)
        sum += r.r2[i];
    if (r2)
        *r2 = sum / (double)f->n_layers;
    free(r.squares);
    free(r.sides);
    free(r.r2);
    return status;
}
