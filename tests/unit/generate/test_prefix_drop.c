/* A deleted document leaves nothing behind in memory or in files, and deletion, listing and saving
 * go on beside a thread that reads. */
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "generate/kv_store_internal.h"
#include "tests/sanitized.h"
#include "tests/unit/generate/prefix_requests.h"

static const wn_prefix_end docs[] = {{8, NULL}, {40, "a"}, {75, "b"}, {110, "c"}, {131, "d"}};
enum { N_DOCS = sizeof docs / sizeof *docs, N_TEXT = 155, MEMORY = 2 << 20, DISK = 8 << 20 };

/* Bytes to look for, disguised, so that they are not found in themselves. */
typedef struct canary {
    uint8_t bytes[32];
    size_t n;
} canary;

enum { DISGUISE = 0xa5 };

static canary canary_of(const void *bytes, size_t n)
{
    canary c = {.n = n};
    for (size_t i = 0; i < n; i++)
        c.bytes[i] = (uint8_t)(((const uint8_t *)bytes)[i] ^ DISGUISE);
    return c;
}

static size_t count_in(const canary *c, const volatile uint8_t *bytes, size_t len)
{
    size_t n = 0;
    for (size_t at = 0; at + c->n <= len; at++) {
        size_t i = 0;
        while (i < c->n && (bytes[at + i] ^ DISGUISE) == c->bytes[i])
            i++;
        n += i == c->n;
    }
    return n;
}

/* All memory of this process that can be written. */
static size_t count_in_memory(const canary *c)
{
    char line[512], flags[8];
    size_t n = 0, from = 0, to = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%zx-%zx %7s", &from, &to, flags) == 3 && !strncmp(flags, "rw", 2))
            n += count_in(c, (const volatile uint8_t *)from, to - from);
    fclose(f);
    return n;
}

static size_t count_in_files(const canary *c, const char *folder)
{
    static uint8_t bytes[1 << 20];
    size_t n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        const int fd = openat(dirfd(d), e->d_name, O_RDONLY);
        const ssize_t len = e->d_type == DT_REG ? read(fd, bytes, sizeof bytes) : 0;
        assert_true(len >= 0 && (size_t)len < sizeof bytes);
        n += count_in(c, bytes, (size_t)len);
        explicit_bzero(bytes, sizeof bytes);
        close(fd);
    }
    closedir(d);
    return n;
}

/* Tokens 45 .. 52 of document "b", and the first key from there on that stays, in the second
 * layer's first head: those of the first layer say nothing of the text before them. */
static void make_canaries(const wn_session *s, const int32_t *text, canary out[2])
{
    const wn_kv_store *kv = s->kv;
    const kv_list *list = &kv->lists[TINY_KV];
    size_t at = 45;
    while (kv->o.window && !kv_list_keeps(list, at))
        at++;
    assert_true(wn_session_length(s) == 75 && at < 75);
    uint8_t *const *pages = at < kv->tail_first ? list->log : list->tail;
    const size_t slot = at < kv->tail_first ? kv_count_log(list, at) : at;
    out[0] = canary_of(text + 45, 8 * sizeof *text);
    out[1] = canary_of(pages[slot / WN_KV_SLOTS] + slot % WN_KV_SLOTS * kv->layout.row_bytes,
                       kv->layout.row_bytes);
}

static int32_t *new_text(uint32_t seed)
{
    int32_t *text = malloc(N_TEXT * sizeof *text);
    assert_non_null(text);
    fill_text(text, N_TEXT, seed);
    return text;
}

static void free_text(int32_t *text)
{
    explicit_bzero(text, N_TEXT * sizeof *text);
    free(text);
}

typedef struct stage {
    kind k;
    const char *folder;
    wn_kv_pool *pool;
    wn_prefix_cache *cache;
    wn_session *session;
} stage;

static stage open_stage(kind k, const char *folder)
{
    stage s = {.k = k, .folder = folder, .pool = open_pool(k.format, 4 << 20)};
    s.cache = open_cache(s.pool, MEMORY, folder, DISK);
    s.session = open_in(s.pool, k);
    return s;
}

