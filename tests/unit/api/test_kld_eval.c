/* Distributions compared at one position, against values worked out by hand. */
#include <math.h>

#include "api/kld_eval.h"
#include "tests/test_support.h"

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static void same_logits_do_not_differ(void **state)
{
    (void)state;
    const float logits[] = {-3, 0.5f, 2, 1.99f};
    wn_kld_token t = wn_kld_compare(logits, logits, 4, 1);
    assert_true(t.kld == 0 && t.same_top && t.nll == t.nll_exact);
}

static void a_shift_of_all_logits_is_no_difference(void **state)
{
    (void)state;
    const float a[] = {1, 2, 4}, b[] = {101, 102, 104};
    wn_kld_token t = wn_kld_compare(a, b, 3, 0);
    assert_true(near(t.kld, 0) && t.same_top && near(t.nll, t.nll_exact));
}

static void divergence_is_of_the_exact_from_the_usual(void **state)
{
    (void)state;
    /* exact: 1/4, 3/4; usual: 1/2, 1/2 */
    const float usual[] = {0, 0}, exact[] = {0, 1.0986122886681098f};
    wn_kld_token t = wn_kld_compare(usual, exact, 2, 1);
    double expected = 0.25 * log(0.25 / 0.5) + 0.75 * log(0.75 / 0.5);
    assert_true(fabs(t.kld - expected) < 1e-7);
    assert_true(fabs(t.nll - log(2)) < 1e-7 && fabs(t.nll_exact + log(0.75)) < 1e-7);
    assert_false(t.same_top); /* the lowest id wins the tie */
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    const float usual[] = {3000, 2999, -3000}, exact[] = {3000, 2998, -3000};
    wn_kld_token t = wn_kld_compare(usual, exact, 3, 2);
    double p = 1 / (1 + exp(-2)), q = 1 / (1 + exp(-1));
    assert_true(fabs(t.kld - (p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)))) < 1e-9);
    assert_true(t.same_top && isfinite(t.nll) && t.nll > 5999);
}

static void quantiles_lie_between_neighbours(void **state)
{
    (void)state;
    const double v[] = {1, 2, 4, 8};
    assert_true(wn_kld_quantile(v, 4, 0) == 1 && wn_kld_quantile(v, 4, 1) == 8);
    assert_true(near(wn_kld_quantile(v, 4, 0.5), 3));
    assert_true(near(wn_kld_quantile(v, 4, 0.99), 4 * 0.03 + 8 * 0.97));
    assert_true(wn_kld_quantile(v, 1, 0.99) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_logits_do_not_differ),
        cmocka_unit_test(a_shift_of_all_logits_is_no_difference),
        cmocka_unit_test(divergence_is_of_the_exact_from_the_usual),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(quantiles_lie_between_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
