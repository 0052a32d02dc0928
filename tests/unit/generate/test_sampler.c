#include "tests/test_support.h"

#include <math.h>

#include "base/checked.h"
#include "generate/sampler.h"
#include "tests/alloc_failure.h"

enum { N = 8 };
static const float logits[N] = {1.0f, 3.0f, 2.0f, -1.0f, 3.0f, 0.0f, 2.5f, -4.0f};

static wn_sampler *open_with(wn_sampler_options o)
{
    wn_sampler *s = NULL;
    WN_ASSERT_OK(wn_sampler_open(&s, &o, N, err));
    return s;
}

/* Counts of n_draws draws; ids outside the vocabulary fail. */
static void count_draws(wn_sampler_options o, const float *x, size_t n_draws, size_t counts[N])
{
    wn_sampler *s = open_with(o);
    memset(counts, 0, N * sizeof *counts);
    for (size_t i = 0; i < n_draws; i++) {
        int32_t id = wn_sampler_next(s, x);
        assert_in_range(id, 0, N - 1);
        counts[id]++;
    }
    wn_sampler_close(s);
}

/* Pearson's chi-square of the counts against probabilities that are 0 for what must never come. */
static double chi_square(const size_t counts[N], const double p[N], size_t n_draws)
{
    double sum = 0;
    for (size_t i = 0; i < N; i++) {
        double expected = p[i] * (double)n_draws, d = (double)counts[i] - expected;
        if (p[i] == 0)
            assert_int_equal(counts[i], 0);
        else
            sum += d * d / expected;
    }
    return sum;
}

static void softmax(double p[N], const float *x, double temperature, unsigned keep)
{
    double total = 0;
    for (int i = 0; i < N; i++)
        total += p[i] = keep >> i & 1 ? exp((double)x[i] / temperature) : 0;
    for (int i = 0; i < N; i++)
        p[i] /= total;
}

/* 99.9 % quantiles of chi-square with 1 to 7 degrees of freedom: with a fixed seed this is no
 * gamble. */
static const double chi_limit[] = {0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32};

static void assert_distribution(wn_sampler_options o, const float *x, double temperature,
                                unsigned keep)
{
    enum { DRAWS = 40000 };
    size_t counts[N];
    double p[N];
    int degrees = -1;
    for (int i = 0; i < N; i++)
        degrees += (int)(keep >> i & 1);
    softmax(p, x, temperature, keep);
    count_draws(o, x, DRAWS, counts);
    double chi = chi_square(counts, p, DRAWS);
    if (chi > chi_limit[degrees])
        fail_msg("chi-square %.1f with %d degrees of freedom", chi, degrees);
}

static wn_sampler_options sampling(float temperature)
{
    wn_sampler_options o = WN_SAMPLER_GREEDY;
    o.temperature = temperature;
    o.seed = 20240501;
    return o;
}

static void test_greedy(void **state)
{
    (void)state;
    wn_sampler *s = open_with(WN_SAMPLER_GREEDY);
    for (int i = 0; i < 5; i++)
        assert_int_equal(wn_sampler_next(s, logits), 1); /* 1 and 4 tie */
    float last[N] = {0, 0, 0, 0, 0, 0, 0, 1};
    assert_int_equal(wn_sampler_next(s, last), 7);
    wn_sampler_close(s);
}

static void test_temperature(void **state)
{
    (void)state;
    assert_distribution(sampling(1.0f), logits, 1.0, 0xFF);
    assert_distribution(sampling(0.5f), logits, 0.5, 0xFF);
    assert_distribution(sampling(3.0f), logits, 3.0, 0xFF);
}

static void test_top_k(void **state)
{
    (void)state;
    wn_sampler_options o = sampling(1.0f);
    o.top_k = 3;
    assert_distribution(o, logits, 1.0, 1u << 1 | 1u << 4 | 1u << 6);
    o.top_k = 1; /* the lower id of the tie */
    size_t counts[N];
    count_draws(o, logits, 50, counts);
    assert_int_equal(counts[1], 50);
    o.top_k = 100;
    assert_distribution(o, logits, 1.0, 0xFF);
}

