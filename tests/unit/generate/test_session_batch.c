/* Several sessions that take a token each in one step: every one gets the bits that it gets alone,
 * whoever the others are; and where one cannot go on nothing happens to any. */
#include "tests/alloc_failure.h"
#include "tests/unit/generate/tiny_heads.h"

enum { N = WN_SESSIONS_MAX, N_STEPS = 9 };

/* Lengths around the pages' ends; every format, kind of heads and way to have less keys. */
static const struct {
    size_t n_start, n_chunk, heads, thin;
    wn_kv_format format;
} kinds[N] = {
    {60, 32, 0, 0, WN_KV_BF16}, {1, 1, 0, 0, WN_KV_F32},    {151, 32, 1, 0, WN_KV_BF16},
    {63, 7, 2, 0, WN_KV_INT8},  {120, 16, 3, 0, WN_KV_F32}, {64, 32, 0, 3, WN_KV_INT8},
    {37, 32, 0, 0, WN_KV_INT8}, {100, 1, 1, 0, WN_KV_INT8},
};

static wn_dms_point point = {.window = 33};
static wn_dms_heads heads[4]; /* [1..3] */

static int open_all(void **state)
{
    heads[1] = linear_heads(&point, 0);
    heads[2] = borrowed_heads(&point, 1, false);
    heads[3] = borrowed_heads(&point, 0, true);
    return tiny_heads_open(state);
}

static wn_session *open_kind(const wn_model *m, wn_compute *c, size_t kind)
{
    wn_session *s = NULL;
    const wn_session_options o = {.n_chunk = kinds[kind].n_chunk,
                                  .kv_format = kinds[kind].format,
                                  .heads = kinds[kind].heads ? &heads[kinds[kind].heads] : NULL,
                                  .thin = kinds[kind].thin};
    WN_ASSERT_OK(wn_session_open(&s, m, c, &o, err));
    append(s, ids, kinds[kind].n_start);
    return s;
}

static int32_t next_id(size_t kind, size_t step)
{
    return (int32_t)((kind * 31 + step * 17 + 5) % TINY_VOCAB);
}

static wn_strbuf snapshot_of(const wn_session *s)
{
    wn_strbuf b = {0};
    WN_ASSERT_OK(wn_session_snapshot(s, &b, err));
    return b;
}

static void assert_same_state(const wn_session *s, const wn_strbuf *expected)
{
    wn_strbuf b = snapshot_of(s);
    assert_int_equal(b.len, expected->len);
    assert_memory_equal(b.data, expected->data, b.len);
    wn_strbuf_free(&b);
}

/* What each kind gives alone. */
typedef struct alone {
    float logits[N][N_STEPS][TINY_VOCAB];
    wn_strbuf end[N];
} alone;

static void run_alone(const wn_model *m, wn_compute *c, alone *a)
{
    for (size_t k = 0; k < N; k++) {
        wn_session *s = open_kind(m, c, k);
        for (size_t step = 0; step < N_STEPS; step++) {
            WN_ASSERT_OK(wn_session_decode(s, next_id(k, step), err));
            memcpy(a->logits[k][step], wn_session_logits(s), sizeof a->logits[k][step]);
        }
        a->end[k] = snapshot_of(s);
        wn_session_close(s);
    }
}

/* Kinds first, first + 1 .. together. */
static void check_together(const wn_model *m, wn_compute *c, const alone *a, size_t first, size_t n)
{
    static float logits[N][TINY_VOCAB];
    wn_session *sessions[N] = {0};
    int32_t next[N];
    for (size_t i = 0; i < n; i++)
        sessions[i] = open_kind(m, c, (first + i) % N);
    for (size_t step = 0; step < N_STEPS; step++) {
        for (size_t i = 0; i < n; i++)
            next[i] = next_id((first + i) % N, step);
        WN_ASSERT_OK(wn_sessions_decode(sessions, n, next, logits[0], NULL, err));
        for (size_t i = 0; i < n; i++) {
            const float *expected = a->logits[(first + i) % N][step];
            assert_memory_equal(logits[i], expected, sizeof logits[i]);
            assert_memory_equal(wn_session_logits(sessions[i]), expected, sizeof logits[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        assert_same_state(sessions[i], &a->end[(first + i) % N]);
        wn_session_close(sessions[i]);
    }
}

static void check_model(const wn_model *m, wn_compute *c)
{
    static alone a;
    run_alone(m, c, &a);
    for (size_t n = 1; n <= N; n++)
        check_together(m, c, &a, 3 * n, n);
    for (size_t k = 0; k < N; k++)
        wn_strbuf_free(&a.end[k]);
}

static void check_isa(const wn_compute_options *options, const char *gguf)
{
    wn_compute *c = NULL;
    wn_model *m = NULL;
    if (wn_compute_open(&c, options, NULL) != WN_OK) {
        printf("%s: not on this machine\n", options->isa);
        return;
    }
    WN_ASSERT_OK(wn_model_open_weights(&m, c, dir, err));
    check_model(m, c);
    wn_model_close(m);
    WN_ASSERT_OK(wn_model_open_weights(&m, c, gguf, err));
    check_model(m, c);
    wn_model_close(m);
    wn_compute_close(c);
}

/* Plain and packed weights, on every set. */
static void test_bits(void **state)
{
    (void)state;
    static const char *const isas[] = {"ref",        "avx2", "avx512",
                                       "avx512bf16", "amx",  "amx-emulated"};
    checkpoint_shape shape = tiny_shape(true, false);
    wn_strbuf b = {0};
    char path[48];
    shape.q8_0 = true;
    tiny_gguf(&b, "llama", &shape, NULL, NULL);
    const int fd = wn_test_memory_file(b.data, b.len, path);
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++)
        check_isa(&(wn_compute_options){.isa = isas[i], .n_threads = 2}, path);
    check_isa(&(wn_compute_options){.n_threads = 2, .exact = true}, path);
    close(fd);
    wn_strbuf_free(&b);
}

static wn_session *open_in(wn_kv_pool *pool, const wn_dms_heads *h, size_t n_start)
{
    wn_session *s = NULL;
    const wn_session_options o = {.n_chunk = 32, .heads = h, .pool = pool};
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &o, err));
    append(s, ids, n_start);
    return s;
}

