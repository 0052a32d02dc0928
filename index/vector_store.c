#include "index/vector_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/log.h"
#include "index/vector_file.h"
#include "index/vector_rows.h"

enum { MAX_PARTS = 12 }; /* more small indexes are joined into one */

struct wn_vector_view {
    atomic_size_t n_references;
    size_t dim, n_rows, n_parts;
    int64_t last_id;
    wn_vector_index *parts[MAX_PARTS]; /* rising ids; parts[0] is the base */
};

struct wn_vector_store {
    char *path;
    size_t hnsw_rows;
    pthread_mutex_t publish_mutex; /* guards the two pointers below, for moments only */
    wn_vector_view *current;
    wn_vector_index *on_file;     /* what the file holds; NULL = unknown or none */
    pthread_mutex_t update_mutex; /* one catches up at a time */
};

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "vector store: out of memory");
}

wn_status wn_vector_store_open(wn_vector_store **out, const char *path, size_t hnsw_rows,
                               wn_error *err)
{
    *out = NULL;
    wn_vector_store *store = wn_alloc(1, sizeof *store);
    char *copy = wn_strdup(path);
    if (!store || !copy) {
        free(store);
        free(copy);
        return no_memory(err);
    }
    store->path = copy;
    store->hnsw_rows = hnsw_rows;
    pthread_mutex_init(&store->publish_mutex, NULL);
    pthread_mutex_init(&store->update_mutex, NULL);
    *out = store;
    return WN_OK;
}

void wn_vector_store_close(wn_vector_store *store)
{
    if (!store)
        return;
    wn_vector_view_release(store->current);
    wn_vector_index_release(store->on_file);
    pthread_mutex_destroy(&store->update_mutex);
    pthread_mutex_destroy(&store->publish_mutex);
    free(store->path);
    free(store);
}

/* Views ------------------------------------------------------------------------------------------
 */

static wn_vector_view *view_new(size_t dim)
{
    wn_vector_view *v = wn_alloc(1, sizeof *v);
    if (v) {
        atomic_init(&v->n_references, 1);
        v->dim = dim;
    }
    return v;
}

void wn_vector_view_release(wn_vector_view *v)
{
    if (!v || atomic_fetch_sub(&v->n_references, 1) != 1)
        return;
    for (size_t i = 0; i < v->n_parts; i++)
        wn_vector_index_release(v->parts[i]);
    free(v);
}

size_t wn_vector_view_rows(const wn_vector_view *v)
{
    return v->n_rows;
}

/* Takes over the caller's reference of x. */
static void view_append(wn_vector_view *v, wn_vector_index *x)
{
    if (wn_vector_index_rows(x) == 0) {
        wn_vector_index_release(x);
        return;
    }
    v->parts[v->n_parts++] = x;
    v->n_rows += wn_vector_index_rows(x);
    v->last_id = wn_vector_index_last_id(x);
}

static wn_vector_view *current_view(wn_vector_store *store)
{
    pthread_mutex_lock(&store->publish_mutex);
    wn_vector_view *v = store->current;
    if (v)
        atomic_fetch_add(&v->n_references, 1);
    pthread_mutex_unlock(&store->publish_mutex);
    return v;
}

static void publish(wn_vector_store *store, wn_vector_view *v)
{
    atomic_fetch_add(&v->n_references, 1);
    pthread_mutex_lock(&store->publish_mutex);
    wn_vector_view *old = store->current;
    store->current = v;
    pthread_mutex_unlock(&store->publish_mutex);
    wn_vector_view_release(old);
}

static wn_vector_index *current_on_file(wn_vector_store *store)
{
    pthread_mutex_lock(&store->publish_mutex);
    wn_vector_index *x = store->on_file ? wn_vector_index_retain(store->on_file) : NULL;
    pthread_mutex_unlock(&store->publish_mutex);
    return x;
}

void wn_vector_store_saved(wn_vector_store *store, wn_vector_index *x)
{
    pthread_mutex_lock(&store->publish_mutex);
    wn_vector_index *old = store->on_file;
    store->on_file = x ? wn_vector_index_retain(x) : NULL;
    pthread_mutex_unlock(&store->publish_mutex);
    wn_vector_index_release(old);
}

size_t wn_vector_store_unsaved(wn_vector_store *store, size_t n_vectors)
{
    wn_vector_index *x = current_on_file(store);
    wn_vector_view *v = current_view(store);
    size_t n = n_vectors;
    if (x && v)
        n = v->n_rows - (wn_vector_index_rows(x) < v->n_rows ? wn_vector_index_rows(x) : v->n_rows);
    wn_vector_index_release(x);
    wn_vector_view_release(v);
    return n;
}

/* Catching up ------------------------------------------------------------------------------------
 */

