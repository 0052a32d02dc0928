/* Flat and HNSW indexes against a plain scan; the store's parts; the bytes of the file. */
#include <math.h>

#include "index/corpus_db.h"
#include "index/vector_file.h"
#include "index/vector_store.h"
#include "tests/unit/index/corpus_fixture.h"

enum { N_ROWS = 3000, K = 10 };

static float rows[N_ROWS][FIXTURE_DIM];
static int64_t passage_ids[N_ROWS], document_ids[N_ROWS];

/* Clustered, as embeddings are; ids with gaps. */
static void make_rows(void)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        char name[32];
        float center[FIXTURE_DIM];
        double norm = 0;
        snprintf(name, sizeof name, "cluster%zu", i % 40);
        fixture_vector(name, strlen(name), center, FIXTURE_DIM);
        snprintf(name, sizeof name, "row%zu", i);
        fixture_vector(name, strlen(name), rows[i], FIXTURE_DIM);
        for (size_t j = 0; j < FIXTURE_DIM; j++) {
            rows[i][j] = center[j] + 0.5f * rows[i][j];
            norm += (double)rows[i][j] * (double)rows[i][j];
        }
        for (size_t j = 0; j < FIXTURE_DIM; j++)
            rows[i][j] = (float)((double)rows[i][j] / sqrt(norm));
        passage_ids[i] = 3 * (int64_t)i + 5;
        document_ids[i] = (int64_t)i / 10 + 1;
    }
}

static wn_vector_index *build(wn_vector_kind kind, size_t from, size_t n)
{
    wn_vector_index *x = NULL;
    WN_ASSERT_OK(wn_vector_index_create(&x, FIXTURE_DIM, kind, err));
    WN_ASSERT_OK(
        wn_vector_index_add(x, n, passage_ids + from, document_ids + from, rows[from], err));
    return x;
}

static bool every_seventh(void *ctx, int64_t passage_id, int64_t document_id)
{
    assert_int_equal(document_id, (passage_id - 5) / 30 + 1);
    ++*(size_t *)ctx;
    return document_id % 7 == 0;
}

static bool one_document(void *ctx, int64_t passage_id, int64_t document_id)
{
    (void)ctx, (void)passage_id;
    return document_id == 123;
}

static size_t scan(const float *query, size_t k, bool filtered, wn_index_hit *hits)
{
    size_t n = 0;
    for (size_t i = 0; i < N_ROWS; i++) {
        double s = 0;
        for (size_t j = 0; j < FIXTURE_DIM; j++)
            s += (double)query[j] * (double)rows[i][j];
        if (!filtered || document_ids[i] % 7 == 0)
            wn_vector_hit_insert(hits, &n, k,
                                 (wn_index_hit){passage_ids[i], document_ids[i], (float)s});
    }
    return n;
}

static size_t n_common(const wn_index_hit *a, const wn_index_hit *b, size_t n)
{
    size_t common = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            common += a[i].passage_id == b[j].passage_id;
    return common;
}

static void flat_is_exact(void **state)
{
    (void)state;
    wn_vector_index *x = build(WN_VECTOR_FLAT, 0, N_ROWS);
    for (size_t q = 0; q < 50; q++) {
        wn_index_hit got[K], want[K];
        size_t n = 0, n_asked = 0;
        WN_ASSERT_OK(wn_vector_index_search(x, rows[q * 7], K, NULL, NULL, got, &n, err));
        assert_int_equal(n, K);
        scan(rows[q * 7], K, false, want);
        assert_int_equal(n_common(got, want, K), K);
        assert_int_equal(got[0].passage_id, passage_ids[q * 7]);
        for (size_t i = 1; i < K; i++)
            assert_true(got[i - 1].score >= got[i].score);
        WN_ASSERT_OK(
            wn_vector_index_search(x, rows[q * 7], K, every_seventh, &n_asked, got, &n, err));
        assert_int_equal(n, K);
        scan(rows[q * 7], K, true, want);
        assert_int_equal(n_common(got, want, K), K);
    }
    wn_index_hit few[K];
    size_t n = 0; /* a filter that leaves less than k */
    WN_ASSERT_OK(wn_vector_index_search(x, rows[0], K + 5, one_document, NULL,
                                        (wn_index_hit[K + 5]){{0}}, &n, err));
    assert_int_equal(n, 10);
    WN_ASSERT_OK(wn_vector_index_search(x, rows[0], 0, NULL, NULL, few, &n, err));
    assert_int_equal(n, 0);
    wn_vector_index_release(x);
}

