#include "api/text_questions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/kv_reader.h"
#include "base/checked.h"
#include "base/utf8.h"
#include "generate/prompt.h"
#include "generate/repeat_text.h"

#define PART_BYTES 600
#define PART_TOKENS 30   /* at least, on average */
#define NUMBER_TOKENS 8  /* before each */
#define PREFIX_EXTRA 256 /* of the template */
#define QUESTION_TOKENS 32
#define START_TOKENS 8
#define ANSWER_TOKENS 32
#define USUAL_ANSWER 8
#define TURN_TOKENS 16 /* of the template, around a question and its answer */
#define LEAST_QUESTION 12
#define MOST_QUESTION 200 /* bytes */

static const char writer_text[] = "You write questions for a quiz.";
static const char write_text[] = "\n\nWrite one short question that this passage answers with a "
                                 "name, a number or a few words. It "
                                 "must make sense to someone who does not see the passage.";
static const char *const starts[] = {"What",  "Who",   "When", "How many",
                                     "Which", "Where", "Why",  "How"};
#define N_STARTS (sizeof starts / sizeof *starts)

static const char repeat_text[] = "Repeat passage %zu word for word.";
static const char system_text[] =
    "You answer questions using the numbered passages. Answer with a few words of the passages: a "
    "name, a number or a short phrase, and nothing else.";

const char *wn_text_questions_system(void)
{
    return system_text;
}

static bool ends_sentence(const char *text, size_t at)
{
    return text[at] == '\n' || (text[at] == ' ' && strchr(".!?", text[at - 1]));
}

size_t wn_text_questions_max_prefix(size_t n_tokens)
{
    return n_tokens + n_tokens / PART_TOKENS * NUMBER_TOKENS + PREFIX_EXTRA;
}

size_t wn_text_part(const char *text, size_t len, size_t most)
{
    if (len <= most + most / 2)
        return len;
    for (size_t at = most; at > most / 2; at--)
        if (ends_sentence(text, at))
            return at + 1;
    for (size_t at = most; at > most / 2; at--)
        if (text[at] == ' ')
            return at + 1;
    return wn_utf8_floor(text, most);
}

size_t wn_question_length(const char *text)
{
    const size_t n = strcspn(text, "?\r\n");
    return text[n] == '?' && n + 1 >= LEAST_QUESTION && n + 1 <= MOST_QUESTION ? n + 1 : 0;
}

typedef struct asking {
    const wn_model *m;
    wn_compute *c;
    const wn_text_questions_options *o;
    wn_text_questions *q;
    char **written; /* [n_questions][n_parts]; not all need be questions */
} asking;

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "questions about a text: out of memory");
}

static wn_status cut(const asking *a, wn_error *err)
{
    wn_text_questions *q = a->q;
    size_t n_cut = 0;
    WN_TRY(wn_first_text(a->m, a->o->text, a->o->len, a->o->n_tokens, &q->given, &n_cut, err));
    /* Dashes and blanks come to many bytes a token. */
    const size_t least = 2 * PART_TOKENS * q->given.len / a->o->n_tokens;
    const size_t most = least > PART_BYTES ? least : PART_BYTES;
    q->parts = wn_alloc(q->given.len / (most / 2) + 1, sizeof *q->parts);
    if (!q->parts)
        return no_memory(err);
    for (size_t at = 0; at < q->given.len; q->n_parts++) {
        const size_t n = wn_text_part(q->given.data + at, q->given.len - at, most);
        q->parts[q->n_parts] = (wn_source){.text = q->given.data + at, .len = n};
        at += n;
    }
    return WN_OK;
}

static wn_status make_prompt(const asking *a, const char *system, wn_strbuf *user,
                             wn_kv_prompt *out, wn_error *err)
{
    wn_status status =
        wn_strbuf_failed(user) ? no_memory(err) : wn_kv_prompt_make(a->m, system, user, out, err);
    wn_strbuf_free(user);
    return status;
}

