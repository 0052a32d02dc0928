#include "retrieve/ir_dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/strbuf.h"

#define MAX_FILE_BYTES ((size_t)4 << 30)

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "test collection: out of memory");
}

static void text_free(wn_ir_text *t)
{
    free(t->id);
    free(t->title);
    free(t->text);
}

static void query_free(wn_ir_query *q)
{
    for (size_t i = 0; i < q->n_judged; i++)
        free((char *)(uintptr_t)q->judged[i].document);
    free(q->judged);
    text_free(&q->text);
}

void wn_ir_dataset_free(wn_ir_dataset *set)
{
    for (size_t i = 0; i < set->n_documents; i++)
        text_free(&set->documents[i]);
    for (size_t i = 0; i < set->n_queries; i++)
        query_free(&set->queries[i]);
    free(set->documents);
    free(set->queries);
    *set = (wn_ir_dataset){0};
}

/* Room for one more item of a growing array: doubled at powers of two. */
static void *grow(void *items, size_t n, size_t size)
{
    if (n > 0 && (n & (n - 1)) != 0)
        return items;
    return wn_realloc(items, n > 0 ? 2 * n : 1, size);
}

/* Lines ---------------------------------------------------------------------------------------- */

typedef wn_status (*line_fn)(void *ctx, const char *line, size_t len, const char *where,
                             wn_error *err);

/* Calls fn for every line that is not empty; `where` is "file:line". */
static wn_status each_line(const char *path, line_fn fn, void *ctx, wn_error *err)
{
    wn_strbuf b = {0};
    char where[160];
    size_t number = 0;
    wn_status status = wn_fs_read(&b, path, MAX_FILE_BYTES, err);
    for (size_t at = 0; at < b.len && status == WN_OK;) {
        const char *line = b.data + at;
        const char *end = memchr(line, '\n', b.len - at);
        size_t len = end ? (size_t)(end - line) : b.len - at;
        at += len + 1;
        if (len > 0 && line[len - 1] == '\r')
            len--;
        snprintf(where, sizeof where, "%.120s:%zu", wn_fs_basename(path), ++number);
        if (len > 0)
            status = fn(ctx, line, len, where, err);
    }
    wn_strbuf_free(&b);
    return status;
}

static wn_status read_text(const char *line, size_t len, const char *where, wn_ir_text *out,
                           wn_error *err)
{
    json_t *json = NULL;
    const char *id = NULL, *title = "", *text = "";
    WN_TRY(wn_json_parse(&json, line, len, where, err));
    wn_status status = wn_json_get_str(json, "_id", &id, err);
    if (status == WN_OK)
        status = wn_json_get_str(json, "title", &title, err);
    if (status == WN_OK)
        status = wn_json_get_str(json, "text", &text, err);
    if (status == WN_OK && (!id || !*id))
        status = wn_error_set(err, WN_FORMAT, "%s: no \"_id\"", where);
    if (status == WN_OK) {
        *out = (wn_ir_text){wn_strdup(id), wn_strdup(title), wn_strdup(text)};
        if (!out->id || !out->title || !out->text) {
            text_free(out);
            status = no_memory(err);
        }
    } else {
        wn_error_prefix(err, where);
    }
    json_decref(json);
    return status;
}

static wn_status add_document(void *ctx, const char *line, size_t len, const char *where,
                              wn_error *err)
{
    wn_ir_dataset *set = ctx;
    void *items = grow(set->documents, set->n_documents, sizeof *set->documents);
    if (!items)
        return no_memory(err);
    set->documents = items;
    WN_TRY(read_text(line, len, where, &set->documents[set->n_documents], err));
    set->n_documents++;
    return WN_OK;
}

static wn_status add_query(void *ctx, const char *line, size_t len, const char *where,
                           wn_error *err)
{
    wn_ir_dataset *set = ctx;
    wn_ir_query *items = grow(set->queries, set->n_queries, sizeof *set->queries);
    if (!items)
        return no_memory(err);
    set->queries = items;
    items[set->n_queries] = (wn_ir_query){0};
    WN_TRY(read_text(line, len, where, &items[set->n_queries].text, err));
    set->n_queries++;
    return WN_OK;
}

/* Judgements -------------------------------------------------------------------------------------
 */

typedef struct qrels_ctx {
    wn_ir_dataset *set;
    wn_ir_query **by_id; /* sorted by name */
    bool past_names;
} qrels_ctx;

static int by_query_id(const void *pa, const void *pb)
{
    const wn_ir_query *a = *(wn_ir_query *const *)pa, *b = *(wn_ir_query *const *)pb;
    return strcmp(a->text.id, b->text.id);
}

