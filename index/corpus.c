#include "index/corpus_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/utf8.h"
#include "index/vector_file.h"

static bool can_write(const wn_corpus *c)
{
    return c->lock_fd >= 0;
}

/* Open and close ---------------------------------------------------------------------------------
 */

wn_status wn_corpus_lock_writer(const char *dir, int *fd, wn_error *err)
{
    *fd = -1;
    char *path = wn_fs_join(dir, WN_CORPUS_LOCK_NAME);
    if (!path)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", dir);
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f < 0) {
        wn_status status = wn_error_set_errno(err, errno, "%s", path);
        free(path);
        return status;
    }
    free(path);
    char text[24] = {0};
    if (flock(f, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        long pid = pread(f, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
        close(f);
        if (why != EWOULDBLOCK)
            return wn_error_set_errno(err, why, "%s: lock", dir);
        return wn_error_set(err, WN_BUSY,
                            "%s: process %ld has this corpus open for writing; stop it or wait",
                            dir, pid);
    }
    /* The number is only for that message, so a failure to write it does not matter. */
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(f, 0) != 0 || pwrite(f, text, (size_t)n, 0) != n)
        wn_log(WN_LOG_DEBUG, "index", "%s: lock file not written", dir);
    *fd = f;
    return WN_OK;
}

void wn_corpus_unlock_writer(int fd)
{
    if (fd < 0)
        return;
    flock(fd, LOCK_UN); /* at once, even if a forked child still has the descriptor */
    close(fd);
}

static wn_status sync_dir(const char *dir, wn_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return wn_error_set_errno(err, errno, "%s", dir);
    int rc = fsync(fd), why = errno;
    close(fd);
    return rc == 0 ? WN_OK : wn_error_set_errno(err, why, "%s: sync", dir);
}

/* A new corpus must not vanish with the power: the names on the way to it are synced as well. */
static wn_status sync_new_corpus(const char *dir, wn_error *err)
{
    WN_TRY(sync_dir(dir, err));
    char *parent = wn_fs_join(dir, "..");
    if (!parent)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", dir);
    wn_status status = sync_dir(parent, err);
    free(parent);
    return status;
}

static wn_status open_writer(wn_corpus *c, bool create, wn_error *err)
{
    if (create)
        WN_TRY(wn_fs_make_dirs(c->dir, err));
    else if (!wn_fs_exists(c->db_path)) /* before the lock file appears in a foreign folder */
        return wn_error_set(err, WN_NOT_FOUND, "%s: no corpus there", c->dir);
    bool is_new = !wn_fs_exists(c->db_path);
    WN_TRY(wn_corpus_lock_writer(c->dir, &c->lock_fd, err));
    WN_TRY(wn_db_open(&c->writer, c->db_path, create ? WN_DB_CREATE : WN_DB_WRITE, err));
    return is_new ? sync_new_corpus(c->dir, err) : WN_OK;
}

static wn_status open_parts(wn_corpus *c, unsigned mode, wn_error *err)
{
    if (mode & (WN_CORPUS_WRITE | WN_CORPUS_CREATE))
        WN_TRY(open_writer(c, (mode & WN_CORPUS_CREATE) != 0, err));
    else if (!wn_fs_exists(c->db_path))
        return wn_error_set(err, WN_NOT_FOUND, "%s: no corpus there", c->dir);
    WN_TRY(wn_reader_pool_open(&c->readers, c->db_path, err));
    WN_TRY(wn_vector_store_open(&c->vectors, c->vector_path, WN_VECTOR_HNSW_ROWS, err));
    wn_corpus_db *db =
        NULL; /* a file that cannot be read is refused here, not at the first search */
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    wn_reader_return(c->readers, db);
    return WN_OK;
}

static void free_corpus(wn_corpus *c)
{
    wn_reader_pool_close(c->readers); /* before the writer: it checkpoints as the last one */
    wn_vector_store_close(c->vectors);
    wn_db_close(c->writer);
    wn_corpus_unlock_writer(c->lock_fd);
    pthread_mutex_destroy(&c->refresh_mutex);
    pthread_mutex_destroy(&c->write_mutex);
    free(c->dir);
    free(c->db_path);
    free(c->vector_path);
    free(c);
}

wn_status wn_corpus_open(wn_corpus **out, const char *dir, unsigned mode, wn_error *err)
{
    *out = NULL;
    wn_corpus *c = wn_alloc(1, sizeof *c);
    if (!c)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", dir);
    c->lock_fd = -1;
    atomic_init(&c->changed, false);
    pthread_mutex_init(&c->write_mutex, NULL);
    pthread_mutex_init(&c->refresh_mutex, NULL);
    c->dir = wn_strdup(dir);
    c->db_path = wn_fs_join(dir, WN_CORPUS_DB_NAME);
    c->vector_path = wn_fs_join(dir, WN_CORPUS_VECTOR_NAME);
    wn_status status = c->dir && c->db_path && c->vector_path
                           ? open_parts(c, mode, err)
                           : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", dir);
    if (status != WN_OK) {
        free_corpus(c);
        return status;
    }
    struct stat st = {0};
    (void)stat(c->db_path, &st); /* open, so nothing else gets its number */
    c->file_device = st.st_dev;
    c->file_number = st.st_ino;
    *out = c;
    return WN_OK;
}

