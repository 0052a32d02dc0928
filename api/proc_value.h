/* One value out of the kernel's "key : value" files. */
#ifndef WN_API_PROC_VALUE_H
#define WN_API_PROC_VALUE_H

#include <stddef.h>

/* The value of the first line of the file at `path` that begins with `key`, without the blanks
 * before it: wn_proc_value("/proc/cpuinfo", "model name", cpu, sizeof cpu). "" when absent. */
void wn_proc_value(const char *path, const char *key, char *out, size_t cap);

#endif
