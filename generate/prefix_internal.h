/* The prefix cache's insides: prefix_tree.c (nodes by their tokens), prefix_memory.c (pages,
 * budget), prefix_file.c (one file), prefix_disk.c (all of them, budget), prefix_cache.c (reading),
 * prefix_drop.c (deletion, listing).
 *
 * A node's span starts where its parent's ends; siblings may start alike where a shorter prefix
 * came after a longer one. Memory: a node has a KV store of its own, or, where nothing of its
 * tokens can have been evicted, the first tokens of a descendant's. File: its parent has one, too.
 * A node without either has descendants that it is needed for, or is not in the tree. */
#ifndef WN_GENERATE_PREFIX_INTERNAL_H
#define WN_GENERATE_PREFIX_INTERNAL_H

#include <pthread.h>

#include "generate/kv_store.h"
#include "generate/prefix_cache.h"
#include "generate/prefix_file.h"
#include "generate/session_internal.h"

typedef struct prefix_end {
    size_t n;
    char *document; /* NULL: nobody's */
} prefix_end;

typedef struct prefix_node {
    struct prefix_node *parent, *children, *next; /* the root: parent NULL */
    struct prefix_scope *scope;
    size_t n_first, n; /* its tokens are n_first .. n - 1 */
    size_t tail_first; /* of the state after n */
    size_t back_to;    /* that state has those after n - 1, ... back_to tokens in it, too */
    int32_t *ids;      /* [n - n_first] */
    prefix_end *ends;  /* in (n_first, n], and one behind n if that is within a text */
    size_t n_ends;
    uint8_t key[WN_SHA256_BYTES]; /* of scope and ids [0, n) */

    wn_kv_store *kv; /* NULL: not in memory, or in a descendant's */
    bool cut;        /* kv is what drop left over of a descendant's: tend shortens it to n */
    size_t kv_bytes; /* beside pages */
    double base;     /* the memory's `aged` when it was used last */

    bool durable;                 /* is to have a file */
    size_t file_bytes;            /* 0: none */
    uint8_t tag[WN_SHA256_BYTES]; /* of the file */
    double file_base;

    bool busy;      /* save reads its pages without the lock; or a read holds it */
    bool dead;      /* dropped */
    double read_ms; /* what its span took to read */
    uint64_t n_hits;
    int64_t created, used; /* unix seconds */
} prefix_node;

typedef struct prefix_scope {
    struct prefix_scope *next;
    uint8_t digest[WN_SHA256_BYTES];
    char *corpus;
    prefix_node root;
    size_t page_bytes, kv_bytes, disk_bytes;
    size_t token_bytes; /* as bf16, without eviction */
    uint64_t n_drops;
    size_t n_readers; /* reads that go on: it stays, even when it is empty */
} prefix_scope;

struct wn_prefix_cache {
    wn_prefix_cache_options o;
    char *dir;   /* NULL: no disk */
    int lock_fd; /* of the folder; -1: no disk, or another process writes */
    prefix_file_key key;
    pthread_mutex_t lock;
    pthread_cond_t saved; /* any of these has changed: */
    bool saver, saving;   /* a save runs; it writes a file, without the lock */
    size_t n_waiting;     /* drops and tends, which go before its next file */
    prefix_scope *scopes;
    prefix_node *dead; /* by next; their pages are still held */
    bool any_cut;
    uint32_t *holders;      /* [pool's pages] nodes that hold it */
    double aged, file_aged; /* GreedyDual's inflation */
    wn_prefix_stats stats;
};

/* prefix_cache.c. GreedyDual-Size (Cao and Irani, USENIX 1997): the node with the lowest base +
 * cost / bytes goes, and every later use starts from what that one had, so that costs age. */
typedef double (*prefix_worth)(const wn_prefix_cache *c, const prefix_node *node,
                               const prefix_node *but); /* INFINITY: it has to stay */
/* The node of a corpus (NULL: of all) that is worth least, and *aged is at least that then; NULL:
 * all have to stay. */
prefix_node *prefix_cheapest(wn_prefix_cache *c, const char *corpus, prefix_worth worth,
                             const prefix_node *but, double *aged);

