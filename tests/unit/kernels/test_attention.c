/* Attention of every instruction set and KV format against its definition in double: the mask of
 * every query and key is written out, K and V are what the pages say. Slots that are in no list
 * hold NaN. */
#include "tests/unit/kernels/attention_case.h"

static const wn_kv_format formats[] = {WN_KV_F32, WN_KV_BF16, WN_KV_INT8};
#define N_FORMATS (sizeof formats / sizeof *formats)

static void expect_head(const attention_data *d, size_t t, size_t head, bool bf16, double *out)
{
    const attention_case *k = &d->shape;
    const size_t kv = head / (k->n_heads / k->n_kv_heads), dim = k->head_dim;
    double total = 0, top = -INFINITY;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            for (size_t i = 0; i < dim; i++)
                out[i] = 0;
        for (size_t j = 0; j < d->n_keys[kv]; j++) {
            if (!case_sees(d, kv, t, j))
                continue;
            const float *key = d->k[kv] + j * dim, *value = d->v[kv] + j * dim;
            const double s = case_score(d, t, head, key, bf16);
            if (pass == 0) {
                top = fmax(top, s);
                continue;
            }
            const double p = exp2(s - top);
            total += p;
            for (size_t i = 0; i < dim; i++)
                out[i] += p * (double)value[i];
        }
    }
    for (size_t i = 0; i < dim; i++)
        out[i] = total == 0 ? 0 : out[i] / total;
}

/* Decoding multiplies few rows in f32, where head_dim is whole vectors. */
static bool multiplies_bf16(const char *isa, const attention_case *k, bool decode)
{
    const bool few = decode && k->m * (k->n_heads / k->n_kv_heads) <= 16;
    if (!strcmp(isa, "amx-emulated"))
        return !decode;
    if (!strcmp(isa, "amx"))
        return !decode || !few || k->head_dim % 16 != 0;
    return !strcmp(isa, "avx512bf16") && (!few || k->head_dim % 16 != 0);
}

static void check_case(wn_compute *c, const attention_case *k, wn_kv_format format, float q_size,
                       bool decode)
{
    attention_data *d = case_attention(k, format, q_size);
    /* Products of bf16 pairs: P is rounded by 2^-8 of itself, and |v| <= 1. */
    const bool bf16 = format != WN_KV_F32 && multiplies_bf16(wn_compute_isa(c), k, decode);
    const double tolerance = bf16 ? 4e-3 : 2e-6 * (1 + (double)q_size);
    const float gap = k->m ? d->out[k->n_heads * k->head_dim] : 0;
    d->args.decode = decode;
    wn_attention(c, &d->args);
    if (k->m)
        assert_true(d->out[k->n_heads * k->head_dim] == gap);
    for (size_t t = 0; t < k->m; t++)
        for (size_t h = 0; h < k->n_heads; h++) {
            double expected[256];
            char what[256];
            snprintf(
                what, sizeof what,
                "%s %s%s m=%zu log=%zu tail=%zu+%zu window=%zu heads=%zu/%zu dim=%zu token %zu "
                "head %zu",
                wn_compute_isa(c), wn_kv_format_name(format), decode ? " decode" : "", k->m,
                k->n_log, k->tail_first, k->n_tail, k->window, k->n_heads, k->n_kv_heads,
                k->head_dim, t, h);
            expect_head(d, t, h, bf16, expected);
            for (size_t i = 0; i < k->head_dim; i++)
                case_close((float)expected[i], d->out[t * d->args.out_stride + h * k->head_dim + i],
                           tolerance, what, i);
        }
    case_attention_free(d);
}

