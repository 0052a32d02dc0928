/* How much memory this process may still take. */
#ifndef WN_API_MEMORY_AVAILABLE_H
#define WN_API_MEMORY_AVAILABLE_H

#include <stddef.h>

/* Bytes: what the kernel calls available (MemAvailable of proc_meminfo(5)), or less where a control
 * group of the process, as containers and systemd units are, has a limit (memory.max of version 2,
 * memory.limit_in_bytes of version 1; its cached files that nobody uses count as free).
 * SIZE_MAX where nothing says. `root`: "", or a folder that stands for / (tests). */
size_t wn_memory_available(const char *root);

#endif
