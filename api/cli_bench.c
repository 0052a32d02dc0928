/* winnow bench {prefill,decode,embed} */
#include <stdlib.h>
#include <string.h>

#include "api/cli.h"
#include "api/proc_value.h"
#include "api/speed_bench.h"
#include "api/terminal.h"
#include "base/fs.h"

#define MAX_SIZES 16 /* in one list */
#define MAX_TEXT_BYTES ((size_t)64 << 20)

static const wn_option options[] = {
    {"tokens", WN_OPT_STR, NULL, 0, 0, "N,...",
     "prefill: prompt lengths [512]; embed: tokens of a passage [256]"},
    {"depth", WN_OPT_STR, "0", 0, 0, "N,...", "decode: tokens that the session holds already"},
    {"generate", WN_OPT_INT, "64", 1, 100000, "N", "decode: tokens appended one by one"},
    {"batch", WN_OPT_INT, "1", 1, WN_SESSIONS_MAX, "N",
     "decode: sessions that take a token each in one step; their rates are added up"},
    {"passages", WN_OPT_INT, "64", 1, 100000, "N", "embed: passages in one call"},
    {"repeat", WN_OPT_INT, "5", 1, WN_SPEED_MAX_REPEATS, "N", "runs of each; the median counts"},
    {"thin", WN_OPT_INT, "0", 0, 1000, "N",
     "prefill, decode: keep the last 256 tokens' keys and about every N-th before them; 0 = all"},
    {"text", WN_OPT_STR, NULL, 0, 0, "FILE",
     "what is read, repeated where it is short [a fixed stream of tokens]"},
    {0}};

/* One kind of measurement. */
typedef struct bench_verb {
    const char *name, *list, *fallback, *unit; /* option with the sizes, and its default */
    wn_status (*measure)(const wn_speed_bench *b, const wn_options *o, size_t size, double *rates,
                         wn_error *err);
} bench_verb;

static wn_status measure_prefill(const wn_speed_bench *b, const wn_options *o, size_t size,
                                 double *rates, wn_error *err)
{
    (void)o;
    return wn_speed_prefill(b, size, rates, err);
}

static wn_status measure_decode(const wn_speed_bench *b, const wn_options *o, size_t size,
                                double *rates, wn_error *err)
{
    return wn_speed_decode(b, size, (size_t)wn_options_int(o, "generate"), rates, err);
}

static wn_status measure_embed(const wn_speed_bench *b, const wn_options *o, size_t size,
                               double *rates, wn_error *err)
{
    return wn_speed_embed(b, size, (size_t)wn_options_int(o, "passages"), rates, err);
}

static const bench_verb verbs[] = {
    {"prefill", "tokens", "512", "tokens/s", measure_prefill},
    {"decode", "depth", "0", "tokens/s", measure_decode},
    {"embed", "tokens", "256", "passages/s", measure_embed},
};

/* "512,4096" */
static wn_status parse_sizes(const char *text, const char *name, size_t min, size_t *sizes,
                             size_t *n, wn_error *err)
{
    const char *at = text;
    for (*n = 0; *n < MAX_SIZES; at++) {
        char *end = NULL;
        unsigned long long value = *at >= '0' && *at <= '9' ? strtoull(at, &end, 10) : 0;
        if (!end || value < min || value > 1048576)
            break;
        sizes[(*n)++] = (size_t)value;
        at = end;
        if (*at == '\0')
            return WN_OK;
        if (*at != ',')
            break;
    }
    return wn_error_set(err, WN_INVALID,
                        "%s: \"%.64s\" is no list of at most %d numbers from %zu to 1048576", name,
                        text, MAX_SIZES, min);
}

/* What every row of this run says about machine and model. */
typedef struct setting {
    const char *model, *weights;
    char machine[128];
    wn_compute *compute;
    bool exact;
} setting;

static wn_status describe(wn_cli *cli, wn_service *service, const bench_verb *verb, setting *out,
                          wn_error *err)
{
    out->compute = wn_service_compute(service);
    out->exact = wn_options_bool(cli->options, "exact");
    wn_proc_value("/proc/cpuinfo", "model name", out->machine, sizeof out->machine);
    if (verb->measure == measure_embed) {
        size_t dim = 0;
        out->weights = "F32";
        return wn_service_embedder_info(service, &out->model, &dim, err);
    }
    const wn_model *m = NULL;
    WN_TRY(wn_service_generator(service, &m, err));
    out->model = wn_model_name(m);
    out->weights = wn_dtype_name(wn_model_weight_type(m));
    return WN_OK;
}

