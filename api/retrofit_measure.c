/* Last stage: operating points, on text that the others did not see. */
#include <stdlib.h>
#include <string.h>

#include "api/kv_copying.h"
#include "api/retrofit_internal.h"
#include "base/checked.h"
#include "generate/repeat_text.h"

#define COPY_TOKENS 1024

static const size_t windows[] = {128, 192, 256, 320, 384, 448, 512, 768, 1024};
#define N_WINDOWS (sizeof windows / sizeof *windows)

static void piece(const wn_retrofit *r, size_t i, size_t n_tokens, const char **text, size_t *len)
{
    wn_training_text_piece(r->o.text, WN_PIECE_MEASURE, i, r->o.n_measure,
                           WN_BYTES_PER_TOKEN * n_tokens, text, len);
}

static size_t line_of(const wn_retrofit *r, size_t n_tokens)
{
    size_t i = 0;
    while (i + 1 < r->lengths.n && r->lengths.at[i] < n_tokens)
        i++;
    return i;
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
            out[n++] = candidate(r, i, wn_retrofit_window(r, i));
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
    piece(r, i, r->o.measure_tokens, &text, &len);
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

static wn_status read_text(const wn_retrofit *r, wn_kv_eval *e, size_t i, wn_error *err)
{
    int32_t *ids = NULL;
    WN_TRY(measure_ids(r, i, &ids, err));
    wn_status status = wn_kv_eval_read(e, ids, r->o.measure_tokens, err);
    free(ids);
    return status;
}

static wn_status calibrate(wn_retrofit *r, wn_kv_eval *e, wn_kv_case *cases, size_t n_cases,
                           float *logits, wn_error *err)
{
    const size_t per_text = r->n_lists * r->o.measure_tokens;
    for (size_t i = 0; i < r->o.n_measure; i++) {
        WN_TRY(read_text(r, e, i, err));
        WN_TRY(wn_kv_eval_logits(e, &cases[0].rule, logits + i * per_text, err));
    }
    find_offsets(r, logits, logits + r->o.n_measure * per_text, cases, n_cases);
    for (size_t i = 0; i < r->o.n_measure; i++) {
        WN_TRY(read_text(r, e, i, err));
        for (size_t c = 0; c < n_cases; c++) {
            WN_TRY(wn_kv_case_read(e, &cases[c], r->o.measure_tokens, &r->lengths, cases[c].window,
                                   err));
            WN_TRY(wn_retrofit_progress(r, "Measuring", i * n_cases + c + 1,
                                        r->o.n_measure * n_cases));
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
    piece(r, 0, r->lengths.at[line], &text, &len);
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

static wn_status run(wn_retrofit *r, wn_kv_case *cases, size_t n_cases, wn_error *err)
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

wn_status wn_retrofit_measure(wn_retrofit *r, wn_error *err)
{
    wn_kv_case *cases = wn_alloc(r->n_marks * N_WINDOWS, sizeof *cases);
    if (!cases)
        return wn_error_set(err, WN_NO_MEMORY, "retrofit: out of memory");
    wn_status status = run(r, cases, list_candidates(r, cases), err);
    free(cases);
    return status;
}
