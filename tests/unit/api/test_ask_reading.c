/* What the model is shown: modes, whole documents as sources, packing into a context, nothing
 * silently left out; the choice of auto. */
#include "api/ask_reading.h"
#include "api/document_hits.h"
#include "generate/model.h"
#include "tests/unit/index/corpus_fixture.h"

#define MODEL_FILE "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"

static char dir[64];
static wn_corpus *corpus;
static wn_compute *compute;
static wn_model *model;
static int64_t tea_id, rust_id, long_id;

static const char tea[] = "Green tea is steamed.\nBlack tea is oxidised.\nTea is a ritual.";
static const char rust[] = "Ownership decides who frees memory.\nBorrowing lends a value.\n"
                           "Lifetimes name how long a loan lasts.";
static char long_text[20000];

/* Passages of 20 bytes that overlap by 5, over a text that begins and ends with blanks. */
static int64_t put_overlapping(const char *path, const char *text)
{
    static fixture_document d;
    int64_t id = 0;
    fixture_lines(&d, path, "", text);
    d.content.n_blocks = 0;
    const size_t len = strlen(text);
    d.content.n_passages = 0;
    for (size_t start = 2; start + 5 < len; start += 15) {
        const size_t end = start + 20 < len ? start + 20 : len;
        d.passages[d.content.n_passages++] =
            (wn_passage){.start = start, .end = end, .headings = ""};
    }
    d.content.vectors = NULL;
    WN_ASSERT_OK(wn_corpus_put(corpus, &d.content, &id, err));
    return id;
}

