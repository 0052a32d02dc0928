#include "generate/head_distill.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/splitmix.h"
#include "generate/head_distill_internal.h"
#include "generate/model_internal.h"
#include "generate/text_pass.h"

#define LEAST_RMS 1e-3f /* of an input: one that is hardly there shall not take all of a step */

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "distilling heads: out of memory");
}

static bool carve_all(wn_head_distill *d)
{
    const wn_model_config *g = &d->model->config;
    const size_t n = d->o.n_max, kv_dim = g->n_kv_heads * g->head_dim;
    const size_t all = d->n_lists * g->d_model, rows = d->o.n_rows;
    d->k = wn_alloc(g->n_layers, sizeof *d->k);
    d->v = wn_alloc(g->n_layers, sizeof *d->v);
    d->h = wn_alloc(g->n_layers, sizeof *d->h);
    d->keys = wn_alloc(d->n_lists, sizeof *d->keys);
    d->at = wn_alloc(d->n_lists, n * sizeof *d->at);
    d->ids = wn_alloc(rows, sizeof *d->ids);
    d->piece = wn_alloc(rows, sizeof *d->piece);
    bool ok = d->k && d->v && d->h && d->keys && d->at && d->ids && d->piece;
    for (size_t l = 0; ok && l < g->n_layers; l++)
        ok = wn_alloc_floats(&d->k[l], n, kv_dim) && wn_alloc_floats(&d->v[l], n, kv_dim) &&
             wn_alloc_floats(&d->h[l], n, g->d_model);
    return ok && wn_alloc_floats(&d->weight, all, 1) && wn_alloc_floats(&d->bias, d->n_lists, 1) &&
           wn_alloc_floats(&d->grad, all, 1) && wn_alloc_floats(&d->bias_grad, d->n_lists, 1) &&
           wn_alloc_floats(&d->mean, all + d->n_lists, 1) &&
           wn_alloc_floats(&d->square, all + d->n_lists, 1) &&
           wn_alloc_floats(&d->rms, g->n_layers, g->d_model) &&
           wn_alloc_floats(&d->logits, d->n_lists, n) &&
           wn_alloc_floats(&d->log_keep, d->n_lists, n) &&
           wn_alloc_floats(&d->key_grad, d->n_lists, n) &&
           wn_alloc_floats(&d->owed, rows, g->d_model) &&
           wn_alloc_floats(&d->normed, rows, g->d_model) &&
           wn_alloc_floats(&d->own, rows, g->d_model);
}

static void set_defaults(wn_head_distill_options *o)
{
    o->n_rows = o->n_rows ? o->n_rows : 320;
    o->rate = o->rate > 0 ? o->rate : 1.5e-3;
    o->temperature = o->temperature > 0 ? o->temperature : 0.35;
    o->noise = o->noise > 0 ? o->noise : 0.7;
}

wn_status wn_head_distill_open(wn_head_distill **out, const wn_model *m, wn_compute *c,
                               const wn_head_distill_options *options, wn_error *err)
{
    const wn_model_config *g = &m->config;
    wn_head_distill *d = wn_alloc(1, sizeof *d);
    if (!d)
        return no_memory(err);
    *d = (wn_head_distill){.model = m,
                           .compute = c,
                           .o = *options,
                           .n_lists = g->n_layers * g->n_kv_heads,
                           .random = WN_SPLITMIX_STEP};
    set_defaults(&d->o);
    wn_status status = carve_all(d) ? WN_OK : no_memory(err);
    if (status == WN_OK)
        status = wn_soft_pass_open(&d->pass, m, c, d->o.n_rows, d->o.n_max, err);
    if (status != WN_OK) {
        wn_head_distill_close(d);
        return status;
    }
    memcpy(d->weight, options->weight, d->n_lists * g->d_model * sizeof *d->weight);
    memcpy(d->bias, options->bias, d->n_lists * sizeof *d->bias);
    *out = d;
    return WN_OK;
}

static void free_text(distill_text *t)
{
    for (size_t i = 0; t->questions && i < t->n_questions; i++) {
        free(t->questions[i].ids);
        free(t->questions[i].taught);
    }
    free(t->ids);
    free(t->questions);
    free(t->order);
}

distill_text *wn_distill_new_text(wn_head_distill *d)
{
    distill_text *more = wn_realloc(d->texts, d->n_texts + 1, sizeof *more);
    if (!more)
        return NULL;
    d->texts = more;
    d->text = NULL; /* it has moved */
    more[d->n_texts] = (distill_text){0};
    return &more[d->n_texts++];
}

