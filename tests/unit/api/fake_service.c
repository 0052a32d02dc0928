#include "tests/unit/api/fake_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/utf8.h"

#define DIM 4

struct wn_service {
    char *data_dir, *corpora_dir;
};

wn_fake_controls wn_fake;

static const char sentence[] = "The documents say so in their text.";

wn_status wn_fake_service_open(wn_service **out, wn_error *err)
{
    char dir[] = "/tmp/winnow-http-XXXXXX";
    if (!mkdtemp(dir))
        return wn_error_set(err, WN_IO, "mkdtemp");
    return wn_service_open(out, &(wn_service_options){.data_dir = dir}, err);
}

wn_status wn_service_open(wn_service **out, const wn_service_options *o, wn_error *err)
{
    wn_service *s = wn_alloc(1, sizeof *s);
    s->data_dir = wn_strdup(o->data_dir);
    s->corpora_dir = wn_fs_join(o->data_dir, "corpora");
    *out = s;
    return wn_fs_make_dirs(s->corpora_dir, err);
}

void wn_service_close(wn_service *s)
{
    wn_fs_remove_tree(s->data_dir, NULL);
    free(s->data_dir);
    free(s->corpora_dir);
    free(s);
}

const char *wn_service_data_dir(const wn_service *s)
{
    return s->data_dir;
}

const char *wn_service_corpora_dir(const wn_service *s)
{
    return s->corpora_dir;
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
              NULL);
}

static void wait_while(const atomic_bool *held)
{
    for (int i = 0; i < 20000 && atomic_load(held); i++)
        pause_ms(1);
}

wn_status wn_service_load(wn_service *s, wn_error *err)
{
    (void)s;
    wait_while(&wn_fake.hold_load);
    return atomic_load(&wn_fake.load_fails) ? wn_error_set(err, WN_FORMAT, "no such model") : WN_OK;
}

wn_status wn_service_generator(wn_service *s, const wn_model **out, wn_error *err)
{
    (void)s;
    (void)err;
    *out = NULL; /* the server then calls it "generator" */
    return WN_OK;
}

wn_status wn_service_embedder_info(wn_service *s, const char **name, size_t *dim, wn_error *err)
{
    (void)s;
    (void)err;
    *name = "fake-embedder";
    *dim = DIM;
    return WN_OK;
}

wn_compute *wn_service_compute(wn_service *s)
{
    (void)s;
    return NULL;
}

wn_status wn_service_embed(void *service, const char *const *texts, const size_t *lens, size_t n,
                           float *out, wn_error *err)
{
    (void)service;
    (void)texts;
    (void)err;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < DIM; k++)
            out[i * DIM + k] = k == lens[i] % DIM ? 1.0f : 0.0f;
    return WN_OK;
}

wn_status wn_service_corpus(wn_service *s, const char *name, unsigned mode, wn_corpus **out,
                            wn_error *err)
{
    return wn_corpus_set_open(out, s->corpora_dir, name, mode, err);
}

void wn_service_corpus_release(wn_service *s, wn_corpus *c)
{
    (void)s;
    wn_corpus_close(c);
}

wn_status wn_service_corpus_delete(wn_service *s, const char *name, wn_error *err)
{
    return wn_corpus_set_delete(s->corpora_dir, name, err);
}

static size_t count_words(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    size_t n = len > 0;
    for (size_t i = 0; i < len; i++)
        n += text[i] == ' ';
    return n;
}

wn_status wn_service_ingest_options(wn_service *s, wn_corpus *c, wn_ingest_options *o,
                                    wn_error *err)
{
    (void)s;
    (void)err;
    o->corpus = c;
    o->count_tokens = count_words;
    return WN_OK;
}

wn_status wn_service_search(wn_service *s, wn_corpus *c, const char *question, size_t len,
                            const wn_search_options *options, wn_search_result *out, wn_error *err)
{
    (void)s;
    return wn_retrieve(c, NULL, question, len, options, out, err);
}

static wn_status step(void)
{
    atomic_fetch_add(&wn_fake.steps, 1);
    pause_ms(atomic_load(&wn_fake.step_ms));
    return WN_OK;
}

static wn_status prefill(const wn_answer_events *e, wn_answer *a)
{
    size_t n = (size_t)atomic_load(&wn_fake.n_prefill);
    const wn_answer_prefix prefix = {.cached_tokens = 64,
                                     .new_tokens = n * 256,
                                     .source = WN_PREFIX_DISK,
                                     .dense_bytes = 4096,
                                     .held_bytes = 1024,
                                     .load_ms = 1.5};
    a->prefix = prefix;
    if (e->on_prefix)
        WN_TRY(e->on_prefix(e->ctx, &prefix));
    for (size_t i = 0; i <= n; i++) {
        step();
        if (e->on_prefill)
            WN_TRY(e->on_prefill(e->ctx, i * 256, n * 256));
    }
    return WN_OK;
}

static int n_words(void)
{
    const int n = atomic_load(&wn_fake.n_words);
    return n ? n : WN_FAKE_WORDS;
}

