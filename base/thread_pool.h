/* A fixed pool of workers for data-parallel loops.
 *
 *     wn_thread_pool_run(pool, n_units, body, ctx);   // returns when all units are done
 *
 * Units are handed out dynamically; the calling thread works too, as worker 0. Each worker begins
 * with a share of neighbouring units of its own (from loop to loop the same part of the data, which
 * its caches still hold), then takes what is left of the others'.
 * It waits for helpers that have begun a unit, never for one that has not come yet: a helper whose
 * processor is busy with something else costs nothing. One that lost its processor in the middle of
 * a unit keeps everybody waiting; for some time, longer when it happens again, it then works half
 * of the time, in turns shorter than a scheduler's slice, and on another processor than the
 * caller's. Between loops helpers spin briefly, then sleep.
 *
 * Which worker runs which unit is not deterministic, so a body's result may depend on `unit` only,
 * never on `worker` (that indexes scratch). A body may run loops of other pools, not of its own.
 * Otherwise threads are not bound to processors: the scheduler moves them off one that another
 * process takes.
 * Threads: one caller at a time per pool.
 */
#ifndef WN_BASE_THREAD_POOL_H
#define WN_BASE_THREAD_POOL_H

#include <stddef.h>

#include "base/status.h"

typedef struct wn_thread_pool wn_thread_pool;
typedef void (*wn_unit_fn)(void *ctx, size_t unit, size_t worker);

#define WN_THREAD_POOL_MAX 4096

/* n_threads counts the caller; 0 = the processors this process may use. WN_LIMIT above the
 * maximum. */
wn_status wn_thread_pool_open(wn_thread_pool **out, size_t n_threads, wn_error *err);
size_t wn_thread_pool_size(const wn_thread_pool *pool);
void wn_thread_pool_run(wn_thread_pool *pool, size_t n_units, wn_unit_fn body, void *ctx);
void wn_thread_pool_close(wn_thread_pool *pool); /* NULL is fine */

#endif