static void close_stage(stage *s)
{
    wn_session_close(s->session);
    wn_prefix_cache_close(s->cache);
    wn_kv_pool_close(s->pool);
    WN_ASSERT_OK(wn_fs_remove_tree(s->folder, err));
}

static void save(stage *s)
{
    WN_ASSERT_OK(wn_prefix_cache_save(s->cache, err));
}

/* Both canaries are there, or neither. */
static void check_presence(const stage *s, const canary canaries[2], bool memory, bool files)
{
    for (size_t i = 0; i < 2; i++) {
        if (!WN_TEST_SANITIZED && (count_in_memory(&canaries[i]) > 0) != memory)
            fail_msg("canary %zu in memory: %d expected", i, memory);
        assert_int_equal(count_in_files(&canaries[i], s->folder) > 0, files);
    }
}

/* Another text goes on from the same document, and survives. */
static void check_with_neighbour(kind k, const char *folder, uint32_t seed)
{
    static const wn_prefix_end others[] = {{8, NULL}, {40, "a"}, {75, "e"}};
    stage s = open_stage(k, folder);
    canary canaries[2];
    int32_t *text = new_text(seed), *other = new_text(seed + 1);
    memcpy(other, text, 40 * sizeof *text);
    wn_prefix_request r = request(s.session, text, docs, 3, WN_PREFIX_ON_DISK);
    read_prefix(s.cache, &r);
    make_canaries(s.session, text, canaries);
    r = request(s.session, other, others, 3, WN_PREFIX_ON_DISK);
    read_prefix(s.cache, &r);
    r = request(s.session, text, docs, N_DOCS, WN_PREFIX_ON_DISK);
    read_prefix(s.cache, &r);
    save(&s);
    free_text(text);
    check_presence(&s, canaries, true, true);
    wn_session_truncate(s.session, 0);
    WN_ASSERT_OK(wn_prefix_cache_drop(s.cache, "notes", "b", NULL, err));
    assert_int_equal(WN_TEST_SANITIZED ? 0 : count_in_memory(&canaries[0]), 0); /* ids, at once */
    assert_int_equal(count_in_files(&canaries[0], folder), 0);
    wn_prefix_cache_tend(s.cache);
    check_presence(&s, canaries, false, false);
    r = request(s.session, other, others, 3, WN_PREFIX_ON_DISK);
    assert_int_equal(read_prefix(s.cache, &r).n_cached, 75);
    free_text(other);
    close_stage(&s);
}

/* Found again at a new start; a session has its pages until after the deletion. What is before the
 * document lives on in pages that it had. */
static void check_reopened(kind k, const char *folder, uint32_t seed)
{
    stage s = open_stage(k, folder);
    canary canaries[2];
    int32_t *text = new_text(seed), start[N_TEXT] = {0};
    memcpy(start, text, 40 * sizeof *text);
    wn_prefix_request r = request(s.session, text, docs, 3, WN_PREFIX_ON_DISK);
    read_prefix(s.cache, &r);
    make_canaries(s.session, text, canaries);
    r = request(s.session, text, docs, N_DOCS, WN_PREFIX_ON_DISK);
    read_prefix(s.cache, &r);
    save(&s);
    wn_prefix_cache_close(s.cache);
    s.cache = open_cache(s.pool, MEMORY, folder, DISK);
    wn_session_truncate(s.session, 0);
    assert_int_equal(read_prefix(s.cache, &r).source, WN_PREFIX_DISK);
    free_text(text);
    check_presence(&s, canaries, true, true);
    if (k.heads) /* else the heir's last page would be shared, and it gets none */
        append(s.session, start, 20);
    else
        wn_session_truncate(s.session, 0);
    WN_ASSERT_OK(wn_prefix_cache_drop(s.cache, "notes", "b", NULL, err));
    wn_prefix_cache_tend(s.cache);
    wn_session_truncate(s.session, 0); /* whose pages are zeroed when they are given back */
    check_presence(&s, canaries, false, false);
    r = request(s.session, start, docs, 2, WN_PREFIX_NOT_KEPT);
    const wn_prefix_hit hit = read_prefix(s.cache, &r);
    assert_int_equal(hit.n_cached, k.heads ? 0 : 40);
    assert_int_equal(hit.source, k.heads ? WN_PREFIX_NONE : WN_PREFIX_MEMORY);
    check_answer(s.session, k, start, N_TEXT);
    close_stage(&s);
}

