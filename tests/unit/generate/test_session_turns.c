/* Threads that read and decode at the same time: each gets the bits that it gets alone, steps are
 * shared, turns and steps alternate, and who reads the same text waits for who reads it already. */
#include <pthread.h>
#include <stdatomic.h>

#include "generate/session_turns.h"
#include "tests/unit/generate/tiny_heads.h"

enum { N = WN_SESSIONS_MAX, N_STEPS = 12, N_CHUNK = 16 };

static wn_session_turns *turns;
static wn_dms_point point = {.window = 33};
static wn_dms_heads heads;

static wn_session *open_one(size_t k)
{
    wn_session *s = NULL;
    const wn_session_options o = {.n_chunk = N_CHUNK, .heads = k % 2 ? &heads : NULL};
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &o, err));
    return s;
}

static int open_all(void **state)
{
    if (tiny_heads_open(state) != 0)
        return -1;
    heads = linear_heads(&point, 0);
    return wn_session_turns_open(&turns, model, N, NULL) == WN_OK ? 0 : -1;
}

static int close_all(void **state)
{
    wn_session_turns_close(turns);
    return tiny_heads_close(state);
}

/* Threads cannot fail a test: they say what went wrong. */
typedef struct worker {
    pthread_t thread;
    size_t k;
    wn_turn turn;
    wn_session *session;
    pthread_barrier_t *all_joined;
    float (*expected)[TINY_VOCAB];
    size_t n_wrong;
    wn_status status;
} worker;

static size_t prompt_length(size_t k)
{
    return 20 + 17 * k;
}

static int32_t next_id(size_t k, size_t step)
{
    return (int32_t)((k * 31 + step * 17 + 5) % TINY_VOCAB);
}

static wn_status pass(void *ctx, uint64_t done, uint64_t total)
{
    if (done < total)
        wn_turn_pass(ctx);
    return WN_OK;
}

static wn_status read_and_decode(worker *w, wn_turn *turn)
{
    wn_turn_take(turn, NULL);
    wn_status status =
        wn_session_append(w->session, ids + w->k, prompt_length(w->k), pass, turn, NULL);
    wn_turn_give(turn);
    if (w->all_joined) /* nobody waits for a turn any more: that would wait for a step */
        pthread_barrier_wait(w->all_joined);
    wn_turn_join(turn);
    if (w->all_joined)
        pthread_barrier_wait(w->all_joined);
    for (size_t step = 0; status == WN_OK && step < N_STEPS; step++) {
        status = wn_turn_decode(turn, w->session, next_id(w->k, step), NULL);
        const float *logits = wn_session_logits(w->session);
        if (!turn)
            memcpy(w->expected[step], logits, sizeof w->expected[step]);
        w->n_wrong += memcmp(logits, w->expected[step], sizeof w->expected[step]) != 0;
        if (!w->all_joined && step % 5 == w->k % 5) {
            wn_turn_away(turn);
            usleep(200);
            wn_turn_back(turn);
        }
    }
    wn_turn_leave(turn);
    return status;
}

static void *work(void *arg)
{
    worker *w = arg;
    w->status = read_and_decode(w, &w->turn);
    return NULL;
}

static void run_together(float (*expected)[N_STEPS][TINY_VOCAB], pthread_barrier_t *all_joined)
{
    worker workers[N];
    for (size_t k = 0; k < N; k++) {
        workers[k] = (worker){.k = k,
                              .turn = {.turns = turns},
                              .session = open_one(k),
                              .all_joined = all_joined,
                              .expected = expected[k]};
        assert_int_equal(pthread_create(&workers[k].thread, NULL, work, &workers[k]), 0);
    }
    for (size_t k = 0; k < N; k++) {
        pthread_join(workers[k].thread, NULL);
        assert_int_equal(workers[k].status, WN_OK);
        assert_int_equal(workers[k].n_wrong, 0);
        wn_session_close(workers[k].session);
    }
}

static void test_same_bits(void **state)
{
    (void)state;
    static float expected[N][N_STEPS][TINY_VOCAB];
    wn_turn_stats before, after;
    for (size_t k = 0; k < N; k++) {
        worker alone = {.k = k, .session = open_one(k), .expected = expected[k]};
        assert_int_equal(read_and_decode(&alone, NULL), WN_OK);
        wn_session_close(alone.session);
    }
    for (int round = 0; round < 20; round++)
        run_together(expected, NULL);
    /* All who have joined are in every step. */
    pthread_barrier_t all_joined;
    pthread_barrier_init(&all_joined, NULL, N);
    wn_session_turns_stats(turns, &before);
    run_together(expected, &all_joined);
    wn_session_turns_stats(turns, &after);
    pthread_barrier_destroy(&all_joined);
    assert_int_equal(after.n_steps - before.n_steps, N_STEPS);
    assert_int_equal(after.n_tokens - before.n_tokens, N * N_STEPS);
    assert_int_equal(after.n_joined, 0);
}

/* Alternation ---------------------------------------------------------------------------------- */

