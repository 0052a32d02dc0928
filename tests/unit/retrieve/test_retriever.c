/* Hybrid search over a small corpus: legs, fusion settings, filter, threshold, merged neighbours.
 */
#include <math.h>

#include "retrieve/retriever.h"
#include "tests/alloc_failure.h"
#include "tests/unit/index/corpus_fixture.h"

static char dir[64];
static wn_corpus *corpus;
static int64_t rust_id, tea_id;

static const char rust[] = "Ownership decides who frees memory.\nBorrowing lends a value.\n"
                           "Lifetimes name how long a loan lasts.\nTraits describe behaviour.";
static const char tea[] =
    "Green tea is steamed.\nBlack tea is oxidised.\nTea lends itself to ritual.";

static int set_up(void **state)
{
    (void)state;
    fixture_dir(dir);
    corpus = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    rust_id = fixture_put(corpus, "/docs/rust.txt", "The Book", rust);
    tea_id = fixture_put(corpus, "/docs/tea.txt", "", tea);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wn_corpus_close(corpus);
    fixture_remove(dir);
    return 0;
}

static void search(const char *question, const char *meaning, const wn_search_options *o,
                   wn_search_result *r)
{
    float v[FIXTURE_DIM];
    if (meaning)
        fixture_vector(meaning, strlen(meaning), v, FIXTURE_DIM);
    WN_ASSERT_OK(wn_retrieve_embedded(corpus, meaning ? v : NULL, FIXTURE_DIM, question,
                                      strlen(question), o, r, err));
}

static void keywords_only(void **state)
{
    (void)state;
    wn_search_result r;
    wn_search_options o = WN_SEARCH_DEFAULTS;
    WN_ASSERT_OK(wn_retrieve(corpus, NULL, "lends value", 11, &o, &r, err));
    assert_int_equal(r.n, 2);
    assert_true(isnan(r.best_cosine));
    assert_true(r.hits[0].score == 1 && r.hits[0].text_rank == 1 && r.hits[0].vector_rank == 0);
    assert_true(r.hits[0].text_score > 0 && isnan(r.hits[0].vector_score));
    assert_string_equal(r.hits[0].text, "Borrowing lends a value.");
    assert_string_equal(r.hits[0].headings, "Chapter > Odd");
    assert_string_equal(r.hits[0].filename, "rust.txt");
    assert_string_equal(r.hits[0].title, "The Book");
    assert_string_equal(r.hits[0].attributes, "{\"year\":2020}");
    assert_int_equal(r.hits[0].document_id, rust_id);
    assert_int_equal(r.hits[0].page_start, 2);
    assert_int_equal(r.hits[0].start, 36);
    wn_search_result_free(&r);
    WN_ASSERT_OK(wn_retrieve(corpus, NULL, "zebra", 5, &o, &r, err));
    assert_int_equal(r.n, 0);
    wn_search_result_free(&r);
}

static void both_legs(void **state)
{
    (void)state;
    wn_search_result r;
    wn_search_options o = WN_SEARCH_DEFAULTS;
    o.merge_neighbours = false;
    o.top_k = 3;
    search("oxidised", "Green tea is steamed.", &o, &r);
    assert_int_equal(r.n, 3);
    assert_true(fabs(r.best_cosine - 1) < 1e-5);
    /* First in one leg each; the text's only hit has some cosine as well, the other has no text. */
    assert_string_equal(r.hits[0].text, "Black tea is oxidised.");
    assert_true(r.hits[0].score >= 0.5 && r.hits[0].text_rank == 1 && r.hits[0].vector_rank > 1);
    assert_string_equal(r.hits[1].text, "Green tea is steamed.");
    assert_true(fabs(r.hits[1].score - 0.5) < 1e-9 && r.hits[1].vector_rank == 1);
    assert_true(r.hits[1].text_rank == 0 && isnan(r.hits[1].text_score));
    wn_search_result_free(&r);
    o.score_threshold = 0.5;
    search("oxidised", "Green tea is steamed.", &o, &r);
    assert_int_equal(r.n, 2);
    wn_search_result_free(&r);
}

static void settings_of_the_corpus(void **state)
{
    (void)state;
    wn_search_result r;
    wn_search_options o = WN_SEARCH_DEFAULTS;
    o.merge_neighbours = false;
    WN_ASSERT_OK(wn_corpus_set_setting(corpus, "fusion",
                                       "{\"method\":\"rrf\",\"text_weight\":0,\"rrf_k\":1}", err));
    search("oxidised", "Green tea is steamed.", &o, &r);
    assert_string_equal(r.hits[0].text, "Green tea is steamed.");
    assert_true(fabs(r.hits[0].score - 1) < 1e-9 && fabs(r.hits[1].score - 2.0 / 3) < 1e-9);
    wn_search_result_free(&r);
    o.use_corpus_fusion = false;
    search("oxidised", "Green tea is steamed.", &o, &r);
    assert_string_equal(r.hits[0].text, "Black tea is oxidised.");
    wn_search_result_free(&r);
    o.use_corpus_fusion = true;
    const char *bad[] = {"{", "[]", "{\"method\":\"sum\"}", "{\"text_weight\":-1}"};
    for (size_t i = 0; i < 4; i++) {
        WN_ASSERT_OK(wn_corpus_set_setting(corpus, "fusion", bad[i], err));
        assert_int_not_equal(wn_retrieve(corpus, NULL, "tea", 3, &o, &r, NULL), WN_OK);
        assert_null(r.hits);
    }
}

