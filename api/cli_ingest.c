/* winnow ingest */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "api/cli.h"
#include "api/terminal.h"

static const wn_option options[] = {
    WN_CLI_OPTION_CORPUS,
    {"attributes", WN_OPT_STR, NULL, 0, 0, "JSON",
     "attributes put on every document, for filters, e.g. '{\"year\":2024}'"},
    {"passage-tokens", WN_OPT_INT, "200", 16, 4096, "N", "length of a passage in tokens"},
    {"overlap-tokens", WN_OPT_INT, "30", 0, 1024, "N", "tokens that neighbouring passages share"},
    {"prepare", WN_OPT_BOOL, "false", 0, 0, NULL,
     "then let the model read the corpus, so that questions in mode corpus start at once (see "
     "`winnow prefix --help`)"},
    {"description", WN_OPT_STR, NULL, 0, 0, "TEXT", "what the corpus is about (kept with it)"},
    {0}};

static atomic_bool interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    atomic_store(&interrupted, true);
}

typedef struct ingest_view {
    wn_service *service;
    const char *corpus;
    bool json;
    json_t *rows;
} ingest_view;

static const char *outcome_name(wn_ingest_outcome outcome)
{
    static const char *const names[] = {"added",     "replaced", "unchanged",
                                        "duplicate", "skipped",  "failed"};
    return names[outcome];
}

static void on_event(void *ctx, const wn_ingest_event *e)
{
    ingest_view *view = ctx;
    wn_error err = {0};
    if (e->outcome == WN_INGEST_REPLACED && /* what the model read of the older version goes */
        wn_service_prefix_drop(view->service, view->corpus, e->document_id, NULL, &err) != WN_OK)
        wn_complain("%s: its kept prefixes are not dropped: %s", e->path, err.text);
    if (view->json)
        json_array_append_new(view->rows,
                              json_pack("{s:s, s:s, s:I, s:s}", "path", e->path, "outcome",
                                        outcome_name(e->outcome), "document_id",
                                        (json_int_t)e->document_id, "message", e->message));
    else if (e->outcome == WN_INGEST_FAILED)
        wn_complain("%s: %s", e->path, e->message);
    char detail[128];
    double seconds = e->seconds > 0.001 ? e->seconds : 0.001;
    snprintf(detail, sizeof detail, "%.1f files/s  %.1f passages/s",
             (double)e->files_done / seconds, (double)e->passages_done / seconds);
    wn_progress_bar("Reading", e->files_done, e->files_total, false, detail);
}

static void print_report(const char *corpus, const wn_ingest_report *r)
{
    wn_out("%zu added, %zu replaced, %zu unchanged, %zu duplicate, %zu skipped, %zu failed; %zu "
           "passages in %.1f s\n",
           r->added, r->replaced, r->unchanged, r->duplicate, r->skipped, r->failed, r->passages,
           r->seconds);
    if (r->added + r->replaced + r->unchanged > 0)
        wn_remark("Ask it something: winnow ask --corpus %s \"...\"", corpus);
}

static wn_status ingest(wn_cli *cli, wn_corpus *corpus, const char *name, ingest_view *view,
                        wn_ingest_report *report, wn_error *err)
{
    const wn_options *o = cli->options;
    const char *description = wn_options_str(o, "description");
    if (description)
        WN_TRY(wn_corpus_set_setting(corpus, "description", description, err));
    wn_ingest_options io = {.passage_tokens = (size_t)wn_options_int(o, "passage-tokens"),
                            .overlap_tokens = (size_t)wn_options_int(o, "overlap-tokens"),
                            .attributes = wn_options_str(o, "attributes"),
                            .on_event = on_event,
                            .event_ctx = view,
                            .cancel = &interrupted};
    wn_progress("Loading the embedding model for corpus %s ...", name);
    WN_TRY(wn_service_ingest_options(cli->service, corpus, &io, err));
    return wn_ingest_paths(&io, (const char *const *)cli->argv, (size_t)cli->argc, report, err);
}

/* prefix: what --prepare came to; NULL: not asked for. */
static json_t *json_of_report(const char *name, const wn_ingest_report *r, json_t *rows,
                              json_t *prefix)
{
    json_t *o =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:O}", "corpus", name, "added",
                  (json_int_t)r->added, "replaced", (json_int_t)r->replaced, "unchanged",
                  (json_int_t)r->unchanged, "duplicate", (json_int_t)r->duplicate, "skipped",
                  (json_int_t)r->skipped, "failed", (json_int_t)r->failed, "passages",
                  (json_int_t)r->passages, "seconds", r->seconds, "files", rows);
    if (prefix)
        json_object_set_new(o, "prefix", prefix);
    return o;
}

static int run(wn_cli *cli, wn_error *err)
{
    const char *name = NULL;
    if (wn_cli_corpus_name(cli, &name, err) != WN_OK)
        return WN_EXIT_USAGE;
    if (cli->argc == 0)
        return wn_cli_usage(cli, err, "no file or folder given");
    wn_service *service = NULL;
    wn_corpus *corpus = NULL;
    wn_ingest_report report = {0};
    const wn_options *o = cli->options;
    json_t *prefix = NULL;
    ingest_view view = {.corpus = name, .json = cli->json, .rows = json_array()};
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    wn_status status = wn_cli_service(cli, &service, err);
    if (status == WN_OK)
        status = wn_service_corpus(service, name, WN_CORPUS_WRITE | WN_CORPUS_CREATE, &corpus, err);
    view.service = service;
    if (status == WN_OK)
        status = ingest(cli, corpus, name, &view, &report, err);
    wn_service_corpus_release(service, corpus);
    if (status == WN_OK && !cli->json)
        print_report(name, &report);
    if (status == WN_OK && wn_options_bool(o, "prepare"))
        status = wn_cli_prefix_prepare(cli, name, &prefix, err);
    if (status == WN_OK && cli->json)
        wn_cli_print_json(json_of_report(name, &report, view.rows, prefix));
    json_decref(view.rows);
    if (status != WN_OK)
        return WN_EXIT_FAILED;
    if (report.failed == 0)
        return WN_EXIT_OK;
    return report.added + report.replaced + report.unchanged + report.duplicate > 0
               ? WN_EXIT_PARTLY
               : WN_EXIT_FAILED;
}

const wn_command wn_cli_ingest = {
    .name = "ingest",
    .usage = "winnow ingest --corpus NAME PATH...",
    .summary = "read files and folders into a corpus",
    .help =
        "Reads text, Markdown, HTML and PDF files; folders are walked. The corpus is made when it "
        "does not\nexist. A file that has not changed since is passed over, a changed one replaces "
        "its older version,\nand a file with the same bytes as another is not stored twice. A file "
        "that cannot be read is\nreported and the rest goes on (exit code 3).\n\n"
        "examples:\n"
        "  winnow ingest --corpus notes ~/Documents\n"
        "  winnow ingest --corpus law --attributes '{\"year\":2024}' acts/*.pdf\n"
        "  winnow ingest --corpus notes --prepare ~/Documents\n"
        "  winnow ingest --corpus notes --json ~/Documents | jq .failed",
    .options = options,
    .run = run};
