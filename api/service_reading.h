/* What the model is shown for a question: by the mode asked for, or chosen by size and past reuse.
 *
 *     wn_service_reading g = {.service = s, .corpus = c, .session = session, .ask = ask, ...};
 *     WN_TRY(wn_service_read_sources(&g, &result, &nothing, err));
 *     ... result.retrieval, result.reading ...        // the caller's to free, also after a failure
 *
 * For service*.c only; engine worker.
 */
#ifndef WN_API_SERVICE_READING_H
#define WN_API_SERVICE_READING_H

#include "api/service_prefix.h"

typedef struct wn_service_reading { /* all borrowed */
    wn_service *service;
    wn_corpus *corpus;
    wn_session *session; /* any of the kind that answers */
    const wn_ask *ask;
    const wn_reading_limits *limits;
    const wn_prefix_use *use;
} wn_service_reading;

/* *nothing: search found nothing good enough. */
wn_status wn_service_read_sources(const wn_service_reading *g, wn_ask_result *out, bool *nothing,
                                  wn_error *err);

#endif
