#include "api/retrofit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/asked_text.h"
#include "api/kv_copying.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/fs.h"
#include "generate/dms_heads.h"
#include "generate/dms_side_car.h"
#include "generate/head_fit.h"
#include "generate/repeat_text.h"

#define BYTES_PER_TOKEN 8 /* more than text has on average */
#define SAVE_EVERY_S 60
#define COPY_TOKENS 1024

static const size_t windows[] = {128, 192, 256, 320, 384, 448, 512, 768, 1024};
#define N_WINDOWS (sizeof windows / sizeof *windows)

struct wn_retrofit {
    const wn_model *model;
    wn_compute *compute;
    wn_retrofit_options o;
    size_t n_lists, n_marks, n_cases, n_done, n_steps, n_asked;
    float *weight, *bias;
    double r2, seconds;
    wn_kv_lengths lengths;
    wn_kv_case *cases; /* [n_marks], chosen */
};

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
}

static size_t smallest_window(const wn_retrofit *r, size_t mark)
{
    return r->o.mark_windows[mark] ? r->o.mark_windows[mark] : r->o.window;
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
        const size_t w = smallest_window(r, i);
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

static size_t line_of(const wn_retrofit *r, size_t n_tokens)
{
    size_t i = 0;
    while (i + 1 < r->lengths.n && r->lengths.at[i] < n_tokens)
        i++;
    return i;
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

static wn_status step(wn_retrofit *r)
{
    r->n_done++;
    return r->o.progress ? r->o.progress(r->o.progress_ctx, r->n_done, r->n_steps) : WN_OK;
}

static void piece(const wn_retrofit *r, wn_piece_use use, size_t i, size_t n_tokens,
                  const char **text, size_t *len)
{
    const size_t n = use == WN_PIECE_LEARN ? r->o.n_texts : r->o.n_measure;
    wn_training_text_piece(r->o.text, use, i, n, BYTES_PER_TOKEN * n_tokens, text, len);
}

/* What a fit's sums depend on. */
static wn_status state_key(const wn_retrofit *r, uint8_t key[WN_SHA256_BYTES], wn_error *err)
{
    char text[256], model[WN_SHA256_HEX], data[WN_SHA256_HEX];
    WN_TRY(wn_model_fingerprint(r->model, model, err));
    wn_hex(r->o.text->digest, WN_SHA256_BYTES, data);
    const int len = snprintf(text, sizeof text, "fit 3 %s %s %zu %zu %zu %zu", model, data,
                             r->o.n_texts, r->o.n_tokens, r->o.n_questions, r->o.window);
    return wn_sha256_of(text, (size_t)len, key, err);
}

static wn_status learn(wn_retrofit *r, wn_head_fit *f, size_t i, wn_error *err)
{
    wn_asked_text_options o = {.n_tokens = r->o.n_tokens, .n_questions = r->o.n_questions};
    wn_asked_text ids = {0};
    piece(r, WN_PIECE_LEARN, i, r->o.n_tokens, &o.text, &o.len);
    WN_TRY(wn_asked_text_ids(&ids, r->model, r->compute, &o, err));
    wn_status status =
        ids.n_given > r->o.window
            ? wn_head_fit_add(f, ids.ids, ids.n, ids.n_given, err)
            : wn_error_set(err, WN_INVALID, "retrofit: text %zu: only %zu tokens", i, ids.n_given);
    r->n_asked += ids.n_questions;
    free(ids.ids);
    return status;
}

static wn_status fit(wn_retrofit *r, wn_head_fit *f, wn_error *err)
{
    uint8_t key[WN_SHA256_BYTES];
    const char *path = r->o.state_path;
    double saved = wn_clock_ms();
    if (path) {
        WN_TRY(state_key(r, key, err));
        if (wn_fs_exists(path))
            WN_TRY(wn_head_fit_load(f, key, path, err));
    }
    r->n_done = wn_head_fit_n_texts(f);
    for (size_t i = r->n_done; i < r->o.n_texts; i++) {
        WN_TRY(learn(r, f, i, err));
        const bool due = wn_clock_ms() - saved > 1e3 * SAVE_EVERY_S || i + 1 == r->o.n_texts;
        if (path && due) {
            WN_TRY(wn_head_fit_save(f, key, path, err));
            saved = wn_clock_ms();
        }
        wn_status status = step(r);
        if (status != WN_OK) {
            if (path && !due)
                WN_TRY(wn_head_fit_save(f, key, path, err));
            return wn_error_set(err, status, "retrofit: stopped after %zu of %zu texts", i + 1,
                                r->o.n_texts);
        }
    }
    return wn_head_fit_solve(f, r->weight, r->bias, &r->r2, err);
}

static wn_status run_fit(wn_retrofit *r, wn_error *err)
{
    wn_head_fit *f = NULL;
    const wn_head_fit_options o = {.n_max = wn_asked_text_max(r->o.n_tokens, r->o.n_questions),
                                   .window = r->o.window,
                                   .means = r->o.head_means};
    WN_TRY(wn_head_fit_open(&f, r->model, r->compute, &o, err));
    wn_status status = fit(r, f, err);
    wn_head_fit_close(f);
    return status;
}

static wn_kv_case candidate(const wn_retrofit *r, size_t mark, size_t window)
{
    return (wn_kv_case){
        .name = "heads",
        .rule = {.kind = WN_EVICT_HEADS, .weight = r->weight, .bias = r->bias},
        .window = window,
        .mark = r->o.marks[mark],
        .length = line_of(r, r->o.mark_tokens[mark]),
    };
}

/* Every mark with its window, or with every one that leaves it a choice. Where the window took half
 * of the keys, divergence was the least, but what stood far back was repeated worse. */
static size_t list_candidates(const wn_retrofit *r, wn_kv_case *out)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_marks; i++) {
        const double live = (double)r->o.mark_tokens[i] / r->o.marks[i];
        const size_t n_before = n;
        for (size_t w = 0; w < N_WINDOWS && !r->o.mark_windows[i]; w++)
            if (windows[w] >= r->o.window && (double)windows[w] < 0.45 * live &&
                (double)windows[w] >= 0.3 * live)
                out[n++] = candidate(r, i, windows[w]);
        if (n == n_before)
            out[n++] = candidate(r, i, smallest_window(r, i));
    }
    return n;
}

