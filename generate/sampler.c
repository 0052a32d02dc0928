#include "generate/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/splitmix.h"

#define DEFAULT_PENALTY_LAST_N 64
#define MAX_PENALTY_LAST_N (1u << 20)

typedef struct candidate {
    double weight; /* first the logit, later exp((logit - max) / temperature) */
    int32_t id;
} candidate;

struct wn_sampler {
    wn_sampler_options o;
    size_t n_vocab;
    candidate *candidates; /* [n_vocab] */
    int32_t *recent;       /* ring [penalty_last_n] */
    size_t n_recent;       /* ids remembered since open; the ring holds the last of them */
    uint64_t n_draws;
};

static wn_status check_options(const wn_sampler_options *o, wn_error *err)
{
    if (!(o->temperature >= 0) || o->temperature > FLT_MAX)
        return wn_error_set(err, WN_INVALID, "temperature must be 0 or more, not %g",
                            (double)o->temperature);
    if (o->top_k < 0)
        return wn_error_set(err, WN_INVALID, "top_k must be 0 or more, not %d", o->top_k);
    if (!(o->top_p > 0 && o->top_p <= 1))
        return wn_error_set(err, WN_INVALID, "top_p must be in (0, 1], not %g", (double)o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1))
        return wn_error_set(err, WN_INVALID, "min_p must be in [0, 1], not %g", (double)o->min_p);
    if (!(o->repetition_penalty > 0) || o->repetition_penalty > FLT_MAX)
        return wn_error_set(err, WN_INVALID, "repetition_penalty must be above 0, not %g",
                            (double)o->repetition_penalty);
    if (o->penalty_last_n > MAX_PENALTY_LAST_N)
        return wn_error_set(err, WN_INVALID, "penalty_last_n must be at most %u, not %zu",
                            MAX_PENALTY_LAST_N, o->penalty_last_n);
    return WN_OK;
}

wn_status wn_sampler_open(wn_sampler **out, const wn_sampler_options *o, size_t n_vocab,
                          wn_error *err)
{
    WN_TRY(check_options(o, err));
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return wn_error_set(err, WN_INVALID, "n_vocab must be 1 to %d, not %zu", INT32_MAX,
                            n_vocab);
    wn_sampler *s = wn_alloc(1, sizeof *s);
    if (s) {
        s->o = *o;
        s->n_vocab = n_vocab;
        if (s->o.penalty_last_n == 0)
            s->o.penalty_last_n = DEFAULT_PENALTY_LAST_N;
        s->candidates = wn_alloc(n_vocab, sizeof *s->candidates);
        s->recent = wn_alloc(s->o.penalty_last_n, sizeof *s->recent);
    }
    if (!s || !s->candidates || !s->recent) {
        wn_sampler_close(s);
        return wn_error_set(err, WN_NO_MEMORY, "sampler: out of memory");
    }
    *out = s;
    return WN_OK;
}

void wn_sampler_close(wn_sampler *s)
{
    if (!s)
        return;
    free(s->candidates);
    free(s->recent);
    free(s);
}

void wn_sampler_accept(wn_sampler *s, int32_t id)
{
    if (id < 0 || (size_t)id >= s->n_vocab)
        return;
    s->recent[s->n_recent % s->o.penalty_last_n] = id;
    s->n_recent++;
}

/* Draw i depends on seed and i alone. */
static double uniform_draw(wn_sampler *s)
{
    const uint64_t z = wn_splitmix_of(s->o.seed + ++s->n_draws * WN_SPLITMIX_STEP);
    return wn_splitmix_share(z);
}

/* exp for x <= 0 by range reduction and a polynomial: the C library's may differ in the last bit
 * from one machine to the next, and then a seed would not mean the same text everywhere. */
static double exp_portable(double x)
{
    static const double ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
    static const double reciprocal[] = {0,        1,        1.0 / 2,  1.0 / 3, 1.0 / 4,
                                        1.0 / 5,  1.0 / 6,  1.0 / 7,  1.0 / 8, 1.0 / 9,
                                        1.0 / 10, 1.0 / 11, 1.0 / 12, 1.0 / 13};
    if (!(x > -700))
        return 0;
    double k = floor(x * 1.44269504088896338700 + 0.5);
    double r = (x - k * ln2_hi) - k * ln2_lo; /* |r| <= ln2 / 2 */
    double sum = 1;                           /* Taylor, 13 terms: below the last bit of a double */
    for (size_t i = 13; i > 0; i--)
        sum = 1 + r * reciprocal[i] * sum;
    return ldexp(sum, (int)k);
}

