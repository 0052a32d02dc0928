/* Regions are shared, zeroed, replaced when full, and live until the last reference goes. */
#include "tests/test_support.h"

#include "base/checked.h"
#include "kernels/panel_region.h"

static void test_carve(void **state)
{
    (void)state;
    enum { PIECES = 5 };
    const size_t piece = ((size_t)9 << 20) + 17; /* three to a region */
    wn_panel_region *current = NULL, *held[PIECES];
    uint8_t *data[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        data[i] = wn_panel_region_carve(&current, piece);
        assert_non_null(data[i]);
        assert_int_equal((uintptr_t)data[i] % 64, 0);
        held[i] = current;
        for (size_t at = 0; at < piece; at += 4099)
            assert_int_equal(data[i][at], 0);
        memset(data[i], (int)i + 1, piece);
    }
    assert_ptr_equal(held[0], held[2]);
    assert_ptr_not_equal(held[2], held[3]);
    wn_panel_region_release(current); /* the pieces live on without it */
    for (size_t i = 0; i < PIECES; i++) {
        assert_int_equal(data[i][0], i + 1);
        assert_int_equal(data[i][piece - 1], i + 1);
        wn_panel_region_release(held[i]);
    }
    wn_panel_region_release(NULL);
}

static void test_large_and_refused(void **state)
{
    (void)state;
    wn_panel_region *current = NULL;
    const size_t large = (size_t)40 << 20;
    uint8_t *p = wn_panel_region_carve(&current, large); /* more than a region usually has */
    assert_non_null(p);
    p[large - 1] = 1;
    wn_panel_region *before = current;
    assert_null(wn_panel_region_carve(&current, SIZE_MAX - 5));
    wn_alloc_fail_after(1, true);
    assert_null(wn_panel_region_carve(&current, 64));
    wn_alloc_fail_after(2, true);
    assert_null(wn_panel_region_carve(&current, 64));
    wn_alloc_fail_after(0, false);
    assert_ptr_equal(current, before); /* nothing is lost */
    wn_panel_region_release(before);
    wn_panel_region_release(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carve),
        cmocka_unit_test(test_large_and_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