static void test_no_canary_survives(void **state)
{
    char folder[300];
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 0);
    snprintf(folder, sizeof folder, "%s/canaries", dir);
    check_with_neighbour((kind){NULL, WN_KV_BF16}, folder, 41);
    check_with_neighbour((kind){&h, WN_KV_BF16}, folder, 43);
    check_reopened((kind){NULL, WN_KV_BF16}, folder, 45);
    check_reopened((kind){&h, WN_KV_BF16}, folder, 47);
}

static wn_status drop_meanwhile(void *ctx, uint64_t done, uint64_t total)
{
    (void)total;
    return done == 64 ? wn_prefix_cache_drop(ctx, "notes", "b", NULL, NULL) : WN_OK;
}

/* A document that is deleted while a session reads it does not come back with that session. */
static void test_dropped_while_read(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 0);
    for (size_t heads = 0; heads < 2; heads++) {
        const kind k = {heads ? &h : NULL, WN_KV_BF16};
        int32_t text[N_TEXT];
        wn_prefix_hit hit;
        wn_kv_pool *pool = open_pool(k.format, 4 << 20);
        wn_prefix_cache *c = open_cache(pool, MEMORY, NULL, 0);
        wn_session *s = open_in(pool, k);
        fill_text(text, N_TEXT, 51);
        wn_prefix_request r = request(s, text, docs, N_DOCS, WN_PREFIX_IN_MEMORY);
        r.progress = drop_meanwhile;
        r.progress_ctx = c;
        assert_false(read_prefix(c, &r).kept);
        check_answer(s, k, text, N_TEXT);
        WN_ASSERT_OK(wn_prefix_cache_peek(c, &r, &hit, err));
        assert_int_equal(hit.n_cached, 0);
        wn_session_close(s);
        wn_prefix_cache_close(c);
        assert_int_equal(wn_kv_pool_n_used(pool), 0);
        wn_kv_pool_close(pool);
    }
}

static void *save_all(void *cache)
{
    WN_ASSERT_OK(wn_prefix_cache_save(cache, err));
    return NULL;
}

/* Until a file is being written, or so many were. */
static void wait_for_a_file(wn_prefix_cache *c, size_t n_files)
{
    bool found = false;
    for (int i = 0; i < 20000 && !found; i++) {
        pthread_mutex_lock(&c->lock);
        found = c->saving || c->stats.files_written >= n_files;
        pthread_mutex_unlock(&c->lock);
        usleep(found ? 0 : 100);
    }
    assert_true(found);
}

/* Tend gives the pages back though another corpus' files are being written. */
static void test_tended_while_saved(void **state)
{
    char folder[300];
    size_t n_beside = 0;
    (void)state;
    snprintf(folder, sizeof folder, "%s/tended", dir);
    for (uint32_t turn = 0; turn < 8; turn++) {
        stage s = open_stage((kind){NULL, WN_KV_BF16}, folder);
        pthread_t saver;
        static const char *const corpora[] = {"other", "notes"};
        for (size_t i = 0; i < 2; i++) {
            int32_t text[N_TEXT];
            fill_text(text, N_TEXT, turn * 2 + (uint32_t)i);
            wn_prefix_request r = request(s.session, text, docs, N_DOCS, WN_PREFIX_ON_DISK);
            r.corpus = corpora[i];
            read_prefix(s.cache, &r);
        }
        wn_session_truncate(s.session, 0);
        assert_int_equal(pthread_create(&saver, NULL, save_all, s.cache), 0);
        wait_for_a_file(s.cache, 2 * N_DOCS);
        WN_ASSERT_OK(wn_prefix_cache_drop(s.cache, "notes", NULL, NULL, err));
        wait_for_a_file(s.cache, N_DOCS);
        wn_prefix_cache_tend(s.cache);
        pthread_mutex_lock(&s.cache->lock);
        assert_null(s.cache->dead);
        assert_int_equal(prefix_memory_bytes(s.cache, "notes"), 0);
        n_beside += s.cache->saver;
        pthread_mutex_unlock(&s.cache->lock);
        assert_int_equal(pthread_join(saver, NULL), 0);
        close_stage(&s);
    }
    print_message("%zu of 8 times beside a save\n", n_beside);
}

