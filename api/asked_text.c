#include "api/asked_text.h"

#include <stdlib.h>
#include <string.h>

#include "api/kv_quiz.h"
#include "api/kv_reader.h"
#include "base/checked.h"
#include "base/utf8.h"

#define PART_BYTES 600
#define LEAST_PART 300
#define QUESTION_TOKENS 28 /* room for one, where several are written */
#define ANSWER_TOKENS 32
#define USUAL_ANSWER 8
#define TURN_TOKENS 24 /* of the template and the request, around a question and its answer */
#define LEAST_QUESTION 12
#define MOST_QUESTION 200 /* bytes */

static const char writer_text[] = "You write questions for a quiz.";
static const char write_text[] =
    "\n\nWrite %zu different short questions that this passage answers with a name, a number or a "
    "few words. Each must make sense to someone who does not see the passage. One line each, no "
    "answers.";
static const char ask_text[] = "Answer with a few words of the text: ";
static const char repeat_text[] = "Repeat the text above.";

typedef struct turn {
    const char *question; /* [len], in the model's own lines */
    size_t len;
    char *answer; /* owned */
} turn;

typedef struct asking {
    const wn_model *m;
    wn_compute *c;
    const wn_asked_text_options *o;
    wn_strbuf given;
    char **lines; /* [n_parts]: what the model wrote about each */
    size_t n_parts;
    turn *turns;            /* [n_parts * n_questions], n_turns of them used */
    size_t n_turns, n_kept; /* kept: those that the conversation has room for */
    wn_kv_prompt *prompts;  /* [n_turns + 1]: each question behind the text, and none of them */
    size_t n_prompts;
} asking;

size_t wn_asked_text_max(size_t n_tokens, size_t n_questions)
{
    return (n_questions ? 3 : 2) * n_tokens + WN_REPEAT_TEXT_EXTRA;
}

static bool ends_sentence(const char *text, size_t at)
{
    return text[at] == '\n' || (text[at] == ' ' && strchr(".!?", text[at - 1]));
}

size_t wn_asked_text_part(const char *text, size_t len)
{
    if (len <= PART_BYTES + LEAST_PART)
        return len;
    for (size_t at = PART_BYTES; at > LEAST_PART; at--)
        if (ends_sentence(text, at))
            return at + 1;
    for (size_t at = PART_BYTES; at > LEAST_PART; at--)
        if (text[at] == ' ')
            return at + 1;
    return wn_utf8_floor(text, PART_BYTES);
}

const char *wn_question_line(const char **at, size_t *len)
{
    while (**at) {
        const char *line = *at + strspn(*at, " \t\r\n-*.)(0123456789");
        const char *end = line + strcspn(line, "\r\n");
        *at = end;
        while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '*'))
            end--;
        *len = (size_t)(end - line);
        if (*len >= LEAST_QUESTION && *len <= MOST_QUESTION && end[-1] == '?')
            return line;
    }
    return NULL;
}

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "questions about a text: out of memory");
}

/* The likeliest answers to prompts, of which `shared` tokens are read once. */
static wn_status answer(const asking *a, const wn_kv_prompt *prompts, size_t n, size_t shared,
                        size_t max_tokens, char **out, wn_error *err)
{
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        longest = prompts[i].n > longest ? prompts[i].n : longest;
    const wn_kv_reader_options o = {
        .model = a->m, .compute = a->c, .kv_format = WN_KV_AUTO, .n_ctx = longest + max_tokens};
    wn_kv_reader *r = NULL;
    WN_TRY(wn_kv_reader_open(&r, &o, err));
    wn_status status = wn_kv_reader_read(r, prompts[0].ids, shared, err);
    for (size_t i = 0; status == WN_OK && i < n; i++)
        status = wn_kv_reader_ask(r, prompts[i].ids, prompts[i].n, max_tokens, &out[i], err);
    wn_kv_reader_close(r);
    return status;
}

