/* winnow search, and the search options that ask and chat share */
#include <math.h>
#include <string.h>

#include "api/cli.h"
#include "api/json_view.h"
#include "api/terminal.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "base/utf8.h"

static const wn_option options[] = {
    WN_CLI_OPTION_CORPUS, {"passages", WN_OPT_INT, "8", 1, 100, "N", "passages to show"},
    WN_CLI_OPTION_FILTER, WN_CLI_OPTION_FUSION,
    WN_CLI_OPTION_WEIGHT, {0}};

wn_status wn_cli_search_options(const wn_cli *cli, wn_search_options *out, wn_error *err)
{
    const wn_options *o = cli->options;
    *out = WN_SEARCH_DEFAULTS;
    out->top_k = (size_t)wn_options_int(o, "passages");
    const char *fusion = wn_options_str(o, "fusion");
    if (fusion) {
        WN_TRY(wn_fusion_parse(fusion, &out->fusion.method, err));
        out->use_corpus_fusion = false;
    }
    if (wn_options_is_set(o, "vector-weight")) {
        out->fusion.vector_weight = wn_options_num(o, "vector-weight");
        out->fusion.text_weight = 1 - out->fusion.vector_weight;
        out->use_corpus_fusion = false;
    }
    const char *filter = wn_options_str(o, "filter");
    if (!filter)
        return WN_OK;
    json_t *json = NULL;
    WN_TRY(wn_json_parse(&json, filter, strlen(filter), "--filter", err));
    wn_metadata_filter *parsed = NULL;
    wn_status status = wn_metadata_filter_parse(&parsed, json, err);
    json_decref(json);
    out->filter = parsed; /* the caller frees it */
    return status;
}

/* The first `max` characters of a passage, on one line. */
static void print_excerpt(const char *text, size_t len, size_t max)
{
    size_t end = wn_utf8_offset(text, len, max);
    wn_strbuf line = {0};
    for (size_t i = 0; i < end; i++) {
        bool blank = text[i] == '\n' || text[i] == '\r' || text[i] == '\t' || text[i] == ' ';
        if (!blank)
            wn_strbuf_addc(&line, text[i]);
        else if (line.len > 0 && line.data[line.len - 1] != ' ')
            wn_strbuf_addc(&line, ' ');
    }
    wn_out_raw(wn_strbuf_cstr(&line), line.len);
    wn_out(end < len ? " ...\n" : "\n");
    wn_strbuf_free(&line);
}

static void print_hit(size_t number, const wn_hit *h)
{
    wn_out_styled(WN_STYLE_BOLD, "%zu. %s", number, h->filename);
    if (h->page_start > 0)
        wn_out(h->page_end > h->page_start ? ", pages %d-%d" : ", page %d", h->page_start,
               h->page_end);
    if (*h->headings)
        wn_out("  %s", h->headings);
    wn_out("\n");
    wn_out_styled(WN_STYLE_DIM, "   score %.3f", h->score);
    if (h->text_rank)
        wn_out_styled(WN_STYLE_DIM, "  keywords #%d (%.2f)", h->text_rank, h->text_score);
    if (h->vector_rank)
        wn_out_styled(WN_STYLE_DIM, "  vectors #%d (%.3f)", h->vector_rank, h->vector_score);
    wn_out("\n   ");
    print_excerpt(h->text, h->text_len, 300);
}

static int run(wn_cli *cli, wn_error *err)
{
    const char *name = NULL;
    if (wn_cli_corpus_name(cli, &name, err) != WN_OK)
        return WN_EXIT_USAGE;
    if (cli->argc != 1)
        return wn_cli_usage(cli, err, "give one question (in quotes)");
    wn_service *service = NULL;
    wn_corpus *corpus = NULL;
    wn_search_options so = WN_SEARCH_DEFAULTS;
    wn_search_result result = {0};
    wn_status status = wn_cli_search_options(cli, &so, err);
    if (status == WN_OK)
        status = wn_cli_service(cli, &service, err);
    if (status == WN_OK)
        status = wn_service_corpus(service, name, WN_CORPUS_READ, &corpus, err);
    if (status == WN_OK)
        status = wn_service_search(service, corpus, cli->argv[0], strlen(cli->argv[0]), &so,
                                   &result, err);
    if (status == WN_OK && cli->json)
        wn_cli_print_json(json_pack("{s:s, s:s, s:o}", "corpus", name, "query", cli->argv[0],
                                    "results", wn_json_of_hits(&result)));
    else if (status == WN_OK && result.n == 0)
        wn_out("Nothing found.\n");
    else
        for (size_t i = 0; i < result.n; i++)
            print_hit(i + 1, &result.hits[i]);
    if (status == WN_OK && !cli->json)
        wn_remark("keywords %.1f ms, embedding %.1f ms, vectors %.1f ms", result.text_ms,
                  result.embed_ms, result.vector_ms);
    wn_search_result_free(&result);
    wn_metadata_filter_free((wn_metadata_filter *)so.filter);
    wn_service_corpus_release(service, corpus);
    return status == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
}

const wn_command wn_cli_search = {
    .name = "search",
    .usage = "winnow search --corpus NAME QUESTION",
    .summary = "find passages, without an answer",
    .help = "Looks for passages by keywords (FTS5) and by meaning (embeddings) and joins the two "
            "lists.\n\nexamples:\n"
            "  winnow search --corpus notes \"how are strings stored?\"\n"
            "  winnow search --corpus notes --vector-weight 0 --passages 3 borrow checker\n"
            "  winnow search --corpus law --filter '{\"type\":\"gte\",\"key\":\"year\",\"value\":"
            "2020}' tenancy --json",
    .options = options,
    .run = run};
