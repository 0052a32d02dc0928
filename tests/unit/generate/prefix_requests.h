/* Requests to a prefix cache over the tiny model, and what a session without one answers. */
#ifndef WN_TEST_PREFIX_REQUESTS_H
#define WN_TEST_PREFIX_REQUESTS_H

#include "generate/prefix_internal.h"
#include "tests/unit/generate/tiny_heads.h"

static const wn_dms_point point = {.window = 8}; /* so that one text has several nodes */

typedef struct kind {
    const wn_dms_heads *heads;
    wn_kv_format format;
} kind;

static inline wn_kv_pool *open_pool(wn_kv_format format, size_t max_bytes)
{
    wn_kv_pool *pool = NULL;
    WN_ASSERT_OK(wn_session_pool_open(&pool, model, compute, format, max_bytes, err));
    return pool;
}

static inline wn_session *open_in(wn_kv_pool *pool, kind k)
{
    wn_session *s = NULL;
    const wn_session_options o = {
        .n_chunk = 32, .heads = k.heads, .kv_format = k.format, .resume = true, .pool = pool};
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &o, err));
    return s;
}

static inline wn_prefix_cache *open_cache(wn_kv_pool *pool, size_t memory, const char *folder,
                                          size_t disk)
{
    wn_prefix_cache *c = NULL;
    const wn_prefix_cache_options o = {.pool = pool,
                                       .max_memory_bytes = memory,
                                       .max_disk_bytes = disk,
                                       .dir = folder,
                                       .secret = "a secret of this installation..",
                                       .always_load = true};
    WN_ASSERT_OK(wn_prefix_cache_open(&c, &o, err));
    return c;
}

/* Tokens of a text that the seed names. */
static inline void fill_text(int32_t *out, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (int32_t)((seed >> 8) % TINY_VOCAB);
    }
}

static inline wn_prefix_request request(wn_session *s, const int32_t *tokens,
                                        const wn_prefix_end *ends, size_t n_ends,
                                        wn_prefix_keep keep)
{
    return (wn_prefix_request){.corpus = "notes",
                               .key = "key",
                               .key_len = 3,
                               .session = s,
                               .ids = tokens,
                               .ends = ends,
                               .n_ends = n_ends,
                               .keep = keep};
}

static inline wn_prefix_hit read_prefix(wn_prefix_cache *c, const wn_prefix_request *r)
{
    wn_prefix_hit hit;
    WN_ASSERT_OK(wn_prefix_cache_read(c, r, &hit, err));
    const size_t n = r->ends[r->n_ends - 1].n;
    assert_int_equal(hit.n_cached + hit.n_new, n);
    assert_int_equal(wn_session_length(r->session), n);
    assert_int_equal(wn_session_n_read(r->session), n);
    assert_memory_equal(wn_session_ids(r->session), r->ids, n * sizeof *r->ids);
    return hit;
}

/* Goes on with the rest of the text and two chosen tokens; out [2][TINY_VOCAB]. */
static inline void go_on(wn_session *s, const int32_t *text, size_t n, float *out)
{
    const size_t length = wn_session_length(s);
    append(s, text + length, n - length);
    memcpy(out, wn_session_logits(s), TINY_VOCAB * sizeof *out);
    WN_ASSERT_OK(wn_session_decode(s, text[0], err));
    WN_ASSERT_OK(wn_session_decode(s, text[1], err));
    memcpy(out + TINY_VOCAB, wn_session_logits(s), TINY_VOCAB * sizeof *out);
}

/* The same of a session that has read all of it, without a cache. */
static inline void go_alone(kind k, const int32_t *text, size_t n, float *out)
{
    wn_session *s = open_in(NULL, k);
    go_on(s, text, n, out);
    wn_session_close(s);
}

/* The session answers as one without a cache. */
static inline void check_answer(wn_session *s, kind k, const int32_t *text, size_t n)
{
    float expected[2 * TINY_VOCAB], got[2 * TINY_VOCAB];
    go_alone(k, text, n, expected);
    go_on(s, text, n, got);
    assert_memory_equal(got, expected, sizeof got);
}

static inline wn_prefix_stats stats_of(wn_prefix_cache *c)
{
    wn_prefix_stats stats;
    wn_prefix_cache_stats(c, &stats);
    return stats;
}

#endif
