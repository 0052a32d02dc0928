/* Answers through the prefix cache, on the real small model: where prefixes end, the same words
 * cold, from memory and from the session, what is told of it, cancelling while the prefix is read.
 */
#include "tests/sanitized.h"
#include "tests/test_support.h"

#include "generate/answer_prefix.h"
#include "generate/kv_store.h"

#define MODEL_FILE "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"
#define HEADS_FILE WN_SOURCE_DIR "/deploy/heads/smollm2-135m.safetensors"

static char tesla[4000], bridge[4000];
static wn_source sources[3];
static wn_compute *compute;
static wn_model *model;
static wn_kv_pool *pool;
static wn_prefix_cache *cache;

static void fill(char *text, size_t size, const char *sentence)
{
    size_t len = 0;
    for (int i = 1; len + strlen(sentence) + 16 < size && i < (WN_TEST_SANITIZED ? 24 : 40); i++)
        len += (size_t)snprintf(text + len, size - len, sentence, i);
}

static int open_all(void **state)
{
    (void)state;
    char path[512];
    wn_error err = {0};
    fill(tesla, sizeof tesla, "Nikola Tesla wrote letter %d in Smiljan. ");
    fill(bridge, sizeof bridge, "Arch %d of the bridge spans 161 metres. ");
    const size_t half = strlen(tesla) / 2;
    sources[0] = (wn_source){1, tesla, half, 0, "Tesla", "", 0, 0};
    sources[1] = (wn_source){1, tesla + half, strlen(tesla + half), half, "Tesla", "", 0, 0};
    sources[2] = (wn_source){2, bridge, strlen(bridge), 0, "Bridges", "", 0, 0};
    wn_test_model_path(path, sizeof path, MODEL_FILE);
    if (access(path, R_OK) != 0)
        return 0; /* every test that needs it skips, loudly */
    if (wn_compute_open(&compute, &(wn_compute_options){0}, &err) != WN_OK ||
        wn_model_open(&model, compute, path, &err) != WN_OK ||
        wn_session_pool_open(&pool, model, compute, WN_KV_AUTO, (size_t)256 << 20, &err) != WN_OK ||
        wn_prefix_cache_open(
            &cache, &(wn_prefix_cache_options){.pool = pool, .max_memory_bytes = (size_t)96 << 20},
            &err) != WN_OK) {
        printf("%s\n", err.text);
        return -1;
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    wn_prefix_cache_close(cache);
    wn_kv_pool_close(pool);
    wn_model_close(model);
    wn_compute_close(compute);
    return 0;
}

#define NEED_MODEL                                                                                 \
    do {                                                                                           \
        char path_[512];                                                                           \
        WN_NEED_FILE(wn_test_model_path(path_, sizeof path_, MODEL_FILE));                         \
    } while (0)

/* Adjoining passages of a document end once, where the document does. */
static void test_ends(void **state)
{
    (void)state;
    size_t token_ends[] = {30, 50, 90}, n = 0;
    wn_prompt_tokens tokens = {.n = 100, .n_fixed = 10, .ends = token_ends};
    wn_prefix_end *ends = NULL;
    char *names = NULL;
    WN_ASSERT_OK(wn_answer_prefix_ends(sources, 3, &tokens, &ends, &n, &names, err));
    assert_int_equal(n, 2);
    assert_int_equal(ends[0].n, 50);
    assert_string_equal(ends[0].document, "1");
    assert_int_equal(ends[1].n, 90);
    assert_string_equal(ends[1].document, "2");
    free(ends);
    free(names);
    wn_source apart[3] = {sources[0], sources[1], sources[2]};
    apart[1].start += 100; /* something lies between */
    WN_ASSERT_OK(wn_answer_prefix_ends(apart, 3, &tokens, &ends, &n, &names, err));
    assert_int_equal(n, 3);
    assert_int_equal(ends[0].n, 30);
    assert_string_equal(ends[0].document, "1");
    free(ends);
    free(names);
    tokens.n_words = 2;
    WN_ASSERT_OK(wn_answer_prefix_ends(sources, 3, &tokens, &ends, &n, &names, err));
    assert_int_equal(n, 3);
    assert_string_equal(ends[1].document, "2");
    assert_int_equal(ends[2].n, 92);
    assert_null(ends[2].document);
    free(ends);
    free(names);
    tokens.n_words = WN_KV_BACK + 1; /* no way back from there */
    WN_ASSERT_OK(wn_answer_prefix_ends(sources, 3, &tokens, &ends, &n, &names, err));
    assert_int_equal(n, 2);
    free(ends);
    free(names);
}

typedef struct listener {
    wn_answer_prefix prefix;
    size_t n_prefix, n_prefill, first_done, cancel_at;
} listener;

static wn_status on_prefix(void *ctx, const wn_answer_prefix *p)
{
    listener *l = ctx;
    assert_int_equal(l->n_prefill, 0);
    l->n_prefix++;
    l->prefix = *p;
    return WN_OK;
}

static wn_status on_prefill(void *ctx, size_t done, size_t total)
{
    listener *l = ctx;
    assert_true(done <= total);
    if (l->n_prefill == 0)
        l->first_done = done;
    return ++l->n_prefill == l->cancel_at ? WN_CANCELLED : WN_OK;
}

/* A question behind these turns. */
static void follow(wn_session *session, wn_prefix_cache *through, const wn_answer_turn *history,
                   size_t n_history, const char *question, listener *l, wn_answer *a)
{
    const wn_answer_request r = {.session = session,
                                 .prefixes = through,
                                 .corpus = "notes",
                                 .prefix_key = "k",
                                 .prefix_key_len = 1,
                                 .keep = WN_PREFIX_IN_MEMORY,
                                 .model = model,
                                 .question = question,
                                 .sources = sources,
                                 .n_sources = 3,
                                 .history = history,
                                 .n_history = n_history,
                                 .sampler = WN_SAMPLER_GREEDY,
                                 .max_tokens = WN_TEST_SANITIZED ? 8 : 24};
    const wn_answer_events events = {.ctx = l, .on_prefix = on_prefix, .on_prefill = on_prefill};
    WN_ASSERT_OK(wn_answer_run(&r, &events, a, err));
    if (l->cancel_at)
        return;
    assert_int_equal(l->n_prefix, 1);
    assert_int_equal(l->first_done, l->prefix.cached_tokens);
    assert_int_equal(l->prefix.cached_tokens, a->prefix.cached_tokens);
    assert_int_equal(l->prefix.source, a->prefix.source);
    assert_int_equal(a->cached_tokens, a->prefix.cached_tokens);
    assert_int_equal(a->prefix.cached_tokens + a->prefix.new_tokens, a->prompt_tokens);
    assert_true(a->first_token_ms >= a->prefix.load_ms + a->prefix.read_ms);
    assert_true((a->prefix.held_bytes > 0) == (a->prefix.cached_tokens > 0));
}

static void ask(wn_session *session, wn_prefix_cache *through, const char *question, listener *l,
                wn_answer *a)
{
    follow(session, through, NULL, 0, question, l, a);
}

static wn_session *open_session(void)
{
    wn_session *s = NULL;
    WN_ASSERT_OK(wn_session_open(&s, model, compute,
                                 &(wn_session_options){.n_ctx = 2048, .resume = true, .pool = pool},
                                 err));
    return s;
}

static void test_same_words(void **state)
{
    (void)state;
    NEED_MODEL;
    static const char first[] = "Who wrote letters?", other[] = "How long is an arch?";
    wn_session *s = open_session(), *t = open_session();
    wn_answer cold = {0}, a = {0}, b = {0}, c = {0};
    ask(t, NULL, other, &(listener){0}, &cold);
    assert_int_equal(cold.prefix.source, WN_PREFIX_NONE);
    assert_int_equal(cold.prefix.cached_tokens, 0);
    ask(s, cache, first, &(listener){0}, &a);
    assert_int_equal(a.prefix.source, WN_PREFIX_NONE);
    assert_true(a.prefix.kept_tokens > 500 && a.prefix.kept_tokens < a.prompt_tokens);
    ask(s, cache, other, &(listener){0}, &b); /* the session has it */
    assert_int_equal(b.prefix.source, WN_PREFIX_SESSION);
    assert_int_equal(b.prefix.kept_tokens, 0);
    assert_string_equal(b.text, cold.text);
    wn_session_truncate(s, 0);
    ask(s, cache, other, &(listener){0}, &c); /* the cache has it */
    assert_int_equal(c.prefix.source, WN_PREFIX_MEMORY);
    assert_true(c.prefix.cached_tokens > 500 && c.prefix.new_tokens < 40);
    assert_string_equal(c.text, cold.text);
    assert_int_equal(c.prompt_tokens, cold.prompt_tokens);
    wn_answer_free(&cold);
    wn_answer_free(&a);
    wn_answer_free(&b);
    wn_answer_free(&c);
    wn_session_close(s);
    wn_session_close(t);
}

/* A conversation stays in its session: each turn reads the answer before it and its own question,
 * and says what it would say if it read all of it. */
static void converse(const wn_dms_heads *heads)
{
    static const char *const questions[] = {"Who wrote letters?", "How long is an arch?",
                                            "Where was letter 3 written?", "And letter 12?"};
    const size_t n_turns = WN_TEST_SANITIZED ? 2 : 4;
    const wn_session_options o = {.n_ctx = 2048, .heads = heads, .resume = true, .pool = pool};
    wn_session *s = NULL, *cold = NULL;
    wn_answer_turn turns[4] = {0};
    WN_ASSERT_OK(wn_session_open(&s, model, compute, &o, err));
    WN_ASSERT_OK(wn_session_open(&cold, model, compute, &o, err));
    wn_answer a = {0}, b = {0};
    size_t before = 0;
    ask(s, cache, "Where is the bridge?", &(listener){0}, &a); /* the corpus is kept now */
    wn_answer_free(&a);
    wn_session_truncate(s, 0);
    for (size_t i = 0; i < n_turns; i++) {
        follow(s, cache, turns, i, questions[i], &(listener){0}, &a);
        assert_int_equal(a.prefix.source, i ? WN_PREFIX_SESSION : WN_PREFIX_MEMORY);
        assert_true(a.prefix.cached_tokens >= before);
        assert_true(i == 0 || a.prefix.cached_tokens == before);
        assert_true(a.prefix.new_tokens < 80);
        before = a.prompt_tokens;
        wn_session_truncate(cold, 0);
        follow(cold, NULL, turns, i, questions[i], &(listener){0}, &b);
        assert_int_equal(b.prefix.source, WN_PREFIX_NONE);
        assert_string_equal(a.text, b.text);
        assert_int_equal(a.completion_tokens, b.completion_tokens);
        turns[i] = (wn_answer_turn){questions[i], strdup(a.text)};
        wn_answer_free(&a);
        wn_answer_free(&b);
    }
    for (size_t i = 0; i < n_turns; i++)
        free((char *)(uintptr_t)turns[i].answer);
    wn_session_close(s);
    wn_session_close(cold);
}

static void test_conversation(void **state)
{
    (void)state;
    NEED_MODEL;
    wn_dms_heads *heads = NULL;
    if (!WN_TEST_SANITIZED)
        converse(NULL);
    WN_ASSERT_OK(wn_dms_heads_open(&heads, model, HEADS_FILE, err));
    converse(heads);
    wn_dms_heads_close(heads);
}

static void test_cancel(void **state)
{
    (void)state;
    NEED_MODEL;
    wn_session *s = open_session();
    wn_answer a = {0};
    WN_ASSERT_OK(wn_prefix_cache_drop(cache, NULL, NULL, NULL, err));
    wn_prefix_cache_tend(cache);
    ask(s, cache, "How long is an arch?", &(listener){.cancel_at = 2}, &a);
    assert_string_equal(a.finish_reason, "cancelled");
    assert_int_equal(a.completion_tokens, 0);
    assert_string_equal(a.text, "");
    wn_answer_free(&a);
    wn_session_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends), cmocka_unit_test(test_same_words),
        cmocka_unit_test(test_conversation), cmocka_unit_test(test_cancel)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
