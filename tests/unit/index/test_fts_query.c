/* From questions to FTS5 queries. */
#include "index/fts_query.h"
#include "tests/test_support.h"

static void expect(const char *question, size_t len, const char *query)
{
    wn_fts_words words = {0};
    char *got = NULL;
    WN_ASSERT_OK(wn_fts_words_split(&words, question, len, err));
    WN_ASSERT_OK(wn_fts_words_query(&words, &got, err));
    if (!query)
        assert_null(got);
    else if (!got)
        fail_msg("no query for %s", question);
    else
        assert_string_equal(got, query);
    free(got);
    wn_fts_words_free(&words);
}

#define EXPECT(question, query) expect(question, sizeof(question) - 1, query)

static void words_are_quoted(void **state)
{
    (void)state;
    EXPECT("", NULL);
    EXPECT(" ?! -- \"\" ", NULL);
    EXPECT("What is Ownership?", "\"what\" OR \"is\" OR \"ownership\"");
    EXPECT("don't re-use", "\"don\" OR \"t\" OR \"re\" OR \"use\"");
    EXPECT("NEAR(a b) OR c* -d", "\"near\" OR \"a\" OR \"b\" OR \"or\" OR \"c\" OR \"d\"");
    EXPECT("the The THE", "\"the\"");
    EXPECT("COVID-19 in 2020", "\"covid\" OR \"19\" OR \"in\" OR \"2020\"");
    EXPECT("\xc3\x89T\xc3\x89 \xce\x91\xce\x92", "\"\xc3\xa9t\xc3\xa9\" OR \"\xce\xb1\xce\xb2\"");
    EXPECT("e\xcc\x81t\xc3\xa9", "\"e\xcc\x81t\xc3\xa9\""); /* combining marks stay inside */
    EXPECT("\xe4\xb8\xad\xe6\x96\x87\xe3\x80\x82", "\"\xe4\xb8\xad\xe6\x96\x87\"");
    EXPECT("tea\xff"
           "bag \xc3",
           "\"tea\" OR \"bag\""); /* malformed bytes separate */
    EXPECT("nul\0inside", "\"nul\" OR \"inside\"");
    EXPECT("\xf0\x9f\x99\x82 smile", "\"smile\"");
}

static void limits(void **state)
{
    (void)state;
    char text[8192] = "";
    wn_fts_words words = {0};
    for (int i = 0; i < 500; i++)
        snprintf(text + strlen(text), 16, "word%d ", i);
    WN_ASSERT_OK(wn_fts_words_split(&words, text, strlen(text), err));
    assert_int_equal(words.n, WN_FTS_MAX_WORDS);
    assert_string_equal(words.items[WN_FTS_MAX_WORDS - 1].quoted, "\"word63\"");
    wn_fts_words_free(&words);
    memset(text, 'x', 4000); /* no word is that long */
    strcpy(text + 4000, " y");
    WN_ASSERT_OK(wn_fts_words_split(&words, text, strlen(text), err));
    assert_int_equal(words.n, 1);
    assert_string_equal(words.items[0].quoted, "\"y\"");
    wn_fts_words_free(&words);
    memset(text, 'x', WN_FTS_MAX_WORD_BYTES);
    WN_ASSERT_OK(wn_fts_words_split(&words, text, WN_FTS_MAX_WORD_BYTES, err));
    assert_int_equal(words.n, 1);
    wn_fts_words_free(&words);
    WN_ASSERT_OK(wn_fts_words_split(&words, text, WN_FTS_MAX_WORD_BYTES + 1, err));
    assert_int_equal(words.n, 1 - (text[WN_FTS_MAX_WORD_BYTES] == 'x'));
    wn_fts_words_free(&words);
}

static void kept_words_only(void **state)
{
    (void)state;
    wn_fts_words words = {0};
    char *query = NULL;
    WN_ASSERT_OK(wn_fts_words_split(&words, "one two three", 13, err));
    words.items[0].keep = words.items[2].keep = false;
    WN_ASSERT_OK(wn_fts_words_query(&words, &query, err));
    assert_string_equal(query, "\"two\"");
    free(query);
    wn_fts_words_free(&words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_are_quoted), cmocka_unit_test(limits),
                                       cmocka_unit_test(kept_words_only)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
