#include "retrieve/ir_eval.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/fs.h"
#include "index/corpus.h"
#include "retrieve/ir_dataset.h"
#include "retrieve/ir_vectors.h"

enum { DEPTH_NDCG = 10, DEPTH_RECALL = 100, DEPTH_MRR = 10 };
enum { LEG_TEXT, LEG_VECTOR, LEG_MINMAX, LEG_RRF };
static const char *const leg_names[WN_IR_EVAL_LEGS] = {"text", "vector", "minmax", "rrf"};

typedef struct evaluation {
    const wn_ir_eval_options *options;
    wn_ir_dataset set;
    wn_ir_vectors vectors; /* {0} without an embedder */
    wn_corpus *corpus;
    int64_t *passage_ids; /* [n_documents], rising; an empty document repeats the one before it */
    FILE *runs[WN_IR_EVAL_LEGS];
    wn_index_hit *hits;       /* [n_candidates] */
    wn_ranked *text, *vector; /* [n_candidates] */
    wn_ir_scored *scored;     /* [2 n_candidates] */
    wn_ir_report *report;
} evaluation;

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "evaluation: out of memory");
}

static wn_status report_progress(const evaluation *ev, size_t done, size_t total, wn_error *err)
{
    const wn_ir_eval_options *o = ev->options;
    if (o->progress && o->progress(o->progress_ctx, done, total) != WN_OK)
        return wn_error_set(err, WN_CANCELLED, "the evaluation was stopped");
    return WN_OK;
}

/* Corpus --------------------------------------------------------------------------------------- */

static wn_status put_document(evaluation *ev, size_t i, wn_error *err)
{
    const wn_ir_text *d = &ev->set.documents[i];
    const char *text = *d->text ? d->text : d->title; /* some have a title only, some nothing */
    size_t len = strlen(text);
    wn_passage passage = {.end = len, .headings = ""};
    wn_document_content content = {
        .doc = {.path = d->id, .title = *d->text ? d->title : "", .media_type = "text/plain"},
        .text = text,
        .text_len = len,
        .passages = &passage,
        .n_passages = len > 0,
        .vectors = ev->vectors.documents ? ev->vectors.documents + i * ev->vectors.dim : NULL,
        .dim = ev->vectors.dim};
    int64_t id = 0;
    WN_TRY(wn_corpus_put(ev->corpus, &content, &id, err));
    if (len == 0) {
        ev->passage_ids[i] = i > 0 ? ev->passage_ids[i - 1] : 0;
        return WN_OK;
    }
    wn_passage_record r = {0};
    WN_TRY(wn_corpus_passage_at(ev->corpus, id, 0, &r, err));
    ev->passage_ids[i] = r.passage.id;
    wn_passage_record_free(&r);
    return WN_OK;
}

static wn_status build_corpus(evaluation *ev, const char *corpus_dir, wn_error *err)
{
    WN_TRY(wn_corpus_open(&ev->corpus, corpus_dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE, err));
    for (size_t i = 0; i < ev->set.n_documents; i++) {
        WN_TRY(put_document(ev, i, err));
        if (i % 64 == 0 || i + 1 == ev->set.n_documents)
            WN_TRY(report_progress(ev, i + 1, ev->set.n_documents, err));
    }
    return wn_corpus_refresh_vectors(ev->corpus, err);
}

static const char *document_name(const evaluation *ev, int64_t passage_id)
{
    size_t low = 0, high = ev->set.n_documents;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ev->passage_ids[middle] < passage_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ev->set.n_documents ? ev->set.documents[low].id : "";
}

/* Runs ----------------------------------------------------------------------------------------- */

static wn_status open_runs(evaluation *ev, size_t n_legs, wn_error *err)
{
    for (size_t i = 0; ev->options->run_dir && i < n_legs; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.run", ev->options->run_dir, leg_names[i]);
        ev->runs[i] = fopen(path, "we");
        if (!ev->runs[i])
            return wn_error_set_errno(err, errno, "%s", path);
    }
    return WN_OK;
}

