/* Distilling on disk: counts, heads and moments, then every text with its questions. */
#include <stdlib.h>

#include "base/checked.h"
#include "generate/head_distill_internal.h"
#include "generate/model_internal.h"
#include "generate/training_state.h"

#define MAGIC "wndis003"
#define MAX_COUNT ((uint64_t)1 << 24) /* tokens, questions, texts: more is damage */

typedef struct state_part {
    void *data;
    size_t bytes;
} state_part;

enum { N_PARTS = 10 };

static void list_parts(wn_head_distill *d, state_part out[N_PARTS])
{
    const wn_model_config *g = &d->model->config;
    const size_t all = d->n_lists * g->d_model * sizeof(float), biases = d->n_lists * sizeof(float);
    const state_part parts[N_PARTS] = {
        {&d->n_done, sizeof d->n_done},
        {&d->loss_sum, sizeof d->loss_sum},
        {&d->n_turn, sizeof d->n_turn},
        {&d->random, sizeof d->random},
        {&d->offset, sizeof d->offset},
        {d->weight, all},
        {d->bias, biases},
        {d->mean, all + biases},
        {d->square, all + biases},
        {d->rms, g->n_layers * g->d_model * sizeof(float)},
    };
    for (size_t i = 0; i < N_PARTS; i++)
        out[i] = parts[i];
}

static void add_count(wn_strbuf *b, uint64_t n)
{
    wn_strbuf_add(b, &n, sizeof n);
}

static void add_text(const wn_head_distill *d, const distill_text *t, wn_strbuf *b)
{
    const size_t d_model = d->model->config.d_model;
    add_count(b, t->n);
    add_count(b, t->n_questions);
    add_count(b, t->next);
    wn_strbuf_add(b, t->ids, t->n * sizeof *t->ids);
    for (size_t i = 0; i < t->n_questions; i++) {
        const distill_question *q = &t->questions[i];
        add_count(b, t->order[i]);
        add_count(b, q->n);
        add_count(b, q->n_judged);
        wn_strbuf_add(b, q->ids, q->n * sizeof *q->ids);
        wn_strbuf_add(b, q->taught, q->n_judged * d_model * sizeof *q->taught);
    }
}

wn_status wn_head_distill_save(wn_head_distill *d, const uint8_t key[WN_SHA256_BYTES],
                               const char *path, wn_error *err)
{
    const wn_training_state s = {path, MAGIC, key};
    state_part parts[N_PARTS];
    wn_strbuf b = {0};
    WN_TRY(wn_distill_refresh(d, err));
    list_parts(d, parts);
    for (size_t i = 0; i < N_PARTS; i++)
        wn_strbuf_add(&b, parts[i].data, parts[i].bytes);
    add_count(&b, d->n_texts);
    for (size_t i = 0; i < d->n_texts; i++)
        add_text(d, &d->texts[i], &b);
    wn_status status = wn_training_state_save(&s, &b, err);
    wn_strbuf_free(&b);
    return status;
}

static bool take_count(wn_state_reader *r, size_t *out)
{
    uint64_t n = 0;
    if (!wn_state_take(r, &n, sizeof n) || n > MAX_COUNT)
        return false;
    *out = n;
    return true;
}

static bool take_question(const wn_head_distill *d, wn_state_reader *r, size_t *order,
                          distill_question *q)
{
    if (!take_count(r, order) || !take_count(r, &q->n) || !take_count(r, &q->n_judged) ||
        q->n > d->o.n_rows || q->n_judged < 1 || q->n_judged > q->n)
        return false;
    q->ids = wn_alloc(q->n, sizeof *q->ids);
    return q->ids && wn_alloc_floats(&q->taught, q->n_judged, d->model->config.d_model) &&
           wn_state_take(r, q->ids, q->n * sizeof *q->ids) &&
           wn_state_take(r, q->taught, q->n_judged * d->model->config.d_model * sizeof *q->taught);
}

static bool take_text(const wn_head_distill *d, wn_state_reader *r, distill_text *t)
{
    size_t n = 0;
    if (!take_count(r, &t->n) || !take_count(r, &n) || !take_count(r, &t->next) ||
        t->n <= d->o.window || t->n > d->o.n_max || n < 1 || t->next > n)
        return false;
    t->ids = wn_alloc(t->n, sizeof *t->ids);
    t->questions = wn_alloc(n, sizeof *t->questions);
    t->order = wn_alloc(n, sizeof *t->order);
    if (!t->ids || !t->questions || !t->order || !wn_state_take(r, t->ids, t->n * sizeof *t->ids))
        return false;
    while (t->n_questions < n) {
        const size_t i = t->n_questions++;
        if (!take_question(d, r, &t->order[i], &t->questions[i]) || t->order[i] >= n)
            return false;
    }
    return true;
}

static bool take_all(wn_head_distill *d, wn_state_reader *r)
{
    state_part parts[N_PARTS];
    size_t n = 0;
    list_parts(d, parts);
    for (size_t i = 0; i < N_PARTS; i++)
        if (!wn_state_take(r, parts[i].data, parts[i].bytes))
            return false;
    if (!take_count(r, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        distill_text *t = wn_distill_new_text(d);
        if (!t || !take_text(d, r, t))
            return false;
    }
    return r->left == 0;
}

wn_status wn_head_distill_load(wn_head_distill *d, const uint8_t key[WN_SHA256_BYTES],
                               const char *path, wn_error *err)
{
    const wn_training_state s = {path, MAGIC, key};
    wn_strbuf b = {0};
    wn_status status = wn_training_state_load(&s, &b, err);
    wn_state_reader r = {b.data, b.len};
    if (status == WN_OK && !take_all(d, &r))
        status = wn_training_state_damaged(&s, err);
    wn_strbuf_free(&b);
    return status;
}
