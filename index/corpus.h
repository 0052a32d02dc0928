/* A corpus: one folder with one SQLite file, the source of truth (documents, blocks, passages, FTS5
 * index, vectors), and one derived FAISS file that is rebuilt when it is lost, stale or does not
 * verify.
 *
 *     WN_TRY(wn_corpus_open(&c, dir, WN_CORPUS_WRITE | WN_CORPUS_CREATE, err));
 *     WN_TRY(wn_corpus_put(c, &doc, err));                    // one transaction: insert or replace
 *     WN_TRY(wn_corpus_search_text(c, "what is ownership?", 100, hits, &n, err));
 *     wn_corpus_close(c);
 *
 * Text offsets are BYTES into the document's stored text (UTF-8); the HTTP surface converts to
 * characters. Exactly one connection per file writes and checkpoints (a lock file keeps other
 * processes out: WN_BUSY); readers never checkpoint. A handle may be used by many threads: reads
 * run in parallel, writes one at a time. Every put or delete is atomic and durable when it returns
 * WN_OK, and visible to text search, vector search and listings together.
 */
#ifndef WN_INDEX_CORPUS_H
#define WN_INDEX_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct wn_corpus wn_corpus;

enum { WN_CORPUS_READ = 0, WN_CORPUS_WRITE = 1, WN_CORPUS_CREATE = 2 };

wn_status wn_corpus_open(wn_corpus **out, const char *dir, unsigned mode, wn_error *err);
void wn_corpus_close(wn_corpus *c);
/* False: it was deleted since, perhaps by another process, and another one may be in its place. */
bool wn_corpus_is_there(const wn_corpus *c);

/* What a block is; ingest's parsers produce them, citations show their heading and page. */
typedef enum wn_block_kind {
    WN_BLOCK_PARAGRAPH,
    WN_BLOCK_HEADING,
    WN_BLOCK_LIST_ITEM,
    WN_BLOCK_TABLE,
    WN_BLOCK_CODE
} wn_block_kind;

typedef struct wn_block {
    wn_block_kind kind;
    int page;             /* from 1; 0 = the format has no pages */
    size_t start, end;    /* bytes of the document's text; blocks are in order, disjoint */
    const char *headings; /* path of headings above, joined by " > "; "" = none */
} wn_block;

typedef struct wn_passage {
    int64_t id;        /* set by the corpus */
    size_t start, end; /* bytes of the document's text */
    int page_start, page_end;
    const char *headings; /* of its first block */
} wn_passage;

typedef struct wn_document {
    int64_t id;           /* set by the corpus */
    const char *path;     /* as ingested (absolute) or the upload's name: the key of the document */
    const char *filename; /* for people */
    const char *title;    /* "" = none */
    const char *media_type; /* "text/markdown" */
    const char *checksum;   /* SHA-256 hex of the source bytes */
    const char
        *attributes; /* JSON object of up to 16 str/num/bool: metadata filters; "{}" = none */
    uint64_t source_bytes;
    int n_pages;
    int64_t created_at; /* unix seconds */
    size_t n_passages;  /* listings only */
} wn_document;

/* All of one document for wn_corpus_put. Everything is borrowed during the call. */
typedef struct wn_document_content {
    wn_document doc;
    const char *text; /* UTF-8 (validated) */
    size_t text_len;
    const wn_block *blocks;
    size_t n_blocks;
    const wn_passage *passages;
    size_t n_passages;
    const float *vectors; /* [n_passages][dim], L2-normalised, or NULL (keyword search only) */
    size_t dim;
} wn_document_content;

/* Inserts, or replaces the document of the same path, in one transaction. *id may be NULL. */
wn_status wn_corpus_put(wn_corpus *c, const wn_document_content *content, int64_t *id,
                        wn_error *err);
wn_status wn_corpus_delete_document(wn_corpus *c, int64_t id, wn_error *err); /* WN_NOT_FOUND */

/* The stored document, strings owned by it; wn_document_free releases all of it. */
typedef struct wn_document_record {
    wn_document doc;
    char *text; /* NULL unless asked for */
    size_t text_len;
    void *memory;
} wn_document_record;
wn_status wn_corpus_document(wn_corpus *c, int64_t id, bool with_text, wn_document_record *out,
                             wn_error *err);
