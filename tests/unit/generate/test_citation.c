/* Terms and attribution without a model; with embeddings given by hand. Quality on real questions
 * is measured in tests/unit/api/test_citation_quality.c. */
#include "tests/test_support.h"

#include "base/strbuf.h"
#include "generate/answer_terms.h"
#include "generate/citation.h"
#include "tests/alloc_failure.h"

static void expect_stem(const char *word, const char *stem)
{
    char buffer[64];
    size_t len = strlen(word);
    memcpy(buffer, word, len + 1);
    len = wn_terms_stem(buffer, len);
    buffer[len] = '\0';
    assert_string_equal(buffer, stem);
}

static void test_stems(void **state)
{
    (void)state;
    expect_stem("caresses", "caress");
    expect_stem("bridges", "bridg");
    expect_stem("bridge", "bridg");
    expect_stem("cities", "citi");
    expect_stem("city", "citi");
    expect_stem("opened", "open");
    expect_stem("hopping", "hop");
    expect_stem("sing", "sing");
    expect_stem("bed", "bed");
    expect_stem("virus", "virus");
    expect_stem("agreed", "agre");
    expect_stem("as", "as");
}

/* The terms of two texts are the same set. */
static void expect_same(const char *a, const char *b, bool same)
{
    wn_term_list x = {0}, y = {0};
    assert_true(wn_terms_extract(a, strlen(a), &x) && wn_terms_extract(b, strlen(b), &y));
    size_t n = 0;
    for (size_t i = 0; i < x.n; i++)
        n += wn_terms_find(&y, x.terms[i].hash) != NULL;
    if ((n == x.n && x.n == y.n) != same)
        fail_msg("\"%s\" (%zu) and \"%s\" (%zu) share %zu", a, x.n, b, y.n, n);
    wn_terms_free(&x);
    wn_terms_free(&y);
}

static void test_terms(void **state)
{
    (void)state;
    expect_same("The bridges opened", "bridge OPENING", true);
    expect_same("four towers", "4 tower", true);
    expect_same("16,000 species", "16000 species", true);
    expect_same("5.5 million", "5 million", false);
    expect_same("Caf\xC3\xA9 Z\xC3\xBCrich", "cafe zurich", true);
    expect_same("Porter's bridge", "bridge of Porter", true);
    expect_same("\xE6\xA1\xA5\xE5\xA1\x94", "\xE5\xA1\x94 \xE6\xA1\xA5", true); /* CJK */
    expect_same("1928", "1929", false);
    expect_same("the of and", "", true);
    expect_same("\xFF\xFE broken \xC3", "broken", true);
    wn_term_list t = {0};
    assert_true(wn_terms_extract("In Leeds Anna saw 3 dogs", 24, &t));
    size_t kinds[3] = {0};
    for (size_t i = 0; i < t.n; i++)
        kinds[t.terms[i].kind]++;
    assert_int_equal(kinds[WN_TERM_NAME], 2);
    assert_int_equal(kinds[WN_TERM_NUMBER], 1);
    assert_int_equal(kinds[WN_TERM_WORD], 2);
    wn_terms_free(&t);
}

static const char first[] = "Bees live in hives. A hive holds about 50,000 bees. They make honey.";
static const char second[] = "Wasps live in nests of paper. A nest holds about 5,000 wasps.";
static const wn_source sources[] = {
    {.text = first, .len = sizeof first - 1, .title = "Bees", .headings = ""},
    {.text = second, .len = sizeof second - 1, .title = "Wasps", .headings = ""}};

static wn_attributor *open_two(const char *question, wn_embed_fn embed, void *ctx, size_t dim)
{
    wn_attributor *a = NULL;
    WN_ASSERT_OK(wn_attributor_open(&a,
                                    &(wn_attribution){.sources = sources,
                                                      .n_sources = 2,
                                                      .question = question,
                                                      .embed = embed,
                                                      .embed_ctx = ctx,
                                                      .dim = dim},
                                    err));
    return a;
}

static void expect_span(wn_attributor *a, const char *sentence, size_t source, const char *span)
{
    wn_span_match m;
    WN_ASSERT_OK(wn_attributor_match(a, sentence, strlen(sentence), WN_NO_SOURCE, &m, err));
    if (!span) {
        assert_true(m.source == WN_NO_SOURCE || m.support < WN_SUPPORT_MIN);
        return;
    }
    assert_int_equal(m.source, source);
    assert_true(m.support >= WN_SUPPORT_MIN);
    assert_int_equal(m.end - m.start, strlen(span));
    assert_memory_equal(sources[source].text + m.start, span, strlen(span));
}