static wn_status write_words(const wn_answer_events *e, wn_strbuf *text)
{
    const char *at = sentence;
    for (int i = 0; i < n_words(); i++) {
        size_t len = strcspn(at, " ");
        len += at[len] == ' ';
        step();
        wn_strbuf_add(text, at, len);
        if (e->on_text)
            WN_TRY(e->on_text(e->ctx, at, len));
        at = at[len] ? at + len : sentence;
    }
    return WN_OK;
}

static wn_status cite(const wn_answer_events *e, const wn_search_result *r, wn_answer *a)
{
    if (r->n == 0)
        return WN_OK;
    const wn_hit *hit = &r->hits[0];
    size_t len = wn_utf8_floor(hit->text, hit->text_len < 40 ? hit->text_len : 40);
    a->citations = wn_alloc(2, sizeof *a->citations);
    a->n_citations = 2;
    for (size_t i = 0; i < 2; i++) { /* the same span twice */
        a->citations[i] = (wn_citation){.number = 1,
                                        .answer_end = strlen(sentence),
                                        .start = hit->start,
                                        .end = hit->start + len,
                                        .cited_text = wn_strndup(hit->text, len),
                                        .support = 0.5};
        if (e->on_citation)
            WN_TRY(e->on_citation(e->ctx, &a->citations[i]));
    }
    return WN_OK;
}

static wn_status generate(const wn_answer_events *e, const wn_search_result *r, wn_answer *a)
{
    wn_strbuf text = {0};
    atomic_store(&wn_fake.running, true);
    wn_status status = prefill(e, a);
    if (status == WN_OK)
        status = write_words(e, &text);
    if (status == WN_OK && r)
        status = cite(e, r, a);
    a->finish_reason = status == WN_OK ? "stop" : "cancelled";
    atomic_fetch_add(status == WN_OK ? &wn_fake.finished : &wn_fake.cancelled, 1);
    atomic_store(&wn_fake.running, false);
    a->len = text.len;
    a->prompt_tokens = 10;
    a->completion_tokens = WN_FAKE_WORDS;
    wn_strbuf_adds(&text, "");
    a->text = wn_strbuf_detach(&text);
    return status == WN_CANCELLED ? WN_OK : status;
}

/* Two tokens in one layer of two heads; both have the first. */
static wn_status report_kv(bool explain, wn_kv_report *r)
{
    static const float kept[] = {1, 0.5f}, share[] = {1, 0.5f};
    static const size_t ends[] = {3, 7};
    *r = (wn_kv_report){.n_tokens = 2,
                        .n_layers = 1,
                        .n_kv_heads = 2,
                        .dense_bytes = 400,
                        .held_bytes = 100,
                        .slots_ratio = 1.25,
                        .bytes_ratio = 4,
                        .summary = "1.2x (4.0x in bytes)"};
    r->kept = wn_alloc(2, sizeof *kept);
    memcpy(r->kept, kept, sizeof kept);
    if (!explain)
        return WN_OK;
    r->text = wn_strdup("one two");
    r->ends = wn_alloc(2, sizeof *ends);
    r->share = wn_alloc(2, sizeof *share);
    memcpy(r->ends, ends, sizeof ends);
    memcpy(r->share, share, sizeof share);
    return WN_OK;
}

static void read_as(wn_ask_mode mode, wn_ask_reading *r)
{
    r->mode = mode == WN_ASK_AUTO ? WN_ASK_CORPUS : mode;
    if (mode != WN_ASK_AUTO)
        return;
    strcpy(r->why, "the test wants it");
    r->left_out = wn_alloc(1, sizeof *r->left_out);
    r->n_left_out = 1;
    r->left_out[0] =
        (wn_left_out){.document_id = 9, .filename = wn_strdup("long.txt"), .n_tokens = 1000};
}

wn_status wn_service_ask(wn_service *s, const wn_ask *ask, const wn_ask_events *events,
                         wn_ask_result *out, wn_error *err)
{
    wn_corpus *c = NULL;
    memset(out, 0, sizeof *out);
    atomic_store(&wn_fake.last_seed, (unsigned)ask->sampler.seed);
    atomic_store(&wn_fake.last_max_tokens, (unsigned)ask->max_tokens);
    atomic_store(&wn_fake.last_history, (unsigned)ask->n_history);
    WN_TRY(wn_service_corpus(s, ask->corpus, WN_CORPUS_READ, &c, err));
    wn_status status = wn_service_search(s, c, ask->question, strlen(ask->question), &ask->search,
                                         &out->retrieval, err);
    read_as(ask->mode, &out->reading);
    out->reading.n_sources = out->retrieval.n;
    if (status == WN_OK && events->on_retrieval)
        status = events->on_retrieval(events->ctx, &out->retrieval, &out->reading);
    if (status == WN_OK)
        status = generate(&events->answer, &out->retrieval, &out->answer);
    if (status == WN_OK)
        status = report_kv(ask->explain, &out->kv);
    wn_service_corpus_release(s, c);
    if (status != WN_OK)
        wn_ask_result_free(out);
    return status;
}

