/* The prefix cache on disk: files survive the process, a kill at any time, and are believed only as
 * they were written. */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/sanitized.h"
#include "tests/unit/generate/prefix_requests.h"

static const wn_prefix_end docs[] = {{8, NULL}, {40, "a"}, {75, "b"}, {110, "c"}, {131, "d"}};
enum { N_DOCS = sizeof docs / sizeof *docs, N_TEXT = 155, MEMORY = 2 << 20, DISK = 8 << 20 };

static uint32_t random_state = 1;

static size_t random_below(size_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static char *folder_of(char out[300], const char *name)
{
    snprintf(out, 300, "%s/%s", dir, name);
    return out;
}

typedef struct listing {
    char paths[64][400];
    size_t n, n_drafts, bytes;
} listing;

static listing list(const char *folder)
{
    listing l = {0};
    DIR *d = opendir(folder);
    struct stat st;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (!strstr(e->d_name, ".prefix"))
            continue;
        assert_true(l.n < 64);
        snprintf(l.paths[l.n], sizeof l.paths[0], "%s/%s", folder, e->d_name);
        assert_int_equal(stat(l.paths[l.n], &st), 0);
        l.bytes += (size_t)st.st_size;
        l.n_drafts += strstr(e->d_name, ".tmp-") != NULL;
        l.n++;
    }
    closedir(d);
    return l;
}