static int set_up(void **state)
{
    (void)state;
    char path[512];
    wn_error err = {0};
    fixture_dir(dir);
    corpus = fixture_open(dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE);
    tea_id = fixture_put(corpus, "/docs/tea.txt", "", tea);
    rust_id = fixture_put(corpus, "/docs/rust.txt", "The Book", rust);
    for (size_t i = 0; i + 10 < sizeof long_text; i += 10)
        memcpy(long_text + i, i % 400 ? "some words" : "some text\n", 10);
    long_id = fixture_put(corpus, "/docs/long.txt", "", long_text);
    wn_test_model_path(path, sizeof path, MODEL_FILE);
    if (access(path, R_OK) == 0 &&
        (wn_compute_open(&compute, &(wn_compute_options){.n_threads = 1}, &err) != WN_OK ||
         wn_model_open(&model, compute, path, &err) != WN_OK)) {
        printf("%s\n", err.text);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wn_model_close(model);
    wn_compute_close(compute);
    wn_corpus_close(corpus);
    fixture_remove(dir);
    return 0;
}

static wn_reading_limits limits_of(size_t capacity, size_t max_tokens)
{
    return (wn_reading_limits){
        .model = model, .capacity = capacity, .question = "What is tea?", .max_tokens = max_tokens};
}

static wn_search_result found(const char *question)
{
    wn_search_result r = {0};
    wn_search_options o = WN_SEARCH_DEFAULTS;
    WN_ASSERT_OK(wn_retrieve(corpus, NULL, question, strlen(question), &o, &r, err));
    return r;
}

static void test_names(void **state)
{
    (void)state;
    wn_ask_mode mode = WN_ASK_PASSAGES;
    for (int i = WN_ASK_PASSAGES; i <= WN_ASK_AUTO; i++) {
        assert_true(wn_ask_mode_parse(wn_ask_mode_name((wn_ask_mode)i), &mode));
        assert_int_equal(mode, i);
    }
    assert_false(wn_ask_mode_parse("Corpus", &mode));
    assert_false(wn_ask_mode_parse("", &mode));
}

static void test_auto(void **state)
{
    (void)state;
    static const struct {
        wn_ask_facts facts;
        wn_ask_mode mode;
        const char *why;
    } cases[] = {
        {{.room = 8000, .corpus = {.n_asked = 9}}, WN_ASK_PASSAGES, "far larger"},
        {{.room = 8000, .corpus = {8001, 8001, 9}}, WN_ASK_PASSAGES, "8001"},
        {{.room = 8000, .corpus = {8000, 4000, 0}}, WN_ASK_CORPUS, "corpus fits, and 4000 of 8000"},
        {{.room = 8000, .corpus = {8000, 3999, 0}}, WN_ASK_PASSAGES, "little"},
        {{8000, 1000, .corpus = {1500, 0, 0}}, WN_ASK_CORPUS, "hardly"},
        {{8000, 1000, .corpus = {1501, 0, 2}}, WN_ASK_PASSAGES, "asked 2 times"},
        {{8000, 1000, .corpus = {1501, 0, 3}},
         WN_ASK_CORPUS,
         "asked 3 times before: read once, it"},
        /* Where the corpus fits, its documents are not asked about. */
        {{8000, 1000, {8000, 0, 0}, {3000, 3000, 9}}, WN_ASK_PASSAGES, "the corpus fits"},
        /* Where it does not, the same rule holds for the documents found. */
        {{8000, 1000, {9000, 0, 0}, {5000, 2500, 0}},
         WN_ASK_DOCUMENTS,
         "9000 tokens, there is room for 8000; the documents found fit, and 2500 of 5000"},
        {{8000, 1000, {0, 0, 9}, {5000, 2499, 2}}, WN_ASK_PASSAGES, "and were asked 2 times"},
        {{8000, 1000, {0, 0, 0}, {5000, 0, 3}}, WN_ASK_DOCUMENTS, "read once, they serve all"},
        {{8000, 1000, {0, 0, 0}, {1500, 0, 0}}, WN_ASK_DOCUMENTS, "hardly"},
        {{8000, 1000, {0, 0, 9}, {0, 0, 9}}, WN_ASK_PASSAGES, "do not all fit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[WN_ASK_WHY] = "";
        assert_int_equal(wn_ask_mode_choose(&cases[i].facts, why), cases[i].mode);
        if (!strstr(why, cases[i].why))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, why, cases[i].why);
    }
}

/* A document's hits have all its words once, in order, and are where they say. */
static void test_whole_documents(void **state)
{
    (void)state;
    static const char text[] = "  Alpha beta gamma. Delta epsilon zeta eta theta. Iota kappa.\n\n";
    const int64_t id = put_overlapping("/docs/overlap.txt", text);
    wn_search_result r = {0};
    WN_ASSERT_OK(wn_document_hits_add(corpus, id, &r, err));
    assert_true(r.n >= 3);
    for (size_t i = 0; i < r.n; i++) {
        const wn_hit *h = &r.hits[i];
        assert_int_equal(h->document_id, id);
        assert_memory_equal(h->text, text + h->start, h->text_len);
        assert_int_equal(h->end - h->start, h->text_len);
        assert_true(i == 0 || h->start >= r.hits[i - 1].end);
        for (size_t k = i ? r.hits[i - 1].end : 0; k < h->start; k++)
            assert_true(text[k] == ' ' || text[k] == '\n'); /* nothing lies between */
    }
    assert_int_equal(r.hits[r.n - 1].end, strlen(text) - 2);
    assert_true(wn_document_hits_stand(corpus, r.hits, r.n));
    put_overlapping("/docs/overlap.txt", "  Alpha beta gamma. Delta epsilon zeta eta X.");
    assert_false(wn_document_hits_stand(corpus, r.hits, r.n));
    WN_ASSERT_OK(wn_corpus_delete_document(corpus, id, err));
    assert_false(wn_document_hits_stand(corpus, r.hits, r.n));
    wn_search_result_free(&r);
    wn_error own = {0};
    assert_int_equal(wn_document_hits_add(corpus, id, &r, &own), WN_NOT_FOUND);
    wn_search_result_free(&r);
    WN_ASSERT_OK(wn_document_hits_add_all(corpus, NULL, 1 << 20, &r, err));
    assert_int_equal(r.hits[0].document_id, tea_id);
    assert_int_equal(r.hits[r.n - 1].document_id, long_id);
    wn_search_result_free(&r);
    own = (wn_error){0};
    assert_int_equal(wn_document_hits_add_all(corpus, NULL, 100, &r, &own), WN_LIMIT);
    wn_search_result_free(&r);
}

#define NEED_MODEL                                                                                 \
    do {                                                                                           \
        char path_[512];                                                                           \
        WN_NEED_FILE(wn_test_model_path(path_, sizeof path_, MODEL_FILE));                         \
    } while (0)

static void test_documents(void **state)
{
    (void)state;
    NEED_MODEL;
    wn_search_result r = found("tea ritual loan words");
    assert_true(r.n >= 3);
    wn_ask_reading reading = {0};
    wn_reading_limits l = limits_of(512, 100);
    wn_search_result f = r;
    WN_ASSERT_OK(wn_ask_read_documents(&l, corpus, &f, &r, &reading, err));
    wn_search_result_free(&f);
    assert_true(reading.prompt.n > reading.n_tokens && reading.prompt.n <= 412);
    assert_int_equal(reading.mode, WN_ASK_DOCUMENTS);
    assert_int_equal(reading.n_documents, 2); /* whole, in canonical order */
    assert_int_equal(reading.n_sources, 6);
    assert_int_equal(r.n, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(r.hits[i].document_id, i < 3 ? tea_id : rust_id);
    assert_true(r.hits[2].text_rank > 0 && r.hits[1].text_rank >= 0);
    assert_int_equal(reading.n_left_out, 1);
    assert_int_equal(reading.left_out[0].document_id, long_id);
    assert_string_equal(reading.left_out[0].filename, "long.txt");
    assert_true(reading.left_out[0].n_tokens > 512);
    assert_true(reading.n_tokens > 60 && reading.n_tokens < 412);
    wn_ask_reading_free(&reading);
    wn_search_result_free(&r);

    r = found("words");
    l = limits_of(512, 100);
    wn_error err = {0};
    f = r;
    assert_int_equal(wn_ask_read_documents(&l, corpus, &f, &r, &reading, &err), WN_LIMIT);
    wn_search_result_free(&f);
    assert_non_null(strstr(err.text, "none of 1 documents"));
    wn_ask_reading_free(&reading);
    wn_search_result_free(&r);
}

/* As many as fit to the token, and one less where there is one token less. */
static void test_exact_room(void **state)
{
    (void)state;
    NEED_MODEL;
    wn_search_result r = {0};
    wn_ask_reading reading = {0};
    const wn_metadata_filter *none = NULL;
    wn_reading_limits l = limits_of(100000, 100);
    size_t n = 0, again = 0;
    WN_ASSERT_OK(wn_ask_read_corpus(&l, corpus, none, &r, &reading, &n, err));
    assert_int_equal(reading.mode, WN_ASK_CORPUS);
    assert_int_equal(reading.n_documents, 3);
    assert_int_equal(reading.n_left_out, 0);
    wn_search_result_free(&r);
    wn_ask_reading_free(&reading);
    r = (wn_search_result){0};
    l.capacity = n + 100;
    WN_ASSERT_OK(wn_ask_read_corpus(&l, corpus, none, &r, &reading, &again, err));
    assert_int_equal(again, n);
    wn_search_result_free(&r);
    wn_ask_reading_free(&reading);
    r = (wn_search_result){0};
    l.capacity--;
    wn_error err = {0};
    assert_int_equal(wn_ask_read_corpus(&l, corpus, none, &r, &reading, &again, &err), WN_LIMIT);
    assert_int_equal(again, n);
    assert_non_null(strstr(err.text, "mode documents"));
    wn_search_result_free(&r);
    wn_ask_reading_free(&reading);
    r = (wn_search_result){0};
    l.capacity = 200; /* not worth counting */
    err = (wn_error){0};
    assert_int_equal(wn_ask_read_corpus(&l, corpus, none, &r, &reading, &again, &err), WN_LIMIT);
    assert_int_equal(again, 0);
    assert_non_null(strstr(err.text, "about 5"));
    wn_search_result_free(&r);
    wn_ask_reading_free(&reading);
}

static void test_passages(void **state)
{
    (void)state;
    NEED_MODEL;
    wn_search_result r = found("tea value steamed");
    const size_t n = r.n;
    assert_true(n >= 2);
    wn_ask_reading reading = {0};
    wn_reading_limits l = limits_of(400, 100);
    WN_ASSERT_OK(wn_ask_read_passages(&l, &r, &reading, err));
    assert_int_equal(reading.n_sources, n);
    assert_int_equal(reading.n_left_out, 0);
    for (size_t i = 1; i < r.n; i++)
        assert_true(r.hits[i - 1].document_id < r.hits[i].document_id ||
                    r.hits[i - 1].start < r.hits[i].start);
    const size_t all = reading.n_tokens;
    wn_search_result_free(&r);
    wn_ask_reading_free(&reading);
    r = found("tea value steamed");
    for (l.capacity = 400; l.capacity > 100; l.capacity--) { /* the first that does not hold all */
        wn_search_result again = found("tea value steamed");
        wn_error err = {0};
        wn_status status = wn_ask_read_passages(&l, &again, &reading, &err);
        assert_true(status == WN_OK || strstr(err.text, "no passage"));
        const size_t shown = reading.n_sources, left_out = reading.n_left_out;
        assert_int_equal(shown + left_out, n);
        assert_true(shown < n || reading.n_tokens == all);
        wn_ask_reading_free(&reading);
        wn_search_result_free(&again);
        if (shown < n)
            break;
    }
    assert_true(l.capacity > 150);
    wn_search_result_free(&r);
    r = (wn_search_result){0};
    WN_ASSERT_OK(wn_ask_read_passages(&l, &r, &reading, err)); /* none found: nothing to show */
    assert_int_equal(reading.n_sources, 0);
    wn_search_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),           cmocka_unit_test(test_auto),
        cmocka_unit_test(test_whole_documents), cmocka_unit_test(test_documents),
        cmocka_unit_test(test_exact_room),      cmocka_unit_test(test_passages),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
