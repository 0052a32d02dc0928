/* Bump allocator with a cap: one per request or per parsed document, freed as a whole.
 *
 *     wn_arena *a = NULL;
 *     WN_TRY(wn_arena_create(&a, 64 << 20, err));      // refuses to grow past 64 MiB
 *     char *s = wn_arena_strndup(a, text, len);        // NULL when the cap or memory is reached
 *     wn_arena_free(a);
 *
 * Threads: one at a time.
 */
#ifndef WN_BASE_ARENA_H
#define WN_BASE_ARENA_H

#include <stddef.h>

#include "base/status.h"

typedef struct wn_arena wn_arena;

wn_status wn_arena_create(wn_arena **out, size_t cap_bytes, wn_error *err);
void *wn_arena_alloc(wn_arena *a, size_t n, size_t size); /* zeroed, aligned to 16; NULL = full */
char *wn_arena_strndup(wn_arena *a, const char *s, size_t len);
char *wn_arena_strdup(wn_arena *a, const char *s);
size_t wn_arena_used(const wn_arena *a); /* bytes handed out */
void wn_arena_reset(wn_arena *a);        /* all pointers die, blocks are kept */
void wn_arena_free(wn_arena *a);         /* NULL is fine */

#endif
