/* Prefixes of prompts, kept in memory and on disk: the second question on a corpus does not pay for
 * the first.
 *
 *     wn_prefix_request r = {.corpus = "notes", .key = k, .key_len = n, .session = s, .ids = ids,
 *                            .ends = ends, .n_ends = n_ends, .keep = WN_PREFIX_ON_DISK};
 *     WN_TRY(wn_prefix_cache_read(c, &r, &hit, err));   // s holds ids[0, ends[n_ends - 1].n) now
 *     WN_TRY(wn_generate(...));                         // reads the question behind it
 *     WN_TRY(wn_prefix_cache_save(c, err));             // files; when nobody waits
 *
 * What is kept is a radix tree over token ids for each (corpus, key, kind of session); its nodes
 * lie where documents end. A node is the content of a session that read those tokens, and nothing
 * of its scratch: any number of sessions start from one, or a few tokens before its end, and share
 * its pages. What follows has the bits that it would have had without the cache. On disk a node is
 * a file with what it adds to its parent, bound to that and closed by HMACs; one that does not
 * verify is removed and read anew.
 *
 * Budgets hold at every time. What goes first: that which costs least to have again for the bytes
 * it takes, and was not used for longest. It may go while sessions read it: pages live as long as
 * one does.
 *
 * Threads: read and tend belong to the thread of the pool and its sessions; while a read's progress
 * is called that may be another one. All others may be called from any thread at any time, and wait
 * for no prefill; save runs once at a time.
 */
#ifndef WN_GENERATE_PREFIX_CACHE_H
#define WN_GENERATE_PREFIX_CACHE_H

#include "base/callbacks.h"
#include "base/hash.h"
#include "generate/session.h"

typedef struct wn_prefix_cache wn_prefix_cache;

typedef struct wn_prefix_cache_options {
    wn_kv_pool *pool; /* the sessions' (wn_session_options.pool); room for them beside
                         max_memory_bytes is the caller's to provide */
    size_t max_memory_bytes, max_disk_bytes; /* 0: nothing is kept there */
    size_t max_corpus_memory_bytes;          /* of one corpus; 0: as much as of all */
    size_t max_corpus_disk_bytes;
    const char *dir;                 /* of the files, made if absent; NULL: memory only. A second
                                        process on it reads the files and writes none. */
    uint8_t secret[WN_SHA256_BYTES]; /* of the installation: files of another one are refused */
    bool always_load;                /* without asking what loading costs; for measurements */
} wn_prefix_cache_options;

wn_status wn_prefix_cache_open(wn_prefix_cache **out, const wn_prefix_cache_options *options,
                               wn_error *err);
void wn_prefix_cache_close(wn_prefix_cache *c); /* files stay, save is the caller's; NULL is fine */

typedef enum wn_prefix_keep {
    WN_PREFIX_NOT_KEPT, /* what is there is used */
    WN_PREFIX_IN_MEMORY,
    WN_PREFIX_ON_DISK, /* and in memory; with what is before it */
} wn_prefix_keep;

typedef enum wn_prefix_source {
    WN_PREFIX_NONE,
    WN_PREFIX_SESSION, /* it held them already */
    WN_PREFIX_MEMORY,
    WN_PREFIX_DISK,
} wn_prefix_source;
const char *wn_prefix_source_name(wn_prefix_source s); /* "memory" */

typedef struct wn_prefix_end {
    size_t n;             /* ids[0, n) end here */
    const char *document; /* whose text ends here (an id; may recur); NULL: nobody's (instructions,
                             history) */
} wn_prefix_end;

#define WN_PREFIX_MAX_NAME 200 /* bytes of a corpus' or document's name */

typedef struct wn_prefix_request {
    const char *corpus;
    const void
        *key; /* what else tells prefixes apart and a session does not say of itself: the
                 corpus' secret, fingerprints of model and tokenizer, version of the prompt */
    size_t key_len;
    wn_session *session;       /* any content; peek: what kind of session */
    const int32_t *ids;        /* [ends[n_ends - 1].n] or more */
    const wn_prefix_end *ends; /* ascending, n_ends >= 1; a last one of nobody's at most WN_KV_BACK
                                  tokens behind another: words that every question begins with,
                                  kept with the text before them, or left out */
    size_t n_ends;
    wn_prefix_keep keep;     /* the last end becomes a node, others where that costs little */
    wn_progress_fn progress; /* (tokens held, of the last end), first with what was cached */
    void *progress_ctx;
} wn_prefix_request;