static void test_top_p(void **state)
{
    (void)state;
    /* probabilities .35 .35 .22 of the best: ids 1, 4, 6, 2 at .324 .324 .197 .119 */
    wn_sampler_options o = sampling(1.0f);
    o.top_p = 0.6f;
    assert_distribution(o, logits, 1.0, 1u << 1 | 1u << 4);
    o.top_p = 0.7f;
    assert_distribution(o, logits, 1.0, 1u << 1 | 1u << 4 | 1u << 6);
    o.top_p = 1e-6f; /* never fewer than one */
    size_t counts[N];
    count_draws(o, logits, 50, counts);
    assert_int_equal(counts[1], 50);
    o.top_p = 0.8f; /* of what top-k leaves: .383 .383 .233 */
    o.top_k = 3;
    assert_distribution(o, logits, 1.0, 1u << 1 | 1u << 4 | 1u << 6);
    o.top_p = 0.76f;
    assert_distribution(o, logits, 1.0, 1u << 1 | 1u << 4);
}

static void test_min_p(void **state)
{
    (void)state;
    wn_sampler_options o = sampling(1.0f);
    o.min_p = 0.3f; /* logit 2 is at exp(-1) = .368 of the best, logit 1 at .135 */
    assert_distribution(o, logits, 1.0, 1u << 1 | 1u << 4 | 1u << 6 | 1u << 2);
    o.min_p = 1.0f;
    assert_distribution(o, logits, 1.0, 1u << 1 | 1u << 4);
    o.min_p = 0.5f;
    o.top_k = 5;
    assert_distribution(o, logits, 1.0, 1u << 1 | 1u << 4 | 1u << 6);
}

static void test_repetition_penalty(void **state)
{
    (void)state;
    wn_sampler_options o = WN_SAMPLER_GREEDY;
    o.repetition_penalty = 2.0f;
    o.penalty_last_n = 3;
    wn_sampler *s = open_with(o);
    assert_int_equal(wn_sampler_next(s, logits), 1); /* 3 becomes 1.5 */
    assert_int_equal(wn_sampler_next(s, logits), 4);
    assert_int_equal(wn_sampler_next(s, logits), 6); /* 2.5 becomes 1.25 */
    assert_int_equal(wn_sampler_next(s, logits), 2); /* pushes 1 out of the last three */
    assert_int_equal(wn_sampler_next(s, logits), 1);
    wn_sampler_close(s);

    /* twice in the ring is penalised once: 3 / 2 stays above 1.4; a negative logit is multiplied */
    const float x[N] = {-2, 3, 1.4f, -3, -9, -9, -9, -9}, y[N] = {-2, -9, -9, -3, -9, -9, -9, -9};
    s = open_with(o);
    wn_sampler_accept(s, 1);
    wn_sampler_accept(s, 1);
    assert_int_equal(wn_sampler_next(s, x), 1);
    wn_sampler_accept(s, 0);
    assert_int_equal(wn_sampler_next(s, y), 3); /* -4 is below -3 */
    wn_sampler_accept(s, -1);                   /* ids of nothing are passed over */
    wn_sampler_accept(s, N);
    wn_sampler_close(s);
}

static void test_default_penalty_length_is_64(void **state)
{
    (void)state;
    wn_sampler_options o = WN_SAMPLER_GREEDY;
    o.repetition_penalty = 100.0f;
    wn_sampler *s = open_with(o);
    wn_sampler_accept(s, 1);
    for (int i = 0; i < 63; i++)
        wn_sampler_accept(s, 7);
    const float x[N] = {0, 3, 2, 0, 0, 0, 0, 0};
    assert_int_equal(wn_sampler_next(s, x), 2); /* 1 is the 64th back */
    wn_sampler_close(s);
}

static void test_seed(void **state)
{
    (void)state;
    wn_sampler *a = open_with(sampling(1.0f)), *b = open_with(sampling(1.0f));
    wn_sampler_options o = sampling(1.0f);
    o.seed++;
    wn_sampler *c = open_with(o);
    int n_other = 0;
    for (int i = 0; i < 200; i++) {
        int32_t id = wn_sampler_next(a, logits);
        assert_int_equal(id, wn_sampler_next(b, logits));
        n_other += id != wn_sampler_next(c, logits);
    }
    assert_true(n_other > 50);
    wn_sampler_close(a);
    wn_sampler_close(b);
    wn_sampler_close(c);
}

/* The first draws of a seed are part of the contract: the same on any machine and in any version.
 */
