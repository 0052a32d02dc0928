/* The lists of keys and values: what is in log and tail after any number of tokens, however they
 * came in; memory that is given back; the pool below. */
#include "generate/kv_store.h"

#include "base/checked.h"
#include "generate/kv_pool.h"
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
    wn_kv_store_extend(s, n);
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
    wn_kv_pool p;
    uint8_t *pages[5];
    WN_ASSERT_OK(wn_kv_pool_open(&p, 4160, 5, err)); /* no multiple of the system's page */
    for (size_t i = 0; i < 5; i++) {
        pages[i] = wn_kv_pool_take(&p);
        assert_int_equal((uintptr_t)pages[i] % 64, 0);
        for (size_t j = 0; j < 4160; j++)
            assert_int_equal(pages[i][j], 0);
        memset(pages[i], (int)i + 1, 4160);
    }
    assert_int_equal(wn_kv_pool_bytes(&p), 5 * 4160);
    wn_kv_pool_give(&p, pages[1]);
    wn_kv_pool_give(&p, pages[4]);
    wn_kv_pool_give(&p, pages[3]);
    wn_kv_pool_trim(&p); /* 3 and 4 are at the end; 1 is not */
    assert_int_equal(wn_kv_pool_bytes(&p), 3 * 4160);
    assert_ptr_equal(wn_kv_pool_take(&p), pages[1]);
    assert_int_equal(pages[0][4159], 1);
    assert_int_equal(pages[2][4159], 3);
    uint8_t *again = wn_kv_pool_take(&p);
    assert_ptr_equal(again, pages[3]);
    assert_int_equal(again[0] | again[4159], 0); /* new again */
    wn_kv_pool_close(&p);
}

static wn_status open_and_close(void *ctx, wn_error *err)
{
    wn_kv_store *s = NULL;
    const wn_status status = wn_kv_store_open(&s, ctx, err);
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
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_compute, close_compute);
}
