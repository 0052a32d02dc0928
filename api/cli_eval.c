/* winnow eval {retrieval,qa,kld,greedy,kv} */
#include <stdlib.h>
#include <string.h>

#include "api/cli.h"
#include "api/cli_eval_engine.h"
#include "api/qa_eval.h"
#include "api/terminal.h"
#include "base/fs.h"

static const wn_option options[] = {
    {"beir", WN_OPT_STR, NULL, 0, 0, "DIR",
     "retrieval: folder with corpus.jsonl, queries.jsonl and qrels.tsv (BEIR's layout)"},
    {"run-files", WN_OPT_STR, NULL, 0, 0, "DIR",
     "retrieval: write each leg's ranking there, in TREC's run format"},
    {"vector-cache", WN_OPT_STR, NULL, 0, 0, "FILE",
     "retrieval: keep the vectors there, so that the next run need not embed again"},
    {"qa", WN_OPT_STR, NULL, 0, 0, "DIR", "qa, kv: folder with passages.jsonl and qa.jsonl"},
    {"questions", WN_OPT_INT, "100", 0, 1000000, "N",
     "qa, kv: size of the fixed, evenly spaced sample; 0 = all"},
    {"oracle", WN_OPT_BOOL, "true", 0, 0, NULL, "qa: also with the gold passage given"},
    {"passages", WN_OPT_INT, "5", 1, 50, "N", "qa: passages that the model reads"},
    {"text", WN_OPT_STR, NULL, 0, 0, "FILE",
     "kld, greedy, kv: the text that is read; for kv more files may follow"},
    {"tokens", WN_OPT_INT, "0", 0, 1e9, "N",
     "kld: tokens of it, in whole windows of --context [512] tokens; 0 = all"},
    {"prompts", WN_OPT_INT, "20", 1, 1000, "N", "greedy: prompts, cut from the text"},
    {"prompt-tokens", WN_OPT_INT, "32", 1, 100000, "N", "greedy: tokens of each prompt"},
    {"generate", WN_OPT_INT, "200", 1, 100000, "N",
     "greedy, kv: tokens written after each prompt or place [kv: 64]"},
    {"lengths", WN_OPT_STR, "512,1024,2048,4096,8192", 0, 0, "LIST",
     "kv: contexts in tokens, as far as texts and model reach"},
    {"baselines", WN_OPT_BOOL, "false", 0, 0, NULL,
     "kv: also other ways to choose keys of as many bytes, and the choice of who knows the future"},
    {"copy", WN_OPT_BOOL, "true", 0, 0, NULL, "kv: also let the texts be repeated"},
    {"places", WN_OPT_INT, "4", 0, 1000, "N",
     "kv: places up to each length where the model writes freely; 0 = none"},
    {"plot", WN_OPT_STR, NULL, 0, 0, "FILE.svg", "kv: also draw divergence over bytes"},
    {"needles", WN_OPT_INT, "0", 0, 1000, "N",
     "kv: instead of that, ask for facts hidden in the texts: N at each of --depths"},
    {"depths", WN_OPT_STR, "10,30,50,70,90", 0, 0, "LIST", "kv: where, in percent of the text"},
    WN_CLI_OPTION_FILTER,
    WN_CLI_OPTION_FUSION,
    WN_CLI_OPTION_WEIGHT,
    WN_CLI_SAMPLING_OPTIONS,
    {0}};

static wn_status show_progress(void *ctx, uint64_t done, uint64_t total)
{
    wn_progress_bar(ctx, done, total, false, "");
    return WN_OK;
}

static wn_status eval_retrieval(wn_cli *cli, wn_error *err)
{
    const wn_options *co = cli->options;
    const char *dir = wn_options_str(co, "beir");
    if (!dir)
        return wn_error_set(err, WN_INVALID, "eval retrieval needs --beir DIR");
    wn_service *service = NULL;
    WN_TRY(wn_cli_service(cli, &service, err));
    wn_ir_eval_options o = WN_IR_EVAL_DEFAULTS;
    o.vector_cache = wn_options_str(co, "vector-cache");
    o.run_dir = wn_options_str(co, "run-files");
    if (wn_options_is_set(co, "vector-weight")) {
        o.fusion.vector_weight = wn_options_num(co, "vector-weight");
        o.fusion.text_weight = 1 - o.fusion.vector_weight;
    }
    o.progress = show_progress;
    o.progress_ctx = "Measuring";
    wn_ir_report report = {0};
    WN_TRY(wn_service_eval_retrieval(service, dir, &o, &report, err));
    json_t *rows = json_array();
    if (!cli->json)
        wn_out("%s: %zu documents, %zu queries\nleg      nDCG@10  recall@100   MRR@10      MAP  "
               "ms/query\n",
               dir, report.n_documents, report.n_queries);
    for (size_t i = 0; i < report.n_rows; i++) {
        const wn_ir_eval_row *r = &report.rows[i];
        json_array_append_new(rows,
                              json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:I}", "leg", r->leg,
                                        "ndcg_10", r->mean.ndcg, "recall_100", r->mean.recall,
                                        "mrr_10", r->mean.mrr, "map", r->mean.map, "ms_per_query",
                                        r->ms_per_query, "queries", (json_int_t)report.n_queries));
        if (!cli->json)
            wn_out("%-8s %7.4f %11.4f %8.4f %8.4f %9.2f\n", r->leg, r->mean.ndcg, r->mean.recall,
                   r->mean.mrr, r->mean.map, r->ms_per_query);
    }
    if (cli->json)
        wn_cli_print_json(json_pack("{s:s, s:I, s:O}", "set", dir, "documents",
                                    (json_int_t)report.n_documents, "rows", rows));
    json_decref(rows);
    return WN_OK;
}

