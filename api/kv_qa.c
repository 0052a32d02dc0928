#include "api/kv_qa.h"

#include <stdlib.h>
#include <string.h>

#include "api/qa_eval.h"
#include "api/qa_set.h"
#include "base/checked.h"
#include "base/json.h"
#include "generate/prompt.h"

#define ANSWER_TOKENS 32
#define PASSAGE_EXTRA 8 /* tokens of a number and of blank lines */

static const char system_text[] =
    "You answer questions using the numbered passages. Answer with a few words of the passages: a "
    "name, a number or a short phrase, and nothing else.";

typedef struct qa_run {
    const wn_kv_qa_options *o;
    wn_kv_sides *sides;
    wn_kv_qa_score *scores;
    json_t *passages, *questions, *answers;
    wn_source *sources; /* [n_passages] */
    size_t n_passages;
    size_t from, n;       /* passages of the prefix in work */
    const json_t **asked; /* [n_questions of the set]: rows of this prefix */
    size_t n_asked;
    size_t first_answer; /* of this prefix, in answers */
} qa_run;

static wn_status load(qa_run *r, wn_error *err)
{
    WN_TRY(wn_qa_lines(&r->passages, r->o->dir, "passages.jsonl", err));
    WN_TRY(wn_qa_lines(&r->questions, r->o->dir, "qa.jsonl", err));
    r->n_passages = json_array_size(r->passages);
    r->sources = wn_alloc(r->n_passages + 1, sizeof *r->sources);
    r->asked = wn_alloc(json_array_size(r->questions) + 1, sizeof *r->asked);
    if (!r->sources || !r->asked)
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    const char *field = NULL;
    for (size_t i = 0; i < r->n_passages; i++) {
        const json_t *row = json_array_get(r->passages, i);
        WN_TRY(wn_qa_field(row, "_id", &field, err));
        WN_TRY(wn_qa_field(row, "text", &r->sources[i].text, err));
        WN_TRY(wn_json_get_str(row, "title", &r->sources[i].title, err));
        r->sources[i].len = strlen(r->sources[i].text);
    }
    for (size_t i = 0; i < json_array_size(r->questions); i++) {
        const json_t *row = json_array_get(r->questions, i);
        WN_TRY(wn_qa_field(row, "_id", &field, err));
        WN_TRY(wn_qa_field(row, "question", &field, err));
        WN_TRY(wn_qa_field(row, "passage_id", &field, err));
    }
    return WN_OK;
}

static wn_status prompt_of(const qa_run *r, const char *question, wn_kv_prompt *out, wn_error *err)
{
    const wn_prompt p = {.sources = r->sources + r->from, .n_sources = r->n, .question = question};
    wn_strbuf user = {0};
    wn_prompt_user(&p, &user);
    wn_status status = wn_kv_prompt_make(r->o->quiz.model, system_text, &user, out, err);
    wn_strbuf_free(&user);
    return status;
}

static const char *text_of(const json_t *row, const char *field)
{
    return json_string_value(json_object_get(row, field));
}

/* The questions about passages from, .. from + n - 1; where more than `most`, evenly spaced ones.
 */
static void choose_questions(qa_run *r, size_t most)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < json_array_size(r->questions); i++) {
        const json_t *row = json_array_get(r->questions, i);
        for (size_t k = r->from; k < r->from + r->n; k++)
            if (!strcmp(text_of(row, "passage_id"),
                        text_of(json_array_get(r->passages, k), "_id"))) {
                r->asked[n++] = row;
                break;
            }
    }
    const size_t wanted = n < most ? n : most;
    for (size_t i = 0; i < n; i++)
        if (i == kept * n / (wanted ? wanted : 1) && kept < wanted)
            r->asked[kept++] = r->asked[i];
    r->n_asked = kept;
}

/* Prompts of all questions asked, and of one that begins like none of them. */
static wn_status make_prompts(const qa_run *r, wn_kv_prompt **out, bool *fit, wn_error *err)
{
    wn_kv_prompt *prompts = wn_alloc(r->n_asked + 1, sizeof *prompts);
    wn_status status = prompts ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    *fit = true;
    for (size_t i = 0; status == WN_OK && i <= r->n_asked; i++) {
        const char *question = i < r->n_asked ? text_of(r->asked[i], "question") : "0?";
        status = prompt_of(r, question, &prompts[i], err);
        *fit &= status != WN_OK || prompts[i].n + ANSWER_TOKENS <= r->o->n_tokens;
    }
    if (status == WN_OK && *fit) {
        *out = prompts;
        return WN_OK;
    }
    wn_kv_prompts_free(prompts, r->n_asked + 1);
    return status;
}