static void put_file(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static wn_strbuf get_file(const char *path)
{
    wn_strbuf b = {0};
    WN_ASSERT_OK(wn_fs_read(&b, path, 1 << 24, err));
    return b;
}

/* Reads and saves the first n_ends documents of a text; what the cache wrote is on disk then. */
static void prepare(const char *folder, kind k, const int32_t *text, size_t n_ends)
{
    wn_kv_pool *pool = open_pool(k.format, 4 << 20);
    wn_prefix_cache *c = open_cache(pool, MEMORY, folder, DISK);
    wn_session *s = open_in(pool, k);
    const wn_prefix_request r = request(s, text, docs, n_ends, WN_PREFIX_ON_DISK);
    read_prefix(c, &r);
    WN_ASSERT_OK(wn_prefix_cache_save(c, err));
    assert_true(stats_of(c).files_written > 0);
    assert_int_equal(stats_of(c).disk_bytes, list(folder).bytes);
    wn_session_close(s);
    wn_prefix_cache_close(c);
    wn_kv_pool_close(pool);
}

/* Opened again: whole, a shorter prefix, and a longer one on top of it, which is saved, too. */
static void check_kind(kind k, const char *folder)
{
    int32_t text[N_TEXT];
    fill_text(text, N_TEXT, 23);
    prepare(folder, k, text, 4);
    for (size_t n_ends = 2; n_ends <= N_DOCS; n_ends++) {
        wn_kv_pool *pool = open_pool(k.format, 4 << 20);
        wn_prefix_cache *c = open_cache(pool, MEMORY, folder, DISK);
        wn_session *s = open_in(pool, k);
        wn_prefix_request r = request(s, text, docs, n_ends, WN_PREFIX_ON_DISK);
        wn_prefix_hit hit = read_prefix(c, &r);
        assert_true(k.heads || hit.n_cached == docs[n_ends < 4 ? n_ends - 1 : 3].n);
        assert_true(n_ends < 4 || hit.n_cached == docs[3].n);
        assert_int_equal(hit.source, hit.n_cached ? WN_PREFIX_DISK : WN_PREFIX_NONE);
        check_answer(s, k, text, N_TEXT);
        wn_session_truncate(s, 0);
        hit = read_prefix(c, &r);
        assert_int_equal(hit.source, WN_PREFIX_MEMORY);
        assert_int_equal(hit.n_cached, docs[n_ends - 1].n);
        check_answer(s, k, text, N_TEXT);
        WN_ASSERT_OK(wn_prefix_cache_save(c, err));
        assert_int_equal(stats_of(c).disk_bytes, list(folder).bytes);
        wn_session_close(s);
        wn_prefix_cache_close(c);
        assert_int_equal(wn_kv_pool_n_used(pool), 0);
        wn_kv_pool_close(pool);
    }
    WN_ASSERT_OK(wn_fs_remove_tree(folder, err));
}

static void test_files_survive(void **state)
{
    char folder[300];
    (void)state;
    wn_dms_point p = point;
    for (wn_kv_format f = WN_KV_F32; f <= WN_KV_INT8; f++)
        for (size_t shift = 0; shift < 2; shift++) {
            const wn_dms_heads linear = linear_heads(&p, shift);
            check_kind((kind){NULL, f}, folder_of(folder, "survive"));
            check_kind((kind){&linear, f}, folder_of(folder, "survive"));
        }
}

/* Changes some bytes, the length, or nothing. Returns whether the bytes are others now. */
static bool mutate(const wn_strbuf *from, wn_strbuf *to)
{
    wn_strbuf_clear(to);
    wn_strbuf_add(to, from->data, from->len);
    const size_t what = random_below(8);
    if (what == 0)
        wn_strbuf_truncate(to, random_below(from->len));
    for (size_t i = 0; what == 1 && i <= random_below(40); i++)
        wn_strbuf_addc(to, (char)random_below(256));
    if (what == 2) { /* one of the header's numbers */
        static const uint64_t odd[] = {0, 1, UINT64_MAX, INT64_MAX, 1u << 31, 4096, 131, 160};
        memcpy(to->data + 8 * random_below(sizeof(prefix_file_header) / 8), &odd[random_below(8)],
               8);
    }
    if (what == 3) { /* a piece moved */
        const size_t n = 1 + random_below(64), a = random_below(from->len - n),
                     b = random_below(from->len - n);
        memmove(to->data + a, from->data + b, n);
    }
    for (size_t i = 0; what > 3 && i <= random_below(3); i++)
        to->data[random_below(what > 5 ? from->len : 700)] ^= (char)(1 << random_below(8));
    return to->len != from->len || memcmp(to->data, from->data, from->len) != 0;
}

/* Opens the folder and takes the text's first n tokens from their files; true if that went well,
 * and then the session has them. */
static bool take_prefix(const char *folder, wn_kv_pool *pool, wn_session *s, const int32_t *text,
                        size_t n, wn_prefix_stats *stats)
{
    wn_prefix_cache *c = open_cache(pool, MEMORY, folder, DISK);
    prefix_scope *scope = NULL;
    size_t n_bytes = 0;
    const wn_prefix_request r = request(s, text, docs, N_DOCS, WN_PREFIX_NOT_KEPT);
    WN_ASSERT_OK(prefix_scope_of(c, &r, true, &scope, err));
    prefix_node *node = prefix_match(&scope->root, text, n, prefix_has_file, NULL);
    const bool taken = node->n == n && prefix_load(c, node, text, n, s, &n_bytes, NULL) == WN_OK;
    assert_int_equal(wn_session_length(s), taken ? n : 0);
    *stats = stats_of(c);
    wn_prefix_cache_close(c);
    return taken;
}

static void check_mutants(kind k, const char *folder, size_t n)
{
    int32_t text[N_TEXT];
    float expected[2 * TINY_VOCAB], got[2 * TINY_VOCAB];
    wn_strbuf files[8] = {0}, mutant = {0};
    size_t n_taken = 0, n_refused = 0, lengths[8];
    fill_text(text, N_TEXT, 29);
    go_alone(k, text, N_TEXT, expected);
    prepare(folder, k, text, N_DOCS);
    const listing l = list(folder);
    assert_true(l.n > 1 && l.n <= 8);
    for (size_t i = 0; i < l.n; i++) {
        prefix_file_header h;
        files[i] = get_file(l.paths[i]);
        memcpy(&h, files[i].data, sizeof h);
        lengths[i] = (size_t)h.n;
    }
    wn_kv_pool *pool = open_pool(k.format, 4 << 20);
    wn_session *s = open_in(pool, k);
    for (size_t turn = 0; turn < n; turn++) {
        const size_t i = random_below(l.n);
        const bool other = mutate(&files[i], &mutant);
        wn_prefix_stats stats;
        put_file(l.paths[i], mutant.data, mutant.len);
        const bool taken = take_prefix(folder, pool, s, text, lengths[i], &stats);
        assert_int_equal(taken, !other);
        n_taken += taken;
        if (taken) {
            go_on(s, text, N_TEXT, got);
            assert_memory_equal(got, expected, sizeof got);
            wn_session_truncate(s, 0);
        } else {
            const uint64_t refused =
                stats.refused_corrupt + stats.refused_foreign + stats.refused_version;
            assert_true(refused >= 1);
            assert_int_not_equal(access(l.paths[i], F_OK), 0);
            n_refused++;
        }
        assert_int_equal(wn_kv_pool_n_used(pool), 0);
        for (size_t j = 0; j < l.n; j++) /* refused files took those that need them along */
            if (j == i || access(l.paths[j], F_OK) != 0)
                put_file(l.paths[j], files[j].data, files[j].len);
    }
    assert_true(n_taken > 0 && n_refused > n / 2);
    wn_session_close(s);
    wn_kv_pool_close(pool);
    for (size_t i = 0; i < l.n; i++)
        wn_strbuf_free(&files[i]);
    wn_strbuf_free(&mutant);
    WN_ASSERT_OK(wn_fs_remove_tree(folder, err));
}

static void test_mutants_are_refused(void **state)
{
    char folder[300];
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 1);
    check_mutants((kind){NULL, WN_KV_BF16}, folder_of(folder, "mutants"), 6000);
    check_mutants((kind){&h, WN_KV_INT8}, folder_of(folder, "mutants"), 6000);
}

