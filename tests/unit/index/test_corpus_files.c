/* What other hands may do to a corpus' files: foreign, newer, truncated, flipped, stale, locked. */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "base/file_map.h"
#include "index/corpus_set.h"
#include "tests/unit/index/corpus_fixture.h"

static char dir[64], db_path[96], vector_path[96];

static int set_up(void **state)
{
    (void)state;
    fixture_dir(dir);
    snprintf(db_path, sizeof db_path, "%s/corpus.sqlite", dir);
    snprintf(vector_path, sizeof vector_path, "%s/vectors.faiss", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_remove(dir);
    return 0;
}

static void fill(size_t n_documents)
{
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    for (size_t i = 0; i < n_documents; i++) {
        char path[32], text[96];
        snprintf(path, sizeof path, "/d/%zu", i);
        snprintf(text, sizeof text, "first line of %zu\nsecond line of %zu", i, i);
        fixture_put(c, path, "", text);
    }
    wn_corpus_close(c);
}

static void sql(const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", text, message);
    sqlite3_close(db);
}

static void expect_refused(unsigned mode, wn_status status, const char *text)
{
    wn_corpus *c = NULL;
    wn_error why = {0};
    assert_int_equal(wn_corpus_open(&c, dir, mode, &why), status);
    assert_null(c);
    if (!strstr(why.text, text) || !strstr(why.text, dir))
        fail_msg("\"%s\" should name the corpus and say \"%s\"", why.text, text);
}

static void not_there(void **state)
{
    (void)state;
    expect_refused(WN_CORPUS_READ, WN_NOT_FOUND, "no corpus");
    expect_refused(WN_CORPUS_WRITE, WN_NOT_FOUND, "no corpus");
    assert_false(wn_fs_exists(db_path));
    WN_ASSERT_OK(
        wn_fs_write_atomic(db_path, "", 0, err)); /* what a crash at the very start leaves */
    expect_refused(WN_CORPUS_READ, WN_NOT_FOUND, "no corpus yet");
    expect_refused(WN_CORPUS_WRITE, WN_NOT_FOUND, "no corpus yet");
    fill(1);
    wn_corpus *c = fixture_open(dir, WN_CORPUS_READ);
    wn_corpus_close(c);
}

static void foreign_and_newer(void **state)
{
    (void)state;
    sql("CREATE TABLE notes(x)");
    expect_refused(WN_CORPUS_READ, WN_FORMAT, "another program");
    expect_refused(WN_CORPUS_WRITE | WN_CORPUS_CREATE, WN_FORMAT, "another program");
    unlink(db_path);
    fill(1);
    sql("PRAGMA user_version = 2");
    expect_refused(WN_CORPUS_READ, WN_UNSUPPORTED, "schema 2");
    expect_refused(WN_CORPUS_WRITE, WN_UNSUPPORTED, "schema 2");
    sql("PRAGMA user_version = 1; DELETE FROM meta");
    expect_refused(WN_CORPUS_READ, WN_CORRUPT, "counters");
    WN_ASSERT_OK(
        wn_fs_write_atomic(db_path, "This is a text file, not a database at all.....", 47, err));
    expect_refused(WN_CORPUS_READ, WN_CORRUPT, "damaged");
}

/* Every call on a damaged file gives a status; nothing crashes, no text is made up. */
static void use_everything(void)
{
    wn_corpus *c = NULL;
    wn_index_hit hits[64];
    size_t n = 0;
    float v[FIXTURE_DIM];
    if (wn_corpus_open(&c, dir, WN_CORPUS_WRITE, NULL) != WN_OK)
        return;
    wn_corpus_search_text(c, "first line", 10, 64, NULL, NULL, hits, &n, NULL);
    for (size_t i = 0; i < n; i++) {
        wn_passage_record p = {0};
        if (wn_corpus_passage(c, hits[i].passage_id, &p, NULL) == WN_OK)
            assert_true(strlen(p.text) <= p.text_len);
        wn_passage_record_free(&p);
    }
    fixture_vector("x", 1, v, FIXTURE_DIM);
    wn_corpus_search_vector(c, v, FIXTURE_DIM, 64, NULL, NULL, hits, &n, NULL);
    wn_document_record r = {0};
    for (int64_t id = 1; id <= 40; id++)
        if (wn_corpus_document(c, id, true, &r, NULL) == WN_OK)
            wn_document_record_free(&r);
    static fixture_document d;
    fixture_lines(&d, "/d/3", "", "a new text");
    wn_corpus_put(c, &d.content, NULL, NULL);
    wn_corpus_delete_document(c, 5, NULL);
    wn_corpus_close(c);
}

static void damaged_database(void **state)
{
    (void)state;
    fill(40);
    wn_strbuf original = {0};
    WN_ASSERT_OK(wn_fs_read(&original, db_path, 1 << 26, err));
    assert_true(original.len > 16384);
    unsigned x = 12345;
    for (int round = 0; round < 120; round++) {
        unlink(vector_path);
        size_t len = original.len;
        char *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, original.data, len);
        if (round % 4 == 0) {
            len = original.len * (size_t)(round + 1) / 121; /* truncated */
        } else {
            for (int i = 0; i < 1 + round % 7; i++) {
                x = x * 1664525u + 1013904223u;
                copy[(x >> 4) % len] = (char)(x >> 24);
            }
        }
        WN_ASSERT_OK(wn_fs_write_atomic(db_path, copy, len, err));
        free(copy);
        use_everything();
    }
    wn_strbuf_free(&original);
}

