#include "tests/test_support.h"

#include <math.h>

#include "base/checked.h"
#include "base/fs.h"
#include "generate/model_internal.h"
#include "generate/session.h"
#include "tests/alloc_failure.h"
#include "tests/unit/generate/tiny_model.h"

static char dir[] = "/tmp/wn_test_session_XXXXXX";
static wn_compute *compute;
static wn_model *model;
static int32_t ids[TINY_CTX];

static int open_model(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(true, false);
    if (!mkdtemp(dir) ||
        wn_compute_open(&compute, &(wn_compute_options){.exact = true}, NULL) != WN_OK)
        return -1;
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    for (int i = 0; i < TINY_CTX; i++)
        ids[i] = (i * i * 7 + i) % TINY_VOCAB;
    return wn_model_open_weights(&model, compute, dir, NULL) == WN_OK ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    wn_model_close(model);
    wn_compute_close(compute);
    return wn_fs_remove_tree(dir, NULL) == WN_OK ? 0 : -1;
}

static wn_session *open_session(size_t n_ctx, size_t n_chunk)
{
    wn_session *s = NULL;
    wn_session_options o = {.n_ctx = n_ctx, .n_chunk = n_chunk};
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &o, err));
    return s;
}

static void append(wn_session *s, const int32_t *from, size_t n)
{
    WN_ASSERT_OK(wn_session_append(s, from, n, NULL, NULL, err));
}

static double distance(const float *a, const float *b)
{
    double d = 0;
    for (size_t i = 0; i < TINY_VOCAB; i++)
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
    return d;
}

static void assert_same_bits(const float *a, const float *b)
{
    assert_memory_equal(a, b, TINY_VOCAB * sizeof *a);
}

/* However the tokens come in, in whatever chunks, one by one or together: the same bits, with the
 * products and the KV format that users have. */
static void check_cuts(wn_compute *c, const wn_model *m, wn_kv_format format)
{
    static const size_t chunks[] = {1, 7, 32, 1000};
    wn_session *s = NULL;
    float whole[TINY_VOCAB], early[TINY_VOCAB];
    wn_session_options o = {.kv_format = format};
    WN_ASSERT_OK(wn_session_open(&s, m, c, &o, err));
    append(s, ids, 60);
    memcpy(early, wn_session_logits(s), sizeof early);
    wn_session_truncate(s, 0);
    append(s, ids, TINY_CTX);
    memcpy(whole, wn_session_logits(s), sizeof whole);
    wn_session_close(s);
    assert_true(distance(early, whole) > 0.1); /* positions differ, so the test can tell */
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        o.n_chunk = chunks[i];
        WN_ASSERT_OK(wn_session_open(&s, m, c, &o, err));
        append(s, ids, 50);
        for (size_t at = 50; at < 60; at++)
            append(s, ids + at, 1);
        assert_same_bits(wn_session_logits(s), early);
        append(s, ids + 60, TINY_CTX - 60);
        assert_same_bits(wn_session_logits(s), whole);
        assert_int_equal(wn_session_length(s), TINY_CTX);
        assert_memory_equal(wn_session_ids(s), ids, sizeof ids);
        wn_session_truncate(s, 59);
        append(s, ids + 59, 1);
        assert_same_bits(wn_session_logits(s), early);
        wn_session_close(s);
    }
}

static void test_cuts_do_not_matter(void **state)
{
    (void)state;
    static const char *const isas[] = {"auto", "ref", "avx2", "avx512", "amx-emulated"};
    check_cuts(compute, model, WN_KV_F32);
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        wn_compute *c = NULL;
        wn_model *m = NULL;
        if (wn_compute_open(&c, &(wn_compute_options){.isa = isas[i]}, NULL) != WN_OK)
            continue;
        WN_ASSERT_OK(wn_model_open_weights(&m, c, dir, err));
        for (wn_kv_format f = WN_KV_F32; f <= WN_KV_INT8; f++)
            check_cuts(c, m, f);
        wn_model_close(m);
        wn_compute_close(c);
    }
}

/* The logits of all positions are those of the last one, each time. */
static void test_all_logits(void **state)
{
    (void)state;
    float *all = malloc(sizeof *all * TINY_CTX * TINY_VOCAB);
    assert_non_null(all);
    wn_session *s = open_session(0, 0);
    WN_ASSERT_OK(wn_session_append_all_logits(s, ids, TINY_CTX, all, err));
    assert_same_bits(wn_session_logits(s), all + (TINY_CTX - 1) * TINY_VOCAB);
    wn_session_truncate(s, 0);
    for (size_t at = 0; at < TINY_CTX; at += 53) {
        append(s, ids + wn_session_length(s), at + 1 - wn_session_length(s));
        assert_true(distance(wn_session_logits(s), all + at * TINY_VOCAB) < 1e-4);
    }
    wn_session_close(s);
    free(all);
}

