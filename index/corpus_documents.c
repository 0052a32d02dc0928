/* Reading documents and their blocks. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "index/corpus_internal.h"

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "document: out of memory");
}

/* The row under s (WN_DOCUMENT_COLUMNS); strings belong to the statement. */
static wn_status read_row(wn_corpus_db *db, sqlite3_stmt *s, wn_document *d, wn_error *err)
{
    const char **strings[] = {&d->path,       &d->filename, &d->title,
                              &d->media_type, &d->checksum, &d->attributes};
    size_t len = 0;
    for (int i = 0; i < 6; i++)
        WN_TRY(wn_db_text(db, s, i + 1, strings[i], &len, err));
    d->id = sqlite3_column_int64(s, 0);
    d->source_bytes = (uint64_t)sqlite3_column_int64(s, 7);
    d->n_pages = sqlite3_column_int(s, 8);
    d->created_at = sqlite3_column_int64(s, 9);
    d->n_passages = (size_t)sqlite3_column_int64(s, 10);
    return WN_OK;
}

/* The strings of d move into one new block of memory. */
static wn_status own_strings(wn_document *d, void **memory, wn_error *err)
{
    const char **strings[] = {&d->path,       &d->filename, &d->title,
                              &d->media_type, &d->checksum, &d->attributes};
    size_t total = 0;
    for (size_t i = 0; i < 6; i++)
        if (!wn_size_add(total, strlen(*strings[i]) + 1, &total))
            return no_memory(err);
    char *p = wn_alloc(total, 1);
    if (!p)
        return no_memory(err);
    *memory = p;
    for (size_t i = 0; i < 6; i++) {
        size_t size = strlen(*strings[i]) + 1;
        memcpy(p, *strings[i], size);
        *strings[i] = p;
        p += size;
    }
    return WN_OK;
}

static wn_status read_text(wn_corpus_db *db, int64_t id, wn_document_record *out, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    bool row = false;
    WN_TRY(wn_db_statement(db, WN_SQL_DOCUMENT_TEXT, &s, err));
    sqlite3_bind_int64(s, 1, id);
    WN_TRY(wn_db_step(db, s, &row, err));
    const char *text = row ? sqlite3_column_blob(s, 0) : NULL;
    size_t len = row ? (size_t)sqlite3_column_bytes(s, 0) : 0;
    if (len > 0 && !text)
        return no_memory(err);
    if (len > 0 && !wn_utf8_valid(text, len))
        return wn_error_set(err, WN_CORRUPT, "%s: the text of document %lld is not UTF-8", db->path,
                            (long long)id);
    out->text = wn_strndup(len > 0 ? text : "", len);
    out->text_len = len;
    return out->text ? WN_OK : no_memory(err);
}

static wn_status read_document(wn_corpus_db *db, sqlite3_stmt *s, bool with_text,
                               wn_document_record *out, bool *found, wn_error *err)
{
    WN_TRY(wn_db_step(db, s, found, err));
    if (!*found)
        return WN_OK;
    WN_TRY(read_row(db, s, &out->doc, err));
    WN_TRY(own_strings(&out->doc, &out->memory, err));
    return with_text ? read_text(db, out->doc.id, out, err) : WN_OK;
}

void wn_document_record_free(wn_document_record *r)
{
    free(r->text);
    free(r->memory);
    *r = (wn_document_record){0};
}

wn_status wn_corpus_document(wn_corpus *c, int64_t id, bool with_text, wn_document_record *out,
                             wn_error *err)
{
    *out = (wn_document_record){0};
    wn_corpus_db *db = NULL;
    sqlite3_stmt *s = NULL;
    bool found = false;
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    wn_status status = wn_db_statement(db, WN_SQL_DOCUMENT, &s, err);
    if (status == WN_OK) {
        sqlite3_bind_int64(s, 1, id);
        status = read_document(db, s, with_text, out, &found, err);
    }
    wn_reader_return(c->readers, db);
    if (status == WN_OK && !found)
        status =
            wn_error_set(err, WN_NOT_FOUND, "document %lld is not in the corpus", (long long)id);
    if (status != WN_OK)
        wn_document_record_free(out);
    return status;
}

