#include "api/qa_eval.h"

#include <stdlib.h>
#include <string.h>

#include "api/qa_set.h"
#include "base/json.h"
#include "base/strbuf.h"

#define CORPUS_NAME "qa-eval"

/* A passage becomes a Markdown document whose attribute "passage" is its id. */
static wn_status ingest_passage(wn_ingest_options *io, const json_t *row, wn_error *err)
{
    const char *id = NULL, *title = "", *text = NULL;
    WN_TRY(wn_qa_field(row, "_id", &id, err));
    WN_TRY(wn_qa_field(row, "text", &text, err));
    WN_TRY(wn_json_get_str(row, "title", &title, err));
    json_t *attributes = json_pack("{s:s}", "passage", id);
    char *packed = attributes ? json_dumps(attributes, 0) : NULL;
    wn_strbuf name = {0}, body = {0};
    wn_strbuf_printf(&name, "%s.md", id);
    wn_strbuf_printf(&body, "# %s\n\n%s\n", title, text);
    wn_status status = WN_OK;
    if (!packed || wn_strbuf_failed(&name) || wn_strbuf_failed(&body))
        status = wn_error_set(err, WN_NO_MEMORY, "qa: out of memory");
    wn_ingest_outcome outcome = WN_INGEST_ADDED;
    int64_t document_id = 0;
    io->attributes = packed;
    if (status == WN_OK)
        status = wn_ingest_bytes(io, wn_strbuf_cstr(&name), body.data, body.len, &outcome,
                                 &document_id, err);
    io->attributes = NULL;
    json_decref(attributes);
    free(packed);
    wn_strbuf_free(&name);
    wn_strbuf_free(&body);
    return status;
}

static wn_status build_corpus(wn_service *s, const char *dir, wn_error *err)
{
    json_t *passages = NULL;
    wn_corpus *corpus = NULL;
    WN_TRY(wn_qa_lines(&passages, dir, "passages.jsonl", err));
    wn_ingest_options io = {.passage_tokens = 0, .overlap_tokens = SIZE_MAX};
    wn_status status =
        wn_service_corpus(s, CORPUS_NAME, WN_CORPUS_WRITE | WN_CORPUS_CREATE, &corpus, err);
    if (status == WN_OK)
        status = wn_service_ingest_options(s, corpus, &io, err);
    for (size_t i = 0; status == WN_OK && i < json_array_size(passages); i++)
        status = ingest_passage(&io, json_array_get(passages, i), err);
    wn_service_corpus_release(s, corpus);
    json_decref(passages);
    return status;
}

static bool is_passage(const wn_hit *hit, const char *passage_id)
{
    json_t *attributes = json_loads(hit->attributes, 0, NULL);
    const char *id = json_string_value(json_object_get(attributes, "passage"));
    bool same = id && strcmp(id, passage_id) == 0;
    json_decref(attributes);
    return same;
}

static json_t *score_answer(const wn_ask_result *r, const char *passage_id, const json_t *answers,
                            wn_qa_score *score)
{
    const wn_answer *a = &r->answer;
    bool retrieved = false, cited = false, first = false;
    for (size_t i = 0; i < r->retrieval.n; i++)
        retrieved |= is_passage(&r->retrieval.hits[i], passage_id);
    for (size_t i = 0; i < a->n_citations; i++) {
        bool gold = is_passage(&r->retrieval.hits[a->citations[i].source], passage_id);
        cited |= gold;
        first |= gold && i == 0;
    }
    bool contains = wn_qa_contains(a->text, answers);
    double f1 = wn_qa_f1(a->text, answers);
    score->n++;
    score->contains += contains;
    score->cited += cited;
    score->first_cited += first;
    score->no_citation += a->n_citations == 0;
    score->retrieved += retrieved;
    score->no_answer += strcmp(a->finish_reason, "no_answer") == 0;
    score->f1 += f1;
    score->prefill_ms += a->prefill_ms;
    score->decode_ms += a->decode_ms;
    score->prompt_tokens += a->prompt_tokens - a->cached_tokens;
    score->completion_tokens += a->completion_tokens;
    return json_pack("{s:s, s:b, s:b, s:b, s:I, s:f}", "answer", a->text, "contains", (int)contains,
                     "retrieved", (int)retrieved, "cited", (int)cited, "citations",
                     (json_int_t)a->n_citations, "f1", f1);
}

/* The oracle is the same way with a filter that leaves the gold passage alone. */
static wn_status ask_oracle(wn_service *s, const wn_ask *ask, const char *passage_id,
                            wn_ask_result *out, wn_error *err)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s}", "type", "eq", "key", "passage", "value", passage_id);
    wn_metadata_filter *filter = NULL;
    wn_status status = wn_metadata_filter_parse(&filter, json, err);
    json_decref(json);
    wn_ask oracle = *ask;
    oracle.search.filter = filter;
    if (status == WN_OK)
        status = wn_service_ask(s, &oracle, NULL, out, err);
    wn_metadata_filter_free(filter);
    return status;
}

static wn_status one_question(wn_service *s, const wn_qa_options *o, const json_t *row,
                              wn_qa_report *out, wn_error *err)
{
    const char *id = NULL, *question = NULL, *passage_id = NULL;
    const json_t *answers = json_object_get(row, "answers");
    WN_TRY(wn_qa_field(row, "_id", &id, err));
    WN_TRY(wn_qa_field(row, "question", &question, err));
    WN_TRY(wn_qa_field(row, "passage_id", &passage_id, err));
    wn_ask ask = o->ask;
    ask.corpus = CORPUS_NAME;
    ask.question = question;
    wn_ask_result result = {0};
    WN_TRY(wn_service_ask(s, &ask, NULL, &result, err));
    json_t *report = json_pack("{s:s, s:s, s:O, s:s}", "id", id, "question", question, "gold",
                               answers, "passage_id", passage_id);
    json_object_set_new(report, "run", score_answer(&result, passage_id, answers, &out->run));
    wn_ask_result_free(&result);
    wn_status status = WN_OK;
    if (o->oracle) {
        status = ask_oracle(s, &ask, passage_id, &result, err);
        if (status == WN_OK)
            json_object_set_new(report, "oracle",
                                score_answer(&result, passage_id, answers, &out->oracle));
        wn_ask_result_free(&result);
    }
    json_array_append_new(out->rows, report);
    return status;
}

wn_status wn_qa_eval(wn_service *s, const wn_qa_options *o, wn_qa_report *out, wn_error *err)
{
    *out = (wn_qa_report){.rows = json_array()};
    json_t *questions = NULL;
    WN_TRY(wn_qa_lines(&questions, o->dir, "qa.jsonl", err));
    wn_service_corpus_delete(s, CORPUS_NAME, NULL); /* left by a run that was killed */
    wn_status status = build_corpus(s, o->dir, err);
    size_t n_all = json_array_size(questions);
    size_t n = o->n_questions && o->n_questions < n_all ? o->n_questions : n_all;
    for (size_t i = 0; status == WN_OK && i < n; i++) {
        status = one_question(s, o, json_array_get(questions, i * n_all / n), out, err);
        if (status == WN_OK && o->progress)
            status = o->progress(o->progress_ctx, i + 1, n);
    }
    json_decref(questions);
    wn_service_corpus_delete(s, CORPUS_NAME, NULL);
    if (status != WN_OK)
        wn_qa_report_free(out);
    return status;
}

void wn_qa_report_free(wn_qa_report *r)
{
    json_decref(r->rows);
    *r = (wn_qa_report){0};
}
