/* The prefix cache in memory: the bits of a session without one, whatever is found, evicted or
 * dropped; budgets. */
#include "base/checked.h"
#include "generate/kv_store_internal.h"
#include "tests/unit/generate/prefix_requests.h"

static const wn_prefix_end docs[] = {{8, NULL}, {40, "a"}, {75, "b"}, {110, "c"}, {131, "d"}};
enum { N_DOCS = sizeof docs / sizeof *docs, N_TEXT = 155 };

static uint32_t random_state = 1;

static size_t random_below(size_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

/* Cold, from memory, from the session, and a shorter prefix of the same text. */
static void check_kind(kind k)
{
    int32_t text[N_TEXT];
    wn_kv_pool *pool = open_pool(k.format, 4 << 20);
    wn_prefix_cache *c = open_cache(pool, 2 << 20, NULL, 0);
    wn_session *a = open_in(pool, k), *b = open_in(pool, k);
    fill_text(text, N_TEXT, 7);
    wn_prefix_request r = request(a, text, docs, N_DOCS, WN_PREFIX_IN_MEMORY);
    wn_prefix_hit hit = read_prefix(c, &r);
    assert_int_equal(hit.source, WN_PREFIX_NONE);
    assert_true(hit.kept);
    check_answer(a, k, text, N_TEXT);
    r.session = b;
    hit = read_prefix(c, &r);
    assert_int_equal(hit.source, WN_PREFIX_MEMORY);
    assert_int_equal(hit.n_cached, 131);
    check_answer(b, k, text, N_TEXT);
    hit = read_prefix(c, &r); /* behind the last cut */
    assert_int_equal(hit.source, WN_PREFIX_SESSION);
    check_answer(b, k, text, N_TEXT);
    for (size_t n_ends = 1; n_ends < N_DOCS; n_ends++) {
        int32_t other[N_TEXT];
        fill_text(other, N_TEXT, 99);
        memcpy(other, text, docs[n_ends - 1].n * sizeof *text);
        r = request(n_ends % 2 ? a : b, other, docs, N_DOCS, WN_PREFIX_NOT_KEPT);
        wn_session_truncate(r.session, 0);
        hit = read_prefix(c, &r);
        assert_int_equal(hit.source, hit.n_cached ? WN_PREFIX_MEMORY : WN_PREFIX_NONE);
        assert_true(k.heads || hit.n_cached == docs[n_ends - 1].n);
        check_answer(r.session, k, other, N_TEXT);
    }
    wn_session_close(a);
    wn_session_close(b);
    wn_prefix_cache_close(c);
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_kv_pool_close(pool);
}

static void test_bits_are_those_without_a_cache(void **state)
{
    (void)state;
    wn_dms_point p = point;
    for (wn_kv_format f = WN_KV_F32; f <= WN_KV_INT8; f++)
        for (size_t shift = 0; shift < 2; shift++) {
            const wn_dms_heads linear = linear_heads(&p, shift);
            const wn_dms_heads borrowed = borrowed_heads(&p, shift, shift == 1);
            check_kind((kind){NULL, f});
            check_kind((kind){&linear, f});
            check_kind((kind){&borrowed, f});
        }
}

/* A corpus, then with one turn of history and another; an appended document. */
static void test_nested_prefixes(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 1);
    for (size_t heads = 0; heads < 2; heads++) {
        const kind k = {heads ? &h : NULL, WN_KV_BF16};
        int32_t text[N_TEXT], other[N_TEXT];
        wn_kv_pool *pool = open_pool(k.format, 4 << 20);
        wn_prefix_cache *c = open_cache(pool, 2 << 20, NULL, 0);
        wn_session *s = open_in(pool, k);
        fill_text(text, N_TEXT, 3);
        memcpy(other, text, sizeof text);
        fill_text(other + 110, N_TEXT - 110, 4);
        wn_prefix_request r = request(s, text, docs, 4, WN_PREFIX_IN_MEMORY);
        assert_int_equal(read_prefix(c, &r).n_cached, 0);
        int32_t *both[] = {text, other};
        for (size_t i = 0; i < 4; i++) {
            wn_session_truncate(s, 0);
            r = request(s, both[i % 2], docs, N_DOCS, WN_PREFIX_IN_MEMORY);
            const wn_prefix_hit hit = read_prefix(c, &r);
            assert_int_equal(hit.n_cached, i < 2 ? 110 : 131);
            check_answer(s, k, both[i % 2], N_TEXT);
        }
        wn_session_close(s);
        wn_prefix_cache_close(c);
        wn_kv_pool_close(pool);
    }
}

