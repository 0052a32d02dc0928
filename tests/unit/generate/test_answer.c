/* The whole run on the real small model: events, limits, cancellation, no answer. */
#include "tests/test_support.h"

#include "base/strbuf.h"
#include "generate/answer.h"
#include "generate/refusal.h"

#define MODEL_FILE "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"

static const char tesla[] = "Nikola Tesla was born in Smiljan in 1856. He emigrated in 1884.";
static const char bridge[] = "The Tyne Bridge was opened in 1928. It spans 161 metres.";
static const wn_source sources[] = {{.document_id = 1,
                                     .text = tesla,
                                     .len = sizeof tesla - 1,
                                     .start = 9,
                                     .title = "Tesla",
                                     .headings = ""},
                                    {.document_id = 2,
                                     .text = bridge,
                                     .len = sizeof bridge - 1,
                                     .start = 0,
                                     .title = "Bridges",
                                     .headings = ""}};

static wn_compute *compute;
static wn_model *model;
static wn_session *session;

static int open_model(void **state)
{
    (void)state;
    char path[512];
    wn_test_model_path(path, sizeof path, MODEL_FILE);
    if (access(path, R_OK) != 0)
        return 0; /* every test that needs it skips, loudly */
    wn_error err = {0};
    if (wn_compute_open(&compute, &(wn_compute_options){0}, &err) != WN_OK ||
        wn_model_open(&model, compute, path, &err) != WN_OK ||
        wn_session_open(&session, model, compute, &(wn_session_options){.n_ctx = 320}, &err) !=
            WN_OK) {
        printf("%s\n", err.text);
        return -1;
    }
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    wn_session_close(session);
    wn_model_close(model);
    wn_compute_close(compute);
    return 0;
}

#define NEED_MODEL                                                                                 \
    do {                                                                                           \
        char path_[512];                                                                           \
        WN_NEED_FILE(wn_test_model_path(path_, sizeof path_, MODEL_FILE));                         \
    } while (0)

typedef struct listener {
    wn_strbuf text;
    size_t n_prefill, prefill_total, n_citations, stop_at, n_calls;
    wn_status answer;
} listener;

static wn_status on_prefill(void *ctx, size_t done, size_t total)
{
    listener *l = ctx;
    assert_true(done <= total);
    l->n_prefill++;
    l->prefill_total = total;
    return WN_OK;
}

static wn_status on_text(void *ctx, const char *text, size_t len)
{
    listener *l = ctx;
    wn_strbuf_add(&l->text, text, len);
    return ++l->n_calls == l->stop_at ? l->answer : WN_OK;
}

static wn_status on_citation(void *ctx, const wn_citation *c)
{
    listener *l = ctx;
    assert_true(c->source < 2);
    l->n_citations++;
    return WN_OK;
}

static wn_answer_events events_of(listener *l)
{
    return (wn_answer_events){
        .ctx = l, .on_prefill = on_prefill, .on_text = on_text, .on_citation = on_citation};
}

static wn_answer_request request_of(const char *question)
{
    return (wn_answer_request){.session = session,
                               .model = model,
                               .question = question,
                               .sources = sources,
                               .n_sources = 2,
                               .sampler = WN_SAMPLER_GREEDY,
                               .max_tokens = 40};
}

static void test_answer(void **state)
{
    (void)state;
    NEED_MODEL;
    listener l = {0};
    wn_answer_events events = events_of(&l);
    wn_answer_request r = request_of("What is the length of the Tyne Bridge?");
    wn_answer a = {0};
    WN_ASSERT_OK(wn_answer_run(&r, &events, &a, err));
    printf("135M: %s\n", a.text);
    assert_int_equal(l.text.len, a.len);
    assert_string_equal(wn_strbuf_cstr(&l.text), a.text);
    assert_non_null(strstr(a.text, "161 metres"));
    assert_true(a.n_citations >= 1 && a.n_citations == l.n_citations);
    const wn_citation *c = &a.citations[0];
    assert_int_equal(c->source, 1);
    assert_non_null(strstr(c->cited_text, "It spans 161 metres."));
    assert_memory_equal(bridge + c->start, c->cited_text, c->end - c->start);
    assert_true(l.n_prefill > 0 && l.prefill_total == a.prompt_tokens);
    assert_true(a.completion_tokens > 0 && a.completion_tokens <= 40);
    assert_true(strcmp(a.finish_reason, "stop") == 0 || strcmp(a.finish_reason, "length") == 0);
    wn_answer_free(&a);
    wn_strbuf_free(&l.text);
    r.question = "What was opened in 1928?"; /* the passages' prefix is still there */
    WN_ASSERT_OK(wn_answer_run(&r, NULL, &a, err));
    assert_true(a.cached_tokens > 60 && a.cached_tokens < a.prompt_tokens);
    wn_answer_free(&a);
}