static wn_kv_pool *open_pool(size_t n_pages)
{
    wn_kv_pool *pool = NULL;
    const size_t page = 64 * 2 * TINY_HEAD * sizeof(float);
    WN_ASSERT_OK(wn_session_pool_open(&pool, model, compute, WN_KV_F32, n_pages * page, err));
    return pool;
}

/* The sessions, and what they were before a call that has to leave them so. */
typedef struct witness {
    wn_session *s[3];
    wn_strbuf states[3];
    float logits[3][TINY_VOCAB];
    wn_kv_pool *pool;
    size_t n_used;
} witness;

static witness witness_of(wn_session *const *s, wn_kv_pool *pool)
{
    witness w = {.pool = pool, .n_used = wn_kv_pool_n_used(pool)};
    for (size_t i = 0; i < 3; i++) {
        w.s[i] = s[i];
        w.states[i] = snapshot_of(s[i]);
        memcpy(w.logits[i], wn_session_logits(s[i]), sizeof w.logits[i]);
    }
    return w;
}

static void assert_refused(witness *w, const int32_t next[3], wn_status status, size_t which,
                           const char *text)
{
    static float logits[3][TINY_VOCAB];
    wn_error error = {0};
    size_t found = 99;
    assert_int_equal(wn_sessions_decode(w->s, 3, next, logits[0], &found, &error), status);
    assert_int_equal(found, which);
    assert_non_null(strstr(error.text, text));
    assert_int_equal(wn_sessions_decode(w->s, 3, next, logits[0], NULL, NULL), status);
    for (size_t i = 0; i < 3; i++) {
        assert_same_state(w->s[i], &w->states[i]);
        assert_memory_equal(wn_session_logits(w->s[i]), w->logits[i], sizeof w->logits[i]);
        wn_strbuf_free(&w->states[i]);
    }
    assert_int_equal(wn_kv_pool_n_used(w->pool), w->n_used);
}

/* Room for one more page of every list, which the first two need. */
static void test_limit(void **state)
{
    (void)state;
    const size_t lists = TINY_LAYERS * TINY_KV;
    const int32_t next[3] = {1, 2, 3}, bad[3] = {1, 2, TINY_VOCAB};
    float logits[3][TINY_VOCAB], expected[TINY_VOCAB];
    wn_kv_pool *pool = open_pool(4 * lists);
    wn_session *s[3] = {open_in(pool, NULL, 64), open_in(pool, NULL, 64), open_in(pool, NULL, 3)};
    witness w = witness_of(s, pool);
    assert_refused(&w, next, WN_LIMIT, 1, "no room for 1 more tokens");
    w = witness_of(s, pool);
    assert_refused(&w, bad, WN_INVALID, 2, "id 100");
    WN_ASSERT_OK(wn_sessions_decode((wn_session *[]){s[2], s[1]}, 2, next, logits[0], NULL, err));
    w = witness_of(s, pool); /* now it is the first one that has none */
    assert_refused(&w, next, WN_LIMIT, 0, "no room for 1 more tokens");
    memcpy(expected, logits[0], sizeof expected);
    assert_int_equal(wn_session_truncate(s[2], 3), 3);
    WN_ASSERT_OK(wn_session_decode(s[2], 1, err)); /* what it was given there */
    assert_memory_equal(wn_session_logits(s[2]), expected, sizeof expected);
    for (size_t i = 0; i < 3; i++)
        wn_session_close(s[i]);
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_kv_pool_close(pool);
}

