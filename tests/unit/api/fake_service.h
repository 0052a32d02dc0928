/* The unit tests' double of api/service.h: corpora, ingestion and keyword search are real; the
 * models are not. Linked before wn_api, it takes the place of service*.c.
 *
 * What it "generates": n_prefill calls of on_prefill and the words of a fixed sentence, a pause of
 * step_ms before each step. What is held waits, for at most 20 s, until it is let go. */
#ifndef WN_TEST_FAKE_SERVICE_H
#define WN_TEST_FAKE_SERVICE_H

#include <stdatomic.h>

#include "api/service.h"

typedef struct wn_fake_controls {
    atomic_int step_ms;
    atomic_int n_prefill;
    atomic_int n_words; /* of the answer, looked at after each; 0 = the sentence once */
    atomic_bool hold_load, hold_prepare;
    atomic_bool load_fails;
    atomic_int steps;     /* steps begun since the start */
    atomic_int cancelled; /* runs that a callback stopped */
    atomic_int finished;  /* runs that came to their end */
    atomic_bool running;
    atomic_uint last_seed, last_max_tokens; /* of the last ask or generation */
    atomic_uint last_history;
    atomic_int turns; /* of preparing a prefix of 3,000 tokens, 1,000 in each */
    atomic_bool no_room;
    atomic_bool visit_lets_go; /* wn_service_prefix_visit lets preparing go on and to its end */
    atomic_int drops, last_dropped, tended;
} wn_fake_controls;

extern wn_fake_controls wn_fake;
#define WN_FAKE_WORDS                                                                              \
    7 /* of the sentence "The documents say so in their text. [1]" without marker */

wn_status wn_fake_service_open(wn_service **out, wn_error *err); /* in a new folder below /tmp */

#endif
