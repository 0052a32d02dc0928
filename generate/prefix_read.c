/* Reading through the cache: what there is of a prefix, the rest, and what is kept of that. */
#include <string.h>

#include "base/clock.h"
#include "generate/prefix_internal.h"

#define RATE_WEIGHT 0.3 /* of the newest measurement */
#define NODE_WINDOWS 8  /* tokens between nodes of a session that evicts */

static wn_status check_request(const wn_prefix_request *r, wn_error *err)
{
    if (!r->corpus || strlen(r->corpus) > WN_PREFIX_MAX_NAME)
        return wn_error_set(err, WN_INVALID, "a corpus' name has %d bytes at most",
                            WN_PREFIX_MAX_NAME);
    for (size_t i = 0; i < r->n_ends; i++) {
        if (r->ends[i].n == 0 || (i && r->ends[i].n <= r->ends[i - 1].n))
            return wn_error_set(err, WN_INVALID, "the ends of a prefix do not ascend");
        if (r->ends[i].document && strlen(r->ends[i].document) > WN_PREFIX_MAX_NAME)
            return wn_error_set(err, WN_INVALID, "a document's name has %d bytes at most",
                                WN_PREFIX_MAX_NAME);
    }
    if (r->n_ends == 0)
        return wn_error_set(err, WN_INVALID, "a prefix without an end");
    const size_t n = r->ends[r->n_ends - 1].n, capacity = wn_session_capacity(r->session);
    return n <= capacity
               ? WN_OK
               : wn_error_set(err, WN_LIMIT, "a prefix of %zu tokens, the session has room for %zu",
                              n, capacity);
}

static void measure(double *rate, double n, double ms)
{
    if (ms <= 0 || n <= 0)
        return;
    const double now = n / ms * 1e3;
    *rate = *rate > 0 ? (1 - RATE_WEIGHT) * *rate + RATE_WEIGHT * now : now;
}

static double cost_ms(double n, double rate)
{
    return rate > 0 ? n / rate * 1e3 : 0;
}

/* What there is of a request's tokens. */
typedef struct plan {
    prefix_node *memory, *disk; /* the root: nothing */
    size_t n_memory, n_disk;    /* tokens that they are good for */
    size_t session;             /* tokens */
    double load_ms, read_ms;    /* of what the disk has more, one way and the other */
} plan;

/* Where nothing was measured yet, loading is tried. */
static void make_plan(const wn_prefix_cache *c, prefix_scope *scope, const wn_prefix_request *r,
                      plan *p)
{
    const size_t n = r->ends[r->n_ends - 1].n;
    p->memory = prefix_match(&scope->root, r->ids, n, prefix_has_memory, &p->n_memory);
    p->disk = prefix_match(&scope->root, r->ids, n, prefix_has_file, &p->n_disk);
    const size_t have = p->n_memory > p->session ? p->n_memory : p->session;
    if (p->n_disk <= have || p->disk->n > wn_session_capacity(r->session)) {
        p->disk = &scope->root;
        p->n_disk = 0;
        return;
    }
    p->load_ms = cost_ms((double)prefix_load_bytes(p->disk), c->stats.load_bytes_per_s);
    p->read_ms = cost_ms((double)(p->n_disk - have), c->stats.read_tokens_per_s);
}

static bool loading_pays(const wn_prefix_cache *c, const plan *p)
{
    return p->n_disk > 0 &&
           (c->o.always_load || p->read_ms <= 0 || p->load_ms <= 0 || p->load_ms < p->read_ms);
}

/* Tokens of the request that the session can start from as it is. */
static size_t held_by(const wn_session *s, const int32_t *ids, size_t n)
{
    size_t same = 0;
    const size_t n_read = wn_session_n_read(s);
    while (same < n_read && same < n && s->ids[same] == ids[same])
        same++;
    return wn_session_can_keep(s, same);
}

/* From disk to the session; false: read what is missing instead. */
static bool load(wn_prefix_cache *c, const wn_prefix_request *r, const plan *p, wn_prefix_hit *out)
{
    size_t n_bytes = 0;
    const double start = wn_clock_ms();
    if (prefix_load(c, p->disk, r->ids, p->n_disk, r->session, &n_bytes, NULL) != WN_OK)
        return false;
    out->load_ms = wn_clock_ms() - start;
    measure(&c->stats.load_bytes_per_s, (double)n_bytes, out->load_ms);
    out->source = WN_PREFIX_DISK;
    prefix_touch(c, p->disk);
    prefix_memory_keep(c, p->disk, r->session);
    wn_session_truncate(r->session, p->n_disk);
    return true;
}

static void start_from(wn_prefix_cache *c, const wn_prefix_request *r, plan *p, wn_prefix_hit *out)
{
    const double start = wn_clock_ms();
    if (p->session > 0 && p->session >= p->n_memory) {
        wn_session_truncate(r->session, p->session);
        out->source = WN_PREFIX_SESSION;
    } else if (p->n_memory > 0 && wn_session_set(r->session, r->ids, p->n_memory,
                                                 prefix_owner_of(p->memory)->kv, NULL) == WN_OK) {
        out->source = WN_PREFIX_MEMORY;
    } else {
        wn_session_truncate(r->session, 0);
    }
    if (p->n_memory > 0 && p->n_memory >= p->session)
        prefix_touch(c, p->memory);
    out->load_ms = wn_clock_ms() - start;
}

