/* The SQL of a corpus: its schema, and every statement, prepared once per connection on first use.
 *
 * Schema 1. `meta` is one row: counters that keep statistics cheap, and the key and MAC of the
 * derived vector file. `documents.text` is a BLOB so that substr and incremental reads count bytes.
 * Passage ids are never used twice (AUTOINCREMENT): a derived index may hold ids that are gone,
 * never ids that mean something else. The FTS5 index is external-content: its text is read through
 * the view. */
#ifndef WN_INDEX_CORPUS_SQL_H
#define WN_INDEX_CORPUS_SQL_H

#define WN_CORPUS_APPLICATION_ID 0x774e4331 /* "wNC1" */
#define WN_CORPUS_SCHEMA_VERSION 1

#define WN_CORPUS_SCHEMA                                                                           \
    "CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK (id = 1), created_at INTEGER NOT NULL,"        \
    " changed_at INTEGER NOT NULL, generation INTEGER NOT NULL DEFAULT 1,"                         \
    " dim INTEGER NOT NULL DEFAULT 0, n_documents INTEGER NOT NULL DEFAULT 0,"                     \
    " n_blocks INTEGER NOT NULL DEFAULT 0, n_passages INTEGER NOT NULL DEFAULT 0,"                 \
    " n_vectors INTEGER NOT NULL DEFAULT 0, text_bytes INTEGER NOT NULL DEFAULT 0,"                \
    " vector_key BLOB NOT NULL, vector_mac BLOB);"                                                 \
    "CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"              \
    "CREATE TABLE documents(id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE,"      \
    " filename TEXT NOT NULL, title TEXT NOT NULL, media_type TEXT NOT NULL,"                      \
    " checksum TEXT NOT NULL, attributes TEXT NOT NULL, source_bytes INTEGER NOT NULL,"            \
    " n_pages INTEGER NOT NULL, created_at INTEGER NOT NULL, n_passages INTEGER NOT NULL,"         \
    " n_blocks INTEGER NOT NULL, text BLOB NOT NULL);"                                             \
    "CREATE TABLE blocks(document_id INTEGER NOT NULL, ordinal INTEGER NOT NULL,"                  \
    " kind INTEGER NOT NULL, page INTEGER NOT NULL, start_byte INTEGER NOT NULL,"                  \
    " end_byte INTEGER NOT NULL, headings TEXT NOT NULL,"                                          \
    " PRIMARY KEY (document_id, ordinal)) WITHOUT ROWID;"                                          \
    "CREATE TABLE passages(id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL,"    \
    " ordinal INTEGER NOT NULL, start_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL,"           \
    " page_start INTEGER NOT NULL, page_end INTEGER NOT NULL, headings TEXT NOT NULL,"             \
    " UNIQUE (document_id, ordinal));"                                                             \
    "CREATE TABLE vectors(passage_id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL,"           \
    " value BLOB NOT NULL);"                                                                       \
    "CREATE VIEW passage_texts(id, heading, body) AS SELECT p.id, CASE"                            \
    " WHEN p.headings = '' THEN d.title"                                                           \
    " WHEN substr(p.headings, 1, length(d.title)) = d.title THEN p.headings"                       \
    " ELSE d.title || ' > ' || p.headings END,"                                                    \
    " CAST(substr(d.text, p.start_byte + 1, p.end_byte - p.start_byte) AS TEXT)"                   \
    " FROM passages p JOIN documents d ON d.id = p.document_id;"                                   \
    "CREATE VIRTUAL TABLE passages_fts USING fts5(heading, body, content='passage_texts',"         \
    " content_rowid='id', tokenize='porter unicode61 remove_diacritics 2');"

#define WN_DOCUMENT_COLUMNS                                                                        \
    "id, path, filename, title, media_type, checksum, attributes, source_bytes, n_pages,"          \
    " created_at, n_passages"

#define WN_PASSAGE_COLUMNS                                                                         \
    "p.id, p.document_id, p.ordinal, p.start_byte, p.end_byte, p.page_start, p.page_end,"          \
    " p.headings, d.path, d.filename, d.title, d.attributes"                                       \
    " FROM passages p JOIN documents d ON d.id = p.document_id "

/* A word in title or headings weighs half as much again as one in the body: better on each of
 * SciFact, Cranfield and ADI (retrieve/README.md). */
#define WN_FTS_RANK "bm25(passages_fts, 1.5, 1.0)"