bool wn_corpus_is_there(const wn_corpus *c)
{
    struct stat st;
    return stat(c->db_path, &st) == 0 && st.st_dev == c->file_device && st.st_ino == c->file_number;
}

/* The vector file is worth writing when its lack would cost the next start something: small
 * leftovers are read from SQLite in no time. */
static bool file_is_stale(wn_corpus *c)
{
    wn_corpus_stats stats = {0};
    if (!can_write(c) || !atomic_load(&c->changed) ||
        wn_corpus_stats_read(c, &stats, NULL) != WN_OK)
        return false;
    size_t unsaved = wn_vector_store_unsaved(c->vectors, stats.n_vectors);
    return unsaved > 0 && unsaved >= stats.n_vectors / 20;
}

void wn_corpus_close(wn_corpus *c)
{
    if (!c)
        return;
    wn_error err = {0};
    if (file_is_stale(c) && wn_corpus_refresh_vectors(c, &err) != WN_OK)
        wn_log(WN_LOG_WARN, "index", "vector file not written: %s", err.text);
    free_corpus(c);
}

/* Writes -----------------------------------------------------------------------------------------
 */

/* After a failed write the connection is opened anew: FTS5 keeps state in memory, and with
 * SQLite 3.40 an allocation that failed inside it makes later writes through the same connection
 * see a damaged index. */
static wn_status fresh_writer(wn_corpus *c, wn_error *err)
{
    if (c->writer && c->writer->sync_failed)
        return wn_error_set(err, WN_UNAVAILABLE,
                            "%s: a write to disk failed earlier; read-only until a restart",
                            c->dir);
    if (c->writer && !c->write_failed)
        return WN_OK;
    wn_db_close(c->writer);
    c->writer = NULL;
    WN_TRY(wn_db_open(&c->writer, c->db_path, WN_DB_WRITE, err));
    c->write_failed = false;
    return WN_OK;
}

wn_status wn_corpus_begin_write(wn_corpus *c, wn_error *err)
{
    if (!can_write(c))
        return wn_error_set(err, WN_DENIED, "%s: the corpus is open for reading only", c->dir);
    pthread_mutex_lock(&c->write_mutex);
    wn_status status = fresh_writer(c, err);
    if (status == WN_OK)
        status = wn_db_run_id(c->writer, WN_SQL_BEGIN_WRITE, err);
    if (status != WN_OK)
        pthread_mutex_unlock(&c->write_mutex);
    return status;
}

wn_status wn_corpus_end_write(wn_corpus *c, wn_status status, wn_error *err)
{
    if (status == WN_OK)
        status = wn_db_run_id(c->writer, WN_SQL_COMMIT, err);
    wn_db_reset(c->writer); /* rolls back what is not committed */
    if (status != WN_OK && status != WN_NOT_FOUND && status != WN_INVALID)
        c->write_failed = true;
    pthread_mutex_unlock(&c->write_mutex);
    return status;
}

/* Statistics and settings ------------------------------------------------------------------------
 */

static uint64_t file_bytes(const char *path, const char *suffix)
{
    char name[4096];
    struct stat st;
    int n = snprintf(name, sizeof name, "%s%s", path, suffix);
    if (n < 0 || (size_t)n >= sizeof name || stat(name, &st) != 0)
        return 0;
    return (uint64_t)st.st_size;
}

wn_status wn_corpus_stats_read(wn_corpus *c, wn_corpus_stats *out, wn_error *err)
{
    *out = (wn_corpus_stats){0};
    wn_corpus_db *db = NULL;
    wn_corpus_meta meta = {0};
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    wn_status status = wn_db_meta(db, &meta, err);
    wn_reader_return(c->readers, db);
    WN_TRY(status);
    *out = (wn_corpus_stats){.n_documents = meta.n_documents,
                             .n_blocks = meta.n_blocks,
                             .n_passages = meta.n_passages,
                             .n_vectors = meta.n_vectors,
                             .dim = meta.n_vectors > 0 ? meta.dim : 0,
                             .text_bytes = meta.text_bytes,
                             .created_at = meta.created_at,
                             .changed_at = meta.changed_at,
                             .generation = meta.generation};
    out->file_bytes = file_bytes(c->db_path, "") + file_bytes(c->db_path, "-wal") +
                      file_bytes(c->vector_path, "");
    return WN_OK;
}

