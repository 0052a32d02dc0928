/* winnow retrofit */
#include <stdlib.h>
#include <string.h>

#include "api/cli.h"
#include "api/retrofit.h"
#include "api/terminal.h"

static const wn_option options[] = {
    {"text", WN_OPT_STR, NULL, 0, 0, "PATH",
     "a text file, a .jsonl file (fields title and text) or a folder of them; more paths may "
     "follow"},
    {"out", WN_OPT_STR, NULL, 0, 0, "FILE", "the side-car that is written"},
    {"texts", WN_OPT_INT, "12", 1, 100000, "N", "texts to learn from"},
    {"text-tokens", WN_OPT_INT, "2000", 64, 1000000, "N",
     "tokens of each; the model reads them twice"},
    {"questions", WN_OPT_INT, "0", 0, 8, "N",
     "questions that the model writes and answers about every 600 bytes of them, in as many tokens "
     "as a text has: other keys answer questions than repeat a text; takes several times longer"},
    {"distill", WN_OPT_INT, "0", 0, 100000, "STEPS",
     "steps of gradient descent after the fit, at the first of --marks, on questions that the "
     "model "
     "asks itself (a small model is asked to repeat passages instead)"},
    {"distill-texts", WN_OPT_INT, "0", 0, 100000, "N",
     "texts to distil behind by turns, each of as many tokens as the first mark's context (0: one "
     "for every 8 steps)"},
    {"window", WN_OPT_INT, "128", 16, 65536, "N",
     "tokens that are never evicted: the smallest window that the heads serve"},
    {"head-means", WN_OPT_NUM, "0.6", 0.05, 1, "SHARE",
     "how much of what heads' mean losses differ in stands; less leaves more keys to heads that "
     "spread their attention"},
    {"measure-texts", WN_OPT_INT, "2", 1, 1000, "N",
     "texts that operating points are chosen and measured on; they are not learnt from"},
    {"measure-tokens", WN_OPT_INT, "4096", 128, 1000000, "N", "tokens of each"},
    {"marks", WN_OPT_STR, "4.6,3.1,6.1,8.1", 0, 0, "LIST",
     "operating points, the default first: dense slots / live slots at --measure-tokens, or at "
     "fewer as in 3.1@2048, with the window that costs least, or with one's own as in "
     "3.1@2048/192; on the dial they are rounded down to halves"},
    {0}};

static wn_status show_progress(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    (void)ctx;
    wn_progress_bar(stage, done, total, false, "");
    return WN_OK;
}

static wn_status parse_marks(const char *text, wn_retrofit_options *o, wn_error *err)
{
    size_t n = 0;
    for (const char *at = text; n < WN_RETROFIT_MAX_POINTS; at++) {
        char *end = NULL;
        o->marks[n++] = strtod(at, &end);
        if (end == at || !(o->marks[n - 1] > 1) || o->marks[n - 1] > 1000)
            break;
        if (*end == '@' && end[1] >= '1' && end[1] <= '9')
            o->mark_tokens[n - 1] = strtoul(end + 1, &end, 10);
        if (*end == '/' && end[1] >= '1' && end[1] <= '9')
            o->mark_windows[n - 1] = strtoul(end + 1, &end, 10);
        if (*end && *end != ',')
            break;
        if (!*end)
            return WN_OK;
        at = end;
    }
    return wn_error_set(
        err, WN_INVALID,
        "marks \"%.80s\": numbers above 1, @TOKENS and /WINDOW behind them or not, with commas "
        "between them, %d at most",
        text, WN_RETROFIT_MAX_POINTS);
}

static wn_status report(const wn_cli *cli, const wn_retrofit *r, const char *out, wn_error *err)
{
    const wn_kv_case *cases = NULL;
    const wn_kv_lengths *lengths = NULL;
    const size_t n = wn_retrofit_points(r, &cases, &lengths);
    const wn_retrofit_report got = wn_retrofit_report_of(r);
    if (!cli->json) {
        wn_kv_table_print(cases, n, lengths);
        wn_out("%s: %zu operating points, R2 %.3f, %zu questions asked", out, n, got.r2,
               got.n_asked);
        if (got.loss > 0)
            wn_out(", divergence %.4f in the last steps", got.loss);
        wn_out("\n");
        return WN_OK;
    }
    json_t *o = json_pack("{s:s, s:f, s:f, s:I, s:o}", "out", out, "r2", got.r2, "loss", got.loss,
                          "questions", (json_int_t)got.n_asked, "rows",
                          wn_kv_table_json(cases, n, lengths));
    if (!o)
        return wn_error_set(err, WN_NO_MEMORY, "retrofit: out of memory");
    wn_cli_print_json(o);
    return WN_OK;
}

