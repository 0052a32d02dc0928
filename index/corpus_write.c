/* Putting and deleting documents: one transaction each, over all tables and the FTS5 index. */
#include "index/corpus_internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/strbuf.h"

wn_status wn_corpus_count_change(wn_corpus_db *db, const wn_corpus_change *change, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, WN_SQL_META_ADD, &s, err));
    sqlite3_bind_int64(s, 1, wn_clock_unix_s());
    sqlite3_bind_int64(s, 2, change->documents);
    sqlite3_bind_int64(s, 3, change->blocks);
    sqlite3_bind_int64(s, 4, change->passages);
    sqlite3_bind_int64(s, 5, change->vectors);
    sqlite3_bind_int64(s, 6, change->text_bytes);
    return wn_db_run(db, s, err);
}

static void bind_string(sqlite3_stmt *s, int i, const char *text)
{
    sqlite3_bind_text(s, i, text ? text : "", -1, SQLITE_STATIC);
}

/* SQLite takes a NULL pointer as SQL's NULL, and an empty text is not that. */
static void bind_bytes(sqlite3_stmt *s, int i, const char *data, size_t len)
{
    sqlite3_bind_blob64(s, i, len > 0 ? data : "", len, SQLITE_STATIC);
}

/* FTS5 rows ------------------------------------------------------------------------------------ */

/* What the FTS5 column `heading` holds; the view passage_texts says the same in SQL, and FTS5 needs
 * the exact text again to delete a row. */
static wn_status heading_text(wn_strbuf *b, const char *title, size_t title_len,
                              const char *headings, wn_error *err)
{
    wn_strbuf_clear(b);
    bool inside = strncmp(headings, title, title_len) == 0;
    if (!inside || !*headings)
        wn_strbuf_add(b, title, title_len);
    if (!inside && *headings)
        wn_strbuf_adds(b, " > ");
    wn_strbuf_adds(b, headings);
    if (wn_strbuf_failed(b))
        return wn_error_set(err, WN_NO_MEMORY, "headings: out of memory");
    return WN_OK;
}

static wn_status fts_row(wn_corpus_db *db, wn_sql sql, int64_t id, const wn_strbuf *heading,
                         const char *body, size_t body_len, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, sql, &s, err));
    sqlite3_bind_int64(s, 1, id);
    bind_string(s, 2, wn_strbuf_cstr(heading));
    sqlite3_bind_text64(s, 3, body, body_len, SQLITE_STATIC, SQLITE_UTF8);
    return wn_db_run(db, s, err);
}

/* Removing ------------------------------------------------------------------------------------- */

typedef struct old_document {
    bool found;
    int64_t id;
    const char *title, *text; /* owned by the statement that found it */
    size_t title_len, text_len;
    wn_corpus_change counts; /* what goes with it, positive */
    int64_t first_passage, last_passage;
} old_document;

static wn_status old_row(wn_corpus_db *db, sqlite3_stmt *s, old_document *old, wn_error *err)
{
    WN_TRY(wn_db_step(db, s, &old->found, err));
    if (!old->found)
        return WN_OK;
    old->id = sqlite3_column_int64(s, 0);
    WN_TRY(wn_db_text(db, s, 1, &old->title, &old->title_len, err));
    old->text = sqlite3_column_blob(s, 4);
    old->text_len = (size_t)sqlite3_column_bytes(s, 4);
    old->counts.documents = 1;
    old->counts.passages = sqlite3_column_int64(s, 2);
    old->counts.blocks = sqlite3_column_int64(s, 3);
    old->counts.text_bytes = (int64_t)old->text_len;
    return WN_OK;
}

static wn_status remove_fts(wn_corpus_db *db, old_document *old, wn_strbuf *heading, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, WN_SQL_PASSAGES_OLD, &s, err));
    sqlite3_bind_int64(s, 1, old->id);
    for (bool row = true; row;) {
        const char *headings = NULL;
        size_t len = 0;
        WN_TRY(wn_db_step(db, s, &row, err));
        if (!row)
            break;
        int64_t id = sqlite3_column_int64(s, 0);
        int64_t start = sqlite3_column_int64(s, 1), end = sqlite3_column_int64(s, 2);
        if (start < 0 || start > end || (uint64_t)end > old->text_len)
            return wn_error_set(err, WN_CORRUPT, "%s: passage %lld: bytes %lld to %lld of %zu",
                                db->path, (long long)id, (long long)start, (long long)end,
                                old->text_len);
        WN_TRY(wn_db_text(db, s, 3, &headings, &len, err));
        WN_TRY(heading_text(heading, old->title, old->title_len, headings, err));
        WN_TRY(fts_row(db, WN_SQL_FTS_DELETE, id, heading, old->text + start, (size_t)(end - start),
                       err));
        if (old->first_passage == 0 || id < old->first_passage)
            old->first_passage = id;
        if (id > old->last_passage)
            old->last_passage = id;
    }
    return WN_OK;
}

