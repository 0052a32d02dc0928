/* A corpus from the outside: put, replace, delete, read, search, settings, and what is refused. */
#include <sqlite3.h>

#include "tests/unit/index/corpus_fixture.h"

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    fixture_dir(dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_remove(dir);
    return 0;
}

static const char rust[] = "Ownership decides who frees memory.\nBorrowing lends a value.\n"
                           "Caf\xc3\xa9 culture is unrelated.";
static const char tea[] = "Green tea is steamed.\nBlack tea is oxidised and frees aroma.";

/* FTS5's own check: the index holds exactly what the passages say. */
static void expect_fts_intact(void)
{
    char path[128], *message = NULL;
    snprintf(path, sizeof path, "%s/corpus.sqlite", dir);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int rc = sqlite3_exec(
        db, "INSERT INTO passages_fts(passages_fts, rank) VALUES ('integrity-check', 1)", NULL,
        NULL, &message);
    if (rc != SQLITE_OK)
        fail_msg("FTS5 integrity check: %s", message ? message : "?");
    sqlite3_close(db);
}

static void put_and_read(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    int64_t id = fixture_put(c, "/docs/rust.txt", "The Book", rust);
    wn_document_record r = {0};
    WN_ASSERT_OK(wn_corpus_document(c, id, true, &r, err));
    assert_string_equal(r.text, rust);
    assert_int_equal(r.text_len, sizeof rust - 1);
    assert_string_equal(r.doc.path, "/docs/rust.txt");
    assert_string_equal(r.doc.filename, "rust.txt");
    assert_string_equal(r.doc.title, "The Book");
    assert_string_equal(r.doc.media_type, "text/plain");
    assert_string_equal(r.doc.attributes, "{\"year\":2020}");
    assert_int_equal(r.doc.n_pages, 3);
    assert_int_equal(r.doc.n_passages, 3);
    assert_int_equal(r.doc.created_at, 1700000000);
    assert_int_equal(r.doc.source_bytes, sizeof rust - 1);
    wn_document_record_free(&r);
    WN_ASSERT_OK(wn_corpus_document_by_path(c, "/docs/rust.txt", &r, err));
    assert_int_equal(r.doc.id, id);
    assert_null(r.text);
    wn_document_record_free(&r);

    wn_passage_record p = {0};
    WN_ASSERT_OK(wn_corpus_passage_at(c, id, 1, &p, err));
    assert_string_equal(p.text, "Borrowing lends a value.");
    assert_string_equal(p.passage.headings, "Chapter > Odd");
    assert_string_equal(p.filename, "rust.txt");
    assert_string_equal(p.title, "The Book");
    assert_int_equal(p.ordinal, 1);
    assert_int_equal(p.document_id, id);
    assert_int_equal(p.passage.page_start, 2);
    wn_passage_record_free(&p);
    wn_error why = {0};
    assert_int_equal(wn_corpus_passage_at(c, id, 3, &p, &why), WN_NOT_FOUND);
    assert_int_equal(wn_corpus_document(c, id + 1, false, &r, NULL), WN_NOT_FOUND);
    assert_int_equal(wn_corpus_delete_document(c, id + 1, NULL), WN_NOT_FOUND);
    wn_corpus_close(c);
    expect_fts_intact();
}

static wn_status count_block(void *ctx, const wn_block *b, wn_error *err)
{
    (void)err;
    size_t *starts = ctx;
    starts[++starts[0]] = b->start;
    return WN_OK;
}

static void blocks_that_overlap(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    int64_t id = fixture_put(c, "/docs/rust.txt", "", rust);
    size_t starts[8] = {0};
    WN_ASSERT_OK(wn_corpus_blocks(c, id, 0, SIZE_MAX, count_block, starts, err));
    assert_int_equal(starts[0], 3);
    starts[0] = 0;
    /* Bytes 35 to 36 are the line end between the first two. */
    WN_ASSERT_OK(wn_corpus_blocks(c, id, 35, 37, count_block, starts, err));
    assert_int_equal(starts[0], 1);
    assert_int_equal(starts[1], 36);
    wn_corpus_close(c);
}