static wn_status train(wn_cli *cli, wn_retrofit_options *o, const char *out, wn_error *err)
{
    wn_service *service = NULL;
    const wn_model *model = NULL;
    wn_retrofit *r = NULL;
    WN_TRY(wn_cli_service(cli, &service, err));
    WN_TRY(wn_service_generator(service, &model, err));
    o->kv_format = wn_service_kv_format(service);
    WN_TRY(wn_retrofit_open(&r, model, wn_service_compute(service), o, err));
    wn_status status = wn_retrofit_run(r, err);
    if (status == WN_OK)
        status = wn_retrofit_write(r, out, err);
    wn_progress_clear();
    if (status == WN_OK)
        status = report(cli, r, out, err);
    wn_retrofit_close(r);
    return status;
}

/* --text and the paths behind the model. */
static wn_status read_text(const wn_cli *cli, wn_training_text *t, wn_error *err)
{
    char *paths[256] = {0};
    size_t n = 0;
    const char *first = wn_options_str(cli->options, "text");
    if (first)
        paths[n++] = (char *)(uintptr_t)first;
    for (int i = 1; i < cli->argc && n < sizeof paths / sizeof *paths; i++)
        paths[n++] = cli->argv[i];
    return wn_training_text_read(t, paths, n, err);
}

static int run(wn_cli *cli, wn_error *err)
{
    const wn_options *co = cli->options;
    const char *out = wn_options_str(co, "out");
    wn_training_text text = {0};
    wn_strbuf state = {0};
    if (cli->argc < 1 || !out || !wn_options_str(co, "text"))
        return wn_cli_usage(cli, err, "a model, --text PATH and --out FILE are needed");
    wn_status status = wn_options_set(cli->options, "model", cli->argv[0], err);
    wn_strbuf_printf(&state, "%s.state", out);
    wn_retrofit_options o = {.text = &text,
                             .n_texts = (size_t)wn_options_int(co, "texts"),
                             .n_tokens = (size_t)wn_options_int(co, "text-tokens"),
                             .n_questions = (size_t)wn_options_int(co, "questions"),
                             .n_steps = (size_t)wn_options_int(co, "distill"),
                             .n_step_texts = (size_t)wn_options_int(co, "distill-texts"),
                             .window = (size_t)wn_options_int(co, "window"),
                             .head_means = wn_options_num(co, "head-means"),
                             .n_measure = (size_t)wn_options_int(co, "measure-texts"),
                             .measure_tokens = (size_t)wn_options_int(co, "measure-tokens"),
                             .state_path = wn_strbuf_cstr(&state),
                             .progress = show_progress};
    if (status == WN_OK)
        status = parse_marks(wn_options_str(co, "marks"), &o, err);
    if (status == WN_OK)
        status = read_text(cli, &text, err);
    if (status == WN_OK)
        status = train(cli, &o, out, err);
    wn_training_text_free(&text);
    wn_strbuf_free(&state);
    return status == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
}

const wn_command wn_cli_retrofit = {
    .name = "retrofit",
    .usage = "winnow retrofit MODEL --text PATH... --out FILE",
    .summary = "train eviction heads for a model, so that its sessions need less memory",
    .help =
        "Reads texts with the model, which stays as it is, and learns to tell which keys later "
        "tokens will\nmiss. Writes a side-car file of a few hundred kB with operating points that "
        "are measured on a part\nof the text that is not learnt from, and prints that "
        "measurement: dense slots / live slots, KL\ndivergence of the next token's distribution "
        "from the model's with all keys, perplexity, and copying\n(a text is repeated: share of "
        "tokens right, of that with all keys).\n\nInterrupted, it goes on where it was when "
        "started again (FILE.state).\n\n--json prints one object: out, r2, questions and rows (as "
        "`winnow "
        "eval kv`).\n\nexamples:\n"
        "  winnow retrofit smollm2-135m --text books/ notes.jsonl --out heads.safetensors\n"
        "  winnow retrofit ~/models/Llama-3.2-1B-Instruct --text books/ --out llama.safetensors",
    .options = options,
    .run = run};
