/* Every unit runs once, on a worker below the pool's size, and run() returns only after the last.
 */
#include "tests/alloc_failure.h"

#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/thread_pool.h"

typedef struct loop {
    atomic_int *ran;       /* per unit */
    size_t *plain;         /* per unit, without atomics: TSan checks the hand-over */
    atomic_size_t workers; /* bit per worker seen */
    size_t n_workers;
} loop;

static void body(void *ctx, size_t unit, size_t worker)
{
    loop *l = ctx;
    if (worker >= l->n_workers)
        return; /* leaves ran[unit] at 0: the test fails */
    atomic_fetch_add(&l->ran[unit], 1);
    atomic_fetch_or(&l->workers, (size_t)1 << worker);
    l->plain[unit] += unit * unit + 1;
}

static void run_loop(wn_thread_pool *pool, size_t n_units)
{
    loop l = {.ran = wn_alloc(n_units, sizeof(atomic_int)),
              .plain = wn_alloc(n_units, sizeof(size_t)),
              .n_workers = wn_thread_pool_size(pool)};
    wn_thread_pool_run(pool, n_units, body, &l);
    for (size_t i = 0; i < n_units; i++) {
        assert_int_equal(atomic_load(&l.ran[i]), 1);
        assert_int_equal(l.plain[i], i * i + 1);
    }
    assert_int_equal(atomic_load(&l.workers) != 0, n_units != 0);
    free(l.ran);
    free(l.plain);
}

static void test_sizes(void **state)
{
    (void)state;
    for (size_t n_threads = 1; n_threads <= 8; n_threads++) {
        wn_thread_pool *pool = NULL;
        WN_ASSERT_OK(wn_thread_pool_open(&pool, n_threads, err));
        assert_int_equal(wn_thread_pool_size(pool), n_threads);
        static const size_t sizes[] = {0, 1, 2, 3, 31, 33, 1000, 5000};
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            run_loop(pool, sizes[i]);
        wn_thread_pool_close(pool);
    }
    wn_thread_pool_close(NULL);
}

static void test_default_size(void **state)
{
    (void)state;
    wn_thread_pool *pool = NULL;
    WN_ASSERT_OK(wn_thread_pool_open(&pool, 0, err));
    assert_true(wn_thread_pool_size(pool) >= 1);
    run_loop(pool, 100);
    wn_thread_pool_close(pool);
}

/* Many short loops: the hand-over itself, awake and asleep. ctx dies with each run. */
static void test_many_short_loops(void **state)
{
    (void)state;
    wn_thread_pool *pool = NULL;
    WN_ASSERT_OK(wn_thread_pool_open(&pool, 4, err));
    for (size_t i = 0; i < 4000; i++) {
        run_loop(pool, 1 + i % 9);
        if (i % 500 == 0)
            usleep(3000); /* past the spin: workers sleep */
    }
    wn_thread_pool_close(pool);
}

static void test_open_close(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) { /* with threads that have not begun to wait yet */
        wn_thread_pool *pool = NULL;
        WN_ASSERT_OK(wn_thread_pool_open(&pool, 1 + (size_t)i % 5, err));
        if (i % 2)
            run_loop(pool, 3);
        wn_thread_pool_close(pool);
    }
}

/* One reduction with scratch per worker, as kernels do. */
typedef struct sum {
    long partial[4][16]; /* a cache line and more apart */
} sum;

static void add_unit(void *ctx, size_t unit, size_t worker)
{
    sum *s = ctx;
    s->partial[worker][0] += (long)unit;
}

static void test_scratch_per_worker(void **state)
{
    (void)state;
    wn_thread_pool *pool = NULL;
    WN_ASSERT_OK(wn_thread_pool_open(&pool, 4, err));
    for (int round = 0; round < 200; round++) {
        sum s = {{{0}}};
        wn_thread_pool_run(pool, 1001, add_unit, &s);
        assert_int_equal(s.partial[0][0] + s.partial[1][0] + s.partial[2][0] + s.partial[3][0],
                         1000 * 1001 / 2);
    }
    wn_thread_pool_close(pool);
}

static wn_status open_close(void *ctx, wn_error *err)
{
    (void)ctx;
    wn_thread_pool *pool = NULL;
    WN_TRY(wn_thread_pool_open(&pool, 4, err));
    wn_thread_pool_close(pool);
    return WN_OK;
}

static void test_each_alloc_fails(void **state)
{
    (void)state;
    wn_test_each_alloc_fails(open_close, NULL);
}

