/* A stream of server-sent events between the thread that makes them and the connection that sends
 * them.
 *
 *     WN_TRY(wn_sse_open(&s, 4 << 20, err));
 *     wn_http_reply_stream(call, s);               // the connection's reference
 *     wn_sse_send(s, "token", "{\"text\":\"a\"}");    // "event: token\ndata: {...}\n\n"
 *     wn_sse_end(s);
 *     wn_sse_release(s);
 *
 * The buffer between them is bounded and the maker never waits: a reader that falls `cap` bytes
 * behind is cut off. Reference-counted. Threads: any number of makers, one reader.
 */
#ifndef WN_API_SSE_H
#define WN_API_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct wn_sse_stream wn_sse_stream;

wn_status wn_sse_open(wn_sse_stream **out, size_t cap_bytes, wn_error *err); /* one reference */
void wn_sse_retain(wn_sse_stream *s);
void wn_sse_release(wn_sse_stream *s); /* NULL is fine */

/* event: NULL = none (OpenAI's streams). Each line of data gets its own "data:" line. WN_CANCELLED
 * when the reader is gone, WN_LIMIT when it fell behind (it counts as gone then). */
wn_status wn_sse_send(wn_sse_stream *s, const char *event, const char *data);
void wn_sse_end(wn_sse_stream *s); /* what is buffered is still read; later sends are dropped */
bool wn_sse_ended(wn_sse_stream *s);

/* The reader's side: waits for bytes, at most max. After ping_ms without any it returns a comment,
 * which keeps proxies from closing the stream. 0 = the stream is at its end. */
size_t wn_sse_read(wn_sse_stream *s, char *buf, size_t max, unsigned ping_ms);
void wn_sse_abandon(wn_sse_stream *s); /* the reader leaves: sends fail from now on */

#endif