static void test_known_draws(void **state)
{
    (void)state;
    wn_sampler_options o = sampling(1.0f);
    o.seed = 42;
    wn_sampler *s = open_with(o);
    char got[33] = "";
    for (size_t i = 0; i < 32; i++)
        got[i] = (char)('0' + wn_sampler_next(s, logits));
    /* from ten lines of Python: splitmix64, then the first id whose cumulated weight passes */
    assert_string_equal(got, "41110615141444411414614411446446");
    wn_sampler_close(s);
}

static void test_strange_logits(void **state)
{
    (void)state;
    const float nan_first[N] = {NAN, 1, 2, NAN, 0, 0, 0, 0};
    const float inf[N] = {0, INFINITY, 1, -INFINITY, 0, 0, 0, 0};
    const float nothing[N] = {-INFINITY, -INFINITY, NAN, NAN, -INFINITY, NAN, NAN, NAN};
    wn_sampler_options o = sampling(0.7f);
    o.repetition_penalty = 1.5f;
    o.top_p = 0.9f;
    wn_sampler *warm = open_with(o), *greedy = open_with(WN_SAMPLER_GREEDY);
    assert_int_equal(wn_sampler_next(greedy, nan_first), 2);
    assert_int_equal(wn_sampler_next(greedy, inf), 1);
    assert_int_equal(wn_sampler_next(greedy, nothing), 0);
    for (int i = 0; i < 100; i++) {
        int32_t id = wn_sampler_next(warm, nan_first);
        assert_true(id != 0 && id != 3);
        assert_int_equal(wn_sampler_next(warm, inf), 1);
        assert_int_equal(wn_sampler_next(warm, nothing), 0);
    }
    wn_sampler_close(warm);
    wn_sampler_close(greedy);
    o = sampling(1e-30f); /* next to greedy */
    size_t counts[N];
    const float x[N] = {0, 1, 1.0001f, 0, 0, 0, 0, 0};
    count_draws(o, x, 20, counts);
    assert_int_equal(counts[2], 20);
}

static void assert_option_refused(wn_sampler_options o, const char *field)
{
    wn_sampler *s = NULL;
    wn_error err = {0};
    assert_int_equal(wn_sampler_open(&s, &o, N, &err), WN_INVALID);
    assert_null(s);
    assert_non_null(strstr(err.text, field));
}

static void test_options_are_checked(void **state)
{
    (void)state;
#define REFUSE(field, value)                                                                       \
    do {                                                                                           \
        wn_sampler_options o = WN_SAMPLER_GREEDY;                                                  \
        o.field = (value);                                                                         \
        assert_option_refused(o, #field);                                                          \
    } while (0)
    REFUSE(temperature, -0.1f);
    REFUSE(temperature, NAN);
    REFUSE(temperature, INFINITY);
    REFUSE(top_k, -1);
    REFUSE(top_p, 0);
    REFUSE(top_p, 1.01f);
    REFUSE(top_p, NAN);
    REFUSE(min_p, -0.1f);
    REFUSE(min_p, 1.5f);
    REFUSE(repetition_penalty, 0);
    REFUSE(repetition_penalty, NAN);
    REFUSE(penalty_last_n, (size_t)1 << 21);
    wn_sampler *s = NULL;
    assert_int_equal(wn_sampler_open(&s, &WN_SAMPLER_GREEDY, 0, NULL), WN_INVALID);
    wn_sampler_close(NULL);
}

static wn_status open_and_draw(void *ctx, wn_error *err)
{
    wn_sampler *s = NULL;
    WN_TRY(wn_sampler_open(&s, ctx, N, err));
    size_t before = wn_alloc_count();
    for (int i = 0; i < 10; i++)
        (void)wn_sampler_next(s, logits);
    assert_int_equal(wn_alloc_count(), before); /* none on the token path */
    wn_sampler_close(s);
    return WN_OK;
}

static void test_allocations(void **state)
{
    (void)state;
    wn_sampler_options o = sampling(0.8f);
    o.top_k = 4;
    o.top_p = 0.9f;
    wn_test_each_alloc_fails(open_and_draw, &o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_top_p),
        cmocka_unit_test(test_min_p),
        cmocka_unit_test(test_repetition_penalty),
        cmocka_unit_test(test_default_penalty_length_is_64),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_known_draws),
        cmocka_unit_test(test_strange_logits),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