static void text_search(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    wn_index_hit hits[64];
    assert_int_equal(fixture_text(c, "anything", hits), 0);
    fixture_put(c, "/docs/rust.txt", "The Book", rust);
    int64_t tea_id = fixture_put(c, "/docs/tea.txt", "Camellia sinensis", tea);

    assert_int_equal(fixture_text(c, "FREEING memory?", hits), 2); /* Porter: free */
    fixture_expect_text(c, hits[0].passage_id, "Ownership decides who frees memory.");
    assert_true(hits[0].score > hits[1].score && hits[1].score > 0);
    assert_int_equal(fixture_text(c, "cafe", hits), 1); /* diacritics */
    assert_int_equal(fixture_text(c, "CAF\xc3\x89", hits), 1);
    assert_int_equal(fixture_text(c, "camellia", hits), 2); /* title: every passage */
    assert_int_equal(hits[0].document_id, tea_id);
    assert_int_equal(fixture_text(c, "odd chapters", hits), 2); /* headings */
    assert_int_equal(fixture_text(c, "nothing-of-this", hits), 0);

    const char *odd[] = {
        "",   "\"",        "* OR AND NOT (",        "NEAR(a b)",       "heading:tea",
        "\\", "tea\"tea*", "\xff\xfe tea \xc3\x28", "^tea + -tea {}:", "?!"};
    const size_t found[] = {0, 0, 1, 1, 2, 0, 2, 2, 2, 0};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_int_equal(fixture_text(c, odd[i], hits), found[i]);
    wn_corpus_close(c);
}

static void common_words_are_dropped(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    wn_index_hit hits[64];
    for (int i = 0; i < 20; i++) {
        char path[32], text[96];
        snprintf(path, sizeof path, "/d/%d", i);
        snprintf(text, sizeof text, "The common report number%d%s", i,
                 i < 3 ? " mentions tea" : "");
        fixture_put(c, path, "", text);
    }
    assert_int_equal(fixture_text(c, "the common tea", hits), 3);
    assert_int_equal(fixture_text(c, "commons reports", hits), 20); /* nothing else remains */
    /* A word that no passage holds does not count as remaining. */
    assert_int_equal(fixture_text(c, "common zebra", hits), 20);
    wn_corpus_close(c);
}

static void vector_search(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    wn_index_hit hits[64];
    assert_int_equal(fixture_nearest(c, "x", 5, hits), 0);
    int64_t id = fixture_put(c, "/docs/rust.txt", "", rust);
    fixture_put(c, "/docs/tea.txt", "", tea);
    assert_int_equal(fixture_nearest(c, "Borrowing lends a value.", 3, hits), 3);
    fixture_expect_text(c, hits[0].passage_id, "Borrowing lends a value.");
    assert_int_equal(hits[0].document_id, id);
    assert_true(fabsf(hits[0].score - 1) < 1e-5f);
    assert_true(hits[0].score > hits[1].score && hits[1].score >= hits[2].score);
    assert_int_equal(fixture_nearest(c, "x", 60, hits), 5);

    float v[FIXTURE_DIM + 1] = {1};
    size_t n = 7;
    wn_error why = {0};
    assert_int_equal(wn_corpus_search_vector(c, v, FIXTURE_DIM + 1, 3, NULL, NULL, hits, &n, &why),
                     WN_INVALID);
    assert_int_equal(n, 0);
    assert_non_null(strstr(why.text, "17"));
    v[0] = NAN;
    assert_int_equal(wn_corpus_search_vector(c, v, FIXTURE_DIM, 3, NULL, NULL, hits, &n, NULL),
                     WN_INVALID);
    wn_corpus_close(c);
}

static bool only(void *ctx, int64_t document_id)
{
    return document_id == *(int64_t *)ctx;
}

static void filters_are_exact(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    wn_index_hit hits[64];
    int64_t last = 0;
    for (int i = 0; i < 200; i++) {
        char path[32], text[64];
        snprintf(path, sizeof path, "/d/%d", i);
        snprintf(text, sizeof text, "shared words\nline two of %d", i);
        last = fixture_put(c, path, "", text);
    }
    float v[FIXTURE_DIM];
    size_t n = 0;
    fixture_vector("far away", 8, v, FIXTURE_DIM);
    WN_ASSERT_OK(wn_corpus_search_vector(c, v, FIXTURE_DIM, 10, only, &last, hits, &n, err));
    assert_int_equal(n, 2);
    assert_true(hits[0].document_id == last && hits[1].document_id == last);
    WN_ASSERT_OK(wn_corpus_search_text(c, "shared", 6, 10, only, &last, hits, &n, err));
    assert_int_equal(n, 1);
    assert_int_equal(hits[0].document_id, last);
    wn_corpus_close(c);
}

