/* The token loop on the real small model; its text is compared with transformers' greedy decoding.
 */
#include "tests/test_support.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/utf8.h"
#include "generate/generation.h"
#include "tests/alloc_failure.h"

#define MODEL_FILE "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"
#define GREEDY_FILE WN_SOURCE_DIR "/tests/golden/logits/greedy.json"

static wn_compute *compute;
static wn_model *model;
static wn_session *session;
static int32_t *prompt;
static size_t n_prompt;
static json_t *golden;

static int open_model(void **state)
{
    (void)state;
    char path[512];
    wn_test_model_path(path, sizeof path, MODEL_FILE);
    if (access(path, R_OK) != 0)
        return 0; /* every test skips, loudly */
    wn_error err = {0};
    /* Exact: rounding of activations, keys and values decides near ties of the golden text. */
    if (wn_compute_open(&compute, &(wn_compute_options){.exact = true}, &err) != WN_OK ||
        wn_model_open(&model, compute, path, &err) != WN_OK ||
        wn_session_open(&session, model, compute, &(wn_session_options){.n_ctx = 512}, &err) !=
            WN_OK ||
        wn_json_load_file(&golden, GREEDY_FILE, 1 << 20, &err) != WN_OK) {
        printf("%s\n", err.text);
        return -1;
    }
    const json_t *ids = json_object_get(golden, "prompt_ids");
    n_prompt = json_array_size(ids);
    prompt = calloc(n_prompt + 1, sizeof *prompt);
    for (size_t i = 0; prompt && i < n_prompt; i++)
        prompt[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    return prompt && n_prompt ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    free(prompt);
    json_decref(golden);
    wn_session_close(session);
    wn_model_close(model);
    wn_compute_close(compute);
    return 0;
}

#define NEED_MODEL                                                                                 \
    do {                                                                                           \
        char path_[512];                                                                           \
        WN_NEED_FILE(wn_test_model_path(path_, sizeof path_, MODEL_FILE));                         \
    } while (0)

/* What the callbacks saw. */
typedef struct listener {
    wn_strbuf text;
    size_t n_calls, stop_at; /* on_text number stop_at answers `answer` */
    size_t prefill_done, prefill_total;
    wn_status answer, prefill_answer;
} listener;

static wn_status on_text(void *ctx, const char *text, size_t len)
{
    listener *l = ctx;
    assert_true(len > 0 && wn_utf8_valid(text, len));
    wn_strbuf_add(&l->text, text, len);
    return ++l->n_calls == l->stop_at ? l->answer : WN_OK;
}

static wn_status on_prefill(void *ctx, size_t done, size_t total)
{
    listener *l = ctx;
    l->prefill_done = done;
    l->prefill_total = total;
    return l->prefill_answer;
}

static wn_generation_request request(listener *l, size_t max_tokens)
{
    return (wn_generation_request){.session = session,
                                   .tokenizer = wn_model_tokenizer(model),
                                   .ids = prompt,
                                   .n_ids = n_prompt,
                                   .sampler = WN_SAMPLER_GREEDY,
                                   .max_tokens = max_tokens,
                                   .ctx = l,
                                   .on_text = on_text,
                                   .on_prefill = on_prefill};
}

static const char *golden_text(void)
{
    return json_string_value(json_object_get(golden, "text"));
}

static void test_greedy_equals_transformers(void **state)
{
    (void)state;
    NEED_MODEL;
    listener l = {0};
    wn_generation_result out;
    wn_generation_request r = request(&l, 64);
    wn_session_truncate(session, 0);
    WN_ASSERT_OK(wn_generate(&r, &out, err));
    assert_string_equal(out.text, golden_text());
    assert_string_equal(wn_strbuf_cstr(&l.text), golden_text());
    assert_int_equal(out.len, strlen(golden_text()));
    assert_string_equal(out.finish_reason, json_string_value(json_object_get(golden, "finish")));
    assert_int_equal(out.completion_tokens, json_array_size(json_object_get(golden, "ids")));
    assert_int_equal(out.prompt_tokens, n_prompt);
    assert_int_equal(out.cached_tokens, 0);
    assert_int_equal(l.prefill_done, n_prompt);
    assert_int_equal(l.prefill_total, n_prompt);
    assert_true(out.first_token_ms >= out.prefill_ms && out.decode_ms > 0);
    wn_strbuf_free(&l.text);
    free(out.text);
}

static void test_prefix_is_kept(void **state)
{
    (void)state;
    NEED_MODEL;
    listener l = {0};
    wn_generation_result out;
    wn_generation_request r = request(&l, 8);
    wn_session_truncate(session, 0);
    WN_ASSERT_OK(wn_generate(&r, &out, err));
    free(out.text);
    WN_ASSERT_OK(wn_generate(&r, &out, err)); /* all but the last token is there */
    assert_int_equal(out.cached_tokens, n_prompt - 1);
    assert_memory_equal(out.text, golden_text(), out.len);
    free(out.text);
    r.n_ids = 10; /* a shorter prompt */
    WN_ASSERT_OK(wn_generate(&r, &out, err));
    assert_int_equal(out.cached_tokens, 9);
    free(out.text);
    int32_t other[3] = {prompt[0], prompt[1], prompt[1]};
    r.ids = other;
    r.n_ids = 3;
    WN_ASSERT_OK(wn_generate(&r, &out, err));
    assert_int_equal(out.cached_tokens, 2);
    free(out.text);
    wn_strbuf_free(&l.text);
}

/* A stop string that begins inside one token and ends inside another. */
static void test_stop_string(void **state)
{
    (void)state;
    NEED_MODEL;
    size_t at = 0;
    const char *text = golden_text();
    while (text[at + 30] != ' ')
        at++;
    char stop[12];
    snprintf(stop, sizeof stop, "%.6s", text + at + 27); /* "xyz ab": across the border */
    const char *stops[] = {"never there", stop};
    size_t expected = (size_t)(strstr(text, stop) - text);
    listener l = {0};
    wn_generation_result out;
    wn_generation_request r = request(&l, 64);
    r.stop = stops;
    r.n_stop = 2;
    WN_ASSERT_OK(wn_generate(&r, &out, err));
    assert_int_equal(out.len, expected);
    assert_memory_equal(out.text, text, expected);
    assert_string_equal(out.finish_reason, "stop");
    assert_int_equal(l.text.len, expected); /* not even a part of it was sent */
    wn_strbuf_free(&l.text);
    free(out.text);
}

static void test_length(void **state)
{
    (void)state;
    NEED_MODEL;
    listener l = {0};
    wn_generation_result out;
    wn_generation_request r = request(&l, 3);
    WN_ASSERT_OK(wn_generate(&r, &out, err));
    assert_string_equal(out.finish_reason, "length");
    assert_int_equal(out.completion_tokens, 3);
    assert_memory_equal(out.text, golden_text(), out.len);
    free(out.text);

    wn_session *small = NULL; /* room for the prompt and two more: three can be drawn */
    WN_ASSERT_OK(
        wn_session_open(&small, model, compute, &(wn_session_options){.n_ctx = n_prompt + 2}, err));
    r = request(&l, 64);
    r.session = small;
    WN_ASSERT_OK(wn_generate(&r, &out, err));
    assert_string_equal(out.finish_reason, "length");
    assert_int_equal(out.completion_tokens, 3);
    free(out.text);
    wn_session_close(small);
    wn_strbuf_free(&l.text);
}

/* The model ends its turn: the end token is no text and is not counted. */
static void test_end_token(void **state)
{
    (void)state;
    NEED_MODEL;
    static const char text[] =
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
    int32_t *ids = NULL;
    size_t n = 0;
    WN_ASSERT_OK(wn_tokenizer_encode(wn_model_tokenizer(model), text, sizeof text - 1,
                                     WN_ENCODE_SPECIALS, &ids, &n, err));
    listener l = {0};
    wn_generation_result out;
    wn_generation_request r = request(&l, 200);
    r.ids = ids;
    r.n_ids = n;
    WN_ASSERT_OK(wn_generate(&r, &out, err));
    assert_string_equal(out.finish_reason, "stop");
    assert_in_range(out.completion_tokens, 1, 199);
    assert_string_equal(out.text, "The capital of France is Paris.");
    /* what the session holds is the prompt and the answer, without the end token */
    assert_int_equal(wn_session_length(session), n + out.completion_tokens);
    wn_strbuf_free(&l.text);
    free(out.text);
    free(ids);
}

static void test_cancel(void **state)
{
    (void)state;
    NEED_MODEL;
    listener l = {.stop_at = 4, .answer = WN_CANCELLED};
    wn_generation_result out;
    wn_error error = {0};
    wn_generation_request r = request(&l, 64);
    assert_int_equal(wn_generate(&r, &out, &error), WN_OK);
    assert_int_equal(error.status, WN_OK);
    assert_string_equal(out.finish_reason, "cancelled");
    assert_string_equal(out.text, wn_strbuf_cstr(&l.text));
    assert_memory_equal(out.text, golden_text(), out.len);
    free(out.text);
    wn_strbuf_free(&l.text);

    l = (listener){.prefill_answer = WN_CANCELLED};
    wn_session_truncate(session, 0);
    assert_int_equal(wn_generate(&r, &out, &error), WN_OK);
    assert_string_equal(out.finish_reason, "cancelled");
    assert_int_equal(out.len, 0);
    free(out.text);

    l = (listener){.stop_at = 1, .answer = WN_DEADLINE}; /* other results are errors */
    assert_int_equal(wn_generate(&r, &out, &error), WN_DEADLINE);
    assert_null(out.text);
    assert_int_equal(error.status, WN_DEADLINE);
    wn_strbuf_free(&l.text);
}

static void test_sampling_follows_the_seed(void **state)
{
    (void)state;
    NEED_MODEL;
    char *texts[3];
    for (int i = 0; i < 3; i++) {
        listener l = {0};
        wn_generation_result out;
        wn_generation_request r = request(&l, 24);
        r.sampler.temperature = 1.5f;
        r.sampler.seed = i == 2 ? 8 : 7;
        wn_session_truncate(session, 0);
        WN_ASSERT_OK(wn_generate(&r, &out, err));
        texts[i] = out.text;
        wn_strbuf_free(&l.text);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
}

static void test_requests_are_checked(void **state)
{
    (void)state;
    NEED_MODEL;
    listener l = {0};
    wn_generation_result out;
    wn_error error = {0};
    const char *empty[] = {""};
    wn_generation_request r = request(&l, 4);
    r.n_ids = 0;
    assert_int_equal(wn_generate(&r, &out, NULL), WN_INVALID);
    r.n_ids = 513; /* one more than the session holds; ids are not read */
    assert_int_equal(wn_generate(&r, &out, &error), WN_LIMIT);
    assert_non_null(strstr(error.text, "513"));
    r = request(&l, 4);
    r.stop = empty;
    r.n_stop = 1;
    assert_int_equal(wn_generate(&r, &out, NULL), WN_INVALID);
    r = request(&l, 4);
    r.sampler.top_p = 2;
    assert_int_equal(wn_generate(&r, &out, NULL), WN_INVALID);
    assert_null(out.text);
    assert_int_equal(l.n_calls, 0);
}

static wn_status generate_once(void *ctx, wn_error *err)
{
    wn_generation_result out;
    wn_generation_request r = request(ctx, 2);
    r.on_text = NULL;
    r.on_prefill = NULL;
    WN_TRY(wn_generate(&r, &out, err));
    free(out.text);
    return WN_OK;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    NEED_MODEL;
    listener l = {0};
    wn_test_each_alloc_fails(generate_once, &l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_equals_transformers),
        cmocka_unit_test(test_prefix_is_kept),
        cmocka_unit_test(test_stop_string),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_end_token),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_sampling_follows_the_seed),
        cmocka_unit_test(test_requests_are_checked),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
