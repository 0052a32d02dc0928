/* Memory of packed weights: many matrices share large regions on huge pages, since a page of its
 * own for every small matrix would waste most of it. A region lives until its last matrix is freed.
 * Threads: carving is for one thread at a time (wn_matrix_create), releasing for any. */
#ifndef WN_KERNELS_PANEL_REGION_H
#define WN_KERNELS_PANEL_REGION_H

#include <stddef.h>
#include <stdint.h>

typedef struct wn_panel_region wn_panel_region;

/* `bytes` zeroed bytes at a multiple of 64, out of *region or, where that has no room, of a new one
 * that takes its place (*region starts as NULL and holds a reference). NULL: out of memory. The
 * caller holds a reference to *region for them: wn_panel_region_release. */
uint8_t *wn_panel_region_carve(wn_panel_region **region, size_t bytes);
void wn_panel_region_release(wn_panel_region *region); /* NULL is fine */

#endif
