/* The web page and its parts, from memory. */
#include <string.h>

#include "api/http_call.h"
#include "api/route_handlers.h"
#include "api/web_assets.h"

static const char page_csp[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* path -> file, type */
static const struct {
    const char *path, *file, *type;
} pages[] = {{"/", "index.html", "text/html; charset=utf-8"},
             {"/app.js", "app.js", "text/javascript; charset=utf-8"},
             {"/style.css", "style.css", "text/css; charset=utf-8"}};

void wn_route_page(wn_http_call *call)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(call->route->path, pages[i].path) != 0)
            continue;
        for (size_t k = 0; k < wn_n_web_assets; k++) {
            const wn_web_asset *a = &wn_web_assets[k];
            if (strcmp(a->name, pages[i].file) == 0)
                wn_http_reply_page(call, pages[i].type, a->data, a->len);
        }
    }
    call->reply.csp = page_csp;
    call->reply.cache_control = "no-cache";
}
