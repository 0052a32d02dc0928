#include "index/vector_index.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/clone_index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>

#include "base/checked.h"

/* FAISS sizes an HNSW search by k: below this the graph is searched too shallowly. */
enum { HNSW_MIN_SEARCH = 128 };
static const char hnsw_description[] = "HNSW32";

struct wn_vector_index {
    atomic_size_t n_references;
    size_t dim, n, cap;
    wn_vector_kind kind;
    int64_t *passage_ids, *document_ids;
    FaissIndex *faiss; /* row i has label i */
};

/* What stands before FAISS' bytes; all fields little-endian (x86-64, ARM). */
typedef struct index_header {
    uint32_t kind, dim;
    uint64_t n;
} index_header;

static wn_status faiss_failure(wn_error *err, const char *what)
{
    const char *text = faiss_get_last_error();
    return wn_error_set(err, WN_INTERNAL, "vector index: %s: %s", what, text ? text : "unknown");
}

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "vector index: out of memory");
}

static wn_status create_empty(wn_vector_index **out, size_t dim, wn_vector_kind kind, wn_error *err)
{
    if (dim == 0 || dim > WN_VECTOR_MAX_DIM)
        return wn_error_set(err, WN_INVALID, "vectors of %zu dimensions; 1 to %d are possible", dim,
                            WN_VECTOR_MAX_DIM);
    wn_vector_index *x = wn_alloc(1, sizeof *x);
    if (!x)
        return no_memory(err);
    atomic_init(&x->n_references, 1);
    x->dim = dim;
    x->kind = kind;
    *out = x;
    return WN_OK;
}

wn_status wn_vector_index_create(wn_vector_index **out, size_t dim, wn_vector_kind kind,
                                 wn_error *err)
{
    *out = NULL;
    wn_vector_index *x = NULL;
    WN_TRY(create_empty(&x, dim, kind, err));
    const char *description = kind == WN_VECTOR_HNSW ? hnsw_description : "Flat";
    if (faiss_index_factory(&x->faiss, (int)dim, description, METRIC_INNER_PRODUCT) != 0) {
        wn_vector_index_release(x);
        return faiss_failure(err, "create");
    }
    *out = x;
    return WN_OK;
}

wn_vector_index *wn_vector_index_retain(wn_vector_index *x)
{
    atomic_fetch_add(&x->n_references, 1);
    return x;
}

void wn_vector_index_release(wn_vector_index *x)
{
    if (!x || atomic_fetch_sub(&x->n_references, 1) != 1)
        return;
    if (x->faiss)
        faiss_Index_free(x->faiss);
    free(x->passage_ids);
    free(x->document_ids);
    free(x);
}

static wn_status reserve(wn_vector_index *x, size_t n_more, wn_error *err)
{
    size_t need = 0, cap = x->cap;
    if (!wn_size_add(x->n, n_more, &need))
        return no_memory(err);
    if (need <= cap)
        return WN_OK;
    cap = need > SIZE_MAX / 2 ? need : need + need / 2;
    int64_t *p = wn_realloc(x->passage_ids, cap, sizeof *p);
    if (!p)
        return no_memory(err);
    x->passage_ids = p;
    p = wn_realloc(x->document_ids, cap, sizeof *p);
    if (!p)
        return no_memory(err);
    x->document_ids = p;
    x->cap = cap;
    return WN_OK;
}

wn_status wn_vector_index_add(wn_vector_index *x, size_t n, const int64_t *passage_ids,
                              const int64_t *document_ids, const float *values, wn_error *err)
{
    if (n == 0)
        return WN_OK;
    WN_TRY(reserve(x, n, err));
    int64_t last = wn_vector_index_last_id(x);
    for (size_t i = 0; i < n; i++) {
        if (passage_ids[i] <= last)
            return wn_error_set(err, WN_CORRUPT, "vector index: passage id %lld after %lld",
                                (long long)passage_ids[i], (long long)last);
        last = passage_ids[i];
    }
    if (faiss_Index_add(x->faiss, (idx_t)n, values) != 0)
        return faiss_failure(err, "add");
    memcpy(x->passage_ids + x->n, passage_ids, n * sizeof *passage_ids);
    memcpy(x->document_ids + x->n, document_ids, n * sizeof *document_ids);
    x->n += n;
    return WN_OK;
}

