/* Weights in tiles that come to L2 while others are multiplied: little in each step, because L3 is
 * slow and a burst would hold up the tiles. First what follows a unit's first group of slivers,
 * then the first group of the part that is wanted after it.
 *
 *     tile_stream s = tile_stream_open(unit, n_steps);
 *     tile_stream_fetch(s.step_bytes, &s.now.at);   // in every step
 *     tile_stream_advance(&s);                      // every few steps
 */
#ifndef WN_KERNELS_SIMD_TILE_STREAM_H
#define WN_KERNELS_SIMD_TILE_STREAM_H

#include "kernels/simd.h"
#ifdef WN_LANES

#include "kernels/kernel_table.h"

enum {
    TILE_PAIR_BYTES = 2048, /* of a sliver's two tiles */
    TILE_GROUP_PAIRS = 192, /* of slivers that stay in L2 together: 384 KB */
};

/* Runs of tiles, for a sliver each. */
typedef struct tile_runs {
    const uint8_t *at, *end; /* of this run; NULL: there is none */
    size_t run, stride, n;   /* bytes; runs that follow */
} tile_runs;

typedef struct tile_stream {
    tile_runs now, then;
    size_t step_bytes;
} tile_stream;

/* Tiles of a part's sliver from the k-th of its columns on. */
WN_INLINE const uint8_t *tiles_at(const wn_tile_part *p, size_t sliver, size_t k)
{
    const size_t n_tiles = (p->w->n_in + 31) / 32;
    return p->w->tiles + ((p->column / 32 + sliver) * n_tiles + p->k + k) * TILE_PAIR_BYTES;
}

static size_t tile_group_slivers(const wn_tile_part *p)
{
    const size_t n = TILE_GROUP_PAIRS / p->n_k;
    return n > 0 ? n : 1;
}

/* Slivers from `first` on, to `end` at most. */
static tile_runs tile_runs_of(const wn_tile_part *p, size_t first, size_t end)
{
    const size_t n = (p->n_cols + 31) / 32, stop = n < end ? n : end;
    if (first >= stop)
        return (tile_runs){0};
    const size_t run = p->n_k * TILE_PAIR_BYTES;
    const uint8_t *at = tiles_at(p, first, 0);
    return (tile_runs){at, at + run, run, (p->w->n_in + 31) / 32 * TILE_PAIR_BYTES,
                       stop - first - 1};
}

/* Behind a run: to the next one, or to the next part. */
WN_INLINE void tile_stream_advance(tile_stream *s)
{
    tile_runs *r = &s->now;
    if (r->at < r->end)
        return;
    if (r->n > 0) {
        r->n--;
        r->at += r->stride - r->run;
        r->end += r->stride;
        return;
    }
    s->now = s->then;
    s->then = (tile_runs){0};
    if (!s->now.at)
        s->step_bytes = 0;
}

static tile_stream tile_stream_open(const wn_tile_unit *u, size_t n_steps)
{
    tile_stream s = {.now = tile_runs_of(&u->part, tile_group_slivers(&u->part), SIZE_MAX)};
    if (u->next.w)
        s.then = tile_runs_of(&u->next, 0, tile_group_slivers(&u->next));
    const tile_runs *all[] = {&s.now, &s.then};
    size_t bytes = 0;
    for (size_t i = 0; i < 2; i++)
        bytes += all[i]->at ? (all[i]->n + 1) * all[i]->run : 0;
    s.step_bytes = (bytes / 64 + n_steps - 1) / n_steps * 64;
    tile_stream_advance(&s);
    return s;
}

WN_INLINE void tile_stream_fetch(size_t bytes, const uint8_t **at)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(*at + i, 0, 2);
    *at += bytes;
}

#endif
#endif
