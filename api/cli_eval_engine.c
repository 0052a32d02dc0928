/* winnow eval {kld,greedy} */
#include "api/cli_eval_engine.h"

#include "api/greedy_eval.h"
#include "api/kld_eval.h"
#include "api/terminal.h"
#include "base/fs.h"

#define MAX_TEXT_BYTES ((size_t)64 << 20)
#define DEFAULT_WINDOW 512

static wn_status show_windows(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    wn_progress_bar("Reading", done, total, false, "");
    return WN_OK;
}

/* The file of --text, the service. */
static wn_status open_text(wn_cli *cli, wn_strbuf *text, wn_service **service, wn_error *err)
{
    const char *path = wn_options_str(cli->options, "text");
    if (!path)
        return wn_error_set(err, WN_INVALID, "eval %s needs --text FILE", cli->argv[0]);
    WN_TRY(wn_fs_read(text, path, MAX_TEXT_BYTES, err));
    return wn_cli_service(cli, service, err);
}

/* {model, weights, isa, threads, kv_format}: the same in every row. */
static wn_status setting_of(wn_service *s, json_t **out, wn_error *err)
{
    const wn_model *m = NULL;
    const wn_compute *c = wn_service_compute(s);
    WN_TRY(wn_service_generator(s, &m, err));
    *out = json_pack("{s:s, s:s, s:s, s:I, s:s}", "model", wn_model_name(m), "weights",
                     wn_dtype_name(wn_model_weight_type(m)), "isa", wn_compute_isa(c), "threads",
                     (json_int_t)wn_compute_n_threads(c), "kv_format",
                     wn_kv_format_name(wn_service_kv_format(s)));
    return *out ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "eval: out of memory");
}

static void print_kld(const wn_cli *cli, json_t *row, const wn_kld_report *r, size_t n_window)
{
    if (!cli->json) {
        wn_out("%zu windows of %zu tokens, %zu tokens judged\n"
               "KL divergence from f32   mean %.3e   p99 %.3e   max %.3e\n"
               "same likeliest token     %.4f %%\nperplexity               %.6f (f32: %.6f)\n",
               r->n_windows, n_window, r->n_judged, r->mean, r->p99, r->max, 100 * r->same_top,
               r->ppl, r->ppl_exact);
        return;
    }
    json_t *figures = json_pack(
        "{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "windows", (json_int_t)r->n_windows,
        "window", (json_int_t)n_window, "judged", (json_int_t)r->n_judged, "mean", r->mean, "p99",
        r->p99, "max", r->max, "same_top", r->same_top, "ppl", r->ppl, "ppl_f32", r->ppl_exact);
    json_object_update_missing(figures, row);
    wn_cli_print_json(json_pack("{s:[o]}", "rows", figures));
}

wn_status wn_cli_eval_kld(wn_cli *cli, wn_error *err)
{
    wn_status status = WN_OK;
    wn_service *service = NULL;
    wn_strbuf text = {0};
    json_t *row = NULL;
    wn_kld_report report = {0};
    int64_t window = wn_options_int(cli->options, "context");
    WN_TRY_OUT(open_text(cli, &text, &service, err));
    wn_kld_options o = {.text = wn_strbuf_cstr(&text),
                        .len = text.len,
                        .n_window = window ? (size_t)window : DEFAULT_WINDOW,
                        .n_tokens = (size_t)wn_options_int(cli->options, "tokens"),
                        .progress = show_windows};
    WN_TRY_OUT(wn_kld_eval(service, &o, &report, err));
    WN_TRY_OUT(setting_of(service, &row, err));
    print_kld(cli, row, &report, o.n_window);
out:
    json_decref(row);
    wn_strbuf_free(&text);
    return status;
}

typedef struct greedy_rows {
    const wn_cli *cli;
    json_t *rows, *setting;
    size_t n_prompts, n_tokens, n_equal, n_same;
} greedy_rows;

static json_t *id_array(const int32_t *ids, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_integer(ids[i]));
    return array;
}

static wn_status add_texts(void *ctx, const wn_greedy_texts *t, wn_error *err)
{
    (void)err;
    greedy_rows *g = ctx;
    g->n_prompts++;
    g->n_tokens += t->n;
    g->n_equal += t->n_equal;
    g->n_same += t->first_difference == t->n;
    if (!g->cli->json) {
        wn_out("%6zu %12zu %8zu\n", g->n_prompts, t->first_difference, t->n_equal);
        wn_out_flush();
        return WN_OK;
    }
    json_t *row = json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "tokens", (json_int_t)t->n,
                            "first_difference", (json_int_t)t->first_difference, "equal",
                            (json_int_t)t->n_equal, "prompt_ids", id_array(t->prompt, t->n_prompt),
                            "ids", id_array(t->usual, t->n), "f32_ids", id_array(t->exact, t->n));
    json_object_update_missing(row, g->setting);
    json_array_append_new(g->rows, row);
    return WN_OK;
}

wn_status wn_cli_eval_greedy(wn_cli *cli, wn_error *err)
{
    wn_status status = WN_OK;
    wn_service *service = NULL;
    wn_strbuf text = {0};
    greedy_rows g = {.cli = cli, .rows = json_array()};
    const wn_options *co = cli->options;
    WN_TRY_OUT(open_text(cli, &text, &service, err));
    WN_TRY_OUT(setting_of(service, &g.setting, err));
    wn_greedy_options o = {.text = wn_strbuf_cstr(&text),
                           .len = text.len,
                           .n_prompts = (size_t)wn_options_int(co, "prompts"),
                           .n_prompt = (size_t)wn_options_int(co, "prompt-tokens"),
                           .n_generate = (size_t)wn_options_int(co, "generate")};
    if (!cli->json)
        wn_out("prompt  differs at    equal   of %zu tokens\n", o.n_generate);
    WN_TRY_OUT(wn_greedy_eval(service, &o, add_texts, &g, err));
    if (cli->json)
        wn_cli_print_json(json_pack("{s:O}", "rows", g.rows));
    else
        wn_out("%zu of %zu texts are the same, %.1f %% of the tokens\n", g.n_same, g.n_prompts,
               100.0 * (double)g.n_equal / (double)g.n_tokens);
out:
    json_decref(g.rows);
    json_decref(g.setting);
    wn_strbuf_free(&text);
    return status;
}
