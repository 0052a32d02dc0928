#include "index/corpus_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"

static const char *const statement_texts[WN_SQL_COUNT] = {
#define WN_SQL_TEXT(name, text) text,
    WN_STATEMENT_TABLE(WN_SQL_TEXT)
#undef WN_SQL_TEXT
};

/* Readers wait this long for another connection's recovery or closing checkpoint. */
enum { BUSY_TIMEOUT_MS = 10000 };

static wn_status status_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return WN_BUSY;
    case SQLITE_FULL:
        return WN_NO_SPACE;
    case SQLITE_NOMEM:
        return WN_NO_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return WN_CORRUPT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return WN_DENIED;
    case SQLITE_IOERR:
        return rc == SQLITE_IOERR_NOMEM ? WN_NO_MEMORY : WN_IO;
    case SQLITE_CANTOPEN:
        return WN_IO;
    case SQLITE_INTERRUPT:
        return WN_CANCELLED;
    case SQLITE_TOOBIG:
        return WN_LIMIT;
    default:
        return WN_INTERNAL;
    }
}

wn_status wn_db_error(wn_corpus_db *db, int rc, wn_error *err)
{
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
        db->sync_failed = true;
    const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);
    if (status_of(rc) == WN_CORRUPT)
        return wn_error_set(err, WN_CORRUPT,
                            "%s: the corpus file is damaged (%s); restore a copy or ingest again",
                            db->path, text);
    return wn_error_set(err, status_of(rc), "%s: %s (SQLite code %d)", db->path, text, rc);
}

static wn_status exec(wn_corpus_db *db, const char *sql, wn_error *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? WN_OK : wn_db_error(db, rc, err);
}

static wn_status pragma_int(wn_corpus_db *db, const char *sql, int64_t *out, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return rc == SQLITE_ROW ? WN_OK : wn_db_error(db, rc, err);
}

/* The file is data from outside: no code from its schema, no writes past FTS5's back, sane cells.
 */
static wn_status configure(wn_corpus_db *db, wn_db_mode mode, wn_error *err)
{
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_limit(db->handle, SQLITE_LIMIT_ATTACHED, 0);
    WN_TRY(exec(db, "PRAGMA cell_size_check = ON; PRAGMA cache_size = -8000;", err));
    if (mode == WN_DB_READ) {
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return exec(db, "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0;", err);
    }
    return exec(db, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000;", err);
}

static wn_status create_schema(wn_corpus_db *db, wn_error *err)
{
    uint8_t key[WN_SHA256_BYTES] = {0};
    WN_TRY(wn_random_bytes(key, sizeof key, err));
    char key_hex[2 * sizeof key + 1];
    wn_hex(key, sizeof key, key_hex);
    long long now = wn_clock_unix_s();
    char rows[400];
    int n = snprintf(rows, sizeof rows,
                     "INSERT INTO meta(id, created_at, changed_at, vector_key)"
                     " VALUES (1, %lld, %lld, x'%s'); PRAGMA application_id = %d;"
                     " PRAGMA user_version = %d; COMMIT;",
                     now, now, key_hex, WN_CORPUS_APPLICATION_ID, WN_CORPUS_SCHEMA_VERSION);
    if (n < 0 || (size_t)n >= sizeof rows)
        return wn_error_set(err, WN_INTERNAL, "%s: schema text too long", db->path);
    WN_TRY(exec(db, "PRAGMA journal_mode = WAL;", err));
    wn_status status = exec(db, "BEGIN IMMEDIATE;" WN_CORPUS_SCHEMA, err);
    if (status == WN_OK)
        status = exec(db, rows, err);
    if (status != WN_OK)
        wn_db_reset(db);
    return status;
}

/* A file without any table is what a crash before the first commit leaves behind. */
static wn_status check_schema(wn_corpus_db *db, wn_db_mode mode, wn_error *err)
{
    int64_t application = 0, version = 0, n_tables = 0;
    WN_TRY(pragma_int(db, "PRAGMA application_id", &application, err));
    WN_TRY(pragma_int(db, "PRAGMA user_version", &version, err));
    if (application == 0 && version == 0) {
        WN_TRY(pragma_int(db, "SELECT count(*) FROM sqlite_schema", &n_tables, err));
        if (n_tables == 0)
            return mode == WN_DB_CREATE
                       ? create_schema(db, err)
                       : wn_error_set(err, WN_NOT_FOUND, "%s: holds no corpus yet", db->path);
    }
    if (application != WN_CORPUS_APPLICATION_ID)
        return wn_error_set(err, WN_FORMAT, "%s: is a database of another program, not a corpus",
                            db->path);
    if (version > WN_CORPUS_SCHEMA_VERSION || version < 1)
        return wn_error_set(err, WN_UNSUPPORTED,
                            "%s: corpus schema %lld; this winnow knows 1 to %d: use a newer one",
                            db->path, (long long)version, WN_CORPUS_SCHEMA_VERSION);
    wn_corpus_meta meta = {0};
    wn_status status = wn_db_meta(db, &meta, err);
    wn_db_reset(db);
    if (status == WN_OK && mode != WN_DB_READ)
        status = exec(db, "PRAGMA journal_mode = WAL;", err);
    return status;
}

wn_status wn_db_open(wn_corpus_db **out, const char *path, wn_db_mode mode, wn_error *err)
{
    *out = NULL;
    if (mode != WN_DB_CREATE && access(path, F_OK) != 0)
        return wn_error_set_errno(err, errno, "%s", path);
    wn_corpus_db *db = wn_alloc(1, sizeof *db);
    if (db)
        db->path = wn_strdup(path);
    if (!db || !db->path) {
        wn_db_close(db);
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    }
    int flags = mode == WN_DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (mode == WN_DB_CREATE)
        flags |= SQLITE_OPEN_CREATE;
    int rc = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    wn_status status = rc == SQLITE_OK ? WN_OK : wn_db_error(db, rc, err);
    if (status == WN_OK)
        status = configure(db, mode, err);
    if (status == WN_OK)
        status = check_schema(db, mode, err);
    if (status != WN_OK) {
        wn_db_close(db);
        return status;
    }
    *out = db;
    return WN_OK;
}

void wn_db_close(wn_corpus_db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < WN_SQL_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->handle);
    free(db->path);
    free(db);
}

