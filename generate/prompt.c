/* Writes the prompt of an answer (prompt.h). */
#include "generate/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* Short and plain: small models follow little more. Two choices were measured on XQuAD with three
 * passages and the 1.5B model. A sentence that offers "the documents do not say" as a way out makes
 * it take that way in 12 of 16 questions whose answer is in front of it: it is not offered here,
 * retrieval and refusal.h decide about that. Asking for complete sentences costs no right answer
 * and gives attribution more to hold on to than "In 1946.". */
static const char system_text[] =
    "You answer questions using the numbered passages. Answer in one or two complete sentences, "
    "using the words of the passages. Cite the passage number like [1].";

const char *wn_prompt_system(void)
{
    return system_text;
}

static void add_source(const wn_source *s, size_t number, wn_strbuf *b)
{
    wn_strbuf_printf(b, "[%zu] %s", number, s->title ? s->title : "");
    if (s->headings && s->headings[0])
        wn_strbuf_printf(b, ", %s", s->headings);
    if (s->page_start > 0 && s->page_end > s->page_start)
        wn_strbuf_printf(b, ", pages %d-%d", s->page_start, s->page_end);
    else if (s->page_start > 0)
        wn_strbuf_printf(b, ", page %d", s->page_start);
    wn_strbuf_addc(b, '\n');
    wn_strbuf_add(b, s->text, s->len);
    wn_strbuf_adds(b, "\n\n");
}

void wn_prompt_user(const wn_prompt *p, wn_strbuf *b)
{
    wn_strbuf_adds(b, "Passages:\n\n");
    for (size_t i = 0; i < p->n_sources; i++)
        add_source(&p->sources[i], i + 1, b);
    wn_strbuf_printf(b, "Question: %s", p->question);
}

wn_status wn_prompt_encode(const wn_prompt *p, const wn_tokenizer *t, wn_chat_family family,
                           int32_t **ids, size_t *n, wn_error *err)
{
    wn_status status = WN_OK;
    wn_strbuf user = {0};
    size_t n_messages = 0;
    wn_chat_message *messages = wn_alloc(2 * p->n_history + 2, sizeof *messages);
    wn_prompt_user(p, &user);
    if (!messages || wn_strbuf_failed(&user)) {
        status = wn_error_set(err, WN_NO_MEMORY, "no memory for the prompt");
        goto out;
    }
    messages[n_messages++] = (wn_chat_message){"system", system_text, sizeof system_text - 1};
    for (size_t i = 0; i < p->n_history; i++) {
        const wn_answer_turn *turn = &p->history[i];
        messages[n_messages++] = (wn_chat_message){"user", turn->question, strlen(turn->question)};
        messages[n_messages++] = (wn_chat_message){"assistant", turn->answer, strlen(turn->answer)};
    }
    messages[n_messages++] = (wn_chat_message){"user", wn_strbuf_cstr(&user), user.len};
    status = wn_chat_encode(t, family, messages, n_messages, true, ids, n, err);
out:
    free(messages);
    wn_strbuf_free(&user);
    return status;
}

wn_status wn_prompt_count_tokens(const wn_prompt *p, const wn_tokenizer *t, wn_chat_family family,
                                 size_t *n, wn_error *err)
{
    int32_t *ids = NULL;
    WN_TRY(wn_prompt_encode(p, t, family, &ids, n, err));
    free(ids);
    return WN_OK;
}
