/* The winnow binary: one program, subcommands (cli.c). */
#include "api/cli.h"

int main(int argc, char **argv)
{
    return wn_cli_main(argc, argv);
}