typedef struct wn_prefix_hit {
    size_t n_cached, n_new; /* tokens; their sum is the last end, or where words are left out */
    wn_prefix_source source;
    double load_ms,
        read_ms; /* the time that each took; peek: what it would take, as far as known */
    bool kept;   /* the whole of it is in the cache now; peek: already */
} wn_prefix_hit;

/* The session holds the tokens up to the last end, and has logits if n_new > 0: what is in the
 * session, in memory or (where loading costs less than reading) on disk is taken, the rest read. A
 * cache that fails costs time only; statuses are those of wn_session_append. */
wn_status wn_prefix_cache_read(wn_prefix_cache *c, const wn_prefix_request *r, wn_prefix_hit *out,
                               wn_error *err);
/* What read would find; changes nothing. */
wn_status wn_prefix_cache_peek(wn_prefix_cache *c, const wn_prefix_request *r, wn_prefix_hit *out,
                               wn_error *err);
/* When it returns, what was kept for the disk before has its files, whichever thread wrote them. */
wn_status wn_prefix_cache_save(wn_prefix_cache *c, wn_error *err);

/* The pool gets the memory that the largest prefix on disk is loaded to (kv_pool.h). n_lists:
 * layers times KV heads of the sessions. */
void wn_prefix_cache_prepare(wn_prefix_cache *c, size_t n_lists, wn_thread_pool *threads);

/* Of one corpus (NULL: all), every prefix with that document's text in it (NULL: every prefix), in
 * every tier. Files are gone when it returns, pages at the next tend or read, zeroed; a session's
 * own are the caller's to truncate. *n_dropped (NULL is fine): nodes. */
wn_status wn_prefix_cache_drop(wn_prefix_cache *c, const char *corpus, const char *document,
                               size_t *n_dropped, wn_error *err);
/* Likewise every prefix of a corpus with the text of a document that is gone, or is another one by
 * now: gone says so of one that was read at that time or before. It must not call the cache.
 * Returns the nodes. */
typedef bool (*wn_prefix_gone_fn)(void *ctx, const char *document, int64_t read_unix_s);
size_t wn_prefix_cache_drop_gone(wn_prefix_cache *c, const char *corpus, wn_prefix_gone_fn gone,
                                 void *ctx);
void wn_prefix_cache_tend(wn_prefix_cache *c);

typedef struct wn_prefix_info { /* of one node */
    const char *corpus;         /* valid during the call */
    char id[17];                /* hex, stable */
    size_t n_tokens;            /* from the first token on */
    size_t n_texts;             /* of documents that end in them; one may have several */
    size_t n_children;
    bool in_memory;
    size_t memory_bytes; /* that no other node holds */
    size_t held_bytes;   /* of its pages, shared ones included; 0: not in memory */
    size_t dense_bytes;  /* of its tokens, as bf16, without eviction and without slack */
    size_t disk_bytes;   /* of its file; 0: none */
    uint64_t n_hits;
    int64_t created_unix_s, used_unix_s;
} wn_prefix_info;
typedef wn_status (*wn_prefix_visit_fn)(void *ctx, const wn_prefix_info *info, wn_error *err);
/* corpus NULL: all. Parents come before their children. visit must not call the cache. */
wn_status wn_prefix_cache_visit(wn_prefix_cache *c, const char *corpus, wn_prefix_visit_fn visit,
                                void *ctx, wn_error *err);

typedef struct wn_prefix_stats {
    size_t n_nodes, memory_bytes, disk_bytes; /* now */
    /* Since open: */
    uint64_t hits[4]; /* by wn_prefix_source; [WN_PREFIX_NONE]: misses */
    uint64_t tokens_cached, tokens_read;
    uint64_t recomputed; /* a file was there, reading was cheaper */
    uint64_t nodes_kept, files_written;
    uint64_t evicted_memory, evicted_disk;                                     /* for a budget */
    uint64_t dropped;                                                          /* nodes, by drop */
    uint64_t refused_corrupt, refused_foreign, refused_version, refused_write; /* files */
    double read_tokens_per_s, load_bytes_per_s; /* measured; 0: not yet */
} wn_prefix_stats;
void wn_prefix_cache_stats(wn_prefix_cache *c, wn_prefix_stats *out);

#endif
