/* What a row of `winnow bench` makes of its rates. */
#include "api/speed_bench.h"
#include "tests/test_support.h"

static void odd_number_has_a_middle(void **state)
{
    (void)state;
    double rates[] = {5, 1, 4, 2, 3.5};
    assert_true(wn_speed_median(rates, 5) == 3.5);
    assert_true(rates[0] == 1 && rates[4] == 5);
}

static void even_number_has_two(void **state)
{
    (void)state;
    double rates[] = {8, 1, 4, 2};
    assert_true(wn_speed_median(rates, 4) == 3);
    assert_true(rates[0] == 1 && rates[3] == 8);
}

static void one_is_its_own_median(void **state)
{
    (void)state;
    double rate = 7;
    assert_true(wn_speed_median(&rate, 1) == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_number_has_a_middle),
        cmocka_unit_test(even_number_has_two),
        cmocka_unit_test(one_is_its_own_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