static void truncated_database_is_named(void **state)
{
    (void)state;
    fill(40);
    assert_int_equal(truncate(db_path, 4096 * 3), 0);
    wn_corpus *c = NULL;
    wn_error why = {0};
    wn_status status = wn_corpus_open(&c, dir, WN_CORPUS_READ, &why);
    if (status == WN_OK) { /* SQLite may notice with the first page that is missing */
        wn_document_record r = {0};
        status = wn_corpus_document(c, 39, true, &r, &why);
        wn_corpus_close(c);
    }
    assert_int_equal(status, WN_CORRUPT);
    assert_non_null(strstr(why.text, "corpus.sqlite"));
}

/* Vector file: whatever happens to it, the answers stay the same. */
static void expect_vectors_found(size_t n_documents)
{
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE);
    wn_index_hit hits[64];
    char text[64];
    for (size_t i = 0; i < n_documents; i++) {
        snprintf(text, sizeof text, "second line of %zu", i);
        assert_int_equal(fixture_nearest(c, text, 2, hits), 2);
        assert_true(hits[0].score > 0.9999f);
        fixture_expect_text(c, hits[0].passage_id, text);
    }
    wn_corpus_close(c);
}

static void damaged_vector_file(void **state)
{
    (void)state;
    fill(30);
    wn_strbuf original = {0};
    WN_ASSERT_OK(wn_fs_read(&original, vector_path, 1 << 26, err));
    unsigned x = 99;
    for (int round = 0; round < 60; round++) {
        size_t len = original.len;
        char *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, original.data, len);
        x = x * 1664525u + 1013904223u;
        size_t at = round < 24 ? (size_t)round : (x >> 4) % len;
        if (round % 3 == 2)
            len = at; /* truncated */
        else
            copy[at] = (char)(copy[at] ^ (1 << (round % 8)));
        WN_ASSERT_OK(wn_fs_write_atomic(vector_path, copy, len, err));
        free(copy);
        expect_vectors_found(3);
    }
    unlink(vector_path);
    expect_vectors_found(30);
    wn_strbuf_free(&original);
}