/* Another installation's, an older version's, an orphan, a copy under another name, a draft. */
static void test_strange_files(void **state)
{
    char folder[300], path[700];
    int32_t text[N_TEXT];
    (void)state;
    const kind k = {NULL, WN_KV_BF16};
    wn_kv_pool *pool = open_pool(k.format, 4 << 20);
    fill_text(text, N_TEXT, 31);
    prepare(folder_of(folder, "strange"), k, text, N_DOCS);
    listing l = list(folder);
    wn_prefix_cache_options o = {
        .pool = pool, .max_memory_bytes = MEMORY, .max_disk_bytes = DISK, .dir = folder};
    wn_prefix_cache *c = NULL;
    wn_strbuf first = get_file(l.paths[0]);
    snprintf(path, sizeof path, "%s.tmp-abcdef", l.paths[0]);
    put_file(path, first.data, first.len / 2);
    snprintf(path, sizeof path, "%s/0123456789abcdef.prefix", folder);
    put_file(path, first.data, first.len);
    c = open_cache(pool, MEMORY, folder, DISK);
    assert_int_equal(list(folder).n, l.n);
    assert_int_equal(stats_of(c).refused_corrupt, 1);
    assert_int_equal(stats_of(c).n_nodes, l.n);
    wn_prefix_cache_close(c);
    first.data[8]++; /* the version */
    put_file(l.paths[0], first.data, first.len);
    c = open_cache(pool, MEMORY, folder, DISK);
    assert_int_equal(stats_of(c).refused_version, 1);
    assert_true(list(folder).n < l.n);
    wn_prefix_cache_close(c);
    const size_t n_left = list(folder).n;
    WN_ASSERT_OK(wn_prefix_cache_open(&c, &o, err));
    assert_int_equal(stats_of(c).refused_foreign, n_left);
    assert_int_equal(list(folder).n, 0);
    wn_prefix_cache_close(c);
    wn_strbuf_free(&first);
    wn_kv_pool_close(pool);
    WN_ASSERT_OK(wn_fs_remove_tree(folder, err));
}

/* The bytes in the folder never pass the budget, of a corpus or of all; what is found again is
 * right. */
static void test_budget(void **state)
{
    char folder[300];
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 0);
    const kind k = {&h, WN_KV_BF16};
    wn_kv_pool *pool = open_pool(k.format, 8 << 20);
    const wn_prefix_cache_options o = {.pool = pool,
                                       .max_memory_bytes = 90 << 10,
                                       .max_disk_bytes = 70 << 10,
                                       .max_corpus_memory_bytes = 50 << 10,
                                       .max_corpus_disk_bytes = 40 << 10,
                                       .dir = folder_of(folder, "budget"),
                                       .always_load = true};
    static const char *const corpora[] = {"one", "two", "three"};
    wn_prefix_cache *c = NULL;
    wn_session *s = open_in(pool, k);
    size_t n_disk = 0, n_evicted = 0, most_memory = 0, most_disk = 0;
    WN_ASSERT_OK(wn_prefix_cache_open(&c, &o, err));
    for (size_t turn = 0; turn < 120; turn++) {
        int32_t text[N_TEXT];
        const size_t corpus = random_below(3);
        fill_text(text, N_TEXT, (uint32_t)(corpus * 10 + random_below(4)));
        wn_prefix_request r =
            request(s, text, docs, 2 + random_below(N_DOCS - 1), WN_PREFIX_ON_DISK);
        r.corpus = corpora[corpus];
        wn_session_truncate(s, 0);
        n_disk += read_prefix(c, &r).source == WN_PREFIX_DISK;
        if (turn % 5 == 0)
            check_answer(s, k, text, N_TEXT);
        WN_ASSERT_OK(wn_prefix_cache_save(c, err));
        const wn_prefix_stats now = stats_of(c);
        assert_true(now.disk_bytes <= o.max_disk_bytes && now.memory_bytes <= o.max_memory_bytes);
        assert_int_equal(list(folder).bytes, now.disk_bytes);
        for (size_t i = 0; i < 3; i++) {
            const size_t memory = prefix_memory_bytes(c, corpora[i]);
            const size_t disk = prefix_disk_bytes(c, corpora[i]);
            assert_true(memory <= o.max_corpus_memory_bytes && disk <= o.max_corpus_disk_bytes);
            most_memory = memory > most_memory ? memory : most_memory;
            most_disk = disk > most_disk ? disk : most_disk;
        }
        if (turn % 40 == 39) {
            n_evicted += stats_of(c).evicted_disk;
            wn_prefix_cache_close(c);
            WN_ASSERT_OK(wn_prefix_cache_open(&c, &o, err));
            assert_int_equal(stats_of(c).disk_bytes, list(folder).bytes);
            assert_int_equal(stats_of(c).refused_corrupt, 0);
        }
    }
    print_message("%zu prefixes from disk, %zu files evicted\n", n_disk, n_evicted);
    assert_true(n_disk > 5 && n_evicted > 5);
    assert_true(most_memory > o.max_corpus_memory_bytes / 2); /* else nothing is said here */
    assert_true(most_disk > o.max_corpus_disk_bytes / 2);
    wn_session_close(s);
    wn_prefix_cache_close(c);
    wn_kv_pool_close(pool);
    WN_ASSERT_OK(wn_fs_remove_tree(folder, err));
}