/* The key of the vector file and the MAC of the current one; *known = false when there is none. */
static wn_status read_mac(wn_corpus_db *db, uint8_t key[WN_VECTOR_KEY_BYTES],
                          uint8_t mac[WN_SHA256_BYTES], bool *known, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    bool row = false;
    WN_TRY(wn_db_statement(db, WN_SQL_VECTOR_FILE, &s, err));
    WN_TRY(wn_db_step(db, s, &row, err));
    *known = row && sqlite3_column_bytes(s, 0) == WN_VECTOR_KEY_BYTES &&
             sqlite3_column_bytes(s, 1) == WN_SHA256_BYTES;
    if (*known) {
        memcpy(key, sqlite3_column_blob(s, 0), WN_VECTOR_KEY_BYTES);
        memcpy(mac, sqlite3_column_blob(s, 1), WN_SHA256_BYTES);
    }
    sqlite3_reset(s);
    return WN_OK;
}

/* The index in the vector file, if there is one that verifies and fits; NULL otherwise. */
static wn_status load_file(wn_vector_store *store, wn_corpus_db *db, size_t dim,
                           wn_vector_index **out, wn_error *err)
{
    *out = NULL;
    uint8_t key[WN_VECTOR_KEY_BYTES], mac[WN_SHA256_BYTES];
    bool known = false;
    WN_TRY(read_mac(db, key, mac, &known, err));
    if (!known)
        return WN_OK;
    wn_error load_error = {0};
    wn_vector_index *x = NULL;
    wn_status status = wn_vector_file_load(&x, store->path, key, mac, &load_error);
    if (status == WN_NO_MEMORY)
        return no_memory(err);
    if (status != WN_OK) {
        if (status != WN_NOT_FOUND)
            wn_log(WN_LOG_WARN, "index", "%s: rebuilding from the corpus", load_error.text);
        return WN_OK;
    }
    if (wn_vector_index_dim(x) != dim) {
        wn_vector_index_release(x);
        return WN_OK;
    }
    wn_vector_store_saved(store, x);
    *out = x;
    return WN_OK;
}

static wn_status max_id(wn_corpus_db *db, int64_t *out, wn_error *err)
{
    sqlite3_stmt *s = NULL;
    bool row = false;
    WN_TRY(wn_db_statement(db, WN_SQL_VECTOR_MAX, &s, err));
    WN_TRY(wn_db_step(db, s, &row, err));
    *out = row ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    return WN_OK;
}

/* `next` gets the parts of `old`; when there are too many, all but the base become one. */
static wn_status inherit_parts(const wn_vector_view *old, wn_vector_view *next, wn_error *err)
{
    bool full = old->n_parts + 1 >= MAX_PARTS;
    for (size_t i = 0; i < (full ? 1 : old->n_parts); i++)
        view_append(next, wn_vector_index_retain(old->parts[i]));
    if (!full)
        return WN_OK;
    wn_vector_index *joined = NULL;
    WN_TRY(wn_vector_index_create(&joined, old->dim, WN_VECTOR_FLAT, err));
    wn_status status = WN_OK;
    for (size_t i = 1; i < old->n_parts && status == WN_OK; i++)
        status = wn_vector_rows_copy(joined, old->parts[i], err);
    if (status == WN_OK)
        view_append(next, joined);
    else
        wn_vector_index_release(joined);
    return status;
}

/* A view that covers ids up to `last` at least. update_mutex is held. */
static wn_status extend_view(wn_vector_store *store, wn_corpus_db *db, size_t dim, int64_t last,
                             const wn_vector_view *old, wn_vector_view **out, wn_error *err)
{
    wn_vector_view *next = view_new(dim);
    if (!next)
        return no_memory(err);
    wn_status status = WN_OK;
    wn_vector_index *x = NULL;
    if (old && old->dim == dim) {
        status = inherit_parts(old, next, err);
    } else {
        status = load_file(store, db, dim, &x, err);
        if (x)
            view_append(next, x);
    }
    if (status == WN_OK && next->last_id < last) {
        status = wn_vector_rows_read(db, next->last_id, dim, WN_VECTOR_FLAT, &x, err);
        if (status == WN_OK)
            view_append(next, x);
    }
    if (status != WN_OK) {
        wn_vector_view_release(next);
        return status;
    }
    publish(store, next);
    *out = next;
    return WN_OK;
}

static bool covers(const wn_vector_view *v, size_t dim, int64_t last)
{
    return v && v->dim == dim && v->last_id >= last;
}

wn_status wn_vector_store_view(wn_vector_store *store, wn_corpus_db *db, wn_vector_view **out,
                               wn_error *err)
{
    *out = NULL;
    wn_corpus_meta meta = {0};
    int64_t last = 0;
    WN_TRY(wn_db_meta(db, &meta, err));
    WN_TRY(max_id(db, &last, err));
    if (last <= 0) { /* no vectors: nothing to keep either */
        *out = view_new(meta.dim);
        return *out ? WN_OK : no_memory(err);
    }
    wn_vector_view *v = current_view(store);
    if (covers(v, meta.dim, last)) {
        *out = v;
        return WN_OK;
    }
    wn_vector_view_release(v);
    pthread_mutex_lock(&store->update_mutex);
    v = current_view(store);
    wn_status status = WN_OK;
    if (covers(v, meta.dim, last)) {
        *out = v;
        v = NULL;
    } else {
        status = extend_view(store, db, meta.dim, last, v, out, err);
    }
    pthread_mutex_unlock(&store->update_mutex);
    wn_vector_view_release(v);
    return status;
}

