/* Prefixes from memory to files. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "generate/prefix_internal.h"

/* One file being written: what is needed of the tree, which may change meanwhile. */
typedef struct job {
    prefix_node *node, *owner, *parent; /* busy until it is done (the root never is) */
    uint8_t *meta;
    prefix_file_header h;
    wn_kv_span span;
    char *path;
} job;

static bool is_next(const prefix_node *node)
{
    return node->durable && !node->file_bytes && !node->busy &&
           (!node->parent->parent || node->parent->file_bytes) && prefix_has_memory(node);
}

static prefix_node *next_node(wn_prefix_cache *c)
{
    for (prefix_scope *s = c->scopes; s; s = s->next)
        for (prefix_node *n = s->root.children; n; n = prefix_after(n, &s->root))
            if (is_next(n))
                return n;
    return NULL;
}

static size_t ends_bytes(const prefix_node *node)
{
    size_t n = 0;
    for (size_t i = 0; i < node->n_ends; i++)
        n += sizeof(uint64_t) + sizeof(uint32_t) +
             (node->ends[i].document ? strlen(node->ends[i].document) : 0);
    return n;
}

static void fill_header(const wn_prefix_cache *c, const prefix_node *node, const wn_kv_span *span,
                        prefix_file_header *h)
{
    *h = (prefix_file_header){.log_bytes = wn_kv_span_log_bytes(span),
                              .tail_bytes = wn_kv_span_tail_bytes(span),
                              .n_first = node->n_first,
                              .from_tail = node->parent->tail_first,
                              .n = node->n,
                              .tail_first = node->tail_first,
                              .back_to = node->back_to,
                              .corpus_len = strlen(node->scope->corpus),
                              .n_ends = node->n_ends,
                              .ends_bytes = ends_bytes(node),
                              .bits_bytes =
                                  wn_kv_span_bits_bytes(span->s, node->parent->tail_first, node->n),
                              .token_bytes = node->scope->token_bytes,
                              .created = node->created,
                              .read_ms = node->read_ms};
    prefix_file_header_start(h, &c->key);
    memcpy(h->scope, node->scope->digest, sizeof h->scope);
    memcpy(h->key, node->key, sizeof h->key);
    memcpy(h->parent, node->parent->tag, sizeof h->parent);
    h->meta_bytes = sizeof *h + h->corpus_len + (node->n - node->n_first) * sizeof *node->ids +
                    h->ends_bytes + h->bits_bytes;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
    if (len)
        memcpy(at, bytes, len);
    return at + len;
}

static void fill_meta(const prefix_node *node, const wn_kv_span *span, const prefix_file_header *h,
                      uint8_t *at)
{
    at = put(at, h, sizeof *h);
    at = put(at, node->scope->corpus, (size_t)h->corpus_len);
    at = put(at, node->ids, (node->n - node->n_first) * sizeof *node->ids);
    for (size_t i = 0; i < node->n_ends; i++) {
        const char *document = node->ends[i].document ? node->ends[i].document : "";
        const uint64_t n = node->ends[i].n;
        const uint32_t len = (uint32_t)strlen(document);
        at = put(at, &n, sizeof n);
        at = put(at, &len, sizeof len);
        at = put(at, document, len);
    }
    wn_kv_span_save_bits(span, at);
}

static void end_job(job *j)
{
    if (j->meta)
        explicit_bzero(j->meta, (size_t)j->h.meta_bytes);
    free(j->meta);
    free(j->path);
    wn_kv_span_close(&j->span);
    j->node->busy = j->owner->busy = j->parent->busy = false;
}

/* With the lock. WN_LIMIT: there is no room for it. */
static wn_status begin_job(wn_prefix_cache *c, prefix_node *node, job *j, wn_error *err)
{
    *j = (job){.node = node,
               .owner = (prefix_node *)(uintptr_t)prefix_owner_of(node),
               .parent = node->parent};
    WN_TRY(wn_kv_span_open(&j->span, j->owner->kv, node->n_first, node->parent->tail_first, node->n,
                           node->tail_first, err));
    fill_header(c, node, &j->span, &j->h);
    j->node->busy = j->owner->busy = j->parent->busy = true;
    const size_t bytes = prefix_file_bytes(&j->h);
    wn_status status = WN_OK;
    if (!prefix_disk_make_room(c, j->parent, bytes))
        status = wn_error_set(err, WN_LIMIT, "no room for a prefix of %zu bytes", bytes);
    j->meta = status == WN_OK ? wn_alloc((size_t)j->h.meta_bytes, 1) : NULL;
    j->path = prefix_disk_path(c, node);
    if (status == WN_OK && (!j->meta || !j->path))
        status = wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix' file");
    if (status != WN_OK) {
        end_job(j);
        return status;
    }
    fill_meta(node, &j->span, &j->h, j->meta);
    node->scope->disk_bytes += bytes; /* taken before it is */
    return WN_OK;
}

/* With the lock again: the file counts if its place in the tree is still there. */
static void finish_job(wn_prefix_cache *c, job *j, const uint8_t tag[WN_SHA256_BYTES],
                       wn_status status)
{
    prefix_node *node = j->node;
    const bool placed =
        !node->dead && node->parent == j->parent && (!j->parent->parent || j->parent->file_bytes);
    const size_t bytes = prefix_file_bytes(&j->h);
    if (status == WN_OK && placed) {
        node->file_bytes = bytes;
        node->file_base = c->file_aged;
        memcpy(node->tag, tag, sizeof node->tag);
        c->stats.files_written++;
    } else {
        unlink(j->path);
        node->scope->disk_bytes -= bytes;
        node->durable = false;
        c->stats.refused_write += status != WN_OK;
    }
    end_job(j);
}

static wn_status save_node(wn_prefix_cache *c, prefix_node *node, wn_error *err)
{
    job j;
    uint8_t tag[WN_SHA256_BYTES] = {0};
    wn_status status = begin_job(c, node, &j, err);
    if (status == WN_LIMIT || status == WN_NO_MEMORY) {
        node->durable = false;
        return status;
    }
    c->saving = true;
    pthread_mutex_unlock(&c->lock);
    status = prefix_file_write(j.path, &c->key, j.meta, &j.span, tag, err);
    pthread_mutex_lock(&c->lock);
    finish_job(c, &j, tag, status);
    c->saving = false;
    pthread_cond_broadcast(&c->saved);
    return status;
}

wn_status wn_prefix_cache_save(wn_prefix_cache *c, wn_error *err)
{
    wn_status status = WN_OK;
    pthread_mutex_lock(&c->lock);
    while (c->saver)
        pthread_cond_wait(&c->saved, &c->lock);
    c->saver = true;
    while (status == WN_OK && c->lock_fd >= 0) {
        wn_error why = {0};
        while (c->n_waiting)
            pthread_cond_wait(&c->saved, &c->lock);
        prefix_node *node = next_node(c);
        if (!node)
            break;
        status = save_node(c, node, &why);
        if (status == WN_LIMIT) /* the budget: it stays in memory */
            status = WN_OK;
        else if (status != WN_OK)
            (void)wn_error_set(err, status, "%s", why.text);
    }
    c->saver = false;
    pthread_cond_broadcast(&c->saved);
    pthread_mutex_unlock(&c->lock);
    return status;
}
