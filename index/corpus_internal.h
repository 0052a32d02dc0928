/* What the corpus_*.c files share: the handle, and how a write begins and ends. */
#ifndef WN_INDEX_CORPUS_INTERNAL_H
#define WN_INDEX_CORPUS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "index/corpus.h"
#include "index/corpus_db.h"
#include "index/reader_pool.h"
#include "index/vector_store.h"

#define WN_CORPUS_DB_NAME "corpus.sqlite"
#define WN_CORPUS_VECTOR_NAME "vectors.faiss"
#define WN_CORPUS_LOCK_NAME "writer.lock"

struct wn_corpus {
    char *dir, *db_path, *vector_path;
    uint64_t file_device, file_number; /* of the database that is open */
    int lock_fd;                       /* -1 in read mode */
    pthread_mutex_t write_mutex;       /* guards the two below */
    wn_corpus_db *writer;              /* NULL in read mode */
    bool write_failed;                 /* open the connection anew before the next write */
    pthread_mutex_t refresh_mutex;     /* one brings the vector file up to date at a time */
    atomic_bool changed;               /* vectors were put or deleted through this handle */
    wn_reader_pool *readers;
    wn_vector_store *vectors;
};

/* Takes <dir>/writer.lock for this process; WN_BUSY names the process that has it. */
wn_status wn_corpus_lock_writer(const char *dir, int *fd, wn_error *err);
void wn_corpus_unlock_writer(int fd); /* -1 is fine */

/* Between these two the caller owns c->writer, inside a transaction. end commits when `status` is
 * WN_OK, rolls back otherwise, and returns what became of it. begin failed = do not call end. */
wn_status wn_corpus_begin_write(wn_corpus *c, wn_error *err);
wn_status wn_corpus_end_write(wn_corpus *c, wn_status status, wn_error *err);

/* What a write adds to (or takes from) the counters of the meta row; bumps the generation. */
typedef struct wn_corpus_change {
    int64_t documents, blocks, passages, vectors, text_bytes;
} wn_corpus_change;
wn_status wn_corpus_count_change(wn_corpus_db *db, const wn_corpus_change *change, wn_error *err);

/* Checks everything that a document carries; the first fault is named. */
wn_status wn_content_check(const wn_document_content *content, wn_error *err);

#endif