typedef struct writer {
    wn_turn turn;
    wn_session *session;
    pthread_barrier_t joined;
    atomic_bool end;
    wn_status status;
} writer;

static void *write_on(void *arg)
{
    writer *w = arg;
    wn_turn_join(&w->turn);
    pthread_barrier_wait(&w->joined);
    while (!atomic_load(&w->end) && w->status == WN_OK) {
        if (wn_session_length(w->session) == TINY_CTX)
            wn_session_truncate(w->session, 1); /* its pool is its own */
        w->status = wn_turn_decode(&w->turn, w->session, 1, NULL);
    }
    wn_turn_leave(&w->turn);
    return NULL;
}

static uint64_t steps_so_far(void)
{
    wn_turn_stats s;
    wn_session_turns_stats(turns, &s);
    return s.n_steps;
}

typedef struct reader {
    wn_turn turn;
    size_t n_passes, n_wrong;
} reader;

/* Exactly one step comes between two chunks. */
static wn_status pass_and_count(void *ctx, uint64_t done, uint64_t total)
{
    reader *r = ctx;
    const uint64_t before = steps_so_far();
    if (done == total)
        return WN_OK;
    wn_turn_pass(&r->turn);
    r->n_passes++;
    r->n_wrong += steps_so_far() != before + 1;
    return WN_OK;
}

static void test_alternation(void **state)
{
    (void)state;
    writer w = {.turn = {.turns = turns}, .session = open_one(0)};
    reader r = {.turn = {.turns = turns}};
    wn_session *s = open_one(0);
    pthread_t thread;
    append(w.session, ids, 1);
    pthread_barrier_init(&w.joined, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    pthread_barrier_wait(&w.joined);
    wn_turn_take(&r.turn, NULL);
    WN_ASSERT_OK(wn_session_append(s, ids, TINY_CTX, pass_and_count, &r, err));
    atomic_store(&w.end, true);
    wn_turn_give(&r.turn);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&w.joined);
    assert_int_equal(w.status, WN_OK);
    assert_int_equal(r.n_passes, TINY_CTX / N_CHUNK - 1);
    assert_int_equal(r.n_wrong, 0);
    wn_session_close(s);
    wn_session_close(w.session);
}

/* The same text ----------------------------------------------------------------------------------
 */

typedef struct follower {
    pthread_t thread;
    wn_turn turn;
    const char *text;
    atomic_bool begun;
} follower;

static void *follow(void *arg)
{
    follower *f = arg;
    wn_turn_take(&f->turn, f->text);
    atomic_store(&f->begun, true);
    wn_turn_give(&f->turn);
    return NULL;
}

static void test_same_text(void **state)
{
    (void)state;
    char name[] = "notes"; /* names are compared, not places */
    wn_turn first = {.turns = turns};
    follower same = {.turn = {.turns = turns}, .text = name};
    follower other = {.turn = {.turns = turns}, .text = "letters"};
    wn_turn_take(&first, "notes");
    assert_int_equal(pthread_create(&same.thread, NULL, follow, &same), 0);
    usleep(20000);
    assert_int_equal(pthread_create(&other.thread, NULL, follow, &other), 0);
    while (!atomic_load(&other.begun)) /* although it came later */
        wn_turn_pass(&first);
    for (int i = 0; i < 100; i++)
        wn_turn_pass(&first);
    assert_false(atomic_load(&same.begun));
    wn_turn_give(&first);
    pthread_join(same.thread, NULL);
    pthread_join(other.thread, NULL);
    assert_true(atomic_load(&same.begun));
}

/* Errors -----------------------------------------------------------------------------------------
 */

typedef struct fuller {
    pthread_t thread;
    wn_turn turn;
    wn_session *session;
    pthread_barrier_t *joined;
    wn_status status;
    wn_error err;
} fuller;

static void *one_token(void *arg)
{
    fuller *f = arg;
    wn_turn_join(&f->turn);
    pthread_barrier_wait(f->joined);
    f->status = wn_turn_decode(&f->turn, f->session, 1, &f->err);
    wn_turn_leave(&f->turn);
    return NULL;
}

static void test_error_is_ones_own(void **state)
{
    (void)state;
    fuller all[3];
    pthread_barrier_t joined;
    pthread_barrier_init(&joined, NULL, 3);
    for (size_t i = 0; i < 3; i++) {
        all[i] = (fuller){.turn = {.turns = turns}, .session = open_one(0), .joined = &joined};
        append(all[i].session, ids, i == 1 ? TINY_CTX : 5);
        assert_int_equal(pthread_create(&all[i].thread, NULL, one_token, &all[i]), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        pthread_join(all[i].thread, NULL);
        assert_int_equal(all[i].status, i == 1 ? WN_LIMIT : WN_OK);
        assert_int_equal(wn_session_length(all[i].session), i == 1 ? TINY_CTX : 6);
        assert_true((all[i].err.text[0] != '\0') == (i == 1));
        wn_session_close(all[i].session);
    }
    pthread_barrier_destroy(&joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_alternation),
        cmocka_unit_test(test_same_text),
        cmocka_unit_test(test_error_is_ones_own),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
