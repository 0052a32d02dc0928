/* The server's insides, for http_server.c, http_admission.c, http_body.c and http_response.c only.
 */
#ifndef WN_API_HTTP_SERVER_INTERNAL_H
#define WN_API_HTTP_SERVER_INTERNAL_H

#include <microhttpd.h>

#include "api/http_call.h"
#include "api/http_guard.h"
#include "api/http_server.h"

struct wn_http_server {
    wn_http_options options; /* defaults filled in */
    wn_http_context context;
    struct MHD_Daemon *daemon;
    int listen_fd; /* -1 once the daemon owns it */
    uint16_t port;
    wn_http_watch *watch;
    bool local_only;   /* loopback without keys: Host and Origin are checked */
    bool check_layout; /* the library cuts headers in place: see http_guard.h */
    atomic_size_t n_active, body_bytes;
    wn_engine_job load_job;
    wn_error load_error;
    atomic_int load_status; /* wn_status */
};

/* Lives from the request line to the last byte of the reply. */
typedef struct wn_http_request {
    wn_http_call call;
    wn_http_server *server;
    char *target; /* raw, before the library unescapes it */
    const char *target_at;
    bool started, counted;
    bool discard; /* the reply is decided: the rest of the body is read and dropped */
    bool linger;  /* bytes may be left unread behind the reply */
    wn_http_framing framing;
    size_t body_limit, reserved;
    uint64_t received;
    int64_t started_ns;
} wn_http_request;

/* Admission: the first look at a request. Fills the call (route, parameters, principal), or decides
 * the reply: then call.reply.status is set, and `discard` tells whether the body is read first. */
void wn_http_admit(wn_http_request *r, struct MHD_Connection *connection, const char *method,
                   const char *path, const char *version);

/* Body bytes; false = cut the connection. */
bool wn_http_body_add(wn_http_request *r, const char *data, size_t len);
/* The body is complete: parses JSON where the route takes it, and runs the route. */
void wn_http_body_done(wn_http_request *r);

/* Hands the call's reply to the library. */
enum MHD_Result wn_http_send(wn_http_request *r, struct MHD_Connection *connection);

#endif
