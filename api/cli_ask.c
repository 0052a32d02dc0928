/* winnow ask and winnow chat */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli.h"
#include "api/json_view.h"
#include "api/terminal.h"
#include "base/checked.h"
#include "base/strbuf.h"

#define QUESTION_OPTIONS                                                                           \
    WN_CLI_OPTION_CORPUS,                                                                          \
        {"passages", WN_OPT_INT, "5", 1, 50, "N", "passages that the model reads"},                \
        {"mode",                                                                                   \
         WN_OPT_STR,                                                                               \
         "passages",                                                                               \
         0,                                                                                        \
         0,                                                                                        \
         "NAME",                                                                                   \
         "what the model reads: passages, documents (those of the passages, whole), corpus (all "  \
         "of "                                                                                     \
         "it) or auto"},                                                                           \
        WN_CLI_OPTION_FILTER, WN_CLI_OPTION_FUSION, WN_CLI_OPTION_WEIGHT, WN_CLI_SAMPLING_OPTIONS

static const wn_option ask_options[] = {
    QUESTION_OPTIONS,
    {"explain", WN_OPT_BOOL, "false", 0, 0, NULL,
     "say what the keys and values cost, and mark the tokens that were kept"},
    {0}};
static const wn_option chat_options[] = {QUESTION_OPTIONS, {0}};

static atomic_bool interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    atomic_store(&interrupted, true);
}

typedef struct ask_view {
    bool json;
    double prefill_started;
} ask_view;

static wn_status on_retrieval(void *ctx, const wn_search_result *r, const wn_ask_reading *reading)
{
    (void)ctx;
    wn_progress("Reading %zu passages of %zu documents ...", r->n, reading->n_documents);
    return WN_OK;
}

static wn_status on_prefill(void *ctx, size_t done, size_t total)
{
    (void)ctx;
    wn_progress_bar("Reading", done, total, false, "tokens");
    return atomic_load(&interrupted) ? WN_CANCELLED : WN_OK;
}

static wn_status on_text(void *ctx, const char *text, size_t len)
{
    const ask_view *view = ctx;
    if (!view->json) {
        wn_out_raw(text, len);
        wn_out_flush();
    }
    return atomic_load(&interrupted) ? WN_CANCELLED : WN_OK;
}

static void print_quote(const char *text)
{
    wn_strbuf line = {0};
    for (const char *c = text; *c; c++) {
        bool blank = *c == '\n' || *c == '\r' || *c == '\t' || *c == ' ';
        if (!blank)
            wn_strbuf_addc(&line, *c);
        else if (line.len > 0 && line.data[line.len - 1] != ' ')
            wn_strbuf_addc(&line, ' ');
    }
    wn_out("    \"");
    wn_out_raw(wn_strbuf_cstr(&line), line.len);
    wn_out("\"\n");
    wn_strbuf_free(&line);
}

static void print_place(size_t number, const wn_citation_place *p)
{
    wn_out_styled(WN_STYLE_BOLD, "[%zu] %s", number, p->filename);
    if (p->page_start > 0)
        wn_out(p->page_end > p->page_start ? ", pages %d-%d" : ", page %d", p->page_start,
               p->page_end);
    if (*p->headings)
        wn_out(" - %s", p->headings);
    wn_out("\n");
}

/* Calls `show` for every citation whose quote still stands in its document. */
typedef void (*citation_fn)(void *ctx, const wn_citation *c, const wn_citation_place *p);

static wn_status each_citation(wn_service *s, const char *corpus_name, const wn_ask_result *r,
                               citation_fn show, void *ctx, wn_error *err)
{
    wn_corpus *corpus = NULL;
    WN_TRY(wn_service_corpus(s, corpus_name, WN_CORPUS_READ, &corpus, err));
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i < r->answer.n_citations; i++) {
        wn_citation_place place = {0};
        status = wn_service_citation_place(s, corpus, r, &r->answer.citations[i], &place, err);
        if (status == WN_OK)
            show(ctx, &r->answer.citations[i], &place);
        wn_citation_place_free(&place);
    }
    wn_service_corpus_release(s, corpus);
    return status;
}

static void add_row(void *ctx, const wn_citation *c, const wn_citation_place *p)
{
    json_array_append_new(ctx, wn_json_of_citation(c, p));
}

/* One source may support several sentences: its place is printed once, each quote once. */
typedef struct source_list {
    size_t last_number;
    const char *last_quote;
} source_list;

