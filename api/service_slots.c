#include "api/service_slots.h"

#include "api/memory_available.h"
#include "api/service_prefix.h"
#include "base/log.h"

#define DEFAULT_N_CTX 8192

void wn_service_slots_init(service_slots *slots, size_t n_wanted)
{
    slots->n_wanted = n_wanted ? n_wanted : 1;
    if (slots->n_wanted > WN_SESSIONS_MAX)
        slots->n_wanted = WN_SESSIONS_MAX;
    pthread_mutex_init(&slots->lock, NULL);
    pthread_cond_init(&slots->freed, NULL);
}

/* As many sessions as there is memory for now; one is tried in any case. */
static size_t affordable(const wn_service *s, const wn_session_options *o)
{
    const size_t wanted = s->slots.n_wanted, there = wn_memory_available("");
    const size_t each = wn_session_max_bytes(s->model, s->compute, o) +
                        wn_session_scratch_bytes(s->model, s->compute, o);
    if (there / each >= wanted)
        return wanted;
    const size_t n = there < each ? 1 : there / each;
    wn_log(WN_LOG_WARN, "api",
           "%zu answers at once instead of %zu: each may take %zu MiB, and %zu MiB are available",
           n, wanted, each >> 20, there >> 20);
    return n;
}

static wn_status open_sessions(wn_service *s, size_t n, const wn_session_options *o, wn_error *err)
{
    service_slots *slots = &s->slots;
    if (!slots->turns)
        WN_TRY(wn_session_turns_open(&slots->turns, s->model, slots->n_wanted, err));
    for (size_t i = 0; i < n; i++) {
        service_slot *slot = &slots->items[i];
        slot->service = s;
        slot->turn.turns = slots->turns;
        if (!slot->session)
            WN_TRY(wn_session_open(&slot->session, s->model, s->compute, o, err));
    }
    slots->n = n;
    return WN_OK;
}

wn_status wn_service_slots_open(wn_service *s, wn_error *err)
{
    const wn_model *model = NULL;
    WN_TRY(wn_service_generator(s, &model, err));
    pthread_mutex_lock(&s->slots.lock);
    const bool open = s->slots.n > 0;
    pthread_mutex_unlock(&s->slots.lock);
    if (open)
        return WN_OK;
    const size_t trained = wn_model_config_of(model)->n_ctx;
    const size_t n_ctx = s->n_ctx ? s->n_ctx : DEFAULT_N_CTX;
    wn_session_options options;
    WN_TRY(wn_service_session_options(s, n_ctx < trained ? n_ctx : trained, &options, err));
    const size_t n = affordable(s, &options);
    WN_TRY(wn_service_prefixes_open(s, &options, n, err));
    pthread_mutex_lock(&s->slots.lock);
    wn_status status = open_sessions(s, n, &options, err);
    pthread_mutex_unlock(&s->slots.lock);
    return status;
}

void wn_service_slots_close(service_slots *slots)
{
    for (size_t i = 0; i < WN_SESSIONS_MAX; i++)
        wn_session_close(slots->items[i].session);
    wn_session_turns_close(slots->turns);
    pthread_cond_destroy(&slots->freed);
    pthread_mutex_destroy(&slots->lock);
}

static size_t n_held(const wn_session *s, const int32_t *ids, size_t n_ids)
{
    const size_t n_read = wn_session_n_read(s);
    size_t n = 0;
    while (n < n_ids && n < n_read && wn_session_ids(s)[n] == ids[n])
        n++;
    return n;
}

static service_slot *find_free(service_slots *slots, const int32_t *ids, size_t n_ids)
{
    service_slot *best = NULL;
    size_t most = 0;
    for (size_t i = 0; i < slots->n; i++) {
        service_slot *slot = &slots->items[i];
        if (slot->taken)
            continue;
        const size_t n = n_held(slot->session, ids, n_ids);
        if (!best || n > most || (n == most && slot->used > best->used)) {
            best = slot;
            most = n;
        }
    }
    return best;
}

service_slot *wn_service_slot_take(wn_service *s, const int32_t *ids, size_t n_ids)
{
    service_slots *slots = &s->slots;
    service_slot *slot = NULL;
    pthread_mutex_lock(&slots->lock);
    while ((slot = find_free(slots, ids, n_ids)) == NULL)
        pthread_cond_wait(&slots->freed, &slots->lock);
    slot->taken = true;
    slot->used = ++slots->n_taken;
    pthread_mutex_unlock(&slots->lock);
    return slot;
}

void wn_service_slot_give(wn_service *s, service_slot *slot)
{
    service_slots *slots = &s->slots;
    pthread_mutex_lock(&slots->lock);
    while (slot->stale) {
        slot->stale = false;
        pthread_mutex_unlock(&slots->lock);
        wn_turn_take(&slot->turn, NULL);
        wn_session_truncate(slot->session, 0);
        wn_turn_give(&slot->turn);
        pthread_mutex_lock(&slots->lock);
    }
    slot->taken = false;
    pthread_cond_signal(&slots->freed);
    pthread_mutex_unlock(&slots->lock);
}

wn_status wn_service_slot_embed(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                                float *out, wn_error *err)
{
    service_slot *slot = ctx;
    wn_turn_away(&slot->turn);
    wn_status status = wn_service_embed(slot->service, texts, lens, n, out, err);
    wn_turn_back(&slot->turn);
    return status;
}

void wn_service_slots_empty(service_slots *slots)
{
    pthread_mutex_lock(&slots->lock);
    for (size_t i = 0; i < slots->n; i++) {
        if (slots->items[i].taken)
            slots->items[i].stale = true;
        else
            wn_session_truncate(slots->items[i].session, 0);
    }
    pthread_mutex_unlock(&slots->lock);
}