static wn_status check_setting(const char *key, const char *value, wn_error *err)
{
    if (!key || !*key || !wn_utf8_valid(key, strlen(key)))
        return wn_error_set(err, WN_INVALID, "setting: the key is empty or not UTF-8");
    if (value && !wn_utf8_valid(value, strlen(value)))
        return wn_error_set(err, WN_INVALID, "setting %s: the value is not UTF-8", key);
    return WN_OK;
}

wn_status wn_corpus_setting(wn_corpus *c, const char *key, char **out, wn_error *err)
{
    *out = NULL;
    WN_TRY(check_setting(key, NULL, err));
    wn_corpus_db *db = NULL;
    sqlite3_stmt *s = NULL;
    bool row = false;
    const char *text = NULL;
    size_t len = 0;
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    wn_status status = wn_db_statement(db, WN_SQL_SETTING, &s, err);
    if (status == WN_OK) {
        sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
        status = wn_db_step(db, s, &row, err);
    }
    if (status == WN_OK && row)
        status = wn_db_text(db, s, 0, &text, &len, err);
    if (status == WN_OK && row) {
        *out = wn_strndup(text, len);
        if (!*out)
            status = wn_error_set(err, WN_NO_MEMORY, "setting %s: out of memory", key);
    }
    wn_reader_return(c->readers, db);
    return status;
}

static wn_status write_setting(wn_corpus_db *db, const char *key, const char *value, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, value ? WN_SQL_SETTING_SET : WN_SQL_SETTING_DELETE, &s, err));
    sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    if (value)
        sqlite3_bind_text(s, 2, value, -1, SQLITE_STATIC);
    WN_TRY(wn_db_run(db, s, err));
    return wn_corpus_count_change(db, &(wn_corpus_change){0}, err);
}

wn_status wn_corpus_set_setting(wn_corpus *c, const char *key, const char *value, wn_error *err)
{
    WN_TRY(check_setting(key, value, err));
    WN_TRY(wn_corpus_begin_write(c, err));
    return wn_corpus_end_write(c, write_setting(c->writer, key, value, err), err);
}

/* Vector file ------------------------------------------------------------------------------------
 */

static wn_status read_vector_key(wn_corpus_db *db, uint8_t key[WN_VECTOR_KEY_BYTES], wn_error *err)
{
    sqlite3_stmt *s = NULL;
    bool row = false;
    WN_TRY(wn_db_statement(db, WN_SQL_VECTOR_FILE, &s, err));
    WN_TRY(wn_db_step(db, s, &row, err));
    if (!row || sqlite3_column_bytes(s, 0) != WN_VECTOR_KEY_BYTES)
        return wn_error_set(err, WN_CORRUPT, "%s: the key of the vector file is missing", db->path);
    memcpy(key, sqlite3_column_blob(s, 0), WN_VECTOR_KEY_BYTES);
    sqlite3_reset(s);
    return WN_OK;
}

static wn_status remember_mac(wn_corpus *c, const uint8_t *mac, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_corpus_begin_write(c, err));
    wn_status status = wn_db_statement(c->writer, WN_SQL_VECTOR_FILE_SET, &s, err);
    if (status == WN_OK) {
        sqlite3_bind_blob(s, 1, mac, WN_SHA256_BYTES, SQLITE_STATIC);
        status = wn_db_run(c->writer, s, err);
    }
    return wn_corpus_end_write(c, status, err);
}

/* A crash between the file and the MAC leaves a file that does not verify: it is rebuilt. */
static wn_status save_vectors(wn_corpus *c, wn_corpus_db *db, wn_vector_index *base, wn_error *err)
{
    wn_corpus_meta meta = {0};
    uint8_t key[WN_VECTOR_KEY_BYTES], mac[WN_SHA256_BYTES];
    WN_TRY(wn_db_meta(db, &meta, err));
    WN_TRY(read_vector_key(db, key, err));
    WN_TRY(wn_vector_file_save(c->vector_path, base, meta.generation, key, mac, err));
    WN_TRY(remember_mac(c, mac, err));
    wn_vector_store_saved(c->vectors, base);
    return WN_OK;
}

static wn_status refresh(wn_corpus *c, wn_corpus_db *db, wn_error *err)
{
    wn_vector_index *base = NULL;
    bool on_file = false;
    wn_status status = wn_vector_store_compact(c->vectors, db, &base, &on_file, err);
    if (status == WN_OK && can_write(c) && base && !on_file)
        status = save_vectors(c, db, base, err);
    if (status == WN_OK && can_write(c) && !base && unlink(c->vector_path) != 0 && errno != ENOENT)
        status = wn_error_set_errno(err, errno, "%s", c->vector_path);
    wn_vector_index_release(base);
    return status;
}

wn_status wn_corpus_refresh_vectors(wn_corpus *c, wn_error *err)
{
    wn_corpus_db *db = NULL;
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    pthread_mutex_lock(&c->refresh_mutex);
    wn_status status = refresh(c, db, err);
    pthread_mutex_unlock(&c->refresh_mutex);
    wn_reader_return(c->readers, db);
    return status;
}
