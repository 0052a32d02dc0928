#include "kernels/panel_region.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

#define REGION_BYTES ((size_t)32 << 20)

struct wn_panel_region {
    uint8_t *data;
    size_t used, size;
    atomic_size_t n_refs;
};

static wn_panel_region *open_region(size_t bytes)
{
    wn_panel_region *r = wn_alloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->size = bytes > REGION_BYTES ? bytes : REGION_BYTES;
    r->data = wn_alloc_huge(r->size);
    if (!r->data) {
        free(r);
        return NULL;
    }
    atomic_init(&r->n_refs, 1);
    return r;
}

uint8_t *wn_panel_region_carve(wn_panel_region **region, size_t bytes)
{
    if (!wn_size_add(bytes, 63, &bytes))
        return NULL;
    bytes = bytes / 64 * 64;
    wn_panel_region *r = *region;
    if (!r || bytes > r->size - r->used) {
        r = open_region(bytes);
        if (!r)
            return NULL;
        wn_panel_region_release(*region);
        *region = r;
    }
    uint8_t *p = r->data + r->used;
    memset(p, 0, bytes);
    r->used += bytes;
    atomic_fetch_add(&r->n_refs, 1);
    return p;
}

void wn_panel_region_release(wn_panel_region *region)
{
    if (!region || atomic_fetch_sub(&region->n_refs, 1) != 1)
        return;
    free(region->data);
    free(region);
}