/* Decoding gives what reading gives, but for the last places, and does not count as read. */
static void test_decode(void **state)
{
    (void)state;
    wn_session *a = open_session(0, 32), *b = open_session(0, 32);
    append(a, ids, 100);
    append(b, ids, 90);
    assert_int_equal(wn_session_n_read(b), 90);
    for (size_t at = 90; at < 100; at++)
        WN_ASSERT_OK(wn_session_decode(b, ids[at], err));
    assert_true(distance(wn_session_logits(a), wn_session_logits(b)) < 1e-4);
    assert_int_equal(wn_session_length(b), 100);
    append(b, ids + 100, 20);
    assert_int_equal(wn_session_n_read(b), 90);
    wn_session_truncate(b, 95);
    assert_int_equal(wn_session_n_read(b), 90);
    wn_session_truncate(b, 80);
    assert_int_equal(wn_session_n_read(b), 80);
    append(b, ids + 80, 20);
    assert_int_equal(wn_session_n_read(b), 100);
    assert_same_bits(wn_session_logits(a), wn_session_logits(b));
    assert_int_equal(wn_session_decode(b, TINY_VOCAB, NULL), WN_INVALID);
    wn_session_close(a);
    wn_session_close(b);
}

static void test_truncate(void **state)
{
    (void)state;
    float first[TINY_VOCAB];
    wn_session *s = open_session(0, 32);
    append(s, ids, 90);
    memcpy(first, wn_session_logits(s), sizeof first);
    wn_session_truncate(s, 64);
    assert_int_equal(wn_session_length(s), 64);
    append(s, ids + 1, 30); /* something else on top */
    assert_true(distance(first, wn_session_logits(s)) > 0.1);
    wn_session_truncate(s, 64);
    append(s, ids + 64, 26);
    assert_same_bits(first, wn_session_logits(s));
    wn_session_truncate(s, 500); /* no longer than it is */
    assert_int_equal(wn_session_length(s), 90);
    wn_session_truncate(s, 0);
    append(s, ids, 90);
    assert_same_bits(first, wn_session_logits(s));
    wn_session_close(s);
}

static void test_refusals_change_nothing(void **state)
{
    (void)state;
    wn_error err = {0};
    wn_session *s = open_session(40, 16);
    float before[TINY_VOCAB];
    int32_t bad[3] = {1, TINY_VOCAB, 2};
    append(s, ids, 30);
    memcpy(before, wn_session_logits(s), sizeof before);
    assert_int_equal(wn_session_append(s, ids, 11, NULL, NULL, &err), WN_LIMIT);
    assert_non_null(strstr(err.text, "30 of 40"));
    assert_int_equal(wn_session_append(s, bad, 3, NULL, NULL, NULL), WN_INVALID);
    bad[1] = -1;
    assert_int_equal(wn_session_append(s, bad, 3, NULL, NULL, NULL), WN_INVALID);
    assert_int_equal(wn_session_append(s, bad, 0, NULL, NULL, NULL), WN_INVALID);
    assert_int_equal(wn_session_append_all_logits(s, ids, 11, before, NULL), WN_LIMIT);
    assert_int_equal(wn_session_length(s), 30);
    assert_same_bits(before, wn_session_logits(s));
    append(s, ids, 10);
    assert_int_equal(wn_session_append(s, ids, 1, NULL, NULL, NULL), WN_LIMIT); /* full */
    wn_session_close(s);
}

typedef struct watch {
    uint64_t done[16];
    size_t n, stop_at;
} watch;

static wn_status watch_progress(void *ctx, uint64_t done, uint64_t total)
{
    watch *w = ctx;
    assert_int_equal(total, 100);
    w->done[w->n++] = done;
    return w->n == w->stop_at ? WN_CANCELLED : WN_OK;
}

static wn_session *open_format(wn_kv_format format, size_t thin)
{
    wn_session *s = NULL;
    wn_session_options o = {.n_chunk = 32, .kv_format = format, .thin = thin};
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &o, err));
    return s;
}

