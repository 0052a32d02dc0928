/* winnow prefix {prepare,list,show,drop} */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli.h"
#include "api/prefix_view.h"
#include "api/terminal.h"

static const wn_option options[] = {
    {"document", WN_OPT_INT, "0", 0, 9e15, "ID",
     "drop only prefixes with this document in them (`winnow corpus show` tells its number); 0 = "
     "all of the corpus"},
    {0}};

static atomic_bool interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    atomic_store(&interrupted, true);
}

/* Prepare ------------------------------------------------------------------------------------- */

static wn_status on_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    wn_progress_bar("Reading the corpus", done, total, false, "tokens");
    return atomic_load(&interrupted) ? WN_CANCELLED : WN_OK;
}

static json_t *json_of_prepared(const char *name, const wn_prefix_prepared *p, uint64_t n_written)
{
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:s, s:f, s:f, s:I, s:I, s:b, s:I}", "corpus", name, "documents",
        (json_int_t)p->n_documents, "tokens", (json_int_t)p->n_tokens, "cached_tokens",
        (json_int_t)p->cached_tokens, "source", wn_prefix_source_name(p->source), "load_ms",
        p->load_ms, "read_ms", p->read_ms, "dense_bytes", (json_int_t)p->dense_bytes, "held_bytes",
        (json_int_t)p->held_bytes, "kept", (int)p->kept, "files_written", (json_int_t)n_written);
}

static void print_prepared(const char *name, const wn_prefix_prepared *p)
{
    char held[24], dense[24];
    const size_t n_new = p->n_tokens - p->cached_tokens;
    wn_out("%s: %zu tokens of %zu documents", name, p->n_tokens, p->n_documents);
    if (n_new == 0)
        wn_out(" were there already");
    else
        wn_out(", %zu of them read in %.1f s", n_new, p->read_ms / 1000);
    wn_out("; %s (%s as dense bf16)\n", wn_format_bytes(p->held_bytes, held),
           wn_format_bytes(p->dense_bytes, dense));
    if (!p->kept)
        wn_remark("It is not kept: it needs more than --prefix-memory or --prefix-disk allow.");
    else
        wn_remark("Ask it: winnow ask --corpus %s --mode corpus \"...\"", name);
}

wn_status wn_cli_prefix_prepare(wn_cli *cli, const char *name, json_t **json, wn_error *err)
{
    wn_service *service = NULL;
    wn_prefix_prepared prepared = {0};
    uint64_t n_written = 0;
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    WN_TRY(wn_cli_service(cli, &service, err));
    wn_progress("Loading the model ...");
    WN_TRY(wn_service_prefix_prepare(service, name, 0, on_progress, NULL, &prepared, err));
    wn_progress("Writing ...");
    WN_TRY(wn_service_prefix_save(service, &n_written, err));
    wn_progress_clear();
    if (cli->json)
        *json = json_of_prepared(name, &prepared, n_written);
    else
        print_prepared(name, &prepared);
    return WN_OK;
}

static wn_status prepare(wn_cli *cli, const char *name, wn_error *err)
{
    json_t *json = NULL;
    WN_TRY(wn_cli_prefix_prepare(cli, name, &json, err));
    if (cli->json)
        wn_cli_print_json(json);
    return WN_OK;
}

/* List and show ------------------------------------------------------------------------------- */

static wn_status show_node(void *ctx, const wn_prefix_info *i, wn_error *err)
{
    (void)err;
    json_t *rows = ctx;
    char disk[24], dense[24], day[24];
    if (rows) {
        json_array_append_new(rows, wn_json_of_prefix_node(i));
        return WN_OK;
    }
    wn_format_time(i->used_unix_s, day);
    wn_out("%s  %-20s %7zu tokens %5zu texts %10s on disk %10s dense %6" PRIu64 " hits  %s\n",
           i->id, i->corpus, i->n_tokens, i->n_texts, wn_format_bytes(i->disk_bytes, disk),
           wn_format_bytes(i->dense_bytes, dense), i->n_hits, day);
    return WN_OK;
}