static json_t *score_row(const char *name, const wn_qa_score *s)
{
    double n = s->n ? (double)s->n : 1;
    return json_pack("{s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
                     "passages", name, "questions", (json_int_t)s->n, "contains",
                     (double)s->contains / n, "f1", s->f1 / n, "retrieved",
                     (double)s->retrieved / n, "cited", (double)s->cited / n, "first_cited",
                     (double)s->first_cited / n, "no_citation", (double)s->no_citation / n,
                     "no_answer", (double)s->no_answer / n, "prefill_ms", s->prefill_ms / n,
                     "decode_ms", s->decode_ms / n, "prompt_tokens", (double)s->prompt_tokens / n,
                     "completion_tokens", (double)s->completion_tokens / n);
}

static void print_score(const char *name, const wn_qa_score *s)
{
    double n = s->n ? (double)s->n / 100 : 1;
    wn_out("%-14s %9zu %8.1f %% %6.1f %% %8.1f %% %8.1f %% %8.1f %% %9.1f %%\n", name, s->n,
           (double)s->contains / n, 100 * s->f1 / (s->n ? (double)s->n : 1),
           (double)s->retrieved / n, (double)s->cited / n, (double)s->first_cited / n,
           (double)s->no_answer / n);
}

static wn_status eval_qa(wn_cli *cli, wn_error *err)
{
    wn_service *service = NULL;
    WN_TRY(wn_cli_service(cli, &service, err));
    wn_qa_options o = {.dir = wn_options_str(cli->options, "qa"),
                       .n_questions = (size_t)wn_options_int(cli->options, "questions"),
                       .oracle = wn_options_bool(cli->options, "oracle"),
                       .progress = show_progress,
                       .progress_ctx = "Asking"};
    if (!o.dir)
        return wn_error_set(err, WN_INVALID, "eval qa needs --qa DIR");
    WN_TRY(wn_cli_search_options(cli, &o.ask.search, err));
    wn_cli_sampler(cli, &o.ask.sampler);
    o.ask.max_tokens = (size_t)wn_options_int(cli->options, "max-tokens");
    wn_qa_report report = {0};
    const wn_model *model = NULL;
    wn_status status = wn_service_generator(service, &model, err);
    if (status == WN_OK)
        status = wn_qa_eval(service, &o, &report, err);
    wn_metadata_filter_free((wn_metadata_filter *)o.ask.search.filter);
    WN_TRY(status);
    if (cli->json) {
        json_t *rows = json_array();
        json_array_append_new(rows, score_row("retrieved", &report.run));
        if (o.oracle)
            json_array_append_new(rows, score_row("gold", &report.oracle));
        wn_cli_print_json(json_pack("{s:s, s:s, s:o, s:O}", "model", wn_model_name(model), "set",
                                    o.dir, "rows", rows, "questions", report.rows));
    } else {
        wn_out("%s on %s\n", wn_model_name(model), o.dir);
        wn_out("passages       questions  contains      F1  retrieved      cited  1st cited  no "
               "answer\n");
        print_score("retrieved", &report.run);
        if (o.oracle)
            print_score("gold given", &report.oracle);
    }
    wn_qa_report_free(&report);
    return WN_OK;
}

