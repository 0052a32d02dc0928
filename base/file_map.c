#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

wn_status wn_file_map_open(wn_file_map *out, const char *path, wn_error *err)
{
    *out = (wn_file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    if (fd < 0)
        return wn_error_set_errno(err, errno, "%s", path);
    wn_status status = WN_OK;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        status = wn_error_set_errno(err, errno, "%s", path);
    } else if (!S_ISREG(st.st_mode)) {
        status = wn_error_set(err, WN_INVALID, "%s: not a regular file", path);
    } else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            status = wn_error_set_errno(err, errno, "%s: cannot map", path);
        else
            *out = (wn_file_map){.data = p, .size = (size_t)st.st_size};
    }
    close(fd);
    return status;
}

void wn_file_map_drop(const void *data, size_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)data + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)data + bytes) / page * page;
    if (end > first)
        madvise((void *)first, end - first, MADV_DONTNEED); /* a hint: failing changes nothing */
}

void wn_file_map_close(wn_file_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (wn_file_map){0};
}
