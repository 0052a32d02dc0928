/* Lets a bounded number of requests do heavy work at once, and a bounded number wait in front of
 * it.
 *
 *     if (wn_http_gate_enter(gate, deadline_ns, gone, ctx) != WN_OK) ... 503 ...
 *     work();
 *     wn_http_gate_leave(gate);
 *
 * Threads: any.
 */
#ifndef WN_API_HTTP_GATE_H
#define WN_API_HTTP_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct wn_http_gate wn_http_gate;

wn_status wn_http_gate_open(wn_http_gate **out, size_t n_inside, size_t n_waiting, wn_error *err);
void wn_http_gate_close(wn_http_gate *g); /* NULL is fine; nobody may be inside */

/* WN_OK: inside. WN_BUSY: too many wait already (said at once). WN_DEADLINE: the monotonic time
 * deadline_ns passed. WN_CANCELLED: gone(ctx) said so. */
wn_status wn_http_gate_enter(wn_http_gate *g, int64_t deadline_ns, bool (*gone)(void *), void *ctx);
void wn_http_gate_leave(wn_http_gate *g);

#endif
