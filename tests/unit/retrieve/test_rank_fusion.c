/* Fusion of two ranked lists, with numbers worked out by hand. */
#include <math.h>

#include "retrieve/rank_fusion.h"
#include "tests/test_support.h"

static const wn_ranked text[] = {{7, 12}, {3, 8}, {9, 4}};
static const wn_ranked vector[] = {{3, 0.9}, {5, 0.5}, {7, 0.4}};

static wn_fused *fuse(const wn_fusion *f, size_t n_text, size_t n_vector, size_t *n)
{
    wn_fused *out = NULL;
    WN_ASSERT_OK(wn_rank_fuse(f, text, n_text, vector, n_vector, &out, n, err));
    return out;
}

static void expect(const wn_fused *f, int64_t id, double score)
{
    assert_int_equal(f->id, id);
    if (fabs(f->score - score) > 1e-12)
        fail_msg("id %d: score %.15g, expected %.15g", (int)id, f->score, score);
}

static void min_max(void **state)
{
    (void)state;
    size_t n = 0;
    wn_fusion f = WN_FUSION_DEFAULTS;
    wn_fused *r = fuse(&f, 3, 3, &n);
    assert_int_equal(n, 4);
    expect(&r[0], 3, 0.5 * 0.5 + 0.5 * 1);
    expect(&r[1], 7, 0.5 * 1 + 0.5 * 0);
    expect(&r[2], 5, 0.5 * 0.2);
    expect(&r[3], 9, 0);
    assert_true(r[0].text_rank == 2 && r[0].vector_rank == 1);
    assert_true(r[0].text_score == 8 && r[0].vector_score == 0.9);
    assert_true(r[2].text_rank == 0 && isnan(r[2].text_score) && r[2].vector_rank == 2);
    assert_true(r[3].vector_rank == 0 && isnan(r[3].vector_score) && r[3].text_rank == 3);
    free(r);
    f.text_weight = 3; /* weights are shares: 3 to 1 */
    f.vector_weight = 1;
    r = fuse(&f, 3, 3, &n);
    expect(&r[0], 7, 0.75);
    expect(&r[1], 3, 0.75 * 0.5 + 0.25);
    free(r);
}

static void reciprocal_ranks(void **state)
{
    (void)state;
    size_t n = 0;
    wn_fusion f = WN_FUSION_DEFAULTS;
    f.method = WN_FUSION_RRF;
    wn_fused *r = fuse(&f, 3, 3, &n);
    assert_int_equal(n, 4);
    /* 1/(60 + rank) scaled by 61: first in both legs = 1. */
    expect(&r[0], 3, 0.5 * 61 / 62 + 0.5);
    expect(&r[1], 7, 0.5 + 0.5 * 61 / 63);
    expect(&r[2], 5, 0.5 * 61 / 62);
    expect(&r[3], 9, 0.5 * 61 / 63);
    free(r);
    f.rrf_k = 1;
    r = fuse(&f, 3, 3, &n);
    expect(&r[0], 3, 0.5 * 2 / 3 + 0.5);
    expect(&r[3], 9, 0.5 * 2 / 4);
    free(r);
}

static void absent_legs(void **state)
{
    (void)state;
    size_t n = 0;
    wn_fusion f = WN_FUSION_DEFAULTS;
    wn_fused *r = fuse(&f, 3, 0, &n); /* no vectors: text alone reaches 1 */
    assert_int_equal(n, 3);
    expect(&r[0], 7, 1);
    expect(&r[1], 3, 0.5);
    free(r);
    r = fuse(&f, 1, 0, &n); /* a single hit has no range: 1 */
    expect(&r[0], 7, 1);
    free(r);
    r = fuse(&f, 0, 0, &n);
    assert_int_equal(n, 0);
    free(r);
    f.vector_weight = 0; /* weight 0 leaves the leg's items out */
    r = fuse(&f, 2, 3, &n);
    assert_int_equal(n, 2);
    assert_true(isnan(r[1].vector_score));
    free(r);
    r = fuse(&f, 0, 3, &n);
    assert_int_equal(n, 0);
    free(r);
}

static void ties_by_id(void **state)
{
    (void)state;
    const wn_ranked a[] = {{9, 1}, {4, 1}}, b[] = {{6, 1}, {2, 1}};
    wn_fusion f = WN_FUSION_DEFAULTS;
    wn_fused *r = NULL;
    size_t n = 0;
    WN_ASSERT_OK(wn_rank_fuse(&f, a, 2, b, 2, &r, &n, err));
    assert_int_equal(n, 4);
    assert_true(r[0].id == 2 && r[1].id == 4 && r[2].id == 6 && r[3].id == 9);
    free(r);
}

static void refused(void **state)
{
    (void)state;
    wn_fused *r = NULL;
    size_t n = 0;
    const wn_fusion bad[] = {{WN_FUSION_MINMAX, 0, 0, 60},        {WN_FUSION_MINMAX, -1, 2, 60},
                             {WN_FUSION_MINMAX, NAN, 1, 60},      {WN_FUSION_RRF, 1, 1, 0},
                             {WN_FUSION_MINMAX, INFINITY, 1, 60}, {WN_FUSION_RRF, 1, 1, NAN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(wn_rank_fuse(&bad[i], text, 3, vector, 3, &r, &n, NULL), WN_INVALID);
    const wn_ranked rising[] = {{1, 1}, {2, 2}}, nan_score[] = {{1, NAN}};
    assert_int_equal(wn_rank_fuse(&WN_FUSION_DEFAULTS, rising, 2, vector, 3, &r, &n, NULL),
                     WN_INVALID);
    assert_int_equal(wn_rank_fuse(&WN_FUSION_DEFAULTS, text, 3, nan_score, 1, &r, &n, NULL),
                     WN_INVALID);
    wn_fusion_method m = WN_FUSION_MINMAX;
    WN_ASSERT_OK(wn_fusion_parse("rrf", &m, err));
    assert_int_equal(m, WN_FUSION_RRF);
    WN_ASSERT_OK(wn_fusion_parse("minmax", &m, err));
    assert_int_equal(m, WN_FUSION_MINMAX);
    assert_int_equal(wn_fusion_parse("RRF", &m, NULL), WN_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(min_max),     cmocka_unit_test(reciprocal_ranks),
        cmocka_unit_test(absent_legs), cmocka_unit_test(ties_by_id),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
