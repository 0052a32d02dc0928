/* The emulated AMX tiles (amx_tile.h without its flags) against the definition, written out here in
 * another way: in double, where numbers of a limited range are exact, and rounded at each step. */
#include "kernels/amx_tile.h"
#include "tests/unit/kernels/kernel_cases.h"

typedef uint16_t tile_pairs[16][32];

/* 8 bits of fraction, magnitudes 2^-6 .. 2^6: a product is a multiple of 2^-26 and sums stay below
 * 2^18, so products and single sums are exact in double. */
static uint16_t random_bf16(void)
{
    const uint32_t bits = case_bits();
    return (uint16_t)((bits & 0x8000u) | ((121 + bits % 13) << 7) | (bits >> 16 & 0x7f));
}

static double number(uint16_t bf16)
{
    const uint32_t bits = (uint32_t)bf16 << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

static float dot(const uint16_t a[32], const tile_pairs b, size_t column, float start)
{
    float part[2] = {0};
    for (size_t odd = 0; odd < 2; odd++)
        for (size_t k = 0; k < 16; k++)
            part[odd] = (float)((double)part[odd] +
                                number(a[2 * k + odd]) * number(b[k][2 * column + odd]));
    return start + (part[0] + part[1]);
}

static void test_dot(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        tile_pairs a, b;
        float c[16][16], out[16][16];
        for (size_t i = 0; i < 16; i++) {
            for (size_t j = 0; j < 32; j++) {
                a[i][j] = random_bf16();
                b[i][j] = random_bf16();
            }
            for (size_t j = 0; j < 16; j++)
                c[i][j] = case_float() * 1000;
        }
        amx_begin();
        amx_load(0, c, 64);
        amx_load(4, a, 64);
        amx_load(6, b, 64);
        amx_dot_bf16(0, 4, 6);
        amx_store(0, out, 64);
        amx_end();
        for (size_t i = 0; i < 16; i++)
            for (size_t j = 0; j < 16; j++)
                case_close(dot(a[i], b, j, c[i][j]), out[i][j], 0, "dot", 16 * i + j);
    }
}

/* Rows `stride` apart, nothing beside them touched; zero and begin clear. */
static void test_moves(void **state)
{
    (void)state;
    enum { STRIDE = 80 };
    uint8_t from[16 * STRIDE], to[16 * STRIDE], zeros[1024], cleared[1024];
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)case_bits();
    memset(to, 7, sizeof to);
    memset(zeros, 1, sizeof zeros);
    memset(cleared, 1, sizeof cleared);
    amx_begin();
    amx_load(3, from, STRIDE);
    amx_load(2, from, STRIDE);
    amx_zero(2);
    amx_store(3, to, STRIDE);
    amx_store(2, zeros, 64);
    amx_store(1, cleared, 64);
    amx_end();
    for (size_t i = 0; i < sizeof to; i++)
        assert_int_equal(to[i], i % STRIDE < 64 ? from[i] : 7);
    for (size_t i = 0; i < sizeof zeros; i++)
        assert_true(zeros[i] == 0 && cleared[i] == 0);
}

/* Element 0 of c + a . b, where row 0 of a is `a` and column 0 of b is `b`: two pairs each. */
static float one_element(const uint16_t a[4], const uint16_t b[4], float start)
{
    tile_pairs ta = {{0}}, tb = {{0}};
    float c[16][16] = {{start}};
    memcpy(ta[0], a, 4 * sizeof *a);
    memcpy(tb[0], b, 2 * sizeof *b);
    memcpy(tb[1], b + 2, 2 * sizeof *b);
    amx_begin();
    amx_load(0, c, 64);
    amx_load(1, ta, 64);
    amx_load(2, tb, 64);
    amx_dot_bf16(0, 1, 2);
    amx_store(0, c, 64);
    amx_end();
    return c[0][0];
}

enum { ONE = 0x3f80, MINUS_ONE = 0xbf80, TINY = 0x0080, DENORMAL = 0x0040, INFINITE = 0x7f80 };

static void test_odd_numbers(void **state)
{
    (void)state;
    const float tiny = 0x1p-126f;
    /* denormals: of an operand, of a product, of the sum that is loaded */
    assert_true(one_element((uint16_t[]){DENORMAL, 0, 0, 0}, (uint16_t[]){ONE, 0, 0, 0}, 0) == 0);
    assert_true(one_element((uint16_t[]){TINY, 0, 0, 0}, (uint16_t[]){ONE, 0, 0, 0}, 0) == tiny);
    assert_true(one_element((uint16_t[]){TINY, 0, 0, 0}, (uint16_t[]){0x3f00, 0, 0, 0}, 0) == 0);
    assert_true(one_element((uint16_t[]){0, 0, 0, 0}, (uint16_t[]){0, 0, 0, 0}, 0x1p-127f) == 0);
    /* 2^127 - 2^127 in one chain is 0; even and odd columns are chains of their own */
    assert_true(one_element((uint16_t[]){0x7f00, 0, 0x7f00, 0}, (uint16_t[]){ONE, 0, MINUS_ONE, 0},
                            1) == 1);
    assert_true(one_element((uint16_t[]){0x7f00, 0x7f00, 0x7f00, 0},
                            (uint16_t[]){ONE, MINUS_ONE, ONE, 0}, 1) == INFINITY);
    /* sums of products come before the tile: 1 is lost in 2^30 if it is added alone */
    assert_true(one_element((uint16_t[]){0x4e80, ONE, 0, 0}, (uint16_t[]){MINUS_ONE, ONE, 0, 0},
                            0x1p30f) == 0);
    assert_true(isnan(one_element((uint16_t[]){INFINITE, 0, 0, 0}, (uint16_t[]){0, 0, 0, 0}, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_odd_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
