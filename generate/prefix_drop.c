/* Deletion and listing. */
#include <stdlib.h>
#include <string.h>

#include "generate/prefix_internal.h"

/* Which nodes go: those with a text of a document that is gone. */
typedef struct selection {
    wn_prefix_gone_fn gone; /* NULL: all nodes */
    void *ctx;
} selection;

static bool is_gone(const selection *which, const prefix_node *node)
{
    for (size_t i = 0; which->gone && i < node->n_ends; i++)
        if (node->ends[i].document &&
            which->gone(which->ctx, node->ends[i].document, node->created))
            return true;
    return !which->gone;
}

static bool is_named(void *ctx, const char *document, int64_t read_unix_s)
{
    (void)read_unix_s;
    return strcmp(document, ctx) == 0;
}

/* Of a subtree that is no longer in the tree: its parent may live on in the first of these pages;
 * tend sees to it. */
static void bequeath(wn_prefix_cache *c, prefix_node *heir, const prefix_node *node)
{
    prefix_node *owner = (prefix_node *)(uintptr_t)prefix_owner_of(node);
    if (!heir->parent || heir->tail_first > 0 || prefix_owner_of(heir) || !owner ||
        wn_kv_store_tail_first(owner->kv) > 0)
        return;
    heir->kv = owner->kv;
    heir->kv_bytes = owner->kv_bytes;
    heir->cut = c->any_cut = true;
    owner->kv = NULL;
    owner->kv_bytes = 0;
}

/* Its pages are the pool's thread's to give back. */
static size_t bury(wn_prefix_cache *c, prefix_node *node)
{
    size_t n = 1;
    while (node->children) {
        prefix_node *child = node->children;
        prefix_node_unlink(child);
        n += bury(c, child);
    }
    explicit_bzero(node->ids, (node->n - node->n_first) * sizeof *node->ids);
    node->dead = true;
    node->next = c->dead;
    c->dead = node;
    return n;
}

static size_t drop_below(wn_prefix_cache *c, prefix_node *top, const selection *which)
{
    size_t n = 0;
    for (prefix_node *child = top->children, *next; child; child = next) {
        next = child->next;
        if (!is_gone(which, child)) {
            n += drop_below(c, child, which);
            continue;
        }
        prefix_disk_remove(c, child);
        prefix_node_unlink(child);
        bequeath(c, top, child);
        n += bury(c, child);
    }
    return n;
}

/* With the lock: until no file is being written. One at most: no more are begun. */
static void wait_for_file(wn_prefix_cache *c)
{
    c->n_waiting++;
    while (c->saving)
        pthread_cond_wait(&c->saved, &c->lock);
    c->n_waiting--;
    pthread_cond_broadcast(&c->saved);
}

static size_t drop(wn_prefix_cache *c, const char *corpus, const selection *which)
{
    size_t n = 0;
    pthread_mutex_lock(&c->lock);
    wait_for_file(c);
    for (prefix_scope *s = c->scopes; s; s = s->next) {
        if (corpus && strcmp(s->corpus, corpus) != 0)
            continue;
        s->n_drops++;
        n += drop_below(c, &s->root, which);
    }
    c->stats.dropped += n;
    pthread_mutex_unlock(&c->lock);
    return n;
}

wn_status wn_prefix_cache_drop(wn_prefix_cache *c, const char *corpus, const char *document,
                               size_t *n_dropped, wn_error *err)
{
    const size_t n =
        drop(c, corpus, &(selection){document ? is_named : NULL, (void *)(uintptr_t)document});
    (void)err;
    if (n_dropped)
        *n_dropped = n;
    return WN_OK;
}

size_t wn_prefix_cache_drop_gone(wn_prefix_cache *c, const char *corpus, wn_prefix_gone_fn gone,
                                 void *ctx)
{
    return drop(c, corpus, &(selection){gone, ctx});
}

static void free_dead(wn_prefix_cache *c)
{
    prefix_node **at = &c->dead;
    while (*at) {
        prefix_node *node = *at;
        *at = node->next;
        if (node->kv)
            prefix_memory_release(c, node);
        prefix_node_free(node);
    }
}

static void cut_heirs(wn_prefix_cache *c)
{
    for (prefix_scope *s = c->scopes; s; s = s->next)
        for (prefix_node *n = s->root.children; n;) {
            if (!n->cut) {
                n = prefix_after(n, &s->root);
                continue;
            }
            prefix_memory_cut(c, n);
            prefix_prune(n);
            n = s->root.children; /* any may be gone */
        }
    c->any_cut = false;
}

static void free_empty_scopes(wn_prefix_cache *c)
{
    for (prefix_scope **at = &c->scopes; *at;) {
        prefix_scope *s = *at;
        if (s->root.children || s->n_readers) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        free(s->corpus);
        free(s);
    }
}

void wn_prefix_cache_tend(wn_prefix_cache *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->any_cut || c->dead)
        wait_for_file(c); /* whose pages may be among them; nobody may come back for them later */
    if (c->any_cut)
        cut_heirs(c);
    if (c->dead) {
        free_dead(c);
        free_empty_scopes(c);
        wn_kv_pool_wipe(c->o.pool);
    }
    pthread_mutex_unlock(&c->lock);
}

static size_t count_texts(const prefix_node *node)
{
    size_t n = 0;
    for (; node->parent; node = node->parent)
        for (size_t i = 0; i < node->n_ends; i++)
            n += node->ends[i].document && node->ends[i].n <= node->n;
    return n;
}

static wn_prefix_info info_of(const wn_prefix_cache *c, const prefix_node *node)
{
    const prefix_node *owner = prefix_owner_of(node);
    wn_prefix_info info = {.corpus = node->scope->corpus,
                           .n_tokens = node->n,
                           .n_texts = count_texts(node),
                           .in_memory = owner != NULL,
                           .memory_bytes = prefix_memory_own(c, node),
                           .dense_bytes = node->n * node->scope->token_bytes,
                           .disk_bytes = node->file_bytes,
                           .n_hits = node->n_hits,
                           .created_unix_s = node->created,
                           .used_unix_s = node->used};
    if (owner)
        info.held_bytes = prefix_memory_held(node, owner->kv);
    for (const prefix_node *child = node->children; child; child = child->next)
        info.n_children++;
    wn_hex(node->key, (sizeof info.id - 1) / 2, info.id);
    return info;
}

wn_status wn_prefix_cache_visit(wn_prefix_cache *c, const char *corpus, wn_prefix_visit_fn visit,
                                void *ctx, wn_error *err)
{
    wn_status status = WN_OK;
    pthread_mutex_lock(&c->lock);
    for (prefix_scope *s = c->scopes; s; s = s->next) {
        if (corpus && strcmp(s->corpus, corpus) != 0)
            continue;
        for (prefix_node *n = s->root.children; n && status == WN_OK;
             n = prefix_after(n, &s->root)) {
            const wn_prefix_info info = info_of(c, n);
            status = visit(ctx, &info, err);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return status;
}

void wn_prefix_cache_stats(wn_prefix_cache *c, wn_prefix_stats *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->stats;
    for (prefix_scope *s = c->scopes; s; s = s->next)
        for (prefix_node *n = s->root.children; n; n = prefix_after(n, &s->root))
            out->n_nodes++;
    out->memory_bytes = prefix_memory_bytes(c, NULL);
    out->disk_bytes = prefix_disk_bytes(c, NULL);
    pthread_mutex_unlock(&c->lock);
}