static void test_spans(void **state)
{
    (void)state;
    wn_attributor *a = open_two("How many wasps does a nest hold?", NULL, NULL, 0);
    expect_span(a, "A nest holds 5,000 wasps.", 1, "A nest holds about 5,000 wasps.");
    expect_span(a, "5000", 1, "A nest holds about 5,000 wasps.");
    expect_span(a, "A hive holds 50,000 bees.", 0, "A hive holds about 50,000 bees.");
    expect_span(a, "A nest holds 7,000 wasps.", 0, NULL); /* a wrong number is no detail */
    expect_span(a, "Ants live in hills.", 0, NULL);
    expect_span(a, "", 0, NULL);
    wn_span_match m;
    WN_ASSERT_OK(wn_attributor_match(a, "A nest holds 5,000 wasps.", 25, 0, &m, err));
    assert_int_equal(m.source, 0);
    assert_true(m.support < WN_SUPPORT_MIN);
    wn_attributor_close(a);
}

/* Vectors by hand: "sweet" things point one way, all else the other. */
typedef struct fake {
    size_t n_calls, n_texts;
    wn_status answer;
} fake;

static wn_status fake_embed(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                            float *out, wn_error *err)
{
    fake *f = ctx;
    f->n_calls++;
    f->n_texts += n;
    for (size_t i = 0; i < n; i++) {
        bool sweet = memmem(texts[i], lens[i], "honey", 5) || memmem(texts[i], lens[i], "sweet", 5);
        out[2 * i] = sweet ? 1 : 0;
        out[2 * i + 1] = sweet ? 0 : 1;
    }
    return f->answer == WN_OK ? WN_OK : wn_error_set(err, f->answer, "fake");
}

static void test_embeddings_decide(void **state)
{
    (void)state;
    fake f = {0};
    wn_attributor *a = open_two("What sweet stuff do bees make?", fake_embed, &f, 2);
    wn_span_match m;
    WN_ASSERT_OK(wn_attributor_match(a, "Something sweet.", 16, WN_NO_SOURCE, &m, err));
    assert_int_equal(m.source, 0);
    assert_non_null(memmem(first + m.start, m.end - m.start, "honey", 5));
    assert_true(m.features.cosine > 0.99 && m.features.cosine_joined > 0.99);
    size_t n = f.n_texts;
    WN_ASSERT_OK(wn_attributor_match(a, "Something sweet!", 16, WN_NO_SOURCE, &m, err));
    assert_int_equal(f.n_texts, n + 2); /* windows are embedded once */
    f.answer = WN_UNAVAILABLE;
    wn_error err = {0};
    assert_int_equal(wn_attributor_match(a, "Honey.", 6, WN_NO_SOURCE, &m, &err), WN_UNAVAILABLE);
    assert_string_equal(err.text, "fake");
    wn_attributor_close(a);
}

/* Long runs without sentences, without blanks, without UTF-8; empty sources: spans stay inside. */
static void test_odd_sources(void **state)
{
    (void)state;
    char blank[3000], solid[3000], bytes[3000];
    for (size_t i = 0; i < sizeof blank; i++) {
        blank[i] = i % 7 == 6 ? ' ' : (char)('a' + i % 5);
        solid[i] = (char)('a' + i % 26);
        bytes[i] = (char)(0x80 + i % 64);
    }
    wn_source odd[] = {{.text = blank, .len = sizeof blank},
                       {.text = solid, .len = sizeof solid},
                       {.text = bytes, .len = sizeof bytes},
                       {.text = "", .len = 0},
                       {.text = " \n ", .len = 3}};
    wn_attributor *a = NULL;
    WN_ASSERT_OK(wn_attributor_open(
        &a, &(wn_attribution){.sources = odd, .n_sources = 5, .question = "?"}, err));
    for (size_t only = 0; only < 5; only++) {
        wn_span_match m;
        WN_ASSERT_OK(wn_attributor_match(a, "abcdea bcdeab", 13, only, &m, err));
        if (m.source == WN_NO_SOURCE)
            continue;
        assert_int_equal(m.source, only);
        assert_true(m.start < m.end && m.end <= odd[only].len && m.end - m.start <= 700);
    }
    wn_attributor_close(a);
    WN_ASSERT_OK(wn_attributor_open(&a, &(wn_attribution){.question = ""}, err));
    wn_span_match m;
    WN_ASSERT_OK(wn_attributor_match(a, "abc", 3, WN_NO_SOURCE, &m, err));
    assert_true(m.source == WN_NO_SOURCE);
    wn_attributor_close(a);
}

static wn_status attribute(void *ctx, wn_error *err)
{
    wn_attributor *a = NULL;
    wn_span_match m;
    WN_TRY(wn_attributor_open(&a,
                              &(wn_attribution){.sources = sources,
                                                .n_sources = 2,
                                                .question = "How many bees?",
                                                .embed = fake_embed,
                                                .embed_ctx = ctx,
                                                .dim = 2},
                              err));
    wn_status status = wn_attributor_match(a, "50,000 bees.", 12, WN_NO_SOURCE, &m, err);
    wn_attributor_close(a);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    fake f = {0};
    wn_test_each_alloc_fails(attribute, &f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stems),       cmocka_unit_test(test_terms),
        cmocka_unit_test(test_spans),       cmocka_unit_test(test_embeddings_decide),
        cmocka_unit_test(test_odd_sources), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
