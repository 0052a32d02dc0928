/* Maps regular files only, and says so about everything else without waiting for it. */
#include "tests/test_support.h"

#include <inttypes.h>
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

/* Bytes of the map that count as memory of this process. */
static size_t resident(const wn_file_map *map)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (map->size + page - 1) / page;
    size_t kib = 0, total = 0;
    char line[256];
    bool ours = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        uintptr_t first = 0, end = 0;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &first, &end) == 2)
            ours = (uintptr_t)map->data >= first && (uintptr_t)map->data < end;
        else if (ours && sscanf(line, "Rss: %zu kB", &kib) == 1)
            total = kib * 1024;
    }
    fclose(f);
    assert_true(total <= n * page);
    return total;
}

static void test_drop(void **state)
{
    (void)state;
    wn_file_map map;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 64 * page;
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + i / page % 26);
    WN_ASSERT_OK(wn_fs_write_atomic(at("dropped"), text, size, err));
    WN_ASSERT_OK(wn_file_map_open(&map, at("dropped"), err));
    assert_memory_equal(map.data, text, size);
    assert_int_equal(resident(&map), size);
    wn_file_map_drop(map.data + 1,
                     size - 2); /* the first and the last page are not wholly inside */
    const size_t left = resident(&map);
    wn_file_map_drop(map.data + 5, page / 2); /* no whole page */
    wn_file_map_drop(map.data, 0);
    assert_int_equal(left, 2 * page);
    assert_memory_equal(map.data, text, size); /* read again */
    wn_file_map_close(&map);
    free(text);
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
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
