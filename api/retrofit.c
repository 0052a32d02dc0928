#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/asked_text.h"
#include "api/retrofit_internal.h"
#include "base/checked.h"
#include "base/clock.h"
#include "generate/dms_heads.h"
#include "generate/dms_side_car.h"

#define STEPS_PER_TEXT 8

static void set_defaults(wn_retrofit *r)
{
    static const double marks[] = {4.6, 3.1, 6.1, 8.1};
    wn_retrofit_options *o = &r->o;
    o->n_texts = o->n_texts ? o->n_texts : 12;
    o->n_tokens = o->n_tokens ? o->n_tokens : 2000;
    o->window = o->window ? o->window : 128;
    o->n_measure = o->n_measure ? o->n_measure : 2;
    o->measure_tokens = o->measure_tokens ? o->measure_tokens : 4096;
    if (o->marks[0] == 0)
        memcpy(o->marks, marks, sizeof marks);
    for (; r->n_marks < WN_RETROFIT_MAX_POINTS && o->marks[r->n_marks] > 0; r->n_marks++)
        if (o->mark_tokens[r->n_marks] == 0)
            o->mark_tokens[r->n_marks] = o->measure_tokens;
    if (o->n_step_texts == 0 || o->n_step_texts > o->n_steps)
        o->n_step_texts = (o->n_steps + STEPS_PER_TEXT - 1) / STEPS_PER_TEXT;
}

size_t wn_retrofit_window(const wn_retrofit *r, size_t mark)
{
    return r->o.mark_windows[mark] ? r->o.mark_windows[mark] : r->o.window;
}

wn_status wn_retrofit_progress(const wn_retrofit *r, const char *stage, size_t done, size_t total)
{
    return r->o.progress ? r->o.progress(r->o.progress_ctx, stage, done, total) : WN_OK;
}

static wn_status check_options(const wn_retrofit *r, wn_error *err)
{
    const size_t n_ctx = wn_model_config_of(r->model)->n_ctx;
    const wn_retrofit_options *o = &r->o;
    const size_t talk = wn_asked_text_max(o->n_tokens, o->n_questions);
    if (talk > n_ctx || o->measure_tokens > n_ctx)
        return wn_error_set(
            err, WN_INVALID,
            "retrofit: conversations of %zu tokens about texts, or texts of %zu, do "
            "not fit into the %zu positions of %s",
            talk, o->measure_tokens, n_ctx, wn_model_name(r->model));
    if (2 * o->window > o->n_tokens || 2 * o->window > o->measure_tokens)
        return wn_error_set(err, WN_INVALID,
                            "retrofit: texts of %zu and %zu tokens are too short for a window of "
                            "%zu",
                            o->n_tokens, o->measure_tokens, o->window);
    for (size_t i = 0; i < r->n_marks; i++) {
        if (o->mark_tokens[i] > o->measure_tokens)
            return wn_error_set(err, WN_INVALID, "retrofit: %gx at %zu tokens: %zu are measured",
                                o->marks[i], o->mark_tokens[i], o->measure_tokens);
        const size_t w = wn_retrofit_window(r, i);
        if (w < o->window)
            return wn_error_set(err, WN_INVALID,
                                "retrofit: %gx with a window of %zu: the heads serve windows of "
                                "%zu and more (--window)",
                                o->marks[i], w, o->window);
        if (!(o->marks[i] > 1) || (double)w * o->marks[i] > 0.8 * (double)o->mark_tokens[i])
            return wn_error_set(err, WN_INVALID,
                                "retrofit: a window of %zu leaves no %gx of %zu tokens", w,
                                o->marks[i], o->mark_tokens[i]);
    }
    return WN_OK;
}

/* A prefix and a question behind it. */
static wn_status check_steps(const wn_retrofit *r, wn_error *err)
{
    const size_t n_ctx = wn_model_config_of(r->model)->n_ctx;
    if (r->o.n_steps == 0 || wn_retrofit_step_tokens(r) <= n_ctx)
        return WN_OK;
    return wn_error_set(err, WN_INVALID,
                        "retrofit: %zu tokens of text with questions behind them do not fit into "
                        "the %zu positions of %s: name a shorter context with the first of --marks",
                        r->o.mark_tokens[0], n_ctx, wn_model_name(r->model));
}

/* Heads in the model's own q are part of its weights: what attention reads there would have to be
 * cleared, and a side-car would take their place. */
static wn_status refuse_own_heads(const wn_model *m, wn_error *err)
{
    wn_dms_heads *own = NULL;
    WN_TRY(wn_dms_heads_open(&own, m, NULL, err));
    if (!own)
        return WN_OK;
    wn_dms_heads_close(own);
    return wn_error_set(err, WN_UNSUPPORTED,
                        "retrofit: %s has eviction heads already, in its query projection; "
                        "`winnow eval kv` measures them",
                        wn_model_name(m));
}

/* 512, 1024, ... and those of the marks. */
static void set_lengths(wn_retrofit *r)
{
    wn_kv_lengths *l = &r->lengths;
    size_t next = 512;
    while (l->n < WN_KV_MAX_LENGTHS && (l->n == 0 || l->at[l->n - 1] < r->o.measure_tokens)) {
        size_t n = next < r->o.measure_tokens ? next : r->o.measure_tokens;
        for (size_t i = 0; i < r->n_marks; i++)
            if (r->o.mark_tokens[i] < n && (l->n == 0 || r->o.mark_tokens[i] > l->at[l->n - 1]))
                n = r->o.mark_tokens[i];
        l->at[l->n++] = n;
        while (next <= n)
            next *= 2;
    }
    l->at[l->n - 1] = r->o.measure_tokens;
}