static wn_ir_query *find_query(const qrels_ctx *c, char *id)
{
    wn_ir_query key = {.text = {.id = id}}, *p = &key;
    wn_ir_query **hit = c->set->n_queries > 0 ? bsearch(&p, c->by_id, c->set->n_queries,
                                                        sizeof *c->by_id, by_query_id)
                                              : NULL;
    return hit ? *hit : NULL;
}

static wn_status judge(wn_ir_query *q, const char *document, int gain, wn_error *err)
{
    wn_ir_judged *items = grow(q->judged, q->n_judged, sizeof *items);
    if (!items)
        return no_memory(err);
    q->judged = items;
    items[q->n_judged] = (wn_ir_judged){wn_strdup(document), gain};
    if (!items[q->n_judged].document)
        return no_memory(err);
    q->n_judged++;
    return WN_OK;
}

static wn_status add_judgement(void *ctx, const char *line, size_t len, const char *where,
                               wn_error *err)
{
    qrels_ctx *c = ctx;
    if (!c->past_names) {
        c->past_names = true;
        return WN_OK;
    }
    char copy[512], *rest = NULL, *end = NULL;
    if (len >= sizeof copy)
        return wn_error_set(err, WN_FORMAT, "%s: %zu bytes in a line", where, len);
    memcpy(copy, line, len);
    copy[len] = 0;
    char *query = strtok_r(copy, "\t", &rest), *document = strtok_r(NULL, "\t", &rest);
    const char *gain = strtok_r(NULL, "\t", &rest);
    long value = gain ? strtol(gain, &end, 10) : 0;
    if (!gain || end == gain || *end || value < -1000 || value > 1000)
        return wn_error_set(err, WN_FORMAT, "%s: expected query-id, corpus-id, score", where);
    wn_ir_query *q = find_query(c, query);
    return q ? judge(q, document, (int)value, err) : WN_OK; /* of another split */
}

static wn_status load_judgements(wn_ir_dataset *set, const char *path, wn_error *err)
{
    qrels_ctx c = {.set = set, .by_id = wn_alloc(set->n_queries, sizeof *c.by_id)};
    if (!c.by_id)
        return no_memory(err);
    for (size_t i = 0; i < set->n_queries; i++)
        c.by_id[i] = &set->queries[i];
    if (set->n_queries > 1)
        qsort(c.by_id, set->n_queries, sizeof *c.by_id, by_query_id);
    wn_status status = each_line(path, add_judgement, &c, err);
    free(c.by_id);
    return status;
}

static void keep_judged(wn_ir_dataset *set)
{
    size_t n = 0;
    for (size_t i = 0; i < set->n_queries; i++) {
        bool relevant = false;
        for (size_t j = 0; j < set->queries[i].n_judged; j++)
            relevant = relevant || set->queries[i].judged[j].gain >= 1;
        if (relevant)
            set->queries[n++] = set->queries[i];
        else
            query_free(&set->queries[i]);
    }
    set->n_queries = n;
}

/* "dir/a", or "dir/b" where that is absent; NULL: out of memory. */
static char *either(const char *dir, const char *a, const char *b)
{
    char *path = wn_fs_join(dir, a);
    if (!path || wn_fs_exists(path))
        return path;
    char *other = wn_fs_join(dir, b);
    if (!other || !wn_fs_exists(other)) {
        free(other);
        return path;
    }
    free(path);
    return other;
}

wn_status wn_ir_dataset_load(wn_ir_dataset *out, const char *dir, wn_error *err)
{
    *out = (wn_ir_dataset){0};
    char *corpus = wn_fs_join(dir, "corpus.jsonl"), *queries = wn_fs_join(dir, "queries.jsonl");
    char *qrels = either(dir, "qrels.tsv", "qrels/test.tsv");
    wn_status status = corpus && queries && qrels ? WN_OK : no_memory(err);
    if (status == WN_OK)
        status = each_line(corpus, add_document, out, err);
    if (status == WN_OK)
        status = each_line(queries, add_query, out, err);
    if (status == WN_OK)
        status = load_judgements(out, qrels, err);
    if (status == WN_OK)
        keep_judged(out);
    if (status == WN_OK && (out->n_documents == 0 || out->n_queries == 0))
        status = wn_error_set(err, WN_FORMAT, "%s: no documents, or no judged queries", dir);
    free(corpus);
    free(queries);
    free(qrels);
    if (status != WN_OK)
        wn_ir_dataset_free(out);
    return status;
}
