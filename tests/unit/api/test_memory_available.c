/* What memory is left, on folders that stand for /. */
#include "tests/test_support.h"

#include <sys/stat.h>

#include "api/memory_available.h"
#include "base/fs.h"

#define MIB ((size_t)1 << 20)

static char root[] = "/tmp/wn_test_memory_XXXXXX";

static int make_root(void **state)
{
    (void)state;
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return wn_fs_remove_tree(root, NULL) == WN_OK ? 0 : -1;
}

static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + sizeof root, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void put_machine(const char *groups)
{
    put("proc/meminfo", "MemTotal:       24576000 kB\nMemAvailable:   20480000 kB\n");
    put("proc/self/cgroup", groups);
}

static void test_machine(void **state)
{
    (void)state;
    assert_int_equal(wn_memory_available(root), SIZE_MAX);
    put_machine("0::/\n");
    assert_int_equal(wn_memory_available(root), 20000 * MIB);
    put("sys/fs/cgroup/memory.max", "max\n");
    put("sys/fs/cgroup/memory.current", "1048576\n");
    assert_int_equal(wn_memory_available(root), 20000 * MIB);
    assert_in_range(wn_memory_available("") / MIB, 1, SIZE_MAX / MIB - 1); /* this one */
}

/* The tightest group counts, and files that are only cached do not. */
static void test_version_2(void **state)
{
    (void)state;
    put_machine("0::/system.slice/winnow.service\n");
    put("sys/fs/cgroup/system.slice/winnow.service/memory.max", "max\n");
    put("sys/fs/cgroup/system.slice/winnow.service/memory.current", "104857600\n");
    put("sys/fs/cgroup/system.slice/memory.max", "4294967296\n");
    put("sys/fs/cgroup/system.slice/memory.current", "1073741824\n");
    assert_int_equal(wn_memory_available(root), 3072 * MIB);
    put("sys/fs/cgroup/system.slice/memory.stat",
        "anon 5\ninactive_file_other 7\ninactive_file 536870912\n");
    assert_int_equal(wn_memory_available(root), 3584 * MIB);
    put("sys/fs/cgroup/system.slice/winnow.service/memory.max", "52428800\n");
    assert_int_equal(wn_memory_available(root), 0);
}

static void test_version_1(void **state)
{
    (void)state;
    put_machine("9:name=systemd:/\n4:memory:/docker/0b0c\n1:cpu:/\nbroken\n0::/\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n");
    assert_int_equal(wn_memory_available(root), 20000 * MIB);
    put("sys/fs/cgroup/memory/docker/0b0c/memory.limit_in_bytes", "2147483648\n");
    put("sys/fs/cgroup/memory/docker/0b0c/memory.usage_in_bytes", "1610612736\n");
    put("sys/fs/cgroup/memory/docker/0b0c/memory.stat", "total_inactive_file 536870912\n");
    assert_int_equal(wn_memory_available(root), 1024 * MIB);
}

/* A container sees its own group as the root, and perhaps the host's path. */
static void test_foreign_path(void **state)
{
    (void)state;
    put_machine("0::/kubepods/pod7/c1\n");
    put("sys/fs/cgroup/memory.max", "1073741824\n");
    put("sys/fs/cgroup/memory.current", "73741824\n");
    assert_int_equal(wn_memory_available(root), 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_machine, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_2, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_foreign_path, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