#define DENSE SIZE_MAX
static const attention_case cases[] = {
    /* m, n_log, tail_first, n_tail, window, n_heads, n_kv_heads, head_dim */
    {0, 0, 0, 5, DENSE, 2, 1, 16},
    {1, 0, 0, 1, DENSE, 1, 1, 64},
    {31, 0, 0, 31, DENSE, 2, 2, 32},
    {33, 0, 0, 33, DENSE, 6, 2, 64},
    {1, 0, 0, 128, DENSE, 12, 2, 128},
    {1, 0, 0, 129, DENSE, 9, 3, 64},
    {1, 0, 0, 300, DENSE, 4, 4, 64},
    {2, 0, 0, 127, DENSE, 9, 3, 64},
    {5, 0, 0, 260, DENSE, 12, 2, 128},
    {40, 0, 0, 170, DENSE, 9, 3, 64},
    {130, 0, 0, 130, DENSE, 3, 1, 64},
    {7, 0, 0, 129, DENSE, 4, 2, 80},
    {3, 0, 0, 3, DENSE, 1, 1, 1},
    {17, 0, 0, 31, DENSE, 5, 1, 33},
    {4, 0, 0, 256, DENSE, 8, 1, 256},
    {1, 0, 0, 1000, DENSE, 6, 2, 80},
    {70, 0, 0, 200, DENSE, 24, 2, 64},
    {4, 0, 0, 700, DENSE, 8, 2, 64}, /* 16 rows: the most that are split by keys */
    {400, 0, 0, 400, DENSE, 2, 2, 96},
    {1, 0, 0, 700, DENSE, 2, 1, 33},
    /* no tail: everyone sees everything */
    {1, 1, 0, 0, DENSE, 3, 1, 64},
    {33, 33, 0, 0, DENSE, 12, 12, 32},
    {9, 140, 0, 0, DENSE, 2, 1, 20},
    {257, 257, 0, 0, DENSE, 2, 1, 64},
    {3, 0, 0, 0, DENSE, 2, 1, 40},
    {1, 0, 0, 0, DENSE, 2, 2, 40},
    /* log and tail; the log of head h has n_log + 7 h keys */
    {1, 1, 900, 256, 255, 4, 2, 64},
    {1, 63, 900, 256, 255, 6, 2, 64},
    {1, 64, 960, 257, 256, 6, 2, 64},
    {1, 65, 1000, 300, 256, 9, 3, 64},
    {20, 0, 37, 90, 60, 4, 2, 64},
    {20, 1, 63, 90, 70, 4, 2, 80},
    {20, 63, 64, 90, 10, 4, 2, 128},
    {70, 64, 65, 90, 10, 4, 2, 64},
    {64, 65, 127, 320, 256, 9, 3, 64},
    {90, 200, 1023, 346, 256, 3, 3, 33},
    {3, 130, 5000, 67, 64, 12, 2, 128},
    {2, 700, 5000, 20, 8, 8, 4, 256},
    {16, 64, 128, 16, 0, 3, 1, 64},
    {16, 64, 128, 16, 1, 3, 1, 64},
    {8, 300, 5000, 150, 70, 4, 2, 33},
};

static void test_against_double(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        if (!c)
            continue;
        for (size_t k = 0; k < sizeof cases / sizeof *cases * N_FORMATS; k++) {
            for (int decode = 0; decode < 2; decode++) {
                check_case(c, &cases[k / N_FORMATS], formats[k % N_FORMATS], 1.0f, decode);
                /* A peaked softmax: the running maximum moves. */
                check_case(c, &cases[k / N_FORMATS], formats[k % N_FORMATS], 20.0f, decode);
            }
        }
        wn_compute_close(c);
    }
}

