/* Distilling heads of the tiny model: the gradient of a step against finite differences, and that
 * steps lower what questions lose. */
#include <math.h>
#include <unistd.h>

#include "generate/head_distill_internal.h"
#include "generate/training_state.h"
#include "tests/unit/generate/tiny_heads.h"

enum { PREFIX = 90, WINDOW = 20, N_QUESTIONS = 5, QUESTION = 12, JUDGED = 5, ROWS = 40 };

/* Texts that begin at different tokens. */
static void add_text(wn_head_distill *d, size_t at)
{
    wn_distill_question q[N_QUESTIONS];
    for (size_t i = 0; i < N_QUESTIONS; i++)
        q[i] = (wn_distill_question){ids + PREFIX + 11 * i, QUESTION + i, JUDGED};
    WN_ASSERT_OK(wn_head_distill_add(d, ids + at, PREFIX, q, N_QUESTIONS, err));
}

static wn_head_distill *open_unread(double temperature, double noise, size_t n_steps, double rate)
{
    wn_head_distill *d = NULL;
    const wn_head_distill_options o = {.weight = weight,
                                       .bias = bias,
                                       .n_max = 100,
                                       .window = WINDOW,
                                       .keep = 0.3,
                                       .n_rows = ROWS,
                                       .n_steps = n_steps,
                                       .rate = rate,
                                       .temperature = temperature,
                                       .noise = noise};
    WN_ASSERT_OK(wn_head_distill_open(&d, model, compute, &o, err));
    return d;
}

static wn_head_distill *open_distill(double temperature, double noise, size_t n_steps, double rate)
{
    wn_head_distill *d = open_unread(temperature, noise, n_steps, rate);
    add_text(d, 0);
    WN_ASSERT_OK(wn_head_distill_read(d, 0, err));
    return d;
}

/* Of the first questions that fit, always with the same noise. */
static double gradient(wn_head_distill *d)
{
    static const size_t order[] = {3, 0, 1, 2, 4};
    size_t n_rows = 0;
    double loss = 0;
    d->random = 7;
    const size_t n = wn_distill_fill(d, order, N_QUESTIONS, &n_rows);
    assert_true(n == 3 && n_rows == 3 * QUESTION + 4 && n_rows <= ROWS);
    WN_ASSERT_OK(wn_head_distill_gradient(d, order, n, n_rows, &loss, err));
    return loss;
}

/* The offset moves with the heads: only what they trade is left. */
static void test_gradient(void **state)
{
    (void)state;
    static float grad[N_HEADS * TINY_D], by[N_HEADS * TINY_D];
    float bias_grad[N_HEADS], at[N_HEADS * TINY_D];
    wn_head_distill *d = open_distill(4, 0.3, 1, 1);
    assert_true(gradient(d) > 0);
    memcpy(grad, d->grad, sizeof grad);
    memcpy(bias_grad, d->bias_grad, sizeof bias_grad);
    memcpy(at, d->weight, sizeof at);
    double sum = 0, most = 0;
    for (size_t i = 0; i < N_HEADS; i++) {
        sum += (double)bias_grad[i];
        most = fmax(most, fabs((double)bias_grad[i]));
    }
    assert_true(most > 1e-5 && fabs(sum) < 1e-2 * most); /* all biases together do nothing */
    for (int trial = 0; trial < 8; trial++) {
        char name[] = "direction a";
        name[sizeof name - 2] += (char)trial;
        random_floats(name, 256, by, N_HEADS * TINY_D);
        const size_t list = (size_t)trial % N_HEADS;
        double expected = 0, sides[2];
        for (size_t i = 0; i < N_HEADS * TINY_D; i++) {
            by[i] = trial < 4 ? by[i] : 0;
            expected += (double)by[i] * (double)grad[i];
        }
        const float step = 1.0f / 128;
        if (trial >= 4)
            expected += 4 * (double)bias_grad[list];
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < N_HEADS * TINY_D; i++)
                d->weight[i] = at[i] + (side ? step : -step) * by[i];
            for (size_t i = 0; i < N_HEADS; i++)
                d->bias[i] = bias[i] + (trial >= 4 && i == list ? (side ? 4 : -4) * step : 0);
            sides[side] = gradient(d);
        }
        const double measured = (sides[1] - sides[0]) / (2 * (double)step);
        assert_true(fabs(measured - expected) < 0.02 * fabs(measured) + 1e-5);
    }
    wn_head_distill_close(d);
}

static void test_steps_help(void **state)
{
    (void)state;
    static float moved[N_HEADS * TINY_D], again[N_HEADS * TINY_D];
    float moved_bias[N_HEADS];
    double before = 0, after = 0, loss = 0;
    for (int run = 0; run < 2; run++) {
        wn_head_distill *d = open_distill(1, 0.5, 60, 0.02);
        WN_ASSERT_OK(wn_head_distill_judge(d, &before, err));
        for (int i = 0; i < 60; i++)
            WN_ASSERT_OK(wn_head_distill_step(d, &loss, err));
        WN_ASSERT_OK(wn_head_distill_judge(d, &after, err));
        wn_head_distill_heads(d, run ? again : moved, moved_bias);
        assert_true(after < 0.6 * before && after > 0);
        wn_head_distill_close(d);
    }
    assert_memory_equal(moved, again, sizeof moved);
}

