/* Forks and snapshots of sessions: the bits of one go, damaged bytes refused, the pool's limit. */
#include "base/checked.h"
#include "tests/alloc_failure.h"
#include "tests/unit/generate/tiny_heads.h"

static uint32_t random_state = 1;

static size_t random_below(size_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static const wn_dms_point point = {.window = 33};

static wn_session *open_in(wn_kv_pool *pool, const wn_model *m, wn_compute *c,
                           const wn_dms_heads *h, wn_kv_format format)
{
    wn_session *s = NULL;
    const wn_session_options o = {.n_chunk = 32, .heads = h, .kv_format = format, .pool = pool};
    WN_ASSERT_OK(wn_session_open(&s, m, c, &o, err));
    return s;
}

static wn_strbuf snapshot_of(const wn_session *s)
{
    wn_strbuf b = {0};
    WN_ASSERT_OK(wn_session_snapshot(s, &b, err));
    return b;
}

/* At random cuts: a fork and a restored session go on as the one that was never cut. */
static void check_copies(const wn_model *m, wn_compute *c, const wn_dms_heads *h, wn_kv_format f)
{
    float whole[TINY_VOCAB];
    wn_session *s = open_in(NULL, m, c, h, f), *fork = NULL;
    append(s, ids, TINY_CTX);
    memcpy(whole, wn_session_logits(s), sizeof whole);
    wn_session_close(s);
    for (size_t turn = 0; turn < 20; turn++) {
        const size_t cut = 1 + random_below(TINY_CTX - 1);
        s = open_in(NULL, m, c, h, f);
        append(s, ids, cut);
        wn_strbuf bytes = snapshot_of(s);
        WN_ASSERT_OK(wn_session_fork(&fork, s, err));
        assert_memory_equal(wn_session_logits(s), wn_session_logits(fork), sizeof whole);
        wn_session_close(s);
        append(fork, ids + cut, TINY_CTX - cut);
        assert_memory_equal(wn_session_logits(fork), whole, sizeof whole);
        WN_ASSERT_OK(wn_session_restore(fork, bytes.data, bytes.len, err));
        assert_int_equal(wn_session_length(fork), cut);
        assert_int_equal(wn_session_n_read(fork), cut);
        assert_memory_equal(wn_session_ids(fork), ids, cut * sizeof *ids);
        append(fork, ids + cut, TINY_CTX - cut);
        assert_memory_equal(wn_session_logits(fork), whole, sizeof whole);
        wn_session_close(fork);
        wn_strbuf_free(&bytes);
    }
}

static void test_copies_go_on_alike(void **state)
{
    (void)state;
    wn_compute *c = NULL;
    wn_model *m = NULL;
    wn_dms_point p = point;
    WN_ASSERT_OK(wn_compute_open(&c, &(wn_compute_options){0}, err));
    WN_ASSERT_OK(wn_model_open_weights(&m, c, dir, err));
    for (wn_kv_format f = WN_KV_F32; f <= WN_KV_INT8; f++)
        for (size_t shift = 0; shift < 2; shift++) {
            wn_dms_heads h = linear_heads(&p, shift);
            check_copies(m, c, &h, f);
            h = borrowed_heads(&p, shift, shift == 1);
            check_copies(m, c, &h, f);
            check_copies(m, c, NULL, f);
        }
    wn_model_close(m);
    wn_compute_close(c);
}

static void test_decoded_state_is_copied(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 1);
    wn_kv_pool *pool = NULL; /* a session's own has no room for two */
    WN_ASSERT_OK(wn_session_pool_open(&pool, model, compute, WN_KV_INT8, 1 << 20, err));
    wn_session *a = open_in(pool, model, compute, &h, WN_KV_INT8), *b = NULL;
    append(a, ids, 70);
    for (size_t at = 70; at < 90; at++)
        WN_ASSERT_OK(wn_session_decode(a, ids[at], err));
    WN_ASSERT_OK(wn_session_fork(&b, a, err));
    assert_int_equal(wn_session_n_read(b), 70);
    wn_strbuf bytes = snapshot_of(a);
    for (size_t at = 90; at < 120; at++) {
        WN_ASSERT_OK(wn_session_decode(a, ids[at], err));
        WN_ASSERT_OK(wn_session_decode(b, ids[at], err));
    }
    assert_memory_equal(wn_session_logits(a), wn_session_logits(b), TINY_VOCAB * sizeof(float));
    WN_ASSERT_OK(wn_session_restore(b, bytes.data, bytes.len, err));
    for (size_t at = 90; at < 120; at++)
        WN_ASSERT_OK(wn_session_decode(b, ids[at], err));
    assert_memory_equal(wn_session_logits(a), wn_session_logits(b), TINY_VOCAB * sizeof(float));
    wn_strbuf_free(&bytes);
    wn_session_close(a);
    wn_session_close(b);
    wn_kv_pool_close(pool);
}

