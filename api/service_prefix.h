/* The service's prefixes of corpora: the cache beside its session's pool, its key, and the thread
 * that writes files when an answer is done. For service*.c only.
 *
 *     WN_TRY(wn_service_prefixes_open(s, &session_options, 1, err));  // fills options.pool
 *     WN_TRY(wn_service_prefix_key(s, corpus_handle, "notes", key, err));
 *     ... wn_prefix_cache_read(s->prefixes.cache, ...) ...
 *     wn_service_prefixes_save_soon(s);
 *
 * Threads: open: one that is alone with the service. Others: any.
 */
#ifndef WN_API_SERVICE_PREFIX_H
#define WN_API_SERVICE_PREFIX_H

#include "api/service_internal.h"

/* Opens pool and cache if they are not yet; the sessions' pages come from the pool then. A cache
 * that cannot be opened is logged, and the service goes on without one. */
wn_status wn_service_prefixes_open(wn_service *s, wn_session_options *o, size_t n_sessions,
                                   wn_error *err);
/* What is on disk can be loaded without waiting for memory. */
void wn_service_prefixes_prepare(wn_service *s);
/* Writes what is not written yet, closes; the sessions must be closed already. */
void wn_service_prefixes_close(wn_service *s);

wn_status wn_service_prefix_secret(wn_service *s, wn_error *err);   /* fills prefixes.secret */
wn_status wn_service_prefix_identify(wn_service *s, wn_error *err); /* fills model_key */
#define WN_PREFIX_KEY_LEN 256
/* All that tells prefixes of this corpus apart and a session does not say of itself. */
wn_status wn_service_prefix_key(wn_service *s, wn_corpus *corpus, const char *name,
                                char key[WN_PREFIX_KEY_LEN], wn_error *err);
/* The cache as a corpus uses it. */
typedef struct wn_prefix_use {
    wn_prefix_cache *cache; /* NULL: there is none */
    const char *corpus;     /* borrowed */
    uint64_t generation;    /* of the corpus, before anything was read of it */
    char key[WN_PREFIX_KEY_LEN];
} wn_prefix_use;
wn_status wn_prefix_use_of(wn_service *s, wn_corpus *corpus, const char *name, wn_prefix_use *out,
                           wn_error *err);
/* Another process may have changed the corpus: prefixes of documents that are gone or others by now
 * go, memory at once. */
void wn_service_prefix_drop_gone(wn_service *s, wn_corpus *corpus, const char *name);
/* Tokens of a prompt with these sources that need not be read. */
wn_status wn_prefix_use_peek(const wn_prefix_use *use, wn_session *session,
                             const wn_search_result *hits, const wn_prompt_tokens *prompt,
                             size_t *n_held, wn_error *err);
/* Where the corpus is gone or has changed since that generation, what was read of documents that
 * are gone or others by now is dropped again: their deletion may have come before they were read.
 */
wn_status wn_prefix_use_settle(wn_service *s, wn_corpus *corpus, const wn_prefix_use *use,
                               const wn_search_result *hits, wn_error *err);
/* Files are to be written, by a thread of its own: nobody waits. */
void wn_service_prefixes_save_soon(wn_service *s);

#endif
