/* winnow corpus {list,show,delete} */
#include <stdlib.h>
#include <string.h>

#include "api/cli.h"
#include "api/json_view.h"
#include "api/terminal.h"

static const wn_option options[] = {
    {"yes", WN_OPT_BOOL, "false", 0, 0, NULL, "delete without asking"},
    {"limit", WN_OPT_INT, "1000", 1, 1000000, "N", "documents that `show` lists"},
    {0}};

typedef struct list_view {
    wn_cli *cli;
    json_t *rows;
    size_t n;
} list_view;

static wn_status with_stats(wn_cli *cli, const char *name, wn_corpus_stats *stats, wn_error *err)
{
    wn_corpus *corpus = NULL;
    WN_TRY(wn_service_corpus(cli->service, name, WN_CORPUS_READ, &corpus, err));
    wn_status status = wn_corpus_stats_read(corpus, stats, err);
    wn_service_corpus_release(cli->service, corpus);
    return status;
}

static wn_status list_one(void *ctx, const char *name, wn_error *err)
{
    (void)err;
    list_view *view = ctx;
    wn_corpus_stats stats = {0};
    wn_error own = {0};
    view->n++;
    if (with_stats(view->cli, name, &stats, &own) != WN_OK) {
        if (!view->cli->json)
            wn_out("%-20s unreadable: %s\n", name, own.text);
        else
            json_array_append_new(view->rows,
                                  json_pack("{s:s, s:s}", "name", name, "error", own.text));
        return WN_OK;
    }
    char size[24], day[24];
    wn_format_time(stats.changed_at, day);
    if (view->cli->json)
        json_array_append_new(view->rows, wn_json_of_stats(name, &stats));
    else
        wn_out("%-20s %7zu documents %9zu passages %10s  %s\n", name, stats.n_documents,
               stats.n_passages, wn_format_bytes(stats.file_bytes, size), day);
    return WN_OK;
}

static wn_status list(wn_cli *cli, wn_error *err)
{
    list_view view = {.cli = cli, .rows = json_array()};
    wn_status status =
        wn_corpus_set_list(wn_service_corpora_dir(cli->service), list_one, &view, err);
    if (status == WN_OK && cli->json)
        wn_cli_print_json(json_pack("{s:O}", "corpora", view.rows));
    else if (status == WN_OK && view.n == 0)
        wn_out("No corpora yet. Make one: winnow ingest --corpus NAME PATH...\n");
    json_decref(view.rows);
    return status;
}

static wn_status show_document(void *ctx, const wn_document *d, wn_error *err)
{
    (void)err;
    list_view *view = ctx;
    char size[24];
    if (view->cli->json)
        json_array_append_new(
            view->rows,
            json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:i, s:I, s:s}", "id", (json_int_t)d->id,
                      "path", d->path, "filename", d->filename, "title", d->title, "media_type",
                      d->media_type, "bytes", (json_int_t)d->source_bytes, "pages", d->n_pages,
                      "passages", (json_int_t)d->n_passages, "sha256", d->checksum));
    else
        wn_out("%6lld  %-40s %10s %6zu passages  %s\n", (long long)d->id, d->filename,
               wn_format_bytes(d->source_bytes, size), d->n_passages, d->title);
    return WN_OK;
}

static wn_status show(wn_cli *cli, const char *name, wn_error *err)
{
    wn_corpus *corpus = NULL;
    wn_corpus_stats stats = {0};
    WN_TRY(wn_service_corpus(cli->service, name, WN_CORPUS_READ, &corpus, err));
    list_view view = {.cli = cli, .rows = json_array()};
    wn_status status = wn_corpus_stats_read(corpus, &stats, err);
    if (status == WN_OK && !cli->json)
        status = list_one(&view, name, err);
    if (status == WN_OK)
        status = wn_corpus_list(corpus, 0, (size_t)wn_options_int(cli->options, "limit"), false,
                                show_document, &view, err);
    if (status == WN_OK && cli->json) {
        json_t *object = wn_json_of_stats(name, &stats);
        json_object_set(object, "rows", view.rows);
        wn_cli_print_json(object);
    }
    json_decref(view.rows);
    wn_service_corpus_release(cli->service, corpus);
    return status;
}

static bool confirmed(const char *name)
{
    char answer[16] = "";
    wn_out("Delete corpus \"%s\" and its index? The source files stay. [y/N] ", name);
    wn_out_flush();
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static wn_status delete (wn_cli *cli, const char *name, wn_error *err)
{
    wn_corpus_stats stats = {0};
    WN_TRY(with_stats(cli, name, &stats, err));
    if (!wn_options_bool(cli->options, "yes") && !confirmed(name))
        return wn_error_set(err, WN_CANCELLED, "not deleted (--yes deletes without asking)");
    WN_TRY(wn_service_corpus_delete(cli->service, name, err));
    if (cli->json)
        wn_cli_print_json(json_pack("{s:s, s:b}", "name", name, "deleted", 1));
    else
        wn_out("deleted %s (%zu documents)\n", name, stats.n_documents);
    return WN_OK;
}

static int run(wn_cli *cli, wn_error *err)
{
    wn_service *service = NULL;
    const char *verb = cli->argc > 0 ? cli->argv[0] : "list";
    bool needs_name = strcmp(verb, "list") != 0;
    if (strcmp(verb, "list") != 0 && strcmp(verb, "show") != 0 && strcmp(verb, "delete") != 0)
        return wn_cli_usage(cli, err, "the verbs are list, show and delete");
    if (cli->argc > (needs_name ? 2 : 1) || (needs_name && cli->argc < 2))
        return wn_cli_usage(cli, err, needs_name ? "give one corpus name" : "too many arguments");
    if (wn_cli_service(cli, &service, err) != WN_OK)
        return WN_EXIT_FAILED;
    wn_status status = !needs_name                 ? list(cli, err)
                       : strcmp(verb, "show") == 0 ? show(cli, cli->argv[1], err)
                                                   : delete (cli, cli->argv[1], err);
    return status == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
}

const wn_command wn_cli_corpus = {.name = "corpus",
                                  .usage = "winnow corpus {list | show NAME | delete NAME}",
                                  .summary = "list, show and delete corpora",
                                  .help = "examples:\n"
                                          "  winnow corpus list\n"
                                          "  winnow corpus show notes --json\n"
                                          "  winnow corpus delete notes --yes",
                                  .options = options,
                                  .run = run};