/* Offsets with which the texts, together, keep what the marks want. logits: of all texts, each
 * [n_layers][measure_tokens][n_kv_heads]; room: as many. */
static void find_offsets(const wn_retrofit *r, const float *logits, float *room, wn_kv_case *cases,
                         size_t n_cases)
{
    const size_t all = r->o.measure_tokens, n_kv_heads = wn_model_config_of(r->model)->n_kv_heads;
    const size_t n_rows = r->o.n_measure * r->n_lists / n_kv_heads; /* texts times layers */
    for (size_t c = 0; c < n_cases; c++) {
        const size_t n = r->lengths.at[cases[c].length];
        const size_t far = (n - cases[c].window) * n_kv_heads;
        for (size_t i = 0; i < n_rows; i++)
            memcpy(room + i * far, logits + i * all * n_kv_heads, far * sizeof *room);
        const double live = (double)n / cases[c].mark - (double)cases[c].window;
        const double keep = (live > 0 ? live : 0) * (double)(r->n_lists * r->o.n_measure);
        cases[c].rule.offset = wn_kv_offset(room, n_rows * far, (size_t)keep, false);
    }
}

static wn_status measure_ids(const wn_retrofit *r, size_t i, int32_t **ids, wn_error *err)
{
    const char *text = NULL;
    size_t len = 0, n = 0;
    piece(r, WN_PIECE_MEASURE, i, r->o.measure_tokens, &text, &len);
    WN_TRY(wn_first_ids(r->model, text, len, r->o.measure_tokens, ids, &n, err));
    if (n == r->o.measure_tokens)
        return WN_OK;
    free(*ids);
    *ids = NULL;
    return wn_error_set(
        err, WN_INVALID,
        "retrofit: a third of every path is kept for measuring: %zu tokens where %zu "
        "are needed (--measure-tokens)",
        n, r->o.measure_tokens);
}

static wn_status calibrate(wn_retrofit *r, wn_kv_eval *e, wn_kv_case *cases, size_t n_cases,
                           float *logits, wn_error *err)
{
    const size_t per_text = r->n_lists * r->o.measure_tokens;
    for (size_t i = 0; i < r->o.n_measure; i++) {
        int32_t *ids = NULL;
        WN_TRY(measure_ids(r, i, &ids, err));
        wn_status status = wn_kv_eval_read(e, ids, r->o.measure_tokens, err);
        free(ids);
        WN_TRY(status);
        WN_TRY(wn_kv_eval_logits(e, &cases[0].rule, logits + i * per_text, err));
    }
    find_offsets(r, logits, logits + r->o.n_measure * per_text, cases, n_cases);
    for (size_t i = 0; i < r->o.n_measure; i++) {
        int32_t *ids = NULL;
        WN_TRY(measure_ids(r, i, &ids, err));
        wn_status status = wn_kv_eval_read(e, ids, r->o.measure_tokens, err);
        free(ids);
        WN_TRY(status);
        for (size_t c = 0; c < n_cases; c++) {
            WN_TRY(wn_kv_case_read(e, &cases[c], r->o.measure_tokens, &r->lengths, cases[c].window,
                                   err));
            WN_TRY(step(r));
        }
    }
    return WN_OK;
}

/* The line of the longest context that a text is also repeated at; SIZE_MAX: none. */
static size_t copy_line(const wn_retrofit *r)
{
    size_t line = SIZE_MAX;
    for (size_t i = 0; i < r->lengths.n; i++)
        if (r->lengths.at[i] <= COPY_TOKENS &&
            2 * r->lengths.at[i] + WN_REPEAT_TEXT_EXTRA <= wn_model_config_of(r->model)->n_ctx)
            line = i;
    return line;
}

