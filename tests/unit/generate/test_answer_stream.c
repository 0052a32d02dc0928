/* Marks and sentences of a streamed answer: what is shown for what the model wrote, in one piece
 * and byte by byte. */
#include "tests/test_support.h"

#include "base/strbuf.h"
#include "generate/answer_stream.h"
#include "generate/citation_marker.h"
#include "generate/refusal.h"
#include "tests/alloc_failure.h"

static const char bridge[] = "The Tyne Bridge was opened in 1928 by King George V. It spans 161 "
                             "metres between Newcastle and Gateshead.";
static const char tesla[] = "Nikola Tesla was born in Smiljan in 1856. He emigrated to the United "
                            "States in 1884 and worked for Thomas Edison.";
static const char amazon[] = "The Amazon rainforest holds about 16,000 tree species. It covers 5.5 "
                             "million square kilometres.";

static const wn_source sources[] = {
    {.document_id = 7, .text = bridge, .len = sizeof bridge - 1, .start = 1000, .title = "Bridges"},
    {.document_id = 8, .text = tesla, .len = sizeof tesla - 1, .start = 0, .title = "Tesla"},
    {.document_id = 9, .text = amazon, .len = sizeof amazon - 1, .start = 50, .title = "Amazon"},
};

typedef struct receiver {
    wn_strbuf text;
    size_t n_citations, cancel_after;
    size_t text_at_citation[8]; /* bytes of text that had come before each citation */
} receiver;

static wn_status on_text(void *ctx, const char *text, size_t len)
{
    receiver *r = ctx;
    wn_strbuf_add(&r->text, text, len);
    if (wn_strbuf_failed(&r->text))
        return WN_NO_MEMORY;
    return r->cancel_after && r->text.len >= r->cancel_after ? WN_CANCELLED : WN_OK;
}

static wn_status on_citation(void *ctx, const wn_citation *c)
{
    receiver *r = ctx;
    assert_non_null(c->cited_text);
    if (r->n_citations < 8)
        r->text_at_citation[r->n_citations] = r->text.len;
    r->n_citations++;
    return WN_OK;
}

typedef struct run {
    const char *question, *model_text;
    size_t step; /* bytes per push; 0 = all at once */
    wn_answer answer;
    bool refused;
    receiver receiver;
} run;

static wn_status run_stream(run *r, wn_error *err)
{
    wn_status status = WN_OK;
    wn_attributor *attributor = NULL;
    wn_answer_stream *stream = NULL;
    wn_answer_events events = {.ctx = &r->receiver, .on_text = on_text, .on_citation = on_citation};
    size_t len = strlen(r->model_text), step = r->step ? r->step : len + 1;
    WN_TRY_OUT(wn_attributor_open(
        &attributor, &(wn_attribution){.sources = sources, .n_sources = 3, .question = r->question},
        err));
    WN_TRY_OUT(wn_answer_stream_open(
        &stream,
        &(wn_answer_stream_options){
            .attributor = attributor, .sources = sources, .n_sources = 3, .events = &events},
        err));
    for (size_t at = 0; at < len; at += step)
        WN_TRY_OUT(wn_answer_stream_push(stream, r->model_text + at,
                                         len - at < step ? len - at : step, err));
    WN_TRY_OUT(wn_answer_stream_finish(stream, err));
    r->refused = wn_answer_stream_refused(stream);
    WN_TRY_OUT(wn_answer_stream_take(stream, &r->answer, err));
out:
    wn_answer_stream_close(stream);
    wn_attributor_close(attributor);
    return status;
}

static void run_free(run *r)
{
    wn_answer_free(&r->answer);
    wn_strbuf_free(&r->receiver.text);
}

/* What must hold of every answer: streamed = kept, quotes are the sources' bytes, spans in order.
 */
static void check_answer(const run *r)
{
    const wn_answer *a = &r->answer;
    assert_int_equal(r->receiver.text.len, a->len);
    assert_memory_equal(wn_strbuf_cstr(&r->receiver.text), a->text, a->len);
    assert_int_equal(r->receiver.n_citations, a->n_citations);
    for (size_t i = 0; i < a->n_citations; i++) {
        const wn_citation *c = &a->citations[i];
        const wn_source *s = &sources[c->source];
        assert_int_equal(c->number, c->source + 1);
        assert_int_equal(strlen(c->cited_text), c->end - c->start);
        assert_memory_equal(c->cited_text, s->text + (c->start - s->start), c->end - c->start);
        assert_true(c->answer_start < c->answer_end && c->answer_end <= a->len);
        assert_true(i == 0 || a->citations[i - 1].answer_start <= c->answer_start);
        assert_true(c->support >= 0 && c->support <= 1);
    }
}

