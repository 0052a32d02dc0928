/* What the command line and the HTTP server share: the data folder, the models (loaded when first
 * needed), corpora, and the one way from a question to an answer.
 *
 *     wn_service_options o = {.data_dir = NULL, .small = true};
 *     WN_TRY(wn_service_open(&s, &o, err));
 *     WN_TRY(wn_service_ask(s, &ask, &events, &result, err));
 *     wn_ask_result_free(&result);
 *
 * Threads: any, once wn_service_load has returned or one wn_service_ask has; what loads the models
 * first, from one that is alone. The embedder is behind a lock. Questions that come from several
 * threads share the steps of the generator (generate/session_turns.h), n_parallel of them at once;
 * others wait. Each gets the answer that it would get alone, bit for bit.
 */
#ifndef WN_API_SERVICE_H
#define WN_API_SERVICE_H

#include "api/ask_reading.h"
#include "base/status.h"
#include "generate/answer.h"
#include "generate/kv_report.h"
#include "index/corpus_set.h"
#include "ingest/ingest.h"
#include "retrieve/ir_eval.h"
#include "retrieve/retriever.h"

typedef struct wn_service wn_service;

typedef struct wn_service_options {
    const char
        *data_dir; /* NULL: $XDG_DATA_HOME/winnow or ~/.local/share/winnow (the caller resolves) */
    const char
        *generator; /* catalogue name or path (GGUF file, Hugging Face folder); NULL = default */
    const char *embedder;   /* catalogue name or folder; NULL = minilm-l6 */
    bool small;             /* default generator: smollm2-135m instead of qwen2.5-1.5b */
    size_t n_threads;       /* 0 = all */
    const char *isa;        /* NULL = auto */
    bool exact;             /* f32 products everywhere: slower, for comparisons */
    wn_kv_format kv_format; /* of sessions */
    const char *heads; /* eviction heads (dms_heads.h), or "auto": those that came with winnow for
                          the generator; NULL: those that the model carries */
    double kv_ratio;   /* the dial: 0 = the heads' first point, 1 = nothing is evicted */
    size_t n_ctx;      /* tokens of one session; 0 = min(model's, 8192) */
    size_t n_parallel; /* answers at once, at most WN_SESSIONS_MAX; 0 = 1 */
    /* For kept prefixes of corpora, beside the session; 0: none are kept there. */
    size_t prefix_memory_bytes, prefix_disk_bytes;
    double prefix_corpus_share; /* of both, that one corpus may take; 0 = 1: all */
} wn_service_options;

wn_status wn_service_open(wn_service **out, const wn_service_options *options, wn_error *err);
void wn_service_close(wn_service *s);
const char *wn_service_data_dir(const wn_service *s);
const char *wn_service_corpora_dir(const wn_service *s);

/* Loads the generator and the embedder now (serve does, so that the first question is fast). */
wn_status wn_service_load(wn_service *s, wn_error *err);
wn_status wn_service_generator(wn_service *s, const wn_model **out, wn_error *err);
wn_status wn_service_embedder_info(wn_service *s, const char **name, size_t *dim, wn_error *err);
wn_compute *wn_service_compute(wn_service *s);
/* The eviction heads that the service was opened with; *out is the caller's, NULL: there are none.
 */
wn_status wn_service_open_heads(const wn_service *s, const wn_model *model, wn_dms_heads **out,
                                wn_error *err);
/* Options of a session of n_ctx tokens as the service has them: KV format, eviction heads and their
 * operating point, which are loaded first if they are not yet. */
wn_status wn_service_session_options(wn_service *s, size_t n_ctx, wn_session_options *out,
                                     wn_error *err);
wn_kv_format wn_service_kv_format(const wn_service *s); /* of its sessions; not AUTO */
/* Embeds through the service's lock: a wn_embed_fn with ctx = the service (role passage). */
wn_status wn_service_embed(void *service, const char *const *texts, const size_t *lens, size_t n,
                           float *out, wn_error *err);

/* A wn_count_tokens_fn with ctx = the service, whose embedder is loaded. */
size_t wn_service_count_tokens(void *service, const char *text, size_t len);

/* A shared, reference-counted handle of an open corpus; release when done. mode: WN_CORPUS_READ for
 * search, answers and listings; WN_CORPUS_WRITE (| WN_CORPUS_CREATE) for uploads, deletions,
 * settings: the writer's lock is held only while such a handle is out. */
wn_status wn_service_corpus(wn_service *s, const char *name, unsigned mode, wn_corpus **out,
                            wn_error *err);
void wn_service_corpus_release(wn_service *s, wn_corpus *c);
wn_status wn_service_corpus_delete(wn_service *s, const char *name,
                                   wn_error *err); /* BUSY if in use */

/* Fills corpus, embedder, token counter, pdfium path of `o`; the caller set the rest. */
wn_status wn_service_ingest_options(wn_service *s, wn_corpus *c, wn_ingest_options *o,
                                    wn_error *err);

