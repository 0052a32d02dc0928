#include "api/asked_text.h"

#include <stdlib.h>
#include <string.h>

#include "api/text_questions.h"
#include "base/checked.h"
#include "generate/prompt.h"

static const char repeat_text[] = "Repeat the passages above.";

size_t wn_asked_text_max(size_t n_tokens, size_t n_questions)
{
    const size_t prefix = n_questions ? wn_text_questions_max_prefix(n_tokens) : 0;
    return 2 * n_tokens + prefix + WN_REPEAT_TEXT_EXTRA;
}

/* The text with the first question, answers and questions, the request to repeat, the text. */
static void list_messages(const wn_text_questions *q, size_t n, const wn_strbuf *user,
                          wn_chat_message *out)
{
    const char *system = wn_text_questions_system();
    *out++ = (wn_chat_message){"system", system, strlen(system)};
    for (size_t i = 0; i < n; i++) {
        *out++ = (wn_chat_message){"user", user[i].data, user[i].len};
        *out++ = (wn_chat_message){"assistant", q->all[i].answer, strlen(q->all[i].answer)};
    }
    *out++ = (wn_chat_message){"user", repeat_text, sizeof repeat_text - 1};
    *out = (wn_chat_message){"assistant", q->given.data, q->given.len};
}

static bool write_turn(const wn_text_questions *q, size_t i, wn_strbuf *out)
{
    const char *text = q->all[i].text;
    const wn_prompt p = {.sources = q->parts, .n_sources = q->n_parts, .question = text};
    if (i == 0)
        wn_prompt_user(&p, out);
    else
        wn_strbuf_printf(out, "Question: %s", text);
    return !wn_strbuf_failed(out);
}

/* With the first n questions. */
static wn_status encode(const wn_model *m, const wn_text_questions *q, size_t n, wn_asked_text *out,
                        wn_error *err)
{
    const size_t n_messages = 2 * n + 3;
    wn_chat_message *messages = wn_alloc(n_messages, sizeof *messages);
    wn_strbuf *user = wn_alloc(n, sizeof *user);
    bool ok = messages && user;
    for (size_t i = 0; ok && i < n; i++)
        ok = write_turn(q, i, &user[i]);
    wn_status status = ok ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "questions: out of memory");
    if (status == WN_OK) {
        list_messages(q, n, user, messages);
        status = wn_chat_encode(wn_model_tokenizer(m), wn_model_chat_family(m), messages,
                                n_messages, false, &out->ids, &out->n, err);
    }
    for (size_t i = 0; user && i < n; i++)
        wn_strbuf_free(&user[i]);
    free(user);
    free(messages);
    return status;
}

/* Answers may be longer than the room that was left for them. */
static wn_status encode_what_fits(const wn_model *m, const wn_text_questions *q, size_t most,
                                  wn_asked_text *out, wn_error *err)
{
    for (size_t n = q->n; n > 0; n--) {
        WN_TRY(encode(m, q, n, out, err));
        out->n_given = q->n_prefix;
        out->n_questions = n;
        if (out->n <= most)
            return WN_OK;
        free(out->ids);
        *out = (wn_asked_text){0};
    }
    return WN_OK;
}

static wn_status ask(wn_asked_text *out, const wn_model *m, wn_compute *c,
                     const wn_asked_text_options *o, wn_error *err)
{
    wn_text_questions q = {0};
    const wn_text_questions_options qo = {.text = o->text,
                                          .len = o->len,
                                          .n_tokens = o->n_tokens,
                                          .n_questions = o->n_questions,
                                          .n_room = o->n_tokens};
    WN_TRY(wn_text_questions_make(&q, m, c, &qo, err));
    wn_status status =
        encode_what_fits(m, &q, wn_asked_text_max(o->n_tokens, o->n_questions), out, err);
    wn_text_questions_free(&q);
    return status;
}

wn_status wn_asked_text_ids(wn_asked_text *out, const wn_model *m, wn_compute *c,
                            const wn_asked_text_options *o, wn_error *err)
{
    *out = (wn_asked_text){0};
    if (o->n_questions)
        WN_TRY(ask(out, m, c, o, err));
    if (out->n_questions)
        return WN_OK;
    wn_repeat_text r = {0};
    WN_TRY(wn_repeat_text_ids(m, o->text, o->len, o->n_tokens, &r, err));
    *out = (wn_asked_text){.ids = r.ids, .n = r.n, .n_given = r.n_given};
    return WN_OK;
}
