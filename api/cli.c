#include "api/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/terminal.h"
#include "base/checked.h"
#include "base/fs.h"
#include "base/log.h"

static const wn_command *const commands[] = {
    &wn_cli_ingest, &wn_cli_search, &wn_cli_ask,  &wn_cli_chat,  &wn_cli_serve,    &wn_cli_corpus,
    &wn_cli_models, &wn_cli_doctor, &wn_cli_eval, &wn_cli_bench, &wn_cli_retrofit, &wn_cli_prefix};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

const wn_option wn_cli_common_options[] = {
    {"model", WN_OPT_STR, NULL, 0, 0, "NAME|PATH",
     "the model that answers: a name of `winnow models list`, a GGUF file or a Hugging Face folder "
     "(your own Llama 3.2, say)"},
    {"small", WN_OPT_BOOL, "false", 0, 0, NULL,
     "use the small model (smollm2-135m, 100 MB) instead of the default (qwen2.5-1.5b, 1.1 GB)"},
    {"embedder", WN_OPT_STR, NULL, 0, 0, "NAME|PATH", "the embedding model [minilm-l6]"},
    {"context", WN_OPT_INT, "0", 0, 1048576, "N",
     "tokens that a session holds; 0 = what the model was trained for, at most 8192"},
    {"threads", WN_OPT_INT, "0", 0, 1024, "N", "threads; 0 = all processors"},
    {"isa", WN_OPT_STR, "auto", 0, 0, "NAME",
     "instruction set: auto, ref, avx2, avx512, avx512bf16, amx"},
    {"exact", WN_OPT_BOOL, "false", 0, 0, NULL,
     "multiply in f32 throughout: slower, for comparisons (normally activations are rounded to 8 "
     "to 16 bits)"},
    {"kv-format", WN_OPT_STR, "auto", 0, 0, "NAME",
     "how a session holds keys and values: auto, f32, bf16, int8; auto is bf16, or f32 with "
     "--exact "
     "and for models in F16 or F32"},
    {"heads", WN_OPT_STR, NULL, 0, 0, "FILE",
     "eviction heads for the model (dms_heads.safetensors), or auto: those that came with winnow "
     "for it; without them, and without heads of its own, a model keeps every key"},
    {"kv-ratio", WN_OPT_STR, NULL, 0, 0, "R",
     "how many times fewer keys a session may hold: the heads' highest mark up to R is taken; off "
     "= keep all [the heads' default]"},
    {"prefix-memory", WN_OPT_INT, "512", 0, 16777216, "MIB",
     "memory for prefixes of corpora that were read once, so that the next question on them starts "
     "at once; 0 = none are kept"},
    {"prefix-disk", WN_OPT_INT, "4096", 0, 16777216, "MIB",
     "likewise, below DATA_DIR/prefixes, for the time after this run; 0 = none"},
    {"prefix-share", WN_OPT_NUM, "1", 0.01, 1, "S", "share of these that one corpus may take"},
    {"data-dir", WN_OPT_STR, NULL, 0, 0, "DIR",
     "where corpora and models live [$XDG_DATA_HOME/winnow, else ~/.local/share/winnow]"},
    {"config", WN_OPT_STR, NULL, 0, 0, "FILE",
     "file of \"option = value\" lines [DATA_DIR/winnow.conf, if it is there]"},
    {"json", WN_OPT_BOOL, "false", 0, 0, NULL, "print one JSON object, for scripts"},
    {"quiet", WN_OPT_BOOL, "false", 0, 0, NULL, "no progress and no remarks"},
    {"verbose", WN_OPT_BOOL, "false", 0, 0, NULL, "log to stderr what is being done"},
    {"help", WN_OPT_BOOL, "false", 0, 0, NULL, "show this help"},
    {0}};

static void print_command_list(FILE *to)
{
    fprintf(to,
            "winnow answers questions about your documents, with citations, on this machine.\n\n"
            "usage: winnow COMMAND [OPTIONS] [ARGUMENTS]\n\ncommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\nfirst steps:\n"
                "  winnow models get                            fetch the default models\n"
                "  winnow ingest --corpus notes ~/Documents     read documents into a corpus\n"
                "  winnow ask --corpus notes \"What is ...?\"     ask, with citations\n\n"
                "`winnow COMMAND --help` explains a command. Every option can also stand in the "
                "config file\nor in the environment (--data-dir is WINNOW_DATA_DIR).\n");
}