/* The shown text is the same however the model's text is cut. */
static void expect(const char *question, const char *model_text, const char *shown)
{
    for (size_t step = 0; step <= 5; step++) {
        run r = {.question = question, .model_text = model_text, .step = step};
        WN_ASSERT_OK(run_stream(&r, err));
        if (strcmp(r.answer.text, shown) != 0)
            fail_msg("step %zu: got      \"%s\"\nexpected \"%s\"", step, r.answer.text, shown);
        check_answer(&r);
        run_free(&r);
    }
}

#define BRIDGE_Q "When was the Tyne Bridge opened?"

static void test_true_marks_stay(void **state)
{
    (void)state;
    expect(BRIDGE_Q, "The Tyne Bridge was opened in 1928 [1].",
           "The Tyne Bridge was opened in 1928 [1].");
    expect(BRIDGE_Q, "The Tyne Bridge was opened in 1928. [1]",
           "The Tyne Bridge was opened in 1928. [1]");
    expect(BRIDGE_Q, "The Tyne Bridge was opened in 1928[1].",
           "The Tyne Bridge was opened in 1928 [1].");
    expect(BRIDGE_Q, "The Tyne Bridge was opened in 1928 [Passage 1].",
           "The Tyne Bridge was opened in 1928 [1].");
    expect(BRIDGE_Q,
           "The Tyne Bridge was opened in 1928 [1] by the king [1]. Tesla was born in "
           "Smiljan in 1856. [2]",
           "The Tyne Bridge was opened in 1928 [1] by the king. Tesla was born in "
           "Smiljan in 1856. [2]");
}

static void test_missing_marks_are_added(void **state)
{
    (void)state;
    expect(BRIDGE_Q, "The Tyne Bridge was opened in 1928.",
           "The Tyne Bridge was opened in 1928. [1]");
    expect(BRIDGE_Q, "The Tyne Bridge was opened in 1928. Tesla was born in Smiljan in 1856.\n",
           "The Tyne Bridge was opened in 1928. [1] Tesla was born in Smiljan in 1856. [2]");
    expect(BRIDGE_Q, "- The Tyne Bridge was opened in 1928\n- Tesla was born in Smiljan in 1856",
           "- The Tyne Bridge was opened in 1928 [1]\n- Tesla was born in Smiljan in 1856 [2]");
    expect(BRIDGE_Q, "1928", "1928 [1]"); /* the question tells what the number is */
    expect("Where was Nikola Tesla born?", "Smiljan.", "Smiljan. [2]");
}

static void test_false_marks_go(void **state)
{
    (void)state;
    expect(BRIDGE_Q, "The Tyne Bridge was opened in 1928 [3].",
           "The Tyne Bridge was opened in 1928 [1].");
    expect(BRIDGE_Q, "The Tyne Bridge was opened in 1928 [17].",
           "The Tyne Bridge was opened in 1928 [1].");
    expect(BRIDGE_Q, "The Tyne Bridge was opened in 1928 [1, 2].",
           "The Tyne Bridge was opened in 1928 [1].");
    expect(BRIDGE_Q, "Bananas are yellow and sweet [2].", "Bananas are yellow and sweet.");
    expect(BRIDGE_Q, "Bananas are yellow [2] and sweet.", "Bananas are yellow and sweet.");
    expect(BRIDGE_Q, "Bananas are yellow and sweet. [2] [3]", "Bananas are yellow and sweet.");
}

static void test_marks_in_front(void **state)
{
    (void)state;
    expect(BRIDGE_Q, "[1] The Tyne Bridge was opened in 1928.",
           "The Tyne Bridge was opened in 1928. [1]");
    expect(BRIDGE_Q,
           "[1] The Tyne Bridge was opened in 1928.\n[2] Tesla was born in Smiljan in 1856.",
           "The Tyne Bridge was opened in 1928. [1]\nTesla was born in Smiljan in 1856. [2]");
}

/* A mark before anything was said waits for the sentence. */
static void test_marks_after_empty_words(void **state)
{
    (void)state;
    expect(BRIDGE_Q, "According to passage [1], the Tyne Bridge was opened in 1928.",
           "According to passage [1], the Tyne Bridge was opened in 1928.");
    expect(BRIDGE_Q, "According to passage [2], the Tyne Bridge was opened in 1928. Yes!",
           "According to passage [1], the Tyne Bridge was opened in 1928. Yes!");
    expect(BRIDGE_Q, "According to passage [2], bananas are yellow.",
           "According to passage, bananas are yellow.");
    expect(BRIDGE_Q, "The answer is: [1] The Tyne Bridge was opened in 1928",
           "The answer is: [1] The Tyne Bridge was opened in 1928");
    expect(BRIDGE_Q, "In passage [1], the Tyne Bridge was opened in 1928 [1].",
           "In passage, the Tyne Bridge was opened in 1928 [1].");
}