static void replace_and_delete(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    wn_index_hit hits[64];
    int64_t id = fixture_put(c, "/docs/a", "Old title", rust);
    assert_int_equal(fixture_nearest(c, "x", 10, hits), 3);
    assert_int_equal(fixture_put(c, "/docs/a", "New title", tea), id); /* the id stays */
    assert_int_equal(fixture_text(c, "ownership", hits), 0);
    assert_int_equal(fixture_text(c, "old", hits), 0);
    assert_int_equal(fixture_text(c, "new", hits), 2);
    assert_int_equal(fixture_nearest(c, "Borrowing lends a value.", 10, hits), 2);
    assert_true(hits[0].score < 0.999f);
    wn_corpus_stats s = {0};
    WN_ASSERT_OK(wn_corpus_stats_read(c, &s, err));
    assert_int_equal(s.n_documents, 1);
    assert_int_equal(s.n_passages, 2);
    assert_int_equal(s.n_blocks, 2);
    assert_int_equal(s.n_vectors, 2);
    assert_int_equal(s.dim, FIXTURE_DIM);
    assert_int_equal(s.text_bytes, sizeof tea - 1);
    assert_true(s.file_bytes > 4096);
    uint64_t generation = s.generation;
    WN_ASSERT_OK(wn_corpus_delete_document(c, id, err));
    WN_ASSERT_OK(wn_corpus_stats_read(c, &s, err));
    assert_true(s.generation > generation);
    assert_int_equal(s.n_documents + s.n_passages + s.n_blocks + s.n_vectors + s.text_bytes, 0);
    assert_int_equal(fixture_nearest(c, "x", 10, hits), 0);
    assert_int_equal(fixture_text(c, "tea", hits), 0);
    wn_corpus_close(c);
    expect_fts_intact();
}

/* An emptied corpus takes vectors of another embedder; a filled one does not. */
static void one_dimension_a_corpus(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    int64_t id = fixture_put(c, "/docs/a", "", tea);
    float v[2][4] = {{1}, {0, 1}};
    static fixture_document d;
    fixture_lines(&d, "/docs/b", "", tea);
    d.content.vectors = v[0];
    d.content.dim = 4;
    wn_error why = {0};
    assert_int_equal(wn_corpus_put(c, &d.content, NULL, &why), WN_INVALID);
    assert_non_null(strstr(why.text, "16"));
    WN_ASSERT_OK(wn_corpus_delete_document(c, id, err));
    WN_ASSERT_OK(wn_corpus_put(c, &d.content, NULL, err));
    wn_index_hit hits[4];
    size_t n = 0;
    WN_ASSERT_OK(wn_corpus_search_vector(c, v[1], 4, 4, NULL, NULL, hits, &n, err));
    assert_int_equal(n, 2);
    assert_true(hits[0].score == 1 && hits[1].score == 0);
    wn_corpus_close(c);
}

static wn_status collect(void *ctx, const wn_document *d, wn_error *err)
{
    (void)err;
    int64_t *ids = ctx;
    ids[++ids[0]] = d->id;
    return d->n_passages == 1 ? WN_OK : WN_CANCELLED;
}

static void listing_pages(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    int64_t ids[8] = {0};
    const char *paths[] = {"/1", "/2", "/3", "/4"};
    for (size_t i = 0; i < 4; i++)
        fixture_put(c, paths[i], "", "one line");
    WN_ASSERT_OK(wn_corpus_list(c, 0, 3, false, collect, ids, err));
    assert_int_equal(ids[0], 3);
    assert_true(ids[1] == 1 && ids[3] == 3);
    ids[0] = 0;
    WN_ASSERT_OK(wn_corpus_list(c, 3, SIZE_MAX, false, collect, ids, err));
    assert_true(ids[0] == 1 && ids[1] == 4);
    ids[0] = 0;
    WN_ASSERT_OK(wn_corpus_list(c, 0, 2, true, collect, ids, err));
    assert_true(ids[0] == 2 && ids[1] == 4 && ids[2] == 3);
    ids[0] = 0;
    WN_ASSERT_OK(wn_corpus_list(c, 3, 9, true, collect, ids, err));
    assert_true(ids[0] == 2 && ids[1] == 2 && ids[2] == 1);
    fixture_put(c, "/5", "", "two\nlines");
    assert_int_equal(wn_corpus_list(c, 0, 9, false, collect, ids, NULL), WN_CANCELLED);
    wn_corpus_close(c);
}

static void settings(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    char *value = NULL;
    WN_ASSERT_OK(wn_corpus_setting(c, "fusion", &value, err));
    assert_null(value);
    WN_ASSERT_OK(wn_corpus_set_setting(c, "fusion", "rrf", err));
    WN_ASSERT_OK(wn_corpus_set_setting(c, "fusion", "minmax", err));
    wn_corpus_close(c);
    c = fixture_open(dir, WN_CORPUS_READ);
    WN_ASSERT_OK(wn_corpus_setting(c, "fusion", &value, err));
    assert_string_equal(value, "minmax");
    free(value);
    assert_int_equal(wn_corpus_set_setting(c, "fusion", "rrf", NULL), WN_DENIED);
    wn_corpus_close(c);
    c = fixture_open(dir, WN_CORPUS_WRITE);
    WN_ASSERT_OK(wn_corpus_set_setting(c, "fusion", NULL, err)); /* unset */
    WN_ASSERT_OK(wn_corpus_setting(c, "fusion", &value, err));
    assert_null(value);
    wn_corpus_close(c);
}