static int run(wn_cli *cli, wn_error *err)
{
    const char *verb = cli->argc >= 1 ? cli->argv[0] : "";
    wn_status status = WN_OK;
    if (cli->argc > 1 && strcmp(verb, "kv") != 0)
        verb = "";
    if (strcmp(verb, "retrieval") == 0)
        status = eval_retrieval(cli, err);
    else if (strcmp(verb, "qa") == 0)
        status = eval_qa(cli, err);
    else if (strcmp(verb, "kld") == 0)
        status = wn_cli_eval_kld(cli, err);
    else if (strcmp(verb, "greedy") == 0)
        status = wn_cli_eval_greedy(cli, err);
    else if (strcmp(verb, "kv") == 0)
        status = wn_cli_eval_kv(cli, err);
    else
        return wn_cli_usage(cli, err, "the verbs are retrieval, qa, kld, greedy and kv");
    return status == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
}

const wn_command wn_cli_eval = {
    .name = "eval",
    .usage = "winnow eval {retrieval --beir DIR | qa --qa DIR | kld --text FILE | greedy --text "
             "FILE | kv [--heads FILE] --text FILE...}",
    .summary = "measure search, answers and the engine's accuracy",
    .help =
        "`retrieval` scores keyword search, vector search and their fusion as trec_eval does "
        "(nDCG@10,\nrecall@100, MRR@10). `qa` asks questions with known answers over a corpus "
        "of passages and counts\nanswers that hold a gold string and citations of the gold "
        "passage, with the gold passage given\nbeside it as the oracle. `kld` reads a text with "
        "the usual products and with f32 products (--exact)\nof the same weights and compares "
        "the next token's distributions in the second half of each window;\n`greedy` compares "
        "the texts that both write after prompts from it. `kv` reads texts with all keys and with "
        "those that eviction heads leave (the model's own, or a side-car's at all its operating "
        "points), and compares "
        "the same way;\n--baselines sets other rules with as many bytes beside them: the last "
        "tokens, random "
        "keys, those of low norm,\nand an oracle that knows the rest of the text. Texts are also "
        "repeated (a prompt holds the text, the\nrepetition is judged) and written on freely from "
        "--places behind each length. With --qa, `kv` reads a long\nprefix of numbered passages "
        "once and asks every question behind it; with --needles it hides facts in\nthe texts and "
        "asks for them; both beside the answers with all keys, which need no --heads.\n\n"
        "--json prints one object with a `rows` array. retrieval: leg, ndcg_10, recall_100, "
        "mrr_10, map,\nms_per_query, queries. qa: passages (retrieved or gold), questions, "
        "contains, f1, "
        "retrieved, cited, first_cited,\nno_citation, no_answer (shares), prefill_ms, "
        "decode_ms, prompt_tokens, completion_tokens (means);\nand `questions`, one object "
        "each. kld: windows, window, judged (tokens), mean, p99, max (nats), same_top\n(share "
        "with the same likeliest token), ppl, ppl_f32. greedy, one row a prompt: tokens, "
        "first_difference\n(= tokens: none), equal (tokens), prompt_ids, ids, f32_ids. Both: "
        "model, weights, isa, threads, kv_format.\nkv: keys (the rule), window, mark (of the "
        "dial), bias, tokens (context), texts, judged, ratio (dense slots /\nlive slots), "
        "byte_ratio (dense bf16 bytes / held), kld_mean, kld_p99, kld_max, ppl, ppl_dense; where "
        "texts of\nthat length were repeated: copy_tokens (of the text; as many as leave room to "
        "repeat), copy_judged, copy_ratio,\ncopy_right, copy_right_dense (shares of tokens), "
        "copy_kld_mean; where the model wrote freely: free_places,\nfree_tokens (at each), "
        "free_same (share of places without a difference), free_first (tokens before the\nfirst "
        "difference, mean), free_equal, free_equal_after (shares of tokens: of all, of those from "
        "the first\ndifference on). kv --qa: keys (dense or heads), window, mark, tokens (of "
        "passages, question and answer), ratio,\nbyte_ratio, prefixes, prefix_tokens (mean), "
        "questions, contains, f1; and `questions`: id, question, gold,\ntokens, answers (keys, "
        "window, answer, contains, f1). kv --needles: the same up to prefix_tokens, then depth\n"
        "(percent), asked, found.\n\nexamples:\n"
        "  winnow eval retrieval --beir scifact\n"
        "  winnow eval qa --qa xquad_en --questions 100 --json > qa.json\n"
        "  winnow eval kld --text wiki.valid.raw --tokens 20480 --small\n"
        "  winnow eval greedy --text wiki.valid.raw --prompts 20 --generate 200\n"
        "  winnow eval kv --small --heads heads.safetensors --text a.txt b.txt --baselines "
        "--plot kv.svg\n"
        "  winnow eval kv --heads heads.safetensors --qa xquad_en --lengths 8192\n"
        "  winnow eval kv --heads heads.safetensors --text a.txt --needles 5 --lengths 4096,8192",
    .options = options,
    .run = run};
