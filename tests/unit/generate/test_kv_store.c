/* The lists of keys and values: what is in log and tail after any number of tokens, however they
 * came in; memory that is given back; the pool below. */
#include "generate/kv_store.h"

#include "base/checked.h"
#include "tests/alloc_failure.h"
#include "tests/test_support.h"

enum { LAYERS = 2, HEADS = 3, DIM = 8, CTX = 600, CHUNK = 100, WINDOW = 70 };

static wn_compute *compute;

static int open_compute(void **state)
{
    (void)state;
    return wn_compute_open(&compute, &(wn_compute_options){.n_threads = 2}, NULL) == WN_OK ? 0 : -1;
}

static int close_compute(void **state)
{
    (void)state;
    wn_compute_close(compute);
    return 0;
}

static wn_kv_store *open_store(size_t window)
{
    wn_kv_store *s = NULL;
    const wn_kv_store_options o = {.format = WN_KV_F32,
                                   .head_dim = DIM,
                                   .n_layers = LAYERS,
                                   .n_kv_heads = HEADS,
                                   .n_ctx = CTX,
                                   .n_chunk = CHUNK,
                                   .window = window};
    WN_ASSERT_OK(wn_kv_store_open(&s, &o, err));
    return s;
}

static size_t keep_every = 3;

/* About every keep_every-th, and differently in every list. */
static bool kept(size_t layer, size_t head, size_t p)
{
    const uint64_t hash = ((uint64_t)p * 1000003u + layer * HEADS + head) * 0x9e3779b97f4a7c15u;
    return (hash >> 32) % keep_every == 0;
}

/* Tokens first .. first + n: a key says its position, layer and head, a value the same negated. */
static void append_to(wn_kv_store *s, size_t first, size_t n, bool dense)
{
    uint8_t evict[CHUNK * HEADS];
    float *k = wn_alloc(n * HEADS, DIM * sizeof *k), *v = wn_alloc(n * HEADS, DIM * sizeof *v);
    assert_true(k && v);
    WN_ASSERT_OK(wn_kv_store_extend(s, n, first + n, err));
    for (size_t layer = 0; layer < LAYERS; layer++) {
        for (size_t i = 0; i < n * HEADS * DIM; i++) {
            k[i] = (float)((first + i / DIM / HEADS) * 100 + layer * 10 + i / DIM % HEADS);
            v[i] = -k[i];
        }
        wn_kv_store_write(s, compute, layer, k, v, n);
        for (size_t i = 0; i < n * HEADS; i++)
            evict[i] = !kept(layer, i % HEADS, first + i / HEADS);
        if (!dense)
            wn_kv_store_decide(s, layer, first, n, evict);
    }
    wn_kv_store_advance(s, n, first + n);
    free(k);
    free(v);
}

static void append(wn_kv_store *s, size_t first, size_t n)
{
    append_to(s, first, n, false);
}

static void expect_slot(const wn_attention_args *a, const uint8_t *page, size_t slot,
                        size_t position, size_t layer, size_t head)
{
    float k[DIM], v[DIM];
    wn_kv_read(a->layout, page, slot, k, v);
    assert_true(k[0] == (float)(position * 100 + layer * 10 + head));
    assert_true(v[DIM - 1] == -k[0]);
}

static void expect_state(wn_kv_store *s, size_t length)
{
    const size_t first = length > WINDOW ? length - WINDOW : 0;
    for (size_t layer = 0; layer < LAYERS; layer++) {
        wn_attention_args a = {0};
        wn_kv_store_view(s, layer, 0, &a);
        assert_int_equal(a.tail_first, first);
        assert_int_equal(a.n_tail, length - first);
        assert_int_equal(a.window, WINDOW);
        for (size_t h = 0; h < HEADS; h++) {
            size_t n_log = 0;
            for (size_t p = 0; p < first; p++)
                if (kept(layer, h, p)) {
                    expect_slot(&a, a.heads[h].log[n_log / WN_KV_SLOTS], n_log % WN_KV_SLOTS, p,
                                layer, h);
                    n_log++;
                }
            assert_int_equal(a.heads[h].n_log, n_log);
            for (size_t p = first; p < length; p++) {
                const size_t page = p / WN_KV_SLOTS - first / WN_KV_SLOTS;
                expect_slot(&a, a.heads[h].tail[page], p % WN_KV_SLOTS, p, layer, h);
                assert_int_equal(a.heads[h].evicted[page] >> p % WN_KV_SLOTS & 1,
                                 !kept(layer, h, p));
            }
        }
    }
}