static void refresh_writes_the_file(void **state)
{
    (void)state;
    fill(10);
    assert_true(wn_fs_exists(vector_path));
    unlink(vector_path);
    wn_corpus *c = fixture_open(dir, WN_CORPUS_READ); /* readers rebuild in memory only */
    wn_index_hit hits[64];
    assert_int_equal(fixture_nearest(c, "x", 5, hits), 5);
    WN_ASSERT_OK(wn_corpus_refresh_vectors(c, err));
    wn_corpus_close(c);
    assert_false(wn_fs_exists(vector_path));
    c = fixture_open(dir, WN_CORPUS_WRITE);
    WN_ASSERT_OK(wn_corpus_refresh_vectors(c, err));
    assert_true(wn_fs_exists(vector_path));
    for (int64_t id = 1; id <= 10; id++)
        WN_ASSERT_OK(wn_corpus_delete_document(c, id, err));
    WN_ASSERT_OK(wn_corpus_refresh_vectors(c, err));
    assert_false(wn_fs_exists(vector_path)); /* no vectors, no file */
    wn_corpus_close(c);
}

/* An old vector file beside a restored or newer database must not be believed: ids may mean others.
 */
static void stale_vector_file(void **state)
{
    (void)state;
    fill(5);
    wn_strbuf old_db = {0}, new_vectors = {0};
    WN_ASSERT_OK(wn_fs_read(&old_db, db_path, 1 << 26, err));
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE);
    fixture_put(c, "/d/5", "", "first line of 5\nsecond line of 5");
    WN_ASSERT_OK(wn_corpus_refresh_vectors(c, err));
    wn_corpus_close(c);
    WN_ASSERT_OK(wn_fs_read(&new_vectors, vector_path, 1 << 26, err));
    /* A backup comes back, and other documents take the ids that the file knows. */
    WN_ASSERT_OK(wn_fs_write_atomic(db_path, old_db.data, old_db.len, err));
    c = fixture_open(dir, WN_CORPUS_WRITE);
    fixture_put(c, "/other", "", "quite another line\nsecond line of 5 it is not");
    wn_corpus_close(c);
    WN_ASSERT_OK(wn_fs_write_atomic(vector_path, new_vectors.data, new_vectors.len, err));
    c = fixture_open(dir, WN_CORPUS_READ);
    wn_index_hit hits[64];
    assert_int_equal(fixture_nearest(c, "quite another line", 1, hits), 1);
    assert_true(hits[0].score > 0.9999f);
    fixture_expect_text(c, hits[0].passage_id, "quite another line");
    fixture_nearest(c, "second line of 5", 1, hits);
    assert_true(hits[0].score < 0.9999f);
    wn_corpus_close(c);
    wn_strbuf_free(&old_db);
    wn_strbuf_free(&new_vectors);
}

static void one_writer(void **state)
{
    (void)state;
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE), *second = NULL;
    fixture_put(c, "/a", "", "a line");
    wn_error why = {0};
    assert_int_equal(wn_corpus_open(&second, dir, WN_CORPUS_WRITE, &why), WN_BUSY);
    pid_t child = fork(); /* another process: may read, may not write */
    assert_true(child >= 0);
    if (child == 0) {
        wn_corpus *mine = NULL;
        wn_error error = {0};
        wn_index_hit hits[4];
        size_t n = 0;
        char pid[32];
        snprintf(pid, sizeof pid, "process %ld", (long)getppid());
        if (wn_corpus_open(&mine, dir, WN_CORPUS_WRITE, &error) != WN_BUSY ||
            !strstr(error.text, pid))
            _exit(1);
        if (wn_corpus_open(&mine, dir, WN_CORPUS_READ, NULL) != WN_OK ||
            wn_corpus_search_text(mine, "line", 4, 4, NULL, NULL, hits, &n, NULL) != WN_OK ||
            n != 1)
            _exit(2);
        wn_corpus_close(mine);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    fixture_put(c, "/b", "", "still writable");
    wn_corpus_close(c);
    c = fixture_open(dir, WN_CORPUS_WRITE); /* and free again */
    wn_corpus_close(c);
}

