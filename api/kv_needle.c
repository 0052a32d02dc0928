#include "api/kv_needle.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/repeat_text.h"

#define ANSWER_TOKENS 24
#define NEEDLE_TOKENS 24   /* of a needle at most */
#define TEMPLATE_TOKENS 96 /* of a template and a question at most */
#define MAX_DEPTHS WN_KV_MAX_LENGTHS

typedef struct round_run {
    const wn_kv_needle_options *o;
    size_t *found;
    wn_needle needles[MAX_DEPTHS + 1]; /* the last is asked about by nobody */
} round_run;

/* A piece of the round's text, of n tokens; rounds that share a text take others of its pieces. */
static wn_status cut_piece(const wn_kv_needle_options *o, size_t round, size_t n, wn_strbuf *out,
                           wn_error *err)
{
    const wn_kv_haystack *h = &o->texts[round % o->n_texts];
    const size_t n_pieces = (o->n_rounds + o->n_texts - 1) / o->n_texts;
    size_t at = h->len / n_pieces * (round / o->n_texts), n_cut = 0;
    while (at > 0 && h->text[at - 1] != '\n')
        at--;
    WN_TRY(wn_first_text(o->quiz.model, h->text + at, h->len - at, n, out, &n_cut, err));
    if (n_cut < n && at > 0) { /* the end is near: what ends there */
        wn_strbuf_clear(out);
        WN_TRY(wn_first_text(o->quiz.model, h->text, h->len, n, out, &n_cut, err));
    }
    return n_cut == n
               ? WN_OK
               : wn_error_set(err, WN_INVALID, "%s: %zu tokens are too few for a context of %zu",
                              h->name, n_cut, o->n_tokens);
}

/* The text with a needle at every depth. */
static void add_needles(const round_run *r, const wn_strbuf *text, wn_strbuf *out)
{
    const wn_kv_lengths *depths = r->o->depths;
    size_t from = 0;
    for (size_t i = 0; i < depths->n; i++) {
        const size_t wanted = text->len / 100 * depths->at[i];
        const size_t at = wn_needle_place(text->data, text->len, wanted > from ? wanted : from);
        wn_strbuf_add(out, text->data + from, at - from);
        wn_strbuf_printf(out, " The secret code of %s is %u.", r->needles[i].name,
                         r->needles[i].number);
        from = at;
    }
    wn_strbuf_add(out, text->data + from, text->len - from);
}

static wn_status make_prompts(const round_run *r, size_t round, wn_kv_prompt *prompts,
                              wn_error *err)
{
    const size_t n = r->o->depths->n;
    const size_t extra = TEMPLATE_TOKENS + ANSWER_TOKENS + n * NEEDLE_TOKENS;
    if (r->o->n_tokens < 2 * extra)
        return wn_error_set(err, WN_INVALID, "eval kv: %zu tokens are too few for %zu needles",
                            r->o->n_tokens, n);
    wn_strbuf text = {0}, user = {0};
    wn_status status = cut_piece(r->o, round, r->o->n_tokens - extra, &text, err);
    if (status == WN_OK)
        add_needles(r, &text, &user);
    const size_t n_text = user.len;
    for (size_t i = 0; status == WN_OK && i <= n; i++) {
        wn_strbuf_truncate(&user, n_text);
        wn_strbuf_printf(
            &user,
            "\n\nAnswer from the text above, with the number alone. What is the secret "
            "code of %s?",
            r->needles[i].name);
        status = wn_kv_prompt_make(r->o->quiz.model, NULL, &user, &prompts[i], err);
    }
    wn_strbuf_free(&text);
    wn_strbuf_free(&user);
    return status;
}

static wn_status take_answer(void *ctx, size_t side, size_t question, const char *answer,
                             wn_error *err)
{
    round_run *r = ctx;
    (void)err;
    r->found[side * r->o->depths->n + question] += wn_needle_found(&r->needles[question], answer);
    return WN_OK;
}

wn_status wn_kv_needle_run(const wn_kv_needle_options *o, wn_kv_sides *sides, size_t *found,
                           wn_error *err)
{
    const size_t n = o->depths->n;
    wn_status status = WN_OK;
    for (size_t i = 0; i < n; i++)
        if (o->depths->at[i] > 99)
            return wn_error_set(err, WN_INVALID, "eval kv: a depth of %zu percent (2 to 99)",
                                o->depths->at[i]);
    for (size_t round = 0; status == WN_OK && round < o->n_rounds; round++) {
        round_run r = {.o = o, .found = found};
        wn_kv_prompt *prompts = wn_alloc(n + 1, sizeof *prompts);
        wn_needles_draw(o->seed + round, r.needles, n + 1);
        status = prompts ? make_prompts(&r, round, prompts, err)
                         : wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
        wn_kv_quiz quiz = o->quiz;
        quiz.prompts = prompts;
        quiz.n_asked = n;
        quiz.n_prompts = n + 1;
        quiz.max_tokens = ANSWER_TOKENS;
        if (status == WN_OK)
            status = wn_kv_quiz_run(&quiz, sides, take_answer, &r, err);
        wn_kv_prompts_free(prompts, n + 1);
    }
    return status;
}
