/* The two legs of search: words through FTS5, meaning through vectors. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "index/corpus_internal.h"
#include "index/fts_query.h"

/* A word in more than a fifth of the passages says little about which one is meant, and costs the
 * most. In a small corpus a fifth is a handful, and such words still tell passages apart. */
enum { COMMON_SHARE = 5, COMMON_MIN_PASSAGES = 10 };

static wn_status document_of(wn_corpus_db *db, int64_t passage_id, int64_t *document_id,
                             bool *found, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, WN_SQL_PASSAGE_DOCUMENT, &s, err));
    sqlite3_bind_int64(s, 1, passage_id);
    WN_TRY(wn_db_step(db, s, found, err));
    *document_id = *found ? sqlite3_column_int64(s, 0) : 0;
    return WN_OK;
}

/* Text -------------------------------------------------------------------------------------------
 */

/* Passages that hold a word (FTS5 stems it as it stemmed them), counted up to limit. */
static wn_status count_passages(wn_corpus_db *db, const char *quoted, size_t limit, size_t *n,
                                wn_error *err)
{
    sqlite3_stmt *s = NULL;
    bool row = false;
    WN_TRY(wn_db_statement(db, WN_SQL_FTS_COUNT, &s, err));
    sqlite3_bind_text(s, 1, quoted, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, (int64_t)limit);
    WN_TRY(wn_db_step(db, s, &row, err));
    *n = row ? (size_t)sqlite3_column_int64(s, 0) : 0;
    return WN_OK;
}

/* Keeps the words that occur, without the common ones where others remain. */
static wn_status drop_common(wn_corpus_db *db, wn_fts_words *words, wn_error *err)
{
    wn_corpus_meta meta = {0};
    WN_TRY(wn_db_meta(db, &meta, err));
    size_t most = meta.n_passages / COMMON_SHARE;
    if (most < COMMON_MIN_PASSAGES)
        most = COMMON_MIN_PASSAGES;
    bool common[WN_FTS_MAX_WORDS] = {false}, any_rare = false;
    for (size_t i = 0; i < words->n; i++) {
        size_t n = 0;
        WN_TRY(count_passages(db, words->items[i].quoted, most + 1, &n, err));
        words->items[i].keep = n > 0;
        common[i] = n > most;
        any_rare = any_rare || (n > 0 && n <= most);
    }
    for (size_t i = 0; i < words->n; i++)
        if (any_rare && common[i])
            words->items[i].keep = false;
    return WN_OK;
}

static wn_status collect_text(wn_corpus_db *db, const char *query, size_t k,
                              wn_document_filter_fn filter, void *filter_ctx, wn_index_hit *hits,
                              size_t *n, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, WN_SQL_FTS_SEARCH, &s, err));
    sqlite3_bind_text(s, 1, query, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, filter ? -1 : (int64_t)k);
    while (*n < k) {
        bool row = false, found = false;
        int64_t document_id = 0;
        WN_TRY(wn_db_step(db, s, &row, err));
        if (!row)
            return WN_OK;
        int64_t passage_id = sqlite3_column_int64(s, 0);
        float score = (float)-sqlite3_column_double(s, 1);
        WN_TRY(document_of(db, passage_id, &document_id, &found, err));
        if (!found)
            return wn_error_set(err, WN_CORRUPT,
                                "%s: the text index knows passage %lld, the corpus does not",
                                db->path, (long long)passage_id);
        if (!filter || filter(filter_ctx, document_id))
            wn_vector_hit_insert(hits, n, k, (wn_index_hit){passage_id, document_id, score});
    }
    return WN_OK;
}

static wn_status search_text(wn_corpus_db *db, wn_fts_words *words, size_t k,
                             wn_document_filter_fn filter, void *filter_ctx, wn_index_hit *hits,
                             size_t *n, wn_error *err)
{
    char *query = NULL;
    WN_TRY(drop_common(db, words, err));
    WN_TRY(wn_fts_words_query(words, &query, err));
    if (!query)
        return WN_OK;
    wn_status status = collect_text(db, query, k, filter, filter_ctx, hits, n, err);
    free(query);
    return status;
}

