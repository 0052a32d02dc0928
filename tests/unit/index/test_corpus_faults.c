/* Memory that runs out: every allocation of ours, and SQLite's, fails once. A write then happens as
 * a whole or not at all, and the corpus goes on. */
#include <sqlite3.h>

#include "tests/alloc_failure.h"
#include "tests/unit/index/corpus_fixture.h"

static char dir[64];
static const char old_text[] = "an old line about tea\nanother old line";
static const char new_text[] = "a new line about coffee\nanother new line\nand a third";

/* SQLite's allocator with a countdown; 0 = never fails. */
static sqlite3_mem_methods real;
static long n_allocations, fail_at;

static void *counted_malloc(int n)
{
    return ++n_allocations == fail_at ? NULL : real.xMalloc(n);
}

static void *counted_realloc(void *p, int n)
{
    return ++n_allocations == fail_at ? NULL : real.xRealloc(p, n);
}

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

static wn_status put_text(wn_corpus *c, const char *text, wn_error *err)
{
    static fixture_document d;
    fixture_lines(&d, "/docs/a", "Title", text);
    return wn_corpus_put(c, &d.content, NULL, err);
}

static wn_status use_corpus(wn_corpus *c, wn_error *err)
{
    wn_index_hit hits[16];
    wn_document_record r = {0};
    wn_passage_record p = {0};
    float v[FIXTURE_DIM];
    size_t n = 0;
    WN_TRY(put_text(c, old_text, err));
    WN_TRY(wn_corpus_search_text(c, "old lines", 9, 16, NULL, NULL, hits, &n, err));
    fixture_vector("x", 1, v, FIXTURE_DIM);
    WN_TRY(wn_corpus_search_vector(c, v, FIXTURE_DIM, 2, NULL, NULL, hits, &n, err));
    WN_TRY(wn_corpus_passage(c, hits[0].passage_id, &p, err));
    wn_passage_record_free(&p);
    WN_TRY(put_text(c, new_text, err));
    WN_TRY(wn_corpus_document_by_path(c, "/docs/a", &r, err));
    int64_t id = r.doc.id;
    wn_document_record_free(&r);
    WN_TRY(wn_corpus_document(c, id, true, &r, err));
    wn_document_record_free(&r);
    WN_TRY(wn_corpus_refresh_vectors(c, err));
    return wn_corpus_delete_document(c, id, err);
}

static wn_status open_and_use(void *ctx, wn_error *err)
{
    (void)ctx;
    wn_corpus *c = NULL;
    WN_TRY(wn_corpus_open(&c, dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE, err));
    wn_status status = use_corpus(c, err);
    if (status == WN_OK)
        status = wn_corpus_refresh_vectors(c, err);
    wn_corpus_close(c);
    return status;
}

static void our_allocations(void **state)
{
    (void)state;
    size_t n = wn_test_each_alloc_fails(open_and_use, NULL);
    printf("%zu allocations failed, alone and with all after them\n", n);
}

/* Old or new, and all parts of it the same. */
static void expect_whole(void)
{
    wn_corpus *c = fixture_open(dir, WN_CORPUS_READ);
    wn_document_record r = {0}, full = {0};
    wn_index_hit hits[64];
    WN_ASSERT_OK(wn_corpus_document_by_path(c, "/docs/a", &r, err));
    WN_ASSERT_OK(wn_corpus_document(c, r.doc.id, true, &full, err));
    bool is_new = strcmp(full.text, new_text) == 0;
    assert_string_equal(full.text, is_new ? new_text : old_text);
    size_t n = is_new ? 3 : 2;
    assert_int_equal(fixture_text(c, "new", hits), is_new ? 2 : 0);
    assert_int_equal(fixture_text(c, "old", hits), is_new ? 0 : 2);
    assert_int_equal(fixture_text(c, "title", hits), n);
    assert_int_equal(fixture_nearest(c, "x", 9, hits), n);
    wn_document_record_free(&r);
    wn_document_record_free(&full);
    wn_corpus_close(c);
}

static void allocations_of_sqlite(void **state)
{
    (void)state;
    long n_failed = 0, step = 1;
    for (long at = 1;; at += step) {
        wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
        WN_ASSERT_OK(put_text(c, old_text, err));
        wn_error why = {0};
        n_allocations = 0;
        fail_at = at;
        wn_status status = put_text(c, new_text, &why);
        bool reached = n_allocations >= at;
        fail_at = 0;
        /* SQLite does without some of them. */
        if (status != WN_OK && status != WN_NO_MEMORY)
            fail_msg("allocation %ld: %s, \"%s\"", at, wn_status_name(status), why.text);
        n_failed += status == WN_NO_MEMORY;
        expect_whole();
        if (status == WN_OK && !reached) {
            wn_corpus_close(c);
            break;
        }
        WN_ASSERT_OK(put_text(c, new_text, err)); /* the same handle goes on */
        expect_whole();
        wn_corpus_close(c);
        step = 1 + at / 64; /* dense at first, where statements are prepared */
    }
    printf("%ld failures of SQLite's allocations reported\n", n_failed);
    assert_true(n_failed > 50);
}

int main(void)
{
    sqlite3_mem_methods counted;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real) != SQLITE_OK)
        return 1;
    counted = real;
    counted.xMalloc = counted_malloc;
    counted.xRealloc = counted_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &counted) != SQLITE_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(our_allocations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(allocations_of_sqlite, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