wn_status wn_vector_view_search(const wn_vector_view *v, const float *query, size_t k,
                                wn_vector_accept_fn accept, void *ctx, wn_index_hit *hits,
                                size_t *n, wn_error *err)
{
    *n = 0;
    wn_index_hit *part_hits = wn_alloc(k, sizeof *part_hits);
    if (!part_hits)
        return no_memory(err);
    wn_status status = WN_OK;
    for (size_t i = 0; i < v->n_parts && status == WN_OK; i++) {
        size_t n_part = 0;
        status =
            wn_vector_index_search(v->parts[i], query, k, accept, ctx, part_hits, &n_part, err);
        for (size_t j = 0; j < n_part && status == WN_OK; j++)
            wn_vector_hit_insert(hits, n, k, part_hits[j]);
    }
    free(part_hits);
    return status;
}

/* Compacting -------------------------------------------------------------------------------------
 */

/* Whether the base can stay and the rest be added to it. A graph bears some dead rows (each costs a
 * little search time) because building one is slow; flat rows are cheap to lay out again. */
static bool base_is_usable(const wn_vector_view *v, wn_vector_kind kind, size_t n_dead)
{
    if (v->n_parts == 0 || wn_vector_index_kind(v->parts[0]) != kind)
        return false;
    return kind == WN_VECTOR_HNSW ? n_dead <= v->n_rows / 5 : n_dead == 0;
}

static wn_status build_base(wn_corpus_db *db, const wn_vector_view *v, wn_vector_kind kind,
                            size_t n_dead, wn_vector_index **out, wn_error *err)
{
    if (!base_is_usable(v, kind, n_dead))
        return wn_vector_rows_read(db, 0, v->dim, kind, out, err);
    if (v->n_parts == 1) {
        *out = wn_vector_index_retain(v->parts[0]);
        return WN_OK;
    }
    WN_TRY(wn_vector_index_clone(out, v->parts[0], err));
    for (size_t i = 1; i < v->n_parts; i++) {
        wn_status status = wn_vector_rows_copy(*out, v->parts[i], err);
        if (status != WN_OK) {
            wn_vector_index_release(*out);
            *out = NULL;
            return status;
        }
    }
    return WN_OK;
}

/* The base, and what others have added above it meanwhile. */
static wn_status publish_base(wn_vector_store *store, wn_vector_index *base, wn_error *err)
{
    wn_vector_view *next = view_new(wn_vector_index_dim(base));
    if (!next)
        return no_memory(err);
    view_append(next, wn_vector_index_retain(base));
    pthread_mutex_lock(&store->update_mutex);
    wn_vector_view *now = current_view(store);
    if (now && now->dim == next->dim)
        for (size_t i = 0; i < now->n_parts; i++)
            if (wn_vector_index_first_id(now->parts[i]) > next->last_id)
                view_append(next, wn_vector_index_retain(now->parts[i]));
    publish(store, next);
    pthread_mutex_unlock(&store->update_mutex);
    wn_vector_view_release(now);
    wn_vector_view_release(next);
    return WN_OK;
}

static wn_status compact(wn_vector_store *store, wn_corpus_db *db, const wn_vector_view *v,
                         size_t n_live, wn_vector_index **base, wn_error *err)
{
    size_t n_dead = v->n_rows > n_live ? v->n_rows - n_live : 0;
    wn_vector_kind kind = n_live >= store->hnsw_rows ? WN_VECTOR_HNSW : WN_VECTOR_FLAT;
    WN_TRY(build_base(db, v, kind, n_dead, base, err));
    if (v->n_parts == 1 && *base == v->parts[0])
        return WN_OK;
    wn_status status = publish_base(store, *base, err);
    if (status != WN_OK) {
        wn_vector_index_release(*base);
        *base = NULL;
    }
    return status;
}

wn_status wn_vector_store_compact(wn_vector_store *store, wn_corpus_db *db, wn_vector_index **base,
                                  bool *on_file, wn_error *err)
{
    *base = NULL;
    *on_file = false;
    wn_corpus_meta meta = {0};
    WN_TRY(wn_db_meta(db, &meta, err));
    wn_vector_view *v = NULL;
    wn_status status = wn_vector_store_view(store, db, &v, err);
    if (status == WN_OK && v->n_rows > 0)
        status = compact(store, db, v, meta.n_vectors, base, err);
    wn_vector_view_release(v);
    if (status != WN_OK || !*base)
        return status;
    wn_vector_index *saved = current_on_file(store);
    *on_file = saved == *base;
    wn_vector_index_release(saved);
    return WN_OK;
}
