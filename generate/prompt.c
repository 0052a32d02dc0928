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

static const char passages_line[] = "Passages:\n\n";
static const char question_words[] = "Question:";

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
    wn_strbuf_adds(b, passages_line);
    for (size_t i = 0; i < p->n_sources; i++)
        add_source(&p->sources[i], i + 1, b);
    wn_strbuf_printf(b, "%s %s", question_words, p->question);
}

/* The messages' contents lie in `text` one after the other; each is known by its end until the text
 * no longer moves. */
typedef struct prompt_writer {
    wn_strbuf text;
    wn_chat_message *messages;
    size_t *ends; /* of the contents, in text */
    size_t n;
} prompt_writer;

static void end_message(prompt_writer *w, const char *role)
{
    w->messages[w->n].role = role;
    w->ends[w->n++] = w->text.len;
}

static void write_messages(prompt_writer *w, const wn_prompt *p)
{
    wn_strbuf_adds(&w->text, system_text);
    end_message(w, "system");
    wn_strbuf_adds(&w->text, passages_line);
    end_message(w, "user");
    for (size_t i = 0; i < p->n_sources; i++) {
        add_source(&p->sources[i], i + 1, &w->text);
        end_message(w, NULL);
    }
    for (size_t i = 0; i <= p->n_history; i++) {
        const bool asked_before = i < p->n_history;
        wn_strbuf_printf(&w->text, "%s %s", question_words,
                         asked_before ? p->history[i].question : p->question);
        end_message(w, i ? "user" : NULL);
        if (asked_before) {
            wn_strbuf_adds(&w->text, p->history[i].answer);
            end_message(w, "assistant");
        }
    }
    const char *text = wn_strbuf_cstr(&w->text);
    for (size_t i = 0, start = 0; i < w->n; start = w->ends[i++]) {
        w->messages[i].content = text + start;
        w->messages[i].len = w->ends[i] - start;
    }
}

/* Those of the question's words behind the sources that are tokens of their own, as they nearly
 * always are: a blank comes next. */
static wn_status count_words(const wn_tokenizer *t, size_t n_sources, wn_prompt_tokens *out,
                             wn_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    if (n_sources == 0)
        return WN_OK;
    WN_TRY(wn_tokenizer_encode(t, question_words, sizeof question_words - 1, 0, &ids, &n, err));
    const size_t end = out->ends[n_sources - 1];
    if (n <= out->n - end && memcmp(out->ids + end, ids, n * sizeof *ids) == 0)
        out->n_words = n;
    free(ids);
    return WN_OK;
}

wn_status wn_prompt_encode(const wn_prompt *p, const wn_tokenizer *t, wn_chat_family family,
                           wn_prompt_tokens *out, wn_error *err)
{
    const size_t n_most = p->n_sources + 2 * p->n_history + 3;
    prompt_writer w = {.messages = wn_alloc(n_most, sizeof *w.messages),
                       .ends = wn_alloc(n_most, sizeof *w.ends)};
    wn_status status = WN_OK;
    *out = (wn_prompt_tokens){0};
    if (w.messages && w.ends)
        write_messages(&w, p);
    if (!w.messages || !w.ends || wn_strbuf_failed(&w.text)) {
        status = wn_error_set(err, WN_NO_MEMORY, "no memory for the prompt");
        goto out;
    }
    WN_TRY_OUT(
        wn_chat_encode_pieces(t, family, w.messages, w.n, true, &out->ids, &out->n, w.ends, err));
    out->n_fixed = w.ends[1];
    memmove(w.ends, w.ends + 2, p->n_sources * sizeof *w.ends);
    out->ends = w.ends;
    w.ends = NULL;
    status = count_words(t, p->n_sources, out, err);
    if (status != WN_OK)
        wn_prompt_tokens_free(out);
out:
    free(w.messages);
    free(w.ends);
    wn_strbuf_free(&w.text);
    return status;
}

void wn_prompt_tokens_free(wn_prompt_tokens *t)
{
    free(t->ids);
    free(t->ends);
    *t = (wn_prompt_tokens){0};
}