static wn_status close_runs(evaluation *ev, wn_error *err)
{
    bool failed = false;
    for (size_t i = 0; i < WN_IR_EVAL_LEGS; i++) {
        if (ev->runs[i])
            failed = fclose(ev->runs[i]) != 0 || failed;
        ev->runs[i] = NULL;
    }
    return failed ? wn_error_set_errno(err, errno, "%s: run files", ev->options->run_dir) : WN_OK;
}

static wn_status score_run(evaluation *ev, size_t leg, const wn_ir_query *q, size_t n,
                           wn_error *err)
{
    static const wn_ir_depths depths = {DEPTH_NDCG, DEPTH_RECALL, DEPTH_MRR, 0};
    wn_ir_metrics m = {0}, *mean = &ev->report->rows[leg].mean;
    wn_ir_rank(ev->scored, n);
    for (size_t i = 0; ev->runs[leg] && i < n; i++)
        fprintf(ev->runs[leg], "%s Q0 %s %zu %.9g %s\n", q->text.id, ev->scored[i].document, i + 1,
                ev->scored[i].score, leg_names[leg]);
    WN_TRY(wn_ir_measure(q->judged, q->n_judged, ev->scored, n, &depths, &m, err));
    mean->ndcg += m.ndcg;
    mean->recall += m.recall;
    mean->mrr += m.mrr;
    mean->map += m.map;
    return WN_OK;
}

static wn_status score_ranked(evaluation *ev, size_t leg, const wn_ir_query *q,
                              const wn_ranked *ranked, size_t n, wn_error *err)
{
    for (size_t i = 0; i < n; i++)
        ev->scored[i] = (wn_ir_scored){document_name(ev, ranked[i].id), ranked[i].score};
    return score_run(ev, leg, q, n, err);
}

static void take_hits(const wn_index_hit *hits, size_t n, wn_ranked *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (wn_ranked){hits[i].passage_id, (double)hits[i].score};
}

static wn_status run_text(evaluation *ev, const wn_ir_query *q, size_t *n, wn_error *err)
{
    double t0 = wn_clock_ms();
    WN_TRY(wn_corpus_search_text(ev->corpus, q->text.text, strlen(q->text.text),
                                 ev->options->n_candidates, NULL, NULL, ev->hits, n, err));
    ev->report->rows[LEG_TEXT].ms_per_query += wn_clock_ms() - t0;
    take_hits(ev->hits, *n, ev->text);
    return score_ranked(ev, LEG_TEXT, q, ev->text, *n, err);
}

static wn_status run_vector(evaluation *ev, size_t i, size_t *n, wn_error *err)
{
    double t0 = wn_clock_ms();
    WN_TRY(wn_corpus_search_vector(ev->corpus, ev->vectors.queries + i * ev->vectors.dim,
                                   ev->vectors.dim, ev->options->n_candidates, NULL, NULL, ev->hits,
                                   n, err));
    ev->report->rows[LEG_VECTOR].ms_per_query += wn_clock_ms() - t0;
    take_hits(ev->hits, *n, ev->vector);
    return score_ranked(ev, LEG_VECTOR, &ev->set.queries[i], ev->vector, *n, err);
}

static wn_status run_fused(evaluation *ev, size_t leg, const wn_ir_query *q, size_t n_text,
                           size_t n_vector, wn_error *err)
{
    wn_fusion f = ev->options->fusion;
    f.method = leg == LEG_MINMAX ? WN_FUSION_MINMAX : WN_FUSION_RRF;
    wn_fused *fused = NULL;
    size_t n = 0;
    double t0 = wn_clock_ms();
    WN_TRY(wn_rank_fuse(&f, ev->text, n_text, ev->vector, n_vector, &fused, &n, err));
    ev->report->rows[leg].ms_per_query += wn_clock_ms() - t0;
    if (n > ev->options->n_candidates)
        n = ev->options->n_candidates;
    for (size_t i = 0; i < n; i++)
        ev->scored[i] = (wn_ir_scored){document_name(ev, fused[i].id), fused[i].score};
    free(fused);
    return score_run(ev, leg, q, n, err);
}

