/* The memory of prefixes: which pages they hold, and what goes when a budget is full. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "generate/kv_store_internal.h"
#include "generate/prefix_internal.h"

typedef size_t (*page_visit)(uint32_t *holders);

/* Calls visit for every page with tokens at or behind first that the store has when it is packed.
 */
static size_t each_page(const wn_prefix_cache *c, const wn_kv_store *kv, size_t first,
                        page_visit visit)
{
    const bool all = kv->tail_first == 0;
    size_t n = 0;
    for (size_t i = 0; i < kv->n_lists; i++) {
        const kv_list *list = &kv->lists[i];
        for (size_t page = 0; page < list->n_log / WN_KV_SLOTS; page++)
            n += visit(&c->holders[wn_kv_pool_index(kv->pool, list->log[page])]);
        for (size_t page = kv_page_count(first); all && page < kv_page_count(kv->length); page++)
            if (list->tail[page])
                n += visit(&c->holders[wn_kv_pool_index(kv->pool, list->tail[page])]);
    }
    return n;
}

/* Each returns whether the page counts. */
static size_t hold(uint32_t *holders)
{
    return (*holders)++ == 0;
}

static size_t let_go(uint32_t *holders)
{
    assert(*holders > 0);
    return --*holders == 0;
}

static size_t is_last(uint32_t *holders)
{
    return *holders == 1;
}

static size_t is_any(uint32_t *holders)
{
    (void)holders;
    return 1;
}

static size_t is_new(uint32_t *holders)
{
    return *holders == 0;
}

/* What a node takes beside pages with a packed store of its own, whose lists have n_slots
 * pages. */
static size_t list_bytes(const wn_kv_store *kv, size_t n_slots, const prefix_node *node)
{
    const size_t per_page = (kv->o.window ? 2 : 1) * sizeof *kv->pages + (kv->o.window ? 8 : 0);
    return kv_packed_bytes(kv) + sizeof *node + sizeof *kv + kv->o.n_kv_heads * sizeof *kv->view +
           kv->n_lists * (sizeof *kv->lists + n_slots * per_page) +
           (node->n - node->n_first) * sizeof *node->ids;
}

static void take(wn_prefix_cache *c, prefix_node *node, wn_kv_store *kv)
{
    node->kv = kv;
    node->kv_bytes = list_bytes(kv, kv->n_slots, node);
    node->scope->kv_bytes += node->kv_bytes;
    node->scope->page_bytes += each_page(c, kv, 0, hold) * kv->layout.page_bytes;
}

static wn_kv_store *let_all_go(wn_prefix_cache *c, prefix_node *node)
{
    wn_kv_store *kv = node->kv;
    node->scope->page_bytes -= each_page(c, kv, 0, let_go) * kv->layout.page_bytes;
    node->scope->kv_bytes -= node->kv_bytes;
    node->kv = NULL;
    node->kv_bytes = 0;
    node->cut = false;
    return kv;
}

size_t prefix_memory_bytes(const wn_prefix_cache *c, const char *corpus)
{
    size_t n = 0;
    for (const prefix_scope *s = c->scopes; s; s = s->next)
        if (!corpus || strcmp(s->corpus, corpus) == 0)
            n += s->page_bytes + s->kv_bytes;
    return n;
}

size_t prefix_memory_own(const wn_prefix_cache *c, const prefix_node *node)
{
    return node->kv
               ? node->kv_bytes + each_page(c, node->kv, 0, is_last) * node->kv->layout.page_bytes
               : 0;
}

size_t prefix_memory_held(const prefix_node *node, const wn_kv_store *kv)
{
    return kv->length == node->n ? wn_kv_store_bytes(kv)
                                 : kv->n_lists * kv_page_count(node->n) * kv->layout.page_bytes;
}

/* Whether the node would be left without memory if this store, a descendant's, went, and can live
 * on in its first tokens: of the last page, the rest is another text's, and has to be cleared. */
static bool inherits(const prefix_node *node, const wn_kv_store *kv)
{
    const size_t page = node->n / WN_KV_SLOTS;
    if (!node->parent || kv->tail_first > 0 || node->tail_first > 0 || prefix_owner_of(node))
        return false;
    return node->n % WN_KV_SLOTS == 0 || !wn_kv_pool_is_shared(kv->pool, kv->lists->tail[page]);
}