static wn_status run_with_id(wn_corpus_db *db, wn_sql sql, int64_t id, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, sql, &s, err));
    sqlite3_bind_int64(s, 1, id);
    return wn_db_run(db, s, err);
}

/* A document's passages are put together, so their ids are one range. */
static wn_status remove_vectors(wn_corpus_db *db, old_document *old, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, WN_SQL_VECTORS_DELETE, &s, err));
    sqlite3_bind_int64(s, 1, old->first_passage);
    sqlite3_bind_int64(s, 2, old->last_passage);
    sqlite3_bind_int64(s, 3, old->id);
    WN_TRY(wn_db_run(db, s, err));
    old->counts.vectors = sqlite3_changes64(db->handle);
    return WN_OK;
}

static wn_status remove_document(wn_corpus_db *db, old_document *old, wn_error *err)
{
    wn_strbuf heading = {0};
    wn_status status = remove_fts(db, old, &heading, err);
    wn_strbuf_free(&heading);
    WN_TRY(status);
    WN_TRY(remove_vectors(db, old, err));
    WN_TRY(run_with_id(db, WN_SQL_PASSAGES_DELETE, old->id, err));
    WN_TRY(run_with_id(db, WN_SQL_BLOCKS_DELETE, old->id, err));
    WN_TRY(run_with_id(db, WN_SQL_DOCUMENT_DELETE, old->id, err));
    wn_corpus_change c = {-old->counts.documents, -old->counts.blocks, -old->counts.passages,
                          -old->counts.vectors, -old->counts.text_bytes};
    return wn_corpus_count_change(db, &c, err);
}

/* Inserting ------------------------------------------------------------------------------------ */

/* id 0: a new one. A replaced document keeps its id. */
static wn_status insert_document(wn_corpus_db *db, const wn_document_content *content, int64_t *id,
                                 wn_error *err)
{
    const wn_document *d = &content->doc;
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, WN_SQL_DOCUMENT_INSERT, &s, err));
    if (*id > 0)
        sqlite3_bind_int64(s, 1, *id);
    bind_string(s, 2, d->path);
    bind_string(s, 3, d->filename && *d->filename ? d->filename : wn_fs_basename(d->path));
    bind_string(s, 4, d->title);
    bind_string(s, 5, d->media_type);
    bind_string(s, 6, d->checksum);
    bind_string(s, 7, d->attributes ? d->attributes : "{}");
    sqlite3_bind_int64(s, 8, (int64_t)d->source_bytes);
    sqlite3_bind_int(s, 9, d->n_pages);
    sqlite3_bind_int64(s, 10, d->created_at > 0 ? d->created_at : wn_clock_unix_s());
    sqlite3_bind_int64(s, 11, (int64_t)content->n_passages);
    sqlite3_bind_int64(s, 12, (int64_t)content->n_blocks);
    bind_bytes(s, 13, content->text, content->text_len);
    WN_TRY(wn_db_run(db, s, err));
    if (*id <= 0)
        *id = sqlite3_last_insert_rowid(db->handle);
    return WN_OK;
}

static wn_status insert_blocks(wn_corpus_db *db, const wn_document_content *content, int64_t id,
                               wn_error *err)
{
    for (size_t i = 0; i < content->n_blocks; i++) {
        const wn_block *b = &content->blocks[i];
        sqlite3_stmt *s = NULL;
        WN_TRY(wn_db_statement(db, WN_SQL_BLOCK_INSERT, &s, err));
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_int64(s, 2, (int64_t)i);
        sqlite3_bind_int(s, 3, (int)b->kind);
        sqlite3_bind_int(s, 4, b->page);
        sqlite3_bind_int64(s, 5, (int64_t)b->start);
        sqlite3_bind_int64(s, 6, (int64_t)b->end);
        bind_string(s, 7, b->headings);
        WN_TRY(wn_db_run(db, s, err));
    }
    return WN_OK;
}

static wn_status insert_vector(wn_corpus_db *db, int64_t passage_id, int64_t document_id,
                               const float *value, size_t dim, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, WN_SQL_VECTOR_INSERT, &s, err));
    sqlite3_bind_int64(s, 1, passage_id);
    sqlite3_bind_int64(s, 2, document_id);
    sqlite3_bind_blob64(s, 3, value, dim * sizeof *value, SQLITE_STATIC);
    return wn_db_run(db, s, err);
}