/* The session gets the most that there is. */
static void find(wn_prefix_cache *c, prefix_scope *scope, const wn_prefix_request *r,
                 wn_prefix_hit *out)
{
    plan p = {.session = held_by(r->session, r->ids, r->ends[r->n_ends - 1].n)};
    bool done = false;
    make_plan(c, scope, r, &p);
    if (p.n_disk > 0 && !loading_pays(c, &p)) {
        c->stats.recomputed++;
        c->stats.load_bytes_per_s *= 1.1; /* the disk may have been slow once */
    }
    /* A refused file is gone from the tree, and so is the session's content. */
    while (!done && loading_pays(c, &p)) {
        const size_t n = p.n_disk;
        done = load(c, r, &p, out);
        if (done)
            break;
        p = (plan){0};
        make_plan(c, scope, r, &p);
        if (p.n_disk >= n) /* not the file's fault: no room */
            break;
    }
    if (!done)
        start_from(c, r, &p, out);
    out->n_cached = wn_session_length(r->session);
    c->stats.hits[out->source]++;
}

/* Progress of one piece as that of the whole. */
typedef struct piece {
    const wn_prefix_request *r;
    size_t before;
} piece;

static wn_status report(void *ctx, uint64_t done, uint64_t total)
{
    const piece *p = ctx;
    (void)total;
    return p->r->progress ? p->r->progress(p->r->progress_ctx, p->before + done,
                                           p->r->ends[p->r->n_ends - 1].n)
                          : WN_OK;
}

/* Words that all questions on a text begin with, just behind it: the state behind them has the one
 * before them in it, unless keys go in between. */
static bool ends_in_words(const wn_prefix_request *r)
{
    return r->n_ends > 1 && !r->ends[r->n_ends - 1].document &&
           r->ends[r->n_ends - 1].n - r->ends[r->n_ends - 2].n <= WN_KV_BACK;
}

static wn_prefix_request without_split_words(const wn_prefix_request *r)
{
    const wn_session *s = r->session;
    wn_prefix_request out = *r;
    if (s->point.window && ends_in_words(r) &&
        r->ends[r->n_ends - 1].n / s->n_chunk * s->n_chunk > r->ends[r->n_ends - 2].n)
        out.n_ends--;
    return out;
}

/* The node of the request's first n tokens, made if it is not there. */
static prefix_node *node_at(wn_prefix_cache *c, prefix_scope *scope, const wn_prefix_request *r,
                            size_t n, double ms_per_token)
{
    prefix_node *node = prefix_match(&scope->root, r->ids, n, prefix_any, NULL), *made = NULL;
    if (node->n == n ||
        prefix_node_new(scope, node->n, r->ids, n, r->ends, r->n_ends, &made, NULL) != WN_OK)
        return node;
    const size_t back_to = wn_kv_store_back_to(r->session->kv);
    made->tail_first = wn_kv_store_tail_first(r->session->kv);
    made->back_to = n > back_to + WN_KV_BACK ? n - WN_KV_BACK : back_to;
    made->read_ms = ms_per_token * (double)(n - node->n);
    made->file_base = c->file_aged;
    prefix_node_link(node, made);
    c->stats.nodes_kept++;
    return made;
}

/* Nodes up to the session's length, unless the text may have been dropped meanwhile. */
static void keep(wn_prefix_cache *c, prefix_scope *scope, const wn_prefix_request *r,
                 uint64_t n_drops, double ms_per_token)
{
    const size_t n = wn_session_length(r->session);
    if (scope->n_drops != n_drops || !wn_kv_store_is_whole(r->session->kv))
        return;
    const size_t last = r->n_ends - 1 - ends_in_words(r);
    for (size_t i = 0; i < last && wn_kv_store_tail_first(r->session->kv) == 0 && r->ends[i].n < n;
         i++)
        node_at(c, scope, r, r->ends[i].n, ms_per_token);
    size_t n_held = 0;
    prefix_node *node = prefix_match(&scope->root, r->ids, n, prefix_has_memory, &n_held);
    if (n_held < n)
        node = node_at(c, scope, r, n, ms_per_token);
    if (node->n == n)
        prefix_memory_keep(c, node, r->session);
    for (prefix_node *above = node; r->keep == WN_PREFIX_ON_DISK && above->parent;
         above = above->parent)
        above->durable = true;
    prefix_prune(node);
}

/* Whether all of the first n tokens are in the tail then: every earlier state is in the last. */
static bool stays_whole(const wn_session *s, size_t n)
{
    return s->point.window == 0 || n / s->n_chunk * s->n_chunk <= s->point.window;
}

