/* From a call's reply to the library's response: header fields, bodies, event streams. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_server_internal.h"
#include "base/checked.h"
#include "base/clock.h"

#define MIN_RATE 16384 /* bytes a second that a reader has to take, after idle_ms */

/* What the library's reader callback needs of a stream. */
typedef struct stream_reader {
    wn_sse_stream *stream;
    wn_http_connection *connection;
    unsigned ping_ms;
    int64_t idle_ns;
} stream_reader;

static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    stream_reader *reader = ctx;
    wn_http_connection_expect(reader->connection, WN_PHASE_WORK, 0);
    size_t n = wn_sse_read(reader->stream, buf, max, reader->ping_ms);
    /* What we return has to be taken by the client within the idle time. */
    wn_http_connection_expect(reader->connection, WN_PHASE_SEND, wn_clock_ns() + reader->idle_ns);
    return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_stream(void *ctx)
{
    stream_reader *reader = ctx;
    wn_sse_abandon(reader->stream);
    wn_sse_release(reader->stream);
    wn_http_connection_release(reader->connection);
    free(reader);
}

static struct MHD_Response *stream_response(wn_http_request *r)
{
    stream_reader *reader = wn_alloc(1, sizeof *reader);
    if (!reader)
        return NULL;
    reader->stream = r->call.reply.stream;
    reader->connection = r->call.connection;
    reader->ping_ms = r->server->options.ping_ms;
    reader->idle_ns = (int64_t)r->server->options.idle_ms * 1000000;
    r->call.reply.stream = NULL;
    wn_http_connection_retain(reader->connection);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 8192, read_stream, reader, free_stream);
    if (!response)
        free_stream(reader);
    return response;
}

static struct MHD_Response *body_response(wn_http_reply *reply)
{
    if (reply->page) /* the library takes a mutable pointer and does not write through it */
        return MHD_create_response_from_buffer(reply->page_len, (void *)(uintptr_t)reply->page,
                                               MHD_RESPMEM_PERSISTENT);
    size_t len = reply->body.len;
    char *data = wn_strbuf_detach(&reply->body);
    if (!data && len > 0)
        return NULL;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        len, data ? data : "", data ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response)
        free(data);
    return response;
}

static void add_fields(struct MHD_Response *response, const wn_http_reply *reply)
{
    char number[16];
    MHD_add_response_header(response, "Content-Type", reply->content_type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cache-Control",
                            reply->cache_control ? reply->cache_control : "no-store");
    MHD_add_response_header(response, "Content-Security-Policy",
                            reply->csp ? reply->csp : "default-src 'none'; frame-ancestors 'none'");
    if (reply->retry_after_s) {
        snprintf(number, sizeof number, "%d", reply->retry_after_s);
        MHD_add_response_header(response, "Retry-After", number);
    }
    if (reply->allow[0])
        MHD_add_response_header(response, "Allow", reply->allow);
    if (reply->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (strncmp(reply->content_type, "text/event-stream", 17) == 0)
        MHD_add_response_header(response, "X-Accel-Buffering", "no");
    if (reply->close)
        MHD_add_response_header(response, "Connection", "close");
}

enum MHD_Result wn_http_send(wn_http_request *r, struct MHD_Connection *connection)
{
    wn_http_reply *reply = &r->call.reply;
    uint64_t len = reply->page ? reply->page_len : reply->body.len;
    int64_t allowed_ms = r->server->options.idle_ms + (int64_t)(len * 1000 / MIN_RATE);
    wn_http_connection_expect(r->call.connection, WN_PHASE_SEND,
                              wn_clock_ns() + allowed_ms * 1000000);
    struct MHD_Response *response = reply->stream ? stream_response(r) : body_response(reply);
    if (!response)
        return MHD_NO;
    add_fields(response, reply);
    enum MHD_Result queued = MHD_queue_response(connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return queued;
}