static void test_log_and_tail(void **state)
{
    (void)state;
    static const size_t cuts[][2] = {{1, 1}, {7, 64}, {CHUNK, CHUNK}, {64, 33}};
    for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
        wn_kv_store *s = open_store(WINDOW);
        for (size_t length = 0, turn = 0; length < CTX; turn++) {
            const size_t step = cuts[c][turn % 2], left = CTX - length;
            append(s, length, step < left ? step : left);
            length += step < left ? step : left;
            expect_state(s, length);
        }
        wn_kv_store_close(s);
    }
}

static void test_dense(void **state)
{
    (void)state;
    wn_kv_store *s = open_store(0);
    for (size_t length = 0; length < CTX; length += CHUNK) {
        append_to(s, length, CHUNK, true);
        for (size_t layer = 0; layer < LAYERS; layer++) {
            wn_attention_args a = {0};
            wn_kv_store_view(s, layer, 0, &a);
            assert_int_equal(a.tail_first, 0);
            assert_int_equal(a.n_tail, length + CHUNK);
            for (size_t h = 0; h < HEADS; h++) {
                assert_int_equal(a.heads[h].n_log, 0);
                assert_null(a.heads[h].evicted);
                for (size_t p = 0; p < length + CHUNK; p++)
                    expect_slot(&a, a.heads[h].tail[p / WN_KV_SLOTS], p % WN_KV_SLOTS, p, layer, h);
            }
        }
    }
    wn_kv_store_close(s);
}

static void test_memory(void **state)
{
    (void)state;
    keep_every = 8;
    wn_kv_store *dense = open_store(0), *thin = open_store(WINDOW);
    for (size_t length = 0; length < CTX; length += 50) {
        append_to(dense, length, 50, true);
        append(thin, length, 50);
    }
    /* 70 + 530 / 8 of 600 keys, the last chunk and partial pages. */
    assert_true(wn_kv_store_bytes(thin) * 2 < wn_kv_store_bytes(dense));
    assert_int_equal(wn_kv_store_truncate(dense, 100), 100);
    assert_int_equal(wn_kv_store_truncate(thin, 100), 0); /* its tokens are gone */
    assert_int_equal(wn_kv_store_bytes(thin), 0);
    const size_t page = 2 * WN_KV_SLOTS * DIM * sizeof(float);
    assert_int_equal(wn_kv_store_bytes(dense), LAYERS * HEADS * 2 * (page + sizeof(void *)));
    append(thin, 0, 60);
    assert_int_equal(wn_kv_store_truncate(thin, 50), 50); /* nothing has left the window */
    append(thin, 50, 100);
    append(thin, 150, 100);
    expect_state(thin, 250);
    wn_kv_store_close(dense);
    wn_kv_store_close(thin);
}

static void test_pool(void **state)
{
    (void)state;
    enum { PAGE = 4160, PER_BLOCK = (2 << 20) / PAGE, N = PER_BLOCK + 5 };
    static uint8_t *pages[N];
    wn_kv_pool *p = NULL;
    WN_ASSERT_OK(wn_kv_pool_open(&p, PAGE, N * PAGE + 4000, err));
    assert_int_equal(wn_kv_pool_max_bytes(p), N * PAGE);
    assert_int_equal(wn_kv_pool_bytes(p), 0);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(wn_kv_pool_n_free(p), N - i);
        pages[i] = wn_kv_pool_take(p);
        assert_int_equal((uintptr_t)pages[i] % 64, 0);
        memset(pages[i], (int)(i % 251), PAGE);
    }
    assert_int_equal(wn_kv_pool_n_free(p), 0);
    for (size_t i = 0; i < N; i++) /* they do not overlap */
        assert_true(pages[i][0] == i % 251 && pages[i][PAGE - 1] == i % 251);
    assert_int_equal(wn_kv_pool_bytes(p), 4 << 20);
    wn_kv_pool_give(p, pages[7]);
    wn_kv_pool_give(p, pages[3]);
    assert_ptr_equal(wn_kv_pool_take(p), pages[3]); /* the lowest first */
    assert_ptr_equal(wn_kv_pool_take(p), pages[7]);
    wn_kv_pool_hold(p, pages[7]);
    assert_true(wn_kv_pool_is_shared(p, pages[7]) && !wn_kv_pool_is_shared(p, pages[3]));
    wn_kv_pool_give(p, pages[7]);
    assert_false(wn_kv_pool_is_shared(p, pages[7]));
    for (size_t i = PER_BLOCK; i < N; i++)
        wn_kv_pool_give(p, pages[i]);
    assert_int_equal(wn_kv_pool_bytes(p), 4 << 20);
    wn_kv_pool_trim(p, 0);
    assert_int_equal(wn_kv_pool_bytes(p), 2 << 20);
    assert_int_equal(pages[0][0], 0);
    assert_int_equal(pages[PER_BLOCK - 1][5], (PER_BLOCK - 1) % 251);
    assert_ptr_equal(wn_kv_pool_take(p), pages[PER_BLOCK]);
    wn_kv_pool_give(p, pages[PER_BLOCK]);
    for (size_t i = 0; i < PER_BLOCK; i++)
        wn_kv_pool_give(p, pages[i]);
    wn_kv_pool_trim(p, 0);
    assert_int_equal(wn_kv_pool_bytes(p) + wn_kv_pool_n_used(p), 0);
    wn_thread_pool *threads = NULL;
    assert_int_equal(wn_thread_pool_open(&threads, 2, NULL), WN_OK);
    wn_kv_pool_prepare(p, 0, threads);
    assert_int_equal(wn_kv_pool_bytes(p), 0);
    pages[0] = wn_kv_pool_take(p);
    pages[0][0] = 7;
    wn_kv_pool_prepare(p, PER_BLOCK * wn_kv_pool_page_bytes(p), threads); /* one is not free */
    assert_int_equal(wn_kv_pool_bytes(p), 4 << 20);
    assert_int_equal(pages[0][0], 7);
    wn_kv_pool_give(p, pages[0]);
    wn_kv_pool_prepare(p, SIZE_MAX, threads);
    assert_int_equal(wn_kv_pool_n_used(p), 0);
    wn_kv_pool_trim(p, 0);
    assert_int_equal(wn_kv_pool_bytes(p), 0);
    wn_thread_pool_close(threads);
    wn_kv_pool_close(wn_kv_pool_share(p));
    wn_kv_pool_close(p);
    wn_kv_pool_close(NULL);
}

