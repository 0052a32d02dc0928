/* The choice of an instruction set, and failing allocations. */
#include "tests/unit/kernels/kernel_cases.h"

static void test_choice(void **state)
{
    (void)state;
    wn_compute *c = NULL;
    WN_ASSERT_OK(wn_compute_open(&c, NULL, err));
    printf("auto: %s\n", wn_compute_reason(c));
    assert_non_null(strstr(wn_compute_reason(c), wn_compute_isa(c)));
    assert_true(wn_compute_n_threads(c) >= 1);
    assert_non_null(wn_compute_pool(c));
    wn_compute_close(c);
    wn_compute_close(NULL);
    for (size_t i = 0; i < N_ISAS; i++) {
        c = case_compute(all_isas[i], 3);
        if (!c)
            continue;
        assert_string_equal(wn_compute_isa(c), all_isas[i]);
        assert_int_equal(wn_compute_n_threads(c), 3);
        wn_compute_close(c);
    }
}

static void test_unknown_isa(void **state)
{
    (void)state;
    wn_compute *c = NULL;
    wn_error err = {0};
    assert_int_equal(wn_compute_open(&c, &(wn_compute_options){.isa = "neon"}, &err), WN_INVALID);
    assert_non_null(strstr(err.text, "neon"));
    assert_null(c);
}

static void test_no_memory(void **state)
{
    (void)state;
    const wn_compute_options options = {.n_threads = 2, .isa = "ref"};
    for (size_t n = 1;; n++) {
        wn_compute *c = NULL;
        wn_error err = {0};
        wn_alloc_fail_after(n, true);
        const wn_status status = wn_compute_open(&c, &options, &err);
        wn_alloc_fail_after(0, false);
        if (status == WN_OK) {
            assert_true(n > 2);
            wn_compute_close(c);
            return;
        }
        assert_int_equal(status, WN_NO_MEMORY);
        assert_null(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_unknown_isa),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