static void test_keys_and_kinds_do_not_share(void **state)
{
    (void)state;
    int32_t text[N_TEXT];
    wn_dms_point p = point;
    wn_dms_heads h = linear_heads(&p, 0);
    wn_kv_pool *pool = open_pool(WN_KV_F32, 4 << 20);
    wn_prefix_cache *c = open_cache(pool, 2 << 20, NULL, 0);
    wn_session *dense = open_in(pool, (kind){NULL, WN_KV_F32});
    wn_session *evicts = open_in(pool, (kind){&h, WN_KV_F32});
    fill_text(text, N_TEXT, 5);
    wn_prefix_request r = request(dense, text, docs, N_DOCS, WN_PREFIX_IN_MEMORY);
    read_prefix(c, &r);
    wn_session_truncate(dense, 0);
    r.corpus = "diary";
    assert_int_equal(read_prefix(c, &r).n_cached, 0);
    wn_session_truncate(dense, 0);
    r.corpus = "notes";
    r.key = "KEY";
    assert_int_equal(read_prefix(c, &r).n_cached, 0);
    r.key = "key";
    r.session = evicts;
    assert_int_equal(read_prefix(c, &r).n_cached, 0);
    wn_session_truncate(dense, 0);
    r.session = dense;
    assert_int_equal(read_prefix(c, &r).n_cached, 131);
    assert_int_equal(stats_of(c).hits[WN_PREFIX_NONE], 4);
    assert_int_equal(stats_of(c).hits[WN_PREFIX_MEMORY], 1);
    wn_session_close(dense);
    wn_session_close(evicts);
    wn_prefix_cache_close(c);
    wn_kv_pool_close(pool);
}

/* Of every length between two cuts of the text: what is kept has no slot to spare, and answers as
 * before. */
static void check_packed(kind k, size_t n)
{
    int32_t text[N_TEXT];
    const wn_prefix_end end = {n, "a"};
    wn_kv_pool *pool = open_pool(k.format, 4 << 20);
    wn_prefix_cache *c = open_cache(pool, 2 << 20, NULL, 0);
    wn_session *a = open_in(pool, k), *b = open_in(pool, k);
    fill_text(text, N_TEXT, (uint32_t)n);
    wn_prefix_request r = request(a, text, &end, 1, WN_PREFIX_IN_MEMORY);
    assert_int_equal(read_prefix(c, &r).source, WN_PREFIX_NONE);
    const prefix_node *node = prefix_match(&c->scopes->root, text, n, prefix_has_memory, NULL);
    const size_t seen = n - point.window - WN_KV_BACK, first = n / 32 * 32 - point.window;
    const size_t from =
        seen > first ? seen : first; /* what is before it and evicted is not there */
    size_t slots = 0;
    for (size_t i = 0; i < node->kv->n_lists; i++)
        slots += kv_count_log(&node->kv->lists[i], from) + n - from;
    assert_int_equal(node->kv->packed_bytes, slots * kv_slot_bytes(&node->kv->layout));
    assert_true(slots < node->kv->n_lists * n);
    check_answer(a, k, text, N_TEXT);
    r.session = b;
    assert_int_equal(read_prefix(c, &r).source, WN_PREFIX_MEMORY);
    check_answer(b, k, text, N_TEXT);
    wn_session_close(a);
    wn_session_close(b);
    wn_prefix_cache_close(c);
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_kv_pool_close(pool);
}

static void test_packed(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 1);
    for (size_t n = 65; n < 128; n += 6) {
        check_packed((kind){&h, WN_KV_INT8}, n);
        check_packed((kind){&h, WN_KV_F32}, n);
    }
}

/* Of what nodes hold beside pages. */
static size_t packed_bytes(const wn_prefix_cache *c)
{
    size_t n = 0;
    for (prefix_scope *s = c->scopes; s; s = s->next)
        for (const prefix_node *p = s->root.children; p; p = prefix_after(p, &s->root))
            n += p->kv ? p->kv->packed_bytes : 0;
    return n;
}

