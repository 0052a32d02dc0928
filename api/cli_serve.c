/* winnow serve */
#include <pthread.h>
#include <signal.h>

#include "api/cli.h"
#include "api/engine_worker.h"
#include "api/http_server.h"
#include "api/terminal.h"

static const wn_option options[] = {
    {"address", WN_OPT_STR, "127.0.0.1", 0, 0, "ADDRESS",
     "numeric address to listen on; any but a loopback one needs --keys"},
    {"port", WN_OPT_INT, "8080", 0, 65535, "PORT", "TCP port; 0 picks a free one"},
    {"keys", WN_OPT_STR, NULL, 0, 0, "FILE",
     "API keys: one \"SHA256HEX SCOPE [CORPUS...]\" a line (see deploy/README.md)"},
    {"max-connections", WN_OPT_INT, "1024", 1, 65535, "N", "connections at once"},
    {"parallel", WN_OPT_INT, "4", 1, WN_ENGINE_MAX_THREADS, "N",
     "answers at once; each has a session of --context tokens, and they share steps"},
    {"queue", WN_OPT_INT, "128", 1, 65535, "N", "answers that may wait; more get 503"},
    {"max-upload", WN_OPT_INT, "67108864", 1, 4294967295.0, "BYTES", "largest uploaded document"},
    {"drain-seconds", WN_OPT_NUM, "25", 0, 3600, "S", "time for running answers at shutdown"},
    {0}};

static void on_listening(void *ctx, const char *url)
{
    const wn_cli *cli = ctx;
    if (cli->json)
        wn_cli_print_json(json_pack("{s:s}", "url", url));
    else
        wn_out("winnow listens on %s (Ctrl-C ends); loading the models ...\n", url);
    wn_out_flush();
}

static void on_ready(void *ctx)
{
    (void)ctx;
    wn_remark("ready");
}

static int run(wn_cli *cli, wn_error *err)
{
    const wn_options *o = cli->options;
    if (cli->argc != 0)
        return wn_cli_usage(cli, err, "serve takes no arguments");
    /* Before any thread exists: they all inherit the mask, and only the server waits for these two.
     */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    wn_http_options options_of_server = {
        .address = wn_options_str(o, "address"),
        .port = (uint16_t)wn_options_int(o, "port"),
        .keys_file = wn_options_str(o, "keys"),
        .max_connections = (unsigned)wn_options_int(o, "max-connections"),
        .n_parallel = (size_t)wn_options_int(o, "parallel"),
        .queue_capacity = (size_t)wn_options_int(o, "queue"),
        .max_upload_bytes = (size_t)wn_options_int(o, "max-upload"),
        .drain_ms = (unsigned)(wn_options_num(o, "drain-seconds") * 1000),
        .ctx = cli,
        .on_listening = on_listening,
        .on_ready = on_ready};
    wn_service *service = NULL;
    cli->n_parallel = options_of_server.n_parallel;
    if (wn_cli_service(cli, &service, err) != WN_OK)
        return WN_EXIT_FAILED;
    wn_status status = wn_http_server_run(service, &options_of_server, err);
    return status == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
}

const wn_command wn_cli_serve = {
    .name = "serve",
    .usage = "winnow serve [--port PORT]",
    .summary = "answer over HTTP: web page, OpenAI-compatible API",
    .help = "Serves a web page at /, corpora and answers below /v1/corpora, and "
            "/v1/chat/completions for OpenAI\nclients (model winnow/CORPUS answers from that "
            "corpus). SIGTERM lets running answers finish.\n\nexamples:\n"
            "  winnow serve\n"
            "  winnow serve --port 9000 --small\n"
            "  curl -N http://127.0.0.1:8080/v1/corpora/notes/answers -d "
            "'{\"question\":\"...\",\"stream\":true}'",
    .options = options,
    .run = run};
