/* The verbs of `winnow eval` that judge the engine itself; their options stand in cli_eval.c. */
#ifndef WN_API_CLI_EVAL_ENGINE_H
#define WN_API_CLI_EVAL_ENGINE_H

#include "api/cli.h"
#include "generate/dms_heads.h"

wn_status wn_cli_eval_kld(wn_cli *cli, wn_error *err);
wn_status wn_cli_eval_greedy(wn_cli *cli, wn_error *err);
wn_status wn_cli_eval_kv(wn_cli *cli, wn_error *err);

/* What the kinds of `eval kv` start from. */
typedef struct wn_cli_kv {
    const wn_cli *cli; /* its service is open */
    const wn_model *model;
    const wn_dms_heads *heads; /* NULL: none */
} wn_cli_kv;
wn_status wn_cli_eval_kv_qa(const wn_cli_kv *kv, wn_error *err);
wn_status wn_cli_eval_kv_needles(const wn_cli_kv *kv, wn_error *err);

#endif