/* Many texts with common beginnings in a cache with room for few: at every time within its budget,
 * which counts what is really held. */
static void check_budget(kind k)
{
    enum { BUDGET = 160 << 10 };
    wn_kv_pool *pool = open_pool(k.format, 8 << 20);
    wn_prefix_cache *c = open_cache(pool, BUDGET, NULL, 0);
    wn_session *s[3] = {open_in(pool, k), open_in(pool, k), open_in(pool, k)};
    static const char *const corpora[] = {"one", "two", "three", "four"};
    size_t n_hits = 0;
    for (size_t turn = 0; turn < 300; turn++) {
        int32_t text[N_TEXT];
        const size_t corpus = random_below(4), n_ends = 1 + random_below(N_DOCS);
        fill_text(text, N_TEXT, (uint32_t)corpus);
        for (size_t i = 1; i < N_DOCS; i++)
            fill_text(text + docs[i - 1].n, docs[i].n - docs[i - 1].n,
                      (uint32_t)(i * 3 + random_below(2)));
        wn_prefix_request r =
            request(s[turn % 3], text, docs, n_ends, (wn_prefix_keep)random_below(2));
        r.corpus = corpora[corpus];
        n_hits += read_prefix(c, &r).source == WN_PREFIX_MEMORY;
        const wn_prefix_stats now = stats_of(c);
        assert_true(now.memory_bytes <= BUDGET);
        if (turn % 10 == 0)
            check_answer(r.session, k, text, N_TEXT);
        if (turn % 50 == 49) {
            size_t own = 0;
            for (size_t i = 0; i < 3; i++)
                wn_session_truncate(s[i], 0);
            own = wn_kv_pool_n_used(pool) * wn_kv_pool_page_bytes(pool) + packed_bytes(c);
            assert_true(own <= now.memory_bytes && own > now.memory_bytes / 2);
        }
    }
    const wn_prefix_stats end = stats_of(c);
    assert_true(n_hits > 30 && end.evicted_memory > 30 && end.n_nodes > 1);
    for (size_t i = 0; i < 3; i++)
        wn_session_close(s[i]);
    wn_prefix_cache_close(c);
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_kv_pool_close(pool);
}

static void test_budget(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 1);
    check_budget((kind){NULL, WN_KV_BF16});
    check_budget((kind){&h, WN_KV_F32});
}

/* Sessions go on while what they read from is evicted or dropped. */
static void test_in_use_while_dropped(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 0);
    for (size_t heads = 0; heads < 2; heads++) {
        const kind k = {heads ? &h : NULL, WN_KV_INT8};
        int32_t text[N_TEXT];
        wn_session *s[8];
        size_t n_dropped = 0;
        wn_kv_pool *pool = open_pool(k.format, 4 << 20);
        wn_prefix_cache *c = open_cache(pool, 2 << 20, NULL, 0);
        fill_text(text, N_TEXT, 11);
        for (size_t i = 0; i < 8; i++) {
            s[i] = open_in(pool, k);
            wn_prefix_request r = request(s[i], text, docs, N_DOCS, WN_PREFIX_IN_MEMORY);
            assert_int_equal(read_prefix(c, &r).n_cached, i ? 131 : 0);
        }
        WN_ASSERT_OK(wn_prefix_cache_drop(c, "notes", NULL, &n_dropped, err));
        assert_true(n_dropped > 0);
        assert_true(stats_of(c).memory_bytes > 0);
        wn_prefix_cache_tend(c);
        assert_int_equal(stats_of(c).memory_bytes, 0);
        assert_int_equal(stats_of(c).n_nodes, 0);
        for (size_t i = 0; i < 8; i++) {
            fill_text(text + 131, N_TEXT - 131, (uint32_t)i);
            check_answer(s[i], k, text, N_TEXT);
            wn_session_close(s[i]);
        }
        assert_int_equal(wn_kv_pool_n_used(pool), 0);
        wn_prefix_cache_close(c);
        wn_kv_pool_close(pool);
    }
}

