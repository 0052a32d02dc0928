/* What `winnow eval kv` measures with, on a tiny model with eviction heads: prefixes that are read
 * once, texts written freely, parts of a text, baselines of as many bytes. */
#include "tests/test_support.h"

#include <math.h>

#include "api/kv_baselines.h"
#include "api/kv_quiz.h"
#include "tests/unit/generate/tiny_heads.h"

enum { WINDOW = 16, N = 150, WRITTEN = 9 };

/* Tied embeddings would make so small a model say the same token for ever. */
static int open_untied(void **state)
{
    checkpoint_shape shape = tiny_shape(false, false);
    if (tiny_heads_open(state))
        return -1;
    wn_model_close(model);
    model = NULL;
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ""), false);
    return wn_model_open_weights(&model, compute, dir, NULL) == WN_OK ? 0 : -1;
}

static wn_kv_reader_options options_of(const wn_dms_heads *heads, const wn_dms_point *point)
{
    return (wn_kv_reader_options){.model = model,
                                  .compute = compute,
                                  .kv_format = WN_KV_F32,
                                  .heads = heads,
                                  .point = point,
                                  .n_ctx = TINY_CTX};
}

/* Behind a prefix that was read in two parts, and twice, as behind one of a session of its own. */
static void test_reader(void **state)
{
    (void)state;
    wn_dms_point point = {.window = WINDOW};
    const wn_dms_heads heads = linear_heads(&point, 0);
    for (int dense = 0; dense < 2; dense++) {
        const wn_kv_reader_options o = options_of(&heads, dense ? NULL : &point);
        int32_t written[2][WRITTEN], expected[WRITTEN];
        wn_kv_reader *r = NULL;
        wn_kv_report report = {0};
        WN_ASSERT_OK(wn_kv_reader_open(&r, &o, err));
        WN_ASSERT_OK(wn_kv_reader_read(r, ids, 70, err));
        WN_ASSERT_OK(wn_kv_reader_write(r, written[0], 3, err));
        WN_ASSERT_OK(wn_kv_reader_read(r, ids + 70, 50, err));
        for (int i = 0; i < 2; i++)
            WN_ASSERT_OK(wn_kv_reader_write(r, written[i], WRITTEN, err));
        wn_session *s = open_with(model, compute, dense ? NULL : &heads, WN_KV_F32, 0);
        append(s, ids, 120);
        for (int i = 0; i < WRITTEN; i++) {
            expected[i] = 0;
            for (int k = 1; k < TINY_VOCAB; k++)
                if (wn_session_logits(s)[k] > wn_session_logits(s)[expected[i]])
                    expected[i] = k;
            WN_ASSERT_OK(wn_session_decode(s, expected[i], err));
        }
        wn_session_close(s);
        assert_memory_equal(written[0], expected, sizeof expected);
        assert_memory_equal(written[1], expected, sizeof expected);
        assert_int_equal(wn_kv_reader_length(r), 120);
        WN_ASSERT_OK(wn_kv_reader_report(r, &report, err));
        assert_true(report.n_tokens == 121 &&
                    (dense ? report.slots_ratio == 1 : report.slots_ratio > 1.2));
        wn_kv_report_free(&report);
        /* A prompt that does not begin with the prefix, or has nothing behind it, is refused. */
        char *answer = NULL;
        assert_int_equal(wn_kv_reader_ask(r, ids, 120, 4, &answer, NULL), WN_INVALID);
        assert_int_equal(wn_kv_reader_ask(r, ids + 1, 140, 4, &answer, NULL), WN_INVALID);
        wn_kv_reader_close(r);
    }
}

static void test_writing_freely(void **state)
{
    (void)state;
    static const wn_kv_place places[] = {{10, 0}, {60, 0}, {120, 1}, {158, 1}};
    wn_dms_point points[] = {{.window = WINDOW, .bias = -1e9f}, {.window = WINDOW, .bias = 1e9f}};
    const wn_dms_heads heads = linear_heads(points, 0);
    const wn_kv_reader_options o = options_of(&heads, NULL);
    wn_kv_writer *w = NULL;
    assert_int_equal(wn_kv_writer_open(&w, &o, ids, places, 4, TINY_CTX, NULL), WN_INVALID);
    WN_ASSERT_OK(wn_kv_writer_open(&w, &o, ids, places, 4, WRITTEN, err));
    wn_kv_agreement kept[2] = {0}, gone[2] = {0};
    WN_ASSERT_OK(wn_kv_writer_judge(w, &points[0], kept, err));
    WN_ASSERT_OK(wn_kv_writer_judge(w, &points[1], gone, err));
    wn_kv_writer_close(w);
    /* 10 is within the window; 158 leaves no room and is moved forward. */
    assert_true(kept[0].n_places == 1 && kept[1].n_places == 2 && kept[1].n_tokens == 2 * WRITTEN);
    assert_true(kept[0].n_same == 1 && kept[1].n_same == 2 && kept[1].n_equal == 2 * WRITTEN &&
                kept[1].n_before == 2 * WRITTEN);
    assert_true(gone[1].n_places == 2 && gone[1].n_same < 2 &&
                gone[1].n_before <= gone[1].n_equal && gone[1].n_equal < 2 * WRITTEN);
}

