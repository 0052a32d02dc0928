/* Copying under eviction: a request to repeat a text and the repetition, judged token by token
 * (kv_eval.h). Whatever a later question may ask for, repeating the text asks for it too.
 *
 *     wn_kv_copy_plan(8192, n_max, &n_given, &n_repeated);
 *     WN_TRY(wn_kv_cases_copy(eval, NULL, model, cases, n_cases, text, len, line, 8192, err));
 */
#ifndef WN_API_KV_COPYING_H
#define WN_API_KV_COPYING_H

#include "api/kv_baselines.h"

/* A context of n tokens: how many of them are given and how many of the first are repeated, at most
 * 2,048, so that both and WN_REPEAT_TEXT_EXTRA fit into n_max. Where n leaves no room for that,
 * the repetition is an eighth of n_max and the text what is left. 0 given: no room at all. */
void wn_kv_copy_plan(size_t n, size_t n_max, size_t *n_given, size_t *n_repeated);

/* Judges all cases whose window is shorter than the text on that, and adds to their line `line`;
 * nothing where the text is shorter than planned. With b, every 1 + WN_KV_BASELINES cases are heads
 * and their baselines, which are matched with the heads after the text that is given. e needs room
 * for the plan's tokens, and 2 n + WN_REPEAT_TEXT_EXTRA are always enough. */
wn_status wn_kv_cases_copy(wn_kv_eval *e, wn_kv_baselines *b, const wn_model *m, wn_kv_case *cases,
                           size_t n_cases, const char *text, size_t len, size_t line,
                           size_t n_tokens, wn_error *err);

#endif
