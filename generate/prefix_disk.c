/* The folder of prefixes' files: names, budget, removal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "generate/prefix_internal.h"

char *prefix_disk_path(const wn_prefix_cache *c, const prefix_node *node)
{
    char name[17 + sizeof PREFIX_FILE_SUFFIX];
    wn_hex(node->key, 8, name);
    memcpy(name + 16, PREFIX_FILE_SUFFIX, sizeof PREFIX_FILE_SUFFIX);
    return wn_fs_join(c->dir, name);
}

size_t prefix_disk_bytes(const wn_prefix_cache *c, const char *corpus)
{
    size_t n = 0;
    for (const prefix_scope *s = c->scopes; s; s = s->next)
        if (!corpus || strcmp(s->corpus, corpus) == 0)
            n += s->disk_bytes;
    return n;
}

/* A failed unlink leaves a file that the next start finds again: nothing else can be done here. */
static void remove_file(wn_prefix_cache *c, prefix_node *node)
{
    char *path = node->file_bytes ? prefix_disk_path(c, node) : NULL;
    if (path)
        unlink(path);
    free(path);
    node->scope->disk_bytes -= node->file_bytes;
    node->file_bytes = 0;
}

void prefix_disk_remove(wn_prefix_cache *c, prefix_node *node)
{
    for (prefix_node *child = node->children; child; child = child->next)
        prefix_disk_remove(c, child);
    remove_file(c, node);
    node->durable = false;
}

bool prefix_disk_refuse(wn_prefix_cache *c, const char *path, wn_status why)
{
    if (why == WN_CONFLICT)
        c->stats.refused_foreign++;
    else if (why == WN_UNSUPPORTED)
        c->stats.refused_version++;
    else if (why == WN_CORRUPT || why == WN_FORMAT)
        c->stats.refused_corrupt++;
    else
        return false;
    unlink(path);
    return true;
}

static bool is_ancestor(const prefix_node *above, const prefix_node *node)
{
    while (node && node != above)
        node = node->parent;
    return node == above;
}

static bool has_file_below(const prefix_node *node)
{
    for (const prefix_node *child = node->children; child; child = child->next)
        if (child->file_bytes)
            return true;
    return false;
}

/* What no other file needs and is worth least (as in prefix_memory.c). */
static prefix_node *cheapest(wn_prefix_cache *c, const char *corpus, const prefix_node *keep)
{
    prefix_node *best = NULL;
    double lowest = INFINITY;
    for (prefix_scope *s = c->scopes; s; s = s->next) {
        if (corpus && strcmp(s->corpus, corpus) != 0)
            continue;
        for (prefix_node *n = &s->root; n; n = prefix_after(n, &s->root)) {
            if (!n->file_bytes || has_file_below(n) || is_ancestor(n, keep))
                continue;
            const double priority = n->file_base + n->read_ms / (double)n->file_bytes;
            if (priority < lowest) {
                lowest = priority;
                best = n;
            }
        }
    }
    if (best && lowest > c->file_aged)
        c->file_aged = lowest;
    return best;
}

bool prefix_disk_make_room(wn_prefix_cache *c, const prefix_node *parent, size_t bytes)
{
    const char *corpora[] = {parent->scope->corpus, NULL};
    for (size_t i = 0; i < 2; i++) {
        const size_t limit = corpora[i] && c->o.max_corpus_disk_bytes ? c->o.max_corpus_disk_bytes
                                                                      : c->o.max_disk_bytes;
        if (bytes > limit)
            return false;
        while (prefix_disk_bytes(c, corpora[i]) > limit - bytes) {
            prefix_node *victim = cheapest(c, corpora[i], parent);
            if (!victim)
                return false;
            remove_file(c, victim);
            victim->durable = false;
            prefix_prune(victim);
            c->stats.evicted_disk++;
        }
    }
    return true;
}
