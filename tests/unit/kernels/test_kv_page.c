/* Pages of keys and values: layout, rounding of each format, copies. */
#include "kernels/kv_page.h"
#include "tests/unit/kernels/kernel_cases.h"

static const wn_kv_format formats[] = {WN_KV_F32, WN_KV_BF16, WN_KV_INT8};
static const size_t dims[] = {1, 33, 64, 80, 256};
#define N_FORMATS (sizeof formats / sizeof *formats)
#define N_DIMS (sizeof dims / sizeof *dims)

static void test_layout(void **state)
{
    (void)state;
    const wn_kv_layout f32 = wn_kv_layout_of(WN_KV_F32, 64);
    assert_int_equal(f32.page_bytes, 2 * 64 * 64 * 4);
    const wn_kv_layout bf16 = wn_kv_layout_of(WN_KV_BF16, 64);
    assert_int_equal(bf16.v_at, 64 * 64 * 2);
    assert_int_equal(bf16.page_bytes, 2 * 64 * 64 * 2);
    const wn_kv_layout int8 = wn_kv_layout_of(WN_KV_INT8, 128);
    assert_int_equal(int8.page_bytes, 2 * 64 * 128 + 2 * 64 * 2);
    const wn_kv_layout odd = wn_kv_layout_of(WN_KV_INT8, 33);
    assert_int_equal(odd.row_bytes, 33);
    assert_int_equal(odd.v_at % 64, 0);
    assert_int_equal(odd.page_bytes % 64, 0);
}

static void test_names(void **state)
{
    (void)state;
    wn_kv_format f = WN_KV_F32;
    for (size_t i = 0; i < N_FORMATS; i++) {
        assert_true(wn_kv_format_parse(wn_kv_format_name(formats[i]), &f));
        assert_int_equal(f, formats[i]);
    }
    assert_true(wn_kv_format_parse("auto", &f));
    assert_int_equal(f, WN_KV_AUTO);
    assert_false(wn_kv_format_parse("fp8", &f));
}

/* Half a unit in the last place of the format, for the largest of a row where it has one scale,
 * which bf16 may round up. */
static double error_bound(wn_kv_format f, double x, double top)
{
    return f == WN_KV_F32    ? 0
           : f == WN_KV_BF16 ? fabs(x) / 256
                             : top / 127 * (1 + 1.0 / 128) * 0.500001;
}

static void expect_row(wn_kv_format f, const float *x, const float *y, size_t n)
{
    double top = 0;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, fabs((double)x[i]));
    for (size_t i = 0; i < n; i++)
        case_close(x[i], y[i], error_bound(f, (double)x[i], top), wn_kv_format_name(f), i);
}

static void test_rounding_and_copies(void **state)
{
    (void)state;
    for (size_t c = 0; c < N_FORMATS * N_DIMS; c++) {
        const size_t d = dims[c / N_FORMATS];
        const wn_kv_layout l = wn_kv_layout_of(formats[c % N_FORMATS], d);
        uint8_t *page = wn_alloc(1, l.page_bytes), *other = wn_alloc(1, l.page_bytes);
        float *k = case_floats(WN_KV_SLOTS * d), *v = case_floats(WN_KV_SLOTS * d);
        float k_read[256], v_read[256], again[256];
        assert_true(page && other);
        for (size_t s = 0; s < WN_KV_SLOTS; s++)
            wn_kv_write(&l, page, s, k + s * d, v + s * d);
        for (size_t s = 0; s < WN_KV_SLOTS; s++) {
            wn_kv_read(&l, page, s, k_read, v_read);
            expect_row(l.format, k + s * d, k_read, d);
            expect_row(l.format, v + s * d, v_read, d);
            wn_kv_copy(&l, other, WN_KV_SLOTS - 1 - s, page, s);
            wn_kv_read(&l, other, WN_KV_SLOTS - 1 - s, again, v_read);
            assert_memory_equal(k_read, again, d * sizeof *again);
        }
        for (size_t s = 0; s < WN_KV_SLOTS; s++)
            wn_kv_copy(&l, other, s, page, s);
        assert_memory_equal(page, other, l.page_bytes);
        free(page);
        free(other);
        free(k);
        free(v);
    }
}

static void test_special_rows(void **state)
{
    (void)state;
    const wn_kv_layout l = wn_kv_layout_of(WN_KV_INT8, 4);
    uint8_t *page = wn_alloc(1, l.page_bytes);
    assert_non_null(page);
    const float zero[4] = {0}, row[4] = {-2.0f, 2.0f, 1.0f, -0.007f};
    const float scale = 0x82p-13f; /* the next of bf16 above 2 / 127 */
    const float expected[4] = {126 * -scale, 126 * scale, 63 * scale, 0};
    float k[4], v[4];
    wn_kv_write(&l, page, 63, zero, row);
    wn_kv_read(&l, page, 63, k, v);
    assert_memory_equal(k, zero, sizeof zero);
    for (size_t i = 0; i < 4; i++)
        case_close(expected[i], v[i], 1e-6, "int8", i);
    float scales[WN_KV_SLOTS];
    wn_kv_scales(page, l.v_scales_at, scales);
    assert_true(scales[63] == scale);
    wn_kv_scales(page, l.k_scales_at, scales);
    assert_true(scales[63] == 0);

    const wn_kv_layout b = wn_kv_layout_of(WN_KV_BF16, 4); /* page is large enough */
    const float ties[4] = {1.00390625f, 1.01171875f, -3.0f, 1e30f};
    wn_kv_write(&b, page, 0, ties, ties);
    wn_kv_read(&b, page, 0, k, v);
    assert_true(k[0] == 1.0f && k[1] == 1.015625f && k[2] == -3.0f); /* ties to even */
    case_close(1e30f, k[3], 1e30 / 256, "large", 3);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_rounding_and_copies),
        cmocka_unit_test(test_special_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
