/* Threads that generate at the same time with one compute context: who reads a prompt takes turns
 * of a chunk, who decodes takes its token together with all others, in one step.
 *
 *     wn_turn turn = {.turns = turns};                       // a thread's own
 *     wn_turn_take(&turn, NULL);                             // around wn_session_append ...
 *     wn_turn_pass(&turn);                                   // ... at its progress ...
 *     wn_turn_give(&turn);
 *     wn_turn_join(&turn);
 *     WN_TRY(wn_turn_decode(&turn, session, id, err));       // as wn_session_decode, same bits
 *     wn_turn_leave(&turn);
 *
 * Model, sessions, pool and compute context belong to one thread at a time: to the one whose turn
 * it is, or to the one that runs a step, while all whose tokens are in it wait. A step begins when
 * all who have joined have come with a token. Where anybody has joined, turns and steps alternate:
 * a long prompt slows answers down and never stops them, nor they it.
 * Threads: any; each with a turn and a session of its own. A NULL turn is that of a thread alone.
 */
#ifndef WN_GENERATE_SESSION_TURNS_H
#define WN_GENERATE_SESSION_TURNS_H

#include "generate/session.h"

typedef struct wn_session_turns wn_session_turns;

typedef struct wn_turn {
    wn_session_turns *turns; /* all else is theirs, 0 to begin with */
    struct wn_turn *next;    /* from take to give */
    const char *text;
    uint64_t ticket;
    bool begun, joined;
} wn_turn;

/* n_max <= WN_SESSIONS_MAX sessions of this model decode at once. */
wn_status wn_session_turns_open(wn_session_turns **out, const wn_model *m, size_t n_max,
                                wn_error *err);
void wn_session_turns_close(wn_session_turns *t); /* nobody is in it; NULL is fine */

/* Waits, in order of arrival, until everything is this thread's. text (borrowed; NULL: none) names
 * what will be read: others who name the same wait until give, so that what this one reads of it is
 * there for them. */
void wn_turn_take(wn_turn *turn, const char *text);
/* Lets one step, and all others who wait, go before. */
void wn_turn_pass(wn_turn *turn);
void wn_turn_give(wn_turn *turn);

/* From join to leave a thread decodes, and does nothing else that takes long. At most n_max. */
void wn_turn_join(wn_turn *turn);
void wn_turn_leave(wn_turn *turn);
/* An error is this session's own: the others' step goes on without it. */
wn_status wn_turn_decode(wn_turn *turn, wn_session *s, int32_t id, wn_error *err);
/* What takes long after all, so that steps go on without this thread until back. Nothing where it
 * has not joined. */
void wn_turn_away(wn_turn *turn);
void wn_turn_back(wn_turn *turn);

typedef struct wn_turn_stats {
    size_t n_joined;            /* now */
    uint64_t n_steps, n_tokens; /* since open; tokens of all steps */
} wn_turn_stats;
void wn_session_turns_stats(wn_session_turns *t, wn_turn_stats *out);

#endif