void wn_head_distill_close(wn_head_distill *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_texts; i++)
        free_text(&d->texts[i]);
    free(d->texts);
    for (size_t l = 0; l < d->model->config.n_layers; l++) {
        free(d->k ? d->k[l] : NULL);
        free(d->v ? d->v[l] : NULL);
        free(d->h ? d->h[l] : NULL);
    }
    void *const all[] = {d->k,         d->v,        d->h,      d->keys,   d->at,
                         d->ids,       d->piece,    d->weight, d->bias,   d->grad,
                         d->bias_grad, d->mean,     d->square, d->rms,    d->logits,
                         d->log_keep,  d->key_grad, d->owed,   d->normed, d->own};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    wn_soft_pass_close(d->pass);
    free(d);
}

static void keep_layer(void *ctx, const wn_text_layer *y)
{
    wn_head_distill *d = ctx;
    const wn_model_config *g = &d->model->config;
    const size_t kv_dim = g->n_kv_heads * g->head_dim;
    memcpy(d->k[y->layer], y->k, y->n * kv_dim * sizeof *y->k);
    memcpy(d->v[y->layer], y->v, y->n * kv_dim * sizeof *y->v);
    memcpy(d->h[y->layer], y->h, y->n * g->d_model * sizeof *y->h);
}

/* Of the first prefix: the unit of steps must not change under Adam's moments. */
static void find_rms(wn_head_distill *d)
{
    const size_t n_in = d->model->config.d_model;
    for (size_t l = 0; l < d->model->config.n_layers; l++)
        for (size_t i = 0; i < n_in; i++) {
            double sum = 0;
            for (size_t t = 0; t < d->n; t++)
                sum += (double)d->h[l][t * n_in + i] * (double)d->h[l][t * n_in + i];
            d->rms[l * n_in + i] = (float)sqrt(sum / (double)d->n) + LEAST_RMS;
        }
}

static void evict_keys(void *ctx, const wn_text_layer *y)
{
    wn_head_distill *d = ctx;
    if (d->status == WN_OK)
        d->status = wn_evict_rule_decide(&d->rule, d->model, d->compute, y, d->err);
}

/* With all keys, or (evicting) with those that the heads leave at an offset of theirs. */
static wn_status read_text(wn_head_distill *d, distill_text *t, bool evicting, wn_error *err)
{
    wn_text_pass *p = NULL;
    const wn_text_pass_options o = {.n_max = t->n, .kv_format = WN_KV_AUTO};
    const wn_text_pass_hooks hooks = {.window = d->o.window,
                                      .decide = evicting ? evict_keys : NULL,
                                      .observe = keep_layer,
                                      .ctx = d};
    WN_TRY(wn_text_pass_open(&p, d->model, d->compute, &o, err));
    d->text = t;
    d->n = t->n;
    d->n_far = t->n - d->o.window;
    d->status = WN_OK;
    d->err = err;
    wn_text_pass_run(p, t->ids, t->n, &hooks);
    wn_text_pass_close(p);
    return d->status;
}

static wn_status copy_question(const wn_head_distill *d, const wn_distill_question *from,
                               distill_question *to, wn_error *err)
{
    if (from->n > d->o.n_rows || from->n_judged < 1 || from->n_judged > from->n)
        return wn_error_set(err, WN_INVALID, "a question of %zu tokens, %zu judged; %zu rows",
                            from->n, from->n_judged, d->o.n_rows);
    to->n = from->n;
    to->n_judged = from->n_judged;
    to->ids = wn_alloc(from->n, sizeof *to->ids);
    if (!to->ids || !wn_alloc_floats(&to->taught, from->n_judged, d->model->config.d_model))
        return no_memory(err);
    memcpy(to->ids, from->ids, from->n * sizeof *to->ids);
    return WN_OK;
}

static wn_status copy_text(const wn_head_distill *d, const int32_t *ids, size_t n,
                           const wn_distill_question *questions, size_t n_questions,
                           distill_text *to, wn_error *err)
{
    to->ids = wn_alloc(n, sizeof *to->ids);
    to->questions = wn_alloc(n_questions, sizeof *to->questions);
    to->order = wn_alloc(n_questions, sizeof *to->order);
    if (!to->ids || !to->questions || !to->order)
        return no_memory(err);
    memcpy(to->ids, ids, n * sizeof *ids);
    to->n = n;
    while (to->n_questions < n_questions) {
        const size_t i = to->n_questions++;
        to->order[i] = i;
        WN_TRY(copy_question(d, &questions[i], &to->questions[i], err));
    }
    return WN_OK;
}