/* Documents without vectors and without text are documents. */
static void bare_documents(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    wn_document_content content = {.doc = {.path = "/empty"}};
    int64_t id = 0;
    WN_ASSERT_OK(wn_corpus_put(c, &content, &id, err));
    wn_document_record r = {0};
    WN_ASSERT_OK(wn_corpus_document(c, id, true, &r, err));
    assert_string_equal(r.text, "");
    assert_string_equal(r.doc.filename, "empty");
    assert_string_equal(r.doc.attributes, "{}");
    assert_true(r.doc.created_at > 1700000000);
    wn_document_record_free(&r);
    static fixture_document d;
    fixture_lines(&d, "/words", "", tea);
    d.content.vectors = NULL;
    d.content.dim = 0;
    WN_ASSERT_OK(wn_corpus_put(c, &d.content, NULL, err));
    wn_index_hit hits[64];
    assert_int_equal(fixture_text(c, "tea", hits), 2);
    assert_int_equal(fixture_nearest(c, "tea", 5, hits), 0);
    fixture_put(c, "/vectors", "", rust); /* joins later: only its passages are found by meaning */
    assert_int_equal(fixture_nearest(c, "tea", 9, hits), 3);
    wn_corpus_close(c);
}

static void expect_refused(wn_corpus *c, fixture_document *d, wn_status status, const char *text)
{
    wn_error why = {0};
    assert_int_equal(wn_corpus_put(c, &d->content, NULL, &why), status);
    if (!strstr(why.text, text))
        fail_msg("\"%s\" should say \"%s\"", why.text, text);
    fixture_lines(d, "/docs/x", "", rust);
}

static void malformed_content(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    static fixture_document d;
    fixture_lines(&d, "/docs/x", "", rust);
    d.content.doc.path = "";
    expect_refused(c, &d, WN_INVALID, "path");
    d.content.doc.path = "/docs/\xff";
    expect_refused(c, &d, WN_INVALID, "path is not UTF-8");
    d.content.doc.title = "\xc3";
    expect_refused(c, &d, WN_INVALID, "title");
    d.content.text = "\xed\xa0\x80 a surrogate, which is no UTF-8, and some more text to be long "
                     "enough here";
    expect_refused(c, &d, WN_INVALID, "text is not UTF-8");
    d.passages[2].end = sizeof rust;
    expect_refused(c, &d, WN_INVALID, "passage 2");
    d.passages[0].end = 0;
    expect_refused(c, &d, WN_INVALID, "passage 0");
    d.passages[2].start += 4; /* inside the two bytes of e-acute */
    expect_refused(c, &d, WN_INVALID, "cut a character");
    d.passages[1].start = 0;
    d.passages[0].start = 1;
    expect_refused(c, &d, WN_INVALID, "passage 1");
    d.passages[1].page_end = 1;
    expect_refused(c, &d, WN_INVALID, "pages 2 to 1");
    d.blocks[1].start = 30;
    expect_refused(c, &d, WN_INVALID, "block 1");
    d.blocks[1].kind = (wn_block_kind)9;
    expect_refused(c, &d, WN_INVALID, "kind 9");
    d.blocks[0].headings = "\x80";
    expect_refused(c, &d, WN_INVALID, "headings of a block");
    d.vectors[FIXTURE_DIM] += 1;
    expect_refused(c, &d, WN_INVALID, "vector 1");
    d.vectors[3] = NAN;
    expect_refused(c, &d, WN_INVALID, "vector 0");
    d.content.dim = 100000;
    expect_refused(c, &d, WN_INVALID, "dimensions");
    d.content.doc.attributes = "[1]";
    expect_refused(c, &d, WN_INVALID, "JSON object");
    d.content.doc.attributes = "{\"a\":[1]}";
    expect_refused(c, &d, WN_INVALID, "a must be");
    d.content.doc.attributes = "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,"
                               "\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,"
                               "\"q\":1}";
    expect_refused(c, &d, WN_INVALID, "17 attributes");
    wn_error why = {0};
    d.content.doc.attributes = "{";
    assert_int_not_equal(wn_corpus_put(c, &d.content, NULL, &why), WN_OK);
    wn_corpus_stats s = {0};
    WN_ASSERT_OK(wn_corpus_stats_read(c, &s, err));
    assert_int_equal(s.n_documents, 0);
    wn_corpus_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(put_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(blocks_that_overlap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_search, set_up, tear_down),
        cmocka_unit_test_setup_teardown(common_words_are_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vector_search, set_up, tear_down),
        cmocka_unit_test_setup_teardown(filters_are_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replace_and_delete, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_dimension_a_corpus, set_up, tear_down),
        cmocka_unit_test_setup_teardown(listing_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bare_documents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_content, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