static void neighbours_are_merged(void **state)
{
    (void)state;
    wn_search_result r;
    wn_search_options o = WN_SEARCH_DEFAULTS;
    /* Rust's passages 0, 1 and 3; tea's 2. */
    search("ownership lends traits", NULL, &o, &r);
    assert_int_equal(r.n, 3);
    const wn_hit *joined = NULL;
    for (size_t i = 0; i < r.n; i++)
        if (r.hits[i].ordinal_last > r.hits[i].ordinal_first)
            joined = &r.hits[i];
    assert_non_null(joined);
    assert_true(joined->ordinal_first == 0 && joined->ordinal_last == 1);
    assert_string_equal(joined->text,
                        "Ownership decides who frees memory.\nBorrowing lends a value.");
    assert_int_equal(joined->text_len, strlen(joined->text));
    assert_true(joined->start == 0 && joined->end == strlen(joined->text));
    assert_true(joined->page_start == 1 && joined->page_end == 2);
    for (size_t i = 1; i < r.n; i++)
        assert_true(r.hits[i - 1].score >= r.hits[i].score);
    wn_search_result_free(&r);
    o.merge_neighbours = false;
    search("ownership lends traits", NULL, &o, &r);
    assert_int_equal(r.n, 4);
    wn_search_result_free(&r);
    o.merge_neighbours = true;
    search("tea", NULL, &o, &r); /* three in a row, found in any order, become one */
    assert_int_equal(r.n, 1);
    assert_string_equal(r.hits[0].text, tea);
    assert_true(r.hits[0].score == 1);
    wn_search_result_free(&r);
}

static void filtered(void **state)
{
    (void)state;
    static fixture_document d;
    fixture_lines(&d, "/docs/new.txt", "", "Tea of a later year.");
    d.content.doc.attributes = "{\"year\":2024}";
    int64_t new_id = 0;
    WN_ASSERT_OK(wn_corpus_put(corpus, &d.content, &new_id, err));
    json_t *json = json_pack("{s:s, s:s, s:i}", "type", "gt", "key", "year", "value", 2020);
    wn_metadata_filter *f = NULL;
    WN_ASSERT_OK(wn_metadata_filter_parse(&f, json, err));
    wn_search_result r;
    wn_search_options o = WN_SEARCH_DEFAULTS;
    o.filter = f;
    search("tea", "Green tea is steamed.", &o, &r);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.hits[0].document_id, new_id);
    assert_true(r.best_cosine < 0.999); /* of the documents under the filter */
    wn_search_result_free(&r);
    WN_ASSERT_OK(wn_corpus_delete_document(corpus, new_id, err));
    search("tea", "Green tea is steamed.", &o, &r);
    assert_int_equal(r.n, 0);
    wn_search_result_free(&r);
    wn_metadata_filter_free(f);
    json_decref(json);
}

static void options_out_of_range(void **state)
{
    (void)state;
    wn_search_result r;
    wn_search_options o = WN_SEARCH_DEFAULTS;
    o.top_k = 0;
    assert_int_equal(wn_retrieve(corpus, NULL, "tea", 3, &o, &r, NULL), WN_INVALID);
    o.top_k = 101;
    assert_int_equal(wn_retrieve(corpus, NULL, "tea", 3, &o, &r, NULL), WN_INVALID);
    o.top_k = 1;
    o.score_threshold = NAN;
    assert_int_equal(wn_retrieve(corpus, NULL, "tea", 3, &o, &r, NULL), WN_INVALID);
    o.score_threshold = 0;
    o.n_candidates = 20000;
    assert_int_equal(wn_retrieve(corpus, NULL, "tea", 3, &o, &r, NULL), WN_INVALID);
    o.n_candidates = 1;
    WN_ASSERT_OK(wn_retrieve(corpus, NULL, "tea", 3, &o, &r, err));
    assert_int_equal(r.n, 1);
    wn_search_result_free(&r);
}

static wn_status search_once(void *ctx, wn_error *err)
{
    float v[FIXTURE_DIM];
    wn_search_result r;
    wn_search_options o = WN_SEARCH_DEFAULTS;
    o.filter = ctx;
    fixture_vector("tea", 3, v, FIXTURE_DIM);
    WN_TRY(wn_retrieve_embedded(corpus, v, FIXTURE_DIM, "tea lends", 9, &o, &r, err));
    wn_search_result_free(&r);
    return WN_OK;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    json_t *json = json_pack("{s:s, s:s, s:i}", "type", "lte", "key", "year", "value", 2020);
    wn_metadata_filter *f = NULL;
    WN_ASSERT_OK(wn_metadata_filter_parse(&f, json, err));
    WN_ASSERT_OK(wn_corpus_set_setting(corpus, "fusion", "{\"method\":\"rrf\"}", err));
    WN_ASSERT_OK(search_once(f, err)); /* the first search reads the vectors as well */
    wn_test_each_alloc_fails(search_once, f);
    wn_metadata_filter_free(f);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keywords_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(both_legs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(settings_of_the_corpus, set_up, tear_down),
        cmocka_unit_test_setup_teardown(neighbours_are_merged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(filtered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_out_of_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
