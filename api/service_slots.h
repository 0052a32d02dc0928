/* The sessions of the generator, one for each answer that runs. For service*.c only.
 *
 *     WN_TRY(wn_service_slots_open(s, err));
 *     service_slot *slot = wn_service_slot_take(s, ids, n_ids);    // waits for a free one
 *     ... slot->session, slot->turn ...
 *     wn_service_slot_give(s, slot);
 *
 * Threads: open: one that is alone with the service (serve's load job, or a command); the others
 * any. A slot that was taken is its taker's; what its session does waits for slot->turn.
 */
#ifndef WN_API_SERVICE_SLOTS_H
#define WN_API_SERVICE_SLOTS_H

#include <pthread.h>

#include "generate/session_turns.h"

struct wn_service;

typedef struct service_slot {
    struct wn_service *service;
    wn_session *session;
    wn_turn turn;
    bool taken;
    bool stale;    /* it may hold what was dropped since it was taken */
    uint64_t used; /* when it was taken last: greater is later */
} service_slot;

typedef struct service_slots {
    size_t n_wanted;
    pthread_mutex_t lock; /* all below, but what a taken slot has */
    pthread_cond_t freed;
    wn_session_turns *turns;
    size_t n; /* 0: not open yet */
    uint64_t n_taken;
    service_slot items[WN_SESSIONS_MAX];
} service_slots;

void wn_service_slots_init(service_slots *slots, size_t n_wanted); /* 0 = 1 */
/* Loads the model and opens the sessions if they are not yet: as many as are wanted, fewer (and a
 * line in the log) where memory is short for all that they may hold. */
wn_status wn_service_slots_open(struct wn_service *s, wn_error *err);
void wn_service_slots_close(service_slots *slots);

/* The free one whose session holds most of the beginning of this prompt; of equals, the one that
 * was used last. */
service_slot *wn_service_slot_take(struct wn_service *s, const int32_t *ids, size_t n_ids);
void wn_service_slot_give(struct wn_service *s, service_slot *slot);
/* As wn_service_embed with ctx = a taken slot: others' steps do not wait for it. */
wn_status wn_service_slot_embed(void *slot, const char *const *texts, const size_t *lens, size_t n,
                                float *out, wn_error *err);
/* What sessions hold may have been dropped: free ones are emptied now, the others with their
 * answers' end. With a turn. */
void wn_service_slots_empty(service_slots *slots);

#endif
