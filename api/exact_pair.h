/* The service's generator twice, on the same file: as it answers, and with f32 products and f32
 * keys and values (an exact compute context), each with an empty session. What rounding costs is
 * the difference of the two.
 *
 *     wn_exact_pair pair;
 *     WN_TRY(wn_exact_pair_open(&pair, service, 512, err));
 *     wn_session_append(pair.usual.session, ...); wn_session_append(pair.exact.session, ...);
 *     wn_exact_pair_close(&pair);
 *
 * Threads: as wn_service_ask.
 */
#ifndef WN_API_EXACT_PAIR_H
#define WN_API_EXACT_PAIR_H

#include "api/service.h"
#include "generate/session.h"

typedef struct wn_exact_side {
    const wn_model *model;
    wn_session *session; /* owned */
} wn_exact_side;

typedef struct wn_exact_pair {
    wn_exact_side usual, exact;
    wn_compute *exact_compute; /* owned, with exact.model */
} wn_exact_pair;

/* n_ctx: tokens that each session holds. After a failure *out is closed already. */
wn_status wn_exact_pair_open(wn_exact_pair *out, wn_service *s, size_t n_ctx, wn_error *err);
void wn_exact_pair_close(wn_exact_pair *p);

#endif