static void test_what_is_no_mark(void **state)
{
    (void)state;
    expect(BRIDGE_Q, "Bananas [sic] are yellow [", "Bananas [sic] are yellow [");
    expect(BRIDGE_Q, "Bananas [see 4] are [Passage] yellow [12345]",
           "Bananas [see 4] are [Passage] yellow [12345]");
    expect(BRIDGE_Q, "Bananas: `a[1] = b[2]. C[3]` yes", "Bananas: `a[1] = b[2]. C[3]` yes");
    expect(BRIDGE_Q, "```\nx[1] = 1. Then\n\n# The Tyne Bridge was opened in 1928\n```",
           "```\nx[1] = 1. Then\n\n# The Tyne Bridge was opened in 1928\n```");
    expect(BRIDGE_Q, "# The Tyne Bridge\n\nBananas are yellow.",
           "# The Tyne Bridge\n\nBananas are yellow.");
}

static void test_sentences_that_look_like_ends(void **state)
{
    (void)state;
    expect("How large is it?", "It covers 5.5 million square kilometres.",
           "It covers 5.5 million square kilometres. [3]");
    expect(BRIDGE_Q, "  \n The Tyne Bridge was opened in 1928.  \n ",
           "The Tyne Bridge was opened in 1928. [1]");
    expect(BRIDGE_Q, "香蕉是黄的。香蕉是甜的。", "香蕉是黄的。香蕉是甜的。");
}

static void test_refusals(void **state)
{
    (void)state;
    run r = {.question = BRIDGE_Q,
             .model_text = "The passages do not mention when the Tyne Bridge was opened [1].",
             .step = 3};
    WN_ASSERT_OK(run_stream(&r, err));
    assert_string_equal(r.answer.text,
                        "The passages do not mention when the Tyne Bridge was opened.");
    assert_int_equal(r.answer.n_citations, 0);
    assert_true(r.refused);
    check_answer(&r);
    run_free(&r);
    r = (run){.question = BRIDGE_Q, .model_text = " [2] "};
    WN_ASSERT_OK(run_stream(&r, err));
    assert_string_equal(r.answer.text, WN_NO_ANSWER_TEXT);
    assert_true(r.refused);
    check_answer(&r);
    run_free(&r);
    r = (run){.question = BRIDGE_Q, .model_text = "Tesla was born in Smiljan in 1856."};
    WN_ASSERT_OK(run_stream(&r, err));
    assert_false(r.refused);
    run_free(&r);
}

static bool is_refusal(const char *s)
{
    return wn_sentence_is_refusal(s, strlen(s));
}

static void test_refusal_phrases(void **state)
{
    (void)state;
    assert_true(is_refusal("The documents do not say."));
    assert_true(is_refusal("The provided passages don\xE2\x80\x99t contain the answer."));
    assert_true(is_refusal("There is no information about this in the text."));
    assert_true(is_refusal("I don't know."));
    assert_true(is_refusal("The text does not specify the year."));
    assert_false(is_refusal("The bridge was not opened before 1928."));
    assert_false(is_refusal("The Tyne Bridge was opened in 1928."));
    assert_false(is_refusal("The treaty does not contain a clause on fishing."));
    assert_false(is_refusal(""));
}

/* Text is shown at once where nothing is to be decided; a citation comes with its sentence. */
static void test_streaming(void **state)
{
    (void)state;
    run r = {.question = BRIDGE_Q,
             .model_text = "The Tyne Bridge was opened in 1928 [1]. Tesla was born in Smiljan in "
                           "1856. He worked for Thomas Edison.",
             .step = 1};
    WN_ASSERT_OK(run_stream(&r, err));
    check_answer(&r);
    assert_int_equal(r.answer.n_citations, 3);
    const wn_citation *c = r.answer.citations;
    assert_true(c[0].from_marker && !c[1].from_marker && !c[2].from_marker);
    assert_int_equal(c[0].answer_start, 0);
    assert_memory_equal(r.answer.text + c[1].answer_start, "Tesla was born in Smiljan in 1856.",
                        c[1].answer_end - c[1].answer_start);
    assert_string_equal(c[0].cited_text, "The Tyne Bridge was opened in 1928 by King George V.");
    assert_int_equal(c[0].start, 1000);
    assert_string_equal(c[1].cited_text, "Nikola Tesla was born in Smiljan in 1856.");
    /* Each citation came before more than a word of the next sentence was shown. */
    assert_in_range(r.receiver.text_at_citation[0], c[0].answer_end, c[0].answer_end + 1);
    assert_in_range(r.receiver.text_at_citation[1], c[1].answer_end + 4, c[1].answer_end + 5);
    run_free(&r);
}