#define WN_STATEMENT_TABLE(X)                                                                      \
    X(BEGIN_READ, "BEGIN")                                                                         \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                              \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(META, "SELECT created_at, changed_at, generation, dim, n_documents, n_blocks, n_passages,"   \
            " n_vectors, text_bytes FROM meta WHERE id = 1")                                       \
    X(META_ADD, "UPDATE meta SET generation = generation + 1, changed_at = ?1,"                    \
                " n_documents = n_documents + ?2, n_blocks = n_blocks + ?3,"                       \
                " n_passages = n_passages + ?4, n_vectors = n_vectors + ?5,"                       \
                " text_bytes = text_bytes + ?6 WHERE id = 1")                                      \
    X(META_SET_DIM, "UPDATE meta SET dim = ?1 WHERE id = 1")                                       \
    X(VECTOR_FILE, "SELECT vector_key, vector_mac FROM meta WHERE id = 1")                         \
    X(VECTOR_FILE_SET, "UPDATE meta SET vector_mac = ?1 WHERE id = 1")                             \
    X(SETTING, "SELECT value FROM settings WHERE key = ?1")                                        \
    X(SETTING_SET, "INSERT INTO settings(key, value) VALUES (?1, ?2)"                              \
                   " ON CONFLICT (key) DO UPDATE SET value = excluded.value")                      \
    X(SETTING_DELETE, "DELETE FROM settings WHERE key = ?1")                                       \
    X(DOCUMENT, "SELECT " WN_DOCUMENT_COLUMNS " FROM documents WHERE id = ?1")                     \
    X(DOCUMENT_BY_PATH, "SELECT " WN_DOCUMENT_COLUMNS " FROM documents WHERE path = ?1")           \
    X(DOCUMENTS_UP,                                                                                \
      "SELECT " WN_DOCUMENT_COLUMNS " FROM documents WHERE id > ?1 ORDER BY id LIMIT ?2")          \
    X(DOCUMENTS_DOWN,                                                                              \
      "SELECT " WN_DOCUMENT_COLUMNS " FROM documents WHERE id < ?1 ORDER BY id DESC LIMIT ?2")     \
    X(DOCUMENT_TEXT, "SELECT text FROM documents WHERE id = ?1")                                   \
    X(DOCUMENT_OLD, "SELECT id, title, n_passages, n_blocks, text FROM documents WHERE path = ?1") \
    X(DOCUMENT_OLD_BY_ID,                                                                          \
      "SELECT id, title, n_passages, n_blocks, text FROM documents WHERE id = ?1")                 \
    X(DOCUMENT_INSERT, "INSERT INTO documents(id, path, filename, title, media_type, checksum,"    \
                       " attributes, source_bytes, n_pages, created_at, n_passages, n_blocks,"     \
                       " text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")   \
    X(DOCUMENT_DELETE, "DELETE FROM documents WHERE id = ?1")                                      \
    X(BLOCKS, "SELECT kind, page, start_byte, end_byte, headings FROM blocks"                      \
              " WHERE document_id = ?1 AND end_byte > ?2 AND start_byte < ?3 ORDER BY ordinal")    \
    X(BLOCK_INSERT, "INSERT INTO blocks(document_id, ordinal, kind, page, start_byte, end_byte,"   \
                    " headings) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                              \
    X(BLOCKS_DELETE, "DELETE FROM blocks WHERE document_id = ?1")                                  \
    X(PASSAGE, "SELECT " WN_PASSAGE_COLUMNS "WHERE p.id = ?1")                                     \
    X(PASSAGE_AT, "SELECT " WN_PASSAGE_COLUMNS "WHERE p.document_id = ?1 AND p.ordinal = ?2")      \
    X(PASSAGE_DOCUMENT, "SELECT document_id FROM passages WHERE id = ?1")                          \
    X(PASSAGE_INSERT, "INSERT INTO passages(document_id, ordinal, start_byte, end_byte,"           \
                      " page_start, page_end, headings) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")      \
    X(PASSAGES_OLD, "SELECT id, start_byte, end_byte, headings FROM passages"                      \
                    " WHERE document_id = ?1 ORDER BY ordinal")                                    \
    X(PASSAGES_DELETE, "DELETE FROM passages WHERE document_id = ?1")                              \
    X(FTS_INSERT, "INSERT INTO passages_fts(rowid, heading, body) VALUES (?1, ?2, ?3)")            \
    X(FTS_DELETE, "INSERT INTO passages_fts(passages_fts, rowid, heading, body)"                   \
                  " VALUES ('delete', ?1, ?2, ?3)")                                                \
    X(FTS_COUNT, "SELECT count(*) FROM (SELECT 1 FROM passages_fts WHERE passages_fts MATCH ?1"    \
                 " LIMIT ?2)")                                                                     \
    X(FTS_SEARCH, "SELECT rowid, " WN_FTS_RANK " AS score FROM passages_fts"                       \
                  " WHERE passages_fts MATCH ?1 ORDER BY score LIMIT ?2")                          \
    X(VECTOR_INSERT, "INSERT INTO vectors(passage_id, document_id, value) VALUES (?1, ?2, ?3)")    \
    X(VECTORS_DELETE, "DELETE FROM vectors WHERE passage_id BETWEEN ?1 AND ?2"                     \
                      " AND document_id = ?3")                                                     \
    X(VECTOR, "SELECT value FROM vectors WHERE passage_id = ?1")                                   \
    X(VECTOR_MAX, "SELECT max(passage_id) FROM vectors")                                           \
    X(VECTORS_AFTER, "SELECT passage_id, document_id, value FROM vectors"                          \
                     " WHERE passage_id > ?1 ORDER BY passage_id")

#endif