static void print_citation(void *ctx, const wn_citation *c, const wn_citation_place *p)
{
    source_list *list = ctx;
    if (c->number != list->last_number)
        print_place(c->number, p);
    if (c->number != list->last_number || strcmp(c->cited_text, list->last_quote) != 0)
        print_quote(c->cited_text);
    list->last_number = c->number;
    list->last_quote = c->cited_text;
}

static int by_number(const void *a, const void *b)
{
    const wn_citation *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* What was read, why, and what stayed out: never silently. */
static void remark_reading(const wn_ask_reading *r)
{
    wn_remark("%zu passages of %zu documents, mode %s%s%s", r->n_sources, r->n_documents,
              wn_ask_mode_name(r->mode), *r->why ? ": " : "", r->why);
    for (size_t i = 0; i < r->n_left_out; i++)
        wn_remark("left out, no room in the context: %s%s, %zu tokens",
                  r->mode == WN_ASK_PASSAGES ? "a passage of " : "", r->left_out[i].filename,
                  r->left_out[i].n_tokens);
}

static void remark_speed(const wn_answer *a)
{
    static const char *const where[] = {[WN_PREFIX_NONE] = "nowhere",
                                        [WN_PREFIX_SESSION] = "the question before",
                                        [WN_PREFIX_MEMORY] = "memory",
                                        [WN_PREFIX_DISK] = "disk"};
    const wn_answer_prefix *p = &a->prefix;
    char held[24] = "", dense[24] = "";
    if (a->prompt_tokens == 0) /* no model ran */
        return;
    double decode_s = a->decode_ms > 0 ? a->decode_ms / 1000 : 1;
    if (p->cached_tokens)
        wn_remark("%zu tokens taken from %s: %s (%s as dense bf16)", p->cached_tokens,
                  where[p->source], wn_format_bytes(p->held_bytes, held),
                  wn_format_bytes(p->dense_bytes, dense));
    wn_remark("%zu tokens read in %.2f s; first word after %.2f s; %zu tokens written at %.1f/s",
              p->new_tokens, (a->prefill_ms - p->load_ms) / 1000, a->first_token_ms / 1000,
              a->completion_tokens, (double)a->completion_tokens / decode_s);
}

static wn_status print_sources(wn_service *s, const char *corpus, wn_ask_result *r, wn_error *err)
{
    const wn_answer *a = &r->answer;
    wn_out("\n");
    if (a->n_citations > 0) {
        qsort(a->citations, a->n_citations, sizeof *a->citations, by_number);
        wn_out_styled(WN_STYLE_BOLD, "\nSources\n");
        source_list list = {0};
        WN_TRY(each_citation(s, corpus, r, print_citation, &list, err));
    }
    remark_reading(&r->reading);
    remark_speed(a);
    return WN_OK;
}

static wn_status print_json(wn_service *s, const wn_ask *ask, const wn_ask_result *r, wn_error *err)
{
    const wn_answer *a = &r->answer;
    json_t *citations = json_array();
    WN_TRY(each_citation(s, ask->corpus, r, add_row, citations, err));
    wn_cli_print_json(json_pack(
        "{s:s, s:s, s:s%, s:s, s:o, s:o, s:{s:I, s:I, s:I}, s:{s:f, s:f, s:f, s:f}, s:o, s:o, s:o}",
        "corpus", ask->corpus, "question", ask->question, "answer", a->text, a->len,
        "finish_reason", a->finish_reason, "citations", citations, "passages",
        wn_json_of_hits(&r->retrieval), "usage", "prompt_tokens", (json_int_t)a->prompt_tokens,
        "cached_tokens", (json_int_t)a->cached_tokens, "completion_tokens",
        (json_int_t)a->completion_tokens, "timings", "retrieval_ms", r->retrieval_ms, "prefill_ms",
        a->prefill_ms, "decode_ms", a->decode_ms, "first_token_ms", a->first_token_ms,
        "compression", wn_json_of_kv(&r->kv), "reading", wn_json_of_reading(&r->reading), "prefix",
        wn_json_of_prefix(&a->prefix)));
    return WN_OK;
}

static void print_retention(const wn_kv_report *r)
{
    wn_out_styled(WN_STYLE_BOLD, "\nTokens that each KV head still has, in percent\n");
    for (size_t i = 0; i < r->n_layers; i++) {
        wn_out("layer %3zu ", i);
        for (size_t h = 0; h < r->n_kv_heads; h++)
            wn_out(" %3.0f", 100 * (double)r->kept[i * r->n_kv_heads + h]);
        wn_out("\n");
    }
}

static void print_marked(const wn_kv_report *r)
{
    bool dropped = false;
    wn_out_styled(WN_STYLE_BOLD,
                  "\nThe text that the model was shown; [- -]: gone from most heads\n");
    for (size_t i = 0; i < r->n_tokens; i++) {
        const size_t start = i ? r->ends[i - 1] : 0;
        if (dropped != (r->share[i] < 0.5f))
            wn_out_styled(WN_STYLE_RED, dropped ? "-]" : "[-");
        dropped = r->share[i] < 0.5f;
        wn_out_raw(r->text + start, r->ends[i] - start);
    }
    wn_out_styled(WN_STYLE_RED, dropped ? "-]" : "");
    wn_out("\n");
}

static void print_explanation(const wn_kv_report *r)
{
    char dense[24], held[24];
    wn_out("\nKeys and values of %zu tokens: ", r->n_tokens);
    wn_out_styled(WN_STYLE_BOLD, "%s", r->summary);
    wn_out("; %s held, %s as dense bf16\n", wn_format_bytes(r->held_bytes, held),
           wn_format_bytes(r->dense_bytes, dense));
    if (!r->evicts)
        return;
    print_retention(r);
    print_marked(r);
}

static wn_status ask_once(wn_cli *cli, const wn_ask *ask, wn_ask_result *result, wn_error *err)
{
    ask_view view = {.json = cli->json};
    wn_ask_events events = {.ctx = &view,
                            .on_retrieval = on_retrieval,
                            .answer = {.ctx = &view, .on_prefill = on_prefill, .on_text = on_text}};
    wn_service *service = NULL;
    atomic_store(&interrupted, false);
    WN_TRY(wn_cli_service(cli, &service, err));
    wn_progress("Loading the models ...");
    WN_TRY(wn_service_ask(service, ask, &events, result, err));
    if (cli->json)
        return print_json(service, ask, result, err);
    WN_TRY(print_sources(service, ask->corpus, result, err));
    if (ask->explain && result->kv.n_tokens)
        print_explanation(&result->kv);
    return WN_OK;
}

static wn_status fill_ask(const wn_cli *cli, wn_ask *ask, wn_error *err)
{
    WN_TRY(wn_cli_corpus_name(cli, &ask->corpus, err));
    const char *mode = wn_options_str(cli->options, "mode");
    if (!wn_ask_mode_parse(mode, &ask->mode))
        return wn_error_set(err, WN_INVALID,
                            "mode \"%.64s\" is none of passages, documents, corpus and auto", mode);
    WN_TRY(wn_cli_search_options(cli, &ask->search, err));
    wn_cli_sampler(cli, &ask->sampler);
    ask->max_tokens = (size_t)wn_options_int(cli->options, "max-tokens");
    return WN_OK;
}

static void catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
}