/* Writes prefixes of a few texts for ever, in a process of its own; a byte to fd after the first.
 */
static void write_until_killed(const char *folder, const char *model_dir, int fd)
{
    WN_ASSERT_OK(wn_compute_open(&compute, &(wn_compute_options){.exact = true}, err));
    WN_ASSERT_OK(wn_model_open_weights(&model, compute, model_dir, err));
    const kind k = {NULL, WN_KV_BF16};
    wn_kv_pool *pool = open_pool(k.format, 4 << 20);
    wn_session *s = open_in(pool, k);
    random_state = (uint32_t)getpid();
    for (;;) {
        wn_prefix_cache *c = open_cache(pool, MEMORY, folder, 100 << 10);
        for (size_t turn = 0; turn < 10; turn++) {
            int32_t text[N_TEXT];
            fill_text(text, N_TEXT, (uint32_t)random_below(6));
            const wn_prefix_request r =
                request(s, text, docs, 2 + random_below(N_DOCS - 1), WN_PREFIX_ON_DISK);
            read_prefix(c, &r);
            WN_ASSERT_OK(wn_prefix_cache_save(c, err));
            if (fd >= 0 && (write(fd, "", 1) != 1 || close(fd) != 0))
                _exit(1);
            fd = -1;
        }
        wn_prefix_cache_close(c);
    }
}

static pid_t start_writer(const char *folder)
{
    char text[16], byte;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    snprintf(text, sizeof text, "%d", ends[1]);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "writer", folder, dir, text, (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1); /* a slow machine's has written by then, too */
    close(ends[0]);
    return child;
}

/* After a kill at any time the next start finds whole files only, and answers the same. */
static void test_kills(void **state)
{
    char folder[300];
    const kind k = {NULL, WN_KV_BF16};
    size_t n_disk = 0, n_drafts = 0;
    (void)state;
    folder_of(folder, "kills");
    WN_ASSERT_OK(wn_fs_make_dirs(folder, err));
    for (size_t turn = 0; turn < (WN_TEST_SANITIZED ? 10 : 60); turn++) {
        const pid_t child = start_writer(folder);
        const long us = (long)random_below(60000) * (WN_TEST_SANITIZED ? 10 : 1);
        nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
        kill(child, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        n_drafts += list(folder).n_drafts;
        wn_kv_pool *pool = open_pool(k.format, 4 << 20);
        wn_prefix_cache *c = open_cache(pool, MEMORY, folder, 100 << 10);
        assert_int_equal(list(folder).n_drafts, 0);
        assert_int_equal(list(folder).bytes, stats_of(c).disk_bytes);
        assert_int_equal(stats_of(c).refused_corrupt, 0);
        wn_session *s = open_in(pool, k);
        for (uint32_t seed = 0; seed < 6; seed++) {
            int32_t text[N_TEXT];
            fill_text(text, N_TEXT, seed);
            const wn_prefix_request r = request(s, text, docs, N_DOCS, WN_PREFIX_NOT_KEPT);
            wn_session_truncate(s, 0);
            n_disk += read_prefix(c, &r).source == WN_PREFIX_DISK;
            check_answer(s, k, text, N_TEXT);
        }
        wn_session_close(s);
        wn_prefix_cache_close(c);
        wn_kv_pool_close(pool);
    }
    print_message("%zu drafts were left by kills, %zu prefixes came from disk\n", n_drafts, n_disk);
    assert_true(n_disk > 0);
    WN_ASSERT_OK(wn_fs_remove_tree(folder, err));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_survive), cmocka_unit_test(test_mutants_are_refused),
        cmocka_unit_test(test_strange_files), cmocka_unit_test(test_budget),
        cmocka_unit_test(test_kills),
    };
    if (argc == 4)
        write_until_killed(argv[1], argv[2], atoi(argv[3]));
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
