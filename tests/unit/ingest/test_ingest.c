/* The whole way of files into a corpus, with an embedder that only counts. */
#include "tests/unit/ingest/ingest_test_support.h"

#include <math.h>
#include <sys/stat.h>

#include "ingest/ingest.h"

#define DIM 8

/* What the embedder and the events have seen. */
typedef struct fixture {
    char dir[256]; /* corpus in dir/corpus, files in dir/files */
    wn_corpus *corpus;
    wn_parse_pool *pool;
    wn_ingest_options o;
    size_t n_calls, n_texts, largest_batch;
    size_t fail_at_call; /* 0 = never */
    char last_text[512];
    size_t outcomes[6], n_events, last_done, last_total;
    char last_message[512];
    int64_t last_id;
    uint64_t progress_done, progress_total;
    size_t stop_at_passages; /* 0 = never */
    atomic_bool cancel;
    size_t cancel_at_event; /* 0 = never */
} fixture;

static wn_status embed(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                       float *out, wn_error *err)
{
    fixture *f = ctx;
    f->n_calls++;
    f->n_texts += n;
    f->largest_batch = n > f->largest_batch ? n : f->largest_batch;
    if (f->fail_at_call == f->n_calls)
        return wn_error_set(err, WN_DEVICE, "the embedder is broken");
    for (size_t i = 0; i < n; i++) {
        unsigned hash = 5381;
        float norm = 0;
        for (size_t k = 0; k < lens[i]; k++)
            hash = hash * 33 + (unsigned char)texts[i][k];
        for (size_t k = 0; k < DIM; k++) {
            out[i * DIM + k] = (float)((hash >> (k * 4)) & 15) + 1;
            norm += out[i * DIM + k] * out[i * DIM + k];
        }
        for (size_t k = 0; k < DIM; k++)
            out[i * DIM + k] /= sqrtf(norm);
    }
    snprintf(f->last_text, sizeof f->last_text, "%.*s", (int)lens[n - 1], texts[n - 1]);
    return WN_OK;
}

static void on_event(void *ctx, const wn_ingest_event *e)
{
    fixture *f = ctx;
    f->outcomes[e->outcome]++;
    f->n_events++;
    assert_true(e->files_done > f->last_done || f->last_total != e->files_total);
    f->last_done = e->files_done;
    f->last_total = e->files_total;
    f->last_id = e->document_id;
    snprintf(f->last_message, sizeof f->last_message, "%s", e->message);
    if (f->cancel_at_event == f->n_events)
        atomic_store(&f->cancel, true);
}

static wn_status on_passages(void *ctx, uint64_t done, uint64_t total)
{
    fixture *f = ctx;
    f->progress_done = done;
    f->progress_total = total;
    return f->stop_at_passages && done >= f->stop_at_passages ? WN_CANCELLED : WN_OK;
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    char path[300];
    snprintf(f->dir, sizeof f->dir, "/tmp/winnow-ingest-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(path, sizeof path, "%s/files", f->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/corpus", f->dir);
    WN_ASSERT_OK(wn_corpus_open(&f->corpus, path, WN_CORPUS_WRITE | WN_CORPUS_CREATE, err));
    f->pool = open_real_pool(20);
    f->o = (wn_ingest_options){.corpus = f->corpus,
                               .embed = embed,
                               .embed_ctx = f,
                               .dim = DIM,
                               .overlap_tokens = SIZE_MAX,
                               .parsers = f->pool,
                               .on_event = on_event,
                               .event_ctx = f,
                               .on_passages = on_passages,
                               .passages_ctx = f,
                               .cancel = &f->cancel};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    wn_parse_pool_close(f->pool);
    wn_corpus_close(f->corpus);
    WN_ASSERT_OK(wn_fs_remove_tree(f->dir, err));
    free(f);
    return 0;
}

static const char *path_of(const fixture *f, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/files%s%s", f->dir, *name ? "/" : "", name);
    return path;
}