/* A reader that is open sees what another handle commits. */
static void readers_follow_the_writer(void **state)
{
    (void)state;
    fill(2);
    wn_corpus *w = fixture_open(dir, WN_CORPUS_WRITE), *r = fixture_open(dir, WN_CORPUS_READ);
    wn_index_hit hits[64];
    assert_int_equal(fixture_nearest(r, "first line of 7", 9, hits), 4);
    int64_t id = fixture_put(w, "/d/7", "", "first line of 7");
    assert_int_equal(fixture_text(r, "7", hits), 1);
    assert_int_equal(fixture_nearest(r, "first line of 7", 9, hits), 5);
    assert_true(hits[0].score > 0.9999f && hits[0].document_id == id);
    WN_ASSERT_OK(wn_corpus_refresh_vectors(w, err));
    WN_ASSERT_OK(wn_corpus_delete_document(w, id, err));
    assert_int_equal(fixture_nearest(r, "first line of 7", 9, hits), 4);
    assert_true(hits[0].score < 0.9999f);
    wn_corpus_close(w);
    assert_int_equal(fixture_text(r, "line", hits), 4);
    wn_corpus_close(r);
}

static wn_status count_name(void *ctx, const char *name, wn_error *err)
{
    (void)err;
    strcat(strcat(ctx, name), " ");
    return WN_OK;
}

static void the_set(void **state)
{
    (void)state;
    char root[96], names[256] = "";
    snprintf(root, sizeof root, "%s/corpora", dir);
    WN_ASSERT_OK(wn_corpus_set_list(root, count_name, names, err)); /* no folder: no corpora */
    assert_string_equal(names, "");
    const char *bad[] = {"",
                         ".",
                         "..",
                         "../x",
                         "a/b",
                         "A",
                         "-a",
                         "_a",
                         "a b",
                         "\xc3\xa9",
                         "a.b",
                         ".a",
                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    wn_corpus *c = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(wn_corpus_name_valid(bad[i]));
        assert_int_equal(
            wn_corpus_set_open(&c, root, bad[i], WN_CORPUS_WRITE | WN_CORPUS_CREATE, NULL),
            WN_INVALID);
        assert_int_equal(wn_corpus_set_delete(root, bad[i], NULL), WN_INVALID);
    }
    WN_ASSERT_OK(wn_corpus_set_open(&c, root, "notes-2", WN_CORPUS_WRITE | WN_CORPUS_CREATE, err));
    wn_error why = {0}, missing = {0};
    assert_int_equal(wn_corpus_set_delete(root, "notes-2", &why), WN_BUSY);
    wn_corpus_close(c);
    WN_ASSERT_OK(wn_corpus_set_open(&c, root, "0_a", WN_CORPUS_WRITE | WN_CORPUS_CREATE, err));
    wn_corpus_close(c);
    WN_ASSERT_OK(wn_corpus_set_list(root, count_name, names, err));
    assert_string_equal(names, "0_a notes-2 ");
    assert_int_equal(wn_corpus_set_open(&c, root, "note", WN_CORPUS_READ, &missing), WN_NOT_FOUND);
    assert_non_null(strstr(missing.text, "0_a, notes-2"));
    WN_ASSERT_OK(wn_corpus_set_delete(root, "0_a", err));
    assert_int_equal(wn_corpus_set_delete(root, "0_a", NULL), WN_NOT_FOUND);
    names[0] = 0;
    WN_ASSERT_OK(wn_corpus_set_list(root, count_name, names, err));
    assert_string_equal(names, "notes-2 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(foreign_and_newer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_database, set_up, tear_down),
        cmocka_unit_test_setup_teardown(truncated_database_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_vector_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refresh_writes_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stale_vector_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_writer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readers_follow_the_writer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_set, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