wn_status wn_corpus_search_text(wn_corpus *c, const char *question, size_t len, size_t k,
                                wn_document_filter_fn filter, void *filter_ctx, wn_index_hit *hits,
                                size_t *n, wn_error *err)
{
    *n = 0;
    if (k == 0)
        return WN_OK;
    wn_corpus_db *db = NULL;
    wn_fts_words words = {0};
    wn_status status = wn_fts_words_split(&words, question, len, err);
    if (status == WN_OK)
        status = wn_reader_borrow(c->readers, &db, err);
    if (status == WN_OK)
        status = search_text(db, &words, k, filter, filter_ctx, hits, n, err);
    wn_reader_return(c->readers, db);
    wn_fts_words_free(&words);
    if (status != WN_OK)
        *n = 0;
    return status;
}

/* Vectors ----------------------------------------------------------------------------------------
 */

typedef struct accept_ctx {
    wn_corpus_db *db;
    wn_document_filter_fn filter;
    void *filter_ctx;
    wn_status status; /* of the look-ups; a failure ends up here */
    wn_error *err;
} accept_ctx;

/* Rows of a view may belong to passages that are deleted, or not there yet in this transaction. */
static bool accept(void *ctx, int64_t passage_id, int64_t document_id)
{
    accept_ctx *a = ctx;
    bool found = false;
    int64_t found_document = 0;
    if (a->status != WN_OK || (a->filter && !a->filter(a->filter_ctx, document_id)))
        return false;
    a->status = document_of(a->db, passage_id, &found_document, &found, a->err);
    return a->status == WN_OK && found && found_document == document_id;
}

static wn_status check_query(wn_corpus_db *db, const float *query, size_t dim, size_t n_vectors,
                             size_t corpus_dim, wn_error *err)
{
    if (n_vectors == 0)
        return WN_OK;
    if (dim != corpus_dim)
        return wn_error_set(err, WN_INVALID,
                            "%s: the question has a vector of %zu dimensions, the corpus of %zu",
                            db->path, dim, corpus_dim);
    for (size_t i = 0; i < dim; i++)
        if (!isfinite(query[i]))
            return wn_error_set(err, WN_INVALID, "the question's vector is not finite at %zu", i);
    return WN_OK;
}

static wn_status search_vector(wn_corpus *c, wn_corpus_db *db, const float *query, size_t dim,
                               size_t k, accept_ctx *a, wn_index_hit *hits, size_t *n,
                               wn_error *err)
{
    wn_corpus_meta meta = {0};
    wn_vector_view *view = NULL;
    WN_TRY(wn_db_meta(db, &meta, err));
    WN_TRY(check_query(db, query, dim, meta.n_vectors, meta.dim, err));
    if (meta.n_vectors == 0)
        return WN_OK;
    if (k > meta.n_vectors)
        k = meta.n_vectors;
    WN_TRY(wn_vector_store_view(c->vectors, db, &view, err));
    wn_status status = wn_vector_view_search(view, query, k, accept, a, hits, n, err);
    wn_vector_view_release(view);
    return status == WN_OK ? a->status : status;
}

wn_status wn_corpus_search_vector(wn_corpus *c, const float *query, size_t dim, size_t k,
                                  wn_document_filter_fn filter, void *filter_ctx,
                                  wn_index_hit *hits, size_t *n, wn_error *err)
{
    *n = 0;
    if (k == 0)
        return WN_OK;
    wn_corpus_db *db = NULL;
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    accept_ctx a = {.db = db, .filter = filter, .filter_ctx = filter_ctx, .err = err};
    wn_status status = search_vector(c, db, query, dim, k, &a, hits, n, err);
    wn_reader_return(c->readers, db);
    if (status != WN_OK)
        *n = 0;
    return status;
}