static wn_status make_prompt(const asking *a, const char *system, wn_strbuf *user,
                             wn_kv_prompt *out, wn_error *err)
{
    wn_status status =
        wn_strbuf_failed(user) ? no_memory(err) : wn_kv_prompt_make(a->m, system, user, out, err);
    wn_strbuf_free(user);
    return status;
}

static wn_status write_questions(asking *a, wn_error *err)
{
    const size_t room = a->given.len / LEAST_PART + 1;
    a->lines = wn_alloc(room, sizeof *a->lines);
    if (!a->lines)
        return no_memory(err);
    for (size_t at = 0; at < a->given.len; a->n_parts++) {
        wn_kv_prompt *p = wn_alloc(1, sizeof *p);
        wn_strbuf user = {0};
        if (!p)
            return no_memory(err);
        const size_t n = wn_asked_text_part(a->given.data + at, a->given.len - at);
        wn_strbuf_add(&user, a->given.data + at, n);
        wn_strbuf_printf(&user, write_text, a->o->n_questions);
        wn_status status = make_prompt(a, writer_text, &user, p, err);
        if (status == WN_OK)
            status = answer(a, p, 1, p->n - 1, QUESTION_TOKENS * a->o->n_questions,
                            &a->lines[a->n_parts], err);
        wn_kv_prompts_free(p, 1);
        WN_TRY(status);
        at += n;
    }
    return WN_OK;
}

static bool was_chosen(const asking *a, const turn *t)
{
    for (const turn *b = a->turns; b < t; b++)
        if (b->len == t->len && !memcmp(b->question, t->question, t->len))
            return true;
    return false;
}

/* One question of each part after the other, then the next of each, as long as there is room for
 * their tokens. */
static wn_status choose_questions(asking *a, wn_error *err)
{
    const size_t n_all = a->n_parts * a->o->n_questions;
    const char **at = wn_alloc(a->n_parts + 1, sizeof *at);
    a->turns = wn_alloc(n_all + 1, sizeof *a->turns);
    size_t used = 0;
    if (!at || !a->turns) {
        free((void *)at);
        return no_memory(err);
    }
    for (size_t i = 0; i < a->n_parts; i++)
        at[i] = a->lines[i];
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i < n_all; i++) {
        turn *t = &a->turns[a->n_turns];
        t->question = wn_question_line(&at[i % a->n_parts], &t->len);
        if (!t->question || was_chosen(a, t))
            continue;
        int32_t *ids = NULL;
        size_t n = 0;
        status = wn_tokenizer_encode(wn_model_tokenizer(a->m), t->question, t->len, WN_ENCODE_PLAIN,
                                     &ids, &n, err);
        free(ids);
        used += n + USUAL_ANSWER + TURN_TOKENS;
        if (used + TURN_TOKENS > a->o->n_tokens)
            break;
        a->n_turns++;
    }
    free((void *)at);
    return status;
}

static void add_question(const asking *a, size_t i, wn_strbuf *b)
{
    wn_strbuf_adds(b, ask_text);
    wn_strbuf_add(b, a->turns[i].question, a->turns[i].len);
}

static wn_status answer_questions(asking *a, wn_error *err)
{
    a->n_prompts = a->n_turns + 1;
    a->prompts = wn_alloc(a->n_prompts, sizeof *a->prompts);
    char **answers = wn_alloc(a->n_prompts, sizeof *answers);
    wn_status status = a->prompts && answers ? WN_OK : no_memory(err);
    for (size_t i = 0; status == WN_OK && i < a->n_prompts; i++) {
        wn_strbuf user = {0};
        wn_strbuf_add(&user, a->given.data, a->given.len);
        wn_strbuf_adds(&user, "\n\n");
        if (i < a->n_turns)
            add_question(a, i, &user);
        else
            wn_strbuf_adds(&user, ask_text);
        status = make_prompt(a, NULL, &user, &a->prompts[i], err);
    }
    if (status == WN_OK)
        status = answer(a, a->prompts, a->n_turns, wn_kv_common_prefix(a->prompts, a->n_prompts),
                        ANSWER_TOKENS, answers, err);
    for (size_t i = 0; answers && i < a->n_turns; i++)
        a->turns[i].answer = answers[i];
    free((void *)answers);
    return status;
}