/* What is before a deleted document stays, what has it goes. */
static void test_drop_of_a_document(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads h = linear_heads(&p, 0);
    for (size_t heads = 0; heads < 2; heads++)
        for (size_t doc = 1; doc < N_DOCS; doc++) {
            const kind k = {heads ? &h : NULL, WN_KV_BF16};
            int32_t text[N_TEXT];
            size_t n_dropped = 0;
            wn_kv_pool *pool = open_pool(k.format, 4 << 20);
            wn_prefix_cache *c = open_cache(pool, 2 << 20, NULL, 0);
            wn_session *s = open_in(pool, k);
            fill_text(text, N_TEXT, 13);
            wn_prefix_request r = request(s, text, docs, N_DOCS, WN_PREFIX_IN_MEMORY);
            read_prefix(c, &r);
            WN_ASSERT_OK(wn_prefix_cache_drop(c, "notes", "e", &n_dropped, err));
            assert_int_equal(n_dropped, 0);
            WN_ASSERT_OK(wn_prefix_cache_drop(c, "other", docs[doc].document, &n_dropped, err));
            assert_int_equal(n_dropped, 0);
            wn_session_truncate(s, 0);
            WN_ASSERT_OK(wn_prefix_cache_drop(c, NULL, docs[doc].document, &n_dropped, err));
            assert_true(n_dropped > 0);
            const wn_prefix_hit hit = read_prefix(c, &r);
            assert_true(hit.n_cached <= docs[doc - 1].n);
            assert_true(heads || hit.n_cached == docs[doc - 1].n);
            check_answer(s, k, text, N_TEXT);
            wn_session_close(s);
            wn_prefix_cache_close(c);
            wn_kv_pool_close(pool);
        }
}

static wn_status add_info(void *ctx, const wn_prefix_info *info, wn_error *err)
{
    size_t *n = ctx;
    (void)err;
    assert_string_equal(info->corpus, "notes");
    assert_int_equal(info->n_tokens, docs[*n].n);
    assert_int_equal(info->n_texts, *n);
    assert_true(info->in_memory && info->held_bytes > 0 && info->disk_bytes == 0);
    assert_int_equal(info->dense_bytes, docs[*n].n * TINY_LAYERS * TINY_KV * TINY_HEAD * 4);
    assert_int_equal(info->n_children, *n + 1 < N_DOCS);
    ++*n;
    return WN_OK;
}

static void test_listing_and_peeking(void **state)
{
    (void)state;
    int32_t text[N_TEXT];
    size_t n = 0;
    wn_prefix_hit hit;
    wn_kv_pool *pool = open_pool(WN_KV_BF16, 4 << 20);
    wn_prefix_cache *c = open_cache(pool, 2 << 20, NULL, 0);
    wn_session *s = open_in(pool, (kind){NULL, WN_KV_BF16});
    fill_text(text, N_TEXT, 17);
    wn_prefix_request r = request(s, text, docs, N_DOCS, WN_PREFIX_IN_MEMORY);
    WN_ASSERT_OK(wn_prefix_cache_peek(c, &r, &hit, err));
    assert_int_equal(hit.n_new, 131);
    read_prefix(c, &r);
    WN_ASSERT_OK(wn_prefix_cache_visit(c, "notes", add_info, &n, err));
    assert_int_equal(n, N_DOCS);
    WN_ASSERT_OK(wn_prefix_cache_visit(c, "other", add_info, &n, err));
    assert_int_equal(n, N_DOCS);
    text[120]++;
    WN_ASSERT_OK(wn_prefix_cache_peek(c, &r, &hit, err));
    assert_int_equal(hit.n_cached, 110);
    assert_int_equal(hit.source, WN_PREFIX_MEMORY);
    assert_false(hit.kept);
    r.n_ends = 0;
    assert_int_equal(wn_prefix_cache_read(c, &r, &hit, NULL), WN_INVALID);
    const wn_prefix_end bad[] = {{20, NULL}, {20, NULL}};
    r = request(s, text, bad, 2, WN_PREFIX_IN_MEMORY);
    assert_int_equal(wn_prefix_cache_read(c, &r, &hit, NULL), WN_INVALID);
    const wn_prefix_end far[] = {{20, NULL}, {TINY_CTX + 1, NULL}};
    r = request(s, text, far, 2, WN_PREFIX_IN_MEMORY);
    assert_int_equal(wn_prefix_cache_read(c, &r, &hit, NULL), WN_LIMIT);
    wn_session_close(s);
    wn_prefix_cache_close(c);
    wn_kv_pool_close(pool);
}