static void test_cancel(void **state)
{
    (void)state;
    run r = {.question = BRIDGE_Q,
             .model_text = "The Tyne Bridge was opened in 1928. Then",
             .step = 1,
             .receiver = {.cancel_after = 10}};
    wn_error err = {0};
    assert_int_equal(run_stream(&r, &err), WN_CANCELLED);
    assert_int_equal(r.receiver.text.len, 10);
    run_free(&r);
}

/* Any bytes: no crash, streamed text = kept text, only true quotes. */
static void test_random_text(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "[",    "]",         "1",        "2",         "[1]",
        "[2]",  " ",         "\n",       ". ",        "The Tyne Bridge",
        ", ",   "```",       "`",        "1928",      "Tesla",
        "\n\n", "Smiljan. ", "- ",       "[1, ",      "\xE3\x80\x82",
        "#",    "(",         ")",        "[Passage ", "16,000 tree species. ",
        "[9]",  "|",         "\xC3\xA9", "Dr. ",      "!"};
    uint32_t random = 99;
    for (size_t round = 0; round < 3000; round++) {
        wn_strbuf text = {0};
        for (size_t n = 0; n < 3 + round % 40; n++) {
            random = random * 1664525 + 1013904223;
            wn_strbuf_adds(&text, parts[(random >> 10) % (sizeof parts / sizeof *parts)]);
        }
        run one = {.question = BRIDGE_Q, .model_text = wn_strbuf_cstr(&text), .step = 1};
        run all = {.question = BRIDGE_Q, .model_text = wn_strbuf_cstr(&text)};
        WN_ASSERT_OK(run_stream(&one, err));
        WN_ASSERT_OK(run_stream(&all, err));
        check_answer(&one);
        check_answer(&all);
        run_free(&one);
        run_free(&all);
        wn_strbuf_free(&text);
    }
}

static wn_status run_once(void *ctx, wn_error *err)
{
    run r = *(run *)ctx;
    wn_status status = run_stream(&r, err);
    run_free(&r);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    run r = {.question = BRIDGE_Q,
             .model_text = "The Tyne Bridge was opened in 1928 [3]. Tesla was born in Smiljan.",
             .step = 7};
    wn_test_each_alloc_fails(run_once, &r);
}

static void scan(const char *text, bool final, wn_marker_result expected, size_t len, size_t n)
{
    wn_marker m;
    wn_marker_result got = wn_marker_scan(text, strlen(text), final, &m);
    if (got != expected)
        fail_msg("\"%s\": %d, expected %d", text, (int)got, (int)expected);
    if (got == WN_MARKER_WHOLE) {
        assert_int_equal(m.len, len);
        assert_int_equal(m.n, n);
    }
}

static void test_marker_scan(void **state)
{
    (void)state;
    scan("[1] x", false, WN_MARKER_WHOLE, 3, 1);
    scan("[1, 2,3]", false, WN_MARKER_WHOLE, 8, 3);
    scan("[2-4]", false, WN_MARKER_WHOLE, 5, 3);
    scan("[1-999]", false, WN_MARKER_WHOLE, 7, WN_MARKER_MAX_NUMBERS);
    scan("[ 7 ]", false, WN_MARKER_WHOLE, 5, 1);
    scan("[^3]", false, WN_MARKER_WHOLE, 4, 1);
    scan("[Passage 3, Passage 4]", false, WN_MARKER_WHOLE, 22, 2);
    scan("[", false, WN_MARKER_PART, 0, 0);
    scan("[", true, WN_MARKER_NONE, 0, 0);
    scan("[Pass", false, WN_MARKER_PART, 0, 0);
    scan("[12", false, WN_MARKER_PART, 0, 0);
    scan("[12,", false, WN_MARKER_PART, 0, 0);
    scan("[12", true, WN_MARKER_NONE, 0, 0);
    scan("[0]", false, WN_MARKER_NONE, 0, 0);
    scan("[1234]", false, WN_MARKER_NONE, 0, 0);
    scan("[sic]", false, WN_MARKER_NONE, 0, 0);
    scan("[]", false, WN_MARKER_NONE, 0, 0);
    scan("[1.5]", false, WN_MARKER_NONE, 0, 0);
    scan("[1                                                    ]", false, WN_MARKER_NONE, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marker_scan),
        cmocka_unit_test(test_true_marks_stay),
        cmocka_unit_test(test_missing_marks_are_added),
        cmocka_unit_test(test_false_marks_go),
        cmocka_unit_test(test_marks_in_front),
        cmocka_unit_test(test_marks_after_empty_words),
        cmocka_unit_test(test_what_is_no_mark),
        cmocka_unit_test(test_sentences_that_look_like_ends),
        cmocka_unit_test(test_refusal_phrases),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_random_text),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
