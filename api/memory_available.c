#include "api/memory_available.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/proc_value.h"

/* Where a version of control groups keeps its figures. */
typedef struct group_files {
    const char *controllers; /* the second field of its line in /proc/self/cgroup */
    const char *mount, *limit, *usage, *idle;
} group_files;

static const group_files versions[] = {
    {"", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "},
    {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file "},
};

/* The first line of folder/name that begins with key, behind that; SIZE_MAX where it is no number:
 * no such file, or "max". */
static size_t read_bytes(const char *folder, const char *name, const char *key)
{
    char path[PATH_MAX], line[128];
    size_t bytes = SIZE_MAX;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path)
        return bytes;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        char *end = NULL;
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        const unsigned long long n = strtoull(line + strlen(key), &end, 10);
        if (end > line + strlen(key))
            bytes = (size_t)n;
        break;
    }
    if (file)
        fclose(file);
    return bytes;
}

/* What is left below one group's limit. */
static size_t left_in(const char *folder, const group_files *f)
{
    const size_t limit = read_bytes(folder, f->limit, ""), used = read_bytes(folder, f->usage, "");
    const size_t idle = read_bytes(folder, "memory.stat", f->idle);
    if (limit == SIZE_MAX || used == SIZE_MAX)
        return SIZE_MAX;
    const size_t needed = used - (idle < used ? idle : 0);
    return needed < limit ? limit - needed : 0;
}

/* The least of what the group at `path` and those above it have left. In a container a path may be
 * the host's; its own group is then the mounted root, which is looked at in any case. */
static size_t left_below(const char *root, const char *path, const group_files *f)
{
    char folder[PATH_MAX];
    size_t least = SIZE_MAX;
    if ((size_t)snprintf(folder, sizeof folder, "%s%s%s", root, f->mount, path) >= sizeof folder)
        return least;
    const size_t mount_len = strlen(root) + strlen(f->mount);
    for (size_t len = strlen(folder); len >= mount_len; len--) {
        if (folder[len] != '/' && folder[len] != '\0')
            continue;
        folder[len] = '\0';
        const size_t left = left_in(folder, f);
        least = left < least ? left : least;
    }
    return least;
}

size_t wn_memory_available(const char *root)
{
    char path[PATH_MAX], line[PATH_MAX], text[64];
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    wn_proc_value(path, "MemAvailable", text, sizeof text);
    size_t least = *text ? (size_t)strtoull(text, NULL, 10) << 10 : SIZE_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) { /* number:controllers:path */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
            if (strcmp(controllers + 1, versions[i].controllers) != 0)
                continue;
            const size_t left = left_below(root, group, &versions[i]);
            least = left < least ? left : least;
        }
    }
    if (file)
        fclose(file);
    return least;
}
