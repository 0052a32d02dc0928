/* A fixed pool of workers for data-parallel loops.
 *
 *     wn_thread_pool_run(pool, n_units, body, ctx);   // returns when all units are done
 *
 * Units are handed out dynamically (one atomic counter); the calling thread works too, as worker 0.
 * Workers spin briefly, then sleep. Which worker runs which unit is not deterministic, so a body's
 * result may depend on `unit` only, never on `worker` (that indexes scratch).
 * Threads: one caller at a time per pool.
 */
#ifndef WN_BASE_THREAD_POOL_H
#define WN_BASE_THREAD_POOL_H

#include <stddef.h>

#include "base/status.h"

typedef struct wn_thread_pool wn_thread_pool;
typedef void (*wn_unit_fn)(void *ctx, size_t unit, size_t worker);

/* n_threads counts the caller; 0 = the processors this process may use. */
wn_status wn_thread_pool_open(wn_thread_pool **out, size_t n_threads, wn_error *err);
size_t wn_thread_pool_size(const wn_thread_pool *pool);
void wn_thread_pool_run(wn_thread_pool *pool, size_t n_units, wn_unit_fn body, void *ctx);
void wn_thread_pool_close(wn_thread_pool *pool); /* NULL is fine */

#endif
