/* OpenAI's surface over the wire: chat completions, models, embeddings; models are faked. */
#include "tests/unit/api/http_fixture.h"

static http_fixture fixture;

static int open_all(void **state)
{
    fixture_ready(&fixture, &(wn_http_options){0});
    fixture_corpus(fixture.service);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    fixture_close(*state);
    return 0;
}

#define CHAT "/v1/chat/completions"
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"Where do frogs live?\"}]"

static void chat_from_a_corpus(void **state)
{
    const http_fixture *f = *state;
    json_t *o = fixture_json(
        f, "POST", CHAT,
        "{\"model\":\"winnow/notes\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
        "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Where do frogs\"},"
        "{\"type\":\"text\",\"text\":\"live?\"}]}]}",
        200);
    assert_string_equal(json_str(o, "object"), "chat.completion");
    assert_string_equal(json_str(o, "model"), "winnow/notes");
    assert_string_equal(json_str(o, "choices.0.message.role"), "assistant");
    assert_string_equal(json_str(o, "choices.0.finish_reason"), "stop");
    assert_string_equal(json_str(o, "choices.0.message.annotations.0.type"), "file_citation");
    assert_string_equal(json_str(o, "choices.0.message.annotations.0.filename"), "frogs.txt");
    assert_int_equal(json_integer_value(json_at(o, "choices.0.message.annotations.0.index")), 35);
    assert_int_equal(json_integer_value(json_at(o, "usage.total_tokens")), 17);
    assert_int_equal(json_integer_value(json_at(o, "usage.prompt_tokens_details.cached_tokens")),
                     0);
    assert_string_equal(json_str(o, "prefix.source"), "disk"); /* beside what OpenAI has */
    assert_int_equal(json_integer_value(json_at(o, "prefix.held_bytes")), 1024);
    assert_true(json_is_real(json_at(o, "timings.first_token_ms")));
    json_decref(o);
    assert_int_equal(atomic_load(&wn_fake.last_history), 1);
    fixture_expect(f, "POST", CHAT,
                   "{\"model\":\"generator\",\"vector_store_ids\":[\"notes\"]," USER "}", 200);
    fixture_error(f, "POST", CHAT, "{\"model\":\"winnow/none\"," USER "}", 404, "model");
    fixture_error(f, "POST", CHAT, "{\"model\":\"winnow/\"," USER "}", 404, "model");
}

static void chat_plainly(void **state)
{
    const http_fixture *f = *state;
    json_t *o = fixture_json(f, "POST", CHAT,
                             "{\"model\":\"generator\",\"max_completion_tokens\":9,\"user\":\"u\","
                             "\"metadata\":{},\"store\":false," USER "}",
                             200);
    assert_string_equal(json_str(o, "choices.0.message.content"),
                        "The documents say so in their text.");
    assert_int_equal(json_array_size(json_at(o, "choices.0.message.annotations")), 0);
    json_decref(o);
    assert_int_equal(atomic_load(&wn_fake.last_max_tokens), 9);
    fixture_error(f, "POST", CHAT, "{\"model\":\"gpt-4\"," USER "}", 404, "model");
}

static void chat_streams(void **state)
{
    const http_fixture *f = *state;
    char *a = raw_request(f->port, "POST", CHAT, JSON_TYPE,
                          "{\"model\":\"winnow/notes\",\"stream\":true,\"stream_options\":"
                          "{\"include_usage\":true}," USER "}");
    assert_int_equal(raw_status(a), 200);
    assert_int_equal(raw_count(a, "\"usage\":{"), 1);
    assert_int_equal(raw_count(a, "\"choices\":[]"), 1);
    assert_int_equal(raw_count(a, "\"finish_reason\":\"stop\""), 1);
    assert_int_equal(raw_count(a, "data: [DONE]"), 1);
    assert_int_equal(raw_count(a, "\"role\":\"assistant\""), 1);
    assert_true(raw_count(a, "\"usage\":null") == WN_FAKE_WORDS + 4); /* role, 2 citations, end */
    assert_true(strstr(a, "\"usage\":{") < strstr(a, "[DONE]"));
    assert_int_equal(raw_count(a, "\"prefix\":{\"cached_tokens\":64,"), 1);
    free(a);
    a = raw_request(f->port, "POST", CHAT, JSON_TYPE,
                    "{\"model\":\"generator\",\"stream\":true," USER "}");
    assert_int_equal(raw_count(a, "usage"), 0);
    assert_int_equal(raw_count(a, "data: [DONE]"), 1);
    free(a);
}