static void test_limit(void **state)
{
    (void)state;
    wn_thread_pool *pool = NULL;
    wn_error err = {0};
    assert_int_equal(wn_thread_pool_open(&pool, WN_THREAD_POOL_MAX + 1, &err), WN_LIMIT);
    assert_non_null(strstr(err.text, "4097"));
    assert_int_equal(wn_thread_pool_open(&pool, SIZE_MAX, NULL), WN_LIMIT);
    assert_null(pool);
}

/* Far more threads than processors: whoever does not get one must not be waited for in vain. */
static void test_more_threads_than_processors(void **state)
{
    (void)state;
    wn_thread_pool *pool = NULL;
    WN_ASSERT_OK(wn_thread_pool_open(&pool, 60, err));
    for (size_t i = 0; i < 300; i++)
        run_loop(pool, 1 + i % 150);
    wn_thread_pool_close(pool);
}

/* A body that runs a loop of a pool of its own: an embedder's pool beside the generator's. */
typedef struct nested {
    wn_thread_pool *inner[4]; /* per worker of the outer pool */
    atomic_int n_units;
} nested;

static void count_inner(void *ctx, size_t unit, size_t worker)
{
    (void)unit, (void)worker;
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void run_inner(void *ctx, size_t unit, size_t worker)
{
    nested *n = ctx;
    wn_thread_pool_run(n->inner[worker], unit, count_inner, &n->n_units);
}

static void test_nested_pools(void **state)
{
    (void)state;
    wn_thread_pool *outer = NULL;
    nested n = {0};
    WN_ASSERT_OK(wn_thread_pool_open(&outer, 4, err));
    for (size_t i = 0; i < 4; i++)
        WN_ASSERT_OK(wn_thread_pool_open(&n.inner[i], 1 + i, err));
    for (int round = 0; round < 50; round++) {
        atomic_store(&n.n_units, 0);
        wn_thread_pool_run(outer, 20, run_inner, &n);
        assert_int_equal(atomic_load(&n.n_units), 19 * 20 / 2);
    }
    for (size_t i = 0; i < 4; i++)
        wn_thread_pool_close(n.inner[i]);
    wn_thread_pool_close(outer);
}

/* A helper that kept the others waiting stays away for a while: loops then do without it. */
static void late_helper(void *ctx, size_t unit, size_t worker)
{
    (void)unit;
    if (worker == 0) {
        usleep(100); /* so that the helper gets a unit */
        return;
    }
    atomic_store((atomic_int *)ctx, 1);
    usleep(5000);
}

static void note_worker(void *ctx, size_t unit, size_t worker)
{
    (void)unit;
    usleep(50);
    if (worker != 0)
        atomic_store((atomic_int *)ctx, 1);
}

static void test_late_helper_rests(void **state)
{
    (void)state;
    wn_thread_pool *pool = NULL;
    WN_ASSERT_OK(wn_thread_pool_open(&pool, 2, err));
    int n_late = 0, n_without = 0;
    const int64_t end =
        wn_clock_ns() + 20000000000; /* the helper may have to wait for a processor */
    for (int i = 0; i < 20 || (wn_clock_ns() < end && (n_late == 0 || n_without == 0)); i++) {
        atomic_int helped = 0;
        wn_thread_pool_run(pool, 8, late_helper, &helped);
        n_late += atomic_load(&helped);
        atomic_store(&helped, 0);
        wn_thread_pool_run(pool, 8, note_worker, &helped);
        n_without += !atomic_load(&helped);
    }
    assert_true(n_late > 0);
    assert_true(n_without > 0);
    wn_thread_pool_close(pool); /* ends a rest */
}

/* Threads of the pool may run wherever the process may, and so may the caller afterwards. */
static void note_affinity(void *ctx, size_t unit, size_t worker)
{
    cpu_set_t set;
    (void)unit, (void)worker;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || !CPU_EQUAL(&set, (cpu_set_t *)ctx))
        abort();
    usleep(100);
}

static void test_affinity(void **state)
{
    (void)state;
    cpu_set_t before, after;
    wn_thread_pool *pool = NULL;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    WN_ASSERT_OK(wn_thread_pool_open(&pool, 3, err));
    wn_thread_pool_run(pool, 30, note_affinity, &before);
    wn_thread_pool_close(pool);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_default_size),
        cmocka_unit_test(test_many_short_loops),
        cmocka_unit_test(test_open_close),
        cmocka_unit_test(test_scratch_per_worker),
        cmocka_unit_test(test_each_alloc_fails),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_more_threads_than_processors),
        cmocka_unit_test(test_nested_pools),
        cmocka_unit_test(test_late_helper_rests),
        cmocka_unit_test(test_affinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