/* A pool for `tokens` dense ones. */
static wn_kv_pool *pool_for(size_t tokens)
{
    wn_kv_pool *p = NULL;
    const size_t page = 2 * WN_KV_SLOTS * DIM * sizeof(float);
    WN_ASSERT_OK(wn_kv_pool_open(&p, page, LAYERS * HEADS * page * (tokens / WN_KV_SLOTS), err));
    return p;
}

static wn_kv_store *open_in(wn_kv_pool *pool, size_t window)
{
    wn_kv_store *s = NULL;
    const wn_kv_store_options o = {.format = WN_KV_F32,
                                   .head_dim = DIM,
                                   .n_layers = LAYERS,
                                   .n_kv_heads = HEADS,
                                   .n_ctx = CTX,
                                   .n_chunk = CHUNK,
                                   .window = window,
                                   .pool = pool};
    WN_ASSERT_OK(wn_kv_store_open(&s, &o, err));
    return s;
}

/* Refused before anything is taken, and it goes on once there is room. */
static void test_limit(void **state)
{
    (void)state;
    keep_every = 3;
    wn_kv_pool *pool = pool_for(6 * WN_KV_SLOTS);
    wn_kv_store *a = open_in(pool, 0), *b = open_in(pool, WINDOW);
    wn_error error = {0};
    append_to(a, 0, 100, true);
    append_to(a, 100, 92, true);
    append(b, 0, 64);
    append(b, 64, 64);
    const size_t used = wn_kv_pool_n_used(pool);
    assert_int_equal(wn_kv_store_extend(a, 65, 257, &error), WN_LIMIT);
    assert_non_null(strstr(error.text, "pages are free"));
    assert_int_equal(wn_kv_store_extend(b, 30, 158, NULL), WN_LIMIT); /* may need one for the log */
    assert_int_equal(wn_kv_pool_n_used(pool), used);
    expect_state(b, 128);
    wn_kv_store_truncate(a, 64);
    append(b, 128, 30);
    append(b, 158, 42);
    expect_state(b, 200);
    wn_kv_store_close(a);
    wn_kv_store_close(b);
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_kv_pool_trim(pool, 0);
    assert_int_equal(wn_kv_pool_bytes(pool), 0);
    wn_kv_pool_close(pool);
}

/* Forks share what is there, part ways, and take copies of what they write into. */
static void test_fork(void **state)
{
    (void)state;
    keep_every = 3;
    for (size_t length = 40; length < 400; length += 45) {
        wn_kv_store *a = open_store(WINDOW), *b = NULL, *c = NULL;
        for (size_t at = 0; at < length; at += 20)
            append(a, at, at + 20 < length ? 20 : length - at);
        WN_ASSERT_OK(wn_kv_store_fork(&b, a, err));
        assert_int_equal(wn_kv_store_bytes(a), wn_kv_store_bytes(b));
        append(b, length, 3); /* into a's partial pages, were they not copied */
        WN_ASSERT_OK(wn_kv_store_fork(&c, b, err));
        expect_state(a, length);
        append(a, length, 5);
        append(a, length + 5, 90);
        wn_kv_store_close(b);
        expect_state(a, length + 95);
        expect_state(c, length + 3);
        append(c, length + 3, 71);
        wn_kv_store_close(a);
        expect_state(c, length + 74);
        wn_kv_store_close(c);
    }
}