static void bad_chats(void **state)
{
    static const char *const cases[][2] = {
        {"{" USER "}", "model"},
        {"{\"model\":\"generator\"}", "messages"},
        {"{\"model\":\"generator\",\"messages\":[]}", "messages"},
        {"{\"model\":\"generator\",\"messages\":\"x\"}", "messages"},
        {"{\"model\":\"generator\",\"messages\":[1]}", "messages[0].role"},
        {"{\"model\":\"generator\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
         "messages[0].role"},
        {"{\"model\":\"generator\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
        {"{\"model\":\"generator\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
         "\"image_url\"}]}]}",
         "messages[0].content"},
        {"{\"model\":\"winnow/notes\",\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}",
         "messages"},
        {"{\"model\":\"generator\",\"n\":2," USER "}", "n"},
        {"{\"model\":\"generator\",\"n\":\"1\"," USER "}", "n"},
        {"{\"model\":\"generator\",\"logprobs\":true," USER "}", "logprobs"},
        {"{\"model\":\"generator\",\"tools\":[{}]," USER "}", "tools"},
        {"{\"model\":\"generator\",\"frequency_penalty\":1," USER "}", "frequency_penalty"},
        {"{\"model\":\"generator\",\"presence_penalty\":\"x\"," USER "}", "presence_penalty"},
        {"{\"model\":\"generator\",\"logit_bias\":{\"1\":1}," USER "}", "logit_bias"},
        {"{\"model\":\"generator\",\"response_format\":{\"type\":\"json_object\"}," USER "}",
         "response_format"},
        {"{\"model\":\"generator\",\"stream_options\":[]," USER "}", "stream_options"},
        {"{\"model\":\"generator\",\"stream_options\":{\"include_usage\":1}," USER "}",
         "include_usage"},
        {"{\"model\":\"generator\",\"vector_store_ids\":[1]," USER "}", "vector_store_ids"},
        {"{\"model\":\"generator\",\"max_tokens\":5000," USER "}", "max_tokens"},
    };
    const http_fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        fixture_error(f, "POST", CHAT, cases[i][0], 400, cases[i][1]);
}

static void models_and_embeddings(void **state)
{
    const http_fixture *f = *state;
    json_t *o = fixture_json(f, "GET", "/v1/models", NULL, 200);
    assert_string_equal(json_str(o, "data.0.id"), "generator");
    assert_string_equal(json_str(o, "data.1.id"), "fake-embedder");
    assert_string_equal(json_str(o, "data.2.id"), "winnow/notes");
    assert_string_equal(json_str(o, "data.2.object"), "model");
    json_decref(o);
    o = fixture_json(f, "POST", "/v1/embeddings",
                     "{\"model\":\"fake-embedder\",\"input\":[\"ab\",\"abc d\"]}", 200);
    assert_true(json_real_value(json_at(o, "data.0.embedding.2")) > 0.5);
    assert_int_equal(json_integer_value(json_at(o, "data.1.index")), 1);
    assert_int_equal(json_integer_value(json_at(o, "usage.prompt_tokens")), 3);
    json_decref(o);
    o = fixture_json(
        f, "POST", "/v1/embeddings",
        "{\"model\":\"fake-embedder\",\"input\":\"abcd\",\"encoding_format\":\"base64\"}", 200);
    assert_string_equal(json_str(o, "data.0.embedding"), "AACAPwAAAAAAAAAAAAAAAA==");
    json_decref(o);
    fixture_error(f, "POST", "/v1/embeddings", "{\"model\":\"x\",\"input\":\"a\"}", 404, "model");
    fixture_error(f, "POST", "/v1/embeddings", "{\"model\":\"fake-embedder\"}", 400, "input");
    fixture_error(f, "POST", "/v1/embeddings", "{\"model\":\"fake-embedder\",\"input\":[[1,2]]}",
                  400, "input");
    fixture_error(f, "POST", "/v1/embeddings",
                  "{\"model\":\"fake-embedder\",\"input\":\"a\",\"dimensions\":3}", 400,
                  "dimensions");
    fixture_error(f, "POST", "/v1/embeddings",
                  "{\"model\":\"fake-embedder\",\"input\":\"a\",\"encoding_format\":\"hex\"}", 400,
                  "encoding_format");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chat_from_a_corpus),
                                       cmocka_unit_test(chat_plainly),
                                       cmocka_unit_test(chat_streams), cmocka_unit_test(bad_chats),
                                       cmocka_unit_test(models_and_embeddings)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