wn_status wn_service_search(wn_service *s, wn_corpus *c, const char *question, size_t len,
                            const wn_search_options *options, wn_search_result *out, wn_error *err);

/* Search quality on a BEIR folder, with the service's embedder (retrieve/ir_eval.h). */
wn_status wn_service_eval_retrieval(wn_service *s, const char *dir,
                                    const wn_ir_eval_options *options, wn_ir_report *report,
                                    wn_error *err);

typedef struct wn_ask {
    const char *corpus;
    const char *question;
    wn_ask_mode mode;
    wn_search_options search; /* WN_SEARCH_DEFAULTS */
    wn_sampler_options sampler;
    size_t max_tokens;
    const char *const *stop;
    size_t n_stop;
    const wn_answer_turn *history;
    size_t n_history;
    bool explain; /* the result says which tokens the heads still have */
} wn_ask;

typedef struct wn_ask_events {
    void *ctx; /* each may be NULL; not WN_OK stops */
    wn_status (*on_retrieval)(void *ctx, const wn_search_result *result,
                              const wn_ask_reading *reading);
    wn_answer_events answer; /* on_citation's source indexes result.hits: see below */
} wn_ask_events;

typedef struct wn_ask_result {
    wn_search_result retrieval; /* hits: what the model was shown; source i = hits[i] */
    wn_ask_reading reading;
    wn_answer answer;
    double retrieval_ms;
    wn_kv_report kv; /* of the session after the answer; empty where the model was not asked */
} wn_ask_result;

wn_status wn_service_ask(wn_service *s, const wn_ask *ask, const wn_ask_events *events,
                         wn_ask_result *out, wn_error *err);
void wn_ask_result_free(wn_ask_result *r);

/* Prefixes of corpora (generate/prefix_cache.h). -------------------------------------------------
 */

typedef struct wn_prefix_prepared {
    size_t n_documents, n_all_tokens; /* of the corpus */
    size_t n_tokens, cached_tokens;   /* that are there now; that were there already */
    wn_prefix_source source;
    double load_ms, read_ms;
    size_t dense_bytes, held_bytes;
    bool kept; /* false: the budgets have no room for it */
} wn_prefix_prepared;

/* Reads the corpus, as mode corpus shows it, for questions to come; WN_LIMIT where it does not fit.
 * max_new > 0: no further than to the document's end behind that many new tokens, so that others
 * get their turn; out->n_tokens < n_all_tokens then, and the next call goes on. progress: (tokens
 * done, all of this call). */
wn_status wn_service_prefix_prepare(wn_service *s, const char *corpus, size_t max_new,
                                    wn_progress_fn progress, void *progress_ctx,
                                    wn_prefix_prepared *out, wn_error *err);
/* Writes files now (they are written soon anyway) and says what went wrong. *n_written: all files
 * since the service began. Any thread. */
wn_status wn_service_prefix_save(wn_service *s, uint64_t *n_written, wn_error *err);
/* Any thread, whether the model is loaded or not. corpus NULL: all. */
wn_status wn_service_prefix_visit(wn_service *s, const char *corpus, wn_prefix_visit_fn visit,
                                  void *ctx, wn_error *err);
/* document_id 0: every prefix of the corpus. What is in memory is given back with the engine's next
 * job (wn_service_tend). *n_dropped may be NULL. */
wn_status wn_service_prefix_drop(wn_service *s, const char *corpus, int64_t document_id,
                                 size_t *n_dropped, wn_error *err);
/* All zero where no model was loaded yet. */
void wn_service_prefix_stats(wn_service *s, wn_prefix_stats *out);
void wn_service_tend(wn_service *s); /* memory of dropped prefixes is given back */
/* Sessions that decode, steps, tokens. All zero where no model was loaded yet. Any thread. */
void wn_service_turn_stats(wn_service *s, wn_turn_stats *out);

/* Plain chat without a corpus (OpenAI clients): the whole conversation, streamed. */
typedef struct wn_generation {
    const wn_chat_message *messages;
    size_t n_messages;
    wn_sampler_options sampler;
    size_t max_tokens;
    const char *const *stop;
    size_t n_stop;
} wn_generation;
wn_status wn_service_generate(wn_service *s, const wn_generation *g, const wn_answer_events *events,
                              wn_answer *out, wn_error *err);

/* Page and headings of a citation, and its character offsets (code points) in the document. */
typedef struct wn_citation_place {
    int64_t document_id;
    char *filename, *path, *title, *headings; /* owned */
    int page_start, page_end;                 /* 0 = the format has no pages */
    size_t start_char, end_char;
} wn_citation_place;
wn_status wn_service_citation_place(wn_service *s, wn_corpus *c, const wn_ask_result *r,
                                    const wn_citation *citation, wn_citation_place *out,
                                    wn_error *err);
void wn_citation_place_free(wn_citation_place *p);

#endif
