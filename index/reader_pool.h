/* Read-only connections to one corpus file, opened when needed, kept for the next, lent to threads.
 *
 *     WN_TRY(wn_reader_borrow(pool, &db, err));   // inside a read transaction: one state of the
 * corpus
 *     ...
 *     wn_reader_return(pool, db);                 // ends statements and the transaction
 *
 * Threads: any. borrow never waits for another borrower, so that a visitor that is called with one
 * connection out may use the corpus again.
 */
#ifndef WN_INDEX_READER_POOL_H
#define WN_INDEX_READER_POOL_H

#include "index/corpus_db.h"

typedef struct wn_reader_pool wn_reader_pool;

wn_status wn_reader_pool_open(wn_reader_pool **out, const char *path, wn_error *err);
void wn_reader_pool_close(wn_reader_pool *pool); /* no connection is out; NULL is fine */
wn_status wn_reader_borrow(wn_reader_pool *pool, wn_corpus_db **out, wn_error *err);
void wn_reader_return(wn_reader_pool *pool, wn_corpus_db *db); /* NULL is fine */

#endif
