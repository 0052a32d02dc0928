/* The `messages` of a chat completion request: roles and texts, checked.
 *
 *     wn_chat_turns m = {0};
 *     if (wn_chat_turns_read(call, &m)) ... m.items[0..m.n) ...
 *     wn_chat_turns_free(&m);
 *
 * A content is a string or an array of text parts (joined by newlines). Roles developer and system
 * mean the same; tool and function messages are refused.
 */
#ifndef WN_API_CHAT_MESSAGES_H
#define WN_API_CHAT_MESSAGES_H

#include "api/http_call.h"

#define WN_MAX_MESSAGES 256

typedef struct wn_chat_turns {
    wn_chat_message *items; /* roles are static, contents owned */
    size_t n;
} wn_chat_turns;

bool wn_chat_turns_read(wn_http_call *call, wn_chat_turns *out); /* false after a 400 */
void wn_chat_turns_free(wn_chat_turns *m);

#endif
