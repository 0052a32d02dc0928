/* Nodes of prefixes, found by their tokens. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/clock.h"
#include "generate/prefix_internal.h"

prefix_scope *prefix_scope_find(wn_prefix_cache *c, const uint8_t digest[WN_SHA256_BYTES])
{
    prefix_scope *s = c->scopes;
    while (s && memcmp(s->digest, digest, sizeof s->digest) != 0)
        s = s->next;
    return s;
}

wn_status prefix_scope_add(wn_prefix_cache *c, const uint8_t digest[WN_SHA256_BYTES],
                           const char *corpus, size_t token_bytes, prefix_scope **out,
                           wn_error *err)
{
    prefix_scope *s = wn_alloc(1, sizeof *s);
    if (s)
        s->corpus = wn_strdup(corpus);
    if (!s || !s->corpus) {
        free(s);
        return wn_error_set(err, WN_NO_MEMORY, "no memory for the prefixes of corpus %s", corpus);
    }
    memcpy(s->digest, digest, sizeof s->digest);
    s->token_bytes = token_bytes;
    s->root.scope = s;
    s->next = c->scopes;
    c->scopes = s;
    *out = s;
    return WN_OK;
}

/* Of all that prefixes have to agree in before tokens are looked at. */
static wn_status digest_of(const wn_prefix_request *r, uint8_t digest[WN_SHA256_BYTES],
                           wn_error *err)
{
    const uint64_t key_len = r->key_len;
    uint8_t kind[WN_SHA256_BYTES];
    wn_sha256 *sha = NULL;
    WN_TRY(wn_session_kind(r->session, kind, err));
    WN_TRY(wn_sha256_open(&sha, err));
    wn_status status = wn_sha256_add(sha, &key_len, sizeof key_len, err);
    if (status == WN_OK)
        status = wn_sha256_add(sha, kind, sizeof kind, err);
    if (status == WN_OK)
        status = wn_sha256_add(sha, r->key, r->key_len, err);
    if (status == WN_OK)
        status = wn_sha256_add(sha, r->corpus, strlen(r->corpus), err);
    wn_sha256_close(sha, digest);
    return status;
}

wn_status prefix_scope_of(wn_prefix_cache *c, const wn_prefix_request *r, bool make,
                          prefix_scope **out, wn_error *err)
{
    uint8_t digest[WN_SHA256_BYTES];
    WN_TRY(digest_of(r, digest, err));
    *out = prefix_scope_find(c, digest);
    if (*out || !make)
        return WN_OK;
    const wn_model_config *m = &r->session->model->config;
    const size_t token_bytes = m->n_layers * m->n_kv_heads * m->head_dim * 2 * sizeof(uint16_t);
    return prefix_scope_add(c, digest, r->corpus, token_bytes, out, err);
}

bool prefix_any(const prefix_node *node)
{
    (void)node;
    return true;
}

bool prefix_has_file(const prefix_node *node)
{
    return node->file_bytes > 0;
}

bool prefix_has_memory(const prefix_node *node)
{
    return prefix_owner_of(node) != NULL;
}

/* The first tokens of a node that are ids[0, m), m <= n; its parent's are. */
static size_t agree(const prefix_node *node, const int32_t *ids, size_t n)
{
    const size_t end = node->n < n ? node->n : n;
    size_t m = node->n_first;
    while (m < end && node->ids[m - node->n_first] == ids[m])
        m++;
    return m;
}

typedef struct search {
    const int32_t *ids;
    size_t n;
    prefix_test test;
    bool within; /* a node's tokens: any state that its own has in it will do */
    prefix_node *best;
    size_t n_best;
} search;

static void search_below(search *s, prefix_node *top)
{
    for (prefix_node *child = top->children; child; child = child->next) {
        const size_t m = agree(child, s->ids, s->n);
        if (m > s->n_best && (m == child->n || (s->within && m >= child->back_to)) &&
            s->test(child)) {
            s->best = child;
            s->n_best = m;
        }
        if (m == child->n)
            search_below(s, child);
    }
}

prefix_node *prefix_match(prefix_node *top, const int32_t *ids, size_t n, prefix_test test,
                          size_t *n_found)
{
    search s = {ids, n, test, n_found != NULL, top, top->n};
    search_below(&s, top);
    if (n_found)
        *n_found = s.n_best;
    return s.best;
}

prefix_node *prefix_after(const prefix_node *node, const prefix_node *top)
{
    if (node->children)
        return node->children;
    while (node != top && !node->next)
        node = node->parent;
    return node == top ? NULL : node->next;
}

/* A state whose tail starts at 0 is in every later one. */
const prefix_node *prefix_owner_of(const prefix_node *node)
{
    if (node->kv || node->tail_first > 0 || node->n == 0)
        return node->kv ? node : NULL;
    for (const prefix_node *below = prefix_after(node, node); below;
         below = prefix_after(below, node))
        if (below->kv && below->tail_first == 0)
            return below;
    return NULL;
}

static bool add_end(prefix_node *node, const wn_prefix_end *from)
{
    prefix_end *end = &node->ends[node->n_ends];
    *end = (prefix_end){from->n, from->document ? wn_strdup(from->document) : NULL};
    node->n_ends += !from->document || end->document;
    return !from->document || end->document;
}

