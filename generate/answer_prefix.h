/* The part of an answer's prompt that other questions share: the instructions and the sources. It
 * is read through the prefix cache, so that the next question on them does not pay for it.
 *
 *     WN_TRY(wn_answer_prefix_read(request, &tokens, events, &out->prefix, err));
 *     ... wn_generate reads what stands behind it ...
 *
 * Threads: as the session.
 */
#ifndef WN_GENERATE_ANSWER_PREFIX_H
#define WN_GENERATE_ANSWER_PREFIX_H

#include "generate/answer.h"
#include "generate/prompt.h"

/* The ends of documents in a prompt, ascending, and of the words before every question; *n of them.
 * A document's sources lie together. Names are in *names. Caller frees both. */
wn_status wn_answer_prefix_ends(const wn_source *sources, size_t n_sources,
                                const wn_prompt_tokens *tokens, wn_prefix_end **ends, size_t *n,
                                char **names, wn_error *err);

/* The session holds a beginning of the prompt's ids: at least the sources where there is a cache,
 * more where it held more already. out says what of it was not read; events may be NULL. */
wn_status wn_answer_prefix_read(const wn_answer_request *r, const wn_prompt_tokens *tokens,
                                const wn_answer_events *events, wn_answer_prefix *out,
                                wn_error *err);

#endif
