/* Passes over whole texts on models with eviction heads of either kind, against sessions. */
#include <math.h>

#include "generate/evict_rule.h"
#include "tests/unit/generate/tiny_heads.h"

enum { WINDOW = 16 };

static double distance(const float *a, const float *b)
{
    double d = 0;
    for (size_t i = 0; i < TINY_VOCAB; i++)
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
    return d;
}

/* Of the last token. A pass's products are those of reading, so append's own will not do. */
static void session_logits(const wn_dms_heads *h, const wn_dms_point *point, float *out)
{
    static float all[TINY_CTX][TINY_VOCAB];
    wn_session *s = NULL;
    const wn_session_options o = {.heads = h, .point = point};
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &o, err));
    WN_ASSERT_OK(wn_session_append_all_logits(s, ids, TINY_CTX, all[0], err));
    memcpy(out, all[TINY_CTX - 1], sizeof all[0]);
    wn_session_close(s);
}

typedef struct decision {
    wn_evict_rule rule;
    size_t n_evicted;
} decision;

static void decide(void *ctx, const wn_text_layer *y)
{
    decision *d = ctx;
    WN_ASSERT_OK(wn_evict_rule_decide(&d->rule, model, compute, y, err));
    for (size_t i = 0; i < TINY_KV * y->n_words; i++)
        d->n_evicted += (size_t)__builtin_popcountll(y->evicted[i]);
}

/* With all keys the bits of a session whose window is endless; with those that the heads leave the
 * numbers of a session. */
static void check(const wn_dms_heads *h)
{
    const wn_dms_point endless = {.window = TINY_CTX};
    float expected[TINY_VOCAB], dense[TINY_VOCAB], last[TINY_VOCAB];
    wn_text_pass *p = NULL;
    const wn_text_pass_options o = {.n_max = TINY_CTX,
                                    .kv_format = WN_KV_F32,
                                    .borrowed = h->kind == WN_DMS_BORROWED ? h : NULL};
    WN_ASSERT_OK(wn_text_pass_open(&p, model, compute, &o, err));
    wn_text_pass_run(p, ids, TINY_CTX, NULL);
    wn_text_pass_logits(p, TINY_CTX - 1, 1, dense);
    session_logits(h, &endless, expected);
    assert_memory_equal(dense, expected, sizeof dense);

    decision d = {.rule = {.kind = WN_EVICT_HEADS,
                           .weight = h->weight,
                           .bias = h->bias,
                           .decision_shift = h->decision_shift,
                           .offset = h->points[0].bias}};
    const wn_text_pass_hooks hooks = {.window = WINDOW, .decide = decide, .ctx = &d};
    wn_text_pass_run(p, ids, TINY_CTX, &hooks);
    wn_text_pass_logits(p, TINY_CTX - 1, 1, last);
    session_logits(h, NULL, expected);
    assert_in_range(d.n_evicted, N_HEADS * TINY_CTX / 10, N_HEADS * TINY_CTX * 9 / 10);
    assert_true(distance(last, dense) > 1e-2);
    assert_true(distance(last, expected) < 1e-4);
    wn_text_pass_close(p);
}

static void test_linear(void **state)
{
    (void)state;
    wn_dms_point point = {.window = WINDOW, .bias = 0.25f};
    for (size_t shift = 0; shift < 2; shift++) {
        const wn_dms_heads h = linear_heads(&point, shift);
        check(&h);
    }
}

static void test_borrowed(void **state)
{
    (void)state;
    wn_dms_point point = {.window = WINDOW, .bias = -0.25f};
    for (size_t i = 0; i < 4; i++) {
        const wn_dms_heads h = borrowed_heads(&point, i % 2, i >= 2);
        check(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear),
                                       cmocka_unit_test(test_borrowed)};
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
