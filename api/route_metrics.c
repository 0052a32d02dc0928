/* GET /metrics: counters in the text format of Prometheus. They speak of all corpora, so a key
 * needs the scope admin. */
#include <inttypes.h>

#include "api/http_call.h"
#include "api/route_handlers.h"

static void head(wn_strbuf *b, const char *name, const char *type, const char *help)
{
    wn_strbuf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void row(wn_strbuf *b, const char *name, const char *label, const char *value, uint64_t n)
{
    wn_strbuf_printf(b, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, n);
}

static void add_reading(wn_strbuf *b, const wn_prefix_stats *s)
{
    static const char hits[] = "winnow_prefix_hits_total", tokens[] = "winnow_prefix_tokens_total";
    head(b, hits, "counter", "Prompts whose beginning was held, by where it was.");
    for (int i = WN_PREFIX_SESSION; i <= WN_PREFIX_DISK; i++)
        row(b, hits, "source", wn_prefix_source_name((wn_prefix_source)i), s->hits[i]);
    head(b, "winnow_prefix_misses_total", "counter", "Prompts of which nothing was held.");
    wn_strbuf_printf(b, "winnow_prefix_misses_total %" PRIu64 "\n", s->hits[WN_PREFIX_NONE]);
    head(b, tokens, "counter", "Tokens of prefixes, taken from what is held or read.");
    row(b, tokens, "kind", "cached", s->tokens_cached);
    row(b, tokens, "kind", "read", s->tokens_read);
    head(b, "winnow_prefix_recomputed_total", "counter",
         "Prefixes read although a file was there: that was faster.");
    wn_strbuf_printf(b, "winnow_prefix_recomputed_total %" PRIu64 "\n", s->recomputed);
    head(b, "winnow_prefix_read_tokens_per_second", "gauge", "Measured speed of reading.");
    wn_strbuf_printf(b, "winnow_prefix_read_tokens_per_second %.9g\n", s->read_tokens_per_s);
    head(b, "winnow_prefix_load_bytes_per_second", "gauge", "Measured speed of loading files.");
    wn_strbuf_printf(b, "winnow_prefix_load_bytes_per_second %.9g\n", s->load_bytes_per_s);
}

static void add_keeping(wn_strbuf *b, const wn_prefix_stats *s)
{
    static const char bytes[] = "winnow_prefix_bytes", gone[] = "winnow_prefix_evictions_total",
                      invalid[] = "winnow_prefix_invalidations_total";
    head(b, bytes, "gauge", "Bytes held, by tier.");
    row(b, bytes, "tier", "memory", s->memory_bytes);
    row(b, bytes, "tier", "disk", s->disk_bytes);
    head(b, "winnow_prefix_nodes", "gauge", "Beginnings of prompts that are held.");
    wn_strbuf_printf(b, "winnow_prefix_nodes %zu\n", s->n_nodes);
    head(b, "winnow_prefix_kept_total", "counter", "Nodes that were kept.");
    wn_strbuf_printf(b, "winnow_prefix_kept_total %" PRIu64 "\n", s->nodes_kept);
    head(b, "winnow_prefix_files_written_total", "counter", "Files that were written.");
    wn_strbuf_printf(b, "winnow_prefix_files_written_total %" PRIu64 "\n", s->files_written);
    head(b, gone, "counter", "Nodes that made room for others, by tier.");
    row(b, gone, "tier", "memory", s->evicted_memory);
    row(b, gone, "tier", "disk", s->evicted_disk);
    head(b, invalid, "counter",
         "Nodes dropped with their documents, and files that were refused, by cause.");
    row(b, invalid, "cause", "documents", s->dropped);
    row(b, invalid, "cause", "corrupt", s->refused_corrupt);
    row(b, invalid, "cause", "foreign", s->refused_foreign);
    row(b, invalid, "cause", "version", s->refused_version);
    row(b, invalid, "cause", "write", s->refused_write);
}

static void number(wn_strbuf *b, const char *name, const char *type, const char *help, uint64_t n)
{
    head(b, name, type, help);
    wn_strbuf_printf(b, "%s %" PRIu64 "\n", name, n);
}

static void add_engine(wn_strbuf *b, const wn_http_context *c)
{
    wn_turn_stats turns = {0};
    wn_service_turn_stats(c->service, &turns);
    number(b, "winnow_engine_jobs", "gauge", "Answers that wait or run.",
           wn_engine_pending(c->engine));
    number(b, "winnow_engine_queued", "gauge", "Answers that wait.", wn_engine_queued(c->engine));
    number(b, "winnow_decoding_sessions", "gauge", "Answers that are written now.", turns.n_joined);
    number(b, "winnow_decode_steps_total", "counter",
           "Steps in which each answer at hand got a token.", turns.n_steps);
    number(b, "winnow_decode_tokens_total", "counter", "Tokens of all steps.", turns.n_tokens);
}

void wn_route_metrics(wn_http_call *call)
{
    const wn_http_context *c = call->context;
    wn_prefix_stats stats = {0};
    wn_strbuf *b = &call->reply.body;
    wn_service_prefix_stats(c->service, &stats);
    head(b, "winnow_ready", "gauge", "1: models are loaded and the server does not drain.");
    wn_strbuf_printf(b, "winnow_ready %d\n", atomic_load(&c->ready) && !atomic_load(&c->draining));
    add_engine(b, c);
    add_reading(b, &stats);
    add_keeping(b, &stats);
    call->reply.status = 200;
    call->reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
}
