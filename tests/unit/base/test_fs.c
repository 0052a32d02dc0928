/* Whole-file reads, atomic writes, folders, walks: on a temporary folder of the test's own. */
#include "tests/alloc_failure.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/fs.h"

static char root[64];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/winnow-test-fs-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return wn_fs_remove_tree(root, NULL) == WN_OK ? 0 : -1;
}

/* "root/name" in a buffer that lives until the fourth next call. */
static const char *at(const char *name)
{
    static char paths[4][512];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void put(const char *name, const char *text)
{
    WN_ASSERT_OK(wn_fs_write_atomic(at(name), text, strlen(text), err));
}

static void test_write_and_read(void **state)
{
    (void)state;
    put("a.txt", "first");
    put("a.txt", "second, longer");
    wn_strbuf b = {0};
    WN_ASSERT_OK(wn_fs_read(&b, at("a.txt"), 100, err));
    assert_string_equal(wn_strbuf_cstr(&b), "second, longer");
    WN_ASSERT_OK(wn_fs_write_atomic(at("empty"), NULL, 0, err));
    WN_ASSERT_OK(wn_fs_read(&b, at("empty"), 100, err)); /* appends nothing */
    assert_string_equal(wn_strbuf_cstr(&b), "second, longer");
    wn_strbuf_free(&b);

    size_t size = 300001; /* several reads */
    char *big = wn_alloc(size, 1);
    for (size_t i = 0; i < size; i++)
        big[i] = (char)(i * 7 + i / 256);
    WN_ASSERT_OK(wn_fs_write_atomic(at("big"), big, size, err));
    WN_ASSERT_OK(wn_fs_read(&b, at("big"), size, err)); /* exactly at the limit */
    assert_int_equal(b.len, size);
    assert_memory_equal(b.data, big, size);
    wn_strbuf_free(&b);
    assert_int_equal(wn_fs_read(&b, at("big"), size - 1, NULL), WN_LIMIT);
    assert_true(b.len < size);
    wn_strbuf_free(&b);
    free(big);
}

static void test_read_errors(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    wn_error err = {0};
    assert_int_equal(wn_fs_read(&b, at("absent"), 10, &err), WN_NOT_FOUND);
    assert_non_null(strstr(err.text, "/absent: "));
    err = (wn_error){0};
    assert_int_equal(wn_fs_read(&b, root, 10, &err), WN_INVALID);
    assert_non_null(strstr(err.text, "is a folder"));
    put("five", "12345");
    wn_strbuf_adds(&b, "xx");
    assert_int_equal(wn_fs_read(&b, at("five"), 1, NULL), WN_LIMIT);
    assert_string_equal(wn_strbuf_cstr(&b), "xx");
    wn_strbuf_free(&b);
}

/* A failed write leaves the old content and no temporary file behind. */
static void test_write_errors(void **state)
{
    (void)state;
    assert_int_equal(wn_fs_write_atomic(at("no/such/folder"), "x", 1, NULL), WN_NOT_FOUND);
    WN_ASSERT_OK(wn_fs_make_dirs(at("target/inside"), err));
    wn_error failure = {0};
    assert_int_equal(wn_fs_write_atomic(at("target"), "x", 1, &failure), WN_IO); /* a folder */
    assert_non_null(strstr(failure.text, "target: cannot rename"));
    assert_true(wn_fs_is_dir(at("target/inside")));
    char command[256];
    snprintf(command, sizeof command, "test -z \"$(find %s -name '*.tmp-*')\"", root);
    assert_int_equal(system(command), 0);
    char name[301]; /* longer than a file system takes */
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(wn_fs_write_atomic(at(name), "x", 1, NULL), WN_IO);
}

static void test_make_dirs(void **state)
{
    (void)state;
    WN_ASSERT_OK(wn_fs_make_dirs(at("p/q//r/"), err));
    WN_ASSERT_OK(wn_fs_make_dirs(at("p/q/r"), err));
    assert_true(wn_fs_is_dir(at("p/q/r")));
    struct stat st;
    assert_int_equal(stat(at("p/q"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    put("p/file", "x");
    assert_int_equal(wn_fs_make_dirs(at("p/file"), NULL), WN_INVALID);
    assert_int_equal(wn_fs_make_dirs(at("p/file/below"), NULL), WN_IO);
    assert_int_equal(wn_fs_make_dirs("", NULL), WN_INVALID);
    char path[PATH_MAX + 10];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(wn_fs_make_dirs(path, NULL), WN_INVALID);
    assert_true(wn_fs_exists(at("p/file")));
    assert_false(wn_fs_is_dir(at("p/file")));
    assert_false(wn_fs_exists(at("p/none")));
}

static void test_remove_tree(void **state)
{
    (void)state;
    WN_ASSERT_OK(wn_fs_make_dirs(at("gone/a/b"), err));
    WN_ASSERT_OK(wn_fs_make_dirs(at("stays"), err));
    put("stays/file", "x");
    put("gone/a/file", "x");
    assert_int_equal(symlink(at("stays"), at("gone/a/link")), 0);
    WN_ASSERT_OK(wn_fs_remove_tree(at("gone"), err));
    assert_false(wn_fs_exists(at("gone")));
    assert_true(wn_fs_exists(at("stays/file")));
    WN_ASSERT_OK(wn_fs_remove_tree(at("gone"), err)); /* absent is fine */
    WN_ASSERT_OK(wn_fs_remove_tree(at("stays/file"), err));
    assert_false(wn_fs_exists(at("stays/file")));
    assert_int_equal(symlink(at("nowhere"), at("dangling")), 0);
    WN_ASSERT_OK(wn_fs_remove_tree(at("dangling"), err));
    assert_int_equal(readlink(at("dangling"), (char[8]){0}, 8), -1);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const joins[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}, {"a", "", "a/"}};
    for (size_t i = 0; i < sizeof joins / sizeof joins[0]; i++) {
        char *path = wn_fs_join(joins[i][0], joins[i][1]);
        assert_string_equal(path, joins[i][2]);
        free(path);
    }
    assert_string_equal(wn_fs_basename("a/b/c.pdf"), "c.pdf");
    assert_string_equal(wn_fs_basename("c.pdf"), "c.pdf");
    assert_string_equal(wn_fs_basename("a/"), "");
    assert_string_equal(wn_fs_extension("a.b/c.tar.gz"), "gz");
    assert_string_equal(wn_fs_extension("a.b/c"), "");
    assert_string_equal(wn_fs_extension("a/.hidden"), "");
    assert_string_equal(wn_fs_extension("a/x."), "");
}

typedef struct visits {
    wn_strbuf text;    /* " name:size" */
    size_t stop_after; /* 0 = never */
    size_t n;
} visits;

static wn_status visit(void *ctx, const wn_fs_entry *entry, wn_error *err)
{
    visits *v = ctx;
    const char *name = entry->path;
    if (strncmp(name, root, strlen(root)) == 0)
        name += strlen(root) + 1;
    wn_strbuf_printf(&v->text, " %s:%d", name, (int)entry->size);
    assert_true(entry->mtime_ns > 1600000000LL * 1000000000);
    if (wn_strbuf_failed(&v->text))
        return wn_error_set(err, WN_NO_MEMORY, "out of memory");
    if (++v->n == v->stop_after)
        return wn_error_set(err, WN_CANCELLED, "stopped at %s", name);
    return WN_OK;
}

static void make_walk_tree(void)
{
    WN_ASSERT_OK(wn_fs_make_dirs(at("tree/B/deep"), err));
    WN_ASSERT_OK(wn_fs_make_dirs(at("tree/.hidden"), err));
    WN_ASSERT_OK(wn_fs_make_dirs(at("outside"), err));
    put("tree/b", "22");
    put("tree/a", "1");
    put("tree/.dot", "x");
    put("tree/.hidden/x", "x");
    put("tree/B/deep/z", "333");
    put("outside/secret", "x");
    assert_int_equal(symlink(at("outside"), at("tree/link")), 0);
    assert_int_equal(symlink(at("outside/secret"), at("tree/link-to-file")), 0);
    assert_int_equal(symlink("nowhere", at("tree/dangling")), 0);
    assert_int_equal(mkfifo(at("tree/pipe"), 0600), 0);
    assert_int_equal(symlink(at("tree"), at("root-link")), 0);
}

static void test_walk(void **state)
{
    (void)state;
    make_walk_tree();
    visits v = {0};
    WN_ASSERT_OK(wn_fs_walk(at("tree"), visit, &v, err));
    assert_string_equal(v.text.data, " tree/B/deep/z:3 tree/a:1 tree/b:2");
    wn_strbuf_clear(&v.text);
    WN_ASSERT_OK(wn_fs_walk(at("root-link"), visit, &v, err)); /* the named path may be a link */
    assert_string_equal(v.text.data, " root-link/B/deep/z:3 root-link/a:1 root-link/b:2");
    wn_strbuf_clear(&v.text);
    WN_ASSERT_OK(wn_fs_walk(at("tree/a"), visit, &v, err));
    assert_string_equal(v.text.data, " tree/a:1");
    wn_strbuf_clear(&v.text);
    assert_int_equal(wn_fs_walk(at("absent"), visit, &v, NULL), WN_NOT_FOUND);
    v.stop_after = v.n + 2;
    wn_error failure = {0};
    assert_int_equal(wn_fs_walk(at("tree"), visit, &v, &failure), WN_CANCELLED);
    assert_string_equal(failure.text, "stopped at tree/a");
    assert_string_equal(v.text.data, " tree/B/deep/z:3 tree/a:1");
    wn_strbuf_free(&v.text);
}

/* A file that another process removes while the walk is on its way is no error. */
static wn_status remove_later_one(void *ctx, const wn_fs_entry *entry, wn_error *err)
{
    (void)err;
    (*(int *)ctx)++;
    if (strcmp(wn_fs_basename(entry->path), "1") == 0)
        unlink(at("vanish/2"));
    return WN_OK;
}

static void test_walk_while_files_vanish(void **state)
{
    (void)state;
    int n = 0;
    WN_ASSERT_OK(wn_fs_make_dirs(at("vanish"), err));
    put("vanish/1", "x");
    put("vanish/2", "x");
    put("vanish/3", "x");
    WN_ASSERT_OK(wn_fs_walk(at("vanish"), remove_later_one, &n, err));
    assert_int_equal(n, 2);
}

static void test_walk_depth(void **state)
{
    (void)state;
    wn_strbuf path = {0};
    wn_strbuf_adds(&path, at("deep"));
    for (int i = 0; i < 70; i++)
        wn_strbuf_adds(&path, "/d");
    WN_ASSERT_OK(wn_fs_make_dirs(path.data, err));
    wn_strbuf_free(&path);
    visits v = {0};
    assert_int_equal(wn_fs_walk(at("deep"), visit, &v, NULL), WN_LIMIT);
    wn_strbuf_free(&v.text);
}

static wn_status everything(void *ctx, wn_error *err)
{
    (void)ctx;
    visits v = {0};
    wn_strbuf b = {0};
    wn_status status = WN_OK;
    WN_TRY_OUT(wn_fs_write_atomic(at("alloc/file"), "text", 4, err));
    WN_TRY_OUT(wn_fs_read(&b, at("alloc/file"), 100, err));
    WN_TRY_OUT(wn_fs_walk(at("alloc"), visit, &v, err));
    assert_int_equal(v.n, 41);
out:
    wn_strbuf_free(&v.text);
    wn_strbuf_free(&b);
    return status;
}

static void test_each_alloc_fails(void **state)
{
    (void)state;
    char name[32];
    WN_ASSERT_OK(wn_fs_make_dirs(at("alloc"), err));
    for (int i = 0; i < 40; i++) { /* the list of names grows past its first size */
        snprintf(name, sizeof name, "alloc/x%d", i);
        put(name, "x");
    }
    assert_true(wn_test_each_alloc_fails(everything, NULL) > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read), cmocka_unit_test(test_read_errors),
        cmocka_unit_test(test_write_errors),   cmocka_unit_test(test_make_dirs),
        cmocka_unit_test(test_remove_tree),    cmocka_unit_test(test_paths),
        cmocka_unit_test(test_walk),           cmocka_unit_test(test_walk_while_files_vanish),
        cmocka_unit_test(test_walk_depth),     cmocka_unit_test(test_each_alloc_fails),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
