/* Second stage: fitted heads moved by gradient on questions about texts. All are asked about first,
 * and then come their turns: a text is read with the heads as they are, some steps are taken behind
 * it. Turns are short: fifteen texts with five steps each, one after the other, left the heads
 * where the first five had brought them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/retrofit_internal.h"
#include "api/text_questions.h"
#include "base/checked.h"
#include "base/fs.h"
#include "generate/head_distill.h"

#define N_ROWS 320   /* of one step */
#define TURN_STEPS 2 /* reading takes as long as two */

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
    const int len = snprintf(text, sizeof text, "steps 2 %s %zu %zu %zu %zu %.17g %.17g", fit,
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

static wn_status add_questions(const wn_retrofit *r, wn_head_distill *d, const wn_text_questions *q,
                               wn_error *err)
{
    wn_distill_question *questions = wn_alloc(q->n, sizeof *questions);
    int32_t **ids = wn_alloc(q->n, sizeof *ids);
    wn_status status = questions && ids ? WN_OK : no_memory(err);
    for (size_t i = 0; status == WN_OK && i < q->n; i++)
        status = make_question(r, q, i, &questions[i], &ids[i], err);
    if (status == WN_OK)
        status = wn_head_distill_add(d, q->all[0].prompt.ids, q->n_prefix, questions, q->n, err);
    for (size_t i = 0; ids && i < q->n; i++)
        free(ids[i]);
    free((void *)ids);
    free(questions);
    return status;
}

static wn_status add_text(wn_retrofit *r, wn_head_distill *d, size_t text, wn_error *err)
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
                           ? add_questions(r, d, &q, err)
                           : wn_error_set(err, WN_INVALID, "retrofit: text %zu: only %zu tokens",
                                          text, q.n_prefix);
    wn_text_questions_free(&q);
    return status;
}

typedef struct distilling {
    wn_retrofit *r;
    wn_head_distill *d;
    const char *path; /* of the state; NULL: none is kept */
    uint8_t key[WN_SHA256_BYTES];
} distilling;

static wn_status save(const distilling *s, wn_error *err)
{
    return s->path ? wn_head_distill_save(s->d, s->key, s->path, err) : WN_OK;
}

/* WN_CANCELLED or the like where it is to stop. */
static wn_status progress(const distilling *s, wn_error *err)
{
    const size_t n_texts = wn_head_distill_n_texts(s->d), n = wn_head_distill_n_steps(s->d);
    wn_status status = n_texts < s->r->o.n_step_texts
                           ? wn_retrofit_progress(s->r, "Asking", n_texts, s->r->o.n_step_texts)
                           : wn_retrofit_progress(s->r, "Distilling", n, s->r->o.n_steps);
    return status == WN_OK ? WN_OK
                           : wn_error_set(err, status, "retrofit: stopped after %zu of %zu steps",
                                          n, s->r->o.n_steps);
}

static wn_status take_turn(distilling *s, wn_error *err)
{
    const size_t n = wn_head_distill_n_steps(s->d), left = s->r->o.n_steps - n;
    double loss = 0;
    WN_TRY(wn_head_distill_read(s->d, n / TURN_STEPS % s->r->o.n_step_texts, err));
    for (size_t i = 0; i < left && i < TURN_STEPS; i++) {
        WN_TRY(wn_head_distill_step(s->d, &loss, err));
        WN_TRY(progress(s, err));
    }
    return save(s, err);
}

static wn_status run(distilling *s, wn_error *err)
{
    WN_TRY(steps_key(s->r, s->key, err));
    if (s->path && wn_fs_exists(s->path))
        WN_TRY(wn_head_distill_load(s->d, s->key, s->path, err));
    WN_TRY(progress(s, err));
    while (wn_head_distill_n_texts(s->d) < s->r->o.n_step_texts) {
        WN_TRY(add_text(s->r, s->d, wn_head_distill_n_texts(s->d), err));
        WN_TRY(save(s, err));
        WN_TRY(progress(s, err));
    }
    while (wn_head_distill_n_steps(s->d) < s->r->o.n_steps)
        WN_TRY(take_turn(s, err));
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
    char *path = r->o.state_path ? wn_retrofit_steps_path(r) : NULL;
    distilling s = {.r = r, .path = path};
    wn_status status = r->o.state_path && !path ? no_memory(err) : WN_OK;
    if (status == WN_OK)
        status = wn_head_distill_open(&s.d, r->model, r->compute, &o, err);
    if (status == WN_OK)
        status = run(&s, err);
    if (status == WN_OK) {
        wn_head_distill_heads(s.d, r->weight, r->bias);
        r->loss = wn_head_distill_loss(s.d);
    }
    wn_head_distill_close(s.d);
    free(path);
    return status;
}
