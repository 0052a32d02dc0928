/* Prefixes over the wire: what an answer was read from, preparing, dropping, metrics; models are
 * faked. */
#include "api/route_table.h"
#include "ingest/parse_worker.h"
#include "tests/unit/api/http_fixture.h"

#define ANSWERS "/v1/corpora/notes/answers"

static http_fixture fixture;

static int open_all(void **state)
{
    fixture_ready(&fixture, &(wn_http_options){.max_upload_bytes = 100000});
    fixture_corpus(fixture.service);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    fixture_close(*state);
    return 0;
}

/* What was read is told; whole documents without their texts. */
static void answer_from_whole_documents(void **state)
{
    const http_fixture *f = *state;
    json_t *o = fixture_json(f, "POST", ANSWERS, "{\"question\":\"frogs\"}", 200);
    assert_string_equal(json_str(o, "reading.mode"), "passages");
    assert_true(json_is_null(json_at(o, "reading.why")));
    assert_true(json_is_string(json_at(o, "passages.0.text")));
    json_decref(o);
    o = fixture_json(f, "POST", ANSWERS, "{\"question\":\"frogs\",\"mode\":\"auto\"}", 200);
    assert_string_equal(json_str(o, "reading.mode"), "corpus");
    assert_string_equal(json_str(o, "reading.why"), "the test wants it");
    assert_string_equal(json_str(o, "passages.0.filename"), "frogs.txt");
    assert_null(json_at(o, "passages.0.text"));
    assert_string_equal(json_str(o, "reading.left_out.0.filename"), "long.txt");
    assert_string_equal(json_str(o, "reading.left_out.0.file_id"), "doc_9");
    assert_int_equal(json_integer_value(json_at(o, "reading.left_out.0.tokens")), 1000);
    json_decref(o);
    char *a = raw_request(f->port, "POST", ANSWERS, JSON_TYPE,
                          "{\"question\":\"frogs\",\"mode\":\"documents\",\"stream\":true}");
    assert_non_null(strstr(a, "\"reading\":{\"mode\":\"documents\""));
    assert_null(strstr(a, "\"text\":\"Frogs live"));
    free(a);
}

/* The same in the event, before the first word, and at the end. */
static void answer_from_a_prefix(void **state)
{
    static const char told[] =
        "{\"cached_tokens\":64,\"new_tokens\":512,\"source\":\"disk\",\"dense_bytes\":4096,"
        "\"held_bytes\":1024,\"load_ms\":1.5}";
    const http_fixture *f = *state;
    json_t *o = fixture_json(f, "POST", ANSWERS, "{\"question\":\"a\"}", 200);
    char *prefix = json_dumps(json_at(o, "prefix"), JSON_COMPACT);
    assert_string_equal(prefix, told);
    free(prefix);
    json_decref(o);
    char *a =
        raw_request(f->port, "POST", ANSWERS, JSON_TYPE, "{\"question\":\"a\",\"stream\":true}");
    assert_int_equal(raw_count(a, told), 2);
    assert_int_equal(raw_count(a, "event: prefix\n"), 1);
    free(a);
}

#define PREFIX "/v1/corpora/notes/prefix"

/* The job of the corpus, when it has this status. */
static json_t *wait_for_job(const http_fixture *f, const char *status)
{
    for (int i = 0; i < 4000; i++) {
        json_t *o = fixture_json(f, "GET", PREFIX, NULL, 200);
        if (strcmp(json_str(o, "job.status"), status) == 0)
            return o;
        json_decref(o);
        usleep(5000);
    }
    fail_msg("the job never was %s", status);
    return NULL;
}

