/* The one list of routes: router, 405 and 404, auth, body limits, OpenAPI and the tests all read
 * it. What is not in it does not exist.
 *
 *     wn_route_match m;
 *     wn_route_find("GET", "/v1/corpora/notes", &m);
 *     if (m.route) m.route->handler(call);       // m.params[0] = "notes"
 *     else if (m.allow[0]) ... 405 ...           // the path exists, with these methods
 *
 * Immutable: any thread.
 */
#ifndef WN_API_ROUTE_TABLE_H
#define WN_API_ROUTE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/http_auth.h"

#define WN_ROUTE_MAX_PARAMS 2

struct wn_http_call;
typedef void (*wn_route_handler)(struct wn_http_call *call);

typedef enum wn_body_kind { WN_BODY_NONE, WN_BODY_JSON, WN_BODY_UPLOAD } wn_body_kind;

typedef struct wn_route {
    const char *method, *path; /* "{name}" segments are parameters */
    wn_route_handler handler;
    wn_scope scope;
    wn_body_kind body;
    bool always;          /* answered while models load and while the server drains */
    const char *id;       /* operationId of OpenAPI */
    const char *summary;  /* one line */
    const char *request;  /* schema of the body; NULL = none */
    const char *response; /* schema of a good answer; NULL = not JSON */
    const char *events;   /* schema of the stream's events; NULL = no stream */
    const char *query;    /* names of query parameters, separated by blanks; NULL = none */
    int status;           /* of a good answer */
} wn_route;

extern const wn_route wn_routes[];
extern const size_t wn_n_routes;

typedef struct wn_route_match {
    const wn_route *route;                   /* NULL: see allow */
    const char *params[WN_ROUTE_MAX_PARAMS]; /* into the path given; not NUL-terminated */
    size_t param_lens[WN_ROUTE_MAX_PARAMS];
    char allow[64]; /* methods of the path, "" when no route has it */
} wn_route_match;

/* HEAD finds GET's route. Segments are compared as they are; an empty parameter does not match. */
void wn_route_find(const char *method, const char *path, wn_route_match *out);

#endif
