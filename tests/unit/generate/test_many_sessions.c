/* A thousand sessions made, read into, forked, written down, restored, cancelled and closed at
 * random over one pool whose limit is often met: those that live have the bits of a session that
 * was just told their tokens, and in the end the pool holds nothing. One thread for each KV format,
 * which share a model and its heads: for the address and for the thread sanitizer. */
#include <pthread.h>

#include "base/checked.h"
#include "tests/unit/generate/tiny_heads.h"

enum { N_LIVE = 12, N_SAVED = 3, N_SESSIONS = 1000, N_PAGES = 16 * N_HEADS, CHUNK = 32 };

/* Not cmocka's: they belong to its thread. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A session, and for every token that it holds whether it was decoded. */
typedef struct life {
    wn_session *s;
    const wn_dms_heads *heads;
    bool decoded[TINY_CTX];
} life;

typedef struct saved_life {
    wn_strbuf bytes;
    const wn_dms_heads *heads;
    size_t length;
    bool decoded[TINY_CTX];
} saved_life;

typedef struct population {
    pthread_t thread;
    uint32_t random;
    wn_kv_format format;
    wn_compute *compute;
    wn_kv_pool *pool;
    const wn_model *model;
    const wn_dms_heads *heads;
    life live[N_LIVE];
    saved_life saved[N_SAVED];
    size_t n_made, n_forked, n_restored, n_refused, n_limits, n_cancelled, n_resumed, n_checked;
} population;

static size_t below(population *p, size_t n)
{
    p->random = p->random * 1664525u + 1013904223u;
    return (p->random >> 8) % n;
}

static wn_session *make(const population *p, const wn_dms_heads *heads, wn_kv_pool *pool)
{
    wn_session *s = NULL;
    const wn_session_options o = {
        .n_chunk = CHUNK, .heads = heads, .kv_format = p->format, .resume = true, .pool = pool};
    CHECK(wn_session_open(&s, p->model, p->compute, &o, NULL) == WN_OK);
    return s;
}

/* What a step that may fail half-way left in the session is what it has. */
static void note(population *p, life *l, size_t from, bool decoded, wn_status status)
{
    for (size_t i = from; i < wn_session_length(l->s); i++)
        l->decoded[i] = decoded;
    p->n_limits += status == WN_LIMIT;
    p->n_cancelled += status == WN_CANCELLED;
}

static wn_status may_cancel(void *ctx, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    return below(ctx, 4) ? WN_OK : WN_CANCELLED;
}

static wn_status read_more(population *p, life *l, size_t n)
{
    const size_t length = wn_session_length(l->s);
    const wn_status status =
        wn_session_append(l->s, ids + below(p, TINY_CTX - n + 1), n, may_cancel, p, NULL);
    note(p, l, length, false, status);
    return status;
}

static wn_status decode_one(population *p, life *l)
{
    const size_t length = wn_session_length(l->s);
    const wn_status status = wn_session_decode(l->s, ids[below(p, TINY_CTX)], NULL);
    note(p, l, length, true, status);
    return status;
}

/* The same tokens in a session of its own: what was read in one go, then what was decoded ... */
static wn_session *straight(const population *p, const life *l)
{
    wn_session *s = make(p, l->heads, NULL);
    const int32_t *held = wn_session_ids(l->s);
    const size_t n = wn_session_length(l->s);
    for (size_t at = 0, end; at < n; at = end) {
        for (end = at + 1; end < n && !l->decoded[at] && !l->decoded[end]; end++)
            ;
        CHECK((l->decoded[at]
                   ? wn_session_decode(s, held[at], NULL)
                   : wn_session_append(s, held + at, end - at, NULL, NULL, NULL)) == WN_OK);
    }
    return s;
}

/* One token more has to give the bits that it gives there, whatever happened before. */
static void compare(population *p, life *l)
{
    if (wn_session_length(l->s) == TINY_CTX || decode_one(p, l) != WN_OK)
        return; /* no room */
    wn_session *s = straight(p, l);
    CHECK(memcmp(wn_session_logits(s), wn_session_logits(l->s), TINY_VOCAB * sizeof(float)) == 0);
    for (size_t i = 0; i < N_HEADS; i++)
        CHECK(wn_session_n_kept(s, i / TINY_KV, i % TINY_KV) ==
              wn_session_n_kept(l->s, i / TINY_KV, i % TINY_KV));
    wn_session_close(s);
    p->n_checked++;
}

static void save(population *p, const life *l)
{
    saved_life *to = &p->saved[below(p, N_SAVED)];
    wn_strbuf_free(&to->bytes);
    CHECK(wn_session_snapshot(l->s, &to->bytes, NULL) == WN_OK);
    to->heads = l->heads;
    to->length = wn_session_length(l->s);
    memcpy(to->decoded, l->decoded, sizeof to->decoded);
}

