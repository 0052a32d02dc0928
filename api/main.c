/* The winnow binary: one program, subcommands (cli.c); and, started by itself, the worker that
 * parses documents. */
#include "api/cli.h"
#include "ingest/parse_worker.h"

int main(int argc, char **argv)
{
    if (wn_parse_worker_requested(argc, argv))
        return wn_parse_worker_main(argc, argv);
    return wn_cli_main(argc, argv);
}
