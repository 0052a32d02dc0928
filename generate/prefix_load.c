/* Prefixes from files to sessions. */
#include <stdlib.h>
#include <string.h>

#include "generate/kv_store_internal.h"
#include "generate/prefix_internal.h"

size_t prefix_load_bytes(const prefix_node *node)
{
    size_t n = 0;
    for (; node->parent && !prefix_owner_of(node); node = node->parent)
        n += node->file_bytes;
    return n;
}

static wn_status load_file(wn_prefix_cache *c, prefix_node *node, const char *path, wn_session *s,
                           bool last, wn_error *err)
{
    prefix_file f;
    WN_TRY(prefix_file_open(&f, path, &c->key, err));
    wn_status status = WN_OK;
    if (memcmp(f.tag, node->tag, sizeof f.tag) != 0)
        status = wn_error_set(err, WN_CORRUPT, "%s: another prefix", path);
    else
        status = prefix_file_load(&f, &c->key, s->kv, last, wn_compute_pool(s->compute), err);
    prefix_file_close(&f);
    return status;
}

static wn_status load_node(wn_prefix_cache *c, prefix_node *node, wn_session *s, bool last,
                           wn_error *err)
{
    wn_error why = {0};
    char *path = prefix_disk_path(c, node);
    if (!path)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix' name");
    wn_status status = load_file(c, node, path, s, last, &why);
    if (status != WN_OK && status != WN_NO_MEMORY && status != WN_LIMIT) {
        (void)prefix_disk_refuse(c, path, status);
        prefix_disk_remove(c, node);
        prefix_prune_all(node->scope);
    }
    free(path);
    return status == WN_OK ? WN_OK : wn_error_set(err, status, "%s", why.text);
}

/* The nearest ancestor in memory, then file after file. */
static wn_status load_chain(wn_prefix_cache *c, prefix_node *node, const int32_t *ids,
                            wn_session *s, bool last, size_t *n_bytes, wn_error *err)
{
    const prefix_node *owner = prefix_owner_of(node);
    if (owner)
        return wn_session_set(s, ids, node->n, owner->kv, err);
    if (!node->parent)
        return WN_OK;
    WN_TRY(load_chain(c, node->parent, ids, s, false, n_bytes, err));
    *n_bytes += node->file_bytes;
    return load_node(c, node, s, last, err);
}

wn_status prefix_load(wn_prefix_cache *c, prefix_node *node, const int32_t *ids, size_t n,
                      wn_session *s, size_t *n_bytes, wn_error *err)
{
    *n_bytes = 0;
    wn_session_truncate(s, 0);
    wn_session_drop_marks(s, 0);
    wn_status status = load_chain(c, node, ids, s, true, n_bytes, err);
    if (status != WN_OK) {
        wn_kv_store_truncate(s->kv, 0);
        s->length = s->n_read = 0;
        return status;
    }
    memcpy(s->ids, ids, n * sizeof *ids);
    s->length = s->n_read = node->n;
    return WN_OK;
}

/* Of pages that a node is loaded to. A tail that starts at 0 is all there is; otherwise it comes on
 * top of what the files have, since they leave out of it what nobody sees. Lists end within pages,
 * and a session that goes on from a node copies those. */
static size_t memory_of(const prefix_node *node, size_t n_lists, size_t page_bytes)
{
    const size_t tail_pages = kv_page_count(node->n) - node->tail_first / WN_KV_SLOTS;
    return (tail_pages + 2) * n_lists * page_bytes +
           (node->tail_first ? prefix_load_bytes(node) : 0);
}

void wn_prefix_cache_prepare(wn_prefix_cache *c, size_t n_lists, wn_thread_pool *threads)
{
    const size_t page_bytes = wn_kv_pool_page_bytes(c->o.pool);
    size_t most = 0;
    pthread_mutex_lock(&c->lock);
    for (prefix_scope *scope = c->scopes; scope; scope = scope->next)
        for (const prefix_node *node = prefix_after(&scope->root, &scope->root); node;
             node = prefix_after(node, &scope->root)) {
            const size_t bytes = node->file_bytes ? memory_of(node, n_lists, page_bytes) : 0;
            most = bytes > most ? bytes : most;
        }
    const size_t room = wn_kv_pool_n_free(c->o.pool) * page_bytes;
    wn_kv_pool_prepare(c->o.pool, most < room ? most : room, threads);
    pthread_mutex_unlock(&c->lock);
}
