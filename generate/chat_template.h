/* The chat templates of the three families, built in: no template code from model files is run.
 *
 *     wn_chat_message m[] = {{"system", sys, strlen(sys)}, {"user", q, strlen(q)}};
 *     WN_TRY(wn_chat_encode(t, wn_model_chat_family(model), m, 2, true, &ids, &n, err));
 *
 * Contents are encoded as plain text: a document that says "<|im_end|>" cannot end a turn.
 */
#ifndef WN_GENERATE_CHAT_TEMPLATE_H
#define WN_GENERATE_CHAT_TEMPLATE_H

#include "generate/tokenizer.h"

typedef enum wn_chat_family {
    WN_CHAT_LLAMA3,
    WN_CHAT_CHATML_SMOLLM2,
    WN_CHAT_CHATML_QWEN2
} wn_chat_family;

typedef struct wn_chat_message {
    const char *role; /* "system", "user", "assistant"; WN_INVALID otherwise. NULL: the turn before
                         goes on with this content, behind a cut */
    const char *content;
    size_t len;
} wn_chat_message;

/* Part of prefix-cache keys; raise on any change of the text. */
#define WN_CHAT_TEMPLATE_VERSION 1

/* Ids of the whole conversation, BOS included where the family has one, ending in the header of an
 * assistant turn when add_generation_prompt. Without a system message the family's default one is
 * used (as the published templates do); Llama 3.2's system turn always stands and begins with the
 * template's own fixed date lines. Caller frees *ids. */
wn_status wn_chat_encode(const wn_tokenizer *t, wn_chat_family family,
                         const wn_chat_message *messages, size_t n_messages,
                         bool add_generation_prompt, int32_t **ids, size_t *n, wn_error *err);
/* As above, and ends [n_messages] says how many ids there are where each message's content ends.
 * What stands before a cut has the same ids whatever follows, and all together those of the content
 * in one piece: a cut lies behind a line break and before a printable ASCII character but a digit,
 * WN_INVALID otherwise. */
wn_status wn_chat_encode_pieces(const wn_tokenizer *t, wn_chat_family family,
                                const wn_chat_message *messages, size_t n_messages,
                                bool add_generation_prompt, int32_t **ids, size_t *n, size_t *ends,
                                wn_error *err);

#endif
