#include "api/chat_messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_fields.h"
#include "base/checked.h"

static bool bad(wn_http_call *call, size_t i, const char *field, const char *what)
{
    char param[48];
    snprintf(param, sizeof param, "messages[%zu].%s", i, field);
    wn_http_fail(call, 400, "invalid_value", param, "'%s' %s.", param, what);
    return false;
}

static const char *known_role(const json_t *role)
{
    static const char *const names[][2] = {{"system", "system"},
                                           {"developer", "system"},
                                           {"user", "user"},
                                           {"assistant", "assistant"}};
    for (size_t i = 0; json_is_string(role) && i < 4; i++)
        if (strcmp(json_string_value(role), names[i][0]) == 0)
            return names[i][1];
    return NULL;
}

static bool join_parts(const json_t *content, wn_strbuf *out)
{
    if (json_is_string(content)) {
        wn_strbuf_add(out, json_string_value(content), json_string_length(content));
        return true;
    }
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        const json_t *type = json_object_get(part, "type"), *text = json_object_get(part, "text");
        if (!json_is_string(type) || strcmp(json_string_value(type), "text") != 0 ||
            !json_is_string(text))
            return false;
        wn_strbuf_adds(out, i ? "\n" : "");
        wn_strbuf_add(out, json_string_value(text), json_string_length(text));
    }
    return json_is_array(content);
}

static bool read_one(wn_http_call *call, const json_t *message, size_t i, wn_chat_message *out)
{
    wn_strbuf text = {0};
    if (!json_is_object(message))
        return bad(call, i, "role", "is missing");
    out->role = known_role(json_object_get(message, "role"));
    if (!out->role)
        return bad(call, i, "role", "must be system, developer, user or assistant");
    const json_t *content = wn_field(message, "content");
    if (content && !join_parts(content, &text)) {
        wn_strbuf_free(&text);
        return bad(call, i, "content", "must be a string or an array of text parts");
    }
    if (!content && strcmp(out->role, "assistant") != 0)
        return bad(call, i, "content", "is missing");
    wn_strbuf_adds(&text, ""); /* an empty text is a string too */
    out->len = text.len;
    out->content = wn_strbuf_detach(&text);
    if (!out->content)
        wn_http_fail(call, 503, "no_memory", NULL, "Out of memory.");
    return out->content != NULL;
}

bool wn_chat_turns_read(wn_http_call *call, wn_chat_turns *out)
{
    const json_t *messages = NULL;
    if (!wn_field_array(call, call->json, "messages", WN_MAX_MESSAGES, &messages))
        return false;
    size_t n = json_array_size(messages);
    if (n == 0) {
        wn_http_fail(call, 400, "missing_required_parameter", "messages",
                     "'messages' must hold at least one message.");
        return false;
    }
    out->items = wn_alloc(n, sizeof *out->items);
    if (!out->items) {
        wn_http_fail(call, 503, "no_memory", NULL, "Out of memory.");
        return false;
    }
    for (; out->n < n; out->n++)
        if (!read_one(call, json_array_get(messages, out->n), out->n, &out->items[out->n]))
            return false;
    return true;
}

void wn_chat_turns_free(wn_chat_turns *m)
{
    for (size_t i = 0; i < m->n; i++)
        free((char *)(uintptr_t)m->items[i].content);
    free(m->items);
    *m = (wn_chat_turns){0};
}
