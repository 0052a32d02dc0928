/* Questions asked behind one long prefix, which a session reads before any of them is known: once
 * with all keys and once at each operating point of eviction heads (kv_reader.h).
 *
 *     WN_TRY(wn_kv_sides_open(&sides, heads, err));
 *     wn_kv_prompt_make(m, system, user, &prompts[i], err);      // for every question
 *     WN_TRY(wn_kv_quiz_run(&quiz, &sides, visit, ctx, err));    // visit gets every answer
 *
 * Threads: as the compute context.
 */
#ifndef WN_API_KV_QUIZ_H
#define WN_API_KV_QUIZ_H

#include "api/kv_reader.h"
#include "base/callbacks.h"

/* All keys, or those that an operating point leaves. */
typedef struct wn_kv_side {
    const wn_dms_point *point; /* NULL: all keys */
    size_t n_prefixes, n_tokens;
    double live, bytes; /* sums over prefixes of live / dense slots, of bytes held / dense bf16 */
} wn_kv_side;

typedef struct wn_kv_sides {
    size_t n;
    wn_kv_side *all; /* the first: all keys */
} wn_kv_sides;
/* heads: NULL where there are none. */
wn_status wn_kv_sides_open(wn_kv_sides *out, const wn_dms_heads *heads, wn_error *err);
void wn_kv_sides_close(wn_kv_sides *s);
const char *wn_kv_side_name(const wn_kv_side *s);  /* "dense", "heads" */
double wn_kv_side_slots(const wn_kv_side *s);      /* dense slots / live slots, of all prefixes */
double wn_kv_side_byte_ratio(const wn_kv_side *s); /* dense bf16 bytes / bytes held */

typedef struct wn_kv_prompt {
    int32_t *ids; /* owned */
    size_t n;
} wn_kv_prompt;
/* A conversation up to the assistant's turn. system: NULL = the family's. */
wn_status wn_kv_prompt_make(const wn_model *m, const char *system, const wn_strbuf *user,
                            wn_kv_prompt *out, wn_error *err);
void wn_kv_prompts_free(wn_kv_prompt *p, size_t n); /* and the array */
/* Tokens that all of them begin with. */
size_t wn_kv_common_prefix(const wn_kv_prompt *p, size_t n);

typedef struct wn_kv_quiz {
    const wn_model *model;
    wn_compute *compute;
    wn_kv_format kv_format;
    const wn_dms_heads *heads;
    const wn_kv_prompt *prompts; /* [n_prompts]; what they have in common is the prefix */
    size_t n_prompts, n_asked;   /* the others only keep a question's words out of the prefix */
    size_t max_tokens;           /* of an answer */
    wn_progress_fn progress;     /* may be NULL; answers of all sides */
    void *progress_ctx;
} wn_kv_quiz;

typedef wn_status (*wn_kv_answer_fn)(void *ctx, size_t side, size_t question, const char *answer,
                                     wn_error *err);
/* Visits every question of the first side, then of the next. */
wn_status wn_kv_quiz_run(const wn_kv_quiz *quiz, wn_kv_sides *sides, wn_kv_answer_fn visit,
                         void *ctx, wn_error *err);

#endif
