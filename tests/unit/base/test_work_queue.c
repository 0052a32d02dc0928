/* Order, bounds, shutting down; nothing is lost or seen twice with many pushers and poppers. */
#include "tests/alloc_failure.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/work_queue.h"

static int items[64];

static void test_bounds_and_order(void **state)
{
    (void)state;
    wn_work_queue *q = NULL;
    WN_ASSERT_OK(wn_work_queue_open(&q, 3, err));
    for (int round = 0; round < 5; round++) { /* the ring wraps */
        for (int i = 0; i < 3; i++)
            assert_true(wn_work_queue_try_push(q, &items[i]));
        assert_false(wn_work_queue_try_push(q, &items[3]));
        assert_int_equal(wn_work_queue_length(q), 3);
        assert_ptr_equal(wn_work_queue_pop(q), &items[0]);
        assert_true(wn_work_queue_try_push(q, &items[3]));
        for (int i = 1; i < 4; i++)
            assert_ptr_equal(wn_work_queue_pop(q), &items[i]);
        assert_int_equal(wn_work_queue_length(q), 0);
    }
    wn_work_queue_close(q);
    wn_work_queue_close(NULL);
}

static void test_shut_drains(void **state)
{
    (void)state;
    wn_work_queue *q = NULL;
    WN_ASSERT_OK(wn_work_queue_open(&q, 4, err));
    assert_true(wn_work_queue_try_push(q, &items[0]));
    assert_true(wn_work_queue_try_push(q, &items[1]));
    wn_work_queue_shut(q);
    assert_false(wn_work_queue_try_push(q, &items[2]));
    assert_ptr_equal(wn_work_queue_pop(q), &items[0]);
    assert_ptr_equal(wn_work_queue_pop(q), &items[1]);
    assert_null(wn_work_queue_pop(q));
    assert_null(wn_work_queue_pop(q));
    wn_work_queue_close(q);
}

static void test_open_refuses(void **state)
{
    (void)state;
    wn_work_queue *q = NULL;
    wn_error err = {0};
    assert_int_equal(wn_work_queue_open(&q, 0, &err), WN_INVALID);
    assert_int_equal(wn_work_queue_open(&q, SIZE_MAX / 2, NULL), WN_NO_MEMORY);
    assert_null(q);
}

enum { N_PUSHERS = 4, N_POPPERS = 4, N_EACH = 20000 };

typedef struct stress {
    wn_work_queue *q;
    unsigned char *bytes;      /* item k of pusher p is &bytes[p * N_EACH + k] */
    atomic_int *seen;          /* how often each item came out */
    atomic_int n_out_of_order; /* one pusher's items must come to one popper in order */
    atomic_int next_pusher;
} stress;

static void *push_all(void *argument)
{
    stress *s = argument;
    size_t first = (size_t)atomic_fetch_add(&s->next_pusher, 1) * N_EACH;
    for (size_t i = 0; i < N_EACH; i++)
        while (!wn_work_queue_try_push(s->q, &s->bytes[first + i]))
            sched_yield();
    return NULL;
}

static void *pop_all(void *argument)
{
    stress *s = argument;
    ptrdiff_t last[N_PUSHERS] = {-1, -1, -1, -1};
    for (;;) {
        unsigned char *item = wn_work_queue_pop(s->q);
        if (!item)
            return NULL;
        ptrdiff_t index = item - s->bytes;
        if (index <= last[index / N_EACH])
            atomic_fetch_add(&s->n_out_of_order, 1);
        last[index / N_EACH] = index;
        atomic_fetch_add(&s->seen[index], 1);
    }
}

static void test_stress(void **state)
{
    (void)state;
    stress s = {.bytes = wn_alloc(N_PUSHERS * N_EACH, 1),
                .seen = wn_alloc(N_PUSHERS * N_EACH, sizeof(atomic_int))};
    pthread_t pushers[N_PUSHERS], poppers[N_POPPERS];
    WN_ASSERT_OK(wn_work_queue_open(&s.q, 7, err));
    for (int i = 0; i < N_POPPERS; i++)
        assert_int_equal(pthread_create(&poppers[i], NULL, pop_all, &s), 0);
    for (int i = 0; i < N_PUSHERS; i++)
        assert_int_equal(pthread_create(&pushers[i], NULL, push_all, &s), 0);
    for (int i = 0; i < N_PUSHERS; i++)
        pthread_join(pushers[i], NULL);
    wn_work_queue_shut(s.q);
    for (int i = 0; i < N_POPPERS; i++)
        pthread_join(poppers[i], NULL);
    for (size_t i = 0; i < N_PUSHERS * N_EACH; i++)
        assert_int_equal(atomic_load(&s.seen[i]), 1);
    assert_int_equal(atomic_load(&s.n_out_of_order), 0);
    assert_int_equal(wn_work_queue_length(s.q), 0);
    wn_work_queue_close(s.q);
    free(s.bytes);
    free(s.seen);
}

static wn_status open_close(void *ctx, wn_error *err)
{
    (void)ctx;
    wn_work_queue *q = NULL;
    WN_TRY(wn_work_queue_open(&q, 128, err));
    wn_work_queue_close(q);
    return WN_OK;
}

static void test_each_alloc_fails(void **state)
{
    (void)state;
    wn_test_each_alloc_fails(open_close, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_and_order), cmocka_unit_test(test_shut_drains),
        cmocka_unit_test(test_open_refuses),     cmocka_unit_test(test_stress),
        cmocka_unit_test(test_each_alloc_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
