/* The vectors of one corpus in memory, as searches see them.
 *
 * A view is immutable: a base index (from the vector file, or built), and small flat indexes with
 * the rows added since. Passage ids rise and are never used twice, so a view is brought up to date
 * by reading the rows above its last id, and deleted passages need no bookkeeping: a search drops
 * rows whose passage its own transaction does not know. New views are published by pointer swap; a
 * rebuild works aside and blocks no reader.
 *
 *     WN_TRY(wn_vector_store_view(store, db, &view, err));   // db: inside a read transaction
 *     WN_TRY(wn_vector_view_search(view, query, k, accept, ctx, hits, &n, err));
 *     wn_vector_view_release(view);
 *
 * Threads: any, each with its own connection.
 */
#ifndef WN_INDEX_VECTOR_STORE_H
#define WN_INDEX_VECTOR_STORE_H

#include "index/corpus_db.h"
#include "index/vector_index.h"

typedef struct wn_vector_store wn_vector_store;
typedef struct wn_vector_view wn_vector_view;

/* Rows from which a rebuild makes an HNSW graph: below, the exact scan takes a few milliseconds. */
enum { WN_VECTOR_HNSW_ROWS = 50000 };

/* path: the vector file. hnsw_rows: WN_VECTOR_HNSW_ROWS, or fewer in tests. */
wn_status wn_vector_store_open(wn_vector_store **out, const char *path, size_t hnsw_rows,
                               wn_error *err);
void wn_vector_store_close(wn_vector_store *store); /* NULL is fine */

/* The view for the state that db's transaction sees; released by the caller. */
wn_status wn_vector_store_view(wn_vector_store *store, wn_corpus_db *db, wn_vector_view **out,
                               wn_error *err);
void wn_vector_view_release(wn_vector_view *view);      /* NULL is fine */
size_t wn_vector_view_rows(const wn_vector_view *view); /* deleted ones included */
wn_status wn_vector_view_search(const wn_vector_view *view, const float *query, size_t k,
                                wn_vector_accept_fn accept, void *ctx, wn_index_hit *hits,
                                size_t *n, wn_error *err);

/* Gathers everything into one base index and publishes it; one call at a time. *base (retained,
 * NULL without vectors) is what should be in the file; *on_file says that it is there already. */
wn_status wn_vector_store_compact(wn_vector_store *store, wn_corpus_db *db, wn_vector_index **base,
                                  bool *on_file, wn_error *err);
/* Records that x is in the file now. */
void wn_vector_store_saved(wn_vector_store *store, wn_vector_index *x);
/* Rows that are in no file, an estimate for deciding whether to write one: n_vectors without any.
 */
size_t wn_vector_store_unsaved(wn_vector_store *store, size_t n_vectors);

#endif