static void test_fork_of_dense(void **state)
{
    (void)state;
    wn_kv_pool *pool = pool_for(4 * WN_KV_SLOTS);
    wn_kv_store *a = open_in(pool, 0), *b = NULL;
    append_to(a, 0, 100, true);
    WN_ASSERT_OK(wn_kv_store_fork(&b, a, err));
    assert_int_equal(wn_kv_pool_n_used(pool), 2 * LAYERS * HEADS);
    append_to(b, 100, 3, true);
    assert_int_equal(wn_kv_pool_n_used(pool), 3 * LAYERS * HEADS); /* the partial page */
    wn_kv_store_truncate(b, 70);
    append_to(b, 70, 1, true);
    wn_kv_store_truncate(b, 30);
    append_to(b, 30, 1, true); /* a page that was full is partial now, and a's */
    assert_int_equal(wn_kv_pool_n_used(pool), 3 * LAYERS * HEADS);
    wn_kv_store_close(b);
    assert_int_equal(wn_kv_pool_n_used(pool), 2 * LAYERS * HEADS);
    wn_kv_store_close(a);
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_kv_pool_close(pool);
}

static void test_save_and_load(void **state)
{
    (void)state;
    keep_every = 3;
    for (size_t length = 0; length < 400; length += 57) {
        wn_strbuf saved = {0}, again = {0};
        wn_kv_store *a = open_store(WINDOW), *b = open_store(WINDOW);
        for (size_t at = 0; at < length; at += 19) /* 57 = 3 * 19 */
            append(a, at, 19);
        append(b, 0, 100); /* goes */
        WN_ASSERT_OK(wn_kv_store_save(a, &saved, err));
        const uint8_t *bytes = (const uint8_t *)saved.data;
        const size_t first = wn_kv_store_tail_first(a);
        WN_ASSERT_OK(wn_kv_store_load(b, length, first, bytes, saved.len, err));
        expect_state(b, length);
        WN_ASSERT_OK(wn_kv_store_save(b, &again, err));
        assert_int_equal(again.len, saved.len);
        if (length)
            assert_memory_equal(again.data, saved.data, saved.len);
        append(b, length, 80);
        expect_state(b, length + 80);
        /* What is short, long or contradicts itself is refused. */
        if (length) {
            assert_int_equal(wn_kv_store_load(b, length, first, bytes, saved.len - 1, NULL),
                             WN_FORMAT);
            assert_int_equal(wn_kv_store_load(b, length, first, bytes, 3, NULL), WN_FORMAT);
            assert_int_equal(wn_kv_store_load(b, length + 1, first, bytes, saved.len, NULL),
                             WN_FORMAT);
            assert_int_equal(wn_kv_store_load(b, length, length, bytes, saved.len, NULL),
                             WN_FORMAT);
            assert_int_equal(wn_kv_store_load(b, CTX + 1, first, bytes, saved.len, NULL), WN_LIMIT);
        }
        assert_int_equal(wn_kv_store_bytes(b) == 0, length != 0); /* empty after a refusal */
        wn_strbuf_free(&saved);
        wn_strbuf_free(&again);
        wn_kv_store_close(a);
        wn_kv_store_close(b);
    }
}

static wn_status open_and_close(void *ctx, wn_error *err)
{
    wn_kv_store *s = NULL;
    wn_kv_store *fork = NULL;
    wn_strbuf bytes = {0};
    wn_status status = wn_kv_store_open(&s, ctx, err);
    if (status == WN_OK)
        status = wn_kv_store_extend(s, 9, 9, err);
    if (status == WN_OK)
        wn_kv_store_advance(s, 9, 9);
    if (status == WN_OK)
        status = wn_kv_store_fork(&fork, s, err);
    if (status == WN_OK)
        status = wn_kv_store_save(s, &bytes, err);
    wn_strbuf_free(&bytes);
    wn_kv_store_close(fork);
    wn_kv_store_close(s);
    return status;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    wn_kv_store_options o = {.format = WN_KV_INT8,
                             .head_dim = DIM,
                             .n_layers = LAYERS,
                             .n_kv_heads = HEADS,
                             .n_ctx = CTX,
                             .n_chunk = CHUNK,
                             .window = WINDOW};
    wn_test_each_alloc_fails(open_and_close, &o);
    wn_kv_store *s = NULL;
    o.n_ctx = SIZE_MAX / 64;
    assert_int_equal(wn_kv_store_open(&s, &o, NULL), WN_NO_MEMORY);
    wn_kv_store_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_and_tail),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_of_dense),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_compute, close_compute);
}
