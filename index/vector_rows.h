/* Filling vector indexes, in batches: from the corpus' vectors table, and from another index. */
#ifndef WN_INDEX_VECTOR_ROWS_H
#define WN_INDEX_VECTOR_ROWS_H

#include "index/corpus_db.h"
#include "index/vector_index.h"

/* A new index of the rows with passage id > after, in db's transaction. WN_CORRUPT when a stored
 * vector is not of `dim` values. */
wn_status wn_vector_rows_read(wn_corpus_db *db, int64_t after, size_t dim, wn_vector_kind kind,
                              wn_vector_index **out, wn_error *err);
/* Adds all rows of x to `to`. */
wn_status wn_vector_rows_copy(wn_vector_index *to, const wn_vector_index *x, wn_error *err);

#endif
