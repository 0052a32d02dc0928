/* The prompt of an answer: system text, earlier turns, numbered passages, question.
 *
 *     wn_prompt p = {.sources = s, .n_sources = n, .question = q};
 *     WN_TRY(wn_prompt_encode(&p, tokenizer, family, &ids, &n_ids, err)); // caller frees ids
 *
 * What changes least comes first, so that the prefix of a conversation or of a corpus recurs token
 * by token. Nothing is ever cut: what does not fit is the caller's choice (wn_prompt_count_tokens).
 * Pure functions; any thread.
 */
#ifndef WN_GENERATE_PROMPT_H
#define WN_GENERATE_PROMPT_H

#include "base/strbuf.h"
#include "generate/answer.h"
#include "generate/chat_template.h"

#define WN_PROMPT_VERSION 1 /* part of prefix-cache keys; raise on any change of the text */

typedef struct wn_prompt {
    const wn_source *sources;
    size_t n_sources;
    const char *question;
    const wn_answer_turn *history; /* oldest first */
    size_t n_history;
} wn_prompt;

const char *wn_prompt_system(void);
/* The last user turn: "[1] title, headings, page 3", text, ..., question. Check b for failure. */
void wn_prompt_user(const wn_prompt *p, wn_strbuf *b);
wn_status wn_prompt_encode(const wn_prompt *p, const wn_tokenizer *t, wn_chat_family family,
                           int32_t **ids, size_t *n, wn_error *err);
wn_status wn_prompt_count_tokens(const wn_prompt *p, const wn_tokenizer *t, wn_chat_family family,
                                 size_t *n, wn_error *err);

#endif