static void print_help(const wn_command *c)
{
    wn_strbuf text = {0};
    wn_strbuf_printf(&text, "%s\n\nusage: %s\n\n%s\n\noptions:\n", c->summary, c->usage, c->help);
    wn_options_help(c->options, &text);
    wn_strbuf_adds(&text, "\noptions of every command:\n");
    wn_options_help(wn_cli_common_options, &text);
    fputs(wn_strbuf_cstr(&text), stdout);
    wn_strbuf_free(&text);
}

static const wn_command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[N_COMMANDS + 1] = {0};
    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i]->name;
    const char *nearest = wn_nearest_name(name, names);
    if (nearest)
        wn_complain("unknown command \"%s\"; did you mean \"%s\"?", name, nearest);
    else
        wn_complain("unknown command \"%s\"; `winnow --help` lists them", name);
    return WN_EXIT_USAGE;
}

/* The command's rows, then the common ones; NULL = out of memory. */
static wn_option *merged_table(const wn_option *own)
{
    size_t n_own = 0, n_common = 0;
    while (own[n_own].name)
        n_own++;
    while (wn_cli_common_options[n_common].name)
        n_common++;
    wn_option *table = wn_alloc(n_own + n_common + 1, sizeof *table);
    if (table) {
        memcpy(table, own, n_own * sizeof *table);
        memcpy(table + n_own, wn_cli_common_options, n_common * sizeof *table);
    }
    return table;
}

static char *default_data_dir(void)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (xdg && *xdg == '/')
        return wn_fs_join(xdg, "winnow");
    if (home && *home)
        return wn_fs_join(home, ".local/share/winnow");
    return wn_strdup("/var/lib/winnow");
}

/* Any option of any command may stand in the config file. */
static wn_status read_config(wn_cli *cli, const char *path, wn_error *err)
{
    wn_option all[256] = {0};
    size_t n = 0;
    for (size_t i = 0; i < N_COMMANDS; i++)
        for (const wn_option *o = commands[i]->options; o->name && n < 255; o++)
            all[n++] = *o;
    return wn_options_file(cli->options, path, all, err);
}

/* default < config file < environment < command line: the file's place may come from the later two.
 */
static wn_status read_options(wn_cli *cli, const wn_option *table, int argc, char **argv,
                              wn_error *err)
{
    wn_options *probe = NULL;
    WN_TRY(wn_options_open(&probe, table, err));
    int n = 0;
    wn_status status = wn_options_env(probe, err);
    char **copy = wn_alloc((size_t)argc + 1, sizeof *copy);
    if (!copy)
        status = wn_error_set(err, WN_NO_MEMORY, "options: out of memory");
    else
        memcpy(copy, argv, (size_t)argc * sizeof *copy);
    if (status == WN_OK)
        status = wn_options_args(probe, argc, copy, &n, err);
    free(copy);
    if (status == WN_OK) {
        const char *dir = wn_options_str(probe, "data-dir");
        const char *config = wn_options_str(probe, "config");
        cli->data_dir = dir ? wn_strdup(dir) : default_data_dir();
        char *usual = cli->data_dir ? wn_fs_join(cli->data_dir, "winnow.conf") : NULL;
        if (!usual)
            status = wn_error_set(err, WN_NO_MEMORY, "options: out of memory");
        else if (config || wn_fs_exists(usual))
            status = read_config(cli, config ? config : usual, err);
        free(usual);
    }
    wn_options_close(probe);
    WN_TRY(status);
    WN_TRY(wn_options_env(cli->options, err));
    WN_TRY(wn_options_args(cli->options, argc, argv, &cli->argc, err));
    cli->argv = argv;
    return WN_OK;
}

static int run_command(const wn_command *command, int argc, char **argv)
{
    wn_error err = {0};
    wn_cli cli = {.command = command};
    int code = WN_EXIT_USAGE;
    wn_option *table = merged_table(command->options);
    wn_status status = table ? wn_options_open(&cli.options, table, &err)
                             : wn_error_set(&err, WN_NO_MEMORY, "options: out of memory");
    if (status == WN_OK)
        status = read_options(&cli, table, argc, argv, &err);
    if (status == WN_OK) {
        cli.json = wn_options_bool(cli.options, "json");
        wn_terminal_init(wn_options_bool(cli.options, "quiet"));
        wn_log_init(2, wn_options_bool(cli.options, "verbose") ? WN_LOG_DEBUG : WN_LOG_WARN);
        if (wn_options_bool(cli.options, "help")) {
            print_help(command);
            code = WN_EXIT_OK;
        } else {
            code = command->run(&cli, &err);
        }
    }
    wn_progress_clear();
    if (err.status != WN_OK) {
        wn_complain("%s", err.text);
        if (code == WN_EXIT_OK)
            code = WN_EXIT_FAILED;
    }
    wn_service_close(cli.service);
    wn_options_close(cli.options);
    free(cli.data_dir);
    free(table);
    return code;
}

