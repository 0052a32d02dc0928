/* Maps regular files only, and says so about everything else without waiting for it. */
#include "tests/test_support.h"

#include <sys/stat.h>

#include "base/file_map.h"
#include "base/fs.h"

static char root[64];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/winnow-test-map-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return wn_fs_remove_tree(root, NULL) == WN_OK ? 0 : -1;
}

static const char *at(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void test_map(void **state)
{
    (void)state;
    wn_file_map map;
    char text[10000];
    memset(text, 'w', sizeof text);
    WN_ASSERT_OK(wn_fs_write_atomic(at("file"), text, sizeof text, err));
    WN_ASSERT_OK(wn_file_map_open(&map, at("file"), err));
    assert_int_equal(map.size, sizeof text);
    assert_memory_equal(map.data, text, sizeof text);
    WN_ASSERT_OK(wn_fs_write_atomic(at("file"), "new", 3, err)); /* replaced, not overwritten */
    assert_memory_equal(map.data, text, sizeof text);
    wn_file_map_close(&map);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    wn_file_map_close(&map);
}

static void test_empty(void **state)
{
    (void)state;
    wn_file_map map = {.data = (const uint8_t *)"old", .size = 3};
    WN_ASSERT_OK(wn_fs_write_atomic(at("empty"), "", 0, err));
    WN_ASSERT_OK(wn_file_map_open(&map, at("empty"), err));
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    wn_file_map_close(&map);
}

static void test_refuses(void **state)
{
    (void)state;
    wn_file_map map;
    wn_error err = {0};
    assert_int_equal(wn_file_map_open(&map, at("absent"), &err), WN_NOT_FOUND);
    assert_non_null(strstr(err.text, "absent"));
    assert_null(map.data);
    err = (wn_error){0};
    assert_int_equal(wn_file_map_open(&map, root, &err), WN_INVALID);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(wn_file_map_open(&map, "/dev/zero", NULL), WN_INVALID);
    assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    assert_int_equal(wn_file_map_open(&map, at("pipe"), NULL), WN_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