static void hnsw_finds_nearly_all(void **state)
{
    (void)state;
    wn_vector_index *x = build(WN_VECTOR_HNSW, 0, N_ROWS);
    size_t found = 0, n_asked = 0;
    for (size_t q = 0; q < 50; q++) {
        wn_index_hit got[K], want[K];
        size_t n = 0;
        WN_ASSERT_OK(wn_vector_index_search(x, rows[q * 11], K, NULL, NULL, got, &n, err));
        assert_int_equal(n, K);
        scan(rows[q * 11], K, false, want);
        found += n_common(got, want, K);
        WN_ASSERT_OK(
            wn_vector_index_search(x, rows[q * 11], K, one_document, &n_asked, got, &n, err));
        assert_int_equal(n, K); /* the filter leaves ten: exact */
        for (size_t i = 0; i < K; i++)
            assert_int_equal(got[i].document_id, 123);
    }
    assert_true(found >= 490); /* recall@10 >= 0.98 */
    wn_vector_index_release(x);
}

static void rows_and_clones(void **state)
{
    (void)state;
    wn_vector_index *x = build(WN_VECTOR_FLAT, 0, 100), *copy = NULL;
    WN_ASSERT_OK(wn_vector_index_clone(&copy, x, err));
    WN_ASSERT_OK(
        wn_vector_index_add(copy, 50, passage_ids + 100, document_ids + 100, rows[100], err));
    assert_int_equal(wn_vector_index_rows(x), 100);
    assert_int_equal(wn_vector_index_rows(copy), 150);
    assert_int_equal(wn_vector_index_first_id(copy), 5);
    assert_int_equal(wn_vector_index_last_id(copy), passage_ids[149]);
    float v[FIXTURE_DIM];
    int64_t id = 0;
    WN_ASSERT_OK(wn_vector_index_row(copy, 120, &id, NULL, v, err));
    assert_int_equal(id, passage_ids[120]);
    assert_memory_equal(v, rows[120], sizeof v);
    assert_int_equal(wn_vector_index_row(copy, 150, &id, NULL, v, NULL), WN_INVALID);
    /* Ids must rise, within a call and against what is inside. */
    assert_int_equal(wn_vector_index_add(x, 1, passage_ids + 99, document_ids, rows[0], NULL),
                     WN_CORRUPT);
    const int64_t falling[] = {1000, 999};
    assert_int_equal(wn_vector_index_add(x, 2, falling, falling, rows[0], NULL), WN_CORRUPT);
    wn_vector_index *bad = NULL;
    assert_int_equal(wn_vector_index_create(&bad, 0, WN_VECTOR_FLAT, NULL), WN_INVALID);
    assert_int_equal(wn_vector_index_create(&bad, 1u << 20, WN_VECTOR_FLAT, NULL), WN_INVALID);
    wn_vector_index_release(x);
    wn_vector_index_release(copy);
}

static void file_round_trip(void **state)
{
    (void)state;
    char dir[64], path[96];
    uint8_t key[WN_VECTOR_KEY_BYTES] = {1, 2, 3}, mac[WN_SHA256_BYTES],
            other[WN_SHA256_BYTES] = {0};
    fixture_dir(dir);
    snprintf(path, sizeof path, "%s/v", dir);
    for (int kind = 0; kind < 2; kind++) {
        wn_vector_index *x = build((wn_vector_kind)kind, 0, 500), *y = NULL;
        WN_ASSERT_OK(wn_vector_file_save(path, x, 7, key, mac, err));
        WN_ASSERT_OK(wn_vector_file_load(&y, path, key, mac, err));
        assert_int_equal(wn_vector_index_rows(y), 500);
        assert_int_equal(wn_vector_index_kind(y), kind);
        wn_index_hit a[K], b[K];
        size_t n = 0;
        for (size_t q = 0; q < 20; q++) {
            WN_ASSERT_OK(wn_vector_index_search(x, rows[q], K, NULL, NULL, a, &n, err));
            WN_ASSERT_OK(wn_vector_index_search(y, rows[q], K, NULL, NULL, b, &n, err));
            for (size_t i = 0; i < K; i++)
                assert_true(a[i].passage_id == b[i].passage_id && a[i].score == b[i].score);
        }
        wn_vector_index_release(x);
        wn_vector_index_release(y);
        assert_int_equal(wn_vector_file_load(&y, path, key, other, NULL),
                         WN_CORRUPT); /* not current */
        key[0] ^= 1;
        assert_int_equal(wn_vector_file_load(&y, path, key, mac, NULL), WN_CORRUPT); /* other key */
        key[0] ^= 1;
        assert_null(y);
    }
    wn_vector_index *none = NULL;
    assert_int_equal(wn_vector_file_load(&none, "/nonexistent/v", key, mac, NULL), WN_NOT_FOUND);
    fixture_remove(dir);
}