static int run_ask(wn_cli *cli, wn_error *err)
{
    wn_ask ask = {0};
    if (cli->argc != 1)
        return wn_cli_usage(cli, err, "give one question (in quotes)");
    if (fill_ask(cli, &ask, err) != WN_OK)
        return WN_EXIT_USAGE;
    ask.question = cli->argv[0];
    ask.explain = wn_options_bool(cli->options, "explain");
    catch_interrupt();
    wn_ask_result result = {0};
    wn_status status = ask_once(cli, &ask, &result, err);
    wn_ask_result_free(&result);
    wn_metadata_filter_free((wn_metadata_filter *)ask.search.filter);
    return status == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
}

/* Chat -------------------------------------------------------------------------------------------
 */

typedef struct history {
    wn_answer_turn *turns;
    size_t n;
} history;

static wn_status remember(history *h, const char *question, const char *answer, wn_error *err)
{
    wn_answer_turn *grown = wn_realloc(h->turns, h->n + 1, sizeof *grown);
    if (grown)
        h->turns = grown;
    char *q = wn_strdup(question), *a = wn_strdup(answer);
    if (!grown || !q || !a) {
        free(q);
        free(a);
        return wn_error_set(err, WN_NO_MEMORY, "chat: out of memory");
    }
    h->turns[h->n++] = (wn_answer_turn){.question = q, .answer = a};
    return WN_OK;
}

/* The first n turns. */
static void forget(history *h, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free((char *)h->turns[i].question);
        free((char *)h->turns[i].answer);
    }
    h->n -= n;
    if (h->n)
        memmove(h->turns, h->turns + n, h->n * sizeof *h->turns);
}

/* Half of them at once: what stands behind the documents then is read anew, which is not to happen
 * with every question. */
static void forget_half(history *h)
{
    const size_t n = (h->n + 1) / 2;
    forget(h, n);
    wn_remark("The first %zu turns of this conversation are forgotten: the context has no room.",
              n);
}