static wn_kv_eval *open_eval(void)
{
    const wn_kv_eval_options o = {
        .model = model, .compute = compute, .kv_format = WN_KV_F32, .n_max = N};
    wn_kv_eval *e = NULL;
    WN_ASSERT_OK(wn_kv_eval_open(&e, &o, err));
    return e;
}

static wn_evict_rule heads_rule(void)
{
    return (wn_evict_rule){.kind = WN_EVICT_HEADS, .weight = weight, .bias = bias};
}

/* The first tokens of a text that was read are judged as a text of that length is. */
static void test_part_of_a_text(void **state)
{
    (void)state;
    const wn_evict_rule rule = heads_rule();
    wn_kv_eval_row whole = {0}, part = {0}, alone = {0};
    wn_kv_eval *e = open_eval();
    WN_ASSERT_OK(wn_kv_eval_read(e, ids, N, err));
    WN_ASSERT_OK(wn_kv_eval_judge(e, &rule, WINDOW, WINDOW, err));
    wn_kv_eval_row_of(e, 90, 90, &whole);
    wn_kv_eval_use(e, 90);
    WN_ASSERT_OK(wn_kv_eval_judge(e, &rule, WINDOW, WINDOW, err));
    wn_kv_eval_row_of(e, 90, 90, &part);
    WN_ASSERT_OK(wn_kv_eval_read(e, ids, 90, err));
    WN_ASSERT_OK(wn_kv_eval_judge(e, &rule, WINDOW, WINDOW, err));
    wn_kv_eval_row_of(e, 90, 90, &alone);
    assert_true(part.mean > 0 && part.slots > 1.2 && part.n_judged == 90 - 1 - WINDOW);
    assert_memory_equal(&part, &whole, sizeof part);
    assert_memory_equal(&part, &alone, sizeof part);
    wn_kv_eval_close(e);
}

static void test_baselines(void **state)
{
    (void)state;
    static wn_kv_case cases[1 + WN_KV_BASELINES];
    wn_kv_eval_row row = {0};
    wn_kv_baselines *b = NULL;
    wn_kv_eval *e = open_eval();
    memset(cases, 0, sizeof cases);
    for (int i = 0; i <= WN_KV_BASELINES; i++)
        cases[i].rule.kind = (wn_evict_kind)i;
    cases[0].rule = heads_rule();
    cases[0].window = WINDOW;
    WN_ASSERT_OK(wn_kv_baselines_open(&b, model, N, err));
    WN_ASSERT_OK(wn_kv_eval_read(e, ids, N, err));
    WN_ASSERT_OK(wn_kv_eval_judge(e, &cases[0].rule, WINDOW, WINDOW, err));
    wn_kv_eval_row_of(e, N, N, &row);
    const wn_kv_match m = {
        .row = &row, .n = N, .n_live = N, .judge_from = WINDOW, .line = 2, .copy = true};
    WN_ASSERT_OK(wn_kv_baselines_judge(b, e, cases, &m, err));
    for (int i = 1; i <= WN_KV_BASELINES; i++) {
        const wn_kv_sum *s = &cases[i].lines[2].copy;
        assert_true(s->n_texts == 1 && s->mean > 0 && cases[i].lines[2].text.n_texts == 0);
        if (i == WN_EVICT_ORACLE)
            assert_true(fabs(s->live * row.slots - 1) < 0.01); /* as many slots */
        else if (i == WN_EVICT_WINDOW)
            assert_true(s->bytes * row.bytes >= 1 - 1e-9 && s->bytes * row.bytes < 1.34);
        else
            assert_true(fabs(s->bytes * row.bytes - 1) < 1e-9); /* as many bytes */
    }
    /* Who knows the future loses least. */
    for (int i = 1; i < WN_EVICT_ORACLE; i++)
        assert_true(cases[WN_EVICT_ORACLE].lines[2].copy.mean < cases[i].lines[2].copy.mean);
    wn_kv_baselines_close(b);
    wn_kv_eval_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader),
        cmocka_unit_test(test_writing_freely),
        cmocka_unit_test(test_part_of_a_text),
        cmocka_unit_test(test_baselines),
    };
    return cmocka_run_group_tests(tests, open_untied, tiny_heads_close);
}
