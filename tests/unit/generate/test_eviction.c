/* Sessions with eviction heads: the numbers of the definition, whatever the kind of heads; and the
 * same bits however a text is cut. */
#include "generate/kv_report.h"
#include "tests/unit/generate/masked_reference.h"
#include "tests/unit/generate/tiny_heads.h"

static double distance(const double *a, const float *b)
{
    double d = 0;
    for (size_t i = 0; i < TINY_VOCAB; i++)
        d = fmax(d, fabs(a[i] - (double)b[i]));
    return d;
}

static void check_definition(const wn_dms_heads *h)
{
    static masked_reference r, dense;
    const wn_dms_point never = {.window = TINY_CTX};
    size_t n_evicted = 0;
    masked_reference_run(&r, h, h->points, ids, TINY_CTX);
    masked_reference_run(&dense, h, &never, ids, TINY_CTX);
    for (size_t i = 0; i < N_HEADS; i++)
        for (size_t t = 0; t < TINY_CTX; t++)
            n_evicted += r.evict[i / TINY_KV][i % TINY_KV][t];
    assert_in_range(n_evicted * 100 / (N_HEADS * TINY_CTX), 20, 85);
    assert_true(r.margin > 1e-4); /* or rounding could decide */
    wn_session *s = open_with(model, compute, h, WN_KV_F32, 32);
    append(s, ids, TINY_CTX);
    assert_true(distance(r.logits, wn_session_logits(s)) < 1e-4);
    assert_true(distance(dense.logits, wn_session_logits(s)) > 0.05); /* so the mask matters */
    wn_session_truncate(s, 0);
    append(s, ids, 100);
    for (size_t t = 100; t < TINY_CTX; t++) /* decoding evicts alike */
        WN_ASSERT_OK(wn_session_decode(s, ids[t], err));
    assert_true(distance(r.logits, wn_session_logits(s)) < 1e-4);
    wn_session_close(s);
}

static void test_definition(void **state)
{
    (void)state;
    for (size_t window = 1; window <= 65; window += 32)
        for (size_t shift = 0; shift < 2; shift++) {
            wn_dms_point point = {.window = window, .bias = 0.125f};
            wn_dms_heads h = linear_heads(&point, shift);
            check_definition(&h);
            point.bias = -0.25f;
            h = borrowed_heads(&point, shift, false);
            check_definition(&h);
            h = borrowed_heads(&point, shift, true);
            check_definition(&h);
        }
}

/* Wherever reading stops and goes on, within chunks, too: the bits of one go. */
static void check_cuts(const wn_model *m, wn_compute *c, const wn_dms_heads *h, wn_kv_format f)
{
    float whole[TINY_VOCAB];
    uint32_t random = 12345;
    wn_session *s = open_with(m, c, h, f, 32);
    append(s, ids, TINY_CTX);
    memcpy(whole, wn_session_logits(s), sizeof whole);
    wn_session_close(s);
    for (size_t turn = 0; turn < 20; turn++) {
        random = random * 1664525u + 1013904223u;
        const size_t cut = 1 + random % (TINY_CTX - 1);
        s = open_with(m, c, h, f, 32);
        append(s, ids, cut);
        append(s, ids + cut, TINY_CTX - cut);
        assert_memory_equal(wn_session_logits(s), whole, sizeof whole);
        wn_session_close(s);
    }
}

static void test_cuts_do_not_matter(void **state)
{
    (void)state;
    static const char *const isas[] = {"auto", "ref", "avx2"};
    wn_dms_point point = {.window = 33};
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        wn_compute *c = NULL;
        wn_model *m = NULL;
        if (wn_compute_open(&c, &(wn_compute_options){.isa = isas[i]}, NULL) != WN_OK)
            continue;
        WN_ASSERT_OK(wn_model_open_weights(&m, c, dir, err));
        for (wn_kv_format f = WN_KV_F32; f <= WN_KV_INT8; f++)
            for (size_t shift = 0; shift < 2; shift++) {
                wn_dms_heads h = linear_heads(&point, shift);
                check_cuts(m, c, &h, f);
                h = borrowed_heads(&point, shift, shift == 1);
                check_cuts(m, c, &h, f);
            }
        wn_model_close(m);
        wn_compute_close(c);
    }
}

/* The dial's bias moves every decision; a point of the caller's is taken over the heads' own. */
static void test_points(void **state)
{
    (void)state;
    wn_dms_point point = {.window = 16, .bias = -1e6f};
    const wn_dms_point all = {.window = 16, .bias = 1e6f};
    const wn_dms_heads h = linear_heads(&point, 0);
    wn_session *none = open_with(model, compute, &h, WN_KV_F32, 16), *s = NULL;
    wn_session *dense = open_with(model, compute, NULL, WN_KV_F32, 0);
    WN_ASSERT_OK(wn_session_open(
        &s, model, compute, &(wn_session_options){.n_chunk = 16, .heads = &h, .point = &all}, err));
    append(none, ids, TINY_CTX);
    append(dense, ids, TINY_CTX);
    append(s, ids, TINY_CTX);
    for (size_t i = 0; i < TINY_VOCAB; i++)
        assert_true(fabsf(wn_session_logits(none)[i] - wn_session_logits(dense)[i]) < 1e-4f);
    assert_true(2 * wn_session_kv_bytes(none) > 3 * wn_session_kv_bytes(s));
    wn_session_close(none);
    wn_session_close(dense);
    wn_session_close(s);
    assert_int_equal(
        wn_session_open(&s, model, compute, &(wn_session_options){.heads = &h, .thin = 3}, NULL),
        WN_INVALID);
}