/* Passages that may fit behind `from`, by their own lengths. */
static wn_status guess_passages(qa_run *r, wn_error *err)
{
    size_t sum = 0;
    for (r->n = 0; r->from + r->n < r->n_passages; r->n++) {
        const wn_source *s = &r->sources[r->from + r->n];
        int32_t *ids = NULL;
        size_t n = 0;
        WN_TRY(wn_tokenizer_encode(wn_model_tokenizer(r->o->quiz.model), s->text, s->len,
                                   WN_ENCODE_PLAIN, &ids, &n, err));
        free(ids);
        sum += n + PASSAGE_EXTRA;
        if (sum + ANSWER_TOKENS > r->o->n_tokens)
            break;
    }
    return WN_OK;
}

static json_t *answer_row(const wn_kv_side *side, const char *answer, const json_t *gold,
                          wn_kv_qa_score *score)
{
    const bool contains = wn_qa_contains(answer, gold);
    const double f1 = wn_qa_f1(answer, gold);
    score->n++;
    score->contains += contains;
    score->f1 += f1;
    return json_pack("{s:s, s:I, s:s, s:b, s:f}", "keys", wn_kv_side_name(side), "window",
                     (json_int_t)(side->point ? side->point->window : 0), "answer", answer,
                     "contains", (int)contains, "f1", f1);
}

static wn_status take_answer(void *ctx, size_t side, size_t question, const char *answer,
                             wn_error *err)
{
    qa_run *r = ctx;
    const json_t *row = r->asked[question], *gold = json_object_get(row, "answers");
    (void)err;
    if (side == 0)
        json_array_append_new(r->answers,
                              json_pack("{s:s, s:s, s:O, s:I, s:[]}", "id", text_of(row, "_id"),
                                        "question", text_of(row, "question"), "gold", gold,
                                        "tokens", (json_int_t)r->o->n_tokens, "answers"));
    json_t *of = json_object_get(json_array_get(r->answers, r->first_answer + question), "answers");
    json_array_append_new(of, answer_row(&r->sides->all[side], answer, gold, &r->scores[side]));
    return WN_OK;
}

/* The next prefix; r->n = 0 afterwards: no passage is left. */
static wn_status run_prefix(qa_run *r, size_t most, wn_error *err)
{
    wn_kv_prompt *prompts = NULL;
    bool fit = false;
    WN_TRY(guess_passages(r, err));
    for (; r->n > 0 && !fit; r->n -= !fit) {
        choose_questions(r, most);
        WN_TRY(make_prompts(r, &prompts, &fit, err));
    }
    if (r->n == 0)
        return r->from < r->n_passages
                   ? wn_error_set(err, WN_INVALID,
                                  "eval kv: passage %zu of %s does not fit into %zu"
                                  " tokens",
                                  r->from + 1, r->o->dir, r->o->n_tokens)
                   : WN_OK;
    wn_kv_quiz quiz = r->o->quiz;
    quiz.prompts = prompts;
    quiz.n_asked = r->n_asked;
    quiz.n_prompts = r->n_asked + 1;
    quiz.max_tokens = ANSWER_TOKENS;
    r->first_answer = json_array_size(r->answers);
    wn_status status = r->n_asked ? wn_kv_quiz_run(&quiz, r->sides, take_answer, r, err) : WN_OK;
    wn_kv_prompts_free(prompts, r->n_asked + 1);
    return status;
}

wn_status wn_kv_qa_run(const wn_kv_qa_options *o, wn_kv_sides *sides, wn_kv_qa_score *scores,
                       json_t *answers, wn_error *err)
{
    qa_run r = {.o = o, .sides = sides, .scores = scores, .answers = answers};
    wn_status status = load(&r, err);
    while (status == WN_OK && r.from < r.n_passages &&
           (o->n_questions == 0 || scores[0].n < o->n_questions)) {
        status = run_prefix(&r, o->n_questions ? o->n_questions - scores[0].n : SIZE_MAX, err);
        r.from += r.n;
    }
    if (status == WN_OK && scores[0].n == 0)
        status =
            wn_error_set(err, WN_INVALID, "eval kv: %s has no question about its passages", o->dir);
    json_decref(r.passages);
    json_decref(r.questions);
    free(r.sources);
    free(r.asked);
    return status;
}
