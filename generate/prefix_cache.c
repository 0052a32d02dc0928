#include "generate/prefix_cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "generate/prefix_internal.h"

const char *wn_prefix_source_name(wn_prefix_source s)
{
    static const char *const names[] = {"none", "session", "memory", "disk"};
    return names[s];
}

prefix_node *prefix_cheapest(wn_prefix_cache *c, const char *corpus, prefix_worth worth,
                             const prefix_node *but, double *aged)
{
    prefix_node *best = NULL;
    double lowest = INFINITY;
    for (prefix_scope *s = c->scopes; s; s = s->next) {
        if (corpus && strcmp(s->corpus, corpus) != 0)
            continue;
        for (prefix_node *n = s->root.children; n; n = prefix_after(n, &s->root)) {
            const double own = worth(c, n, but);
            if (own < lowest) {
                lowest = own;
                best = n;
            }
        }
    }
    if (best && lowest > *aged)
        *aged = lowest;
    return best;
}

wn_status wn_prefix_cache_open(wn_prefix_cache **out, const wn_prefix_cache_options *options,
                               wn_error *err)
{
    wn_prefix_cache *c = wn_alloc(1, sizeof *c);
    if (!c)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix cache");
    c->o = *options;
    c->o.dir = NULL;
    c->lock_fd = -1;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->saved, NULL);
    c->o.pool = wn_kv_pool_share(options->pool);
    c->holders =
        wn_alloc(wn_kv_pool_n_free(c->o.pool) + wn_kv_pool_n_used(c->o.pool), sizeof *c->holders);
    const bool disk = options->dir && options->max_disk_bytes;
    c->dir = disk ? wn_strdup(options->dir) : NULL;
    wn_status status = WN_OK;
    if (!c->holders || (disk && !c->dir))
        status = wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix cache");
    if (status == WN_OK && disk)
        status = prefix_disk_open(c, err);
    if (status != WN_OK) {
        wn_prefix_cache_close(c);
        return status;
    }
    *out = c;
    return WN_OK;
}

static void close_tree(wn_prefix_cache *c, prefix_node *node)
{
    while (node->children) {
        prefix_node *child = node->children;
        close_tree(c, child);
        prefix_node_unlink(child);
        if (child->kv)
            wn_kv_store_close(child->kv);
        prefix_node_free(child);
    }
}

void wn_prefix_cache_close(wn_prefix_cache *c)
{
    if (!c)
        return;
    if (c->dead)
        wn_prefix_cache_tend(c);
    while (c->scopes) {
        prefix_scope *s = c->scopes;
        close_tree(c, &s->root);
        c->scopes = s->next;
        free(s->corpus);
        free(s);
    }
    prefix_disk_close(c);
    wn_kv_pool_close(c->o.pool);
    pthread_cond_destroy(&c->saved);
    pthread_mutex_destroy(&c->lock);
    free(c->holders);
    free(c->dir);
    free(c);
}