/* Those in its span, and the one of a text that goes on behind it. */
static bool copy_ends(prefix_node *node, const wn_prefix_end *ends, size_t n_ends)
{
    size_t i = 0;
    while (i < n_ends && ends[i].n <= node->n_first)
        i++;
    for (; i < n_ends && ends[i].n <= node->n; i++)
        if (!add_end(node, &ends[i]))
            return false;
    const bool at_end = i > 0 && ends[i - 1].n == node->n;
    return at_end || i == n_ends || add_end(node, &ends[i]);
}

static wn_status fill_key(prefix_node *node, const int32_t *ids, wn_error *err)
{
    wn_sha256 *sha = NULL;
    WN_TRY(wn_sha256_open(&sha, err));
    wn_status status = wn_sha256_add(sha, node->scope->digest, WN_SHA256_BYTES, err);
    if (status == WN_OK)
        status = wn_sha256_add(sha, ids, node->n * sizeof *ids, err);
    wn_sha256_close(sha, node->key);
    return status;
}

wn_status prefix_node_new(prefix_scope *scope, size_t n_first, const int32_t *ids, size_t n,
                          const wn_prefix_end *ends, size_t n_ends, prefix_node **out,
                          wn_error *err)
{
    prefix_node *node = wn_alloc(1, sizeof *node);
    if (node) {
        node->scope = scope;
        node->n_first = n_first;
        node->n = n;
        node->created = node->used = wn_clock_unix_s();
        node->ids = wn_alloc(n - n_first, sizeof *ids);
        node->ends = wn_alloc(n_ends, sizeof *node->ends);
    }
    if (!node || !node->ids || !node->ends || !copy_ends(node, ends, n_ends)) {
        prefix_node_free(node);
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix of %zu tokens", n);
    }
    memcpy(node->ids, ids + n_first, (n - n_first) * sizeof *ids);
    wn_status status = fill_key(node, ids, err);
    if (status != WN_OK)
        prefix_node_free(node);
    else
        *out = node;
    return status;
}

void prefix_node_link(prefix_node *parent, prefix_node *node)
{
    node->parent = parent;
    node->next = parent->children;
    parent->children = node;
}

void prefix_node_unlink(prefix_node *node)
{
    prefix_node **at = &node->parent->children;
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    node->parent = node->next = NULL;
}

void prefix_node_free(prefix_node *node)
{
    if (!node)
        return;
    if (node->ids)
        explicit_bzero(node->ids, (node->n - node->n_first) * sizeof *node->ids);
    for (size_t i = 0; i < node->n_ends; i++)
        free(node->ends[i].document);
    free(node->ids);
    free(node->ends);
    free(node);
}

/* The child's span starts where the node's does. */
static bool join(const prefix_node *node, prefix_node *child)
{
    const size_t n = node->n - node->n_first, m = child->n - child->n_first;
    int32_t *ids = wn_alloc(n + m, sizeof *ids);
    prefix_end *ends = wn_alloc(node->n_ends + child->n_ends, sizeof *ends);
    size_t i = 0;
    for (; ids && ends && i < node->n_ends; i++) {
        ends[i] = node->ends[i];
        if (ends[i].document && !(ends[i].document = wn_strdup(ends[i].document)))
            break;
    }
    if (!ids || !ends || i < node->n_ends) {
        while (i > 0)
            free(ends[--i].document);
        free(ids);
        free(ends);
        return false;
    }
    memcpy(ids, node->ids, n * sizeof *ids);
    memcpy(ids + n, child->ids, m * sizeof *ids);
    memcpy(ends + i, child->ends, child->n_ends * sizeof *ends);
    explicit_bzero(child->ids, m * sizeof *ids);
    free(child->ids);
    free(child->ends);
    child->ids = ids;
    child->ends = ends;
    child->n_ends += node->n_ends;
    child->n_first = node->n_first;
    child->read_ms += node->read_ms;
    return true;
}

/* Its children become its parent's; false: some could not. */
static bool splice(prefix_node *node)
{
    while (node->children) {
        prefix_node *child = node->children, *parent = node->parent;
        if (child->busy || !join(node, child))
            return false;
        prefix_node_unlink(child);
        prefix_node_link(parent, child);
    }
    return true;
}

void prefix_prune(prefix_node *node)
{
    while (node->parent && !node->kv && !node->file_bytes && !node->busy) {
        prefix_node *parent = node->parent;
        if (node->children && (prefix_has_memory(node) || !splice(node)))
            return;
        prefix_node_unlink(node);
        prefix_node_free(node);
        node = parent;
    }
}

void prefix_prune_all(prefix_scope *scope)
{
    for (prefix_node *n = scope->root.children; n;) {
        if (n->children || n->kv || n->file_bytes || n->busy) {
            n = prefix_after(n, &scope->root);
            continue;
        }
        prefix_prune(n);
        n = scope->root.children; /* any may be gone */
    }
}

void prefix_touch(wn_prefix_cache *c, prefix_node *node)
{
    node->n_hits++;
    for (; node->parent; node = node->parent) {
        node->used = wn_clock_unix_s();
        node->base = c->aged;
        node->file_base = c->file_aged;
    }
}
