/* Who may do what: API keys, kept as SHA-256 hashes, with a scope and a list of corpora.
 *
 *     WN_TRY(wn_http_auth_open(&auth, "keys.txt", err));      // NULL: no keys, everything allowed
 *     const wn_http_principal *who = wn_http_auth_check(auth, "Bearer sk-...");   // NULL = 401
 *     if (!wn_http_may(who, WN_SCOPE_WRITE) || !wn_http_may_see(who, "notes")) ...
 *
 * Key file: one key a line, `<sha256 hex of the key> <read|write|admin> <corpora>`, where corpora
 * is `*` or names joined by commas; # begins a comment. `printf %s "$KEY" | sha256sum` makes the
 * hash. Immutable after open: any thread.
 */
#ifndef WN_API_HTTP_AUTH_H
#define WN_API_HTTP_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Each includes the ones before it. NONE: no key needed. */
typedef enum wn_scope { WN_SCOPE_NONE, WN_SCOPE_READ, WN_SCOPE_WRITE, WN_SCOPE_ADMIN } wn_scope;

typedef struct wn_http_auth wn_http_auth;
typedef struct wn_http_principal wn_http_principal;

wn_status wn_http_auth_open(wn_http_auth **out, const char *keys_file, wn_error *err);
void wn_http_auth_close(wn_http_auth *a);
bool wn_http_auth_has_keys(const wn_http_auth *a);

/* `authorization`: the header field's value, may be NULL. Every key is compared, in constant time.
 */
const wn_http_principal *wn_http_auth_check(const wn_http_auth *a, const char *authorization);

bool wn_http_may(const wn_http_principal *p, wn_scope scope);
bool wn_http_may_see(const wn_http_principal *p, const char *corpus);

/* DNS rebinding and cross-site requests, for a server without keys on a loopback address: the Host
 * must name this machine (localhost, 127.x.x.x, [::1], any port) ... */
bool wn_http_host_is_local(const char *host);
/* ... and a browser's Origin must be this very server. */
bool wn_http_origin_is_same(const char *origin, const char *host);
/* 127.0.0.0/8 and ::1. */
bool wn_http_address_is_loopback(const char *address);

#endif