/* Whatever allocation fails, answers are right, or the error is. */
static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    const kind k = {NULL, WN_KV_BF16};
    int32_t text[N_TEXT];
    fill_text(text, N_TEXT, 19);
    size_t n_failed = 0, i = 1;
    for (bool reached = true; reached; i++) {
        wn_kv_pool *pool = open_pool(k.format, 4 << 20);
        wn_prefix_cache *c = open_cache(pool, 2 << 20, NULL, 0);
        wn_session *s = open_in(pool, k);
        wn_prefix_request r = request(s, text, docs, N_DOCS, WN_PREFIX_IN_MEMORY);
        wn_prefix_hit hit;
        const size_t before = wn_alloc_count();
        wn_alloc_fail_after(i, false);
        const wn_status status = wn_prefix_cache_read(c, &r, &hit, NULL);
        wn_alloc_fail_after(0, false);
        reached = wn_alloc_count() - before >= i;
        n_failed += status != WN_OK;
        assert_true(status == WN_OK || status == WN_NO_MEMORY);
        if (status == WN_OK)
            check_answer(s, k, text, N_TEXT);
        wn_session_close(s);
        wn_prefix_cache_close(c);
        assert_int_equal(wn_kv_pool_n_used(pool), 0);
        wn_kv_pool_close(pool);
    }
    assert_true(i > 20 && n_failed < i / 2);
}

/* What happens between two chunks of a read: another session reads on the same cache, and what was
 * dropped of a third text is given back. */
typedef struct between {
    wn_prefix_cache *cache;
    wn_session *other;
    kind k;
    size_t n_calls;
} between;

static wn_status meanwhile(void *ctx, uint64_t done, uint64_t total)
{
    between *b = ctx;
    int32_t text[N_TEXT];
    if (done == total || done % 64 == 32) /* at some of the chunks' ends */
        return WN_OK;
    fill_text(text, N_TEXT, (uint32_t)(40 + b->n_calls++));
    wn_prefix_request r = request(b->other, text, docs, 3, WN_PREFIX_IN_MEMORY);
    r.corpus = "letters";
    read_prefix(b->cache, &r);
    check_answer(b->other, b->k, text, N_TEXT);
    WN_ASSERT_OK(wn_prefix_cache_drop(b->cache, "letters", NULL, NULL, err));
    wn_prefix_cache_tend(b->cache); /* the first read's corpus has no node yet, either */
    return WN_OK;
}

static void test_reads_take_turns(void **state)
{
    (void)state;
    wn_dms_point p = point;
    const wn_dms_heads linear = linear_heads(&p, 0);
    const kind kinds[] = {{NULL, WN_KV_BF16}, {&linear, WN_KV_INT8}};
    for (size_t i = 0; i < 2; i++) {
        int32_t text[N_TEXT];
        wn_kv_pool *pool = open_pool(kinds[i].format, 4 << 20);
        wn_prefix_cache *c = open_cache(pool, 2 << 20, NULL, 0);
        wn_session *s = open_in(pool, kinds[i]);
        between b = {.cache = c, .other = open_in(pool, kinds[i]), .k = kinds[i]};
        wn_prefix_request r = request(s, text, docs, N_DOCS, WN_PREFIX_IN_MEMORY);
        r.progress = meanwhile;
        r.progress_ctx = &b;
        fill_text(text, N_TEXT, 7);
        assert_true(read_prefix(c, &r).kept);
        assert_true(b.n_calls >= 2);
        check_answer(s, kinds[i], text, N_TEXT);
        wn_session_truncate(s, 0);
        assert_int_equal(read_prefix(c, &r).source, WN_PREFIX_MEMORY);
        check_answer(s, kinds[i], text, N_TEXT);
        wn_session_close(b.other);
        wn_session_close(s);
        wn_prefix_cache_close(c);
        wn_kv_pool_close(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_are_those_without_a_cache),
        cmocka_unit_test(test_nested_prefixes),
        cmocka_unit_test(test_keys_and_kinds_do_not_share),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_in_use_while_dropped),
        cmocka_unit_test(test_reads_take_turns),
        cmocka_unit_test(test_drop_of_a_document),
        cmocka_unit_test(test_listing_and_peeking),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
