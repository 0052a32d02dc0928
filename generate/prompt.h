/* The prompt of an answer: system text, numbered passages, earlier turns, question.
 *
 *     wn_prompt p = {.sources = s, .n_sources = n, .question = q};
 *     WN_TRY(wn_prompt_encode(&p, tokenizer, family, &tokens, err));
 *     ... tokens.ids[0 .. tokens.ends[i]) are a prefix of every prompt that begins with sources
 *         0 .. i, whatever follows ...
 *     wn_prompt_tokens_free(&tokens);
 *
 * What changes least comes first, so that the prefix of a corpus recurs token by token: the sources
 * stand in the first question's turn, before it; a conversation goes on behind them. Nothing is
 * ever cut: what does not fit is the caller's choice. Pure functions; any thread.
 */
#ifndef WN_GENERATE_PROMPT_H
#define WN_GENERATE_PROMPT_H

#include "base/strbuf.h"
#include "generate/answer.h"
#include "generate/chat_template.h"

#define WN_PROMPT_VERSION 2 /* part of prefix-cache keys; raise on any change of the text */

typedef struct wn_prompt {
    const wn_source *sources;
    size_t n_sources;
    const char *question;
    const wn_answer_turn *history; /* oldest first */
    size_t n_history;
} wn_prompt;

typedef struct wn_prompt_tokens {
    int32_t *ids;
    size_t n;
    size_t n_fixed; /* of them before the first source: the same for all prompts */
    size_t *ends;   /* [n_sources] of them up to the end of each source */
    size_t n_words; /* behind the last source: those that every question begins with */
} wn_prompt_tokens;

const char *wn_prompt_system(void);
/* The turn with the sources, without history: "[1] title, headings, page 3", text, ..., question.
 * Check b for failure. */
void wn_prompt_user(const wn_prompt *p, wn_strbuf *b);
wn_status wn_prompt_encode(const wn_prompt *p, const wn_tokenizer *t, wn_chat_family family,
                           wn_prompt_tokens *out, wn_error *err);
void wn_prompt_tokens_free(wn_prompt_tokens *t); /* an all-zero one is fine */

#endif