static void prefix_is_prepared_in_turns(void **state)
{
    const http_fixture *f = *state;
    json_t *o = fixture_json(f, "GET", PREFIX, NULL, 200);
    assert_true(json_is_null(json_at(o, "job")));
    assert_int_equal(json_integer_value(json_at(o, "n_nodes")), 2);
    assert_int_equal(json_integer_value(json_at(o, "tokens")), 300); /* the longest's */
    assert_int_equal(json_integer_value(json_at(o, "memory_bytes")), 15);
    assert_int_equal(json_integer_value(json_at(o, "disk_bytes")), 27);
    assert_int_equal(json_integer_value(json_at(o, "hits")), 3);
    assert_int_equal(json_integer_value(json_at(o, "used_at")), 7);
    assert_true(json_real_value(json_at(o, "ratio")) == 4);
    assert_string_equal(json_str(o, "nodes.1.id"), "fedcba9876543210");
    json_decref(o);
    atomic_store(&wn_fake.turns, 0);
    o = fixture_json(f, "POST", PREFIX, NULL, 202);
    assert_string_equal(json_str(o, "object"), "prefix.job");
    assert_string_equal(json_str(o, "corpus"), "notes");
    json_decref(o);
    o = wait_for_job(f, "done");
    assert_int_equal(json_integer_value(json_at(o, "job.done_tokens")), 3000);
    assert_int_equal(atomic_load(&wn_fake.turns), 3);
    json_decref(o);
    atomic_store(&wn_fake.turns, 0);
    atomic_store(&wn_fake.no_room, true);
    json_decref(fixture_json(f, "POST", PREFIX, NULL, 202));
    o = wait_for_job(f, "failed");
    assert_non_null(strstr(json_str(o, "job.error"), "no room"));
    json_decref(o);
    atomic_store(&wn_fake.no_room, false);
}

/* A job that is done while the nodes are listed may have more of them: it is not told as done. */
static void done_comes_with_its_nodes(void **state)
{
    const http_fixture *f = *state;
    atomic_store(&wn_fake.turns, 0);
    atomic_store(&wn_fake.hold_prepare, true);
    json_decref(fixture_json(f, "POST", PREFIX, NULL, 202));
    atomic_store(&wn_fake.visit_lets_go, true);
    json_t *o = fixture_json(f, "GET", PREFIX, NULL, 200);
    assert_string_not_equal(json_str(o, "job.status"), "done");
    json_decref(o);
    json_decref(wait_for_job(f, "done"));
}

/* A job has an address of its own: how far it is, and an end to it. What comes after one that was
 * cancelled is another one. */
static void a_job_may_be_cancelled(void **state)
{
    const http_fixture *f = *state;
    char job[64], next[64];
    atomic_store(&wn_fake.turns, 0);
    atomic_store(&wn_fake.hold_prepare, true);
    json_t *o = fixture_json(f, "POST", PREFIX, NULL, 202);
    snprintf(job, sizeof job, "/v1/jobs/%s", json_str(o, "job.id"));
    json_decref(o);
    o = fixture_json(f, "POST", PREFIX, NULL, 202); /* joins it */
    assert_non_null(strstr(job, json_str(o, "job.id")));
    json_decref(o);
    o = fixture_json(f, "GET", job, NULL, 200);
    assert_string_equal(json_str(o, "object"), "job");
    assert_string_equal(json_str(o, "kind"), "prefix");
    assert_string_equal(json_str(o, "corpus"), "notes");
    assert_true(json_is_null(json_at(o, "error")));
    assert_true(json_integer_value(json_at(o, "created_at")) > 1700000000);
    json_decref(o);
    o = fixture_json(f, "DELETE", job, NULL, 200);
    assert_string_equal(json_str(o, "status"), "cancelled");
    json_decref(o);
    o = fixture_json(f, "POST", PREFIX, NULL, 202);
    snprintf(next, sizeof next, "/v1/jobs/%s", json_str(o, "job.id"));
    assert_string_not_equal(next, job);
    json_decref(o);
    fixture_error(f, "GET", job, NULL, 404, "");
    o = fixture_json(f, "DELETE", next, NULL, 200); /* before its turn */
    json_decref(o);
    const int turns = atomic_load(&wn_fake.turns);
    atomic_store(&wn_fake.hold_prepare, false);
    json_decref(wait_for_job(f, "cancelled"));
    json_decref(fixture_json(f, "POST", PREFIX, NULL, 202)); /* is behind both */
    o = wait_for_job(f, "done");
    snprintf(job, sizeof job, "/v1/jobs/%s", json_str(o, "job.id"));
    assert_true(atomic_load(&wn_fake.turns) <= turns + 3); /* the cancelled ones had no more */
    json_decref(o);
    o = fixture_json(f, "DELETE", job, NULL, 200); /* it is over: nothing to cancel */
    assert_string_equal(json_str(o, "status"), "done");
    assert_int_equal(json_integer_value(json_at(o, "done_tokens")), 3000);
    json_decref(o);
    fixture_error(f, "GET", "/v1/jobs/job_0", NULL, 404, "");
    fixture_error(f, "DELETE", "/v1/jobs/notes", NULL, 404, "");
}

