/* The verbs of `winnow eval` that judge the engine itself; their options stand in cli_eval.c. */
#ifndef WN_API_CLI_EVAL_ENGINE_H
#define WN_API_CLI_EVAL_ENGINE_H

#include "api/cli.h"

wn_status wn_cli_eval_kld(wn_cli *cli, wn_error *err);
wn_status wn_cli_eval_greedy(wn_cli *cli, wn_error *err);
wn_status wn_cli_eval_kv(wn_cli *cli, wn_error *err);

#endif