/* Of another kind of session, or damaged: refused, and the session is empty and usable. */
static void test_refusals(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 0), other = linear_heads(&p, 1);
    wn_session *s = open_in(NULL, model, compute, &h, WN_KV_F32);
    append(s, ids, 100);
    wn_strbuf bytes = snapshot_of(s);
    wn_session *others[] = {open_in(NULL, model, compute, NULL, WN_KV_F32),
                            open_in(NULL, model, compute, &other, WN_KV_F32),
                            open_in(NULL, model, compute, &h, WN_KV_INT8),
                            open_with(model, compute, &h, WN_KV_F32, 16)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        /* Heads made here have no fingerprint: it is the shift that the others differ in. */
        const wn_status expected = i == 1 ? WN_OK : WN_CONFLICT;
        assert_int_equal(wn_session_restore(others[i], bytes.data, bytes.len, NULL), expected);
        wn_session_close(others[i]);
    }
    for (size_t i = 0; i < bytes.len; i += i < 100 ? 1 : 997) {
        bytes.data[i] ^= 4;
        assert_int_not_equal(wn_session_restore(s, bytes.data, bytes.len, NULL), WN_OK);
        bytes.data[i] ^= 4;
        assert_int_not_equal(wn_session_restore(s, bytes.data, i, NULL), WN_OK);
    }
    assert_int_equal(wn_session_length(s), 0);
    assert_int_equal(wn_session_kv_bytes(s), 0);
    WN_ASSERT_OK(wn_session_restore(s, bytes.data, bytes.len, err));
    assert_int_equal(wn_session_length(s), 100);
    wn_session_close(s);
    wn_session *small = NULL;
    WN_ASSERT_OK(wn_session_open(&small, model, compute,
                                 &(wn_session_options){.n_ctx = 99, .n_chunk = 32, .heads = &h},
                                 err));
    assert_int_equal(wn_session_restore(small, bytes.data, bytes.len, NULL), WN_LIMIT);
    wn_session_close(small);
    wn_strbuf_free(&bytes);
}

/* A session with heads goes back into the last chunk of what it read, or to the cut before, behind
 * an answer if asked to be able to, and from there on has the bits of one that read all. */