/* prefix_tree.c */
wn_status prefix_scope_of(wn_prefix_cache *c, const wn_prefix_request *r, bool make,
                          prefix_scope **out, wn_error *err);
wn_status prefix_scope_add(wn_prefix_cache *c, const uint8_t digest[WN_SHA256_BYTES],
                           const char *corpus, size_t token_bytes, prefix_scope **out,
                           wn_error *err);
prefix_scope *prefix_scope_find(wn_prefix_cache *c, const uint8_t digest[WN_SHA256_BYTES]);
typedef bool (*prefix_test)(const prefix_node *node);
/* The node, the root included, that passes and whose tokens are ids[0, m) with the largest m <= n.
 * n_found not NULL: or whose state has the one after those in it; they are *n_found. */
prefix_node *prefix_match(prefix_node *root, const int32_t *ids, size_t n, prefix_test test,
                          size_t *n_found);
bool prefix_any(const prefix_node *node);
bool prefix_has_file(const prefix_node *node);
bool prefix_has_memory(const prefix_node *node);
/* The node whose KV store starts with this one's tokens: itself or a descendant; NULL: none. */
const prefix_node *prefix_owner_of(const prefix_node *node);
wn_status prefix_node_new(prefix_scope *scope, size_t n_first, const int32_t *ids, size_t n,
                          const wn_prefix_end *ends, size_t n_ends, prefix_node **out,
                          wn_error *err);
void prefix_node_link(prefix_node *parent, prefix_node *node);
void prefix_node_unlink(prefix_node *node); /* from its parent; its children stay its own */
void prefix_node_free(prefix_node *node);   /* alone, without memory; ids are wiped */
/* Takes nodes without memory and file out of the tree, from this one up. */
void prefix_prune(prefix_node *node);
void prefix_prune_all(prefix_scope *scope);               /* after the removal of files */
void prefix_touch(wn_prefix_cache *c, prefix_node *node); /* and its ancestors: just used */
prefix_node *prefix_after(const prefix_node *node, const prefix_node *top); /* parents first */

/* prefix_memory.c */
size_t prefix_memory_bytes(const wn_prefix_cache *c, const char *corpus); /* NULL: of all */
/* Node gets what the session holds, if the budgets have room for it after what is worth less went.
 */
void prefix_memory_keep(wn_prefix_cache *c, prefix_node *node, const wn_session *s);
/* Gives the node's pages back; what its parent needs of them goes there. */
void prefix_memory_release(wn_prefix_cache *c, prefix_node *node);
void prefix_memory_cut(wn_prefix_cache *c, prefix_node *node); /* what drop left over */
size_t prefix_memory_own(const wn_prefix_cache *c, const prefix_node *node); /* bytes */
/* Of the pages of its tokens in this store, its owner's, shared ones included. */
size_t prefix_memory_held(const prefix_node *node, const wn_kv_store *kv);

/* prefix_disk.c */
char *prefix_disk_path(const wn_prefix_cache *c, const prefix_node *node); /* caller frees */
size_t prefix_disk_bytes(const wn_prefix_cache *c, const char *corpus);    /* NULL: of all */
/* Room for a file of these bytes, of a child of this node's; others go for it. */
bool prefix_disk_make_room(wn_prefix_cache *c, const prefix_node *parent, size_t bytes);
void prefix_disk_remove(wn_prefix_cache *c, prefix_node *node); /* and its descendants' files */
/* A file that did not open or load: damaged, foreign or older ones are counted and removed. */
bool prefix_disk_refuse(wn_prefix_cache *c, const char *path, wn_status why);

/* prefix_scan.c */
wn_status prefix_disk_open(wn_prefix_cache *c, wn_error *err);
void prefix_disk_close(wn_prefix_cache *c);

/* prefix_load.c */
/* The session holds the node's tokens then, from an ancestor's memory and files; the first n are
 * ids, of the others it is to be rid. *n_bytes read. A file that is refused is removed, with its
 * descendants'; the session is empty then. */
wn_status prefix_load(wn_prefix_cache *c, prefix_node *node, const int32_t *ids, size_t n,
                      wn_session *s, size_t *n_bytes, wn_error *err);
size_t prefix_load_bytes(const prefix_node *node); /* that it would read */

#endif