/* Every format: close to f32, and a session that was cut or goes on has the bits of a fresh one. */
static void test_kv_formats(void **state)
{
    (void)state;
    static const double bounds[] = {[WN_KV_F32] = 0, [WN_KV_BF16] = 0.05, [WN_KV_INT8] = 0.2};
    float exact[TINY_VOCAB], whole[TINY_VOCAB];
    wn_session *s = open_format(WN_KV_AUTO, 0);
    append(s, ids, 150);
    memcpy(exact, wn_session_logits(s), sizeof exact);
    wn_session_close(s);
    for (wn_kv_format f = WN_KV_F32; f <= WN_KV_INT8; f++) {
        s = open_format(f, 0);
        append(s, ids, 150);
        memcpy(whole, wn_session_logits(s), sizeof whole);
        const double error = distance(exact, whole);
        assert_true(error <= bounds[f] && (f == WN_KV_F32 || error > 0));
        assert_int_equal(wn_session_truncate(s, 64), 64);
        append(s, ids + 64, 32);
        append(s, ids + 96, 54);
        assert_same_bits(whole, wn_session_logits(s));
        wn_session_close(s);
    }
}

/* Pages come with the tokens and go with them. */
static void test_kv_bytes(void **state)
{
    (void)state;
    const size_t lists = TINY_LAYERS * TINY_KV;
    const size_t page = lists * 64 * 2 * TINY_HEAD * sizeof(float);
    const size_t pointer = lists * sizeof(void *);
    wn_session *s = open_session(0, 32);
    assert_int_equal(wn_session_kv_bytes(s), 0);
    append(s, ids, 1);
    assert_int_equal(wn_session_kv_bytes(s), page + pointer);
    append(s, ids, 63);
    assert_int_equal(wn_session_kv_bytes(s), page + pointer);
    append(s, ids, 90);
    assert_int_equal(wn_session_kv_bytes(s), 3 * (page + pointer));
    wn_session_truncate(s, 128);
    assert_int_equal(wn_session_kv_bytes(s), 2 * (page + pointer));
    wn_session_truncate(s, 0);
    assert_int_equal(wn_session_kv_bytes(s), 0);
    wn_session_close(s);
    s = open_format(WN_KV_INT8, 0);
    append(s, ids, 64);
    assert_int_equal(wn_session_kv_bytes(s),
                     lists * (64 * 2 * TINY_HEAD + 64 * 2 * WN_KV_SCALE_BYTES) + pointer);
    wn_session_close(s);
}

static void test_progress_and_cancel(void **state)
{
    (void)state;
    wn_error error = {0};
    wn_session *s = open_session(0, 32);
    watch w = {0};
    append(s, ids, 10);
    WN_ASSERT_OK(wn_session_append(s, ids + 10, 100, watch_progress, &w, err));
    const uint64_t expected[] = {22, 54, 86, 100};
    assert_int_equal(w.n, 4);
    assert_memory_equal(w.done, expected, sizeof expected);

    float whole[TINY_VOCAB];
    memcpy(whole, wn_session_logits(s), sizeof whole);
    wn_session_truncate(s, 10);
    w = (watch){.stop_at = 2};
    assert_int_equal(wn_session_append(s, ids + 10, 100, watch_progress, &w, &error), WN_CANCELLED);
    assert_non_null(strstr(error.text, "54 of 100"));
    assert_int_equal(wn_session_length(s), 64); /* whole chunks stay */
    append(s, ids + 64, 46);
    assert_same_bits(whole, wn_session_logits(s));
    wn_session_close(s);
}

static void test_options(void **state)
{
    (void)state;
    wn_session *s = NULL;
    wn_error err = {0};
    assert_int_equal(
        wn_session_open(&s, model, compute, &(wn_session_options){.n_ctx = TINY_CTX + 1}, &err),
        WN_INVALID);
    assert_non_null(strstr(err.text, "n_ctx 161"));
    assert_null(s);
    s = open_session(0, 0);
    assert_int_equal(wn_session_capacity(s), TINY_CTX);
    wn_session_close(s);
    s = open_session(50, 0);
    assert_int_equal(wn_session_capacity(s), 50);
    wn_session_close(s);
    wn_session_close(NULL);
}

static void test_token_path_does_not_allocate(void **state)
{
    (void)state;
    wn_session *s = open_session(0, 32);
    size_t before = wn_alloc_count();
    append(s, ids, 70);
    append(s, ids, 1);
    assert_int_equal(wn_alloc_count(), before);
    wn_session_close(s);
}

static wn_status open_and_close(void *ctx, wn_error *err)
{
    wn_session *s = NULL;
    wn_status status = wn_session_open(&s, model, compute, ctx, err);
    wn_session_close(s);
    return status;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    wn_session_options o = {.n_ctx = 64};
    wn_test_each_alloc_fails(open_and_close, &o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts_do_not_matter),
        cmocka_unit_test(test_all_logits),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_refusals_change_nothing),
        cmocka_unit_test(test_kv_formats),
        cmocka_unit_test(test_kv_bytes),
        cmocka_unit_test(test_progress_and_cancel),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_token_path_does_not_allocate),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