static wn_status open_reader(const asking *a, const wn_kv_prompt *prompt, size_t n_read,
                             size_t n_more, wn_kv_reader **out, wn_error *err)
{
    const wn_kv_reader_options o = {
        .model = a->m, .compute = a->c, .kv_format = WN_KV_AUTO, .n_ctx = prompt->n + n_more};
    WN_TRY(wn_kv_reader_open(out, &o, err));
    return wn_kv_reader_read(*out, prompt->ids, n_read, err);
}

/* The prompt with the first words of the answer, and what the model adds to them. */
static wn_status go_on(const asking *a, const wn_kv_reader *r, const wn_kv_prompt *prompt,
                       const char *start, char **out, wn_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    char *more = NULL;
    wn_strbuf b = {0};
    WN_TRY(wn_tokenizer_encode(wn_model_tokenizer(a->m), start, strlen(start), WN_ENCODE_PLAIN,
                               &ids, &n, err));
    int32_t *all = wn_alloc(prompt->n + n, sizeof *all);
    wn_status status = all ? WN_OK : no_memory(err);
    if (status == WN_OK) {
        memcpy(all, prompt->ids, prompt->n * sizeof *all);
        memcpy(all + prompt->n, ids, n * sizeof *all);
        status = wn_kv_reader_ask(r, all, prompt->n + n, QUESTION_TOKENS, &more, err);
    }
    if (status == WN_OK) {
        wn_strbuf_printf(&b, "%s%s", start, more);
        *out = wn_strdup(wn_strbuf_cstr(&b));
        status = wn_strbuf_failed(&b) || !*out ? no_memory(err) : WN_OK;
    }
    wn_strbuf_free(&b);
    free(more);
    free(all);
    free(ids);
    return status;
}

static wn_status write_about(const asking *a, size_t part, wn_error *err)
{
    const wn_text_questions *q = a->q;
    wn_kv_prompt p = {0};
    wn_kv_reader *r = NULL;
    wn_strbuf user = {0};
    wn_strbuf_add(&user, q->parts[part].text, q->parts[part].len);
    wn_strbuf_adds(&user, write_text);
    WN_TRY(make_prompt(a, writer_text, &user, &p, err));
    wn_status status = open_reader(a, &p, p.n, QUESTION_TOKENS + START_TOKENS, &r, err);
    for (size_t i = 0; status == WN_OK && i < a->o->n_questions; i++)
        status =
            go_on(a, r, &p, starts[(part + i) % N_STARTS], &a->written[i * q->n_parts + part], err);
    wn_kv_reader_close(r);
    free(p.ids);
    return status;
}

static bool is_known(const wn_text_questions *q, const char *text, size_t len)
{
    for (size_t i = 0; i < q->n; i++)
        if (strlen(q->all[i].text) == len && !memcmp(q->all[i].text, text, len))
            return true;
    return false;
}

static wn_status count_tokens(const asking *a, const char *text, size_t len, size_t *n,
                              wn_error *err)
{
    int32_t *ids = NULL;
    WN_TRY(wn_tokenizer_encode(wn_model_tokenizer(a->m), text, len, WN_ENCODE_PLAIN, &ids, n, err));
    free(ids);
    return WN_OK;
}

/* One question of each part after the other, then the next of each, as long as there is room. */
static wn_status choose_questions(const asking *a, wn_error *err)
{
    wn_text_questions *q = a->q;
    size_t used = 0;
    q->all = wn_alloc(q->n_parts * (a->o->n_questions + 1) + 1, sizeof *q->all);
    if (!q->all)
        return no_memory(err);
    for (size_t i = 0; i < q->n_parts * a->o->n_questions; i++) {
        const char *text = a->written[i];
        const size_t len = wn_question_length(text);
        size_t n = 0;
        if (len == 0 || is_known(q, text, len))
            continue;
        WN_TRY(count_tokens(a, text, len, &n, err));
        used += n + USUAL_ANSWER + TURN_TOKENS;
        if (a->o->n_room && used > a->o->n_room)
            break;
        q->all[q->n] = (wn_text_question){.text = wn_strndup(text, len), .part = i % q->n_parts};
        if (!q->all[q->n].text)
            return no_memory(err);
        q->n++;
    }
    return WN_OK;
}

static bool has_question(const wn_text_questions *q, size_t part)
{
    for (size_t i = 0; i < q->n; i++)
        if (q->all[i].part == part)
            return true;
    return false;
}