static void test_nothing_found(void **state)
{
    (void)state;
    for (int by_flag = 0; by_flag < 2; by_flag++) {
        listener l = {0};
        wn_answer_events events = events_of(&l);
        wn_answer a = {0};
        wn_answer_request r = {.question = "Who?", .sources = sources}; /* no model is needed */
        r.n_sources = by_flag ? 2 : 0;
        r.nothing_found = by_flag;
        WN_ASSERT_OK(wn_answer_run(&r, &events, &a, err));
        assert_string_equal(a.text, WN_NO_ANSWER_TEXT);
        assert_string_equal(wn_strbuf_cstr(&l.text), WN_NO_ANSWER_TEXT);
        assert_string_equal(a.finish_reason, "no_answer");
        assert_int_equal(a.n_citations + l.n_citations + a.prompt_tokens, 0);
        wn_answer_free(&a);
        wn_strbuf_free(&l.text);
    }
}

static void test_cancelled(void **state)
{
    (void)state;
    NEED_MODEL;
    listener l = {.stop_at = 3, .answer = WN_CANCELLED};
    wn_answer_events events = events_of(&l);
    wn_answer_request r = request_of("When was Nikola Tesla born?");
    wn_answer a = {0};
    WN_ASSERT_OK(wn_answer_run(&r, &events, &a, err));
    assert_string_equal(a.finish_reason, "cancelled");
    assert_int_equal(l.n_calls, 3);
    assert_string_equal(wn_strbuf_cstr(&l.text), a.text);
    wn_answer_free(&a);
    wn_strbuf_free(&l.text);
    l = (listener){.stop_at = 1, .answer = WN_IO};
    wn_error err = {0};
    assert_int_equal(wn_answer_run(&r, &events, &a, &err), WN_IO);
    assert_true(err.text[0] != '\0');
    assert_null(a.text);
    wn_strbuf_free(&l.text);
}

/* Never cut silently: what does not fit is an error with the numbers. */
static void test_too_long(void **state)
{
    (void)state;
    NEED_MODEL;
    char text[4000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 5 == 4 ? ' ' : (char)('a' + i % 23);
    wn_source large = {.text = text, .len = sizeof text, .title = "Large", .headings = ""};
    wn_answer_request r = request_of("When?");
    r.sources = &large;
    r.n_sources = 1;
    wn_answer a = {0};
    wn_error err = {0};
    assert_int_equal(wn_answer_run(&r, NULL, &a, &err), WN_LIMIT);
    assert_non_null(strstr(err.text, "320"));
    assert_non_null(strstr(err.text, "1 passages"));
    wn_answer_free(&a);
}

static wn_status failing_embed(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                               float *out, wn_error *err)
{
    (void)ctx, (void)texts, (void)lens, (void)n, (void)out;
    return wn_error_set(err, WN_UNAVAILABLE, "the embedder is away");
}

static void test_embedder_fails(void **state)
{
    (void)state;
    NEED_MODEL;
    wn_answer_request r = request_of("When was Nikola Tesla born?");
    r.embed = failing_embed;
    r.dim = 4;
    wn_answer a = {0};
    wn_error err = {0};
    assert_int_equal(wn_answer_run(&r, NULL, &a, &err), WN_UNAVAILABLE);
    assert_string_equal(err.text, "the embedder is away");
    assert_null(a.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_found),  cmocka_unit_test(test_answer),
        cmocka_unit_test(test_cancelled),      cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_embedder_fails),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