static wn_status measure_copying(wn_retrofit *r, wn_kv_eval *e, wn_kv_case *cases, size_t n_cases,
                                 wn_error *err)
{
    const char *text = NULL;
    size_t len = 0;
    const size_t line = copy_line(r);
    if (line == SIZE_MAX)
        return WN_OK;
    piece(r, WN_PIECE_MEASURE, 0, r->lengths.at[line], &text, &len);
    return wn_kv_cases_copy(e, NULL, r->model, cases, n_cases, text, len, line, r->lengths.at[line],
                            err);
}

/* What reading on loses, and a quarter of what repeating loses: repeating asks for everything,
 * which is four times as hard at the same number of keys, and both are to count. */
static double cost(const wn_retrofit *r, const wn_kv_case *c)
{
    const wn_kv_sum *text = &c->lines[c->length].text;
    const size_t line = copy_line(r);
    double sum = text->mean / (double)text->n_texts;
    if (line != SIZE_MAX && c->lines[line].copy.n_texts)
        sum += c->lines[line].copy.mean / (double)c->lines[line].copy.n_texts / 4;
    return sum;
}

/* Of every mark's candidates the one that costs least. */
static void choose(wn_retrofit *r, const wn_kv_case *cases, size_t n_cases)
{
    r->n_cases = 0;
    for (size_t c = 0; c < n_cases; c++) {
        wn_kv_case *best = r->n_cases ? &r->cases[r->n_cases - 1] : NULL;
        if (!best || best->mark != cases[c].mark || best->length != cases[c].length)
            r->cases[r->n_cases++] = cases[c];
        else if (cost(r, &cases[c]) < cost(r, best))
            *best = cases[c];
    }
}

/* Room for what is measured. */
static size_t most_tokens(const wn_retrofit *r)
{
    const size_t line = copy_line(r);
    const size_t copy = line == SIZE_MAX ? 0 : 2 * r->lengths.at[line] + WN_REPEAT_TEXT_EXTRA;
    return copy > r->o.measure_tokens ? copy : r->o.measure_tokens;
}

static wn_status run_measure(wn_retrofit *r, wn_kv_case *cases, size_t n_cases, wn_error *err)
{
    wn_kv_eval *e = NULL;
    const wn_kv_eval_options o = {.model = r->model,
                                  .compute = r->compute,
                                  .kv_format = r->o.kv_format,
                                  .n_max = most_tokens(r)};
    float *logits = wn_alloc(2 * r->o.n_measure * r->n_lists, r->o.measure_tokens * sizeof *logits);
    wn_status status = logits ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "retrofit: out of memory");
    if (status == WN_OK)
        status = wn_kv_eval_open(&e, &o, err);
    if (status == WN_OK)
        status = calibrate(r, e, cases, n_cases, logits, err);
    if (status == WN_OK)
        status = measure_copying(r, e, cases, n_cases, err);
    if (status == WN_OK)
        choose(r, cases, n_cases);
    wn_kv_eval_close(e);
    free(logits);
    return status;
}

wn_status wn_retrofit_run(wn_retrofit *r, wn_error *err)
{
    const double start = wn_clock_ms();
    wn_kv_case *cases = wn_alloc(r->n_marks * N_WINDOWS, sizeof *cases);
    if (!cases)
        return wn_error_set(err, WN_NO_MEMORY, "retrofit: out of memory");
    const size_t n_cases = list_candidates(r, cases);
    r->n_steps = r->o.n_texts + n_cases * r->o.n_measure;
    wn_status status = run_fit(r, err);
    if (status == WN_OK)
        status = run_measure(r, cases, n_cases, err);
    free(cases);
    r->seconds = (wn_clock_ms() - start) / 1e3;
    return status;
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

wn_status wn_retrofit_write(wn_retrofit *r, const char *path, wn_error *err)
{
    char digest[WN_SHA256_HEX];
    wn_hex(r->o.text->digest, WN_SHA256_BYTES, digest);
    json_t *points = points_json(r);
    json_t *trained = json_pack(
        "{s:I, s:I, s:s, s:I, s:I, s:I}", "files", (json_int_t)r->o.text->n_files, "bytes",
        (json_int_t)r->o.text->n_bytes, "sha256", digest, "texts", (json_int_t)r->o.n_texts,
        "tokens", (json_int_t)r->o.n_tokens, "questions", (json_int_t)r->o.n_questions);
    json_t *metrics = json_pack("{s:f, s:f, s:s}", "r2", r->r2, "seconds", r->seconds, "kv_format",
                                wn_kv_format_name(r->o.kv_format));
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
        unlink(r->o.state_path);
    return status;
}

size_t wn_retrofit_points(const wn_retrofit *r, const wn_kv_case **cases,
                          const wn_kv_lengths **lengths)
{
    *cases = r->cases;
    *lengths = &r->lengths;
    return r->n_cases;
}

double wn_retrofit_r2(const wn_retrofit *r, size_t *n_asked)
{
    *n_asked = r->n_asked;
    return r->r2;
}
