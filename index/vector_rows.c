#include "index/vector_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { BATCH_ROWS = 1024 }; /* rows that are given to an index at a time */

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "vector store: out of memory");
}

typedef struct row_batch {
    int64_t passage_ids[BATCH_ROWS], document_ids[BATCH_ROWS];
    float *values; /* [BATCH_ROWS][dim] */
    size_t n;
} row_batch;

static wn_status batch_row(wn_corpus_db *db, sqlite3_stmt *s, size_t dim, row_batch *b,
                           wn_error *err)
{
    const void *value = sqlite3_column_blob(s, 2);
    size_t bytes = (size_t)sqlite3_column_bytes(s, 2);
    if (!value || bytes != dim * sizeof(float))
        return wn_error_set(err, WN_CORRUPT,
                            "%s: the vector of passage %lld has %zu bytes, not %zu", db->path,
                            (long long)sqlite3_column_int64(s, 0), bytes, dim * sizeof(float));
    memcpy(b->values + b->n * dim, value, bytes);
    b->passage_ids[b->n] = sqlite3_column_int64(s, 0);
    b->document_ids[b->n] = sqlite3_column_int64(s, 1);
    b->n++;
    return WN_OK;
}

static wn_status add_rows(wn_corpus_db *db, int64_t after, wn_vector_index *x, row_batch *b,
                          wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, WN_SQL_VECTORS_AFTER, &s, err));
    sqlite3_bind_int64(s, 1, after);
    for (bool row = true; row;) {
        WN_TRY(wn_db_step(db, s, &row, err));
        if (row)
            WN_TRY(batch_row(db, s, wn_vector_index_dim(x), b, err));
        if (b->n == BATCH_ROWS || !row) {
            WN_TRY(wn_vector_index_add(x, b->n, b->passage_ids, b->document_ids, b->values, err));
            b->n = 0;
        }
    }
    return WN_OK;
}

static void batch_free(row_batch *b)
{
    if (b)
        free(b->values);
    free(b);
}

static row_batch *batch_new(size_t dim)
{
    row_batch *b = wn_alloc(1, sizeof *b);
    if (b)
        b->values = wn_alloc(BATCH_ROWS, dim * sizeof(float));
    if (b && b->values)
        return b;
    batch_free(b);
    return NULL;
}

wn_status wn_vector_rows_read(wn_corpus_db *db, int64_t after, size_t dim, wn_vector_kind kind,
                              wn_vector_index **out, wn_error *err)
{
    *out = NULL;
    wn_vector_index *x = NULL;
    WN_TRY(wn_vector_index_create(&x, dim, kind, err));
    row_batch *b = batch_new(dim);
    wn_status status = b ? add_rows(db, after, x, b, err) : no_memory(err);
    batch_free(b);
    if (status != WN_OK) {
        wn_vector_index_release(x);
        return status;
    }
    *out = x;
    return WN_OK;
}

wn_status wn_vector_rows_copy(wn_vector_index *to, const wn_vector_index *x, wn_error *err)
{
    size_t dim = wn_vector_index_dim(x), n_rows = wn_vector_index_rows(x);
    row_batch *b = batch_new(dim);
    wn_status status = b ? WN_OK : no_memory(err);
    for (size_t i = 0; i < n_rows && status == WN_OK; i++) {
        status = wn_vector_index_row(x, i, &b->passage_ids[b->n], &b->document_ids[b->n],
                                     b->values + b->n * dim, err);
        if (status != WN_OK)
            break;
        if (++b->n == BATCH_ROWS || i + 1 == n_rows) {
            status = wn_vector_index_add(to, b->n, b->passage_ids, b->document_ids, b->values, err);
            b->n = 0;
        }
    }
    batch_free(b);
    return status;
}