wn_status wn_vector_index_clone(wn_vector_index **out, const wn_vector_index *x, wn_error *err)
{
    *out = NULL;
    wn_vector_index *copy = NULL;
    WN_TRY(create_empty(&copy, x->dim, x->kind, err));
    wn_status status = WN_OK;
    if (faiss_clone_index(x->faiss, &copy->faiss) != 0)
        status = faiss_failure(err, "clone");
    if (status == WN_OK)
        status = reserve(copy, x->n, err);
    if (status != WN_OK) {
        wn_vector_index_release(copy);
        return status;
    }
    if (x->n > 0) {
        memcpy(copy->passage_ids, x->passage_ids, x->n * sizeof *x->passage_ids);
        memcpy(copy->document_ids, x->document_ids, x->n * sizeof *x->document_ids);
        copy->n = x->n;
    }
    *out = copy;
    return WN_OK;
}

size_t wn_vector_index_rows(const wn_vector_index *x)
{
    return x->n;
}

size_t wn_vector_index_dim(const wn_vector_index *x)
{
    return x->dim;
}

wn_vector_kind wn_vector_index_kind(const wn_vector_index *x)
{
    return x->kind;
}

int64_t wn_vector_index_first_id(const wn_vector_index *x)
{
    return x->n > 0 ? x->passage_ids[0] : 0;
}

int64_t wn_vector_index_last_id(const wn_vector_index *x)
{
    return x->n > 0 ? x->passage_ids[x->n - 1] : 0;
}

wn_status wn_vector_index_row(const wn_vector_index *x, size_t i, int64_t *passage_id,
                              int64_t *document_id, float *value, wn_error *err)
{
    if (i >= x->n)
        return wn_error_set(err, WN_INVALID, "vector index: row %zu of %zu", i, x->n);
    if (passage_id)
        *passage_id = x->passage_ids[i];
    if (document_id)
        *document_id = x->document_ids[i];
    if (value && faiss_Index_reconstruct(x->faiss, (idx_t)i, value) != 0)
        return faiss_failure(err, "read a row");
    return WN_OK;
}

/* Search --------------------------------------------------------------------------------------- */

static bool better(const wn_index_hit *a, const wn_index_hit *b)
{
    return a->score > b->score || (a->score == b->score && a->passage_id < b->passage_id);
}

void wn_vector_hit_insert(wn_index_hit *hits, size_t *n, size_t k, wn_index_hit hit)
{
    size_t i = *n;
    if (i == k) {
        if (k == 0 || !better(&hit, &hits[k - 1]))
            return;
        i--;
    } else {
        (*n)++;
    }
    for (; i > 0 && better(&hit, &hits[i - 1]); i--)
        hits[i] = hits[i - 1];
    hits[i] = hit;
}

