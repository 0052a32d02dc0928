/* Attention of every instruction set against a direct computation in double; decode equals prefill.
 */
#include "tests/unit/kernels/kernel_cases.h"

enum { MAX_KV_HEADS = 12 };

typedef struct attention_case {
    size_t m, n_keys, n_heads, n_kv_heads, head_dim;
    bool causal;
} attention_case;

typedef struct attention_data {
    wn_attention_args args;
    float *q, *out, *keys[MAX_KV_HEADS], *values[MAX_KV_HEADS];
} attention_data;

/* q and out rows have a gap after the heads, as in a fused QKV projection. */
static attention_data make_data(const attention_case *k, float q_size)
{
    attention_data d = {0};
    const size_t stride = k->n_heads * k->head_dim + 3;
    d.q = case_floats(k->m * stride);
    for (size_t i = 0; i < k->m * stride; i++)
        d.q[i] *= q_size;
    d.out = case_floats(k->m * stride);
    for (size_t h = 0; h < k->n_kv_heads; h++) {
        d.keys[h] = case_floats(k->n_keys * k->head_dim);
        d.values[h] = case_floats(k->n_keys * k->head_dim);
    }
    d.args = (wn_attention_args){.q = d.q,
                                 .m = k->m,
                                 .q_stride = stride,
                                 .n_keys = k->n_keys,
                                 .n_heads = k->n_heads,
                                 .n_kv_heads = k->n_kv_heads,
                                 .head_dim = k->head_dim,
                                 .causal = k->causal,
                                 .scale = 1.0f / sqrtf((float)k->head_dim),
                                 .out = d.out,
                                 .out_stride = stride};
    return d;
}

static void run_attention(wn_compute *c, attention_data *d)
{
    d->args.k = (const float *const *)d->keys;
    d->args.v = (const float *const *)d->values;
    wn_attention(c, &d->args);
}

static void free_data(attention_data *d)
{
    for (size_t h = 0; h < MAX_KV_HEADS; h++) {
        free(d->keys[h]);
        free(d->values[h]);
    }
    free(d->q);
    free(d->out);
}

static void expect_head(const attention_data *d, size_t t, size_t head, double *out)
{
    const wn_attention_args *a = &d->args;
    const size_t kv = head / (a->n_heads / a->n_kv_heads), dim = a->head_dim;
    const size_t seen = a->causal ? a->n_keys - a->m + t + 1 : a->n_keys;
    const float *q = a->q + t * a->q_stride + head * dim;
    double total = 0;
    for (size_t i = 0; i < dim; i++)
        out[i] = 0;
    for (size_t j = 0; j < seen; j++) {
        double score = 0;
        for (size_t i = 0; i < dim; i++)
            score += (double)q[i] * (double)d->keys[kv][j * dim + i];
        const double p = exp(score * (double)a->scale); /* the cases keep this in range */
        total += p;
        for (size_t i = 0; i < dim; i++)
            out[i] += p * (double)d->values[kv][j * dim + i];
    }
    for (size_t i = 0; i < dim; i++)
        out[i] /= total;
}

static void check_case(wn_compute *c, const attention_case *k, float q_size)
{
    attention_data d = make_data(k, q_size);
    const float gap = k->m ? d.out[k->n_heads * k->head_dim] : 0;
    run_attention(c, &d);
    if (k->m)
        assert_true(d.out[k->n_heads * k->head_dim] == gap);
    for (size_t t = 0; t < k->m; t++)
        for (size_t h = 0; h < k->n_heads; h++) {
            double expected[256];
            char what[256];
            snprintf(
                what, sizeof what, "%s m=%zu keys=%zu heads=%zu/%zu dim=%zu token %zu head %zu",
                wn_compute_isa(c), k->m, k->n_keys, k->n_heads, k->n_kv_heads, k->head_dim, t, h);
            expect_head(&d, t, h, expected);
            for (size_t i = 0; i < k->head_dim; i++)
                case_close((float)expected[i], d.out[t * d.args.out_stride + h * k->head_dim + i],
                           2e-6 * (1 + (double)q_size), what, i);
        }
    free_data(&d);
}

