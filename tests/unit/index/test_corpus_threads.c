/* Readers while a writer writes: every search sees one state of the corpus. For ThreadSanitizer. */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/index/corpus_fixture.h"

enum { N_READERS = 4, N_ROUNDS = 150, N_PATHS = 6 };

static wn_corpus *corpus;
static atomic_bool stop;
static atomic_int n_searches;
static atomic_int n_failures; /* cmocka's asserts belong to the main thread */

/* Each version of a document is two passages: a reader must see both or none. */
static void *read_on(void *arg)
{
    unsigned x = (unsigned)(uintptr_t)arg;
    wn_index_hit hits[64];
    float v[FIXTURE_DIM];
    fixture_vector("anything", 8, v, FIXTURE_DIM);
    while (!atomic_load(&stop)) {
        size_t n = 0;
        wn_corpus_stats s = {0};
        x = x * 1664525u + 1013904223u;
        bool ok = true;
        if (x & 0x10000)
            ok =
                wn_corpus_search_text(corpus, "shared", 6, 64, NULL, NULL, hits, &n, NULL) == WN_OK;
        else
            ok = wn_corpus_search_vector(corpus, v, FIXTURE_DIM, 64, NULL, NULL, hits, &n, NULL) ==
                 WN_OK;
        ok = ok && n % 2 == 0;
        for (size_t i = 0; i < n && ok; i++) { /* the other passage of the document is there too */
            size_t n_same = 0;
            for (size_t j = 0; j < n; j++)
                n_same += hits[j].document_id == hits[i].document_id;
            ok = n_same == 2;
        }
        if (n > 0) {
            wn_passage_record p = {0};
            wn_status status = wn_corpus_passage(corpus, hits[0].passage_id, &p, NULL);
            ok = ok && (status == WN_OK || status == WN_NOT_FOUND);
            wn_passage_record_free(&p);
        }
        ok = ok && wn_corpus_stats_read(corpus, &s, NULL) == WN_OK &&
             s.n_passages == 2 * s.n_documents && s.n_vectors == s.n_passages;
        atomic_fetch_add(&n_searches, 1);
        if (!ok)
            atomic_fetch_add(&n_failures, 1);
    }
    return NULL;
}

static void *refresh_on(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        if (wn_corpus_refresh_vectors(corpus, NULL) != WN_OK)
            atomic_fetch_add(&n_failures, 1);
        usleep(3000);
    }
    return NULL;
}

static void write_rounds(void)
{
    for (int round = 0; round < N_ROUNDS; round++) {
        char path[32], text[96];
        snprintf(path, sizeof path, "/d/%d", round % N_PATHS);
        snprintf(text, sizeof text, "shared line of round %d\nshared again in %d", round, round);
        int64_t id = fixture_put(corpus, path, "", text);
        if (round % 5 == 4)
            WN_ASSERT_OK(wn_corpus_delete_document(corpus, id, err));
    }
}

static void readers_see_whole_states(void **state)
{
    (void)state;
    char dir[64];
    fixture_dir(dir);
    corpus = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    pthread_t readers[N_READERS], refresher;
    for (uintptr_t i = 0; i < N_READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, (void *)(i + 1)), 0);
    assert_int_equal(pthread_create(&refresher, NULL, refresh_on, NULL), 0);
    write_rounds();
    while (atomic_load(&n_searches) < 100)
        usleep(1000);
    atomic_store(&stop, true);
    for (size_t i = 0; i < N_READERS; i++)
        pthread_join(readers[i], NULL);
    pthread_join(refresher, NULL);
    printf("%d searches beside %d writes\n", atomic_load(&n_searches), N_ROUNDS);
    assert_int_equal(atomic_load(&n_failures), 0);
    wn_corpus_close(corpus);
    fixture_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(readers_see_whole_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