wn_status wn_retrofit_open(wn_retrofit **out, const wn_model *m, wn_compute *c,
                           const wn_retrofit_options *options, wn_error *err)
{
    const wn_model_config *g = wn_model_config_of(m);
    WN_TRY(refuse_own_heads(m, err));
    wn_retrofit *r = wn_alloc(1, sizeof *r);
    if (!r)
        return wn_error_set(err, WN_NO_MEMORY, "retrofit: out of memory");
    *r = (wn_retrofit){.model = m, .compute = c, .o = *options};
    r->n_lists = g->n_layers * g->n_kv_heads;
    set_defaults(r);
    set_lengths(r);
    r->weight = wn_alloc(r->n_lists, g->d_model * sizeof *r->weight);
    r->bias = wn_alloc(r->n_lists, sizeof *r->bias);
    r->cases = wn_alloc(r->n_marks, sizeof *r->cases);
    wn_status status = check_options(r, err);
    if (status == WN_OK)
        status = check_steps(r, err);
    if (status == WN_OK && (!r->weight || !r->bias || !r->cases))
        status = wn_error_set(err, WN_NO_MEMORY, "retrofit: out of memory");
    if (status != WN_OK) {
        wn_retrofit_close(r);
        return status;
    }
    *out = r;
    return WN_OK;
}

void wn_retrofit_close(wn_retrofit *r)
{
    if (!r)
        return;
    free(r->weight);
    free(r->bias);
    free(r->cases);
    free(r);
}

wn_status wn_retrofit_run(wn_retrofit *r, wn_error *err)
{
    const double start = wn_clock_ms();
    WN_TRY(wn_retrofit_fit(r, err));
    if (r->o.n_steps)
        WN_TRY(wn_retrofit_distill(r, err));
    WN_TRY(wn_retrofit_measure(r, err));
    r->seconds = (wn_clock_ms() - start) / 1e3;
    return WN_OK;
}

/* Rounded down, so that a session on other text has what the dial says. */
static double dial_mark(double ratio)
{
    return ratio >= 2 ? floor(2 * ratio) / 2 : floor(10 * ratio) / 10;
}

static json_t *points_json(const wn_retrofit *r)
{
    json_t *points = json_array();
    for (size_t i = 0; i < r->n_cases; i++) {
        const wn_kv_case *c = &r->cases[i];
        const size_t tokens = r->lengths.at[c->length];
        const wn_kv_sum *s = &c->lines[c->length].text;
        const double n = (double)s->n_texts, live = s->live / n;
        const double window = (double)c->window / (double)tokens;
        json_array_append_new(
            points, json_pack("{s:I, s:f, s:f, s:I, s:f, s:o}", "window", (json_int_t)c->window,
                              "bias", (double)c->rule.offset, "ratio", dial_mark(1 / live),
                              "tokens", (json_int_t)tokens, "kept", (live - window) / (1 - window),
                              "measured", wn_kv_table_json(c, 1, &r->lengths)));
    }
    return points;
}

static void remove_states(const wn_retrofit *r)
{
    char *steps = wn_retrofit_steps_path(r);
    unlink(r->o.state_path);
    if (steps)
        unlink(steps);
    free(steps);
}

wn_status wn_retrofit_write(wn_retrofit *r, const char *path, wn_error *err)
{
    char digest[WN_SHA256_HEX];
    wn_hex(r->o.text->digest, WN_SHA256_BYTES, digest);
    json_t *points = points_json(r);
    const size_t n_step_texts = r->o.n_steps ? r->o.n_step_texts : 0;
    json_t *trained =
        json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I}", "files",
                  (json_int_t)r->o.text->n_files, "bytes", (json_int_t)r->o.text->n_bytes, "sha256",
                  digest, "texts", (json_int_t)r->o.n_texts, "tokens", (json_int_t)r->o.n_tokens,
                  "questions", (json_int_t)r->o.n_questions, "steps", (json_int_t)r->o.n_steps,
                  "step_texts", (json_int_t)n_step_texts);
    json_t *metrics = json_pack("{s:f, s:f, s:f, s:s}", "r2", r->r2, "loss", r->loss, "seconds",
                                r->seconds, "kv_format", wn_kv_format_name(r->o.kv_format));
    const wn_dms_side_car s = {.weight = r->weight,
                               .bias = r->bias,
                               .window = r->o.window,
                               .min_window = r->o.window,
                               .points = points,
                               .trained_on = trained,
                               .metrics = metrics};
    wn_status status = points && trained && metrics
                           ? wn_dms_side_car_write(path, r->model, &s, err)
                           : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    json_decref(points);
    json_decref(trained);
    json_decref(metrics);
    if (status == WN_OK && r->o.state_path)
        remove_states(r);
    return status;
}

size_t wn_retrofit_points(const wn_retrofit *r, const wn_kv_case **cases,
                          const wn_kv_lengths **lengths)
{
    *cases = r->cases;
    *lengths = &r->lengths;
    return r->n_cases;
}

wn_retrofit_report wn_retrofit_report_of(const wn_retrofit *r)
{
    return (wn_retrofit_report){r->r2, r->loss, r->n_asked};
}