static wn_status repeat_others(const asking *a, wn_error *err)
{
    wn_text_questions *q = a->q;
    for (size_t i = 0; i < q->n_parts; i++) {
        if (has_question(q, i))
            continue;
        char text[sizeof repeat_text + 24];
        const int len = snprintf(text, sizeof text, repeat_text, i + 1);
        wn_text_question *next = &q->all[q->n];
        *next = (wn_text_question){.text = wn_strndup(text, (size_t)len),
                                   .answer = wn_strndup(q->parts[i].text, q->parts[i].len),
                                   .part = i};
        q->n++;
        q->n_repeat++;
        if (!next->text || !next->answer)
            return no_memory(err);
    }
    return WN_OK;
}

static wn_status prompt_of(const asking *a, const char *question, wn_kv_prompt *out, wn_error *err)
{
    wn_strbuf user = {0};
    const wn_prompt p = {.sources = a->q->parts, .n_sources = a->q->n_parts, .question = question};
    wn_prompt_user(&p, &user);
    return make_prompt(a, system_text, &user, out, err);
}

/* Tokens that all prompts begin with, whatever is asked. */
static wn_status find_prefix(const asking *a, wn_error *err)
{
    wn_kv_prompt other[2] = {{0}};
    a->q->n_prefix = SIZE_MAX;
    WN_TRY(prompt_of(a, "0?", &other[1], err));
    for (size_t i = 0; i < a->q->n; i++) {
        other[0] = a->q->all[i].prompt;
        const size_t n = wn_kv_common_prefix(other, 2);
        a->q->n_prefix = n < a->q->n_prefix ? n : a->q->n_prefix;
    }
    free(other[1].ids);
    return WN_OK;
}

static wn_status answer_questions(const asking *a, wn_error *err)
{
    wn_text_questions *q = a->q;
    wn_kv_reader *r = NULL;
    for (size_t i = 0; i < q->n; i++)
        WN_TRY(prompt_of(a, q->all[i].text, &q->all[i].prompt, err));
    if (q->n > 0)
        WN_TRY(find_prefix(a, err));
    if (q->n == q->n_repeat)
        return WN_OK;
    wn_status status =
        open_reader(a, &q->all[0].prompt, q->n_prefix, MOST_QUESTION + ANSWER_TOKENS, &r, err);
    for (size_t i = 0; status == WN_OK && i < q->n - q->n_repeat; i++)
        status = wn_kv_reader_ask(r, q->all[i].prompt.ids, q->all[i].prompt.n, ANSWER_TOKENS,
                                  &q->all[i].answer, err);
    wn_kv_reader_close(r);
    return status;
}

static wn_status make(asking *a, wn_error *err)
{
    WN_TRY(cut(a, err));
    a->written = wn_alloc(a->q->n_parts * a->o->n_questions + 1, sizeof *a->written);
    if (!a->written)
        return no_memory(err);
    for (size_t i = 0; i < a->q->n_parts; i++)
        WN_TRY(write_about(a, i, err));
    WN_TRY(choose_questions(a, err));
    if (a->o->repeat)
        WN_TRY(repeat_others(a, err));
    return answer_questions(a, err);
}

wn_status wn_text_questions_make(wn_text_questions *out, const wn_model *m, wn_compute *c,
                                 const wn_text_questions_options *o, wn_error *err)
{
    asking a = {.m = m, .c = c, .o = o, .q = out};
    *out = (wn_text_questions){0};
    wn_status status = make(&a, err);
    for (size_t i = 0; a.written && i < out->n_parts * o->n_questions; i++)
        free(a.written[i]);
    free((void *)a.written);
    if (status != WN_OK)
        wn_text_questions_free(out);
    return status;
}

void wn_text_questions_free(wn_text_questions *q)
{
    for (size_t i = 0; i < q->n; i++) {
        free(q->all[i].text);
        free(q->all[i].answer);
        free(q->all[i].prompt.ids);
    }
    free(q->all);
    free(q->parts);
    wn_strbuf_free(&q->given);
    *q = (wn_text_questions){0};
}