static void test_against_double(void **state)
{
    (void)state;
    static const attention_case cases[] = {
        {0, 5, 2, 1, 16, true},      {1, 1, 1, 1, 64, true},      {1, 1, 3, 1, 64, false},
        {31, 31, 2, 2, 32, true},    {33, 33, 6, 2, 64, true},    {1, 128, 12, 2, 128, true},
        {1, 129, 9, 3, 64, true},    {1, 300, 4, 4, 64, true},    {2, 127, 9, 3, 64, true},
        {5, 260, 12, 2, 128, true},  {40, 170, 9, 3, 64, true},   {130, 130, 3, 1, 64, true},
        {33, 33, 12, 12, 32, false}, {7, 129, 4, 2, 80, true},    {9, 140, 2, 1, 20, false},
        {3, 3, 1, 1, 1, true},       {17, 31, 5, 1, 33, true},    {4, 256, 8, 1, 256, true},
        {64, 256, 4, 2, 64, true},   {257, 257, 2, 1, 64, false},
    };
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        if (!c)
            continue;
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            check_case(c, &cases[k], 1.0f);
            check_case(c, &cases[k], 20.0f); /* a peaked softmax: the running maximum moves */
        }
        wn_compute_close(c);
    }
}

static void test_no_keys(void **state)
{
    (void)state;
    static const attention_case k = {
        .m = 3, .n_keys = 0, .n_heads = 2, .n_kv_heads = 1, .head_dim = 40, .causal = false};
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 2);
        if (!c)
            continue;
        attention_data d = make_data(&k, 1.0f);
        run_attention(c, &d);
        for (size_t t = 0; t < k.m; t++)
            for (size_t j = 0; j < k.n_heads * k.head_dim; j++)
                assert_true(d.out[t * d.args.out_stride + j] == 0);
        free_data(&d);
        wn_compute_close(c);
    }
}

/* Token by token, as decode does, gives the bits of one call; so do two threads. */
static void test_same_bits(void **state)
{
    (void)state;
    static const attention_case whole = {
        .m = 150, .n_keys = 290, .n_heads = 6, .n_kv_heads = 2, .head_dim = 64, .causal = true};
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *one = case_compute(all_isas[i], 1), *two = case_compute(all_isas[i], 2);
        if (!one || !two)
            continue;
        attention_data d = make_data(&whole, 3.0f);
        const size_t n = whole.m * d.args.out_stride;
        float *all = wn_alloc(n, sizeof *all);
        assert_non_null(all);
        memcpy(all, d.out, n * sizeof *all); /* the gaps */
        d.args.out = all;
        run_attention(one, &d);
        for (int run = 0; run < 2; run++) {
            d.args.out = d.out;
            run_attention(two, &d);
            assert_memory_equal(d.out, all, n * sizeof *all);
        }
        for (size_t t = 0; t < whole.m; t++) {
            attention_data token = d;
            token.args.q = d.q + t * d.args.q_stride;
            token.args.out = d.out + t * d.args.out_stride;
            token.args.m = 1;
            token.args.n_keys = whole.n_keys - whole.m + t + 1;
            run_attention(two, &token);
        }
        assert_memory_equal(d.out, all, n * sizeof *all);
        free(all);
        free_data(&d);
        wn_compute_close(one);
        wn_compute_close(two);
    }
}

/* Scores far outside the range of exp, and all equal: the shift by the maximum must hold. */
static void test_extreme_scores(void **state)
{
    (void)state;
    static const attention_case k = {
        .m = 2, .n_keys = 140, .n_heads = 1, .n_kv_heads = 1, .head_dim = 16, .causal = false};
    for (size_t i = 0; i < N_ISAS; i++) {
        wn_compute *c = case_compute(all_isas[i], 1);
        if (!c)
            continue;
        attention_data d = make_data(&k, 1.0f);
        for (size_t j = 0; j < k.head_dim; j++) {
            d.q[j] = 1e4f;                /* token 0: one key towers over the others */
            d.q[d.args.q_stride + j] = 0; /* token 1: all keys alike */
            for (size_t r = 0; r < k.n_keys; r++)
                d.keys[0][r * k.head_dim + j] = r == 77 ? 1.0f : -1.0f;
        }
        run_attention(c, &d);
        for (size_t j = 0; j < k.head_dim; j++) {
            double mean = 0;
            for (size_t r = 0; r < k.n_keys; r++)
                mean += (double)d.values[0][r * k.head_dim + j] / (double)k.n_keys;
            case_close(d.values[0][77 * k.head_dim + j], d.out[j], 0, "one key", j);
            case_close((float)mean, d.out[d.args.out_stride + j], 1e-6, "all keys", j);
        }
        free_data(&d);
        wn_compute_close(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_no_keys),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_extreme_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