wn_status wn_corpus_document_by_path(wn_corpus *c, const char *path, wn_document_record *out,
                                     wn_error *err); /* WN_NOT_FOUND; without text */
void wn_document_record_free(wn_document_record *r);
/* Bytes [start, end) of a document's text, on character borders; *out is a new string. WN_INVALID
 * when they are not inside it. */
wn_status wn_corpus_text(wn_corpus *c, int64_t document_id, size_t start, size_t end, char **out,
                         wn_error *err);
/* Documents with id > after (< after when descending; 0 = from the start), at most limit. */
typedef wn_status (*wn_document_visit_fn)(void *ctx, const wn_document *doc, wn_error *err);
wn_status wn_corpus_list(wn_corpus *c, int64_t after, size_t limit, bool descending,
                         wn_document_visit_fn visit, void *ctx, wn_error *err);
/* The blocks that overlap bytes [start, end) of a document, in order. */
typedef wn_status (*wn_block_visit_fn)(void *ctx, const wn_block *block, wn_error *err);
wn_status wn_corpus_blocks(wn_corpus *c, int64_t document_id, size_t start, size_t end,
                           wn_block_visit_fn visit, void *ctx, wn_error *err);

/* A passage with its text, as search and answers need it. */
typedef struct wn_passage_record {
    wn_passage passage;
    int64_t document_id;
    int ordinal; /* position in its document, from 0 */
    char *text;  /* the document's bytes [start, end) */
    size_t text_len;
    char *path, *filename, *title, *attributes;
    void *memory;
} wn_passage_record;
wn_status wn_corpus_passage(wn_corpus *c, int64_t passage_id, wn_passage_record *out,
                            wn_error *err);
/* The passage at an ordinal of a document (neighbour merging); WN_NOT_FOUND past the end. */
wn_status wn_corpus_passage_at(wn_corpus *c, int64_t document_id, int ordinal,
                               wn_passage_record *out, wn_error *err);
void wn_passage_record_free(wn_passage_record *r);

typedef struct wn_index_hit {
    int64_t passage_id;
    int64_t document_id;
    float score; /* text: -bm25 (higher is better); vector: cosine */
} wn_index_hit;

/* Restricts both legs to documents; NULL = all. Called with document ids. */
typedef bool (*wn_document_filter_fn)(void *ctx, int64_t document_id);

/* Any UTF-8 question is valid: it is split into words, each quoted, joined by OR; words in more
 * than 20 % of the passages are dropped when others remain. hits [k], best first; *n found. */
wn_status wn_corpus_search_text(wn_corpus *c, const char *question, size_t len, size_t k,
                                wn_document_filter_fn filter, void *filter_ctx, wn_index_hit *hits,
                                size_t *n, wn_error *err);
/* query f32 [dim], L2-normalised. WN_INVALID when dim is not the corpus's; *n = 0 without vectors.
 */
wn_status wn_corpus_search_vector(wn_corpus *c, const float *query, size_t dim, size_t k,
                                  wn_document_filter_fn filter, void *filter_ctx,
                                  wn_index_hit *hits, size_t *n, wn_error *err);

typedef struct wn_corpus_stats {
    size_t n_documents, n_blocks, n_passages, n_vectors, dim;
    uint64_t text_bytes, file_bytes; /* file_bytes: SQLite + WAL + FAISS */
    int64_t created_at, changed_at;  /* unix seconds */
    uint64_t generation;             /* grows with every change */
} wn_corpus_stats;
wn_status wn_corpus_stats_read(wn_corpus *c, wn_corpus_stats *out, wn_error *err);

/* Small settings of a corpus ("embedder", "fusion", "description", ...), kept in its file. *out is
 * a new string, NULL when unset. */
wn_status wn_corpus_setting(wn_corpus *c, const char *key, char **out, wn_error *err);
wn_status wn_corpus_set_setting(wn_corpus *c, const char *key, const char *value, wn_error *err);

/* Brings the derived vector file up to date (search does it itself when needed). */
wn_status wn_corpus_refresh_vectors(wn_corpus *c, wn_error *err);

#endif