/* The window's edge, alone: key k is evicted, and only the query at k + window + 1 misses it. */
static void test_window_boundary(void **state)
{
    (void)state;
    static const attention_case k = {.m = 4,
                                     .n_log = 2,
                                     .tail_first = 60,
                                     .n_tail = 40,
                                     .window = 38,
                                     .n_heads = 1,
                                     .n_kv_heads = 1,
                                     .head_dim = 16};
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 1);
        if (!c)
            continue;
        attention_data *d = case_attention(&k, WN_KV_F32, 1.0f);
        memset(d->evicted[0], 0, d->n_tail_pages * sizeof **d->evicted);
        float kept[4][16];
        wn_attention(c, &d->args);
        for (size_t t = 0; t < k.m; t++)
            memcpy(kept[t], d->out + t * d->args.out_stride, sizeof kept[t]);
        d->evicted[0][0] = (uint64_t)1 << 60; /* position 60: distances 36 .. 39 */
        wn_attention(c, &d->args);
        for (size_t t = 0; t < k.m; t++) {
            const bool same = !memcmp(kept[t], d->out + t * d->args.out_stride, sizeof kept[t]);
            assert_int_equal(same, t < 3);
        }
        case_attention_free(d);
        wn_compute_close(c);
    }
}

/* Two threads and a second run give the bits of one. */
static void test_same_bits(void **state)
{
    (void)state;
    static const attention_case shapes[] = {
        {150, 70, 100, 290, 200, 6, 2, 64},
        {1, 3000, 5000, 257, 256, 9, 3, 64},
        {1, 0, 0, 5000, DENSE, 12, 2, 128},
    };
    for (size_t i = 0; i < N_ISAS * 3 * N_FORMATS; i++) {
        const char *isa = all_isas[i / (3 * N_FORMATS)];
        wn_compute *one = case_compute(isa, 1), *two = case_compute(isa, 2);
        if (!one || !two)
            continue;
        attention_data *d =
            case_attention(&shapes[i / N_FORMATS % 3], formats[i % N_FORMATS], 3.0f);
        d->args.decode = d->shape.m == 1;
        const size_t n = d->shape.m * d->args.out_stride;
        float *all = wn_alloc(n, sizeof *all);
        assert_non_null(all);
        memcpy(all, d->out, n * sizeof *all); /* the gaps */
        d->args.out = all;
        wn_attention(one, &d->args);
        for (int run = 0; run < 2; run++) {
            memset(d->out, 0, d->shape.n_heads * d->shape.head_dim * sizeof *all);
            d->args.out = d->out;
            wn_attention(two, &d->args);
            assert_memory_equal(d->out, all, n * sizeof *all);
        }
        free(all);
        case_attention_free(d);
        wn_compute_close(one);
        wn_compute_close(two);
    }
}

/* The last queries alone have the bits that they have among the others. */
static void test_queries_alone(void **state)
{
    (void)state;
    static const attention_case k = {.m = 150,
                                     .tail_first = 0,
                                     .n_tail = 290,
                                     .window = DENSE,
                                     .n_heads = 6,
                                     .n_kv_heads = 2,
                                     .head_dim = 64};
    static const size_t few[] = {1, 2, 5, 31, 149};
    for (size_t i = 0; i < N_ISAS * N_FORMATS; i++) {
        wn_compute *c = case_compute(all_isas[i / N_FORMATS], 2);
        if (!c)
            continue;
        attention_data *d = case_attention(&k, formats[i % N_FORMATS], 3.0f);
        const size_t stride = d->args.out_stride;
        float *out = case_floats(k.m * stride);
        wn_attention(c, &d->args);
        for (size_t j = 0; j < sizeof few / sizeof *few; j++) {
            wn_attention_args part = d->args;
            part.m = few[j];
            part.q += (k.m - few[j]) * stride;
            part.out = out;
            wn_attention(c, &part);
            for (size_t t = 0; t < few[j]; t++)
                assert_memory_equal(out + t * stride, d->out + (k.m - few[j] + t) * stride,
                                    k.n_heads * k.head_dim * sizeof *out);
        }
        free(out);
        case_attention_free(d);
        wn_compute_close(c);
    }
}