static size_t view_count(wn_vector_store *store, wn_corpus_db *db)
{
    wn_vector_view *v = NULL;
    WN_ASSERT_OK(wn_vector_store_view(store, db, &v, err));
    size_t n = wn_vector_view_rows(v);
    wn_vector_view_release(v);
    return n;
}

/* Many small additions with views between them, compacted into a graph, added to, compacted again.
 */
static void store_parts_and_graph(void **state)
{
    (void)state;
    char dir[64], db_path[96], path[96];
    fixture_dir(dir);
    snprintf(db_path, sizeof db_path, "%s/corpus.sqlite", dir);
    snprintf(path, sizeof path, "%s/vectors.test", dir);
    wn_corpus *c = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    wn_vector_store *store = NULL;
    wn_corpus_db *db = NULL;
    WN_ASSERT_OK(wn_vector_store_open(&store, path, 100, err));
    WN_ASSERT_OK(wn_db_open(&db, db_path, WN_DB_READ, err));
    assert_int_equal(view_count(store, db), 0);
    for (size_t i = 0; i < 60; i++) { /* more than the parts that a view can hold */
        char name[32], text[96];
        snprintf(name, sizeof name, "/%zu", i);
        snprintf(text, sizeof text, "one %zu\ntwo %zu", i, i);
        fixture_put(c, name, "", text);
        assert_int_equal(view_count(store, db), 2 * (i + 1));
    }
    wn_vector_index *base = NULL, *again = NULL;
    bool on_file = true;
    WN_ASSERT_OK(wn_vector_store_compact(store, db, &base, &on_file, err));
    assert_false(on_file);
    assert_int_equal(wn_vector_index_rows(base), 120);
    assert_int_equal(wn_vector_index_kind(base), WN_VECTOR_HNSW);
    wn_vector_store_saved(store, base);
    WN_ASSERT_OK(wn_vector_store_compact(store, db, &again, &on_file, err));
    assert_true(on_file && again == base); /* nothing to do */
    wn_vector_index_release(again);
    fixture_put(c, "/new", "", "a new line");
    assert_int_equal(wn_vector_store_unsaved(store, 121), 0); /* nobody has looked yet */
    assert_int_equal(view_count(store, db), 121);
    assert_int_equal(wn_vector_store_unsaved(store, 121), 1);
    WN_ASSERT_OK(wn_vector_store_compact(store, db, &again, &on_file, err));
    assert_int_equal(wn_vector_index_rows(again), 121);
    assert_int_equal(wn_vector_index_rows(base), 120); /* shared ones do not change */
    wn_vector_index_release(again);
    for (int64_t id = 1; id <= 40;
         id++) /* a third dead: the graph is built anew, below the limit flat */
        WN_ASSERT_OK(wn_corpus_delete_document(c, id, err));
    WN_ASSERT_OK(wn_vector_store_compact(store, db, &again, &on_file, err));
    assert_int_equal(wn_vector_index_rows(again), 41);
    assert_int_equal(wn_vector_index_kind(again), WN_VECTOR_FLAT);
    wn_vector_index_release(again);
    wn_vector_index_release(base);
    wn_db_close(db);
    wn_vector_store_close(store);
    wn_corpus_close(c);
    fixture_remove(dir);
}

int main(void)
{
    make_rows();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flat_is_exact),         cmocka_unit_test(hnsw_finds_nearly_all),
        cmocka_unit_test(rows_and_clones),       cmocka_unit_test(file_round_trip),
        cmocka_unit_test(store_parts_and_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