/* From turn `from`: texts by turns, two steps each. */
static void take_turns(wn_head_distill *d, size_t from, size_t n)
{
    double loss = 0;
    for (size_t i = from; i < n; i++) {
        WN_ASSERT_OK(wn_head_distill_read(d, i % 2, err));
        WN_ASSERT_OK(wn_head_distill_step(d, &loss, err));
        WN_ASSERT_OK(wn_head_distill_step(d, &loss, err));
    }
}

/* Stopped after a turn, or between two texts, and gone on from the file: the heads that it would
 * have had. */
static void test_resumed(void **state)
{
    (void)state;
    static float whole[N_HEADS * TINY_D], resumed[N_HEADS * TINY_D];
    float whole_bias[N_HEADS], resumed_bias[N_HEADS];
    char path[] = "/tmp/wn_test_distill_XXXXXX";
    const uint8_t key[WN_SHA256_BYTES] = {1}, other[WN_SHA256_BYTES] = {2};
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    for (int stop = 0; stop < 2; stop++) {
        wn_head_distill *d = open_unread(1, 0.5, 14, 0.02);
        add_text(d, 0);
        if (stop == 0)
            WN_ASSERT_OK(wn_head_distill_save(d, key, path, err));
        add_text(d, 5);
        assert_true(wn_head_distill_loss(d) == 0);
        take_turns(d, 0, 3);
        const double loss = wn_head_distill_loss(d);
        assert_true(loss > 0 && loss < 1);
        if (stop == 1)
            WN_ASSERT_OK(wn_head_distill_save(d, key, path, err));
        take_turns(d, 3, 7);
        wn_head_distill_heads(d, whole, whole_bias);
        wn_head_distill_close(d);
        d = open_unread(1, 0.5, 14, 0.02);
        assert_int_equal(wn_head_distill_load(d, other, path, NULL), WN_CONFLICT);
        WN_ASSERT_OK(wn_head_distill_load(d, key, path, err));
        assert_int_equal(wn_head_distill_n_steps(d), stop ? 6 : 0);
        assert_true(wn_head_distill_loss(d) == (stop ? loss : 0));
        assert_int_equal(wn_head_distill_n_texts(d), stop ? 2 : 1);
        if (stop == 0)
            add_text(d, 5);
        take_turns(d, stop ? 3 : 0, 7);
        wn_head_distill_heads(d, resumed, resumed_bias);
        assert_memory_equal(whole, resumed, sizeof whole);
        assert_memory_equal(whole_bias, resumed_bias, sizeof whole_bias);
        wn_head_distill_close(d);
    }
    unlink(path);
}

/* A file that is all right but for its content: cut anywhere, or with counts that cannot be. */
static void test_bad_state(void **state)
{
    (void)state;
    char path[] = "/tmp/wn_test_distill_XXXXXX";
    const uint8_t key[WN_SHA256_BYTES] = {1};
    const wn_training_state s = {path, "wndis003", key};
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    wn_strbuf whole = {0};
    wn_head_distill *d = open_unread(1, 0.5, 14, 0.02);
    add_text(d, 0);
    WN_ASSERT_OK(wn_head_distill_save(d, key, path, err));
    wn_head_distill_close(d);
    WN_ASSERT_OK(wn_training_state_load(&s, &whole, err));
    for (size_t i = 0; i < 60; i++) {
        wn_strbuf b = {0};
        wn_strbuf_add(&b, whole.data, i < 40 ? whole.len * i / 40 : whole.len);
        if (i >= 40) /* the last question's last bytes are floats: counts lie before them */
            memset(b.data + whole.len / 2 + 8 * (i - 40), 0xff, whole.len / 2 - 8 * (i - 40));
        WN_ASSERT_OK(wn_training_state_save(&s, &b, err));
        wn_strbuf_free(&b);
        d = open_unread(1, 0.5, 14, 0.02);
        assert_int_equal(wn_head_distill_load(d, key, path, NULL), WN_FORMAT);
        wn_head_distill_close(d);
    }
    assert_int_equal(truncate(path, 100), 0);
    d = open_unread(1, 0.5, 14, 0.02);
    assert_int_equal(wn_head_distill_load(d, key, path, NULL), WN_FORMAT);
    wn_head_distill_close(d);
    wn_strbuf_free(&whole);
    unlink(path);
}

static void test_refused(void **state)
{
    (void)state;
    wn_head_distill *d = open_distill(1, 1, 1, 1);
    wn_distill_question q = {ids, ROWS + 1, 1};
    assert_int_equal(wn_head_distill_add(d, ids, PREFIX, &q, 1, NULL), WN_INVALID);
    q = (wn_distill_question){ids, 4, 5};
    assert_int_equal(wn_head_distill_add(d, ids, PREFIX, &q, 1, NULL), WN_INVALID);
    q.n_judged = 4;
    assert_int_equal(wn_head_distill_add(d, ids, WINDOW, &q, 1, NULL), WN_INVALID);
    assert_int_equal(wn_head_distill_add(d, ids, 101, &q, 1, NULL), WN_INVALID);
    assert_int_equal(wn_head_distill_add(d, ids, PREFIX, &q, 0, NULL), WN_INVALID);
    WN_ASSERT_OK(wn_head_distill_add(d, ids, PREFIX, &q, 1, err));
    wn_head_distill_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient), cmocka_unit_test(test_steps_help),
        cmocka_unit_test(test_resumed),  cmocka_unit_test(test_bad_state),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
