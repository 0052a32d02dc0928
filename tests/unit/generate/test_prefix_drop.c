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

/* Tokens 45 .. 52 of document "b", and the first key from there on that stays, in the first layer's
 * first head. */
static void make_canaries(wn_prefix_cache *c, const int32_t *text, canary out[2])
{
    const prefix_node *node = prefix_match(&c->scopes->root, text, 75, prefix_has_memory);
    const wn_kv_store *kv = prefix_owner_of(node)->kv;
    const kv_list *list = &kv->lists[0];
    size_t at = 45;
    while (kv->o.window && !kv_list_keeps(list, at))
        at++;
    assert_true(node->n == 75 && at < 75);
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

/* Kept, saved, forked by another text, perhaps found again at a new start, then deleted. */
static void check_canaries(kind k, const char *folder, bool reopened, uint32_t seed)
{
    wn_kv_pool *pool = open_pool(k.format, 4 << 20);
    wn_prefix_cache *c = open_cache(pool, MEMORY, folder, DISK);
    wn_session *s = open_in(pool, k);
    canary canaries[2];
    int32_t *text = new_text(seed), *other = new_text(seed + 1);
    memcpy(other, text, 40 * sizeof *text);
    wn_prefix_request r = request(s, text, docs, 3, WN_PREFIX_ON_DISK);
    read_prefix(c, &r);
    make_canaries(c, text, canaries);
    static const wn_prefix_end others[] = {{8, NULL}, {40, "a"}, {75, "e"}};
    r = request(s, other, others, 3, WN_PREFIX_ON_DISK);
    read_prefix(c, &r);
    r = request(s, text, docs, N_DOCS, WN_PREFIX_ON_DISK);
    read_prefix(c, &r);
    WN_ASSERT_OK(wn_prefix_cache_save(c, NULL, err));
    if (reopened) {
        wn_prefix_cache_close(c);
        c = open_cache(pool, MEMORY, folder, DISK);
        wn_session_truncate(s, 0);
        assert_int_equal(read_prefix(c, &r).source, WN_PREFIX_DISK);
    }
    free_text(text);
    for (size_t i = 0; i < 2; i++) {
        assert_true(WN_TEST_SANITIZED || count_in_memory(&canaries[i]) > 0);
        assert_true(count_in_files(&canaries[i], folder) > 0);
    }
    WN_ASSERT_OK(wn_prefix_cache_drop(c, "notes", "b", NULL, err));
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(count_in_files(&canaries[i], folder), 0);
    if (!reopened)
        wn_session_truncate(s, 0);
    wn_prefix_cache_tend(c);
    wn_session_truncate(s, 0); /* whose pages are zeroed when they are given back */
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(WN_TEST_SANITIZED ? 0 : count_in_memory(&canaries[i]), 0);
    r = request(s, other, others, 3, WN_PREFIX_ON_DISK);
    assert_int_equal(read_prefix(c, &r).n_cached, 75);
    free_text(other);
    wn_session_close(s);
    wn_prefix_cache_close(c);
    wn_kv_pool_close(pool);
    WN_ASSERT_OK(wn_fs_remove_tree(folder, err));
}

static void test_no_canary_survives(void **state)
{
    char folder[300];
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 0);
    snprintf(folder, sizeof folder, "%s/canaries", dir);
    for (uint32_t reopened = 0; reopened < 2; reopened++) {
        check_canaries((kind){NULL, WN_KV_BF16}, folder, reopened, 41 + 4 * reopened);
        check_canaries((kind){&h, WN_KV_BF16}, folder, reopened, 43 + 4 * reopened);
    }
}

typedef struct others {
    wn_prefix_cache *cache;
    wn_session *session; /* nobody else's */
    atomic_bool stop;
    size_t n_turns, n_seen;
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
        WN_ASSERT_OK(wn_prefix_cache_save(o->cache, NULL, err));
        WN_ASSERT_OK(wn_prefix_cache_visit(o->cache, NULL, see, o, err));
        WN_ASSERT_OK(wn_prefix_cache_peek(o->cache, &r, &hit, err));
        assert_true(stats_of(o->cache).memory_bytes <= 100 << 10);
        if (i % 4 == 3)
            WN_ASSERT_OK(wn_prefix_cache_drop(o->cache, "notes", names[i / 4 % 4], NULL, err));
        if (i % 32 == 31)
            WN_ASSERT_OK(wn_prefix_cache_drop(o->cache, NULL, NULL, NULL, err));
        o->n_turns++;
    }
    return NULL;
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
        assert_true(o[i].n_turns > 0);
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
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