typedef struct others {
    wn_prefix_cache *cache;
    wn_session *session; /* nobody else's */
    atomic_bool stop;
    atomic_size_t n_turns;
    size_t n_seen;
} others;

static wn_status see(void *ctx, const wn_prefix_info *info, wn_error *err)
{
    others *o = ctx;
    (void)err;
    assert_true(info->n_tokens > 0);
    o->n_seen++;
    return WN_OK;
}

/* What a server's other threads do. */
static void *run_others(void *ctx)
{
    others *o = ctx;
    static const char *const names[] = {"a", "b", "c", "d"};
    int32_t text[N_TEXT];
    fill_text(text, N_TEXT, 1);
    for (size_t i = 0; !atomic_load(&o->stop); i++) {
        wn_prefix_hit hit;
        const wn_prefix_request r = request(o->session, text, docs, N_DOCS, WN_PREFIX_NOT_KEPT);
        WN_ASSERT_OK(wn_prefix_cache_save(o->cache, err));
        WN_ASSERT_OK(wn_prefix_cache_visit(o->cache, NULL, see, o, err));
        WN_ASSERT_OK(wn_prefix_cache_peek(o->cache, &r, &hit, err));
        assert_true(stats_of(o->cache).memory_bytes <= 100 << 10);
        if (i % 4 == 3)
            WN_ASSERT_OK(wn_prefix_cache_drop(o->cache, "notes", names[i / 4 % 4], NULL, err));
        if (i % 32 == 31)
            WN_ASSERT_OK(wn_prefix_cache_drop(o->cache, NULL, NULL, NULL, err));
        atomic_fetch_add(&o->n_turns, 1);
    }
    return NULL;
}

static void wait_for_a_turn(others *o)
{
    for (int i = 0; i < 20000 && atomic_load(&o->n_turns) == 0; i++)
        usleep(1000);
    assert_true(atomic_load(&o->n_turns) > 0);
}

/* One that saves and one that drops, both beside the one that reads. */
static void check_threads(kind k, const char *folder)
{
    wn_kv_pool *pool = open_pool(k.format, 4 << 20);
    wn_prefix_cache *c = open_cache(pool, 100 << 10, folder, 200 << 10);
    wn_session *s = open_in(pool, k), *spare = open_in(NULL, k);
    others o[2] = {{.cache = c, .session = spare}, {.cache = c, .session = spare}};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_others, &o[i]), 0);
    for (size_t i = 0; i < 2; i++)
        wait_for_a_turn(&o[i]);
    for (uint32_t turn = 0; turn < (WN_TEST_SANITIZED ? 60 : 300); turn++) {
        int32_t text[N_TEXT];
        fill_text(text, N_TEXT, turn * 7 % 5);
        const wn_prefix_request r =
            request(s, text, docs, 2 + turn % (N_DOCS - 1), WN_PREFIX_ON_DISK);
        read_prefix(c, &r);
        if (turn % 10 == 0)
            check_answer(s, k, text, N_TEXT);
    }
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&o[i].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    WN_ASSERT_OK(wn_prefix_cache_drop(c, NULL, NULL, NULL, err));
    wn_prefix_cache_tend(c);
    assert_int_equal(stats_of(c).memory_bytes + stats_of(c).disk_bytes, 0);
    wn_session_close(s);
    wn_session_close(spare);
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_prefix_cache_close(c);
    wn_kv_pool_close(pool);
    WN_ASSERT_OK(wn_fs_remove_tree(folder, err));
}

static void test_threads(void **state)
{
    char folder[300];
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 1);
    snprintf(folder, sizeof folder, "%s/threads", dir);
    check_threads((kind){NULL, WN_KV_BF16}, folder);
    check_threads((kind){&h, WN_KV_INT8}, folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_canary_survives),
        cmocka_unit_test(test_dropped_while_read),
        cmocka_unit_test(test_tended_while_saved),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
