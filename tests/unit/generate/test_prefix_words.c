/* Words that every question on a text begins with: kept with the text in memory and on disk, and no
 * hindrance to a text that is appended, whose prefix ends before them. The bits of a session
 * without a cache, wherever the text ends in a chunk. */
#include "tests/unit/generate/prefix_requests.h"

enum { N_TEXT = 155, N_WORDS = 2, N_MORE = 17, MEMORY = 2 << 20, DISK = 8 << 20, CHUNK = 32 };

/* Keys go at a cut between chunks: then the state before the words is not in the one behind. */
static size_t with_words(kind k, size_t n)
{
    return k.heads && (n + N_WORDS) / CHUNK * CHUNK > n ? n : n + N_WORDS;
}

/* Two documents, the words behind the second; or three. */
static size_t ask(wn_prefix_cache *c, wn_session *s, const int32_t *text, size_t n, bool more,
                  kind k, wn_prefix_source source)
{
    const wn_prefix_end ends[] = {{40, "a"}, {n, "b"}, {n + N_WORDS, NULL}};
    const wn_prefix_end longer[] = {
        {40, "a"}, {n, "b"}, {n + N_MORE, "c"}, {n + N_MORE + N_WORDS, NULL}};
    const wn_prefix_request r = more ? request(s, text, longer, 4, WN_PREFIX_ON_DISK)
                                     : request(s, text, ends, 3, WN_PREFIX_ON_DISK);
    const size_t end = with_words(k, more ? n + N_MORE : n);
    wn_prefix_hit hit, peeked;
    WN_ASSERT_OK(wn_prefix_cache_peek(c, &r, &peeked, err));
    WN_ASSERT_OK(wn_prefix_cache_read(c, &r, &hit, err));
    assert_int_equal(hit.source, source);
    assert_int_equal(hit.n_cached + hit.n_new, end);
    assert_int_equal(wn_session_length(s), end);
    assert_memory_equal(wn_session_ids(s), text, end * sizeof *text);
    assert_true(hit.kept);
    assert_true(source == WN_PREFIX_SESSION || peeked.n_cached == hit.n_cached);
    check_answer(s, k, text, N_TEXT);
    return hit.n_cached;
}

/* A question on the text, another one, and one when there is more text. */
static void write_texts(size_t n, int32_t text[3][N_TEXT])
{
    for (size_t i = 0; i < 3; i++) {
        fill_text(text[i], N_TEXT, (uint32_t)(n + i));
        memcpy(text[i], text[0], (i < 2 ? n + N_WORDS : n) * sizeof *text[0]);
    }
    text[2][n] = (text[0][n] + 1) % TINY_VOCAB;
}

static void check_memory(kind k, size_t n)
{
    int32_t text[3][N_TEXT];
    wn_kv_pool *pool = open_pool(k.format, 4 << 20);
    wn_prefix_cache *c = open_cache(pool, MEMORY, NULL, 0);
    wn_session *a = open_in(pool, k), *b = open_in(pool, k);
    write_texts(n, text);
    assert_int_equal(ask(c, a, text[0], n, false, k, WN_PREFIX_NONE), 0);
    assert_true(k.heads || stats_of(c).n_nodes == 2);
    assert_int_equal(ask(c, b, text[1], n, false, k, WN_PREFIX_MEMORY), with_words(k, n));
    if (with_words(k, n) > n) { /* the session has them, too, behind a question in the same chunk */
        const bool held = !k.heads || n >= N_TEXT / CHUNK * CHUNK;
        const wn_prefix_source source = held ? WN_PREFIX_SESSION : WN_PREFIX_MEMORY;
        assert_int_equal(ask(c, a, text[1], n, false, k, source), n + N_WORDS);
    }
    wn_session_truncate(a, 0);
    assert_int_equal(ask(c, a, text[2], n, true, k, WN_PREFIX_MEMORY), n);
    wn_session_truncate(b, 0);
    fill_text(text[2] + n + N_MORE + N_WORDS, N_TEXT - n - N_MORE - N_WORDS, 77);
    assert_int_equal(ask(c, b, text[2], n, true, k, WN_PREFIX_MEMORY), with_words(k, n + N_MORE));
    wn_session_close(a);
    wn_session_close(b);
    wn_prefix_cache_close(c);
    assert_int_equal(wn_kv_pool_n_used(pool), 0);
    wn_kv_pool_close(pool);
}

/* Every question in a process of its own. */
static void check_disk(kind k, size_t n, const char *folder)
{
    int32_t text[3][N_TEXT];
    const size_t more = n + N_MORE;
    write_texts(n, text);
    const struct {
        size_t text;
        wn_prefix_source source;
        size_t n_cached;
    } asked[] = {{0, WN_PREFIX_NONE, 0},
                 {1, WN_PREFIX_DISK, with_words(k, n)},
                 {2, WN_PREFIX_DISK, n},
                 {2, WN_PREFIX_DISK, with_words(k, more)}};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        wn_kv_pool *pool = open_pool(k.format, 4 << 20);
        wn_prefix_cache *c = open_cache(pool, MEMORY, folder, DISK);
        wn_session *s = open_in(pool, k);
        assert_int_equal(ask(c, s, text[asked[i].text], n, asked[i].text == 2, k, asked[i].source),
                         asked[i].n_cached);
        WN_ASSERT_OK(wn_prefix_cache_save(c, err));
        assert_int_equal(stats_of(c).refused_corrupt, 0);
        wn_session_close(s);
        wn_prefix_cache_close(c);
        wn_kv_pool_close(pool);
    }
    WN_ASSERT_OK(wn_fs_remove_tree(folder, err));
}

static void test_words(void **state)
{
    char folder[300];
    (void)state;
    snprintf(folder, sizeof folder, "%s/words", dir);
    wn_dms_point p = point;
    for (size_t shift = 0; shift < 2; shift++) {
        const wn_dms_heads linear = linear_heads(&p, shift);
        const wn_dms_heads borrowed = borrowed_heads(&p, shift, shift == 1);
        const kind kinds[] = {{NULL, WN_KV_INT8}, {&linear, WN_KV_INT8}, {&borrowed, WN_KV_BF16}};
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            for (size_t n = 90; n <= 130; n += n % 8 == 2 ? 3 : 1) {
                check_memory(kinds[i], n);
                if (n % 3 == 0 || n == 94 || n == 95)
                    check_disk(kinds[i], n, folder);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words)};
    return cmocka_run_group_tests(tests, tiny_heads_open, tiny_heads_close);
}
