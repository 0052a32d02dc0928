/* winnow eval kv --qa DIR and --needles N */
#include <stdlib.h>
#include <string.h>

#include "api/cli_eval_engine.h"
#include "api/kv_needle.h"
#include "api/kv_qa.h"
#include "api/terminal.h"
#include "base/checked.h"
#include "base/fs.h"

#define MAX_TEXT_BYTES ((size_t)64 << 20)
#define DEFAULT_LENGTHS "8192"

static wn_status show_progress(void *ctx, uint64_t done, uint64_t total)
{
    wn_progress_bar(ctx, done, total, false, "");
    return WN_OK;
}

static wn_kv_quiz quiz_of(const wn_cli_kv *kv, const char *label)
{
    return (wn_kv_quiz){.model = kv->model,
                        .compute = wn_service_compute(kv->cli->service),
                        .kv_format = wn_service_kv_format(kv->cli->service),
                        .heads = kv->heads,
                        .progress = show_progress,
                        .progress_ctx = (void *)(uintptr_t)label};
}

/* keys, window, mark, tokens, ratio, byte_ratio, prefixes, prefix_tokens */
static json_t *side_json(const wn_kv_side *s, size_t tokens)
{
    return json_pack("{s:s, s:I, s:f, s:I, s:f, s:f, s:I, s:I}", "keys", wn_kv_side_name(s),
                     "window", (json_int_t)(s->point ? s->point->window : 0), "mark",
                     s->point ? s->point->ratio : 0.0, "tokens", (json_int_t)tokens, "ratio",
                     wn_kv_side_slots(s), "byte_ratio", wn_kv_side_byte_ratio(s), "prefixes",
                     (json_int_t)s->n_prefixes, "prefix_tokens",
                     (json_int_t)(s->n_prefixes ? s->n_tokens / s->n_prefixes : 0));
}

static void print_side(const wn_kv_side *s, size_t tokens)
{
    wn_out("%-6s %6zu %6zu %6.2fx %6.2fx", wn_kv_side_name(s), s->point ? s->point->window : 0,
           tokens, wn_kv_side_slots(s), wn_kv_side_byte_ratio(s));
}

static void print_rows(const wn_cli_kv *kv, json_t *rows, json_t *questions)
{
    if (!kv->cli->json)
        return;
    json_t *o = json_pack("{s:s, s:s, s:O}", "model", wn_model_name(kv->model), "kv_format",
                          wn_kv_format_name(wn_service_kv_format(kv->cli->service)), "rows", rows);
    if (questions)
        json_object_set(o, "questions", questions);
    wn_cli_print_json(o);
}

static void add_score(const wn_cli_kv *kv, const wn_kv_side *side, size_t tokens,
                      const wn_kv_qa_score *score, json_t *rows)
{
    const double n = (double)score->n;
    json_t *row = side_json(side, tokens);
    json_object_set_new(row, "questions", json_integer((json_int_t)score->n));
    json_object_set_new(row, "contains", json_real((double)score->contains / n));
    json_object_set_new(row, "f1", json_real(score->f1 / n));
    json_array_append_new(rows, row);
    if (kv->cli->json)
        return;
    print_side(side, tokens);
    wn_out(" %9zu %9zu %8.1f %% %6.1f %%\n", side->n_prefixes, score->n,
           100 * (double)score->contains / n, 100 * score->f1 / n);
    wn_out_flush();
}

static wn_status qa_of_length(const wn_cli_kv *kv, size_t tokens, json_t *rows, json_t *questions,
                              wn_error *err)
{
    wn_kv_sides sides = {0};
    WN_TRY(wn_kv_sides_open(&sides, kv->heads, err));
    const wn_kv_qa_options o = {.quiz = quiz_of(kv, "Asking"),
                                .dir = wn_options_str(kv->cli->options, "qa"),
                                .n_tokens = tokens,
                                .n_questions =
                                    (size_t)wn_options_int(kv->cli->options, "questions")};
    wn_kv_qa_score *scores = wn_alloc(sides.n, sizeof *scores);
    wn_status status = scores ? wn_kv_qa_run(&o, &sides, scores, questions, err)
                              : wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    wn_progress_clear();
    for (size_t i = 0; status == WN_OK && i < sides.n; i++)
        add_score(kv, &sides.all[i], tokens, &scores[i], rows);
    free(scores);
    wn_kv_sides_close(&sides);
    return status;
}

/* --lengths, as far as the model reaches. */
static wn_status lengths_of(const wn_cli_kv *kv, wn_kv_lengths *out, wn_error *err)
{
    const wn_options *co = kv->cli->options;
    const char *list =
        wn_options_is_set(co, "lengths") ? wn_options_str(co, "lengths") : DEFAULT_LENGTHS;
    const size_t n_ctx = wn_model_config_of(kv->model)->n_ctx;
    WN_TRY(wn_kv_lengths_parse(list, out, err));
    if (wn_kv_lengths_limit(out, n_ctx) == 0)
        return wn_error_set(err, WN_INVALID,
                            "eval kv: every length is above the %zu positions of the model", n_ctx);
    return WN_OK;
}

