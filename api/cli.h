/* The command line's frame: one table of commands, options common to all, exit codes.
 * Adding a command is adding a cli_<name>.c and a line in cli.c's table. */
#ifndef WN_API_CLI_H
#define WN_API_CLI_H

#include <jansson.h>

#include "api/service.h"
#include "base/options.h"

enum { WN_EXIT_OK = 0, WN_EXIT_FAILED = 1, WN_EXIT_USAGE = 2, WN_EXIT_PARTLY = 3 };

typedef struct wn_cli {
    const struct wn_command *command;
    wn_options *options;
    int argc; /* positional arguments */
    char **argv;
    bool json;
    char *data_dir;
    size_t n_parallel;   /* answers at once; a command that wants more than one sets it */
    wn_service *service; /* NULL until wn_cli_service */
} wn_cli;

typedef struct wn_command {
    const char *name;
    const char *usage;   /* "winnow ask --corpus NAME QUESTION" */
    const char *summary; /* one line, for the list */
    const char *help;    /* paragraphs and examples, shown by --help */
    const wn_option *options;
    int (*run)(wn_cli *cli, wn_error *err); /* exit code; a set err is printed by the frame */
} wn_command;

extern const wn_command wn_cli_ask, wn_cli_bench, wn_cli_chat, wn_cli_corpus, wn_cli_doctor,
    wn_cli_eval, wn_cli_ingest, wn_cli_models, wn_cli_prefix, wn_cli_retrofit, wn_cli_search,
    wn_cli_serve;

/* The options that every command has (data folder, models, threads, --json, ...). */
extern const wn_option wn_cli_common_options[];

int wn_cli_main(int argc, char **argv);

/* The service with the models that the options name; opened once. */
wn_status wn_cli_service(wn_cli *cli, wn_service **out, wn_error *err);
/* "usage: ..." as WN_INVALID; returns WN_EXIT_USAGE, for `return wn_cli_usage(...)`. */
int wn_cli_usage(const wn_cli *cli, wn_error *err, const char *what);
/* Reads the corpus for questions to come, with a progress bar, and says what that came to; with
 * --json in *json (else untouched), which is the caller's. */
wn_status wn_cli_prefix_prepare(wn_cli *cli, const char *name, json_t **json, wn_error *err);
/* --corpus, WN_INVALID when it is missing. */
wn_status wn_cli_corpus_name(const wn_cli *cli, const char **name, wn_error *err);
/* Sampling and search options as the command line gave them. */
void wn_cli_sampler(const wn_cli *cli, wn_sampler_options *out);
wn_status wn_cli_search_options(const wn_cli *cli, wn_search_options *out, wn_error *err);
/* Prints one JSON object (and a newline) on stdout and releases it. */
void wn_cli_print_json(json_t *object);

/* Option rows shared by ask, chat and search. */
#define WN_CLI_OPTION_CORPUS                                                                       \
    {                                                                                              \
        "corpus", WN_OPT_STR, NULL, 0, 0, "NAME", "the corpus to use (see `winnow corpus list`)"   \
    }
#define WN_CLI_OPTION_FILTER                                                                       \
    {                                                                                              \
        "filter", WN_OPT_STR, NULL, 0, 0, "JSON",                                                  \
            "only documents whose attributes match, e.g. "                                         \
            "'{\"type\":\"eq\",\"key\":\"year\",\"value\":2024}'"                                  \
    }
#define WN_CLI_OPTION_FUSION                                                                       \
    {                                                                                              \
        "fusion", WN_OPT_STR, NULL, 0, 0, "NAME",                                                  \
            "how keyword and vector results are joined: minmax or rrf [the corpus's setting, "     \
            "else minmax]"                                                                         \
    }
#define WN_CLI_OPTION_WEIGHT                                                                       \
    {                                                                                              \
        "vector-weight", WN_OPT_NUM, NULL, 0, 1, "W",                                              \
            "weight of the vector results, 0 (keywords only) to 1 (vectors only) [the corpus's "   \
            "setting, else 0.5]"                                                                   \
    }
#define WN_CLI_SAMPLING_OPTIONS                                                                      \
    {"max-tokens", WN_OPT_INT, "400", 1, 100000, "N", "longest answer, in tokens"},                  \
        {"temperature",                                                                              \
         WN_OPT_NUM,                                                                                 \
         "0",                                                                                        \
         0,                                                                                          \
         10,                                                                                         \
         "T",                                                                                        \
         "0 = always the likeliest token; higher is freer"},                                         \
        {"top-k", WN_OPT_INT, "0", 0, 1000000, "K", "sample among the K likeliest tokens; 0 = all"}, \
        {"top-p", WN_OPT_NUM, "1", 0, 1, "P", "sample among the likeliest tokens that sum to P"},    \
        {"min-p", WN_OPT_NUM, "0", 0, 1, "P", "drop tokens below P times the likeliest"},            \
        {"repetition-penalty",                                                                       \
         WN_OPT_NUM,                                                                                 \
         NULL,                                                                                       \
         0.1,                                                                                        \
         10,                                                                                         \
         "R",                                                                                        \
         "above 1: avoid repeating, the passages' words too; 1 = off [1; with --small 1.1]"},        \
    {                                                                                                \
        "seed", WN_OPT_INT, "0", 0, 9e15, "N", "seed of the sampling"                                \
    }

#endif