/* Where a node is to be next. One before the last end costs a window of its own, so it comes only
 * after many of them, and where the tail is no longer than that: at a cut between chunks. What the
 * last text has in it would go with that text. */
static size_t next_stop(const wn_prefix_request *r)
{
    const wn_session *s = r->session;
    const size_t length = wn_session_length(s), last = r->ends[r->n_ends - 1].n;
    const bool whole = r->keep == WN_PREFIX_NOT_KEPT || stays_whole(s, last);
    const size_t n_texts = r->n_ends - ends_in_words(r);
    for (size_t i = 0; !whole && i + 1 < n_texts; i++) {
        const size_t cut = r->ends[i].n / s->n_chunk * s->n_chunk;
        if (cut < last && cut >= length + NODE_WINDOWS * s->point.window)
            return cut;
    }
    return last;
}

static wn_status read_piece(const wn_prefix_request *r, double *ms, wn_error *err)
{
    const size_t length = wn_session_length(r->session);
    piece p = {r, length};
    const double start = wn_clock_ms();
    wn_status status =
        wn_session_append(r->session, r->ids + length, next_stop(r) - length, report, &p, err);
    *ms = wn_clock_ms() - start;
    return status;
}

static wn_status read_rest(wn_prefix_cache *c, prefix_scope *scope, const wn_prefix_request *r,
                           wn_prefix_hit *out, wn_error *err)
{
    const uint64_t n_drops = scope->n_drops;
    const size_t n = r->ends[r->n_ends - 1].n;
    wn_status status = WN_OK;
    pthread_mutex_unlock(&c->lock);
    status = report(&(piece){r, wn_session_length(r->session)}, 0, n);
    while (status == WN_OK && wn_session_length(r->session) < n) {
        double ms = 0;
        const size_t before = wn_session_length(r->session);
        status = read_piece(r, &ms, err);
        out->read_ms += ms;
        pthread_mutex_lock(&c->lock);
        measure(&c->stats.read_tokens_per_s, (double)(wn_session_length(r->session) - before), ms);
        if (status == WN_OK && r->keep != WN_PREFIX_NOT_KEPT)
            keep(c, scope, r, n_drops, ms / (double)(wn_session_length(r->session) - before));
        pthread_mutex_unlock(&c->lock);
    }
    pthread_mutex_lock(&c->lock);
    if (status == WN_OK && out->n_cached == n && r->keep != WN_PREFIX_NOT_KEPT)
        keep(c, scope, r, n_drops, 0); /* what only a session held; the disk may be new to it */
    return status;
}

wn_status wn_prefix_cache_read(wn_prefix_cache *c, const wn_prefix_request *request,
                               wn_prefix_hit *out, wn_error *err)
{
    prefix_scope *scope = NULL;
    *out = (wn_prefix_hit){0};
    WN_TRY(check_request(request, err));
    const wn_prefix_request own = without_split_words(request), *r = &own;
    wn_prefix_cache_tend(c);
    pthread_mutex_lock(&c->lock);
    wn_status status = prefix_scope_of(c, r, true, &scope, err);
    if (status == WN_OK) {
        scope->n_readers++;
        find(c, scope, r, out);
        status = read_rest(c, scope, r, out, err);
        out->n_new = wn_session_length(r->session) - out->n_cached;
        c->stats.tokens_cached += out->n_cached;
        c->stats.tokens_read += out->n_new;
        const size_t n = wn_session_length(r->session);
        size_t n_memory = 0, n_disk = 0;
        (void)prefix_match(&scope->root, r->ids, n, prefix_has_memory, &n_memory);
        (void)prefix_match(&scope->root, r->ids, n, prefix_has_file, &n_disk);
        out->kept = n_memory == n || n_disk == n;
        scope->n_readers--;
    }
    pthread_mutex_unlock(&c->lock);
    return status;
}

wn_status wn_prefix_cache_peek(wn_prefix_cache *c, const wn_prefix_request *request,
                               wn_prefix_hit *out, wn_error *err)
{
    prefix_scope *scope = NULL;
    *out = (wn_prefix_hit){0};
    WN_TRY(check_request(request, err));
    const wn_prefix_request own = without_split_words(request), *r = &own;
    const size_t n = r->ends[r->n_ends - 1].n;
    out->n_new = n;
    pthread_mutex_lock(&c->lock);
    wn_status status = prefix_scope_of(c, r, false, &scope, err);
    if (status == WN_OK && scope) {
        plan p = {0};
        make_plan(c, scope, r, &p);
        const bool loads = loading_pays(c, &p);
        out->n_cached = loads ? p.n_disk : p.n_memory;
        out->source = out->n_cached == 0 ? WN_PREFIX_NONE
                      : loads            ? WN_PREFIX_DISK
                                         : WN_PREFIX_MEMORY;
        out->load_ms = loads ? p.load_ms : 0;
        out->n_new = n - out->n_cached;
        out->kept = out->n_cached == n;
    }
    out->read_ms = cost_ms((double)out->n_new, c->stats.read_tokens_per_s);
    pthread_mutex_unlock(&c->lock);
    return status;
}