wn_status wn_cli_eval_kv_qa(const wn_cli_kv *kv, wn_error *err)
{
    wn_kv_lengths lengths = {0};
    WN_TRY(lengths_of(kv, &lengths, err));
    json_t *rows = json_array(), *questions = json_array();
    if (!kv->cli->json)
        wn_out("%-6s %6s %6s %7s %7s %9s %9s %10s %8s\n", "keys", "window", "tokens", "slots",
               "bytes", "prefixes", "questions", "contains", "F1");
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i < lengths.n; i++)
        status = qa_of_length(kv, lengths.at[i], rows, questions, err);
    if (status == WN_OK)
        print_rows(kv, rows, questions);
    json_decref(rows);
    json_decref(questions);
    return status;
}

static void add_found(const wn_cli_kv *kv, const wn_kv_side *side, size_t tokens,
                      const wn_kv_lengths *depths, const size_t *found, size_t n_rounds,
                      json_t *rows)
{
    for (size_t d = 0; d < depths->n; d++) {
        json_t *row = side_json(side, tokens);
        json_object_set_new(row, "depth", json_integer((json_int_t)depths->at[d]));
        json_object_set_new(row, "asked", json_integer((json_int_t)n_rounds));
        json_object_set_new(row, "found", json_integer((json_int_t)found[d]));
        json_array_append_new(rows, row);
    }
    if (kv->cli->json)
        return;
    print_side(side, tokens);
    for (size_t d = 0; d < depths->n; d++)
        wn_out(" %5zu/%zu", found[d], n_rounds);
    wn_out("\n");
    wn_out_flush();
}

static wn_status needles_of_length(const wn_cli_kv *kv, wn_kv_needle_options *o, json_t *rows,
                                   wn_error *err)
{
    wn_kv_sides sides = {0};
    WN_TRY(wn_kv_sides_open(&sides, kv->heads, err));
    size_t *found = wn_alloc(sides.n, o->depths->n * sizeof *found);
    wn_status status = found ? wn_kv_needle_run(o, &sides, found, err)
                             : wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    wn_progress_clear();
    for (size_t i = 0; status == WN_OK && i < sides.n; i++)
        add_found(kv, &sides.all[i], o->n_tokens, o->depths, found + i * o->depths->n, o->n_rounds,
                  rows);
    free(found);
    wn_kv_sides_close(&sides);
    return status;
}

/* --text and the paths behind the verb; texts [cli->argc]. */
static wn_status read_texts(const wn_cli *cli, wn_kv_haystack *out, wn_strbuf *texts, wn_error *err)
{
    for (int i = 0; i < cli->argc; i++) {
        const char *path = i ? cli->argv[i] : wn_options_str(cli->options, "text");
        WN_TRY(wn_fs_read(&texts[i], path, MAX_TEXT_BYTES, err));
        out[i] = (wn_kv_haystack){path, wn_strbuf_cstr(&texts[i]), texts[i].len};
    }
    return WN_OK;
}

static wn_status run_needles(const wn_cli_kv *kv, const wn_kv_haystack *texts, wn_error *err)
{
    const wn_options *co = kv->cli->options;
    wn_kv_lengths lengths = {0}, depths = {0};
    WN_TRY(lengths_of(kv, &lengths, err));
    WN_TRY(wn_kv_lengths_parse(wn_options_str(co, "depths"), &depths, err));
    wn_kv_needle_options o = {.quiz = quiz_of(kv, "Searching"),
                              .depths = &depths,
                              .n_rounds = (size_t)wn_options_int(co, "needles"),
                              .texts = texts,
                              .n_texts = (size_t)kv->cli->argc,
                              .seed = (uint64_t)wn_options_int(co, "seed")};
    json_t *rows = json_array();
    if (!kv->cli->json) {
        wn_out("%-6s %6s %6s %7s %7s", "keys", "window", "tokens", "slots", "bytes");
        for (size_t d = 0; d < depths.n; d++)
            wn_out(" %5zu %%", depths.at[d]);
        wn_out("\n");
    }
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i < lengths.n; i++) {
        o.n_tokens = lengths.at[i];
        status = needles_of_length(kv, &o, rows, err);
    }
    if (status == WN_OK)
        print_rows(kv, rows, NULL);
    json_decref(rows);
    return status;
}

wn_status wn_cli_eval_kv_needles(const wn_cli_kv *kv, wn_error *err)
{
    const size_t n = (size_t)kv->cli->argc;
    wn_kv_haystack *texts = wn_alloc(n, sizeof *texts);
    wn_strbuf *buffers = wn_alloc(n, sizeof *buffers);
    wn_status status = texts && buffers ? read_texts(kv->cli, texts, buffers, err)
                                        : wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    if (status == WN_OK)
        status = run_needles(kv, texts, err);
    for (size_t i = 0; buffers && i < n; i++)
        wn_strbuf_free(&buffers[i]);
    free(buffers);
    free(texts);
    return status;
}
