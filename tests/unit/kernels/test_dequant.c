/* Dequantisation against the gguf package (bit for bit), conversions, and tensors that lie. */
#include "tests/unit/kernels/kernel_cases.h"

static uint8_t *read_golden(const char *type, const char *kind, size_t *n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/golden/dequant/%s.%s", WN_SOURCE_DIR, type, kind);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    uint8_t *bytes = wn_alloc(1 << 20, 1);
    assert_non_null(bytes);
    *n = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}

static void test_golden_blocks(void **state)
{
    (void)state;
    static const wn_dtype types[] = {WN_DTYPE_Q8_0, WN_DTYPE_Q4_0, WN_DTYPE_Q4_1,
                                     WN_DTYPE_Q4_K, WN_DTYPE_Q5_K, WN_DTYPE_Q6_K};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        size_t n_blocks = 0, n_values = 0;
        uint8_t *blocks = read_golden(wn_dtype_name(types[t]), "blocks", &n_blocks);
        uint8_t *values = read_golden(wn_dtype_name(types[t]), "f32", &n_values);
        const size_t n = n_values / sizeof(float);
        assert_int_equal(n, n_blocks / wn_dtype_block_bytes(types[t]) *
                                wn_dtype_block_elements(types[t]));
        float *out = wn_alloc(n, sizeof *out);
        assert_non_null(out);
        wn_dequantize(types[t], blocks, out, n);
        assert_memory_equal(out, values, n_values);
        free(out);
        free(values);
        free(blocks);
    }
}

static void test_f16_all(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const uint16_t half = (uint16_t)bits;
        const int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
        float out;
        wn_dequantize(WN_DTYPE_F16, &half, &out, 1);
        double expected =
            exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
        if (exponent == 31)
            expected = fraction ? (double)NAN : (double)INFINITY;
        if (isnan(expected))
            assert_true(isnan(out));
        else
            assert_true((double)out == (bits >> 15 ? -expected : expected));
        assert_int_equal(signbit(out) != 0, bits >> 15);
    }
}

static void test_bf16(void **state)
{
    (void)state;
    const uint16_t in[5] = {0x3f80, 0xc000, 0x0001, 0x8000, 0x7f80};
    float out[5];
    wn_dequantize(WN_DTYPE_BF16, in, out, 5);
    assert_true(out[0] == 1.0f && out[1] == -2.0f && out[2] == 0x1p-133f && out[4] == INFINITY);
    assert_true(out[3] == 0.0f && signbit(out[3]));
}

static void test_tensor_to_f32(void **state)
{
    (void)state;
    const uint16_t data[4] = {0x3c00, 0xbc00, 0x4000, 0x0000};
    wn_tensor t = {"blk.0.norm", WN_DTYPE_F16, 1, {4}, data, sizeof data};
    float *out = NULL;
    WN_ASSERT_OK(wn_tensor_to_f32(&out, &t, err));
    assert_true(out[0] == 1.0f && out[1] == -1.0f && out[2] == 2.0f && out[3] == 0.0f);
    free(out);

    wn_error err = {0};
    t.shape[0] = 5;
    assert_int_equal(wn_tensor_to_f32(&out, &t, &err), WN_FORMAT);
    assert_non_null(strstr(err.text, "blk.0.norm"));
    t.dtype = WN_DTYPE_I32;
    assert_int_equal(wn_tensor_to_f32(&out, &t, NULL), WN_UNSUPPORTED);
    t = (wn_tensor){"x", WN_DTYPE_F32, 2, {SIZE_MAX / 2, 3}, data, sizeof data};
    assert_int_equal(wn_tensor_to_f32(&out, &t, NULL), WN_FORMAT);
}

static void test_matrix_errors(void **state)
{
    (void)state;
    wn_compute *c = case_compute("ref", 1);
    static const uint8_t data[288];
    struct {
        wn_tensor tensor;
        wn_status status;
    } cases[] = {
        {{"w", WN_DTYPE_Q4_K, 2, {2, 256}, data, 288}, WN_OK},
        {{"w", WN_DTYPE_Q4_K, 2, {0, 256}, data, 0}, WN_OK},
        {{"w", WN_DTYPE_Q4_K, 2, {2, 128}, data, 288}, WN_FORMAT},
        {{"w", WN_DTYPE_Q4_K, 2, {2, 256}, data, 287}, WN_FORMAT},
        {{"w", WN_DTYPE_Q4_K, 1, {256}, data, 144}, WN_FORMAT},
        {{"w", WN_DTYPE_F32, 2, {SIZE_MAX, SIZE_MAX}, data, 288}, WN_FORMAT},
        {{"w", WN_DTYPE_I64, 2, {6, 6}, data, 288}, WN_UNSUPPORTED},
        {{NULL, WN_DTYPE_COUNT, 2, {6, 6}, data, 288}, WN_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wn_matrix *w = NULL;
        wn_error err = {0};
        assert_int_equal(wn_matrix_create(&w, c, &cases[i].tensor, &err), cases[i].status);
        assert_int_equal(w != NULL, cases[i].status == WN_OK);
        if (cases[i].status != WN_OK)
            assert_non_null(strstr(err.text, "tensor"));
        wn_matrix_free(w);
    }
    wn_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_blocks), cmocka_unit_test(test_f16_all),
        cmocka_unit_test(test_bf16),          cmocka_unit_test(test_tensor_to_f32),
        cmocka_unit_test(test_matrix_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
