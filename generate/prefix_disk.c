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

/* Of a file that no other file needs. */
static double worth_of(const wn_prefix_cache *c, const prefix_node *node, const prefix_node *keep)
{
    (void)c;
    if (!node->file_bytes || has_file_below(node) || is_ancestor(node, keep))
        return INFINITY;
    return node->file_base + node->read_ms / (double)node->file_bytes;
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
            prefix_node *victim = prefix_cheapest(c, corpora[i], worth_of, parent, &c->file_aged);
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