/* It fits into the pages that are its own. */
static void inherit(wn_prefix_cache *c, prefix_node *node, wn_kv_store *kv)
{
    wn_kv_store_truncate(kv, node->n);
    take(c, node, kv);
}

void prefix_memory_release(wn_prefix_cache *c, prefix_node *node)
{
    wn_kv_store *kv = let_all_go(c, node);
    if (!node->dead && inherits(node->parent, kv))
        inherit(c, node->parent, kv);
    else
        wn_kv_store_close(kv);
}

void prefix_memory_cut(wn_prefix_cache *c, prefix_node *node)
{
    wn_kv_store *kv = let_all_go(c, node);
    if (inherits(node, kv))
        inherit(c, node, kv);
    else
        wn_kv_store_close(kv);
}

/* Milliseconds to have the node's span again. */
static double cost_of(const wn_prefix_cache *c, const prefix_node *node)
{
    const double rate = c->stats.load_bytes_per_s;
    if (!node->file_bytes || rate <= 0)
        return node->read_ms;
    return fmin(node->read_ms, (double)node->file_bytes / rate * 1e3);
}

/* What goes with the node; its parent may inherit the pages of its own tokens. */
static size_t gain_of(const wn_prefix_cache *c, const prefix_node *node)
{
    const prefix_node *parent = node->parent;
    const bool heir = parent->parent && node->kv->tail_first == 0 && parent->tail_first == 0;
    return each_page(c, node->kv, heir ? parent->n : 0, is_last) * node->kv->layout.page_bytes +
           (heir ? 0 : node->kv_bytes);
}

static double worth_of(const wn_prefix_cache *c, const prefix_node *node, const prefix_node *but)
{
    if (!node->kv || node->busy || node == but)
        return INFINITY;
    return node->base + cost_of(c, node) / (double)(gain_of(c, node) + sizeof *node);
}

/* Of what others than the corpus named may have; NULL: of all. */
static size_t limit_of(const wn_prefix_cache *c, const char *corpus)
{
    return corpus && c->o.max_corpus_memory_bytes ? c->o.max_corpus_memory_bytes
                                                  : c->o.max_memory_bytes;
}

/* What a store that the session's is packed into takes, of pages that count. */
static size_t needed_for(const wn_prefix_cache *c, const wn_kv_store *kv, const prefix_node *node,
                         page_visit counts)
{
    return list_bytes(kv, kv_page_count(kv->length), node) +
           each_page(c, kv, 0, counts) * kv->layout.page_bytes;
}

/* Whether there is room for the store's content now. */
static bool make_room(wn_prefix_cache *c, const prefix_node *node, const wn_kv_store *kv)
{
    const char *corpora[] = {node->scope->corpus, NULL};
    for (size_t i = 0; i < 2; i++) {
        const size_t limit = limit_of(c, corpora[i]);
        if (needed_for(c, kv, node, is_any) > limit)
            return false; /* others went for nothing */
        while (prefix_memory_bytes(c, corpora[i]) + needed_for(c, kv, node, is_new) > limit) {
            prefix_node *victim = prefix_cheapest(c, corpora[i], worth_of, node, &c->aged);
            if (!victim)
                return false;
            prefix_memory_release(c, victim);
            prefix_prune(victim);
            c->stats.evicted_memory++;
        }
    }
    return true;
}

/* Ancestors that the node can stand for need no pages of their own. */
static void relieve(wn_prefix_cache *c, prefix_node *node)
{
    if (node->kv->tail_first > 0)
        return;
    for (prefix_node *above = node->parent; above->parent; above = above->parent)
        if (above->kv && !above->busy)
            wn_kv_store_close(let_all_go(c, above));
}

void prefix_memory_keep(wn_prefix_cache *c, prefix_node *node, const wn_session *s)
{
    wn_kv_store *kv = NULL;
    if (prefix_owner_of(node) || !make_room(c, node, s->kv) ||
        wn_kv_store_pack(&kv, s->kv, NULL) != WN_OK)
        return;
    take(c, node, kv);
    node->base = c->aged;
    relieve(c, node);
}
