/* Second stage: fitted heads moved by gradient on questions about the text. A state is saved behind
 * every text only: the steps behind a prefix depend on the heads that it was read with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/retrofit_internal.h"
#include "api/text_questions.h"
#include "base/checked.h"
#include "base/fs.h"
#include "generate/head_distill.h"

#define N_ROWS 320 /* of one step */

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "distilling heads: out of memory");
}

size_t wn_retrofit_step_tokens(const wn_retrofit *r)
{
    return wn_text_questions_max_prefix(r->o.mark_tokens[0]) + N_ROWS;
}

char *wn_retrofit_steps_path(const wn_retrofit *r)
{
    const size_t n = strlen(r->o.state_path) + sizeof ".steps";
    char *path = wn_alloc(n, 1);
    if (path)
        snprintf(path, n, "%s.steps", r->o.state_path);
    return path;
}

static wn_status steps_key(const wn_retrofit *r, uint8_t key[WN_SHA256_BYTES], wn_error *err)
{
    char text[256], fit[WN_SHA256_HEX];
    WN_TRY(wn_retrofit_fit_key(r, key, err));
    wn_hex(key, WN_SHA256_BYTES, fit);
    const int len = snprintf(text, sizeof text, "steps 1 %s %zu %zu %zu %zu %.17g %.17g", fit,
                             r->o.n_steps, r->o.n_step_texts, r->o.mark_tokens[0],
                             wn_retrofit_window(r, 0), r->o.marks[0], r->o.head_means);
    return wn_sha256_of(text, (size_t)len, key, err);
}

/* The prompt behind the prefix and the answer. The last row is to say that the answer ends. */
static wn_status make_question(const wn_retrofit *r, const wn_text_questions *q, size_t i,
                               wn_distill_question *out, int32_t **ids, wn_error *err)
{
    const wn_text_question *from = &q->all[i];
    const size_t n_asked = from->prompt.n - q->n_prefix;
    int32_t *answer = NULL;
    size_t n = 0;
    WN_TRY(wn_tokenizer_encode(wn_model_tokenizer(r->model), from->answer, strlen(from->answer),
                               WN_ENCODE_PLAIN, &answer, &n, err));
    if (n_asked + n > N_ROWS) /* of a part in a script that takes a token a byte */
        n = N_ROWS - n_asked;
    *ids = wn_alloc(n_asked + n, sizeof **ids);
    if (*ids) {
        memcpy(*ids, from->prompt.ids + q->n_prefix, n_asked * sizeof **ids);
        memcpy(*ids + n_asked, answer, n * sizeof **ids);
        *out = (wn_distill_question){*ids, n_asked + n, n + 1};
    }
    free(answer);
    return *ids ? WN_OK : no_memory(err);
}

static wn_status read_questions(const wn_retrofit *r, wn_head_distill *d,
                                const wn_text_questions *q, wn_error *err)
{
    wn_distill_question *questions = wn_alloc(q->n, sizeof *questions);
    int32_t **ids = wn_alloc(q->n, sizeof *ids);
    wn_status status = questions && ids ? WN_OK : no_memory(err);
    for (size_t i = 0; status == WN_OK && i < q->n; i++)
        status = make_question(r, q, i, &questions[i], &ids[i], err);
    if (status == WN_OK)
        status = wn_head_distill_read(d, q->all[0].prompt.ids, q->n_prefix, questions, q->n, err);
    for (size_t i = 0; ids && i < q->n; i++)
        free(ids[i]);
    free((void *)ids);
    free(questions);
    return status;
}

static wn_status read_text(wn_retrofit *r, wn_head_distill *d, size_t text, wn_error *err)
{
    wn_text_questions_options o = {.n_tokens = r->o.mark_tokens[0],
                                   .n_questions = r->o.n_questions ? r->o.n_questions : 1,
                                   .repeat = true};
    wn_text_questions q = {0};
    wn_training_text_piece(r->o.text, WN_PIECE_LEARN, text, r->o.n_step_texts,
                           WN_BYTES_PER_TOKEN * o.n_tokens, &o.text, &o.len);
    WN_TRY(wn_text_questions_make(&q, r->model, r->compute, &o, err));
    r->n_asked += q.n - q.n_repeat;
    wn_status status = q.n && q.n_prefix > wn_retrofit_window(r, 0)
                           ? read_questions(r, d, &q, err)
                           : wn_error_set(err, WN_INVALID, "retrofit: text %zu: only %zu tokens",
                                          text, q.n_prefix);
    wn_text_questions_free(&q);
    return status;
}

static size_t steps_behind(const wn_retrofit *r, size_t n_texts)
{
    return r->o.n_steps * n_texts / r->o.n_step_texts;
}

static wn_status learn(wn_retrofit *r, wn_head_distill *d, size_t text, wn_error *err)
{
    const size_t first = steps_behind(r, text), end = steps_behind(r, text + 1);
    double sum = 0;
    WN_TRY(read_text(r, d, text, err));
    for (size_t i = first; i < end; i++) {
        double loss = 0;
        WN_TRY(wn_head_distill_step(d, &loss, err));
        sum += loss;
        wn_status status = wn_retrofit_progress(r, "Distilling", i + 1, r->o.n_steps);
        if (status != WN_OK)
            return wn_error_set(err, status, "retrofit: stopped after %zu of %zu steps", i + 1,
                                r->o.n_steps);
    }
    r->loss = sum / (double)(end - first);
    return WN_OK;
}

static wn_status run(wn_retrofit *r, wn_head_distill *d, const char *path, wn_error *err)
{
    uint8_t key[WN_SHA256_BYTES];
    WN_TRY(steps_key(r, key, err));
    if (path && wn_fs_exists(path))
        WN_TRY(wn_head_distill_load(d, key, path, err));
    const size_t n_done = wn_head_distill_n_steps(d);
    WN_TRY(wn_retrofit_progress(r, "Distilling", n_done, r->o.n_steps));
    for (size_t i = 0; i < r->o.n_step_texts; i++) {
        if (steps_behind(r, i + 1) <= n_done)
            continue;
        WN_TRY(learn(r, d, i, err));
        if (path)
            WN_TRY(wn_head_distill_save(d, key, path, err));
    }
    return WN_OK;
}

wn_status wn_retrofit_distill(wn_retrofit *r, wn_error *err)
{
    const double n = (double)r->o.mark_tokens[0], window = (double)wn_retrofit_window(r, 0);
    const wn_head_distill_options o = {.weight = r->weight,
                                       .bias = r->bias,
                                       .n_max = wn_text_questions_max_prefix(r->o.mark_tokens[0]),
                                       .window = wn_retrofit_window(r, 0),
                                       .keep = (n / r->o.marks[0] - window) / (n - window),
                                       .n_rows = N_ROWS,
                                       .n_steps = r->o.n_steps};
    wn_head_distill *d = NULL;
    char *path = r->o.state_path ? wn_retrofit_steps_path(r) : NULL;
    wn_status status = r->o.state_path && !path ? no_memory(err) : WN_OK;
    if (status == WN_OK)
        status = wn_head_distill_open(&d, r->model, r->compute, &o, err);
    if (status == WN_OK)
        status = run(r, d, path, err);
    if (status == WN_OK)
        wn_head_distill_heads(d, r->weight, r->bias);
    wn_head_distill_close(d);
    free(path);
    return status;
}