static json_t *json_row(const setting *s, const bench_verb *verb, const wn_speed_bench *b,
                        size_t size, double median, const double *rates)
{
    size_t n = b->n_repeats;
    json_t *row = json_pack(
        "{s:s, s:I, s:s, s:f, s:f, s:f, s:I, s:s, s:s, s:s, s:b, s:I, s:s, s:s}", "bench",
        verb->name, verb->list, (json_int_t)size, "unit", verb->unit, "median", median, "min",
        rates[0], "max", rates[n - 1], "repeats", (json_int_t)n, "model", s->model, "weights",
        s->weights, "isa", wn_compute_isa(s->compute), "exact", s->exact, "threads",
        (json_int_t)wn_compute_n_threads(s->compute), "machine", s->machine, "version", WN_VERSION);
    if (verb->measure != measure_embed) {
        json_object_set_new(row, "kv_format",
                            json_string(wn_kv_format_name(wn_service_kv_format(b->service))));
        json_object_set_new(row, "thin", json_integer((json_int_t)b->thin));
    }
    if (verb->measure == measure_decode)
        json_object_set_new(row, "batch", json_integer((json_int_t)b->n_sessions));
    return row;
}

/* One row for each size: printed as it is measured, or added to `rows`. */
static wn_status run_sizes(const wn_cli *cli, const bench_verb *verb, const wn_speed_bench *b,
                           const setting *s, const size_t *sizes, size_t n, json_t *rows,
                           wn_error *err)
{
    for (size_t i = 0; i < n; i++) {
        double rates[WN_SPEED_MAX_REPEATS];
        wn_progress("%s %zu: %zu runs", verb->name, sizes[i], b->n_repeats);
        WN_TRY(verb->measure(b, cli->options, sizes[i], rates, err));
        wn_progress_clear();
        double median = wn_speed_median(rates, b->n_repeats);
        if (cli->json)
            json_array_append_new(rows, json_row(s, verb, b, sizes[i], median, rates));
        else
            wn_out("%-8s %8zu %12.2f %10.2f %10.2f\n", verb->name, sizes[i], median, rates[0],
                   rates[b->n_repeats - 1]);
        wn_out_flush();
    }
    return WN_OK;
}

static wn_status bench(wn_cli *cli, const bench_verb *verb, wn_error *err)
{
    wn_speed_bench b = {.n_repeats = (size_t)wn_options_int(cli->options, "repeat")};
    const char *path = wn_options_str(cli->options, "text");
    const char *list = wn_options_str(cli->options, verb->list);
    size_t sizes[MAX_SIZES], n = 0;
    wn_strbuf text = {0};
    setting s = {0};
    json_t *rows = NULL;
    wn_status status = WN_OK;
    WN_TRY_OUT(parse_sizes(list ? list : verb->fallback, verb->list,
                           verb->measure == measure_decode ? 0 : 1, sizes, &n, err));
    b.thin = (size_t)wn_options_int(cli->options, "thin");
    b.n_sessions = (size_t)wn_options_int(cli->options, "batch");
    if (path)
        WN_TRY_OUT(wn_fs_read(&text, path, MAX_TEXT_BYTES, err));
    if (path)
        b.text = wn_strbuf_cstr(&text);
    WN_TRY_OUT(wn_cli_service(cli, &b.service, err));
    WN_TRY_OUT(describe(cli, b.service, verb, &s, err));
    rows = json_array();
    if (!cli->json)
        wn_out("%s (%s), %s%s, %zu threads, %s\n%-8s %8s %12s %10s %10s\n", s.model, s.weights,
               wn_compute_isa(s.compute), s.exact ? " exact" : "", wn_compute_n_threads(s.compute),
               s.machine, "", verb->list, verb->unit, "min", "max");
    WN_TRY_OUT(run_sizes(cli, verb, &b, &s, sizes, n, rows, err));
    if (cli->json)
        wn_cli_print_json(json_pack("{s:O}", "rows", rows));
out:
    json_decref(rows);
    wn_strbuf_free(&text);
    return status;
}

static int run(wn_cli *cli, wn_error *err)
{
    const char *name = cli->argc == 1 ? cli->argv[0] : "";
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(name, verbs[i].name) == 0)
            return bench(cli, &verbs[i], err) == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
    return wn_cli_usage(cli, err, "the verbs are prefill, decode and embed");
}

const wn_command wn_cli_bench = {
    .name = "bench",
    .usage = "winnow bench {prefill | decode | embed} [OPTIONS]",
    .summary = "measure the engine's speed on this machine",
    .help =
        "`prefill` reads prompts into an empty session, `decode` appends tokens one by one to a "
        "session that\nholds --depth tokens (to --batch such sessions in each step), `embed` "
        "embeds "
        "passages. Loading is not\npart of it. Run nothing else meanwhile.\n\n"
        "--json prints one object with a `rows` array, one row a size: bench, tokens "
        "(prefill, embed) or\ndepth (decode), unit (tokens/s or passages/s), median, min, max, "
        "repeats, model, weights (the type\nthat most bytes of the file have), isa, exact, "
        "threads, machine, version; prefill and decode also kv_format, thin; decode also batch "
        "(sessions, whose\nrates are added up).\n\nexamples:\n"
        "  winnow bench prefill --tokens 512,4096\n"
        "  winnow bench decode --depth 0,4096 --generate 64 --model my.gguf --json\n"
        "  winnow bench decode --batch 8\n"
        "  winnow bench embed --tokens 256 --threads 1 --isa avx2",
    .options = options,
    .run = run};