wn_status wn_corpus_document_by_path(wn_corpus *c, const char *path, wn_document_record *out,
                                     wn_error *err)
{
    *out = (wn_document_record){0};
    wn_corpus_db *db = NULL;
    sqlite3_stmt *s = NULL;
    bool found = false;
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    wn_status status = wn_db_statement(db, WN_SQL_DOCUMENT_BY_PATH, &s, err);
    if (status == WN_OK) {
        sqlite3_bind_text(s, 1, path, -1, SQLITE_STATIC);
        status = read_document(db, s, false, out, &found, err);
    }
    wn_reader_return(c->readers, db);
    if (status == WN_OK && !found)
        status = wn_error_set(err, WN_NOT_FOUND, "%s is not in the corpus", path);
    if (status != WN_OK)
        wn_document_record_free(out);
    return status;
}

static wn_status visit_documents(wn_corpus_db *db, sqlite3_stmt *s, wn_document_visit_fn visit,
                                 void *ctx, wn_error *err)
{
    for (;;) {
        bool row = false;
        wn_document d = {0};
        WN_TRY(wn_db_step(db, s, &row, err));
        if (!row)
            return WN_OK;
        WN_TRY(read_row(db, s, &d, err));
        WN_TRY(visit(ctx, &d, err));
    }
}

wn_status wn_corpus_list(wn_corpus *c, int64_t after, size_t limit, bool descending,
                         wn_document_visit_fn visit, void *ctx, wn_error *err)
{
    wn_corpus_db *db = NULL;
    sqlite3_stmt *s = NULL;
    if (descending && after == 0)
        after = INT64_MAX;
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    wn_status status =
        wn_db_statement(db, descending ? WN_SQL_DOCUMENTS_DOWN : WN_SQL_DOCUMENTS_UP, &s, err);
    if (status == WN_OK) {
        sqlite3_bind_int64(s, 1, after);
        sqlite3_bind_int64(s, 2, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
        status = visit_documents(db, s, visit, ctx, err);
    }
    wn_reader_return(c->readers, db);
    return status;
}

static wn_status visit_blocks(wn_corpus_db *db, sqlite3_stmt *s, wn_block_visit_fn visit, void *ctx,
                              wn_error *err)
{
    for (;;) {
        bool row = false;
        wn_block b = {0};
        size_t len = 0;
        WN_TRY(wn_db_step(db, s, &row, err));
        if (!row)
            return WN_OK;
        int kind = sqlite3_column_int(s, 0);
        int64_t start = sqlite3_column_int64(s, 2), end = sqlite3_column_int64(s, 3);
        if (kind < 0 || kind > WN_BLOCK_CODE || start < 0 || end < start)
            return wn_error_set(err, WN_CORRUPT, "%s: a block of kind %d, bytes %lld to %lld",
                                db->path, kind, (long long)start, (long long)end);
        b.kind = (wn_block_kind)kind;
        b.page = sqlite3_column_int(s, 1);
        b.start = (size_t)start;
        b.end = (size_t)end;
        WN_TRY(wn_db_text(db, s, 4, &b.headings, &len, err));
        WN_TRY(visit(ctx, &b, err));
    }
}

wn_status wn_corpus_blocks(wn_corpus *c, int64_t document_id, size_t start, size_t end,
                           wn_block_visit_fn visit, void *ctx, wn_error *err)
{
    wn_corpus_db *db = NULL;
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_reader_borrow(c->readers, &db, err));
    wn_status status = wn_db_statement(db, WN_SQL_BLOCKS, &s, err);
    if (status == WN_OK) {
        sqlite3_bind_int64(s, 1, document_id);
        sqlite3_bind_int64(s, 2, start > INT64_MAX ? INT64_MAX : (int64_t)start);
        sqlite3_bind_int64(s, 3, end > INT64_MAX ? INT64_MAX : (int64_t)end);
        status = visit_blocks(db, s, visit, ctx, err);
    }
    wn_reader_return(c->readers, db);
    return status;
}
