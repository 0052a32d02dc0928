/* From a question to an answer: search, passages that fit the session, the answer, places of
 * citations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/model_catalog.h"
#include "api/service_internal.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/utf8.h"

static size_t count_tokens(void *service, const char *text, size_t len)
{
    wn_service *s = service;
    return wn_embedder_count_tokens(s->embedder, text, len); /* immutable: no lock */
}

wn_status wn_service_ingest_options(wn_service *s, wn_corpus *c, wn_ingest_options *o,
                                    wn_error *err)
{
    const char *name = NULL;
    WN_TRY(wn_service_embedder_info(s, &name, &o->dim, err));
    o->corpus = c;
    o->embed = wn_service_embed;
    o->embed_ctx = s;
    o->count_tokens = count_tokens;
    o->count_ctx = s;
    o->pdfium_path = wn_fs_exists(s->pdfium) ? s->pdfium : NULL;
    return WN_OK;
}

wn_status wn_service_search(wn_service *s, wn_corpus *c, const char *question, size_t len,
                            const wn_search_options *options, wn_search_result *out, wn_error *err)
{
    wn_embedder *e = NULL;
    pthread_mutex_lock(&s->embed_lock);
    wn_status status = wn_service_embedder_locked(s, &e, err);
    if (status == WN_OK)
        status = wn_retrieve(c, e, question, len, options, out, err);
    pthread_mutex_unlock(&s->embed_lock);
    return status;
}