size_t wn_distill_fill(wn_head_distill *d, const size_t *order, size_t n, size_t *n_rows)
{
    size_t taken = 0;
    for (*n_rows = 0; taken < n; taken++) {
        const distill_question *q = &d->text->questions[order[taken]];
        if (*n_rows + q->n > d->o.n_rows)
            break;
        memcpy(d->ids + *n_rows, q->ids, q->n * sizeof *d->ids);
        for (size_t i = 0; i < q->n; i++)
            d->piece[*n_rows + i] = (uint32_t)taken;
        *n_rows += q->n;
    }
    return taken;
}

wn_status wn_distill_run(wn_head_distill *d, size_t n_rows, wn_error *err)
{
    const wn_soft_prefix prefix = {d->n, (const float *const *)(uintptr_t)d->k,
                                   (const float *const *)(uintptr_t)d->v};
    const wn_soft_rows rows = {d->ids, d->piece, n_rows};
    return wn_soft_pass_run(d->pass, &prefix, &rows, d->keys, err);
}

/* The rows of questions order[0 .. n) that are judged, one after the other: in own. */
size_t wn_distill_judged(wn_head_distill *d, const size_t *order, size_t n)
{
    const size_t d_model = d->model->config.d_model;
    size_t end = 0, n_judged = 0;
    for (size_t i = 0; i < n; i++) {
        const distill_question *q = &d->text->questions[order[i]];
        end += q->n;
        memcpy(d->own + n_judged * d_model,
               wn_soft_pass_hidden(d->pass) + (end - q->n_judged) * d_model,
               q->n_judged * d_model * sizeof *d->own);
        n_judged += q->n_judged;
    }
    return n_judged;
}

/* What the questions' rows are with all keys. */
static wn_status teach(wn_head_distill *d, wn_error *err)
{
    const size_t d_model = d->model->config.d_model;
    for (size_t i = 0; i < d->n_lists; i++) {
        uint32_t *at = d->at + i * d->o.n_max;
        for (uint32_t t = 0; t < d->n; t++)
            at[t] = t;
        d->keys[i] = (wn_soft_keys){.at = at, .n = d->n};
    }
    for (size_t first = 0; first < d->text->n_questions;) {
        size_t n_rows = 0;
        const size_t n =
            wn_distill_fill(d, d->text->order + first, d->text->n_questions - first, &n_rows);
        WN_TRY(wn_distill_run(d, n_rows, err));
        wn_distill_judged(d, d->text->order + first, n);
        const float *from = d->own;
        for (size_t i = 0; i < n; i++) {
            const distill_question *q = &d->text->questions[d->text->order[first + i]];
            memcpy(q->taught, from, q->n_judged * d_model * sizeof *from);
            from += q->n_judged * d_model;
        }
        first += n;
    }
    return WN_OK;
}

static wn_status add(wn_head_distill *d, distill_text *t, const int32_t *ids, size_t n,
                     const wn_distill_question *questions, size_t n_questions, wn_error *err)
{
    WN_TRY(copy_text(d, ids, n, questions, n_questions, t, err));
    WN_TRY(read_text(d, t, false, err));
    if (d->rms[0] <= 0)
        find_rms(d);
    return teach(d, err);
}

wn_status wn_head_distill_add(wn_head_distill *d, const int32_t *ids, size_t n,
                              const wn_distill_question *questions, size_t n_questions,
                              wn_error *err)
{
    if (n <= d->o.window || n > d->o.n_max || n_questions < 1)
        return wn_error_set(err, WN_INVALID,
                            "a prefix of %zu tokens (above %zu, %zu at most), %zu"
                            " questions",
                            n, d->o.window, d->o.n_max, n_questions);
    distill_text *t = wn_distill_new_text(d);
    if (!t)
        return no_memory(err);
    wn_status status = add(d, t, ids, n, questions, n_questions, err);
    if (status != WN_OK) {
        free_text(t);
        d->n_texts--;
        d->text = NULL;
    }
    return status;
}

size_t wn_head_distill_n_texts(const wn_head_distill *d)
{
    return d->n_texts;
}

wn_status wn_head_distill_read(wn_head_distill *d, size_t text, wn_error *err)
{
    assert(text < d->n_texts);
    WN_TRY(wn_distill_refresh(d, err));
    d->rule = (wn_evict_rule){
        .kind = WN_EVICT_HEADS, .weight = d->weight, .bias = d->bias, .offset = (float)d->offset};
    d->loss_sum = 0;
    d->n_turn = 0;
    return read_text(d, &d->texts[text], true, err);
}

void wn_head_distill_heads(const wn_head_distill *d, float *weight, float *bias)
{
    memcpy(weight, d->weight, d->n_lists * d->model->config.d_model * sizeof *weight);
    memcpy(bias, d->bias, d->n_lists * sizeof *bias);
}