int wn_cli_main(int argc, char **argv)
{
    wn_terminal_init(false);
    const char *name = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        print_command_list(stderr);
        return WN_EXIT_USAGE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("winnow %s\n", WN_VERSION);
        return WN_EXIT_OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2)) {
        print_command_list(stdout);
        return WN_EXIT_OK;
    }
    if (strcmp(name, "help") == 0) {
        const wn_command *topic = find_command(argv[2]);
        if (!topic)
            return unknown_command(argv[2]);
        print_help(topic);
        return WN_EXIT_OK;
    }
    const wn_command *command = find_command(name);
    if (!command)
        return unknown_command(name);
    return run_command(command, argc - 2, argv + 2);
}

/* 0: not given; 1: off. */
static wn_status read_kv_ratio(const wn_options *o, double *out, wn_error *err)
{
    const char *text = wn_options_str(o, "kv-ratio");
    char *end = NULL;
    *out = text && strcmp(text, "off") == 0 ? 1 : 0;
    if (!text || *out == 1)
        return WN_OK;
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= 1 && *out <= 1e6))
        return wn_error_set(err, WN_INVALID, "kv-ratio \"%.64s\" is neither off nor a number >= 1",
                            text);
    return WN_OK;
}

static size_t mib_option(const wn_options *o, const char *name)
{
    return (size_t)wn_options_int(o, name) << 20;
}

wn_status wn_cli_service(wn_cli *cli, wn_service **out, wn_error *err)
{
    if (!cli->service) {
        const wn_options *o = cli->options;
        wn_kv_format kv_format = WN_KV_AUTO;
        if (!wn_kv_format_parse(wn_options_str(o, "kv-format"), &kv_format))
            return wn_error_set(err, WN_INVALID,
                                "kv-format \"%.64s\" is none of auto, f32, bf16 and int8",
                                wn_options_str(o, "kv-format"));
        double kv_ratio = 0;
        WN_TRY(read_kv_ratio(o, &kv_ratio, err));
        wn_service_options so = {.data_dir = cli->data_dir,
                                 .generator = wn_options_str(o, "model"),
                                 .embedder = wn_options_str(o, "embedder"),
                                 .small = wn_options_bool(o, "small"),
                                 .n_threads = (size_t)wn_options_int(o, "threads"),
                                 .isa = wn_options_str(o, "isa"),
                                 .exact = wn_options_bool(o, "exact"),
                                 .kv_format = kv_format,
                                 .heads = wn_options_str(o, "heads"),
                                 .kv_ratio = kv_ratio,
                                 .n_ctx = (size_t)wn_options_int(o, "context"),
                                 .n_parallel = cli->n_parallel,
                                 .prefix_memory_bytes = mib_option(o, "prefix-memory"),
                                 .prefix_disk_bytes = mib_option(o, "prefix-disk"),
                                 .prefix_corpus_share = wn_options_num(o, "prefix-share")};
        WN_TRY(wn_service_open(&cli->service, &so, err));
    }
    *out = cli->service;
    return WN_OK;
}

int wn_cli_usage(const wn_cli *cli, wn_error *err, const char *what)
{
    wn_error_set(err, WN_INVALID, "%s\nusage: %s", what, cli->command->usage);
    return WN_EXIT_USAGE;
}

wn_status wn_cli_corpus_name(const wn_cli *cli, const char **name, wn_error *err)
{
    *name = wn_options_str(cli->options, "corpus");
    if (*name)
        return WN_OK;
    return wn_error_set(err, WN_INVALID, "--corpus NAME is missing\nusage: %s",
                        cli->command->usage);
}

void wn_cli_sampler(const wn_cli *cli, wn_sampler_options *out)
{
    const wn_options *o = cli->options;
    *out = WN_SAMPLER_GREEDY;
    out->temperature = (float)wn_options_num(o, "temperature");
    out->top_k = (int32_t)wn_options_int(o, "top-k");
    out->top_p = (float)wn_options_num(o, "top-p");
    out->min_p = (float)wn_options_num(o, "min-p");
    /* The small model falls into loops; the larger ones answer worse when quoting is made costly.
     */
    if (wn_options_is_set(o, "repetition-penalty"))
        out->repetition_penalty = (float)wn_options_num(o, "repetition-penalty");
    else if (wn_options_bool(o, "small"))
        out->repetition_penalty = 1.1f;
    out->seed = (uint64_t)wn_options_int(o, "seed");
}

void wn_cli_print_json(json_t *object)
{
    wn_progress_clear();
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    fputc('\n', stdout);
    json_decref(object);
}
