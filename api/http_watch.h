/* Absolute deadlines of connections, and whether their clients are still there. The HTTP library's
 * own timer is one of inactivity, which a client that sends a byte a second never meets.
 *
 *     wn_http_connection *c = wn_http_watch_add(watch, fd);        // accepted: the header's time
 * runs wn_http_connection_expect(c, WN_PHASE_BODY, now + ...); wn_http_connection_expect(c,
 * WN_PHASE_WORK, 0);              // no deadline; watched for hang-up wn_http_watch_remove(watch,
 * c);                              // before the socket is closed
 *
 * One thread looks at all connections ten times a second and shuts the socket of a late one; the
 * library then sees its end. Ownership: reference-counted; the engine keeps one while it works for
 * the connection. Threads: any.
 */
#ifndef WN_API_HTTP_WATCH_H
#define WN_API_HTTP_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct wn_http_watch wn_http_watch;
typedef struct wn_http_connection wn_http_connection;

typedef enum wn_http_phase {
    WN_PHASE_HEADER, /* a request line or header is coming in */
    WN_PHASE_IDLE,   /* between requests; its first byte starts the header's time */
    WN_PHASE_BODY,
    WN_PHASE_WORK, /* we work; a client that hangs up is noticed */
    WN_PHASE_SEND
} wn_http_phase;

wn_status wn_http_watch_open(wn_http_watch **out, unsigned header_ms, unsigned idle_ms,
                             wn_error *err);
void wn_http_watch_close(wn_http_watch *w); /* every connection was removed; NULL is fine */

wn_http_connection *wn_http_watch_add(wn_http_watch *w, int fd); /* NULL: out of memory */
void wn_http_watch_remove(wn_http_watch *w, wn_http_connection *c);
/* Tells the work of all connections to stop (the server shuts down). */
void wn_http_watch_cancel_all(wn_http_watch *w);

/* deadline_ns: monotonic; 0 = none. HEADER and IDLE take theirs from the options (pass 0). */
void wn_http_connection_expect(wn_http_connection *c, wn_http_phase phase, int64_t deadline_ns);
wn_http_phase wn_http_connection_phase(wn_http_connection *c);

/* Asks the kernel now: true when the client closed its side, or the work was cancelled. */
bool wn_http_connection_gone(void *connection);
void wn_http_connection_mark_gone(wn_http_connection *c);
/* As last seen by the watcher; for code that polls a flag. */
const atomic_bool *wn_http_connection_gone_flag(const wn_http_connection *c);

void wn_http_connection_retain(wn_http_connection *c);
void wn_http_connection_release(wn_http_connection *c); /* NULL is fine */

/* Ends our side and reads the client's rest, for at most ms, so that closing does not reset the
 * connection under a reply that is still on its way. */
void wn_http_connection_linger(wn_http_connection *c, unsigned ms);

#endif