/* Calls in one go have the bits that each has alone, and leave the gaps between rows alone. */
static void test_many(void **state)
{
    (void)state;
    static const attention_case shapes[] = {
        {1, 0, 0, 1, DENSE, 9, 3, 64},         {1, 0, 0, 5000, DENSE, 9, 3, 64},
        {1, 3000, 5000, 257, 256, 12, 2, 128}, {0, 0, 0, 5, DENSE, 2, 1, 16},
        {1, 0, 0, 4000, DENSE, 24, 12, 32},    {1, 0, 0, 4100, DENSE, 24, 12, 32},
        {1, 0, 0, 4200, DENSE, 24, 12, 32},    {1, 0, 0, 4300, DENSE, 24, 12, 32},
        {1, 0, 0, 4400, DENSE, 24, 12, 32},    {1, 0, 0, 4500, DENSE, 24, 12, 32},
        {70, 64, 65, 90, 10, 4, 2, 64},        {1, 65, 1000, 300, 256, 9, 3, 64},
        {1, 0, 0, 256, DENSE, 4, 4, 64},       {1, 0, 0, 257, DENSE, 4, 4, 64},
        {1, 64, 960, 257, 256, 6, 2, 64},      {4, 0, 0, 700, DENSE, 8, 2, 64},
        {1, 0, 0, 129, DENSE, 9, 3, 64},       {1, 0, 0, 700, DENSE, 2, 1, 33},
    };
    enum { N_CALLS = sizeof shapes / sizeof *shapes };
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        if (!c)
            continue;
        attention_data *d[N_CALLS];
        wn_attention_args args[N_CALLS];
        for (size_t k = 0; k < N_CALLS; k++) {
            d[k] = case_attention(&shapes[k], formats[k % N_FORMATS], 3.0f);
            d[k]->args.decode = k % 5 != 4 || shapes[k].m == 1;
            args[k] = d[k]->args;
            args[k].out = wn_alloc(shapes[k].m * args[k].out_stride + 1, sizeof *args[k].out);
            assert_non_null(args[k].out);
            memcpy(args[k].out, d[k]->out, shapes[k].m * args[k].out_stride * sizeof(float));
            wn_attention(c, &d[k]->args);
        }
        wn_attention_many(c, args, N_CALLS);
        for (size_t k = 0; k < N_CALLS; k++) {
            assert_memory_equal(args[k].out, d[k]->out,
                                shapes[k].m * args[k].out_stride * sizeof(float));
            free(args[k].out);
            case_attention_free(d[k]);
        }
        wn_compute_close(c);
    }
}

/* Scores far outside the range of exp, and all equal: the shift by the maximum must hold. */
static void test_extreme_scores(void **state)
{
    (void)state;
    static const attention_case k = {
        .m = 2, .n_log = 140, .n_heads = 1, .n_kv_heads = 1, .head_dim = 16};
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 1);
        if (!c)
            continue;
        attention_data *d = case_attention(&k, WN_KV_F32, 1.0f);
        for (size_t j = 0; j < k.head_dim; j++) {
            d->q[j] = 1e4f;                 /* token 0: one key towers over the others */
            d->q[d->args.q_stride + j] = 0; /* token 1: all keys alike */
            for (size_t r = 0; r < k.n_log; r++)
                d->k[0][r * k.head_dim + j] = r == 77 ? 1.0f : -1.0f;
        }
        for (size_t r = 0; r < k.n_log; r++)
            case_write(d, 0, r);
        wn_attention(c, &d->args);
        for (size_t j = 0; j < k.head_dim; j++) {
            double mean = 0;
            for (size_t r = 0; r < k.n_log; r++)
                mean += (double)d->v[0][r * k.head_dim + j] / (double)k.n_log;
            case_close(d->v[0][77 * k.head_dim + j], d->out[j], 2e-7, "one key", j);
            case_close((float)mean, d->out[d->args.out_stride + j], 1e-6, "all keys", j);
        }
        case_attention_free(d);
        wn_compute_close(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_double), cmocka_unit_test(test_window_boundary),
        cmocka_unit_test(test_same_bits),      cmocka_unit_test(test_queries_alone),
        cmocka_unit_test(test_many),           cmocka_unit_test(test_extreme_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