/* A session that is full. */
static void test_capacity(void **state)
{
    (void)state;
    const int32_t next[3] = {1, 2, 3};
    wn_kv_pool *pool = open_pool(100);
    wn_session *s[3] = {open_in(pool, NULL, 64), open_in(pool, &heads[1], TINY_CTX),
                        open_in(pool, NULL, 3)};
    witness w = witness_of(s, pool);
    assert_refused(&w, next, WN_LIMIT, 1, "160 of 160 are taken");
    for (size_t i = 0; i < 3; i++)
        wn_session_close(s[i]);
    wn_kv_pool_close(pool);
}

/* One session of a crowd in a small pool. */
typedef struct member {
    wn_session *s;
    size_t n_read, heads;
} member;

static uint32_t random_state = 7;

static size_t random_below(size_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

/* Its logits are those of a session that does the same alone, in a pool of its own. */
static void check_member(const member *x)
{
    const size_t length = wn_session_length(x->s);
    wn_session *s = open_with(model, compute, x->heads ? &heads[x->heads] : NULL, WN_KV_F32, 32);
    append(s, wn_session_ids(x->s), x->n_read);
    for (size_t i = x->n_read; i < length; i++)
        WN_ASSERT_OK(wn_session_decode(s, wn_session_ids(x->s)[i], err));
    assert_memory_equal(wn_session_logits(s), wn_session_logits(x->s), TINY_VOCAB * sizeof(float));
    wn_session_close(s);
}

static bool begin(member *x, wn_kv_pool *pool)
{
    *x = (member){.n_read = 1 + random_below(TINY_CTX - 20), .heads = random_below(4)};
    const wn_session_options o = {
        .n_chunk = 32, .heads = x->heads ? &heads[x->heads] : NULL, .pool = pool};
    WN_ASSERT_OK(wn_session_open(&x->s, model, compute, &o, err));
    if (wn_session_append(x->s, ids, x->n_read, NULL, NULL, NULL) == WN_OK)
        return true;
    wn_session_close(x->s);
    x->s = NULL;
    return false;
}

/* Sessions come and go and share pages and a limit that they often meet. */
static void test_crowd(void **state)
{
    (void)state;
    enum { N_LIVE = 12, N_TURNS = 400 };
    static float logits[N][TINY_VOCAB];
    member live[N_LIVE] = {0};
    size_t n_steps = 0, n_refused = 0;
    wn_kv_pool *pool = open_pool(110);
    for (size_t turn = 0; turn < N_TURNS; turn++) {
        member *x = &live[random_below(N_LIVE)], *y = &live[random_below(N_LIVE)];
        if (x->s && (random_below(8) == 0 || wn_session_length(x->s) == TINY_CTX)) {
            check_member(x);
            wn_session_close(x->s);
            *x = (member){0};
        } else if (!x->s && y->s) {
            *x = *y;
            WN_ASSERT_OK(wn_session_fork(&x->s, y->s, err));
        } else if (!x->s) {
            (void)begin(x, pool);
        }
        wn_session *together[N];
        int32_t next[N];
        size_t n = 0, which = 0;
        for (size_t i = 0; i < N_LIVE && n < N; i++)
            if (live[i].s && random_below(3) && wn_session_length(live[i].s) < TINY_CTX) {
                next[n] = (int32_t)random_below(TINY_VOCAB);
                together[n++] = live[i].s;
            }
        if (n == 0)
            continue;
        const wn_status status = wn_sessions_decode(together, n, next, logits[0], &which, NULL);
        assert_true(status == WN_OK || (status == WN_LIMIT && which < n));
        n_steps += status == WN_OK && n > 1;
        n_refused += status == WN_LIMIT;
    }
    assert_true(n_steps > N_TURNS / 4 && n_refused > N_TURNS / 20);
    for (size_t i = 0; i < N_LIVE; i++) {
        if (live[i].s)
            check_member(&live[i]);
        wn_session_close(live[i].s);
    }
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_kv_pool_close(pool);
}

static void test_token_path_does_not_allocate(void **state)
{
    (void)state;
    static float logits[2][TINY_VOCAB];
    wn_session *s[2] = {open_kind(model, compute, 4), open_kind(model, compute, 1)};
    const size_t before = wn_alloc_count();
    for (int32_t i = 0; i < 30; i++)
        WN_ASSERT_OK(wn_sessions_decode(s, 2, (int32_t[]){i, i + 1}, logits[0], NULL, err));
    assert_int_equal(wn_alloc_count(), before);
    wn_session_close(s[0]);
    wn_session_close(s[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_token_path_does_not_allocate),
    };
    return cmocka_run_group_tests(tests, open_all, tiny_heads_close);
}
