/* Vectors of passages under a FAISS index: inner product over L2-normalised rows, i.e. cosine.
 *
 *     WN_TRY(wn_vector_index_create(&x, 384, WN_VECTOR_FLAT, err));
 *     WN_TRY(wn_vector_index_add(x, n, passage_ids, document_ids, values, err));
 *     WN_TRY(wn_vector_index_search(x, query, 10, NULL, NULL, hits, &n_hits, err));
 *     wn_vector_index_release(x);
 *
 * FLAT is exact; HNSW is approximate (and exact where a filter leaves few rows). Rows are in rising
 * order of passage id. Reference-counted: whoever adds to an index owns it alone; once shared it is
 * immutable and any number of threads search it.
 */
#ifndef WN_INDEX_VECTOR_INDEX_H
#define WN_INDEX_VECTOR_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/strbuf.h"
#include "index/corpus.h"

typedef struct wn_vector_index wn_vector_index;
typedef enum wn_vector_kind { WN_VECTOR_FLAT, WN_VECTOR_HNSW } wn_vector_kind;

enum { WN_VECTOR_MAX_DIM = 8192 };

wn_status wn_vector_index_create(wn_vector_index **out, size_t dim, wn_vector_kind kind,
                                 wn_error *err);
/* A private copy, to add to. */
wn_status wn_vector_index_clone(wn_vector_index **out, const wn_vector_index *x, wn_error *err);
/* ids rise, and are above those inside (WN_CORRUPT); values f32 [n][dim]. */
wn_status wn_vector_index_add(wn_vector_index *x, size_t n, const int64_t *passage_ids,
                              const int64_t *document_ids, const float *values, wn_error *err);
wn_vector_index *wn_vector_index_retain(wn_vector_index *x);
void wn_vector_index_release(wn_vector_index *x); /* NULL is fine */

size_t wn_vector_index_rows(const wn_vector_index *x);
size_t wn_vector_index_dim(const wn_vector_index *x);
wn_vector_kind wn_vector_index_kind(const wn_vector_index *x);
int64_t wn_vector_index_first_id(const wn_vector_index *x); /* 0 when empty */
int64_t wn_vector_index_last_id(const wn_vector_index *x);  /* 0 when empty */
/* Copies row i out: ids, and its vector into value f32 [dim] (any may be NULL). */
wn_status wn_vector_index_row(const wn_vector_index *x, size_t i, int64_t *passage_id,
                              int64_t *document_id, float *value, wn_error *err);

/* Says whether a row may be in a result; asked only for rows that would make it. */
typedef bool (*wn_vector_accept_fn)(void *ctx, int64_t passage_id, int64_t document_id);
/* The k best accepted rows, best first, ties by passage id. accept may be NULL. hits [k]. */
wn_status wn_vector_index_search(const wn_vector_index *x, const float *query, size_t k,
                                 wn_vector_accept_fn accept, void *ctx, wn_index_hit *hits,
                                 size_t *n, wn_error *err);
/* Puts a hit into a list of at most k, sorted as above. */
void wn_vector_hit_insert(wn_index_hit *hits, size_t *n, size_t k, wn_index_hit hit);

/* The bytes of an index: rows' ids, then FAISS' own format. Only bytes that we wrote and that
 * verified may be read back (vector_file.h): FAISS trusts them. */
wn_status wn_vector_index_write(const wn_vector_index *x, wn_strbuf *out, wn_error *err);
wn_status wn_vector_index_read(wn_vector_index **out, const void *data, size_t len, wn_error *err);

#endif