static void write_file(const fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(path_of(f, name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static wn_ingest_report ingest(fixture *f, const char *name)
{
    const char *paths[] = {path_of(f, name)};
    wn_ingest_report r;
    f->last_done = 0;
    WN_ASSERT_OK(wn_ingest_paths(&f->o, paths, 1, &r, err));
    return r;
}

static size_t n_documents(const fixture *f)
{
    wn_corpus_stats stats;
    WN_ASSERT_OK(wn_corpus_stats_read(f->corpus, &stats, err));
    return stats.n_documents;
}

static void test_life_of_a_file(void **state)
{
    fixture *f = *state;
    write_file(f, "a.md", "# Ships\n\nA ship floats. It is made of wood.\n");
    wn_ingest_report r = ingest(f, "");
    assert_int_equal(r.added, 1);
    assert_int_equal(r.passages, 1);
    assert_string_equal(f->last_text, "Ships\nShips\n\nA ship floats. It is made of wood.");
    int64_t id = f->last_id;
    assert_true(id > 0);

    r = ingest(f, "");
    assert_int_equal(r.unchanged, 1);
    assert_int_equal(f->last_id, id);
    assert_int_equal(f->n_texts, 1); /* nothing was embedded again */

    write_file(f, "a.md", "# Boats\n\nA boat is small.\n");
    r = ingest(f, "");
    assert_int_equal(r.replaced, 1);
    assert_int_equal(n_documents(f), 1);

    write_file(f, "b.md", "# Boats\n\nA boat is small.\n");
    r = ingest(f, "b.md");
    assert_int_equal(r.duplicate, 1);
    assert_string_equal(f->last_message, path_of(f, "a.md"));
    assert_int_equal(n_documents(f), 1);

    wn_document_record record;
    WN_ASSERT_OK(wn_corpus_document_by_path(f->corpus, path_of(f, "a.md"), &record, err));
    assert_string_equal(record.doc.title, "Boats");
    assert_string_equal(record.doc.filename, "a.md");
    assert_string_equal(record.doc.media_type, "text/markdown");
    assert_int_equal(record.doc.source_bytes, 26);
    assert_int_equal(strlen(record.doc.checksum), 64);
    wn_document_record_free(&record);

    wn_index_hit hits[4];
    size_t n = 0;
    WN_ASSERT_OK(wn_corpus_search_text(f->corpus, "boat", 4, 4, NULL, NULL, hits, &n, err));
    assert_int_equal(n, 1);
    WN_ASSERT_OK(wn_corpus_search_text(f->corpus, "ship", 4, 4, NULL, NULL, hits, &n, err));
    assert_int_equal(n, 0);
}

static void test_unknown_formats(void **state)
{
    fixture *f = *state;
    write_file(f, "a.txt", "Some text.");
    write_file(f, "b.xyz", "Some data.");
    write_file(f, "README", "A file without an extension.");
    write_file(f, "BINARY",
               "\x7F"
               "ELF\x01\x02");
    write_file(f, "empty.md", "");
    wn_ingest_report r = ingest(f, "");
    assert_int_equal(r.added, 2);
    assert_int_equal(r.skipped, 3);
    assert_int_equal(r.failed, 0);
    r = ingest(f, "b.xyz");
    assert_int_equal(r.failed, 1);
    assert_string_equal(f->last_message, "no parser for .xyz files; known are .txt .text .log .rst "
                                         ".md .markdown .mdown .mkd .html .htm .xhtml .pdf");
    r = ingest(f, "BINARY");
    assert_int_equal(r.failed, 1);
    r = ingest(f, "empty.md");
    assert_int_equal(r.failed, 1);
    assert_string_equal(f->last_message, "the file is empty");
    r = ingest(f, "absent.txt");
    assert_int_equal(r.failed, 1);
    assert_string_equal(f->last_message, "cannot be read: No such file or directory");
}

static void test_failures_do_not_stop_others(void **state)
{
    fixture *f = *state;
    WN_NEED_FILE(pdfium_path());
    write_file(f, "a.txt", "First.");
    write_file(f, "b.pdf", "%PDF-1.7 broken");
    write_file(f, "c.txt", "Third.");
    write_file(f, "d.txt", " \n ");
    wn_ingest_report r = ingest(f, "");
    assert_int_equal(r.added, 2);
    assert_int_equal(r.failed, 2);
    assert_int_equal(f->n_events, 4);
    assert_int_equal(f->last_total, 4);
    f->o.max_file_bytes = 5;
    write_file(f, "a.txt", "Longer than five.");
    r = ingest(f, "a.txt");
    assert_int_equal(r.failed, 1);
    assert_string_equal(f->last_message, "larger than 5 bytes");
}

static void test_batches_span_files(void **state)
{
    fixture *f = *state;
    char name[32], text[64];
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "%03d.txt", i);
        snprintf(text, sizeof text, "File number %d says hello.", i);
        write_file(f, name, text);
    }
    wn_ingest_report r = ingest(f, "");
    assert_int_equal(r.added, 150);
    assert_int_equal(f->n_texts, 150);
    assert_int_equal(f->n_calls, 3); /* 64 + 64 + 22 */
    assert_int_equal(f->largest_batch, 64);
    assert_int_equal(f->progress_done, 150);
    assert_int_equal(f->progress_total, 150);
    wn_corpus_stats stats;
    WN_ASSERT_OK(wn_corpus_stats_read(f->corpus, &stats, err));
    assert_int_equal(stats.n_vectors, 150);
    assert_int_equal(stats.dim, DIM);
}

static void test_one_long_file(void **state)
{
    fixture *f = *state;
    wn_strbuf text = {0};
    for (int i = 0; i < 4000; i++)
        wn_strbuf_printf(&text, "Sentence number %d of the long file stands here. ", i);
    write_file(f, "long.txt", text.data);
    wn_strbuf_free(&text);
    wn_ingest_report r = ingest(f, "");
    assert_int_equal(r.added, 1);
    assert_true(r.passages > 200);
    assert_int_equal(f->n_texts, r.passages);
    assert_int_equal(f->n_calls, (r.passages + 63) / 64);
}

static void test_duplicates_in_one_run(void **state)
{
    fixture *f = *state;
    write_file(f, "a.txt", "The same words.");
    write_file(f, "b.txt", "The same words.");
    char a[512], folder[512];
    snprintf(a, sizeof a, "%s", path_of(f, "a.txt"));
    snprintf(folder, sizeof folder, "%s", path_of(f, ""));
    const char *paths[] = {a, folder, a};
    wn_ingest_report r;
    WN_ASSERT_OK(wn_ingest_paths(&f->o, paths, 3, &r, err));
    assert_int_equal(r.added, 1);
    assert_int_equal(r.duplicate, 1);
    assert_int_equal(f->n_events, 2);
}

static void test_a_moved_file_moves(void **state)
{
    fixture *f = *state;
    write_file(f, "old.txt", "The same words.");
    assert_int_equal(ingest(f, "").added, 1);
    assert_int_equal(unlink(path_of(f, "old.txt")), 0);
    write_file(f, "new.txt", "The same words.");
    write_file(f, "newer.txt", "The same words.");
    wn_ingest_report r = ingest(f, "");
    assert_int_equal(r.replaced, 1);
    assert_int_equal(r.duplicate, 1);
    assert_int_equal(n_documents(f), 1);
    wn_document_record record;
    WN_ASSERT_OK(wn_corpus_document_by_path(f->corpus, path_of(f, "new.txt"), &record, err));
    wn_document_record_free(&record);
    assert_int_equal(ingest(f, "").unchanged, 1);
}

static void test_keyword_search_only(void **state)
{
    fixture *f = *state;
    f->o.embed = NULL;
    write_file(f, "a.txt", "Words only.");
    wn_ingest_report r = ingest(f, "");
    assert_int_equal(r.added, 1);
    wn_corpus_stats stats;
    WN_ASSERT_OK(wn_corpus_stats_read(f->corpus, &stats, err));
    assert_int_equal(stats.n_passages, 1);
    assert_int_equal(stats.n_vectors, 0);
}

static void write_many(fixture *f, int n)
{
    for (int i = 0; i < n; i++) {
        char name[32], text[64];
        snprintf(name, sizeof name, "%04d.txt", i);
        snprintf(text, sizeof text, "Text of file %d.", i);
        write_file(f, name, text);
    }
}

static void test_cancel(void **state)
{
    fixture *f = *state;
    write_many(f, 200);
    const char *paths[] = {path_of(f, "")};
    wn_ingest_report r;
    wn_error failure = {0};
    f->cancel_at_event = 10;
    assert_int_equal(wn_ingest_paths(&f->o, paths, 1, &r, &failure), WN_CANCELLED);
    assert_int_equal(n_documents(f), r.added);
    assert_in_range(r.added, 10, 128);
    atomic_store(&f->cancel, false);
    f->cancel_at_event = 0;
    f->stop_at_passages = 1;
    f->last_done = 0;
    failure = (wn_error){0};
    assert_int_equal(wn_ingest_paths(&f->o, paths, 1, &r, &failure), WN_CANCELLED);
    f->stop_at_passages = 0;
    r = ingest(f, ""); /* goes on where it stopped */
    assert_int_equal(r.added + r.unchanged, 200);
    assert_int_equal(n_documents(f), 200);
}

static void test_broken_embedder_stops(void **state)
{
    fixture *f = *state;
    write_many(f, 100);
    const char *paths[] = {path_of(f, "")};
    wn_ingest_report r;
    wn_error failure = {0};
    f->fail_at_call = 2;
    assert_int_equal(wn_ingest_paths(&f->o, paths, 1, &r, &failure), WN_DEVICE);
    assert_string_equal(failure.text, "the embedder is broken");
    assert_int_equal(n_documents(f), 64);
    assert_int_equal(r.added, 64);
}

static void test_upload(void **state)
{
    fixture *f = *state;
    wn_ingest_outcome outcome;
    int64_t id = 0, other = 0;
    wn_error failure = {0};
    f->o.attributes = "{\"year\": 2024}";
    assert_int_equal(
        wn_ingest_bytes(&f->o, "up/x.html", "<p>Hello you", 12, &outcome, &id, &failure), WN_OK);
    assert_int_equal(outcome, WN_INGEST_ADDED);
    assert_true(id > 0);
    assert_int_equal(
        wn_ingest_bytes(&f->o, "up/x.html", "<p>Hello you", 12, &outcome, &other, &failure), WN_OK);
    assert_int_equal(outcome, WN_INGEST_UNCHANGED);
    assert_int_equal(other, id);
    assert_int_equal(
        wn_ingest_bytes(&f->o, "y.html", "<p>Hello you", 12, &outcome, &other, &failure), WN_OK);
    assert_int_equal(outcome, WN_INGEST_DUPLICATE);
    assert_int_equal(other, id);
    assert_int_equal(wn_ingest_bytes(&f->o, "up/x.html", "<p>Other", 8, &outcome, &other, &failure),
                     WN_OK);
    assert_int_equal(outcome, WN_INGEST_REPLACED);
    wn_document_record record;
    WN_ASSERT_OK(wn_corpus_document_by_path(f->corpus, "up/x.html", &record, err));
    assert_string_equal(record.doc.filename, "x.html");
    assert_string_equal(record.doc.attributes, "{\"year\": 2024}");
    wn_document_record_free(&record);

    assert_int_equal(wn_ingest_bytes(&f->o, "a.xyz", "z", 1, &outcome, &id, &failure),
                     WN_UNSUPPORTED);
    assert_non_null(strstr(failure.text, "a.xyz: no parser for .xyz files"));
    failure = (wn_error){0};
    assert_int_equal(wn_ingest_bytes(&f->o, "a.md", "", 0, &outcome, &id, &failure), WN_FORMAT);
    assert_int_equal(wn_ingest_bytes(&f->o, "", "x", 1, &outcome, &id, NULL), WN_INVALID);
    assert_int_equal(wn_ingest_bytes(&f->o, "a\xFF.md", "x", 1, &outcome, &id, NULL), WN_INVALID);
    assert_int_equal(wn_ingest_bytes(&f->o, "a.md", "   ", 3, &outcome, &id, NULL), WN_FORMAT);
    assert_int_equal(n_documents(f), 1);
}

static void test_own_worker(void **state)
{
    fixture *f = *state;
    wn_ingest_outcome outcome;
    int64_t id = 0;
    f->o.parsers = NULL; /* one is started for the call */
    WN_ASSERT_OK(wn_ingest_bytes(&f->o, "a.txt", "Hello.", 6, &outcome, &id, err));
    write_file(f, "b.txt", "Bye.");
    assert_int_equal(ingest(f, "").added, 1);
}

static void test_real_folder(void **state)
{
    fixture *f = *state;
    WN_NEED_FILE(DOCS "SOURCE.txt");
    WN_NEED_FILE(pdfium_path());
    const char *paths[] = {DOCS};
    wn_ingest_report r;
    WN_ASSERT_OK(wn_ingest_paths(&f->o, paths, 1, &r, err));
    printf("%zu added, %zu duplicate, %zu skipped, %zu failed, %zu passages in %.2f s\n", r.added,
           r.duplicate, r.skipped, r.failed, r.passages, r.seconds);
    assert_int_equal(r.failed, 1); /* the encrypted PDF */
    assert_true(r.added >= 30);
    wn_index_hit hits[1];
    size_t n = 0;
    WN_ASSERT_OK(wn_corpus_search_text(f->corpus, "SipHash denial of service", 25, 1, NULL, NULL,
                                       hits, &n, err));
    assert_int_equal(n, 1);
    wn_passage_record p;
    WN_ASSERT_OK(wn_corpus_passage(f->corpus, hits[0].passage_id, &p, err));
    assert_string_equal(p.filename, "ch08-03-hash-maps.md");
    assert_non_null(strstr(p.passage.headings, "Hashing Functions"));
    wn_passage_record_free(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    if (wn_parse_worker_requested(argc, argv))
        return wn_parse_worker_main(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_life_of_a_file),
        TEST(test_unknown_formats),
        TEST(test_failures_do_not_stop_others),
        TEST(test_batches_span_files),
        TEST(test_one_long_file),
        TEST(test_duplicates_in_one_run),
        TEST(test_a_moved_file_moves),
        TEST(test_keyword_search_only),
        TEST(test_cancel),
        TEST(test_broken_embedder_stops),
        TEST(test_upload),
        TEST(test_own_worker),
        TEST(test_real_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
