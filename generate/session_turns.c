#include "generate/session_turns.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* One thread's next token. */
typedef struct request {
    wn_session *session;
    int32_t id;
    bool done;
    wn_status status;
    wn_error *err;
} request;

struct wn_session_turns {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n_max;
    bool busy; /* a turn or a step runs */
    bool owed; /* there was a turn since the last step */
    uint64_t tickets;
    wn_turn *first; /* of those between take and give */
    size_t n_waiting;
    request *waiting[WN_SESSIONS_MAX]; /* for a step */
    float *logits;                     /* [n_max][n_vocab] */
    wn_turn_stats stats;
};

wn_status wn_session_turns_open(wn_session_turns **out, const wn_model *m, size_t n_max,
                                wn_error *err)
{
    assert(n_max >= 1 && n_max <= WN_SESSIONS_MAX);
    wn_session_turns *t = wn_alloc(1, sizeof *t);
    float *logits = wn_alloc(n_max * wn_model_config_of(m)->n_vocab, sizeof *logits);
    if (!t || !logits) {
        free(t);
        free(logits);
        return wn_error_set(err, WN_NO_MEMORY, "no memory for %zu sessions' logits", n_max);
    }
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    t->n_max = n_max;
    t->logits = logits;
    *out = t;
    return WN_OK;
}

void wn_session_turns_close(wn_session_turns *t)
{
    if (!t)
        return;
    assert(!t->busy && !t->first && t->stats.n_joined == 0);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t->logits);
    free(t);
}

static void change(wn_session_turns *t)
{
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

/* Turns --------------------------------------------------------------------------------------- */

/* Somebody else reads its text, or will before it does. */
static bool must_wait_for_text(const wn_session_turns *t, const wn_turn *turn)
{
    for (const wn_turn *o = turn->text && !turn->begun ? t->first : NULL; o; o = o->next)
        if (o != turn && o->text && strcmp(o->text, turn->text) == 0 &&
            (o->begun || o->ticket < turn->ticket))
            return true;
    return false;
}

/* Whose turn is next; NULL: nobody waits for one that could have it now. While a turn runs this is
 * of no use: its owner is in the list, too. */
static const wn_turn *next_turn(const wn_session_turns *t)
{
    const wn_turn *next = NULL;
    for (const wn_turn *o = t->first; o; o = o->next)
        if ((!next || o->ticket < next->ticket) && !must_wait_for_text(t, o))
            next = o;
    return next;
}

static void wait_for_turn(wn_turn *turn)
{
    wn_session_turns *t = turn->turns;
    turn->ticket = t->tickets++;
    while (t->busy || (t->owed && t->stats.n_joined > 0) || next_turn(t) != turn)
        pthread_cond_wait(&t->changed, &t->lock);
    t->busy = turn->begun = true;
}

void wn_turn_take(wn_turn *turn, const char *text)
{
    if (!turn)
        return;
    wn_session_turns *t = turn->turns;
    pthread_mutex_lock(&t->lock);
    turn->text = text;
    turn->begun = false;
    turn->next = t->first;
    t->first = turn;
    wait_for_turn(turn);
    pthread_mutex_unlock(&t->lock);
}

void wn_turn_pass(wn_turn *turn)
{
    if (!turn)
        return;
    wn_session_turns *t = turn->turns;
    pthread_mutex_lock(&t->lock);
    t->busy = false;
    t->owed = true;
    pthread_cond_broadcast(&t->changed);
    wait_for_turn(turn);
    pthread_mutex_unlock(&t->lock);
}

void wn_turn_give(wn_turn *turn)
{
    if (!turn)
        return;
    wn_session_turns *t = turn->turns;
    pthread_mutex_lock(&t->lock);
    wn_turn **link = &t->first;
    while (*link != turn)
        link = &(*link)->next;
    *link = turn->next;
    t->busy = false;
    t->owed = true;
    change(t);
}

/* Steps --------------------------------------------------------------------------------------- */

void wn_turn_join(wn_turn *turn)
{
    if (!turn)
        return;
    wn_session_turns *t = turn->turns;
    pthread_mutex_lock(&t->lock);
    assert(t->stats.n_joined < t->n_max);
    turn->joined = true;
    t->stats.n_joined++;
    pthread_mutex_unlock(&t->lock);
}

void wn_turn_leave(wn_turn *turn)
{
    if (!turn)
        return;
    wn_turn_away(turn);
    turn->joined = false;
}

void wn_turn_away(wn_turn *turn)
{
    if (!turn || !turn->joined)
        return;
    wn_session_turns *t = turn->turns;
    pthread_mutex_lock(&t->lock);
    t->stats.n_joined--;
    change(t); /* all others may be there now */
}

void wn_turn_back(wn_turn *turn)
{
    if (turn && turn->joined)
        wn_turn_join(turn);
}

/* One token for each of these, without the lock. Who cannot go on is left out, and the others try
 * again. Returns the tokens. */
static size_t step(wn_session_turns *t, request **r, size_t n)
{
    wn_session *sessions[WN_SESSIONS_MAX];
    int32_t ids[WN_SESSIONS_MAX];
    while (n > 0) {
        wn_error err = {0};
        size_t which = 0;
        for (size_t i = 0; i < n; i++) {
            sessions[i] = r[i]->session;
            ids[i] = r[i]->id;
        }
        const wn_status status =
            n == 1 ? wn_session_decode(sessions[0], ids[0], &err)
                   : wn_sessions_decode(sessions, n, ids, t->logits, &which, &err);
        if (status == WN_OK)
            break;
        r[which]->status = wn_error_set(r[which]->err, status, "%s", err.text);
        r[which] = r[--n];
    }
    return n;
}

/* Called with the lock, which is free meanwhile. */
static void run_step(wn_session_turns *t)
{
    request *all[WN_SESSIONS_MAX], *left[WN_SESSIONS_MAX];
    const size_t n = t->n_waiting;
    memcpy(all, t->waiting, sizeof all);
    memcpy(left, t->waiting, sizeof left);
    t->n_waiting = 0;
    t->busy = true;
    pthread_mutex_unlock(&t->lock);
    const size_t n_tokens = step(t, left, n);
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < n; i++)
        all[i]->done = true;
    t->stats.n_steps++;
    t->stats.n_tokens += n_tokens;
    t->busy = t->owed = false;
    pthread_cond_broadcast(&t->changed);
}

/* All are there, and nobody's turn comes before. */
static bool is_time(const wn_session_turns *t)
{
    return !t->busy && t->n_waiting == t->stats.n_joined && (t->owed || !next_turn(t));
}

wn_status wn_turn_decode(wn_turn *turn, wn_session *s, int32_t id, wn_error *err)
{
    if (!turn)
        return wn_session_decode(s, id, err);
    wn_session_turns *t = turn->turns;
    request r = {.session = s, .id = id, .status = WN_OK, .err = err};
    pthread_mutex_lock(&t->lock);
    t->waiting[t->n_waiting++] = &r;
    while (!r.done) {
        if (is_time(t))
            run_step(t);
        else
            pthread_cond_wait(&t->changed, &t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return r.status;
}

void wn_session_turns_stats(wn_session_turns *t, wn_turn_stats *out)
{
    pthread_mutex_lock(&t->lock);
    *out = t->stats;
    pthread_mutex_unlock(&t->lock);
}