static wn_status insert_passage(wn_corpus_db *db, const wn_document_content *content, size_t i,
                                int64_t document_id, wn_strbuf *heading, wn_error *err)
{
    const wn_passage *p = &content->passages[i];
    const char *title = content->doc.title ? content->doc.title : "";
    const char *headings = p->headings ? p->headings : "";
    sqlite3_stmt *s = NULL;
    WN_TRY(wn_db_statement(db, WN_SQL_PASSAGE_INSERT, &s, err));
    sqlite3_bind_int64(s, 1, document_id);
    sqlite3_bind_int64(s, 2, (int64_t)i);
    sqlite3_bind_int64(s, 3, (int64_t)p->start);
    sqlite3_bind_int64(s, 4, (int64_t)p->end);
    sqlite3_bind_int(s, 5, p->page_start);
    sqlite3_bind_int(s, 6, p->page_end);
    bind_string(s, 7, headings);
    WN_TRY(wn_db_run(db, s, err));
    int64_t id = sqlite3_last_insert_rowid(db->handle);
    WN_TRY(heading_text(heading, title, strlen(title), headings, err));
    WN_TRY(fts_row(db, WN_SQL_FTS_INSERT, id, heading, content->text + p->start, p->end - p->start,
                   err));
    if (!content->vectors)
        return WN_OK;
    return insert_vector(db, id, document_id, content->vectors + i * content->dim, content->dim,
                         err);
}

static wn_status insert_passages(wn_corpus_db *db, const wn_document_content *content, int64_t id,
                                 wn_error *err)
{
    wn_strbuf heading = {0};
    wn_status status = WN_OK;
    for (size_t i = 0; i < content->n_passages && status == WN_OK; i++)
        status = insert_passage(db, content, i, id, &heading, err);
    wn_strbuf_free(&heading);
    return status;
}

/* All vectors of a corpus come from one embedder; an emptied corpus may change it. */
static wn_status settle_dim(wn_corpus_db *db, const wn_document_content *content, wn_error *err)
{
    if (!content->vectors || content->n_passages == 0)
        return WN_OK;
    wn_corpus_meta meta = {0};
    WN_TRY(wn_db_meta(db, &meta, err));
    if (meta.dim == content->dim)
        return WN_OK;
    if (meta.n_vectors > 0)
        return wn_error_set(
            err, WN_INVALID,
            "%s: vectors of %zu dimensions, the corpus has %zu: one embedder a corpus",
            content->doc.path, content->dim, meta.dim);
    return run_with_id(db, WN_SQL_META_SET_DIM, (int64_t)content->dim, err);
}

static wn_status put_document(wn_corpus_db *db, const wn_document_content *content, int64_t *id,
                              wn_error *err)
{
    sqlite3_stmt *s = NULL;
    old_document old = {0};
    WN_TRY(wn_db_statement(db, WN_SQL_DOCUMENT_OLD, &s, err));
    bind_string(s, 1, content->doc.path);
    WN_TRY(old_row(db, s, &old, err));
    if (old.found)
        WN_TRY(remove_document(db, &old, err));
    sqlite3_reset(s);
    *id = old.id;
    WN_TRY(settle_dim(db, content, err));
    WN_TRY(insert_document(db, content, id, err));
    WN_TRY(insert_blocks(db, content, *id, err));
    WN_TRY(insert_passages(db, content, *id, err));
    wn_corpus_change c = {1, (int64_t)content->n_blocks, (int64_t)content->n_passages,
                          content->vectors ? (int64_t)content->n_passages : 0,
                          (int64_t)content->text_len};
    return wn_corpus_count_change(db, &c, err);
}

wn_status wn_corpus_put(wn_corpus *c, const wn_document_content *content, int64_t *id,
                        wn_error *err)
{
    int64_t new_id = 0;
    WN_TRY(wn_content_check(content, err));
    WN_TRY(wn_corpus_begin_write(c, err));
    WN_TRY(wn_corpus_end_write(c, put_document(c->writer, content, &new_id, err), err));
    atomic_store(&c->changed, true);
    if (id)
        *id = new_id;
    return WN_OK;
}

static wn_status delete_document(wn_corpus_db *db, int64_t id, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    old_document old = {0};
    WN_TRY(wn_db_statement(db, WN_SQL_DOCUMENT_OLD_BY_ID, &s, err));
    sqlite3_bind_int64(s, 1, id);
    WN_TRY(old_row(db, s, &old, err));
    if (!old.found)
        return wn_error_set(err, WN_NOT_FOUND, "document %lld is not in the corpus", (long long)id);
    return remove_document(db, &old, err);
}

wn_status wn_corpus_delete_document(wn_corpus *c, int64_t id, wn_error *err)
{
    WN_TRY(wn_corpus_begin_write(c, err));
    WN_TRY(wn_corpus_end_write(c, delete_document(c->writer, id, err), err));
    atomic_store(&c->changed, true);
    return WN_OK;
}
