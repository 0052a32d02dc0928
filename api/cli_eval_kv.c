/* winnow eval kv */
#include <stdio.h>

#include "api/cli_eval_engine.h"
#include "api/kv_plot.h"
#include "api/kv_run.h"
#include "api/terminal.h"
#include "base/fs.h"

#define MAX_TEXT_BYTES ((size_t)64 << 20)
#define WRITE_TOKENS 64 /* where --generate is not given */

static wn_status show_progress(void *ctx, uint64_t done, uint64_t total)
{
    wn_progress_bar(ctx, done, total, false, "");
    return WN_OK;
}

static void print(const wn_cli_kv *kv, const wn_kv_run *r, const wn_kv_lengths *lengths)
{
    size_t n = 0;
    const wn_kv_case *cases = wn_kv_run_cases(r, &n);
    if (kv->cli->json)
        wn_cli_print_json(json_pack("{s:s, s:s, s:o}", "model", wn_model_name(kv->model),
                                    "kv_format",
                                    wn_kv_format_name(wn_service_kv_format(kv->cli->service)),
                                    "rows", wn_kv_table_json(cases, n, lengths)));
    else
        wn_kv_table_print(cases, n, lengths);
}

static wn_status plot(const wn_cli_kv *kv, const wn_kv_run *r, const wn_kv_lengths *lengths,
                      wn_error *err)
{
    char title[256];
    size_t n = 0;
    const wn_kv_case *cases = wn_kv_run_cases(r, &n);
    snprintf(title, sizeof title, "%s, keys and values in %s", wn_model_name(kv->model),
             wn_kv_format_name(wn_service_kv_format(kv->cli->service)));
    return wn_kv_plot_write(wn_options_str(kv->cli->options, "plot"), title, cases, n, lengths,
                            err);
}

/* --text and the paths behind the verb. */
static wn_status judge_texts(const wn_cli *cli, wn_kv_run *r, wn_error *err)
{
    wn_status status = WN_OK;
    for (int i = 0; status == WN_OK && i < cli->argc; i++) {
        const char *path = i ? cli->argv[i] : wn_options_str(cli->options, "text");
        wn_strbuf text = {0};
        status = wn_fs_read(&text, path, MAX_TEXT_BYTES, err);
        if (status == WN_OK)
            status = wn_kv_run_text(r, path, wn_strbuf_cstr(&text), text.len, err);
        wn_strbuf_free(&text);
    }
    wn_progress_clear();
    return status;
}

static wn_status judge(const wn_cli_kv *kv, const wn_kv_lengths *lengths, wn_error *err)
{
    const wn_options *co = kv->cli->options;
    const bool given = wn_options_is_set(co, "generate");
    const wn_kv_run_options o = {.model = kv->model,
                                 .compute = wn_service_compute(kv->cli->service),
                                 .kv_format = wn_service_kv_format(kv->cli->service),
                                 .heads = kv->heads,
                                 .lengths = lengths,
                                 .n_texts = (size_t)kv->cli->argc,
                                 .baselines = wn_options_bool(co, "baselines"),
                                 .copy = wn_options_bool(co, "copy"),
                                 .n_places = (size_t)wn_options_int(co, "places"),
                                 .n_write =
                                     given ? (size_t)wn_options_int(co, "generate") : WRITE_TOKENS,
                                 .progress = show_progress,
                                 .progress_ctx = "Judging"};
    wn_kv_run *r = NULL;
    WN_TRY(wn_kv_run_open(&r, &o, err));
    wn_status status = judge_texts(kv->cli, r, err);
    if (status == WN_OK)
        print(kv, r, lengths);
    if (status == WN_OK && wn_options_str(co, "plot"))
        status = plot(kv, r, lengths, err);
    wn_kv_run_close(r);
    return status;
}

static wn_status table(const wn_cli_kv *kv, wn_error *err)
{
    const size_t n_ctx = wn_model_config_of(kv->model)->n_ctx;
    wn_kv_lengths lengths = {0};
    WN_TRY(wn_kv_lengths_parse(wn_options_str(kv->cli->options, "lengths"), &lengths, err));
    if (wn_kv_lengths_limit(&lengths, n_ctx) == 0)
        return wn_error_set(err, WN_INVALID,
                            "eval kv: every length is above the %zu positions of the model", n_ctx);
    if (!kv->heads)
        return wn_error_set(err, WN_INVALID, "eval kv needs --heads FILE: %s carries no heads",
                            wn_model_name(kv->model));
    return judge(kv, &lengths, err);
}

wn_status wn_cli_eval_kv(wn_cli *cli, wn_error *err)
{
    const wn_options *co = cli->options;
    const bool qa = wn_options_str(co, "qa"), needles = wn_options_int(co, "needles") > 0;
    if (qa && needles)
        return wn_error_set(err, WN_INVALID, "eval kv: --qa and --needles are two runs");
    if ((qa || needles) && wn_options_str(co, "plot"))
        return wn_error_set(err, WN_INVALID, "eval kv: --plot draws the table, not answers");
    if (!qa && !wn_options_str(co, "text"))
        return wn_error_set(err, WN_INVALID, "eval kv needs --text FILE...");
    wn_service *service = NULL;
    wn_dms_heads *heads = NULL;
    wn_cli_kv kv = {.cli = cli};
    WN_TRY(wn_cli_service(cli, &service, err));
    WN_TRY(wn_service_generator(service, &kv.model, err));
    WN_TRY(wn_service_open_heads(service, kv.model, &heads, err));
    kv.heads = heads;
    wn_status status = qa        ? wn_cli_eval_kv_qa(&kv, err)
                       : needles ? wn_cli_eval_kv_needles(&kv, err)
                                 : table(&kv, err);
    wn_dms_heads_close(heads);
    return status;
}