/* The text with the first question, answers and questions, the request to repeat, the text. */
static wn_status encode(const asking *a, wn_asked_text *out, wn_error *err)
{
    const size_t n_messages = 2 * a->n_kept + 2;
    wn_chat_message *messages = wn_alloc(n_messages, sizeof *messages);
    wn_strbuf *user = wn_alloc(a->n_kept, sizeof *user);
    wn_status status = messages && user ? WN_OK : no_memory(err);
    for (size_t i = 0; status == WN_OK && i < a->n_kept; i++) {
        const char *said = a->turns[i].answer;
        if (i == 0) {
            wn_strbuf_add(&user[i], a->given.data, a->given.len);
            wn_strbuf_adds(&user[i], "\n\n");
        }
        add_question(a, i, &user[i]);
        messages[2 * i] = (wn_chat_message){"user", user[i].data, user[i].len};
        messages[2 * i + 1] = (wn_chat_message){"assistant", said, strlen(said)};
        status = wn_strbuf_failed(&user[i]) ? no_memory(err) : WN_OK;
    }
    if (status == WN_OK) {
        messages[n_messages - 2] = (wn_chat_message){"user", repeat_text, sizeof repeat_text - 1};
        messages[n_messages - 1] = (wn_chat_message){"assistant", a->given.data, a->given.len};
        status = wn_chat_encode(wn_model_tokenizer(a->m), wn_model_chat_family(a->m), messages,
                                n_messages, false, &out->ids, &out->n, err);
    }
    for (size_t i = 0; user && i < a->n_kept; i++)
        wn_strbuf_free(&user[i]);
    free(user);
    free(messages);
    return status;
}

/* Answers may be longer than the room that was left for them. */
static wn_status encode_what_fits(asking *a, wn_asked_text *out, wn_error *err)
{
    const size_t most = wn_asked_text_max(a->o->n_tokens, a->o->n_questions);
    for (a->n_kept = a->n_turns; a->n_kept; a->n_kept--) {
        WN_TRY(encode(a, out, err));
        if (out->n <= most)
            break;
        free(out->ids);
        out->ids = NULL;
    }
    out->n_given = wn_kv_common_prefix(a->prompts, a->n_prompts);
    out->n_questions = a->n_kept;
    return WN_OK;
}

static wn_status ask(asking *a, wn_asked_text *out, wn_error *err)
{
    size_t n_cut = 0;
    WN_TRY(wn_first_text(a->m, a->o->text, a->o->len, a->o->n_tokens, &a->given, &n_cut, err));
    WN_TRY(write_questions(a, err));
    WN_TRY(choose_questions(a, err));
    if (a->n_turns == 0)
        return WN_OK;
    WN_TRY(answer_questions(a, err));
    return encode_what_fits(a, out, err);
}

wn_status wn_asked_text_ids(wn_asked_text *out, const wn_model *m, wn_compute *c,
                            const wn_asked_text_options *o, wn_error *err)
{
    asking a = {.m = m, .c = c, .o = o};
    *out = (wn_asked_text){0};
    wn_status status = o->n_questions ? ask(&a, out, err) : WN_OK;
    for (size_t i = 0; i < a.n_turns; i++)
        free(a.turns[i].answer);
    for (size_t i = 0; i < a.n_parts; i++)
        free(a.lines[i]);
    free(a.turns);
    free(a.lines);
    wn_strbuf_free(&a.given);
    if (a.prompts)
        wn_kv_prompts_free(a.prompts, a.n_prompts);
    if (status != WN_OK || out->n_questions)
        return status;
    wn_repeat_text r = {0};
    WN_TRY(wn_repeat_text_ids(m, o->text, o->len, o->n_tokens, &r, err));
    *out = (wn_asked_text){.ids = r.ids, .n = r.n, .n_given = r.n_given};
    return WN_OK;
}