void wn_ask_result_free(wn_ask_result *r)
{
    wn_search_result_free(&r->retrieval);
    wn_ask_reading_free(&r->reading);
    wn_answer_free(&r->answer);
    wn_kv_report_free(&r->kv);
    memset(r, 0, sizeof *r);
}

wn_status wn_service_generate(wn_service *s, const wn_generation *g, const wn_answer_events *events,
                              wn_answer *out, wn_error *err)
{
    (void)s;
    (void)err;
    memset(out, 0, sizeof *out);
    atomic_store(&wn_fake.last_seed, (unsigned)g->sampler.seed);
    atomic_store(&wn_fake.last_max_tokens, (unsigned)g->max_tokens);
    return generate(events, NULL, out);
}

wn_status wn_service_citation_place(wn_service *s, wn_corpus *c, const wn_ask_result *r,
                                    const wn_citation *citation, wn_citation_place *out,
                                    wn_error *err)
{
    (void)s;
    (void)c;
    (void)err;
    const wn_hit *hit = &r->retrieval.hits[citation->source];
    *out = (wn_citation_place){.document_id = hit->document_id,
                               .filename = wn_strdup(hit->filename),
                               .path = wn_strdup(hit->path),
                               .title = wn_strdup(hit->title),
                               .headings = wn_strdup(hit->headings),
                               .start_char = citation->start,
                               .end_char = citation->end};
    return WN_OK;
}

void wn_citation_place_free(wn_citation_place *p)
{
    free(p->filename);
    free(p->path);
    free(p->title);
    free(p->headings);
    memset(p, 0, sizeof *p);
}

wn_status wn_service_prefix_prepare(wn_service *s, const char *corpus, size_t max_new,
                                    wn_progress_fn progress, void *progress_ctx,
                                    wn_prefix_prepared *out, wn_error *err)
{
    (void)s;
    (void)max_new;
    const int turn = atomic_fetch_add(&wn_fake.turns, 1) + 1;
    const size_t all = 3000, n = turn < 3 ? (size_t)turn * 1000 : all;
    memset(out, 0, sizeof *out);
    if (strcmp(corpus, "empty") == 0)
        return wn_error_set(err, WN_NOT_FOUND, "corpus \"empty\" has no text yet");
    step();
    wait_while(&wn_fake.hold_prepare);
    WN_TRY(progress(progress_ctx, n, n));
    *out = (wn_prefix_prepared){.n_documents = 1,
                                .n_all_tokens = all,
                                .n_tokens = n,
                                .kept = !atomic_load(&wn_fake.no_room)};
    return WN_OK;
}

wn_status wn_service_prefix_visit(wn_service *s, const char *corpus, wn_prefix_visit_fn visit,
                                  void *ctx, wn_error *err)
{
    (void)s;
    static const wn_prefix_info short_one = {.corpus = "notes",
                                             .id = "0123456789abcdef",
                                             .n_tokens = 100,
                                             .n_texts = 1,
                                             .n_children = 1,
                                             .memory_bytes = 10,
                                             .disk_bytes = 20,
                                             .n_hits = 2,
                                             .used_unix_s = 7},
                                long_one = {.corpus = "notes",
                                            .id = "fedcba9876543210",
                                            .n_tokens = 300,
                                            .n_texts = 3,
                                            .memory_bytes = 5,
                                            .held_bytes = 15,
                                            .dense_bytes = 60,
                                            .disk_bytes = 7,
                                            .n_hits = 1,
                                            .used_unix_s = 6};
    if (corpus && strcmp(corpus, "notes") != 0)
        return WN_OK;
    if (atomic_exchange(&wn_fake.visit_lets_go, false)) {
        atomic_store(&wn_fake.hold_prepare, false);
        pause_ms(300);
    }
    WN_TRY(visit(ctx, &short_one, err));
    return visit(ctx, &long_one, err);
}

wn_status wn_service_prefix_drop(wn_service *s, const char *corpus, int64_t document_id,
                                 size_t *n_dropped, wn_error *err)
{
    (void)s;
    (void)corpus;
    (void)err;
    atomic_fetch_add(&wn_fake.drops, 1);
    atomic_store(&wn_fake.last_dropped, (int)document_id);
    if (n_dropped)
        *n_dropped = 2;
    return WN_OK;
}

void wn_service_prefix_stats(wn_service *s, wn_prefix_stats *out)
{
    (void)s;
    *out = (wn_prefix_stats){.n_nodes = 2,
                             .memory_bytes = 15,
                             .disk_bytes = 27,
                             .hits = {4, 5, 6, 7},
                             .dropped = 8,
                             .refused_corrupt = 9};
}

void wn_service_tend(wn_service *s)
{
    (void)s;
    atomic_fetch_add(&wn_fake.tended, 1);
}

void wn_service_turn_stats(wn_service *s, wn_turn_stats *out)
{
    (void)s;
    *out = (wn_turn_stats){.n_joined = 3, .n_steps = 10, .n_tokens = 25};
}