static wn_status run_query(evaluation *ev, size_t i, wn_error *err)
{
    const wn_ir_query *q = &ev->set.queries[i];
    size_t n_text = 0, n_vector = 0;
    WN_TRY(run_text(ev, q, &n_text, err));
    if (!ev->vectors.queries)
        return WN_OK;
    WN_TRY(run_vector(ev, i, &n_vector, err));
    WN_TRY(run_fused(ev, LEG_MINMAX, q, n_text, n_vector, err));
    return run_fused(ev, LEG_RRF, q, n_text, n_vector, err);
}

static wn_status run_queries(evaluation *ev, wn_error *err)
{
    wn_ir_report *r = ev->report;
    size_t n = ev->set.n_queries;
    for (size_t i = 0; i < n; i++) {
        WN_TRY(run_query(ev, i, err));
        if (i % 16 == 0 || i + 1 == n)
            WN_TRY(report_progress(ev, i + 1, n, err));
    }
    for (size_t i = 0; i < r->n_rows; i++) {
        r->rows[i].leg = leg_names[i];
        r->rows[i].mean.ndcg /= (double)n;
        r->rows[i].mean.recall /= (double)n;
        r->rows[i].mean.mrr /= (double)n;
        r->rows[i].mean.map /= (double)n;
        r->rows[i].ms_per_query /= (double)n;
    }
    for (size_t i = LEG_MINMAX; i < r->n_rows; i++) /* a fusion needs both legs */
        r->rows[i].ms_per_query +=
            r->rows[LEG_TEXT].ms_per_query + r->rows[LEG_VECTOR].ms_per_query;
    return WN_OK;
}

static wn_status evaluate(evaluation *ev, const char *dir, const char *corpus_dir, wn_embedder *e,
                          wn_error *err)
{
    const wn_ir_eval_options *o = ev->options;
    size_t k = o->n_candidates;
    WN_TRY(wn_ir_dataset_load(&ev->set, dir, err));
    ev->report->n_documents = ev->set.n_documents;
    ev->report->n_queries = ev->set.n_queries;
    ev->report->n_rows = e ? WN_IR_EVAL_LEGS : 1;
    ev->passage_ids = wn_alloc(ev->set.n_documents, sizeof *ev->passage_ids);
    ev->hits = wn_alloc(k, sizeof *ev->hits);
    ev->text = wn_alloc(k, sizeof *ev->text);
    ev->vector = wn_alloc(k, sizeof *ev->vector);
    ev->scored = wn_alloc(k, sizeof *ev->scored);
    if (!ev->passage_ids || !ev->hits || !ev->text || !ev->vector || !ev->scored)
        return no_memory(err);
    WN_TRY(open_runs(ev, ev->report->n_rows, err));
    if (e)
        WN_TRY(wn_ir_vectors_make(&ev->vectors, &ev->set, e, o->vector_cache, o->progress,
                                  o->progress_ctx, err));
    WN_TRY(build_corpus(ev, corpus_dir, err));
    WN_TRY(run_queries(ev, err));
    return close_runs(ev, err);
}

wn_status wn_ir_eval_beir(const char *dir, const char *corpus_dir, wn_embedder *embedder,
                          const wn_ir_eval_options *options, wn_ir_report *report, wn_error *err)
{
    *report = (wn_ir_report){0};
    if (options->n_candidates < DEPTH_RECALL || options->n_candidates > 10000)
        return wn_error_set(err, WN_INVALID, "evaluation: %zu candidates; %d to 10000 are possible",
                            options->n_candidates, DEPTH_RECALL);
    if (wn_fs_exists(corpus_dir))
        return wn_error_set(err, WN_CONFLICT, "%s: exists already", corpus_dir);
    evaluation ev = {.options = options, .report = report};
    wn_status status = evaluate(&ev, dir, corpus_dir, embedder, err);
    wn_corpus_close(ev.corpus);
    close_runs(&ev, NULL);
    wn_fs_remove_tree(corpus_dir, NULL);
    wn_ir_vectors_free(&ev.vectors);
    wn_ir_dataset_free(&ev.set);
    free(ev.passage_ids);
    free(ev.hits);
    free(ev.text);
    free(ev.vector);
    free(ev.scored);
    return status;
}