/* Ranges that stay: the definition's numbers again, in one go and in two; and a snapshot's kind. */
static void test_kept_ranges(void **state)
{
    (void)state;
    static masked_reference r, without;
    static const wn_token_range keep[] = {{0, 9}, {40, 30}, {150, 1000}, {7, 0}, {3, 3}};
    wn_dms_point point = {.window = 16};
    for (size_t shift = 0; shift < 2; shift++) {
        wn_session *s = NULL, *other = NULL;
        const wn_dms_heads h = linear_heads(&point, shift);
        wn_session_options o = {.n_chunk = 32, .heads = &h, .keep = keep, .n_keep = 4};
        r.keep = keep;
        r.n_keep = 4;
        masked_reference_run(&r, &h, &point, ids, TINY_CTX);
        masked_reference_run(&without, &h, &point, ids, TINY_CTX);
        WN_ASSERT_OK(wn_session_open(&s, model, compute, &o, err));
        append(s, ids, 50);
        append(s, ids + 50, TINY_CTX - 50);
        assert_true(distance(r.logits, wn_session_logits(s)) < 1e-4);
        assert_true(distance(without.logits, wn_session_logits(s)) > 0.01);
        for (size_t i = 0; i < N_HEADS; i++)
            for (size_t t = 0; t < TINY_CTX - 16; t++)
                assert_int_equal(wn_session_has(s, i / TINY_KV, i % TINY_KV, t),
                                 !r.evict[i / TINY_KV][i % TINY_KV][t]);
        wn_strbuf bytes = {0};
        WN_ASSERT_OK(wn_session_snapshot(s, &bytes, err));
        o.n_keep = 3;
        WN_ASSERT_OK(wn_session_open(&other, model, compute, &o, err));
        assert_int_equal(wn_session_restore(other, bytes.data, bytes.len, NULL), WN_CONFLICT);
        wn_session_close(other);
        WN_ASSERT_OK(wn_session_fork(&other, s, err));
        WN_ASSERT_OK(wn_session_restore(other, bytes.data, bytes.len, err));
        wn_strbuf_free(&bytes);
        wn_session_close(other);
        wn_session_close(s);
        o.n_keep = sizeof keep / sizeof *keep;
        assert_int_equal(wn_session_open(&s, model, compute, &o, NULL), WN_INVALID);
    }
}

/* What is reported is what the definition says is left, and what memory says. */
static void test_report(void **state)
{
    (void)state;
    static masked_reference r;
    wn_dms_point point = {.window = 33};
    const wn_dms_heads h = linear_heads(&point, 1);
    wn_kv_report report;
    size_t total = 0;
    masked_reference_run(&r, &h, &point, ids, TINY_CTX);
    wn_session *s = open_with(model, compute, &h, WN_KV_F32, 32);
    WN_ASSERT_OK(wn_kv_report_make(s, NULL, &report, err));
    assert_int_equal(report.n_tokens, 0);
    append(s, ids, TINY_CTX);
    WN_ASSERT_OK(wn_kv_report_make(s, NULL, &report, err));
    for (size_t i = 0; i < N_HEADS; i++) {
        size_t n = 0;
        for (size_t t = 0; t < TINY_CTX; t++) {
            const bool kept = t + 33 >= TINY_CTX || !r.evict[i / TINY_KV][i % TINY_KV][t];
            assert_int_equal(wn_session_has(s, i / TINY_KV, i % TINY_KV, t), kept);
            n += kept;
        }
        assert_true(report.kept[i] == (float)n / TINY_CTX);
        total += n;
    }
    assert_true(report.slots_ratio == (double)(N_HEADS * TINY_CTX) / (double)total);
    assert_int_equal(report.dense_bytes, N_HEADS * TINY_CTX * TINY_HEAD * 4);
    assert_int_equal(report.held_bytes, wn_session_kv_bytes(s));
    assert_true(report.evicts && strstr(report.summary, "x in bytes)"));
    wn_kv_report_free(&report);
    wn_session_close(s);
    s = open_with(model, compute, NULL, WN_KV_F32, 32);
    append(s, ids, 10);
    WN_ASSERT_OK(wn_kv_report_make(s, NULL, &report, err));
    assert_string_equal(report.summary, "1.0x (no eviction heads)");
    assert_true(report.kept[0] == 1 && report.slots_ratio == 1);
    wn_kv_report_free(&report);
    wn_session_close(s);
    point.window = TINY_CTX;
    s = open_with(model, compute, &h, WN_KV_F32, 32);
    append(s, ids, 10);
    WN_ASSERT_OK(wn_kv_report_make(s, NULL, &report, err));
    assert_string_equal(report.summary, "1.0x (eviction is off)");
    wn_kv_report_free(&report);
    wn_session_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition), cmocka_unit_test(test_cuts_do_not_matter),
        cmocka_unit_test(test_points),     cmocka_unit_test(test_kept_ranges),
        cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