/* Over what the session holds; one of another kind is refused and leaves it empty. */
static void restore(population *p, life *l)
{
    const saved_life *from = &p->saved[below(p, N_SAVED)];
    if (!from->bytes.len)
        return;
    const wn_status status = wn_session_restore(l->s, from->bytes.data, from->bytes.len, NULL);
    CHECK(status == (from->heads != l->heads ? WN_CONFLICT : WN_OK) || status == WN_LIMIT);
    CHECK(wn_session_length(l->s) == (status == WN_OK ? from->length : 0));
    memcpy(l->decoded, from->decoded, sizeof l->decoded);
    p->n_restored += status == WN_OK;
    p->n_refused += status != WN_OK;
}

static void live_on(population *p, life *l)
{
    const size_t length = wn_session_length(l->s), room = TINY_CTX - length;
    switch (below(p, 7)) {
    case 0:
    case 1:
        if (room)
            (void)read_more(p, l, 1 + below(p, room));
        break;
    case 2:
        for (size_t i = below(p, 8); i > 0 && wn_session_length(l->s) < TINY_CTX; i--)
            (void)decode_one(p, l);
        break;
    case 3:
        save(p, l);
        break;
    case 4:
        restore(p, l);
        break;
    case 5:
        (void)wn_session_truncate(l->s, length - below(p, (below(p, 2) ? length : length / 4) + 1));
        p->n_resumed += l->heads && wn_session_length(l->s) > 0;
        break;
    default:
        compare(p, l);
    }
}

static void create(population *p, life *l, const life *like)
{
    p->n_made++;
    if (like->s && below(p, 2)) {
        *l = *like;
        CHECK(wn_session_fork(&l->s, like->s, NULL) == WN_OK);
        p->n_forked++;
        return;
    }
    l->heads = below(p, 4) ? p->heads : NULL;
    l->s = make(p, l->heads, p->pool);
    (void)read_more(p, l, 1 + below(p, TINY_CTX));
}

static void end(life *l)
{
    wn_session_close(l->s);
    l->s = NULL;
}

/* The survivors: room is made by those that were compared. */
static void compare_survivors(population *p)
{
    for (size_t i = 0; i < N_LIVE; i++) {
        if (p->live[i].s)
            compare(p, &p->live[i]);
        end(&p->live[i]);
    }
}

static void *live(void *population_of_thread)
{
    population *p = population_of_thread;
    while (p->n_made < N_SESSIONS) {
        life *l = &p->live[below(p, N_LIVE)];
        const life *other = &p->live[below(p, N_LIVE)];
        if (!l->s)
            create(p, l, other);
        else if (below(p, 4) == 0)
            end(l);
        else
            live_on(p, l);
        CHECK(wn_kv_pool_n_used(p->pool) <= N_PAGES);
    }
    compare_survivors(p);
    for (size_t i = 0; i < N_SAVED; i++)
        wn_strbuf_free(&p->saved[i].bytes);
    return NULL;
}

static void test_many_sessions(void **state)
{
    (void)state;
    enum { N_THREADS = WN_KV_INT8 - WN_KV_F32 + 1 };
    static population all[N_THREADS];
    wn_dms_point point = {.window = 33};
    const wn_dms_heads heads = linear_heads(&point, 1);
    for (size_t i = 0; i < N_THREADS; i++) {
        population *p = &all[i];
        *p = (population){.random = (uint32_t)i + 1,
                          .format = (wn_kv_format)(WN_KV_F32 + i),
                          .model = model,
                          .heads = &heads};
        const wn_compute_options o = {.n_threads = 2, .exact = true}; /* as the model's */
        WN_ASSERT_OK(wn_compute_open(&p->compute, &o, err));
        const size_t page = wn_kv_layout_of(p->format, TINY_HEAD).page_bytes;
        WN_ASSERT_OK(
            wn_session_pool_open(&p->pool, model, p->compute, p->format, N_PAGES * page, err));
        assert_int_equal(pthread_create(&p->thread, NULL, live, p), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        population *p = &all[i];
        assert_int_equal(pthread_join(p->thread, NULL), 0);
        printf("%s: %zu sessions, %zu of them forks; %zu restored, %zu refused; %zu times no room, "
               "%zu cancelled, %zu resumed; %zu compared\n",
               wn_kv_format_name(p->format), p->n_made, p->n_forked, p->n_restored, p->n_refused,
               p->n_limits, p->n_cancelled, p->n_resumed, p->n_checked);
        assert_true(p->n_forked > 100 && p->n_restored > 100 && p->n_refused > 50);
        assert_true(p->n_resumed > 5 && p->n_limits > 100 && p->n_cancelled > 100 &&
                    p->n_checked > 100);
        assert_int_equal(wn_kv_pool_n_used(p->pool), 0);
        wn_kv_pool_trim(p->pool, 0);
        assert_int_equal(wn_kv_pool_bytes(p->pool), 0);
        wn_kv_pool_close(p->pool);
        wn_compute_close(p->compute);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_sessions)};
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