/* Four sums, so that the compiler may keep them in one register. */
static float dot(const float *a, const float *b, size_t n)
{
    float s[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++)
            s[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        s[0] += a[i] * b[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* Every row, best k accepted ones: exact whatever the index is. */
static wn_status scan(const wn_vector_index *x, const float *query, size_t k,
                      wn_vector_accept_fn accept, void *ctx, wn_index_hit *hits, size_t *n,
                      wn_error *err)
{
    float *row = wn_alloc(x->dim, sizeof *row);
    if (!row)
        return no_memory(err);
    wn_status status = WN_OK;
    for (size_t i = 0; i < x->n && status == WN_OK; i++) {
        if (faiss_Index_reconstruct(x->faiss, (idx_t)i, row) != 0) {
            status = faiss_failure(err, "read a row");
            break;
        }
        wn_index_hit hit = {x->passage_ids[i], x->document_ids[i], dot(query, row, x->dim)};
        if ((*n < k || better(&hit, &hits[*n - 1])) && accept(ctx, hit.passage_id, hit.document_id))
            wn_vector_hit_insert(hits, n, k, hit);
    }
    free(row);
    return status;
}

/* FAISS' best n_wanted rows, of which the accepted ones are kept, at most k. */
static wn_status search_faiss(const wn_vector_index *x, const float *query, size_t n_wanted,
                              size_t k, wn_vector_accept_fn accept, void *ctx, wn_index_hit *hits,
                              size_t *n, wn_error *err)
{
    float *scores = wn_alloc(n_wanted, sizeof *scores);
    idx_t *labels = wn_alloc(n_wanted, sizeof *labels);
    wn_status status = scores && labels ? WN_OK : no_memory(err);
    if (status == WN_OK &&
        faiss_Index_search(x->faiss, 1, query, (idx_t)n_wanted, scores, labels) != 0)
        status = faiss_failure(err, "search");
    for (size_t i = 0; i < n_wanted && status == WN_OK; i++) {
        if (labels[i] < 0 || (size_t)labels[i] >= x->n)
            continue; /* FAISS pads short results with -1 */
        wn_index_hit hit = {x->passage_ids[labels[i]], x->document_ids[labels[i]], scores[i]};
        if (*n == k && !better(&hit, &hits[k - 1]))
            break;
        if (!accept || accept(ctx, hit.passage_id, hit.document_id))
            wn_vector_hit_insert(hits, n, k, hit);
    }
    free(scores);
    free(labels);
    return status;
}

wn_status wn_vector_index_search(const wn_vector_index *x, const float *query, size_t k,
                                 wn_vector_accept_fn accept, void *ctx, wn_index_hit *hits,
                                 size_t *n, wn_error *err)
{
    *n = 0;
    if (x->n == 0 || k == 0)
        return WN_OK;
    size_t n_wanted = k > x->n / 4 ? x->n : (accept ? 2 * k + 32 : k);
    if (x->kind == WN_VECTOR_HNSW && n_wanted < HNSW_MIN_SEARCH)
        n_wanted = HNSW_MIN_SEARCH;
    if (n_wanted > x->n)
        n_wanted = x->n;
    WN_TRY(search_faiss(x, query, n_wanted, k, accept, ctx, hits, n, err));
    if (!accept || *n == k || n_wanted == x->n)
        return WN_OK;
    /* The filter took too many: look at every row instead of guessing how many more to ask for. */
    *n = 0;
    return scan(x, query, k, accept, ctx, hits, n, err);
}

/* Bytes ------------------------------------------------------------------------------------------
 */

wn_status wn_vector_index_write(const wn_vector_index *x, wn_strbuf *out, wn_error *err)
{
    index_header head = {(uint32_t)x->kind, (uint32_t)x->dim, x->n};
    wn_strbuf_add(out, &head, sizeof head);
    wn_strbuf_add(out, x->passage_ids, x->n * sizeof *x->passage_ids);
    wn_strbuf_add(out, x->document_ids, x->n * sizeof *x->document_ids);
    char *data = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&data, &len);
    if (!f)
        return no_memory(err);
    wn_status status = WN_OK;
    if (faiss_write_index(x->faiss, f) != 0)
        status = faiss_failure(err, "write");
    if (fclose(f) != 0 && status == WN_OK)
        status = no_memory(err);
    if (status == WN_OK)
        wn_strbuf_add(out, data, len);
    free(data);
    if (status == WN_OK && wn_strbuf_failed(out))
        status = no_memory(err);
    return status;
}

static wn_status read_faiss(wn_vector_index *x, const void *data, size_t len, wn_error *err)
{
    if (len == 0)
        return wn_error_set(err, WN_FORMAT, "vector index: no FAISS data");
    /* fmemopen takes no const; "r" never writes. */
    FILE *f = fmemopen((void *)(uintptr_t)data, len, "r");
    if (!f)
        return no_memory(err);
    int rc = faiss_read_index(f, 0, &x->faiss);
    fclose(f);
    if (rc != 0)
        return faiss_failure(err, "read");
    if (faiss_Index_ntotal(x->faiss) != (idx_t)x->n || faiss_Index_d(x->faiss) != (int)x->dim ||
        faiss_Index_metric_type(x->faiss) != METRIC_INNER_PRODUCT)
        return wn_error_set(err, WN_FORMAT, "vector index: FAISS data does not fit its header");
    return WN_OK;
}

wn_status wn_vector_index_read(wn_vector_index **out, const void *data, size_t len, wn_error *err)
{
    *out = NULL;
    index_header head = {0};
    const uint8_t *bytes = data;
    if (len < sizeof head)
        return wn_error_set(err, WN_FORMAT, "vector index: %zu bytes are too few", len);
    memcpy(&head, bytes, sizeof head);
    size_t rest = len - sizeof head;
    if (head.kind > WN_VECTOR_HNSW || head.n > rest / (2 * sizeof(int64_t)))
        return wn_error_set(err, WN_FORMAT, "vector index: kind %u with %llu rows in %zu bytes",
                            head.kind, (unsigned long long)head.n, len);
    wn_vector_index *x = NULL;
    WN_TRY(create_empty(&x, head.dim, (wn_vector_kind)head.kind, err));
    size_t n = (size_t)head.n, id_bytes = n * sizeof(int64_t);
    wn_status status = reserve(x, n, err);
    if (status == WN_OK) {
        x->n = n;
        if (n > 0) {
            memcpy(x->passage_ids, bytes + sizeof head, id_bytes);
            memcpy(x->document_ids, bytes + sizeof head + id_bytes, id_bytes);
        }
        status = read_faiss(x, bytes + sizeof head + 2 * id_bytes, rest - 2 * id_bytes, err);
    }
    if (status != WN_OK) {
        wn_vector_index_release(x);
        return status;
    }
    *out = x;
    return WN_OK;
}