static void test_resume(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 1);
    float whole[TINY_VOCAB];
    wn_session *s = open_in(NULL, model, compute, &h, WN_KV_INT8);
    append(s, ids, 150);
    memcpy(whole, wn_session_logits(s), sizeof whole);
    for (size_t n = 149; n >= 128; n -= 7) { /* 128 is the last cut */
        assert_int_equal(wn_session_truncate(s, n), n);
        append(s, ids + 10, 1);
        assert_int_equal(wn_session_truncate(s, n), n);
        append(s, ids + n, 150 - n);
        assert_memory_equal(wn_session_logits(s), whole, sizeof whole);
    }
    assert_int_equal(wn_session_truncate(s, 127), 0);
    append(s, ids, 150);
    WN_ASSERT_OK(wn_session_decode(s, ids[0], err));
    assert_int_equal(wn_session_truncate(s, 150), 0); /* a key has left the window */
    wn_session_close(s);
    const wn_session_options o = {
        .n_chunk = 32, .heads = &h, .kv_format = WN_KV_INT8, .resume = true};
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &o, err));
    append(s, ids, 110); /* 96 is the last cut */
    const size_t bytes = wn_session_kv_bytes(s);
    for (size_t at = 0; at < 20; at++)
        WN_ASSERT_OK(wn_session_decode(s, ids[at], err));
    assert_true(wn_session_kv_bytes(s) > bytes); /* both ways back are kept */
    assert_int_equal(wn_session_truncate(s, 120), 110);
    assert_int_equal(wn_session_n_read(s), 110);
    assert_int_equal(wn_session_kv_bytes(s), bytes);
    append(s, ids + 110, 40);
    assert_memory_equal(wn_session_logits(s), whole, sizeof whole);
    assert_int_equal(wn_session_truncate(s, 127), 110); /* the cut is at 128 by now */
    append(s, ids + 110, 10);
    WN_ASSERT_OK(wn_session_decode(s, ids[0], err));
    assert_int_equal(wn_session_truncate(s, 119), 119); /* its end was at 120 */
    assert_int_equal(wn_session_n_read(s), 119);
    append(s, ids + 119, 31);
    assert_memory_equal(wn_session_logits(s), whole, sizeof whole);
    wn_session_truncate(s, 0);
    append(s, ids, 110);
    for (size_t at = 0; at < 20; at++)
        WN_ASSERT_OK(wn_session_decode(s, ids[at], err));
    assert_int_equal(wn_session_truncate(s, 97), 97);
    append(s, ids + 97, 1);
    for (size_t at = 0; at < 20; at++)
        WN_ASSERT_OK(wn_session_decode(s, ids[at], err));
    assert_int_equal(wn_session_truncate(s, 96), 96);
    assert_int_equal(wn_session_n_read(s), 96);
    append(s, ids + 96, 14);
    assert_int_equal(wn_session_kv_bytes(s), bytes);
    assert_int_equal(wn_session_truncate(s, 96), 96);
    append(s, ids + 96, 54); /* 128 now */
    assert_memory_equal(wn_session_logits(s), whole, sizeof whole);
    assert_int_equal(wn_session_truncate(s, 127), 0);
    assert_int_equal(wn_session_kv_bytes(s), 0);
    append(s, ids, 150);
    assert_memory_equal(wn_session_logits(s), whole, sizeof whole);
    wn_session_close(s);
}

/* The limit is met before a chunk runs; what was read stays, and goes on once there is room. */
static void test_limit(void **state)
{
    (void)state;
    wn_error error = {0};
    wn_kv_pool *pool = NULL;
    float whole[TINY_VOCAB];
    const size_t page = 64 * 2 * TINY_HEAD * sizeof(float), lists = TINY_LAYERS * TINY_KV;
    WN_ASSERT_OK(wn_session_pool_open(&pool, model, compute, WN_KV_F32, 4 * lists * page, err));
    wn_session *a = open_in(pool, model, compute, NULL, WN_KV_F32);
    wn_session *b = open_in(pool, model, compute, NULL, WN_KV_F32), *bad = NULL;
    append(a, ids, 150);
    memcpy(whole, wn_session_logits(a), sizeof whole);
    assert_int_equal(wn_session_append(b, ids, 150, NULL, NULL, &error), WN_LIMIT);
    assert_non_null(strstr(error.text, "no room"));
    assert_int_equal(wn_session_length(b), 64);
    assert_int_equal(wn_session_decode(b, ids[64], NULL), WN_LIMIT);
    assert_int_equal(wn_session_length(b), 64);
    wn_session_close(a);
    append(b, ids + 64, 86);
    assert_memory_equal(wn_session_logits(b), whole, sizeof whole);
    assert_int_equal(wn_session_open(&bad, model, compute,
                                     &(wn_session_options){.kv_format = WN_KV_INT8, .pool = pool},
                                     NULL),
                     WN_INVALID);
    wn_session_close(b);
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_kv_pool_close(pool);
}

static wn_status copy_once(void *ctx, wn_error *err)
{
    wn_session *fork = NULL;
    wn_strbuf bytes = {0};
    wn_status status = wn_session_fork(&fork, ctx, err);
    if (status == WN_OK)
        status = wn_session_snapshot(ctx, &bytes, err);
    if (status == WN_OK)
        status = wn_session_restore(fork, bytes.data, bytes.len, err);
    wn_session_close(fork);
    wn_strbuf_free(&bytes);
    return status;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 0);
    wn_session *s = open_in(NULL, model, compute, &h, WN_KV_F32);
    append(s, ids, 90);
    wn_test_each_alloc_fails(copy_once, s);
    wn_session_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_copies_go_on_alike),
        cmocka_unit_test(test_decoded_state_is_copied),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
