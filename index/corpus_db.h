/* One SQLite connection to a corpus file, with its prepared statements.
 *
 *     WN_TRY(wn_db_open(&db, path, WN_DB_READ, err));
 *     WN_TRY(wn_db_statement(db, WN_SQL_PASSAGE, &s, err));
 *     sqlite3_bind_int64(s, 1, id);
 *     WN_TRY(wn_db_step(db, s, &row, err));
 *     wn_db_reset(db);                                  // ends statements and any open transaction
 *
 * The file is an outside thing: it may be foreign, newer, torn or hostile; open says so. Threads:
 * one at a time per connection.
 */
#ifndef WN_INDEX_CORPUS_DB_H
#define WN_INDEX_CORPUS_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "index/corpus_sql.h"

typedef enum wn_sql {
#define WN_SQL_ENUM(name, text) WN_SQL_##name,
    WN_STATEMENT_TABLE(WN_SQL_ENUM)
#undef WN_SQL_ENUM
        WN_SQL_COUNT
} wn_sql;

typedef enum wn_db_mode {
    WN_DB_READ,  /* never checkpoints */
    WN_DB_WRITE, /* the one connection that writes and checkpoints; its caller holds the lock file
                  */
    WN_DB_CREATE /* as WRITE; makes the schema in a file that has none */
} wn_db_mode;

typedef struct wn_corpus_db {
    sqlite3 *handle;
    char *path;
    bool sync_failed; /* a sync of this file failed: what is durable is unknown, stop writing */
    sqlite3_stmt *statements[WN_SQL_COUNT];
} wn_corpus_db;

/* The counters of the meta row. */
typedef struct wn_corpus_meta {
    int64_t created_at, changed_at;
    uint64_t generation;
    size_t dim, n_documents, n_blocks, n_passages, n_vectors;
    uint64_t text_bytes;
} wn_corpus_meta;

/* WN_NOT_FOUND without a file (or schema, unless CREATE), WN_FORMAT for a file of another program,
 * WN_UNSUPPORTED for a newer schema, WN_CORRUPT for a damaged one. */
wn_status wn_db_open(wn_corpus_db **out, const char *path, wn_db_mode mode, wn_error *err);
void wn_db_close(wn_corpus_db *db); /* NULL is fine */

/* The statement, reset and with no bindings; it belongs to the connection. */
wn_status wn_db_statement(wn_corpus_db *db, wn_sql id, sqlite3_stmt **out, wn_error *err);
/* *row: true = a row is there, false = done. */
wn_status wn_db_step(wn_corpus_db *db, sqlite3_stmt *s, bool *row, wn_error *err);
/* For statements that give no rows. */
wn_status wn_db_run(wn_corpus_db *db, sqlite3_stmt *s, wn_error *err);
wn_status wn_db_run_id(wn_corpus_db *db, wn_sql id, wn_error *err); /* ... and have no parameters */
/* Resets every statement and rolls an open transaction back. */
void wn_db_reset(wn_corpus_db *db);
/* The error of an SQLite result code. */
wn_status wn_db_error(wn_corpus_db *db, int rc, wn_error *err);
/* Text of a column as a string; "" for NULL; WN_NO_MEMORY or WN_CORRUPT (no UTF-8). */
wn_status wn_db_text(wn_corpus_db *db, sqlite3_stmt *s, int column, const char **out, size_t *len,
                     wn_error *err);
wn_status wn_db_meta(wn_corpus_db *db, wn_corpus_meta *out, wn_error *err);

#endif