static wn_status list(wn_cli *cli, wn_error *err)
{
    wn_prefix_summary *rows = NULL;
    size_t n = 0;
    WN_TRY(wn_prefix_summaries(cli->service, NULL, &rows, &n, err));
    json_t *json = json_array();
    for (size_t i = 0; i < n; i++) {
        char disk[24], dense[24], day[24];
        json_array_append_new(json, wn_json_of_prefix_summary(&rows[i]));
        wn_format_time(rows[i].used_unix_s, day);
        if (!cli->json)
            wn_out("%-20s %4zu prefixes, the longest of %zu tokens %10s on disk (%s dense)  %s\n",
                   rows[i].corpus, rows[i].n_nodes, rows[i].n_tokens,
                   wn_format_bytes(rows[i].disk_bytes, disk),
                   wn_format_bytes(rows[i].dense_bytes, dense), day);
    }
    if (cli->json)
        wn_cli_print_json(json_pack("{s:O}", "prefixes", json));
    else if (n == 0)
        wn_out("No prefixes yet. Make one: winnow prefix prepare CORPUS\n");
    json_decref(json);
    free(rows);
    return WN_OK;
}

static wn_status show(wn_cli *cli, const char *name, wn_error *err)
{
    wn_corpus *corpus = NULL;
    WN_TRY(wn_service_corpus(cli->service, name, WN_CORPUS_READ, &corpus, err));
    wn_service_corpus_release(cli->service, corpus);
    json_t *rows = cli->json ? json_array() : NULL;
    wn_status status = wn_service_prefix_visit(cli->service, name, show_node, rows, err);
    if (status == WN_OK && cli->json)
        wn_cli_print_json(json_pack("{s:s, s:O}", "corpus", name, "nodes", rows));
    json_decref(rows);
    return status;
}

static wn_status drop(wn_cli *cli, const char *name, wn_error *err)
{
    const int64_t document = wn_options_int(cli->options, "document");
    size_t n = 0;
    WN_TRY(wn_service_prefix_drop(cli->service, name, document, &n, err));
    if (cli->json)
        wn_cli_print_json(json_pack("{s:s, s:I}", "corpus", name, "dropped", (json_int_t)n));
    else
        wn_out("dropped %zu prefixes of %s\n", n, name);
    return WN_OK;
}

static int run(wn_cli *cli, wn_error *err)
{
    static const struct {
        const char *verb;
        wn_status (*run)(wn_cli *cli, const char *name, wn_error *err);
    } verbs[] = {{"prepare", prepare}, {"show", show}, {"drop", drop}};
    wn_service *service = NULL;
    const char *verb = cli->argc > 0 ? cli->argv[0] : "list";
    if (strcmp(verb, "list") == 0) {
        if (cli->argc > 1)
            return wn_cli_usage(cli, err, "too many arguments");
        if (wn_cli_service(cli, &service, err) != WN_OK)
            return WN_EXIT_FAILED;
        return list(cli, err) == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verb, verbs[i].verb) != 0)
            continue;
        if (cli->argc != 2)
            return wn_cli_usage(cli, err, "give one corpus name");
        if (wn_cli_service(cli, &service, err) != WN_OK)
            return WN_EXIT_FAILED;
        return verbs[i].run(cli, cli->argv[1], err) == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
    }
    return wn_cli_usage(cli, err, "the verbs are prepare, list, show and drop");
}

const wn_command wn_cli_prefix = {
    .name = "prefix",
    .usage = "winnow prefix {prepare NAME | list | show NAME | drop NAME}",
    .summary = "read a corpus once, for all questions to come",
    .help =
        "A model has to read what it answers from, and reading a whole corpus takes long. What it "
        "makes of the\ntext depends on the text alone, not on the question: so it can be read once "
        "and kept. A question in\nmode corpus then starts where the corpus ends, and the answer is "
        "the same, bit for bit.\n\n"
        "prepare reads the corpus now and writes it to DATA_DIR/prefixes. Without it the first "
        "question in mode\ncorpus (or documents) pays for the reading, and keeps it, too. A new "
        "document is read behind what is\nthere; a changed or deleted one takes everything behind "
        "it along. show lists the kept beginnings;\ndrop forgets them (the documents stay). Files "
        "are sealed with DATA_DIR/secret.key: one that does not\nverify is thrown away and read "
        "again.\n\nexamples:\n"
        "  winnow prefix prepare notes && winnow ask --corpus notes --mode corpus \"...\"\n"
        "  winnow prefix list\n"
        "  winnow prefix show notes --json\n"
        "  winnow prefix drop notes --document 3",
    .options = options,
    .run = run};