/* Logits to candidates, in order of ids, with the repetition penalty; NaN counts as never. */
static void fill_candidates(wn_sampler *s, const float *logits)
{
    candidate *c = s->candidates;
    double penalty = (double)s->o.repetition_penalty;
    for (size_t i = 0; i < s->n_vocab; i++) {
        float x = logits[i];
        c[i] = (candidate){isnan(x) ? -INFINITY : x > FLT_MAX ? FLT_MAX : (double)x, (int32_t)i};
    }
    size_t n = s->n_recent < s->o.penalty_last_n ? s->n_recent : s->o.penalty_last_n;
    if (s->o.repetition_penalty == 1.0f)
        return;
    for (size_t k = 0; k < n; k++) {
        /* from the logit, not from the candidate: an id that is there twice is penalised once */
        int32_t id = s->recent[k];
        double x = (double)logits[id];
        if (!isnan(x) && fabs(x) <= (double)FLT_MAX)
            c[id].weight = x > 0 ? x / penalty : x * penalty;
    }
}

/* The lowest id among the greatest weights. */
static size_t best_of(const candidate *c, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (c[i].weight > c[best].weight)
            best = i;
    return best;
}

/* The same of logits as they are: what fill_candidates and best_of find where nothing is penalised.
 */
static int32_t best_logit(const float *logits, size_t n)
{
    float most = -INFINITY;
    size_t best = 0;
    for (size_t i = 0; i < n; i++) {
        const float x = logits[i] > FLT_MAX ? FLT_MAX : logits[i];
        if (x > most) { /* NaN is not */
            most = x;
            best = i;
        }
    }
    return (int32_t)best;
}

static bool before(const candidate *a, const candidate *b)
{
    return a->weight > b->weight || (a->weight == b->weight && a->id < b->id);
}

static void sift_down(candidate *heap, size_t n, size_t i)
{
    candidate moving = heap[i];
    for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &moving))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moving;
}

/* Moves the greatest of the heap's n candidates to place n - 1. */
static const candidate *pop(candidate *heap, size_t n)
{
    candidate top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    sift_down(heap, n - 1, 0);
    return &heap[n - 1];
}

static void heapify(candidate *c, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(c, n, i);
}

/* The fewest greatest of c[0, n) whose weights reach the share top_p end up as c[n - result, n). A
 * heap gives them one by one, so that the rest of the vocabulary is never sorted. */
static size_t cut_top_p(candidate *c, size_t n, double top_p)
{
    double total = 0, kept = 0;
    for (size_t i = 0; i < n; i++)
        total += c[i].weight;
    heapify(c, n);
    for (size_t i = 0; i < n; i++) {
        kept += pop(c, n - i)->weight;
        if (kept >= top_p * total)
            return i + 1;
    }
    return n;
}

/* Draws among c[0, n) by weight, those below `least` left out. */
static int32_t draw(wn_sampler *s, const candidate *c, size_t n, double least)
{
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += c[i].weight >= least ? c[i].weight : 0;
    double rest = uniform_draw(s) * total;
    size_t last = n;
    for (size_t i = 0; i < n; i++) {
        if (c[i].weight < least || c[i].weight <= 0)
            continue;
        last = i;
        rest -= c[i].weight;
        if (rest < 0)
            break;
    }
    return c[last].id; /* the greatest weight is 1, so last is set */
}

static int32_t sample(wn_sampler *s)
{
    candidate *c = s->candidates;
    size_t n = s->n_vocab, k = (size_t)s->o.top_k;
    double max = c[best_of(c, n)].weight, temperature = (double)s->o.temperature;
    if (k > 0 && k < n) { /* on logits: only the k kept need exp */
        heapify(c, n);
        for (size_t i = 0; i < k; i++)
            (void)pop(c, n - i);
        c += n - k;
        n = k;
    }
    for (size_t i = 0; i < n; i++)
        c[i].weight = exp_portable((c[i].weight - max) / temperature);
    if (s->o.top_p < 1) {
        size_t kept = cut_top_p(c, n, (double)s->o.top_p);
        c += n - kept;
        n = kept;
    }
    return draw(s, c, n, (double)s->o.min_p);
}

static int32_t choose(wn_sampler *s, const float *logits)
{
    if (s->o.temperature == 0 && s->o.repetition_penalty == 1.0f)
        return best_logit(logits, s->n_vocab);
    fill_candidates(s, logits);
    const size_t best = best_of(s->candidates, s->n_vocab);
    const bool greedy = s->o.temperature == 0 || s->candidates[best].weight == -INFINITY;
    return greedy ? (int32_t)best : sample(s);
}

int32_t wn_sampler_next(wn_sampler *s, const float *logits)
{
    const int32_t id = choose(s, logits);
    wn_sampler_accept(s, id);
    return id;
}