static void an_upload_may_prepare(void **state)
{
    const http_fixture *f = *state;
    fixture_error(f, "POST", "/v1/corpora/notes/documents?filename=a.txt&prepare=yes", "x", 400,
                  "prepare");
    fixture_expect(f, "DELETE", PREFIX, NULL, 200);
    atomic_store(&wn_fake.turns, 0);
    char *a = raw_request(
        f->port, "POST", "/v1/corpora/notes/documents?filename=new.txt&prepare=true", "", "Words.");
    assert_int_equal(raw_status(a), 201);
    free(a);
    json_decref(wait_for_job(f, "done"));
}

static void prefixes_go_with_what_they_read(void **state)
{
    const http_fixture *f = *state;
    const int drops = atomic_load(&wn_fake.drops), tended = atomic_load(&wn_fake.tended);
    json_t *o = fixture_json(f, "DELETE", PREFIX, NULL, 200);
    assert_int_equal(json_integer_value(json_at(o, "nodes")), 2);
    json_decref(o);
    assert_int_equal(atomic_load(&wn_fake.drops), drops + 1);
    assert_int_equal(atomic_load(&wn_fake.last_dropped), 0);
    assert_true(fixture_wait(&wn_fake.tended, tended + 1));
    o = fixture_json(f, "GET", PREFIX, NULL, 200);
    assert_true(json_is_null(json_at(o, "job"))); /* forgotten */
    json_decref(o);
    char *a = raw_request(f->port, "POST", "/v1/corpora/notes/documents?filename=gone.txt", "",
                          "First words.");
    assert_int_equal(raw_status(a), 201);
    free(a);
    assert_int_equal(atomic_load(&wn_fake.drops), drops + 1); /* a new document drops nothing */
    a = raw_request(f->port, "POST", "/v1/corpora/notes/documents?filename=gone.txt", "",
                    "Other words.");
    assert_int_equal(raw_status(a), 200);
    json_t *replaced = json_loads(raw_body(a), 0, NULL);
    const char *id = json_str(replaced, "id");
    assert_int_equal(atomic_load(&wn_fake.drops), drops + 2);
    assert_int_equal(atomic_load(&wn_fake.last_dropped), atoi(id + 4));
    atomic_store(&wn_fake.last_dropped, 0);
    char target[128];
    snprintf(target, sizeof target, "/v1/corpora/notes/documents/%s", id);
    fixture_expect(f, "DELETE", target, NULL, 200);
    assert_int_equal(atomic_load(&wn_fake.drops), drops + 3);
    assert_int_equal(atomic_load(&wn_fake.last_dropped), atoi(id + 4));
    json_decref(replaced);
    free(a);
    fixture_error(f, "POST", "/v1/corpora/none/prefix", NULL, 404, "");
    fixture_error(f, "GET", "/v1/corpora/none/prefix", NULL, 404, "");
    fixture_error(f, "DELETE", "/v1/corpora/none/prefix", NULL, 404, "");
}

static void metrics_are_told(void **state)
{
    static const char *const lines[] = {
        "\nwinnow_prefix_hits_total{source=\"memory\"} 6\n",
        "\nwinnow_prefix_misses_total 4\n",
        "\nwinnow_prefix_bytes{tier=\"disk\"} 27\n",
        "\nwinnow_prefix_invalidations_total{cause=\"documents\"} 8\n",
        "\nwinnow_prefix_invalidations_total{cause=\"corrupt\"} 9\n",
        "\nwinnow_ready 1\n"};
    const http_fixture *f = *state;
    char *a = raw_request(f->port, "GET", "/metrics", "", NULL);
    assert_int_equal(raw_status(a), 200);
    assert_non_null(strstr(a, "Content-Type: text/plain; version=0.0.4"));
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(a, lines[i]))
            fail_msg("no \"%s\" in %s", lines[i], a);
    free(a);
}

int main(int argc, char **argv)
{
    if (wn_parse_worker_requested(argc, argv)) /* ingestion starts this program again */
        return wn_parse_worker_main(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(answer_from_whole_documents),
                                       cmocka_unit_test(answer_from_a_prefix),
                                       cmocka_unit_test(prefix_is_prepared_in_turns),
                                       cmocka_unit_test(done_comes_with_its_nodes),
                                       cmocka_unit_test(a_job_may_be_cancelled),
                                       cmocka_unit_test(an_upload_may_prepare),
                                       cmocka_unit_test(prefixes_go_with_what_they_read),
                                       cmocka_unit_test(metrics_are_told)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
