/* SIGKILL at random moments of a process that puts, deletes and refreshes: everything that it
 * acknowledged is there, nothing is half there, and documents, text index and vectors agree. */
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/index/corpus_fixture.h"

enum { N_KILLS = 50, N_PATHS = 12, MAX_DELAY_US = 60000 };

/* What the child reports: before an operation (acknowledged = 0) and after it. */
typedef struct report {
    int acknowledged, path, version; /* version 0: deleted */
} report;

static void document_text(char out[256], int path, int version)
{
    int n = snprintf(out, 256, "unique%dv%d begins here", path, version);
    for (int i = 0; i < version % 4; i++)
        n += snprintf(out + n, 256 - (size_t)n, "\nline %d of path%d in version%d", i, path,
                      version);
}

static void document_path(char out[32], int path)
{
    snprintf(out, 32, "/docs/%d", path);
}

static unsigned next_random(unsigned *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

/* The child: no cmocka in here; a failure ends it with a status that the parent does not expect. */
static void work_until_killed(const char *dir, int fd, int *versions, unsigned seed)
{
    wn_corpus *c = NULL;
    if (wn_corpus_open(&c, dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE, NULL) != WN_OK)
        _exit(3);
    static fixture_document d;
    for (int version = (int)(seed & 0xfff) * 1000 + 1;; version++) {
        char text[256], name[32];
        report r = {0, (int)(next_random(&seed) % N_PATHS), version};
        document_path(name, r.path);
        bool remove = versions[r.path] > 0 && next_random(&seed) % 4 == 0;
        if (remove)
            r.version = 0;
        if (write(fd, &r, sizeof r) != sizeof r)
            _exit(4);
        if (remove) {
            wn_document_record old = {0};
            if (wn_corpus_document_by_path(c, name, &old, NULL) != WN_OK ||
                wn_corpus_delete_document(c, old.doc.id, NULL) != WN_OK)
                _exit(5);
            wn_document_record_free(&old);
        } else {
            document_text(text, r.path, version);
            fixture_lines(&d, name, "Title", text);
            if (wn_corpus_put(c, &d.content, NULL, NULL) != WN_OK)
                _exit(6);
        }
        versions[r.path] = r.version;
        r.acknowledged = 1;
        if (write(fd, &r, sizeof r) != sizeof r)
            _exit(7);
        if (next_random(&seed) % 8 == 0 && wn_corpus_refresh_vectors(c, NULL) != WN_OK)
            _exit(8);
    }
}

/* Runs a child, kills it, and brings versions up to what it acknowledged. *open_op: the operation
 * that had begun (acknowledged = 0), or acknowledged = 1 for none. */
static void run_and_kill(const char *dir, int *versions, unsigned seed, report *open_op)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[0]);
        work_until_killed(dir, fds[1], versions, seed);
    }
    close(fds[1]);
    unsigned x = seed;
    next_random(&x);
    struct timespec delay = {0, (long)(next_random(&x) % MAX_DELAY_US) * 1000};
    report r = {1, 0, 0};
    *open_op = r;
    /* The clock starts with the first report, so that slow machines kill working children as well.
     */
    if (read(fds[0], &r, sizeof r) == sizeof r)
        *open_op = r;
    nanosleep(&delay, NULL);
    kill(child, SIGKILL);
    while (read(fds[0], &r, sizeof r) == sizeof r) {
        *open_op = r;
        if (r.acknowledged)
            versions[r.path] = r.version;
    }
    close(fds[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the child ended with %d before it was killed", WEXITSTATUS(status));
}

static int stored_version(wn_corpus *c, int path, char text[256])
{
    char name[32];
    int version = 0, p = 0;
    wn_document_record r = {0}, full = {0};
    document_path(name, path);
    wn_error why = {0};
    wn_status status = wn_corpus_document_by_path(c, name, &r, &why);
    if (status == WN_NOT_FOUND)
        return 0;
    if (status != WN_OK)
        fail_msg("%s", why.text);
    WN_ASSERT_OK(wn_corpus_document(c, r.doc.id, true, &full, err));
    assert_int_equal(sscanf(full.text, "unique%dv%d", &p, &version), 2);
    assert_int_equal(p, path);
    document_text(text, path, version);
    assert_string_equal(full.text, text);
    wn_document_record_free(&r);
    wn_document_record_free(&full);
    return version;
}

static void check_document(wn_corpus *c, int path, int version, const char *text)
{
    char name[32], word[64];
    wn_index_hit hits[64];
    wn_passage_record p = {0};
    document_path(name, path);
    snprintf(word, sizeof word, "unique%dv%d", path, version);
    assert_int_equal(fixture_text(c, word, hits), 1);
    for (size_t start = 0; text[start];) { /* every line is a passage with its vector */
        char line[256];
        size_t len = strcspn(text + start, "\n");
        memcpy(line, text + start, len);
        line[len] = 0;
        assert_int_equal(fixture_nearest(c, line, 1, hits), 1);
        assert_true(hits[0].score > 0.9999f);
        WN_ASSERT_OK(wn_corpus_passage(c, hits[0].passage_id, &p, err));
        assert_string_equal(p.text, line);
        assert_string_equal(p.path, name);
        wn_passage_record_free(&p);
        start += len + (text[start + len] == '\n');
    }
}

static void check_counts(const char *dir, wn_corpus *c)
{
    char path[128], *message = NULL;
    wn_corpus_stats s = {0};
    WN_ASSERT_OK(wn_corpus_stats_read(c, &s, err));
    snprintf(path, sizeof path, "%s/corpus.sqlite", dir);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_stmt *q = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM blocks),"
                           " (SELECT count(*) FROM passages), (SELECT count(*) FROM vectors),"
                           " (SELECT count(*) FROM passages_fts_docsize),"
                           " (SELECT count(*) FROM vectors v JOIN passages p ON p.id = v.passage_id"
                           "  JOIN documents d ON d.id = p.document_id AND d.id = v.document_id)",
                           -1, &q, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    const size_t expected[] = {s.n_documents, s.n_blocks,   s.n_passages,
                               s.n_vectors,   s.n_passages, s.n_vectors};
    for (int i = 0; i < 6; i++)
        assert_int_equal(sqlite3_column_int64(q, i), expected[i]);
    sqlite3_finalize(q);
    int rc =
        sqlite3_exec(db,
                     "INSERT INTO passages_fts(passages_fts, rank) VALUES ('integrity-check', 1);"
                     "PRAGMA integrity_check",
                     NULL, NULL, &message);
    if (rc != SQLITE_OK)
        fail_msg("integrity: %s", message ? message : "?");
    sqlite3_close(db);
}

static void survives_kills(void **state)
{
    (void)state;
    char dir[64], text[256];
    int versions[N_PATHS] = {0};
    size_t n_open = 0, n_done = 0;
    fixture_dir(dir);
    for (unsigned k = 0; k < N_KILLS; k++) {
        report op;
        run_and_kill(dir, versions, 2463534242u + k * 7919u, &op);
        wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
        for (int p = 0; p < N_PATHS; p++) {
            int version = stored_version(c, p, text);
            bool is_open = !op.acknowledged && op.path == p;
            if (version != versions[p] && !(is_open && version == op.version))
                fail_msg("kill %u, path %d: version %d stored, %d acknowledged", k, p, version,
                         versions[p]);
            versions[p] = version;
            if (version > 0) {
                check_document(c, p, version, text);
                n_done++;
            }
        }
        n_open += !op.acknowledged;
        check_counts(dir, c);
        wn_corpus_close(c);
    }
    printf("%d kills, %zu of them inside an operation\n", N_KILLS, n_open);
    assert_true(n_open > 0 && n_done > 0); /* otherwise the kills came at the wrong time */
    fixture_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(survives_kills)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
