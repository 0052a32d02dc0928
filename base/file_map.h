/* Read-only memory map of a regular file. The mapping is private; the bytes are hostile. */
#ifndef WN_BASE_FILE_MAP_H
#define WN_BASE_FILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct wn_file_map {
    const uint8_t *data; /* NULL when the file is empty */
    size_t size;         /* bytes */
} wn_file_map;

wn_status wn_file_map_open(wn_file_map *out, const char *path, wn_error *err);
/* The pages that lie wholly inside data[0 .. bytes), part of a map, are not needed for now: they no
 * longer count as memory of this process, and are read from the file again when they are touched.
 */
void wn_file_map_drop(const void *data, size_t bytes);
void wn_file_map_close(wn_file_map *map); /* back to {0}; {0} is fine */

#endif
