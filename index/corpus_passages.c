/* Reading passages with their text. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "index/corpus_internal.h"

/* Columns of WN_PASSAGE_COLUMNS. */
enum { COL_ID, COL_DOCUMENT, COL_ORDINAL, COL_START, COL_END, COL_PAGE_START, COL_PAGE_END };
enum {
    COL_HEADINGS = COL_PAGE_END + 1,
    N_STRINGS = 5
}; /* then path, filename, title, attributes */

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "passage: out of memory");
}

/* Only the passage's bytes are read, not the whole document. */
static wn_status read_span(wn_corpus_db *db, int64_t document_id, int64_t start, int64_t end,
                           char *out, wn_error *err)
{
    sqlite3_blob *blob = NULL;
    int rc = sqlite3_blob_open(db->handle, "main", "documents", "text", document_id, 0, &blob);
    wn_status status = WN_OK;
    if (rc == SQLITE_OK && (start < 0 || start > end || end > sqlite3_blob_bytes(blob)))
        status = wn_error_set(err, WN_CORRUPT, "%s: a passage of bytes %lld to %lld of %d",
                              db->path, (long long)start, (long long)end, sqlite3_blob_bytes(blob));
    if (rc == SQLITE_OK && status == WN_OK)
        rc = sqlite3_blob_read(blob, out, (int)(end - start), (int)start);
    if (rc != SQLITE_OK && status == WN_OK)
        status = wn_db_error(db, rc, err);
    sqlite3_blob_close(blob);
    if (status == WN_OK && !wn_utf8_valid(out, (size_t)(end - start)))
        status =
            wn_error_set(err, WN_CORRUPT, "%s: bytes %lld to %lld of document %lld are not UTF-8",
                         db->path, (long long)start, (long long)end, (long long)document_id);
    return status;
}

static wn_status read_row(wn_corpus_db *db, sqlite3_stmt *s, wn_passage_record *r, wn_error *err)
{
    const char *strings[N_STRINGS];
    size_t lens[N_STRINGS], total = 0;
    for (int i = 0; i < N_STRINGS; i++) {
        WN_TRY(wn_db_text(db, s, COL_HEADINGS + i, &strings[i], &lens[i], err));
        if (!wn_size_add(total, lens[i] + 1, &total))
            return no_memory(err);
    }
    int64_t start = sqlite3_column_int64(s, COL_START), end = sqlite3_column_int64(s, COL_END);
    if (start < 0 || end < start || end > INT32_MAX)
        return wn_error_set(err, WN_CORRUPT, "%s: a passage of bytes %lld to %lld", db->path,
                            (long long)start, (long long)end);
    if (!wn_size_add(total, (size_t)(end - start) + 1, &total))
        return no_memory(err);
    char *p = wn_alloc(total, 1);
    if (!p)
        return no_memory(err);
    r->memory = p;
    char *copies[N_STRINGS];
    for (size_t i = 0; i < N_STRINGS; i++) {
        memcpy(p, strings[i], lens[i]);
        copies[i] = p;
        p += lens[i] + 1;
    }
    r->text = p;
    r->text_len = (size_t)(end - start);
    r->path = copies[1];
    r->filename = copies[2];
    r->title = copies[3];
    r->attributes = copies[4];
    r->document_id = sqlite3_column_int64(s, COL_DOCUMENT);
    r->ordinal = sqlite3_column_int(s, COL_ORDINAL);
    r->passage = (wn_passage){.id = sqlite3_column_int64(s, COL_ID),
                              .start = (size_t)start,
                              .end = (size_t)end,
                              .page_start = sqlite3_column_int(s, COL_PAGE_START),
                              .page_end = sqlite3_column_int(s, COL_PAGE_END),
                              .headings = copies[0]};
    return read_span(db, r->document_id, start, end, r->text, err);
}

void wn_passage_record_free(wn_passage_record *r)
{
    free(r->memory);
    *r = (wn_passage_record){0};
}

/* The one passage that a statement with the parameters a (and b, if it has two) finds. */
static wn_status find(wn_corpus *c, wn_sql sql, int64_t a, int64_t b, wn_passage_record *out,
                      wn_error *err)
{
    *out = (wn_passage_record){0};
    wn_corpus_db *db = NULL;
    sqlite3_stmt *s = NULL;
    bool row = false;
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    wn_status status = wn_db_statement(db, sql, &s, err);
    if (status == WN_OK) {
        sqlite3_bind_int64(s, 1, a);
        if (sqlite3_bind_parameter_count(s) > 1)
            sqlite3_bind_int64(s, 2, b);
        status = wn_db_step(db, s, &row, err);
    }
    if (status == WN_OK && row)
        status = read_row(db, s, out, err);
    wn_reader_return(c->readers, db);
    if (status == WN_OK && !row)
        status = wn_error_set(err, WN_NOT_FOUND, "no such passage in the corpus");
    if (status != WN_OK)
        wn_passage_record_free(out);
    return status;
}

wn_status wn_corpus_passage(wn_corpus *c, int64_t passage_id, wn_passage_record *out, wn_error *err)
{
    return find(c, WN_SQL_PASSAGE, passage_id, 0, out, err);
}

wn_status wn_corpus_passage_at(wn_corpus *c, int64_t document_id, int ordinal,
                               wn_passage_record *out, wn_error *err)
{
    return find(c, WN_SQL_PASSAGE_AT, document_id, ordinal, out, err);
}

wn_status wn_corpus_text(wn_corpus *c, int64_t document_id, size_t start, size_t end, char **out,
                         wn_error *err)
{
    *out = NULL;
    if (start > end || end > INT32_MAX)
        return wn_error_set(err, WN_INVALID, "document %lld: bytes %zu to %zu",
                            (long long)document_id, start, end);
    wn_corpus_db *db = NULL;
    char *text = wn_alloc(end - start + 1, 1);
    if (!text)
        return no_memory(err);
    wn_status status = wn_reader_borrow(c->readers, &db, err);
    if (status == WN_OK)
        status = read_span(db, document_id, (int64_t)start, (int64_t)end, text, err);
    wn_reader_return(c->readers, db);
    if (status != WN_OK) {
        free(text);
        return status;
    }
    *out = text;
    return WN_OK;
}