/* One line of input without its newline; false at the end of input. */
static bool read_line(char **line, size_t *cap)
{
    wn_out_styled(WN_STYLE_GREEN, "> ");
    wn_out_flush();
    ssize_t n = getline(line, cap, stdin);
    if (n < 0)
        return false;
    while (n > 0 && ((*line)[n - 1] == '\n' || (*line)[n - 1] == '\r'))
        (*line)[--n] = '\0';
    return true;
}

/* What had no room in the prompt would have had it without the conversation. */
static bool takes_too_much(const history *h, const wn_ask_result *r)
{
    return h->n > 0 && r->reading.n_left_out > 0 &&
           r->answer.prompt_tokens > 2 * r->reading.n_tokens;
}

/* The whole conversation is shown while it fits: a follow-up goes on behind all that was read. */
static wn_status chat_turn(wn_cli *cli, wn_ask *ask, history *h, wn_error *err)
{
    wn_ask_result result = {0};
    wn_error own = {0};
    wn_status status = WN_LIMIT;
    while (status == WN_LIMIT) {
        own = (wn_error){0};
        ask->history = h->turns;
        ask->n_history = h->n;
        status = ask_once(cli, ask, &result, &own);
        if (status == WN_LIMIT && h->n == 0)
            break;
        if (status == WN_LIMIT)
            forget_half(h);
    }
    if (status != WN_OK)
        return wn_error_set(err, status, "%s", own.text);
    if (takes_too_much(h, &result))
        forget_half(h);
    status = remember(h, ask->question, result.answer.text, err);
    wn_ask_result_free(&result);
    return status;
}

static int run_chat(wn_cli *cli, wn_error *err)
{
    wn_ask ask = {0};
    if (cli->argc != 0)
        return wn_cli_usage(cli, err, "chat takes no arguments; type the questions");
    if (fill_ask(cli, &ask, err) != WN_OK)
        return WN_EXIT_USAGE;
    catch_interrupt();
    history h = {0};
    char *line = NULL;
    size_t cap = 0;
    wn_status status = WN_OK;
    wn_remark("Questions to corpus \"%s\"; /new starts over, /quit or Ctrl-D ends.", ask.corpus);
    while (status == WN_OK && read_line(&line, &cap)) {
        if (strcmp(line, "/quit") == 0)
            break;
        if (strcmp(line, "/new") == 0)
            forget(&h, h.n);
        if (!*line || *line == '/')
            continue;
        ask.question = line;
        status = chat_turn(cli, &ask, &h, err);
    }
    free(line);
    forget(&h, h.n);
    free(h.turns);
    wn_metadata_filter_free((wn_metadata_filter *)ask.search.filter);
    return status == WN_OK ? WN_EXIT_OK : WN_EXIT_FAILED;
}

const wn_command wn_cli_ask = {
    .name = "ask",
    .usage = "winnow ask --corpus NAME QUESTION",
    .summary = "answer one question, with citations",
    .help =
        "Finds passages, lets the model read them and streams its answer. Every citation's "
        "quote is checked\nagainst the stored document before it is shown. When the documents "
        "do not say, so does winnow.\n\n"
        "--mode says what the model reads: the passages; or the documents that they stand in, "
        "whole, as many\nof the best as the context holds; or the corpus, all of it. Nothing "
        "is cut: what does not fit is named.\nauto reads the corpus, or where that does not fit "
        "the documents, if that is cheap: most of it is held\nalready, it is hardly more than "
        "the passages, or questions keep coming. It says what it chose, and why.\n\n"
        "examples:\n"
        "  winnow ask --corpus notes \"Who owns a value after a move?\"\n"
        "  winnow ask --corpus notes --small --passages 3 \"...\"\n"
        "  winnow ask --corpus notes --mode documents \"...\"\n"
        "  winnow ask --corpus notes --model ~/models/Llama-3.2-3B-Instruct \"...\"\n"
        "  winnow ask --corpus notes --json \"...\" | jq .citations",
    .options = ask_options,
    .run = run_ask};

const wn_command wn_cli_chat = {.name = "chat",
                                .usage = "winnow chat --corpus NAME",
                                .summary = "ask questions one after the other",
                                .help =
                                    "Like ask, with the conversation so far in view: a "
                                    "follow-up reads the answer before it and\nits own words, "
                                    "behind what was read already (best with --mode corpus). "
                                    "/new forgets the\nconversation, /quit or Ctrl-D ends. "
                                    "Where the context gets full, its first half is\nforgotten, "
                                    "and said so.\n\nexamples:\n"
                                    "  winnow chat --corpus notes --mode corpus",
                                .options = chat_options,
                                .run = run_chat};