wn_status wn_db_statement(wn_corpus_db *db, wn_sql id, sqlite3_stmt **out, wn_error *err)
{
    sqlite3_stmt **s = &db->statements[id];
    if (!*s) {
        int rc = sqlite3_prepare_v3(db->handle, statement_texts[id], -1, SQLITE_PREPARE_PERSISTENT,
                                    s, NULL);
        if (rc != SQLITE_OK)
            return wn_db_error(db, rc, err);
    }
    sqlite3_reset(*s);
    sqlite3_clear_bindings(*s);
    *out = *s;
    return WN_OK;
}

wn_status wn_db_step(wn_corpus_db *db, sqlite3_stmt *s, bool *row, wn_error *err)
{
    int rc = sqlite3_step(s);
    *row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW)
        return WN_OK;
    if (rc != SQLITE_DONE)
        return wn_db_error(db, rc, err);
    sqlite3_reset(s);
    return WN_OK;
}

wn_status wn_db_run(wn_corpus_db *db, sqlite3_stmt *s, wn_error *err)
{
    bool row = true;
    while (row)
        WN_TRY(wn_db_step(db, s, &row, err));
    return WN_OK;
}

wn_status wn_db_run_id(wn_corpus_db *db, wn_sql id, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, id, &s, err));
    return wn_db_run(db, s, err);
}

void wn_db_reset(wn_corpus_db *db)
{
    for (size_t i = 0; i < WN_SQL_COUNT; i++)
        if (db->statements[i])
            sqlite3_reset(db->statements[i]);
    if (!sqlite3_get_autocommit(db->handle))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

wn_status wn_db_text(wn_corpus_db *db, sqlite3_stmt *s, int column, const char **out, size_t *len,
                     wn_error *err)
{
    *out = "";
    *len = 0;
    if (sqlite3_column_type(s, column) == SQLITE_NULL)
        return WN_OK;
    const char *text = (const char *)sqlite3_column_text(s, column);
    if (!text)
        return wn_db_error(db, SQLITE_NOMEM, err);
    size_t n = (size_t)sqlite3_column_bytes(s, column);
    if (!wn_utf8_valid(text, n) || memchr(text, 0, n))
        return wn_error_set(err, WN_CORRUPT, "%s: a stored string is not UTF-8 text", db->path);
    *out = text;
    *len = n;
    return WN_OK;
}

wn_status wn_db_meta(wn_corpus_db *db, wn_corpus_meta *out, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    bool row = false;
    WN_TRY(wn_db_statement(db, WN_SQL_META, &s, err));
    WN_TRY(wn_db_step(db, s, &row, err));
    if (!row)
        return wn_error_set(err, WN_CORRUPT, "%s: the row of counters is missing", db->path);
    int64_t v[9];
    for (int i = 0; i < 9; i++) {
        v[i] = sqlite3_column_int64(s, i);
        if (v[i] < 0)
            return wn_error_set(err, WN_CORRUPT, "%s: counter %d is %lld", db->path, i,
                                (long long)v[i]);
    }
    sqlite3_reset(s);
    *out = (wn_corpus_meta){.created_at = v[0],
                            .changed_at = v[1],
                            .generation = (uint64_t)v[2],
                            .dim = (size_t)v[3],
                            .n_documents = (size_t)v[4],
                            .n_blocks = (size_t)v[5],
                            .n_passages = (size_t)v[6],
                            .n_vectors = (size_t)v[7],
                            .text_bytes = (uint64_t)v[8]};
    return WN_OK;
}
